//! Few rows by a few panels at once: what takes time is to read the weight, from several places at a time.

use super::tile::{self, Ahead, Beside, COLUMNS, TURN, Tile};
use super::{Linear, copy};
use crate::registers::{self, Job};

/// Rows of a strip at most.
const ROWS: usize = 12;

/// With so many rows at most memory is what a product waits for. Registers of 512 bits have sums of that many rows for
/// all panels that are read at once, and multiply more of them as fast in tiles.
pub(crate) fn rows() -> usize {
    if registers::bits() >= 512 { 6 } else { ROWS }
}

/// Panels that are read at once.
pub(crate) const PANELS: usize = Ahead::STREAMS;
/// Steps of each panel at a time: what is read and what is asked for stay in the first cache together.
const CHUNK: usize = 32;
/// A task has so many multiplications at least.
const WORTH_A_TASK: usize = 1 << 15;

/// How many groups of panels one task takes.
pub(super) fn groups_of_one(rows: usize, depth: usize) -> usize {
    WORTH_A_TASK.div_ceil((rows * depth * PANELS * COLUMNS).max(1))
}

/// All rows by `PANELS` panels or less.
pub(crate) struct Strip<'a> {
    pub linear: &'a Linear<'a>,
    pub result: *mut f32,
    pub rows: usize,
    pub panels: std::ops::Range<usize>,
}

impl Job for Strip<'_> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // SAFETY: `Linear::apply`, which makes strips, has checked the lengths and divides the result among them.
        unsafe { self.multiply::<BITS>() };
    }
}

impl Strip<'_> {
    /// # Safety
    /// The linear's slices and the result fit, and nobody else uses these columns of the result.
    /// The processor has registers of `BITS`.
    #[inline(always)]
    pub(crate) unsafe fn multiply<const BITS: usize>(&self) {
        const STEP: usize = PANELS * COLUMNS;
        let Linear {
            x,
            panels,
            columns: n,
            depth: k,
            ..
        } = *self.linear;
        let apart = k * COLUMNS;
        let first = panels[self.panels.start * apart..].as_ptr();
        let columns = |panel: usize| COLUMNS.min(n - panel * COLUMNS);
        let mut sums = [0.0f32; ROWS * STEP];
        for (place, panel) in self.panels.clone().enumerate() {
            let begin = self
                .linear
                .begin::<COLUMNS>(panel * COLUMNS, columns(panel));
            for row in sums.chunks_exact_mut(STEP).take(self.rows) {
                row[place * COLUMNS..][..COLUMNS].copy_from_slice(&begin);
            }
        }
        let beside = Beside {
            x: x.as_ptr(),
            x_step: k,
            panels: first,
            apart,
            depth: k,
            sums: sums.as_mut_ptr(),
            sums_step: STEP,
        };
        // SAFETY: x and the panels are as long as the linear says, and there are sums for each row.
        let done = self.panels.len() == PANELS && unsafe { beside.add::<BITS>(self.rows) };
        let chunked = if done { 0 } else { k };
        for from in (0..chunked).step_by(CHUNK) {
            let depth = CHUNK.min(k - from);
            // After the last chunk of these panels comes the first of the next ones.
            let next = match from + depth {
                end if end < k => first.wrapping_add(end * COLUMNS),
                _ => first.wrapping_add(PANELS * apart),
            };
            for place in 0..self.panels.len() {
                let panel = first.wrapping_add(place * apart + from * COLUMNS);
                let mut ahead = match self.panels.len() {
                    PANELS => Ahead::Streams {
                        from: next.wrapping_add(place * (CHUNK / TURN) * COLUMNS),
                        apart,
                    },
                    _ => Ahead::nothing(panel),
                };
                for row in (0..self.rows).step_by(tile::ROWS) {
                    let tile = Tile {
                        x: x[row * k + from..].as_ptr(),
                        x_step: k,
                        panel,
                        apart,
                        depth,
                        sums: sums[row * STEP + place * COLUMNS..].as_mut_ptr(),
                        sums_step: STEP,
                        begin: std::ptr::null(),
                        ahead,
                    };
                    // SAFETY: x and the panels are as long as the linear says, and there are sums for each row.
                    unsafe { tile.add::<BITS>(tile::ROWS.min(self.rows - row), 1) };
                    ahead = Ahead::nothing(panel);
                }
            }
        }
        for (place, panel) in self.panels.clone().enumerate() {
            let (column, width) = (panel * COLUMNS, columns(panel));
            // SAFETY: these columns of the result are this strip's alone.
            unsafe {
                let from = sums[place * COLUMNS..].as_ptr();
                copy(from, STEP, self.result.add(column), n, self.rows, width);
                self.linear
                    .complete::<BITS, COLUMNS>(self.result, 0..self.rows, column, width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Activation, pack, packed_length};

    /// With and without registers, against each other and the definition; whole numbers are exact in any order.
    #[test]
    fn few_rows_of_every_shape() {
        let mut draw = fastrand::Rng::with_seed(11);
        for (rows, n, k) in [
            (1, 80, 70),
            (1, 64, 32),
            (2, 130, 65),
            (3, 64, 128),
            (4, 257, 3),
            (6, 1, 40),
            (7, 100, 33),
            (12, 191, 129),
            (9, 64, 0),
        ] {
            let mut whole =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.i32(-3..4) as f32).collect() };
            let (x, weight, bias) = (whole(rows * k), whole(n * k), whole(n));
            let other = whole(rows * n);
            let mut panels = vec![f32::NAN; packed_length(n, k)];
            pack(&weight, n, k, &mut panels).unwrap();
            let linear = Linear {
                x: &x,
                panels: &panels,
                bias: Some(&bias),
                other: Some(&other),
                activation: Activation::Clamp(-5.0, 40.0),
                columns: n,
                depth: k,
            };
            let mut result = vec![f32::NAN; rows * n];
            linear.apply(&mut result, rows, 2).unwrap();
            let mut plain = vec![f32::NAN; rows * n];
            for first in (0..n.div_ceil(COLUMNS)).step_by(PANELS) {
                let strip = Strip {
                    linear: &linear,
                    result: plain.as_mut_ptr(),
                    rows,
                    panels: first..n.div_ceil(COLUMNS).min(first + PANELS),
                };
                // SAFETY: the result is as long as it has to be.
                unsafe { strip.multiply::<0>() };
            }
            for (at, (&with, &without)) in result.iter().zip(&plain).enumerate() {
                let (r, c) = (at / n, at % n);
                let sum: f32 = (0..k).map(|i| x[r * k + i] * weight[c * k + i]).sum();
                let wanted = (sum + bias[c] + other[at]).clamp(-5.0, 40.0);
                assert_eq!((with, without), (wanted, wanted), "{rows} {n} {k}: {r} {c}");
            }
        }
    }
}
