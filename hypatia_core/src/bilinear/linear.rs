//! One small matrix over many rows: a rotation of a million points, where a library's product has too few columns to
//! be at its best.

use super::block::{self, Scratch};
use super::real::Real;
use super::{Job, dispatch, threads};
use crate::error::{Error, Result};

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

struct Rows<'a, T> {
    matrix: Matrix<'a, T>,
    x: &'a [T],
    result: &'a mut [T],
}

impl<T: Real> Job for Rows<'_, T> {
    #[inline(always)]
    fn run<const REGISTERS: bool>(self) {
        match (self.matrix.rows, self.matrix.columns) {
            (2, 2) => self.one_by_one::<2>(),
            (3, 3) => self.one_by_one::<3>(),
            (4, 4) => self.one_by_one::<4>(),
            _ => self.block_by_block::<REGISTERS>(),
        }
    }
}

impl<T: Real> Rows<'_, T> {
    /// Where a row and a column are so short that the compiler knows best.
    #[inline(always)]
    fn one_by_one<const N: usize>(self) {
        let mut m = [[T::ZERO; N]; N];
        for (row, from) in m.iter_mut().zip(self.matrix.elements.chunks_exact(N)) {
            row.copy_from_slice(from);
        }
        let (rows, _) = self.x.as_chunks::<N>();
        let (results, _) = self.result.as_chunks_mut::<N>();
        for (x, to) in rows.iter().zip(results) {
            *to =
                std::array::from_fn(|k| (1..N).fold(x[0] * m[0][k], |sum, i| sum + x[i] * m[i][k]));
        }
    }

    #[inline(always)]
    fn block_by_block<const REGISTERS: bool>(self) {
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
            block::turn_in::<T, REGISTERS>(x, n, &mut scratch.x);
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
            block::turn_out::<T, REGISTERS>(&scratch.result, p, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_by_matrices_of_every_shape() {
        for (n, p, rows) in [
            (3, 3, 70_001),
            (2, 2, 5),
            (4, 4, 100),
            (1, 3, 33),
            (9, 17, 200),
            (8, 8, 64),
        ] {
            let x: Vec<f64> = (0..rows * n).map(|i| (i % 11) as f64 - 5.0).collect();
            let elements: Vec<f64> = (0..n * p).map(|i| (i % 7) as f64 - 3.0).collect();
            let mut result = vec![f64::NAN; rows * p];
            let matrix = Matrix {
                elements: &elements,
                rows: n,
                columns: p,
            };
            matrix.apply(&x, &mut result, rows, 2).unwrap();
            for (at, value) in result.iter().enumerate() {
                let (r, k) = (at / p, at % p);
                let wanted: f64 = (0..n).map(|i| x[r * n + i] * elements[i * p + k]).sum();
                assert_eq!(*value, wanted);
            }
            assert!(matrix.apply(&x, &mut result[1..], rows, 2).is_err());
        }
    }
}
