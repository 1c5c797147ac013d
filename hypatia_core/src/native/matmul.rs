//! The step "matmul": products of matrices, however they lie.
//!
//! Few rows are multiplied as they lie, by what lies along the memory of b; of many, b is put into panels first, a slice
//! of its depth after another.

use std::fmt;

use serde::Deserialize;

use super::lanes::dot;
use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::bilinear::block::transpose;
use crate::error::Result;
use crate::linear::COLUMNS;
use crate::linear::activation::plus;
use crate::linear::tile::{self, Ahead, MOST_PANELS, ROWS, Tile};
use crate::registers::{Job, dispatch};
use crate::team;

/// Multiplications for which another thread is called.
const WORTH_A_THREAD: usize = 1 << 16;
/// So many rows pay for putting b into panels.
const MANY: usize = 4;
/// Columns that are summed at a time where b is read as it lies.
const WIDE: usize = 64;
/// Tasks for each thread: one may begin late.
const TASKS: usize = 2;
/// A task has so many rows at least where b is put into panels: each task packs its own.
const LOW: usize = 8 * ROWS;
/// So many products are summed before they are added to the sums before, which err less so; as many rows of b, in panels,
/// stay in the second cache.
const SLICE: usize = 256;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    batch: Vec<usize>,
    rows: usize,
    columns: usize,
    depth: usize,
    a: View,
    b: View,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Matmul {
    /// a, whose rows lie element by element or, where b is put into panels, side by side; and b.
    reads: [Region; 2],
    writes: [Region; 1],
    batch: usize,
    rows: usize,
    columns: usize,
    depth: usize,
    way: Way,
}

/// How b is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Row by row.
    Along,
    /// Column by column, which lie element by element.
    Dots,
    /// Put into panels.
    Panels,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Matmul> {
        let (m, n, k) = (self.rows, self.columns, self.depth);
        let sizes = |rows: usize, columns: usize| [&self.batch[..], &[rows, columns]].concat();
        let a = making.floats(self.a, &sizes(m, k), "a")?;
        let mut b = making.floats(self.b, &sizes(k, n), "b")?;
        let result = making.floats(self.result, &sizes(m, n), "result")?;
        let outer = self.batch.len();
        let mut rows = vec![None; outer + 2];
        rows[outer + 1] = Some(1);
        let lies = |region: &Region, axis: usize| {
            region.sizes[axis] == 1 || region.view.strides[axis] == 1
        };
        let few = m < MANY || n < COLUMNS / 2;
        let a = if !few && lies(&a, outer) {
            a
        } else {
            making.read_as(a, &rows)?
        };
        let way = match few {
            true if m < MANY && lies(&b, outer + 1) => Way::Along,
            true => {
                if !lies(&b, outer) {
                    // Turned: the copy's columns are to lie element by element.
                    let axes: Vec<usize> = (0..outer).chain([outer + 1, outer]).collect();
                    let turned = making.read_as(b.permuted(&axes), &rows)?;
                    b = turned.permuted(&axes);
                }
                Way::Dots
            }
            false => Way::Panels,
        };
        let result = making.written_as(result, &rows, "result")?;
        Ok(Matmul {
            reads: [a, b],
            writes: [result],
            batch: count(&self.batch)?,
            rows: m,
            columns: n,
            depth: k,
            way,
        })
    }
}

impl Matmul {
    fn products(&self) -> usize {
        let one = self.rows.saturating_mul(self.columns);
        one.saturating_mul(self.depth).saturating_mul(self.batch)
    }
}

impl Step for Matmul {
    fn kind(&self) -> &'static str {
        "matmul"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        self.products().saturating_mul(60)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        if self.batch * self.rows * self.columns == 0 {
            return Ok(());
        }
        let threads = threads.min(self.products() / WORTH_A_THREAD).max(1);
        // By matrices where there are enough of them, else by their columns too, in whole panels, and then by rows.
        let wanted = |made: usize| match threads {
            1 => 1,
            _ => (threads * TASKS).div_ceil(made),
        };
        let share = self.columns.div_ceil(wanted(self.batch));
        let share = share.next_multiple_of(WIDE);
        let pieces = self.columns.div_ceil(share);
        let most = match self.way {
            Way::Panels => (self.rows / LOW).max(1),
            Way::Along | Way::Dots => 1,
        };
        let tall = self.rows.div_ceil(wanted(self.batch * pieces).min(most));
        let tall = tall.next_multiple_of(ROWS);
        let blocks = self.rows.div_ceil(tall);
        team::each(self.batch * blocks * pieces, threads, |task| {
            let (block, piece) = (task / pieces % blocks, task % pieces);
            dispatch(Task {
                of: self,
                memory,
                matrix: task / pieces / blocks,
                rows: block * tall..self.rows.min((block + 1) * tall),
                columns: piece * share..self.columns.min((piece + 1) * share),
            });
        });
        Ok(())
    }
}

