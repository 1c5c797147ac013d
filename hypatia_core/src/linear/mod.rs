//! Products of rows with a weight: y = act(x Wᵀ + b + z), the weight stored once as the loop reads it.
//!
//! The weight lies in panels of [`COLUMNS`] columns, one after another, each row by row of x's width: the innermost loop
//! reads it from end to end. A library packs the same way, but describes each call anew to itself, which takes longer
//! than a small product, and writes the result before what follows reads it again.

pub(crate) mod activation;
pub(crate) mod strip;
pub(crate) mod tile;

pub use activation::Activation;
use strip::Strip;
pub use tile::COLUMNS;
use tile::{Ahead, MOST_PANELS, ROWS, TURN, Tile};

use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};
use crate::team::{self, Parts};

/// Of the panels of a tile so many rows are read at a time, so that they stay in the nearest caches from one tile to the
/// next: one panel in the first, four in the second.
const fn slice_of<const BITS: usize>() -> usize {
    if BITS >= 512 { 256 } else { 320 }
}

/// So many rows of x take part in a task, so that they stay in the second cache from one panel to the next.
const TALL: usize = 32 * ROWS;
/// A task takes so many panels at most.
const WIDE: usize = 32;
/// So many tasks for each thread, where there are panels enough: one may begin late.
const TASKS: usize = 4;
/// A task has so many rows at least: fewer would read the panels once more for too little.
const LOW: usize = 4 * ROWS;
/// Elements of panels that stay in the second cache beside the rows.
const HELD: usize = 1 << 16;
/// Below so many multiplications a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 15;

/// How many elements the panels of a weight (n, k) take.
pub fn packed_length(columns: usize, depth: usize) -> usize {
    columns.div_ceil(COLUMNS) * depth * COLUMNS
}

/// Into how many tasks rows and panels are divided. Of a weight that each thread's cache holds whole it is the rows; else
/// the panels, as long as each task has a whole tile of them, so that no two threads read the same.
fn division(rows: usize, panels: usize, depth: usize, threads: usize) -> (usize, usize) {
    let (blocks, across) = (rows.div_ceil(TALL), panels.div_ceil(WIDE));
    if threads == 1 {
        return (blocks, across);
    }
    let most = rows.div_ceil(LOW).max(blocks);
    let of_rows = if panels * COLUMNS * depth <= HELD {
        (threads * TASKS).clamp(blocks, most)
    } else {
        blocks
    };
    let tiles = panels.div_ceil(tile::most_panels());
    let across = tiles.min((threads * TASKS).div_ceil(of_rows)).max(across);
    let blocks = (threads * TASKS).div_ceil(across).clamp(of_rows, most);
    (blocks, across)
}

/// Writes a weight (n, k), row by row, as panels; columns that there are not are zeros.
///
/// # Errors
/// The slices are not of these sizes.
pub fn pack(weight: &[f32], columns: usize, depth: usize, panels: &mut [f32]) -> Result<()> {
    if weight.len() != columns * depth || panels.len() != packed_length(columns, depth) {
        return Err(Error::new(format!(
            "packing a weight of {columns} by {depth}: the lengths do not fit"
        )));
    }
    if depth == 0 {
        return Ok(());
    }
    let groups = panels
        .chunks_exact_mut(depth * COLUMNS)
        .zip(weight.chunks(depth * COLUMNS));
    for (panel, rows) in groups {
        panel.fill(0.0);
        for (column, row) in rows.chunks_exact(depth).enumerate() {
            for (to, &value) in panel[column..].iter_mut().step_by(COLUMNS).zip(row) {
                *to = value;
            }
        }
    }
    Ok(())
}

/// A product of rows with a weight in panels, and what is done to it before it is written.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// Rows of `depth` elements.
    pub x: &'a [f32],
    /// The weight, as [`pack`] writes it.
    pub panels: &'a [f32],
    /// A number for each column.
    pub bias: Option<&'a [f32]>,
    /// What is added before the activation, of the result's shape.
    pub other: Option<&'a [f32]>,
    /// What is applied in the end.
    pub activation: Activation,
    /// n.
    pub columns: usize,
    /// k.
    pub depth: usize,
}

