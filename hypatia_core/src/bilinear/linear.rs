//! One small matrix over many rows: a rotation of a million points, where a library's product has too few columns to
//! be at its best; or one of few columns over long rows, which a library copies before it multiplies.

use super::block::{self, Scratch};
use super::long_rows::{self, LongRows};
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
        self.check(x, result, rows)?;
        if n == 0 {
            result.fill(T::ZERO);
        }
        if rows * n * p == 0 {
            return Ok(());
        }
        if long_rows::takes(n) {
            self.apply_to_long(x, result, rows, threads, None);
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

    /// The same, and in the same pass over x the sum of its elements' squares; `None`, and nothing is written, where the
    /// rows are too short for that.
    ///
    /// # Errors
    /// The slices are not so many rows of their widths.
    pub fn apply_and_square(
        &self,
        x: &[T],
        result: &mut [T],
        rows: usize,
        threads: usize,
    ) -> Result<Option<f64>> {
        self.check(x, result, rows)?;
        if rows * self.columns == 0 || !long_rows::takes(self.rows) {
            return Ok(None);
        }
        let mut squares = vec![0.0; threads.max(1)];
        self.apply_to_long(x, result, rows, threads, Some(&mut squares));
        Ok(Some(squares.iter().sum()))
    }

    fn check(&self, x: &[T], result: &[T], rows: usize) -> Result<()> {
        let (n, p) = (self.rows, self.columns);
        if [x.len(), result.len(), self.elements.len()] == [rows * n, rows * p, n * p] {
            return Ok(());
        }
        Err(Error::new(format!(
            "{rows} rows by a matrix of {n} by {p}: the lengths do not fit"
        )))
    }

    /// `squares` has a place for each thread.
    fn apply_to_long(
        &self,
        x: &[T],
        result: &mut [T],
        rows: usize,
        threads: usize,
        squares: Option<&mut [f64]>,
    ) {
        let (n, p) = (self.rows, self.columns);
        let share = threads::rows_of_one(rows, rows * n * p, long_rows::TOGETHER, threads);
        let places = squares.into_iter().flatten().map(Some);
        let parts =
            (result.chunks_mut(share * p)).zip(places.chain(std::iter::repeat_with(|| None)));
        threads::each(parts, |number, (part, squares)| {
            dispatch(LongRows {
                matrix: *self,
                x: &x[number * share * n..][..part.len() / p * n],
                result: part,
                squares,
            });
        });
    }
}

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
            (300, 16, 61),
            (77, 33, 21),
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
            check_squares(&matrix, &x, &result, rows);
        }
    }

    /// Whole numbers, so that sums are exact in any order.
    fn check_squares<T: Real + PartialEq + std::fmt::Debug>(
        matrix: &Matrix<'_, T>,
        x: &[T],
        product: &[T],
        rows: usize,
    ) {
        let wanted: f64 = x.iter().map(|&v| (v * v).into()).sum();
        for threads in [1, 3] {
            let mut result = vec![T::from_f64(f64::NAN); product.len()];
            let found = matrix.apply_and_square(x, &mut result, rows, threads);
            match found.unwrap() {
                Some(squares) => assert_eq!((squares, &result[..]), (wanted, product)),
                None => assert!(!long_rows::takes(matrix.rows)),
            }
            let short = matrix.apply_and_square(x, &mut result[1..], rows, threads);
            assert!(short.is_err());
        }
    }

    #[test]
    fn rows_by_matrices_of_every_shape() {
        check::<f32>();
        check::<f64>();
    }
}
