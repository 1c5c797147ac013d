//! The step "recurrence": the states of all steps of a recurrent layer.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View};
use crate::error::{Error, Result};
use crate::linear::packed_length;
use crate::recurrence::{Cell, Extents, Recurrence as Layer};

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    cell: String,
    steps: usize,
    batch: usize,
    units: usize,
    inputs: View,
    panels: usize,
    bias: Option<usize>,
    state: View,
    memory: Option<View>,
    reverse: bool,
    /// The states of all steps, and after them the memory that is left.
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Recurrence {
    /// Inputs, panels and state, and after them the bias and the memory, where there are such.
    reads: Vec<Region>,
    writes: [Region; 1],
    cell: Cell,
    extents: Extents,
    biased: bool,
    reverse: bool,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Recurrence> {
        let cell = Cell::named(&self.cell)?;
        if self.memory.is_some() != cell.remembers() {
            return Err(Error::new(format!(
                "memory: a cell {:?} has {}",
                self.cell,
                if cell.remembers() { "one" } else { "none" }
            )));
        }
        let (steps, batch, units) = (self.steps, self.batch, self.units);
        let extents = Extents {
            steps,
            batch,
            units,
        };
        let most = || Error::new("recurrence: more elements than there can be");
        let columns = extents.columns(cell).ok_or_else(most)?;
        let length = columns.checked_mul(units).ok_or_else(most)?;
        debug_assert_eq!(length, packed_length(columns, units));
        let mut reads = vec![
            making.read_dense(self.inputs, &[steps, batch, columns], "inputs")?,
            making.all_of(self.panels, length, "panels")?,
            making.read_dense(self.state, &[batch, units], "state")?,
        ];
        if let Some(bias) = self.bias {
            reads.push(making.all_of(bias, columns, "bias")?);
        }
        if let Some(memory) = self.memory {
            reads.push(making.read_dense(memory, &[batch, units], "memory")?);
        }
        let rows = steps + usize::from(cell.remembers());
        Ok(Recurrence {
            reads,
            writes: [making.written_dense(self.result, &[rows, batch, units], "result")?],
            cell,
            extents,
            biased: self.bias.is_some(),
            reverse: self.reverse,
        })
    }
}

impl Step for Recurrence {
    fn kind(&self) -> &'static str {
        "recurrence"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let weight = self.reads[1].reach();
        let products = weight.saturating_mul(self.extents.steps * self.extents.batch);
        products.saturating_mul(30)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        let kept = 3 + usize::from(self.biased);
        // SAFETY: regions lie in their buffers, and the result meets none that is read.
        unsafe {
            let layer = Layer {
                cell: self.cell,
                inputs: memory.reach(&self.reads[0]),
                panels: memory.reach(&self.reads[1]),
                bias: self.biased.then(|| memory.reach(&self.reads[3])),
                state: memory.reach(&self.reads[2]),
                memory: self.reads.get(kept).map(|region| memory.reach(region)),
                extents: self.extents,
                reverse: self.reverse,
            };
            layer.apply(memory.reach_mut(&self.writes[0]), threads)
        }
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Extents {
            steps,
            batch,
            units,
        } = self.extents;
        let backwards = if self.reverse { ", backwards" } else { "" };
        write!(
            f,
            "recurrence {:?} of {steps} steps of {batch}×{units}{backwards}",
            self.cell
        )
    }
}