impl Linear<'_> {
    /// Writes the result's rows, with so many threads at most.
    ///
    /// # Errors
    /// The slices are not so many rows of their widths.
    pub fn apply(&self, result: &mut [f32], rows: usize, threads: usize) -> Result<()> {
        if self.x.len() != rows * self.depth {
            return Err(self.lengths(rows));
        }
        self.apply_from(&Matrix(self.x, self.depth), result, rows, threads)
    }

    /// The same of rows that are not `x` but come from elsewhere.
    pub(crate) fn apply_from<X: Rows>(
        &self,
        rows_of: &X,
        result: &mut [f32],
        rows: usize,
        threads: usize,
    ) -> Result<()> {
        let (n, k) = (self.columns, self.depth);
        let fits = result.len() == rows * n
            && self.panels.len() == packed_length(n, k)
            && self.bias.is_none_or(|bias| bias.len() == n)
            && self.other.is_none_or(|other| other.len() == rows * n);
        if !fits {
            return Err(self.lengths(rows));
        }
        if rows * n == 0 {
            return Ok(());
        }
        if rows <= strip::rows() {
            let mut scratch = Vec::new();
            let (x, _) = rows_of.columns(0..rows, 0..k, &mut scratch);
            Linear { x, ..*self }.in_strips(result, rows, threads);
        } else {
            self.in_blocks(rows_of, result, rows, threads);
        }
        Ok(())
    }

    fn lengths(&self, rows: usize) -> Error {
        let (n, k) = (self.columns, self.depth);
        Error::new(format!(
            "{rows} rows by a weight of {n} by {k}: the lengths do not fit"
        ))
    }

    fn threads(&self, rows: usize, threads: usize) -> usize {
        let work = rows * self.columns * self.depth;
        threads.min(work / WORTH_A_THREAD).max(1)
    }

    fn in_strips(&self, result: &mut [f32], rows: usize, threads: usize) {
        let panels = self.columns.div_ceil(COLUMNS);
        let to = Parts::of(result);
        let wide = strip::PANELS * strip::groups_of_one(rows, self.depth);
        let threads = self.threads(rows, threads);
        team::each(panels.div_ceil(wide), threads, |task| {
            let panels = task * wide..panels.min((task + 1) * wide);
            for first in panels.clone().step_by(strip::PANELS) {
                dispatch(Strip {
                    linear: self,
                    result: to.address(),
                    rows,
                    panels: first..panels.end.min(first + strip::PANELS),
                });
            }
        });
    }

    fn in_blocks<X: Rows>(&self, rows_of: &X, result: &mut [f32], rows: usize, threads: usize) {
        let panels = self.columns.div_ceil(COLUMNS);
        let threads = self.threads(rows, threads);
        let (blocks, across) = division(rows, panels, self.depth, threads);
        let tall = rows.div_ceil(blocks).next_multiple_of(ROWS);
        let blocks = rows.div_ceil(tall);
        let to = Parts::of(result);
        team::each(blocks * across, threads, |task| {
            let (block, group) = (task / across, task % across);
            let task = Task {
                linear: self,
                rows_of,
                result: to.address(),
                rows: block * tall..rows.min((block + 1) * tall),
                panels: group * panels / across..(group + 1) * panels / across,
            };
            dispatch(task);
        });
    }

    /// Some panels' columns of so many rows of x, in tiles, by this thread.
    ///
    /// # Safety
    /// The linear's slices and the result fit, and nobody else uses these columns of the result.
    /// The processor has registers of `BITS`.
    #[inline(always)]
    pub(crate) unsafe fn tiles<const BITS: usize>(
        &self,
        result: *mut f32,
        rows: usize,
        panels: std::ops::Range<usize>,
    ) {
        for first in (0..rows).step_by(TALL) {
            let task = Task {
                linear: self,
                rows_of: &Matrix(self.x, self.depth),
                result,
                rows: first..rows.min(first + TALL),
                panels: panels.clone(),
            };
            // SAFETY: as the caller vouches.
            unsafe { task.multiply::<BITS>() };
        }
    }

    /// What the sums of so many columns begin with.
    fn begin<const N: usize>(&self, column: usize, width: usize) -> [f32; N] {
        let mut begin = [0.0; N];
        if let Some(bias) = self.bias {
            begin[..width].copy_from_slice(&bias[column..column + width]);
        }
        begin
    }

    /// Adds what is to be added, and applies the activation.
    ///
    /// # Safety
    /// The elements are of the result, and nobody else uses them.
    #[inline(always)]
    unsafe fn complete<const BITS: usize, const N: usize>(
        &self,
        result: *mut f32,
        rows: std::ops::Range<usize>,
        column: usize,
        width: usize,
    ) {
        let Linear {
            other,
            activation,
            columns: n,
            ..
        } = *self;
        if other.is_none() && activation == Activation::None {
            return;
        }
        for row in rows {
            let place = row * n + column;
            // SAFETY: as the caller vouches.
            let values = unsafe { std::slice::from_raw_parts_mut(result.add(place), width) };
            if let Some(other) = other {
                for (value, &term) in values.iter_mut().zip(&other[place..]) {
                    *value += term;
                }
            }
            // A length that the compiler knows becomes whole registers.
            if let Ok(whole) = <&mut [f32; N]>::try_from(&mut *values) {
                activation.apply::<BITS>(whole);
            } else if let Ok(whole) = <&mut [f32; COLUMNS]>::try_from(&mut *values) {
                activation.apply::<BITS>(whole);
            } else {
                activation.apply::<BITS>(values);
            }
        }
    }
}