/// Some rows and columns of one product.
struct Task<'a> {
    of: &'a Matmul,
    memory: &'a Memory,
    matrix: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

/// A matrix in memory.
#[derive(Clone, Copy)]
struct Matrix {
    at: *mut f32,
    row: usize,
    column: usize,
}

impl Job for Task<'_> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // SAFETY: the program has checked that the regions lie in their buffers and that the result meets neither
        // operand; tasks write elements of their own.
        unsafe { self.multiply::<BITS>() };
    }
}

impl Task<'_> {
    /// # Safety
    /// The regions lie in the memory, and nobody else uses these elements of the result.
    #[inline(always)]
    unsafe fn multiply<const BITS: usize>(&self) {
        let [a, b] = &self.of.reads;
        // SAFETY: as the caller vouches.
        unsafe {
            let (a, b) = (self.matrix_of(a), self.matrix_of(b));
            let to = self.matrix_of(&self.of.writes[0]);
            match self.of.way {
                Way::Along => self.along::<BITS>(a, b, to),
                Way::Dots => self.dots::<BITS>(a, b, to),
                Way::Panels => self.panels::<BITS>(a, b, to),
            }
        }
    }

    /// # Safety
    /// The region lies in the memory.
    #[inline(always)]
    unsafe fn matrix_of(&self, region: &Region) -> Matrix {
        let outer = region.sizes.len() - 2;
        let (mut rest, mut at) = (self.matrix, region.view.offset);
        for axis in (0..outer).rev() {
            at += rest % region.sizes[axis] * region.view.strides[axis];
            rest /= region.sizes[axis];
        }
        Matrix {
            // SAFETY: as the caller vouches.
            at: unsafe {
                self.memory
                    .at(region.view.buffer, at, super::buffer::Kind::Float32)
            }
            .cast(),
            row: region.view.strides[outer],
            column: region.view.strides[outer + 1],
        }
    }

    /// # Safety
    /// As `multiply`; rows of b and of the result lie element by element.
    #[inline(always)]
    unsafe fn along<const BITS: usize>(&self, a: Matrix, b: Matrix, to: Matrix) {
        let depth = self.of.depth;
        for row in self.rows.clone() {
            let mut column = self.columns.start;
            while column < self.columns.end {
                let width = WIDE.min(self.columns.end - column);
                let mut sums = [0.0f32; WIDE];
                for slice in (0..depth).step_by(SLICE) {
                    let mut part = [0.0f32; WIDE];
                    for k in slice..depth.min(slice + SLICE) {
                        // SAFETY: as the caller vouches.
                        unsafe {
                            let x = *a.at.add(row * a.row + k * a.column);
                            let from = b.at.add(k * b.row + column);
                            if width == WIDE {
                                let from = &*from.cast::<[f32; WIDE]>();
                                for (sum, &y) in part.iter_mut().zip(from) {
                                    *sum = plus::<BITS>(x, y, *sum);
                                }
                            } else {
                                let from = std::slice::from_raw_parts(from, width);
                                for (sum, &y) in part.iter_mut().zip(from) {
                                    *sum = plus::<BITS>(x, y, *sum);
                                }
                            }
                        }
                    }
                    for (sum, part) in sums.iter_mut().zip(part) {
                        *sum += part;
                    }
                }
                // SAFETY: as the caller vouches.
                unsafe {
                    let to = to.at.add(row * to.row + column);
                    std::ptr::copy_nonoverlapping(sums.as_ptr(), to, width);
                }
                column += width;
            }
        }
    }

    /// # Safety
    /// As `multiply`; rows of a and columns of b lie element by element.
    #[inline(always)]
    unsafe fn dots<const BITS: usize>(&self, a: Matrix, b: Matrix, to: Matrix) {
        let depth = self.of.depth;
        for row in self.rows.clone() {
            for column in self.columns.clone() {
                // SAFETY: as the caller vouches.
                unsafe {
                    let x = std::slice::from_raw_parts(a.at.add(row * a.row), depth);
                    let y = std::slice::from_raw_parts(b.at.add(column * b.column), depth);
                    *to.at.add(row * to.row + column * to.column) = dot::<BITS>(x, y);
                }
            }
        }
    }

    /// # Safety
    /// As `multiply`; rows of the result lie element by element, those of a too or side by side.
    #[inline(always)]
    unsafe fn panels<const BITS: usize>(&self, a: Matrix, b: Matrix, to: Matrix) {
        let depth = self.of.depth;
        const WIDTH: usize = MOST_PANELS * COLUMNS;
        let zeros = [0.0f32; WIDTH];
        let slices = depth.div_ceil(SLICE).max(1);
        let step = depth.div_ceil(slices);
        let mut panels = vec![0.0f32; tile::panels::<BITS>() * step * COLUMNS];
        let turned = a.row == 1 && a.column != 1;
        let x_step = if turned { a.column } else { a.row };
        let mut column = self.columns.start;
        while column < self.columns.end {
            let width = (tile::panels::<BITS>() * COLUMNS).min(self.columns.end - column);
            let beside = width.div_ceil(COLUMNS);
            for slice in 0..slices {
                let from = slice * step;
                let deep = step.min(depth - from);
                let part = Matrix {
                    // SAFETY: as the caller vouches.
                    at: unsafe { b.at.add(from * b.row + column * b.column) },
                    ..b
                };
                // SAFETY: as the caller vouches.
                unsafe { pack::<BITS>(part, deep, width, &mut panels) };
                // Columns that there are not are summed apart, and not written.
                let whole = width == beside * COLUMNS;
                for row in self.rows.clone().step_by(ROWS) {
                    let count = ROWS.min(self.rows.end - row);
                    let mut own = [0.0f32; ROWS * WIDTH];
                    // SAFETY: as the caller vouches: all rows and columns are of the operands and the result.
                    unsafe {
                        let here = to.at.add(row * to.row + column);
                        let (sums, sums_step) = if whole {
                            (here, to.row)
                        } else {
                            (own.as_mut_ptr(), WIDTH)
                        };
                        if !whole && slice > 0 {
                            for r in 0..count {
                                let own = own.as_mut_ptr().add(r * WIDTH);
                                std::ptr::copy_nonoverlapping(here.add(r * to.row), own, width);
                            }
                        }
                        let tile = Tile {
                            x: a.at.add(row * a.row + from * a.column),
                            x_step,
                            panel: panels.as_ptr(),
                            apart: deep * COLUMNS,
                            depth: deep,
                            sums,
                            sums_step,
                            begin: match slice {
                                0 => zeros.as_ptr(),
                                _ => std::ptr::null(),
                            },
                            ahead: Ahead::nothing(panels.as_ptr()),
                        };
                        if turned {
                            tile.add_turned::<BITS>(count, beside);
                        } else {
                            tile.add::<BITS>(count, beside);
                        }
                        if !whole {
                            for r in 0..count {
                                let from = own.as_ptr().add(r * WIDTH);
                                std::ptr::copy_nonoverlapping(from, here.add(r * to.row), width);
                            }
                        }
                    }
                }
            }
            column += width;
        }
    }
}

