//! Products of rows with a weight: y = act(x Wᵀ + b + z), the weight stored once as the loop reads it.
//!
//! The weight lies in panels of [`COLUMNS`] columns, one after another, each row by row of x's width: the innermost loop
//! reads it from end to end. A library packs the same way, but describes each call anew to itself, which takes longer
//! than a small product, and writes the result before what follows reads it again.

pub(crate) mod activation;
pub(crate) mod tile;

pub use activation::Activation;
pub use tile::COLUMNS;
use tile::{ROWS, Tile};

use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};
use crate::team::{self, Parts};

/// Of a panel so many rows are read at a time, so that they stay in the first cache from one tile to the next.
const DEPTH: usize = 320;
/// So many rows of x take part in a task, so that they stay in the second cache from one panel to the next.
const TALL: usize = 32 * ROWS;
/// A task takes so many panels at most.
const WIDE: usize = 32;
/// So many tasks for each thread, where there are panels enough: one may begin late.
const TASKS: usize = 4;
/// Below so many multiplications a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 15;

/// How many elements the panels of a weight (n, k) take.
pub fn packed_length(columns: usize, depth: usize) -> usize {
    columns.div_ceil(COLUMNS) * depth * COLUMNS
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
        let (n, k) = (self.columns, self.depth);
        let fits = self.x.len() == rows * k
            && result.len() == rows * n
            && self.panels.len() == packed_length(n, k)
            && self.bias.is_none_or(|bias| bias.len() == n)
            && self.other.is_none_or(|other| other.len() == rows * n);
        if !fits {
            return Err(Error::new(format!(
                "{rows} rows by a weight of {n} by {k}: the lengths do not fit"
            )));
        }
        if rows * n == 0 {
            return Ok(());
        }
        let threads = threads.min(rows * n * k / WORTH_A_THREAD).max(1);
        let panels = n.div_ceil(COLUMNS);
        let tall = rows.div_ceil(rows.div_ceil(TALL)).next_multiple_of(ROWS);
        let blocks = rows.div_ceil(tall);
        let wide = match threads {
            1 => WIDE,
            _ => (panels * blocks).div_ceil(threads * TASKS).min(WIDE),
        };
        let across = panels.div_ceil(wide);
        let to = Parts::of(result);
        team::each(blocks * across, threads, |task| {
            let (block, group) = (task / across, task % across);
            let task = Task {
                linear: self,
                result: to.address(),
                rows: block * tall..rows.min((block + 1) * tall),
                panels: group * wide..panels.min((group + 1) * wide),
            };
            dispatch(task);
        });
        Ok(())
    }
}

/// Some rows by some panels.
struct Task<'a> {
    linear: &'a Linear<'a>,
    result: *mut f32,
    rows: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
}

impl Job for Task<'_> {
    #[inline(always)]
    fn run<const REGISTERS: bool>(self) {
        // SAFETY: `apply`, which makes tasks, has checked the lengths and divides the result among them.
        unsafe { self.multiply::<REGISTERS>() };
    }
}

impl Task<'_> {
    /// # Safety
    /// The linear's slices and the result fit, and nobody else uses these elements of the result.
    /// Where `REGISTERS` is true the processor has AVX2 and FMA.
    #[inline(always)]
    unsafe fn multiply<const REGISTERS: bool>(&self) {
        let Linear {
            x,
            panels,
            bias,
            columns: n,
            depth: k,
            ..
        } = *self.linear;
        // Where a panel is read once it is read from end to end.
        let slices = if self.rows.len() <= ROWS {
            1
        } else {
            k.div_ceil(DEPTH).max(1)
        };
        let step = k.div_ceil(slices).max(1);
        for slice in 0..slices {
            let from = (slice * step).min(k);
            let depth = step.min(k - from);
            for panel in self.panels.clone() {
                let column = panel * COLUMNS;
                let width = COLUMNS.min(n - column);
                let mut begin = [0.0; COLUMNS];
                if let Some(bias) = bias {
                    begin[..width].copy_from_slice(&bias[column..column + width]);
                }
                let mut row = self.rows.start;
                while row < self.rows.end {
                    let count = ROWS.min(self.rows.end - row);
                    let mut own = [0.0; ROWS * COLUMNS];
                    // SAFETY: row and column are of the result.
                    let to = unsafe { self.result.add(row * n + column) };
                    let (sums, sums_step) = if width == COLUMNS {
                        (to, n)
                    } else {
                        (own.as_mut_ptr(), COLUMNS)
                    };
                    if width < COLUMNS && slice > 0 {
                        // SAFETY: the result has so many elements there.
                        unsafe { copy(to, n, own.as_mut_ptr(), COLUMNS, count, width) };
                    }
                    let tile = Tile {
                        x: x[row * k + from..].as_ptr(),
                        x_step: k,
                        panel: panels[(panel * k + from) * COLUMNS..].as_ptr(),
                        depth,
                        sums,
                        sums_step,
                        begin: if slice == 0 {
                            begin.as_ptr()
                        } else {
                            std::ptr::null()
                        },
                    };
                    // SAFETY: `apply` checked the lengths that rows, panel and result are of.
                    unsafe { tile.add::<REGISTERS>(count) };
                    if width < COLUMNS {
                        // SAFETY: as above.
                        unsafe { copy(own.as_ptr(), COLUMNS, to, n, count, width) };
                    }
                    if slice + 1 == slices {
                        // SAFETY: these elements are this task's alone.
                        unsafe { self.complete::<REGISTERS>(row, count, column, width) };
                    }
                    row += count;
                }
            }
        }
    }

    /// Adds what is to be added, and applies the activation.
    ///
    /// # Safety
    /// The elements are of the result, and nobody else uses them.
    #[inline(always)]
    unsafe fn complete<const REGISTERS: bool>(
        &self,
        row: usize,
        count: usize,
        column: usize,
        width: usize,
    ) {
        let Linear {
            other,
            activation,
            columns: n,
            ..
        } = *self.linear;
        if other.is_none() && activation == Activation::None {
            return;
        }
        for row in row..row + count {
            let place = row * n + column;
            // SAFETY: as the caller vouches.
            let values = unsafe { std::slice::from_raw_parts_mut(self.result.add(place), width) };
            if let Some(other) = other {
                for (value, &term) in values.iter_mut().zip(&other[place..]) {
                    *value += term;
                }
            }
            match <&mut [f32; COLUMNS]>::try_from(&mut *values) {
                Ok(whole) => activation.apply::<REGISTERS>(whole),
                Err(_) => activation.apply::<REGISTERS>(values),
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
                    result: vec![f32::NAN; rows * n].leak().as_mut_ptr(),
                    rows: 0..rows,
                    panels: 0..n.div_ceil(COLUMNS),
                };
                // SAFETY: the result is as long as it has to be.
                let plain = unsafe {
                    plain.multiply::<false>();
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
}
