//! The step "rows_by_matrix": many rows by one matrix, and perhaps the sum of the squares of the rows' elements.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View};
use crate::bilinear::{Matrix, prefer_large_pages};
use crate::error::Result;
use crate::inner_product::product_and_squares;

/// Picoseconds of one multiplication, and of an element of x.
const PRODUCT: usize = 15;
const ELEMENT: usize = 150;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    rows: usize,
    depth: usize,
    columns: usize,
    x: View,
    matrix: View,
    result: View,
    squares: Option<View>,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct RowsByMatrix {
    /// x (rows, depth) and the matrix (depth, columns), both dense.
    reads: [Region; 2],
    /// The product, dense, and the sum if it is asked for.
    writes: Vec<Region>,
    rows: usize,
    depth: usize,
    columns: usize,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<RowsByMatrix> {
        let (rows, depth, columns) = (self.rows, self.depth, self.columns);
        let reads = [
            making.read_dense(self.x, &[rows, depth], "x")?,
            making.read_dense(self.matrix, &[depth, columns], "matrix")?,
        ];
        let mut writes = vec![making.written_dense(self.result, &[rows, columns], "result")?];
        if let Some(squares) = self.squares {
            writes.push(making.written_dense(squares, &[1], "squares")?);
        }
        Ok(RowsByMatrix {
            reads,
            writes,
            rows,
            depth,
            columns,
        })
    }
}

impl Step for RowsByMatrix {
    fn kind(&self) -> &'static str {
        "rows_by_matrix"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let of_element = self.columns.saturating_mul(PRODUCT).saturating_add(ELEMENT);
        (self.rows.saturating_mul(self.depth)).saturating_mul(of_element)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let [x, elements] = [0, 1].map(|i| unsafe { memory.reach::<f32>(&self.reads[i]) });
        // SAFETY: the region lies in its buffer, and meets none that is read.
        let result = unsafe { memory.reach_mut(&self.writes[0]) };
        prefer_large_pages(result);
        let matrix = Matrix {
            elements,
            rows: self.depth,
            columns: self.columns,
        };
        let Some(place) = self.writes.get(1) else {
            return matrix.apply(x, result, self.rows, threads);
        };
        let squares = product_and_squares(&matrix, x, result, self.rows, threads)?;
        // SAFETY: as above, and the program has checked that no two writes meet.
        unsafe { memory.reach_mut::<f32>(place)[0] = squares as f32 };
        Ok(())
    }
}

impl fmt::Display for RowsByMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rows,
            depth,
            columns,
            ..
        } = self;
        write!(f, "rows by matrix {rows}×{depth} by {depth}×{columns}")?;
        if self.writes.len() > 1 {
            write!(f, ", squares")?;
        }
        Ok(())
    }
}