/// Where the rows of a product come from.
pub(crate) trait Rows: Sync {
    /// Some columns of some rows: as they lie, or copied into `scratch`, and the elements from one row to the next.
    fn columns<'a>(
        &'a self,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> (&'a [f32], usize);
}

/// Rows of so many elements, one after another.
struct Matrix<'a>(&'a [f32], usize);

impl Rows for Matrix<'_> {
    #[inline(always)]
    fn columns<'a>(
        &'a self,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
        _: &'a mut Vec<f32>,
    ) -> (&'a [f32], usize) {
        (&self.0[rows.start * self.1 + columns.start..], self.1)
    }
}

/// Some rows by some panels.
struct Task<'a, X> {
    linear: &'a Linear<'a>,
    rows_of: &'a X,
    result: *mut f32,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

impl<X: Rows> Job for Task<'_, X> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // SAFETY: `apply`, which makes tasks, has checked the lengths and divides the result among them.
        unsafe { self.multiply::<BITS>() };
    }
}

impl<X: Rows> Task<'_, X> {
    /// # Safety
    /// The linear's slices and the result fit, and nobody else uses these elements of the result.
    /// The processor has registers of `BITS`.
    #[inline(always)]
    unsafe fn multiply<const BITS: usize>(&self) {
        let Linear {
            panels,
            columns: n,
            depth: k,
            ..
        } = *self.linear;
        const WIDE: usize = MOST_PANELS * COLUMNS;
        let (mut scratch, mut own) = (Vec::new(), [0.0; ROWS * WIDE]);
        let slices = k.div_ceil(slice_of::<BITS>()).max(1);
        let step = k.div_ceil(slices).max(1);
        let tiles = self.rows.len().div_ceil(ROWS);
        for slice in 0..slices {
            let from = (slice * step).min(k);
            let depth = step.min(k - from);
            let (x, x_step) =
                self.rows_of
                    .columns(self.rows.clone(), from..from + depth, &mut scratch);
            let mut panel = self.panels.start;
            for left in (1..=self.panels.len().div_ceil(tile::panels::<BITS>())).rev() {
                // As many panels in each tile as there can be alike.
                let beside = (self.panels.end - panel).div_ceil(left);
                let column = panel * COLUMNS;
                let width = (beside * COLUMNS).min(n - column);
                let begin = self.linear.begin::<WIDE>(column, width);
                // What is multiplied next is asked for meanwhile, a line a turn: of each tile's turns a part of a panel.
                let (next, at) = if panel + beside < self.panels.end {
                    (panel + beside, from)
                } else if slice + 1 < slices {
                    (self.panels.start, from + depth)
                } else {
                    (self.panels.end, 0)
                };
                let next = panels.as_ptr().wrapping_add((next * k + at) * COLUMNS);
                let parts = beside * TURN;
                let mut row = self.rows.start;
                for rest in (1..=tiles).rev() {
                    // As many rows in each tile as there can be alike.
                    let count = (self.rows.end - row).div_ceil(rest);
                    // SAFETY: row and column are of the result.
                    let to = unsafe { self.result.add(row * n + column) };
                    // Where there are fewer tiles than parts, the first parts.
                    let part = (tiles - rest) * parts.min(tiles) / tiles;
                    let whole = width == beside * COLUMNS;
                    let (sums, sums_step) = if whole {
                        (to, n)
                    } else {
                        (own.as_mut_ptr(), WIDE)
                    };
                    if !whole && slice > 0 {
                        // SAFETY: the result has so many elements there.
                        unsafe { copy(to, n, own.as_mut_ptr(), WIDE, count, width) };
                    }
                    let tile = Tile {
                        x: x[(row - self.rows.start) * x_step..].as_ptr(),
                        x_step,
                        panel: panels[(panel * k + from) * COLUMNS..].as_ptr(),
                        apart: k * COLUMNS,
                        depth,
                        sums,
                        sums_step,
                        begin: if slice == 0 {
                            begin.as_ptr()
                        } else {
                            std::ptr::null()
                        },
                        ahead: Ahead::Line {
                            from: next.wrapping_add(
                                (part / TURN * k + part % TURN * (depth / TURN)) * COLUMNS,
                            ),
                            step: COLUMNS,
                        },
                    };
                    // SAFETY: `apply` checked the lengths that rows, panels and result are of.
                    unsafe { tile.add::<BITS>(count, beside) };
                    if !whole {
                        // SAFETY: as above.
                        unsafe { copy(own.as_ptr(), WIDE, to, n, count, width) };
                    }
                    if slice + 1 == slices {
                        // SAFETY: these elements are this task's alone.
                        unsafe {
                            self.linear.complete::<BITS, WIDE>(
                                self.result,
                                row..row + count,
                                column,
                                width,
                            );
                        }
                    }
                    row += count;
                }
                panel += beside;
            }
        }
    }
}

