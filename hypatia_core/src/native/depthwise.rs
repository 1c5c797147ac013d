//! The step "depthwise": a filter for each channel, over images whose channels lie together.

use std::fmt;

use serde::Deserialize;

use super::linear::activation;
use super::memory::Memory;
use super::number::Number;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::depthwise::{Axis, Depthwise as Convolution};
use crate::error::{Error, Result};
use crate::linear::Activation;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    batch: usize,
    channels: usize,
    /// Pixels, taps, stride, padding and dilation along each axis.
    down: [usize; 5],
    across: [usize; 5],
    x: View,
    filters: usize,
    bias: Option<usize>,
    result: View,
    activation: String,
    numbers: Vec<Number>,
    algorithm: String,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Depthwise {
    /// The images, the filters, and the bias if there is one.
    reads: Vec<Region>,
    writes: [Region; 1],
    batch: usize,
    channels: usize,
    axes: [Axis; 2],
    activation: Activation,
}

pub(super) fn axis(numbers: [usize; 5], what: &str) -> Result<Axis> {
    let [size, taps, stride, padding, dilation] = numbers;
    let small = numbers.iter().all(|&number| number < 1 << 31);
    if !small || taps * stride * dilation == 0 {
        return Err(Error::new(format!(
            "{what}: {numbers:?} is no size, taps, stride, padding and dilation; taps, strides and dilations are at least 1"
        )));
    }
    Ok(Axis {
        size,
        taps,
        stride,
        padding,
        dilation,
    })
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Depthwise> {
        let axes = [axis(self.down, "down")?, axis(self.across, "across")?];
        let [down, across] = axes;
        let image = [self.batch, down.size, across.size, self.channels];
        let made = [
            self.batch,
            down.positions(),
            across.positions(),
            self.channels,
        ];
        let taps = count(&[down.taps, across.taps, self.channels])?;
        let mut reads = vec![
            making.read_dense(self.x, &image, "x")?,
            making.all_of(self.filters, taps, "filters")?,
        ];
        if let Some(bias) = self.bias {
            reads.push(making.all_of(bias, self.channels, "bias")?);
        }
        Ok(Depthwise {
            reads,
            writes: [making.written_dense(self.result, &made, "result")?],
            batch: self.batch,
            channels: self.channels,
            axes,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        })
    }
}

impl Step for Depthwise {
    fn kind(&self) -> &'static str {
        "depthwise"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let taps = self.axes[0].taps * self.axes[1].taps;
        self.writes[0]
            .reach()
            .saturating_mul(taps.saturating_mul(40))
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let convolution = Convolution {
                x: memory.reach(&self.reads[0]),
                filters: memory.reach(&self.reads[1]),
                bias: self.reads.get(2).map(|bias| memory.reach(bias)),
                activation: self.activation,
                batch: self.batch,
                channels: self.channels,
                axes: self.axes,
            };
            convolution.apply(memory.reach_mut(&self.writes[0]), threads)
        }
    }
}

impl fmt::Display for Depthwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, across] = self.axes;
        write!(
            f,
            "depthwise {}×{} of {} images of {} channels, {}×{}",
            down.taps, across.taps, self.batch, self.channels, down.size, across.size
        )?;
        if self.activation != Activation::None {
            write!(f, " {:?}", self.activation)?;
        }
        Ok(())
    }
}
