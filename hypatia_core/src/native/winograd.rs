//! The step "winograd": filters of 3×3 taps over images whose channels lie together, and what follows.

use std::fmt;

use serde::Deserialize;

use super::depthwise::axis;
use super::linear::{OnPanels, Words, activation};
use super::memory::Memory;
use super::number::Number;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::convolution::Convolution;
use crate::depthwise::Axis;
use crate::error::Result;
use crate::linear::Activation;
use crate::winograd::{TAPS, Winograd as Product, points};

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    batch: usize,
    channels: usize,
    filters: usize,
    /// Positions of a tile's side.
    side: usize,
    /// Pixels and padding along each axis.
    down: [usize; 2],
    across: [usize; 2],
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
pub(super) struct Winograd {
    /// A product of the tiles at each point.
    on: OnPanels,
    batch: usize,
    channels: usize,
    axes: [Axis; 2],
    side: usize,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Winograd> {
        let along = |[size, padding]: [usize; 2], what| axis([size, TAPS, 1, padding, 1], what);
        let axes = [along(self.down, "down")?, along(self.across, "across")?];
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
            depth: count(&[points(self.side)?, self.channels])?,
            x: self.x,
            panels: self.panels,
            bias: self.bias,
            other: self.other,
            result: self.result,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        };
        Ok(Winograd {
            on: words.checked(&image, &made, making)?,
            batch: self.batch,
            channels: self.channels,
            axes,
            side: self.side,
        })
    }
}

impl Step for Winograd {
    fn kind(&self) -> &'static str {
        "winograd"
    }

    fn reads(&self) -> &[Region] {
        &self.on.reads
    }

    fn writes(&self) -> &[Region] {
        &self.on.writes
    }

    fn work(&self) -> usize {
        let tiles = self
            .axes
            .iter()
            .map(|axis| axis.positions().div_ceil(self.side));
        self.on.work(tiles.fold(self.batch, usize::saturating_mul))
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let product = Product {
                convolution: Convolution {
                    linear: self.on.product(memory),
                    batch: self.batch,
                    channels: self.channels,
                    axes: self.axes,
                },
                side: self.side,
            };
            product.apply(memory.reach_mut(&self.on.writes[0]), threads)
        }
    }
}

impl fmt::Display for Winograd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, across] = self.axes;
        write!(
            f,
            "convolution 3×3 in tiles of {}×{} of {} images of {} channels, {}×{}, to {}",
            self.side,
            self.side,
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
