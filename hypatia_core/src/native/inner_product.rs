//! The step "inner_product": Σ xᵢ yᵢ of two vectors.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View};
use crate::error::Result;
use crate::inner_product::inner_product;

/// Picoseconds of one product: what its factors take to come from memory.
const PRODUCT: usize = 200;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    count: usize,
    x: View,
    y: View,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct InnerProduct {
    /// Both vectors, dense.
    reads: [Region; 2],
    /// One number.
    writes: [Region; 1],
    count: usize,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<InnerProduct> {
        Ok(InnerProduct {
            reads: [
                making.read_dense(self.x, &[self.count], "x")?,
                making.read_dense(self.y, &[self.count], "y")?,
            ],
            writes: [making.written_dense(self.result, &[1], "result")?],
            count: self.count,
        })
    }
}

impl Step for InnerProduct {
    fn kind(&self) -> &'static str {
        "inner_product"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        self.count.saturating_mul(PRODUCT)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let [x, y] = [0, 1].map(|i| unsafe { memory.reach::<f32>(&self.reads[i]) });
        let sum = inner_product(x, y, threads)?;
        // SAFETY: the region lies in its buffer, and meets none that is read.
        unsafe { memory.reach_mut::<f32>(&self.writes[0])[0] = sum as f32 };
        Ok(())
    }
}

impl fmt::Display for InnerProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "inner product of {}", self.count)
    }
}
