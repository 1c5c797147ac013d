//! One small matrix over many rows: a rotation of a million points, where a library's product has too few columns to
//! be at its best; or one of few columns over long rows, which a library copies before it multiplies.

use super::block::{self, Scratch};
use super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::real::Registers;
use super::threads;
use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// A matrix, row by row: `result[r, k] = Σᵢ x[r, i]·m[i, k]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    /// Its elements.
    pub elements: &'a [T],
    /// Its rows, and the width of x's.
    pub rows: usize,
    /// Its columns, and the width of the result's rows.
    pub columns: usize,
}

impl<T: Real> Matrix<'_, T> {
    /// Writes the result's rows, with so many threads at most.
    ///
    /// # Errors
    /// The slices are not so many rows of their widths.
    pub fn apply(&self, x: &[T], result: &mut [T], rows: usize, threads: usize) -> Result<()> {
        let (n, p) = (self.rows, self.columns);
        if [x.len(), result.len(), self.elements.len()] != [rows * n, rows * p, n * p] {
            return Err(Error::new(format!(
                "{rows} rows by a matrix of {n} by {p}: the lengths do not fit"
            )));
        }
        if n == 0 {
            result.fill(T::ZERO);
        }
        if rows * n * p == 0 {
            return Ok(());
        }
        let share = threads::rows_of_one(rows, rows * n * p, block::rows::<T>(), threads);
        threads::each(result.chunks_mut(share * p), |number, part| {
            let x = &x[number * share * n..][..part.len() / p * n];
            dispatch(Rows {
                matrix: *self,
                x,
                result: part,
            });
        });
        Ok(())
    }
}

/// Rows so long that turning a block of them would take longer than the product.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 64;
/// Elements of a row that are summed before the sum is added to the result: the columns that they meet stay in the
/// nearest cache, and rounding errors grow with the square root of their number at most.
#[cfg(target_arch = "x86_64")]
const PART: usize = 512;

struct Rows<'a, T> {
    matrix: Matrix<'a, T>,
    x: &'a [T],
    result: &'a mut [T],
}

impl<T: Real> Job for Rows<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        match (self.matrix.rows, self.matrix.columns) {
            (2, 2) => self.one_by_one::<BITS, 2>(),
            (3, 3) => self.one_by_one::<BITS, 3>(),
            (4, 4) => self.one_by_one::<BITS, 4>(),
            #[cfg(target_arch = "x86_64")]
            (LONG.., p) if BITS >= 512 && p <= T::Whole::LANES => {
                self.line_by_line::<T::Whole, 10, 1>();
            }
            #[cfg(target_arch = "x86_64")]
            (LONG.., _) if BITS >= 512 => self.line_by_line::<T::Whole, 10, 2>(),
            #[cfg(target_arch = "x86_64")]
            (LONG.., p) if BITS >= 256 && p <= T::Half::LANES => {
                self.line_by_line::<T::Half, 10, 1>();
            }
            #[cfg(target_arch = "x86_64")]
            (LONG.., _) if BITS >= 256 => self.line_by_line::<T::Half, 5, 2>(),
            _ => self.block_by_block::<BITS>(),
        }
    }
}

