//! The steps "linear" and "pixels": rows times a weight in panels, and what follows.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::number::Number;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::error::{Error, Result};
use crate::linear::{Activation, COLUMNS, Linear as Product};

/// A step over rows as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    rows: usize,
    columns: usize,
    depth: usize,
    x: View,
    panels: usize,
    bias: Option<usize>,
    other: Option<View>,
    result: View,
    activation: String,
    numbers: Vec<Number>,
    algorithm: String,
}

/// A step over the pixels of images as it is written: a convolution of one tap.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PixelsText {
    /// Images, and how many pixels they have down and across.
    pixels: [usize; 3],
    columns: usize,
    depth: usize,
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
pub(super) struct Linear {
    on: OnPanels,
    rows: usize,
}

/// What a step reads and writes that multiplies by a weight in panels.
#[derive(Debug)]
pub(super) struct OnPanels {
    /// x, the panels, and after them the bias and what is added, where there are such.
    pub reads: Vec<Region>,
    pub writes: [Region; 1],
    biased: bool,
    added: bool,
    pub activation: Activation,
    pub columns: usize,
    pub depth: usize,
}

impl OnPanels {
    /// The product on the memory of a run.
    ///
    /// # Safety
    /// The regions lie in their buffers, and nobody writes to what is read.
    pub unsafe fn product<'a>(&'a self, memory: &'a Memory) -> Product<'a> {
        let other = 2 + usize::from(self.biased);
        // SAFETY: as the caller vouches.
        unsafe {
            Product {
                x: memory.reach(&self.reads[0]),
                panels: memory.reach(&self.reads[1]),
                bias: self.biased.then(|| memory.reach(&self.reads[2])),
                other: self.added.then(|| memory.reach(&self.reads[other])),
                activation: self.activation,
                columns: self.columns,
                depth: self.depth,
            }
        }
    }

    /// About how many picoseconds so many products with all of the weight take.
    pub fn work(&self, rows: usize) -> usize {
        let products = rows.saturating_mul(self.columns).saturating_mul(self.depth);
        products.saturating_mul(20)
    }
}

/// The activation that these words call.
pub(super) fn activation(name: &str, numbers: &[Number], algorithm: &str) -> Result<Activation> {
    let (low, high) = match numbers {
        [] => (0.0, 0.0),
        [low, high] => (low.0, high.0),
        _ => {
            return Err(Error::new(format!(
                "activation {name:?}: no numbers or two, not {}",
                numbers.len()
            )));
        }
    };
    Activation::named(name, low, high, algorithm)
}

/// The words that such a step has besides its sizes.
pub(super) struct Words {
    pub columns: usize,
    pub depth: usize,
    pub x: View,
    pub panels: usize,
    pub bias: Option<usize>,
    pub other: Option<View>,
    pub result: View,
    pub activation: Activation,
}

impl Words {
    /// Reads x under the narrow sizes, and writes under the wide ones.
    pub fn checked(
        self,
        narrow: &[usize],
        wide: &[usize],
        making: &mut Making<'_>,
    ) -> Result<OnPanels> {
        let length = self
            .columns
            .checked_next_multiple_of(COLUMNS)
            .and_then(|columns| columns.checked_mul(self.depth));
        let length = length.ok_or_else(|| Error::new("panels: more elements than there can be"))?;
        let mut reads = vec![
            making.read_dense(self.x, narrow, "x")?,
            making.all_of(self.panels, length, "panels")?,
        ];
        if let Some(bias) = self.bias {
            reads.push(making.all_of(bias, self.columns, "bias")?);
        }
        let added = self.other.is_some();
        if let Some(other) = self.other {
            reads.push(making.read_dense(other, wide, "other")?);
        }
        Ok(OnPanels {
            reads,
            writes: [making.written_dense(self.result, wide, "result")?],
            biased: self.bias.is_some(),
            added,
            activation: self.activation,
            columns: self.columns,
            depth: self.depth,
        })
    }

    /// Over any number of sizes that come to rows.
    fn over(self, outer: &[usize], making: &mut Making<'_>) -> Result<Linear> {
        let rows = count(outer)?;
        let narrow = [outer, &[self.depth]].concat();
        let wide = [outer, &[self.columns]].concat();
        let on = self.checked(&narrow, &wide, making)?;
        Ok(Linear { on, rows })
    }
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Linear> {
        let words = Words {
            columns: self.columns,
            depth: self.depth,
            x: self.x,
            panels: self.panels,
            bias: self.bias,
            other: self.other,
            result: self.result,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        };
        words.over(&[self.rows], making)
    }
}

impl PixelsText {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Linear> {
        let words = Words {
            columns: self.columns,
            depth: self.depth,
            x: self.x,
            panels: self.panels,
            bias: self.bias,
            other: self.other,
            result: self.result,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        };
        words.over(&self.pixels, making)
    }
}

impl Step for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn reads(&self) -> &[Region] {
        &self.on.reads
    }

    fn writes(&self) -> &[Region] {
        &self.on.writes
    }

    fn work(&self) -> usize {
        self.on.work(self.rows)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let product = self.on.product(memory);
            product.apply(memory.reach_mut(&self.on.writes[0]), self.rows, threads)
        }
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OnPanels {
            columns,
            depth,
            activation,
            ..
        } = self.on;
        write!(f, "linear {}×{depth} to {columns}", self.rows)?;
        if activation != Activation::None {
            write!(f, " {activation:?}")?;
        }
        Ok(())
    }
}
