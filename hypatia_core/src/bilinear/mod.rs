//! Sparse bilinear maps over many rows: rₖ = Σ c·xᵢ·yⱼ over a list of terms, the products of an algebra for instance.
//!
//! Rows are taken in blocks that stay in the first cache, turned so that one place of all rows lies together: each term
//! is then one multiply-add over whole registers, whatever the table.

use crate::error::{Error, Result};

/// Rows of one block.
const BLOCK: usize = 64;
/// Below so many multiplications a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 19;

/// One term: the coefficient of xᵢ·yⱼ in a place of the result.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Term {
    left: usize,
    right: usize,
    coefficient: f64,
}

/// A bilinear map with few terms.
#[derive(Debug, Clone)]
pub struct Bilinear {
    widths: [usize; 3],
    /// The terms of each place of the result.
    places: Vec<Vec<Term>>,
}

/// A floating type that rows are made of.
pub trait Real:
    Copy + Send + Sync + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self>
{
    const ZERO: Self;
    fn from_f64(x: f64) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    fn from_f64(x: f64) -> Self {
        x as Self
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    fn from_f64(x: f64) -> Self {
        x
    }
}

impl Bilinear {
    /// The map of these terms (i, j, k, c) from rows of two widths to rows of the third.
    ///
    /// # Errors
    /// A term stands outside the widths.
    pub fn new(
        widths: [usize; 3],
        terms: impl IntoIterator<Item = (usize, usize, usize, f64)>,
    ) -> Result<Self> {
        let mut places = vec![Vec::new(); widths[2]];
        for (left, right, result, coefficient) in terms {
            if left >= widths[0] || right >= widths[1] || result >= widths[2] {
                return Err(Error::new(format!(
                    "bilinear: the term ({left}, {right}, {result}) is outside {widths:?}"
                )));
            }
            places[result].push(Term {
                left,
                right,
                coefficient,
            });
        }
        Ok(Self { widths, places })
    }

    /// The widths of both operands' rows and of the result's.
    pub fn widths(&self) -> [usize; 3] {
        self.widths
    }

    /// Writes the map of each pair of rows, with up to so many threads.
    ///
    /// # Errors
    /// The slices are not so many rows of their widths.
    pub fn apply<T: Real>(
        &self,
        x: &[T],
        y: &[T],
        result: &mut [T],
        rows: usize,
        threads: usize,
    ) -> Result<()> {
        let [n, m, p] = self.widths;
        if [x.len(), y.len(), result.len()] != [rows * n, rows * m, rows * p] {
            return Err(Error::new(format!(
                "bilinear: {rows} rows of widths {:?} are not {}, {} and {} elements",
                self.widths,
                x.len(),
                y.len(),
                result.len()
            )));
        }
        if rows * p == 0 {
            return Ok(());
        }
        let work = rows * self.places.iter().map(Vec::len).sum::<usize>();
        let threads = threads.min(work / WORTH_A_THREAD).max(1);
        let share = rows.div_ceil(threads).next_multiple_of(BLOCK);
        if threads == 1 || share >= rows {
            self.rows(x, y, result, rows);
            return Ok(());
        }
        std::thread::scope(|scope| {
            for (number, part) in result.chunks_mut(share * p).enumerate() {
                let (start, count) = (number * share, part.len() / p);
                let (x, y) = (
                    &x[start * n..(start + count) * n],
                    &y[start * m..(start + count) * m],
                );
                scope.spawn(move || self.rows(x, y, part, count));
            }
        });
        Ok(())
    }

    fn rows<T: Real>(&self, x: &[T], y: &[T], result: &mut [T], rows: usize) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            unsafe { self.rows_avx2(x, y, result, rows) };
            return;
        }
        self.blocks(x, y, result, rows);
    }

    /// The same code, compiled for wider registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn rows_avx2<T: Real>(&self, x: &[T], y: &[T], result: &mut [T], rows: usize) {
        self.blocks(x, y, result, rows);
    }

    #[inline(always)]
    fn blocks<T: Real>(&self, x: &[T], y: &[T], result: &mut [T], rows: usize) {
        let [n, m, p] = self.widths;
        let (mut xs, mut ys, mut rs) = (
            vec![[T::ZERO; BLOCK]; n],
            vec![[T::ZERO; BLOCK]; m],
            vec![[T::ZERO; BLOCK]; p],
        );
        for start in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - start);
            turn_in(&x[start * n..(start + count) * n], n, &mut xs);
            turn_in(&y[start * m..(start + count) * m], m, &mut ys);
            for (place, terms) in rs.iter_mut().zip(&self.places) {
                let mut sum = [T::ZERO; BLOCK];
                for term in terms {
                    let (a, b) = (&xs[term.left], &ys[term.right]);
                    let c = T::from_f64(term.coefficient);
                    for ((s, &a), &b) in sum.iter_mut().zip(a).zip(b) {
                        *s = *s + c * (a * b);
                    }
                }
                *place = sum;
            }
            turn_out(&rs, p, &mut result[start * p..(start + count) * p]);
        }
    }
}

#[inline(always)]
fn turn_in<T: Real>(rows: &[T], width: usize, places: &mut [[T; BLOCK]]) {
    for (i, row) in rows.chunks_exact(width.max(1)).enumerate() {
        for (place, &value) in places.iter_mut().zip(row) {
            place[i] = value;
        }
    }
}

#[inline(always)]
fn turn_out<T: Real>(places: &[[T; BLOCK]], width: usize, rows: &mut [T]) {
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        for (value, place) in row.iter_mut().zip(places) {
            *value = place[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complex_products_of_any_number_of_rows() {
        let terms = [(0, 0, 0, 1.), (1, 1, 0, -1.), (0, 1, 1, 1.), (1, 0, 1, 1.)];
        let map = Bilinear::new([2, 2, 2], terms).unwrap();
        for rows in [0, 1, BLOCK, BLOCK + 1, 300_000] {
            let x: Vec<f64> = (0..2 * rows).map(|i| i as f64).collect();
            let y: Vec<f64> = (0..2 * rows).map(|i| 3.0 - i as f64).collect();
            let mut result = vec![f64::NAN; 2 * rows];
            map.apply(&x, &y, &mut result, rows, 2).unwrap();
            for r in 0..rows {
                let (a, b, c, d) = (x[2 * r], x[2 * r + 1], y[2 * r], y[2 * r + 1]);
                assert_eq!(result[2 * r..2 * r + 2], [a * c - b * d, a * d + b * c]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Bilinear::new([2, 2, 2], [(2, 0, 0, 1.0)]).is_err());
        let map = Bilinear::new([1, 1, 1], []).unwrap();
        assert!(map.apply(&[1.0f32], &[1.0], &mut [0.0; 2], 1, 1).is_err());
        let empty = Bilinear::new([0, 1, 2], []).unwrap();
        let mut result = [1.0f32; 4];
        empty.apply(&[], &[1.0, 2.0], &mut result, 2, 1).unwrap();
        assert_eq!(result, [0.0; 4]);
    }
}