impl<T: Real> Rows<'_, T> {
    /// Where a row of the result is no longer than a register: each element of x by its row of the matrix.
    #[inline(always)]
    fn one_by_one<const BITS: usize, const N: usize>(self) {
        let mut m = [[T::ZERO; N]; N];
        for (row, from) in m.iter_mut().zip(self.matrix.elements.chunks_exact(N)) {
            row.copy_from_slice(from);
        }
        #[cfg(target_arch = "x86_64")]
        let done = if BITS >= 256 {
            assert!(self.x.len() == self.result.len() && N <= T::LANES);
            // SAFETY: there are registers; x and the result have the same rows of `N`, which a register holds.
            unsafe { rows_in_registers::<T::Half, N>(&m, self.x, self.result) }
        } else {
            0
        };
        #[cfg(not(target_arch = "x86_64"))]
        let done = 0;
        let (rows, _) = self.x.as_chunks::<N>();
        let (results, _) = self.result.as_chunks_mut::<N>();
        for (x, to) in rows.iter().zip(results).skip(done) {
            *to =
                std::array::from_fn(|k| (1..N).fold(x[0] * m[0][k], |sum, i| sum + x[i] * m[i][k]));
        }
    }

    /// Each element of several rows, whose sums are in registers together, meets a line of the matrix: so many
    /// registers of it at a time.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn line_by_line<R: Registers<Element = T>, const TOGETHER: usize, const WIDE: usize>(self) {
        let Matrix {
            elements,
            rows: n,
            columns: p,
        } = self.matrix;
        let width = WIDE * R::LANES;
        // The columns that the registers hold lie together; what is missing of the last ones is zero.
        let mut columns = vec![T::ZERO; p.div_ceil(width) * n * width];
        for (i, line) in elements.chunks_exact(p).enumerate() {
            for (tile, part) in line.chunks(width).enumerate() {
                columns[(tile * n + i) * width..][..part.len()].copy_from_slice(part);
            }
        }
        let mut sums = vec![T::ZERO; TOGETHER * width];
        let parts = self.x.chunks(TOGETHER * n);
        for (x, to) in parts.zip(self.result.chunks_mut(TOGETHER * p)) {
            for (tile, lines) in columns.chunks_exact(n * width).enumerate() {
                sums.fill(T::ZERO);
                for (start, part) in (0..n).step_by(PART).zip(lines.chunks(PART * width)) {
                    // SAFETY: there are registers; the rows are n elements long, `part` is lines of `width` that
                    // meet those from `start` on, and there are as many sums as rows by `width`.
                    unsafe {
                        let from = x.as_ptr().add(start);
                        if x.len() == TOGETHER * n {
                            add_lines::<R, TOGETHER, WIDE>(from, n, part, &mut sums);
                        } else {
                            for (row, sums) in (0..x.len() / n).zip(sums.chunks_mut(width)) {
                                add_lines::<R, 1, WIDE>(from.add(row * n), n, part, sums);
                            }
                        }
                    }
                }
                let first = tile * width;
                for (row, sums) in to.chunks_exact_mut(p).zip(sums.chunks_exact(width)) {
                    let row = &mut row[first..p.min(first + width)];
                    row.copy_from_slice(&sums[..row.len()]);
                }
            }
        }
    }

    #[inline(always)]
    fn block_by_block<const BITS: usize>(self) {
        let Matrix {
            elements,
            rows: n,
            columns: p,
        } = self.matrix;
        let mut scratch = Scratch::new([n, 0, p]);
        let block = block::rows::<T>();
        let parts = self
            .x
            .chunks(block * n.max(1))
            .zip(self.result.chunks_mut(block * p));
        for (x, to) in parts {
            block::turn_in::<T, BITS>(x, n, &mut scratch.x);
            for (k, place) in scratch.result.chunks_exact_mut(block).enumerate() {
                place.fill(T::ZERO);
                for (i, from) in scratch.x.chunks_exact(block).enumerate() {
                    let factor = elements[i * p + k];
                    place
                        .iter_mut()
                        .zip(from)
                        .for_each(|(to, &x)| *to += factor * x);
                }
            }
            block::turn_out::<T, BITS>(&scratch.result, p, to);
        }
    }
}

