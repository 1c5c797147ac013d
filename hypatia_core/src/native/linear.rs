//! The step "linear": rows times a weight in panels, and what follows.

use std::fmt;

use serde::Deserialize;

use super::buffer::{Buffer, Kind};
use super::memory::Memory;
use super::number::Number;
use super::step::Step;
use super::view::{Region, View};
use crate::error::{Error, Result};
use crate::linear::{Activation, Linear as Product, packed_length};

/// A step as it is written.
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

/// All of a buffer, which has to have so many elements.
pub(super) fn all_of(
    buffer: usize,
    elements: usize,
    what: &str,
    buffers: &[Buffer],
) -> Result<Region> {
    if let Some(given) = buffers
        .get(buffer)
        .map(|one| one.elements)
        .filter(|&given| given != elements)
    {
        return Err(Error::new(format!(
            "{what}: buffer {buffer} has {given} elements, not {elements}"
        )));
    }
    View::whole(buffer).over(&[elements], &[Kind::Float32], what, buffers)
}

/// Refuses a region whose elements do not lie one after another.
pub(super) fn dense(region: Region, what: &str) -> Result<Region> {
    if region.is_dense() {
        return Ok(region);
    }
    Err(Error::new(format!(
        "{what}: strides {:?} over sizes {:?} do not lie one after another",
        region.view.strides, region.sizes
    )))
}

impl Text {
    pub fn checked(self, buffers: &[Buffer]) -> Result<Linear> {
        let float = [Kind::Float32];
        let (rows, n, k) = (self.rows, self.columns, self.depth);
        let length = n
            .checked_next_multiple_of(16)
            .and_then(|n| n.checked_mul(k))
            .ok_or_else(|| Error::new("panels: more elements than there can be"))?;
        debug_assert_eq!(length, packed_length(n, k));
        let mut reads = vec![
            dense(self.x.over(&[rows, k], &float, "x", buffers)?, "x")?,
            all_of(self.panels, length, "panels", buffers)?,
        ];
        if let Some(bias) = self.bias {
            reads.push(all_of(bias, n, "bias", buffers)?);
        }
        let added = self.other.is_some();
        if let Some(other) = self.other {
            reads.push(dense(
                other.over(&[rows, n], &float, "other", buffers)?,
                "other",
            )?);
        }
        let result = self.result.over(&[rows, n], &float, "result", buffers)?;
        Ok(Linear {
            reads,
            writes: [dense(result, "result")?],
            biased: self.bias.is_some(),
            added,
            activation: activation(&self.activation, &self.numbers, &self.algorithm)?,
            rows,
            columns: n,
            depth: k,
        })
    }
}

impl Step for Linear {
    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        self.rows
            .saturating_mul(self.columns)
            .saturating_mul(self.depth)
            .saturating_mul(20)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        let result = &self.writes[0];
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
            let to = memory.slice_mut(result.view.buffer, result.view.offset, result.reach());
            product.apply(to, self.rows, threads)
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
