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
    /// x, the panels, and after them the bias and what is added, where there are such.
    reads: Vec<Region>,
    writes: [Region; 1],
    biased: bool,
    added: bool,
    activation: Activation,
    rows: usize,
    columns: usize,
    depth: usize,
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

/// Elements one after another, in the order of these sizes.
pub(super) fn dense(sizes: &[usize]) -> Vec<Option<usize>> {
    let strides = Region::dense(0, sizes).view.strides;
    strides.into_iter().map(Some).collect()
}

/// The words of either step, over any number of sizes that come to rows.
struct Words<'a> {
    outer: &'a [usize],
    columns: usize,
    depth: usize,
    x: View,
    panels: usize,
    bias: Option<usize>,
    other: Option<View>,
    result: View,
    activation: Activation,
}

impl Words<'_> {
    fn checked(self, making: &mut Making<'_>) -> Result<Linear> {
        let (n, k) = (self.columns, self.depth);
        let rows = count(self.outer)?;
        let (wide, narrow) = ([self.outer, &[n]].concat(), [self.outer, &[k]].concat());
        let length = n
            .checked_next_multiple_of(COLUMNS)
            .and_then(|n| n.checked_mul(k));
        let length = length.ok_or_else(|| Error::new("panels: more elements than there can be"))?;
        let x = making.floats(self.x, &narrow, "x")?;
        let mut reads = vec![
            making.read_as(x, &dense(&narrow))?,
            making.all_of(self.panels, length, "panels")?,
        ];
        if let Some(bias) = self.bias {
            reads.push(making.all_of(bias, n, "bias")?);
        }
        let added = self.other.is_some();
        if let Some(other) = self.other {
            let other = making.floats(other, &wide, "other")?;
            reads.push(making.read_as(other, &dense(&wide))?);
        }
        let result = making.floats(self.result, &wide, "result")?;
        Ok(Linear {
            reads,
            writes: [making.written_as(result, &dense(&wide), "result")?],
            biased: self.bias.is_some(),
            added,
            activation: self.activation,
            rows,
            columns: n,
            depth: k,
        })
    }
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Linear> {
        let words = Words {
            outer: &[self.rows],
            columns: self.columns,
            depth: self.depth,
            x: self.x,
            panels: self.panels,
            bias: self.bias,
            other: self.other,
            result: self.result,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        };
        words.checked(making)
    }
}

impl PixelsText {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Linear> {
        let words = Words {
            outer: &self.pixels,
            columns: self.columns,
            depth: self.depth,
            x: self.x,
            panels: self.panels,
            bias: self.bias,
            other: self.other,
            result: self.result,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
        };
        words.checked(making)
    }
}

impl Step for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let products = self
            .rows
            .saturating_mul(self.columns)
            .saturating_mul(self.depth);
        products.saturating_mul(20)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let product = Product {
                x: memory.reach(&self.reads[0]),
                panels: memory.reach(&self.reads[1]),
                bias: self.biased.then(|| memory.reach(&self.reads[2])),
                other: self
                    .added
                    .then(|| memory.reach(&self.reads[2 + usize::from(self.biased)])),
                activation: self.activation,
                columns: self.columns,
                depth: self.depth,
            };
            product.apply(memory.reach_mut(&self.writes[0]), self.rows, threads)
        }
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rows,
            columns,
            depth,
            ..
        } = self;
        write!(f, "linear {rows}×{depth} to {columns}")?;
        if self.activation != Activation::None {
            write!(f, " {:?}", self.activation)?;
        }
        Ok(())
    }
}
