//! The step "signed_sums": a change of basis whose matrix holds 1, −1 and 0, and perhaps a constant row.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View};
use crate::bilinear::{Lines, SignedSums as Sums};
use crate::error::Result;

/// A step as it is written: terms (place of x, place of the result, ±1), and the factor of all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    places: usize,
    results: usize,
    scale: f64,
    terms: Vec<(usize, usize, i8)>,
    rows: usize,
    length: usize,
    x: View,
    constant: Option<View>,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct SignedSums {
    sums: Sums,
    /// x (rows, places, length), however it lies; the constant (places of the result, length), dense.
    reads: Vec<Region>,
    writes: [Region; 1],
    work: usize,
}

/// Picoseconds of one term.
const TERM: usize = 40;

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<SignedSums> {
        let terms = self.terms.len() + 4 * self.places.min(self.terms.len());
        let sums = Sums::new(self.places, self.results, self.scale, self.terms)?;
        let (rows, length) = (self.rows, self.length);
        let mut reads = vec![making.floats(self.x, &[rows, self.places, length], "x")?];
        let line = [self.results, length];
        if let Some(constant) = self.constant {
            reads.push(making.read_dense(constant, &line, "constant")?);
        }
        let sizes = [rows, self.results, length];
        let writes = [making.written_dense(self.result, &sizes, "result")?];
        Ok(SignedSums {
            sums,
            reads,
            writes,
            work: terms.saturating_mul(TERM),
        })
    }
}

impl Step for SignedSums {
    fn kind(&self) -> &'static str {
        "signed_sums"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let sizes = &self.reads[0].sizes;
        self.work.saturating_mul(sizes[0]).saturating_mul(sizes[2])
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let of = |region: &Region| unsafe { memory.reach::<f32>(region) };
        let Region { view, sizes } = &self.reads[0];
        let x = Lines {
            values: of(&self.reads[0]),
            rows: sizes[0],
            length: sizes[2],
            strides: [view.strides[0], view.strides[1], view.strides[2]],
        };
        // SAFETY: the region lies in its buffer, and meets none that is read.
        let result = unsafe { memory.reach_mut(&self.writes[0]) };
        self.sums
            .apply(x, self.reads.get(1).map(of), result, threads)
    }
}

impl fmt::Display for SignedSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (&self.reads[0].sizes, &self.writes[0].sizes);
        write!(f, "signed sums of {from:?} to {to:?}")
    }
}
