//! The step "convolution": filters over images whose channels lie together, and what follows.

use std::fmt;

use serde::Deserialize;

use super::depthwise::axis;
use super::linear::{OnPanels, Words, activation};
use super::memory::Memory;
use super::number::Number;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::convolution::Convolution as Product;
use crate::depthwise::Axis;
use crate::error::Result;
use crate::linear::Activation;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    batch: usize,
    channels: usize,
    filters: usize,
    /// Pixels, taps, stride, padding and dilation along each axis.
    down: [usize; 5],
    across: [usize; 5],
    x: View,
    panels: usize,
    bias: Option<usize>,
    other: Option<View>,
    result: View,
    activation: String,
    numbers: Vec<Number>,
    algorithm: String,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Convolution {
    /// A product of windows.
    on: OnPanels,
    batch: usize,
    channels: usize,
    axes: [Axis; 2],
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Convolution> {
        let axes = [axis(self.down, "down")?, axis(self.across, "across")?];
        let [down, across] = axes;
        let image = [self.batch, down.size, across.size, self.channels];
        let made = [
            self.batch,
            down.positions(),
            across.positions(),
            self.filters,
        ];
        let words = Words {
            columns: self.filters,
            depth: count(&[down.taps, across.taps, self.channels])?,
            x: self.x,
            panels: self.panels,
            bias: self.bias,
            other: self.other,
            result: self.result,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        };
        Ok(Convolution {
            on: words.checked(&image, &made, making)?,
            batch: self.batch,
            channels: self.channels,
            axes,
        })
    }
}

impl Step for Convolution {
    fn kind(&self) -> &'static str {
        "convolution"
    }

    fn reads(&self) -> &[Region] {
        &self.on.reads
    }

    fn writes(&self) -> &[Region] {
        &self.on.writes
    }

    fn work(&self) -> usize {
        let positions = self.axes.iter().map(Axis::positions);
        self.on
            .work(positions.fold(self.batch, usize::saturating_mul))
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let product = Product {
                linear: self.on.product(memory),
                batch: self.batch,
                channels: self.channels,
                axes: self.axes,
            };
            product.apply(memory.reach_mut(&self.on.writes[0]), threads)
        }
    }
}

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, across] = self.axes;
        write!(
            f,
            "convolution {}×{} of {} images of {} channels, {}×{}, to {}",
            down.taps,
            across.taps,
            self.batch,
            self.channels,
            down.size,
            across.size,
            self.on.columns
        )?;
        if self.on.activation != Activation::None {
            write!(f, " {:?}", self.on.activation)?;
        }
        Ok(())
    }
}
