//! The step "convolution": filters over images whose channels lie together, and what follows.

use std::fmt;

use serde::Deserialize;

use super::depthwise::axis;
use super::linear::{activation, dense};
use super::memory::Memory;
use super::number::Number;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::convolution::Convolution as Product;
use crate::depthwise::Axis;
use crate::error::{Error, Result};
use crate::linear::{Activation, COLUMNS, Linear};

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
    /// The images, the panels, and after them the bias and what is added, where there are such.
    reads: Vec<Region>,
    writes: [Region; 1],
    biased: bool,
    added: bool,
    batch: usize,
    channels: usize,
    filters: usize,
    /// Elements of a window.
    depth: usize,
    axes: [Axis; 2],
    activation: Activation,
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
        let depth = count(&[down.taps, across.taps, self.channels])?;
        let length = self
            .filters
            .checked_next_multiple_of(COLUMNS)
            .and_then(|filters| filters.checked_mul(depth));
        let length = length.ok_or_else(|| Error::new("panels: more elements than there can be"))?;
        let x = making.floats(self.x, &image, "x")?;
        let mut reads = vec![
            making.read_as(x, &dense(&image))?,
            making.all_of(self.panels, length, "panels")?,
        ];
        if let Some(bias) = self.bias {
            reads.push(making.all_of(bias, self.filters, "bias")?);
        }
        let added = self.other.is_some();
        if let Some(other) = self.other {
            let other = making.floats(other, &made, "other")?;
            reads.push(making.read_as(other, &dense(&made))?);
        }
        let result = making.floats(self.result, &made, "result")?;
        Ok(Convolution {
            reads,
            writes: [making.written_as(result, &dense(&made), "result")?],
            biased: self.bias.is_some(),
            added,
            batch: self.batch,
            channels: self.channels,
            filters: self.filters,
            depth,
            axes,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        })
    }
}

impl Step for Convolution {
    fn kind(&self) -> &'static str {
        "convolution"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let products = self.writes[0].reach().saturating_mul(self.depth);
        products.saturating_mul(20)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let product = Product {
                linear: Linear {
                    x: memory.reach(&self.reads[0]),
                    panels: memory.reach(&self.reads[1]),
                    bias: self.biased.then(|| memory.reach(&self.reads[2])),
                    other: self
                        .added
                        .then(|| memory.reach(&self.reads[2 + usize::from(self.biased)])),
                    activation: self.activation,
                    columns: self.filters,
                    depth: self.depth,
                },
                batch: self.batch,
                channels: self.channels,
                axes: self.axes,
            };
            product.apply(memory.reach_mut(&self.writes[0]), threads)
        }
    }
}

impl fmt::Display for Convolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, across] = self.axes;
        write!(
            f,
            "convolution {}×{} of {} images of {} channels, {}×{}, to {}",
            down.taps, across.taps, self.batch, self.channels, down.size, across.size, self.filters
        )?;
        if self.activation != Activation::None {
            write!(f, " {:?}", self.activation)?;
        }
        Ok(())
    }
}