/// Writes rows by a small matrix, how many of them is given: each with a whole register, whose end the next row writes
/// over, so that the last rows are left out.
///
/// # Safety
/// The processor must have the registers, and one must hold `N` elements; x must have as many as the result.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "arrays that iterators take by value go through memory"
)]
unsafe fn rows_in_registers<R: Registers, const N: usize>(
    matrix: &[[R::Element; N]; N],
    x: &[R::Element],
    result: &mut [R::Element],
) -> usize {
    let mut padded = [R::Element::ZERO; 16];
    let count = (result.len() + N).saturating_sub(R::LANES) / N;
    // SAFETY: as the function asks; the last of `count` rows begins a register before the end, or earlier.
    unsafe {
        let mut lines = [R::splat(R::Element::ZERO); N];
        for i in 0..N {
            padded[..N].copy_from_slice(&matrix[i]);
            lines[i] = R::load(padded.as_ptr());
        }
        for row in 0..count {
            let from = x.as_ptr().add(row * N);
            let mut sum = R::product(R::splat(*from), lines[0]);
            for i in 1..N {
                sum = R::plus(sum, R::splat(*from.add(i)), lines[i]);
            }
            R::store(result.as_mut_ptr().add(row * N), sum);
        }
    }
    count
}

/// Adds to the sums of so many rows what their elements make of these lines, so many registers wide each.
///
/// # Safety
/// The processor must have the registers; each row, `stride` elements after the one before, must have an element for each
/// line; there must be as wide sums for each row.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "arrays that iterators take by value go through memory"
)]
unsafe fn add_lines<R: Registers, const ROWS: usize, const WIDE: usize>(
    x: *const R::Element,
    stride: usize,
    lines: &[R::Element],
    sums: &mut [R::Element],
) {
    // SAFETY: as the function asks.
    unsafe {
        let mut total = [[R::splat(R::Element::ZERO); WIDE]; ROWS];
        for i in 0..lines.len() / (WIDE * R::LANES) {
            let line = lines.as_ptr().add(i * WIDE * R::LANES);
            let mut of_line = [R::splat(R::Element::ZERO); WIDE];
            for at in 0..WIDE {
                of_line[at] = R::load(line.add(at * R::LANES));
            }
            for row in 0..ROWS {
                let factor = R::splat(*x.add(row * stride + i));
                for at in 0..WIDE {
                    total[row][at] = R::plus(total[row][at], factor, of_line[at]);
                }
            }
        }
        let one = R::splat(R::Element::from_f64(1.0));
        for row in 0..ROWS {
            for at in 0..WIDE {
                let to = sums.as_mut_ptr().add((row * WIDE + at) * R::LANES);
                R::store(to, R::plus(R::load(to), total[row][at], one));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Real + PartialEq + std::fmt::Debug>() {
        for (n, p, rows) in [
            (3, 3, 1),
            (3, 3, 2),
            (3, 3, 3),
            (2, 2, 1),
            (4, 4, 2),
            (3, 3, 70_001),
            (2, 2, 5),
            (4, 4, 100),
            (1, 3, 33),
            (9, 17, 200),
            (8, 8, 64),
            (64, 16, 7),
            (64, 16, 31),
            (600, 8, 23),
            (65, 5, 12),
            (1200, 3, 11),
            (513, 17, 5),
            (70, 1, 1),
        ] {
            let whole = |i: usize, m: usize| T::from_f64((i % m) as f64 - (m / 2) as f64);
            let x: Vec<T> = (0..rows * n).map(|i| whole(i, 11)).collect();
            let elements: Vec<T> = (0..n * p).map(|i| whole(i, 7)).collect();
            let mut result = vec![T::from_f64(f64::NAN); rows * p];
            let matrix = Matrix {
                elements: &elements,
                rows: n,
                columns: p,
            };
            matrix.apply(&x, &mut result, rows, 2).unwrap();
            for (at, value) in result.iter().enumerate() {
                let (r, k) = (at / p, at % p);
                let mut wanted = T::ZERO;
                (0..n).for_each(|i| wanted += x[r * n + i] * elements[i * p + k]);
                assert_eq!(*value, wanted);
            }
            assert!(matrix.apply(&x, &mut result[1..], rows, 2).is_err());
        }
    }

    #[test]
    fn rows_by_matrices_of_every_shape() {
        check::<f32>();
        check::<f64>();
    }
}