/// Puts the first rows and columns of a matrix into panels, one after another; columns that there are not stay what
/// they were.
///
/// # Safety
/// The matrix has so many rows and columns.
#[inline(always)]
unsafe fn pack<const BITS: usize>(from: Matrix, rows: usize, width: usize, panels: &mut [f32]) {
    for (p, panel) in panels
        .chunks_exact_mut((rows * COLUMNS).max(1))
        .take(width.div_ceil(COLUMNS))
        .enumerate()
    {
        let wide = COLUMNS.min(width - p * COLUMNS);
        // SAFETY: as the caller vouches.
        let at = unsafe { from.at.add(p * COLUMNS * from.column) };
        if from.row == 1 && from.column != 1 {
            // SAFETY: as the caller vouches.
            let columns =
                unsafe { std::slice::from_raw_parts(at, (wide - 1) * from.column + rows) };
            transpose::<f32, BITS>(columns, from.column, panel, COLUMNS, [wide, rows]);
            continue;
        }
        for (k, to) in panel.chunks_exact_mut(COLUMNS).enumerate() {
            // SAFETY: as the caller vouches.
            unsafe {
                let at = at.add(k * from.row);
                if (from.column, wide) == (1, COLUMNS) {
                    std::ptr::copy_nonoverlapping(at, to.as_mut_ptr(), COLUMNS);
                } else {
                    for (c, to) in to[..wide].iter_mut().enumerate() {
                        *to = *at.add(c * from.column);
                    }
                }
            }
        }
    }
}

impl fmt::Display for Matmul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            batch,
            rows,
            columns,
            depth,
            way,
            ..
        } = self;
        write!(
            f,
            "matmul {batch} of {rows}×{depth} by {depth}×{columns}, {way:?}"
        )
    }
}