/// Copies a block of so many rows and columns.
///
/// # Safety
/// Both lie as the steps say, apart from one another.
#[inline(always)]
unsafe fn copy(
    from: *const f32,
    from_step: usize,
    to: *mut f32,
    to_step: usize,
    rows: usize,
    width: usize,
) {
    for row in 0..rows {
        // SAFETY: as the caller vouches.
        unsafe {
            std::ptr::copy_nonoverlapping(from.add(row * from_step), to.add(row * to_step), width)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that sums are exact in any order.
    #[test]
    fn products_of_every_shape() {
        let mut draw = fastrand::Rng::with_seed(3);
        for (rows, n, k) in [
            (1, 10, 7),
            (1, 64, 513),
            (2, 16, 9),
            (3, 33, 5),
            (5, 1, 1),
            (7, 48, 700),
            (13, 20, 0),
            (200, 70, 41),
            (450, 31, 330),
            (128, 512, 256),
            (0, 4, 4),
        ] {
            let mut whole =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.i32(-3..4) as f32).collect() };
            let (x, weight, bias, other) =
                (whole(rows * k), whole(n * k), whole(n), whole(rows * n));
            let mut panels = vec![f32::NAN; packed_length(n, k)];
            pack(&weight, n, k, &mut panels).unwrap();
            for (bias, other) in [
                (None, None),
                (Some(&bias[..]), None),
                (Some(&bias[..]), Some(&other[..])),
            ] {
                let linear = Linear {
                    x: &x,
                    panels: &panels,
                    bias,
                    other,
                    activation: Activation::Relu,
                    columns: n,
                    depth: k,
                };
                let mut result = vec![f32::NAN; rows * n];
                linear.apply(&mut result, rows, 2).unwrap();
                let plain = Task {
                    linear: &linear,
                    rows_of: &Matrix(&x, k),
                    result: vec![f32::NAN; rows * n].leak().as_mut_ptr(),
                    rows: 0..rows,
                    panels: 0..n.div_ceil(COLUMNS),
                };
                // SAFETY: the result is as long as it has to be.
                let plain = unsafe {
                    plain.multiply::<0>();
                    std::slice::from_raw_parts(plain.result, rows * n)
                };
                for r in 0..rows {
                    for c in 0..n {
                        let mut sum: f32 = (0..k).map(|i| x[r * k + i] * weight[c * k + i]).sum();
                        sum += bias.map_or(0.0, |bias| bias[c]);
                        sum += other.map_or(0.0, |other| other[r * n + c]);
                        assert_eq!(result[r * n + c], sum.max(0.0), "{rows} {n} {k}: {r} {c}");
                        assert_eq!(plain[r * n + c], sum.max(0.0));
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(pack(&[0.0; 4], 2, 2, &mut [0.0; 4]).is_err());
        let linear = Linear {
            x: &[0.0; 2],
            panels: &[0.0; 32],
            bias: Some(&[0.0]),
            other: None,
            activation: Activation::None,
            columns: 2,
            depth: 2,
        };
        assert!(linear.apply(&mut [0.0; 2], 1, 1).is_err());
    }

    /// One after another 60,000 terms of one sign would err by more.
    #[test]
    fn long_sums_err_little() {
        let mut draw = fastrand::Rng::with_seed(5);
        let k = 60_000;
        for (rows, n) in [(1, 64), (1, 16), (13, 64), (40, 20)] {
            let x: Vec<f32> = (0..rows * k).map(|_| draw.f32()).collect();
            let weight: Vec<f32> = (0..n * k).map(|_| draw.f32()).collect();
            let mut panels = vec![f32::NAN; packed_length(n, k)];
            pack(&weight, n, k, &mut panels).unwrap();
            let linear = Linear {
                x: &x,
                panels: &panels,
                bias: None,
                other: None,
                activation: Activation::None,
                columns: n,
                depth: k,
            };
            let mut result = vec![f32::NAN; rows * n];
            linear.apply(&mut result, rows, 2).unwrap();
            for (at, &result) in result.iter().enumerate() {
                let (row, column) = (&x[at / n * k..][..k], &weight[at % n * k..][..k]);
                let products = row
                    .iter()
                    .zip(column)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b));
                let sum: f64 = products.sum();
                let error = (f64::from(result) - sum).abs() / sum;
                assert!(error < 1.5e-6, "{rows} by {n}: {error:e}");
            }
        }
    }
}
