//! Inner products of long vectors: one pass over both, summed in blocks, so that the sum of millions errs like that of
//! thousands. That of a matrix with itself may share its pass with a product.

#[cfg(target_arch = "x86_64")]
use crate::bilinear::Registers;
use crate::bilinear::{Matrix, Real, threads};
use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// Elements that are summed in their own type.
const BLOCK: usize = 4096;
/// Sums that run beside each other.
const LANES: usize = 32;
/// As many elements as the widest registers hold.
#[cfg(target_arch = "x86_64")]
const MOST_LANES: usize = 16;
/// Below so many elements a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 19;

/// Σ xᵢ yᵢ, with up to so many threads; the sums of blocks are added in float64.
///
/// # Errors
/// The vectors are not of one length.
pub fn inner_product<T: Real + Into<f64>>(x: &[T], y: &[T], threads: usize) -> Result<f64> {
    if x.len() != y.len() {
        return Err(Error::new(format!(
            "inner product: {} elements by {}",
            x.len(),
            y.len()
        )));
    }
    let count = threads.min(x.len() / WORTH_A_THREAD).max(1);
    let share = x.len().div_ceil(count).next_multiple_of(BLOCK);
    if count == 1 {
        return Ok(blocks(x, y));
    }
    let mut sums = vec![0.0; x.len().div_ceil(share)];
    threads::each(sums.iter_mut(), |number, sum| {
        let part = number * share..x.len().min((number + 1) * share);
        *sum = blocks(&x[part.clone()], &y[part]);
    });
    Ok(sums.iter().sum())
}

/// Writes rows by a matrix, and gives the sum of the squares of the rows' elements: in one pass where the rows are long.
///
/// # Errors
/// The slices are not so many rows of their widths.
pub fn product_and_squares<T: Real + Into<f64>>(
    matrix: &Matrix<'_, T>,
    x: &[T],
    result: &mut [T],
    rows: usize,
    threads: usize,
) -> Result<f64> {
    if let Some(squares) = matrix.apply_and_square(x, result, rows, threads)? {
        return Ok(squares);
    }
    matrix.apply(x, result, rows, threads)?;
    inner_product(x, x, threads)
}

fn blocks<T: Real + Into<f64>>(x: &[T], y: &[T]) -> f64 {
    let mut total = 0.0;
    dispatch(Product {
        x,
        y,
        total: &mut total,
    });
    total
}

/// The inner product of two slices, and where it is written.
struct Product<'a, T> {
    x: &'a [T],
    y: &'a [T],
    total: &'a mut f64,
}

impl<T: Real + Into<f64>> Job for Product<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        *self.total = match BITS {
            // SAFETY: the processor has the registers.
            #[cfg(target_arch = "x86_64")]
            512 => unsafe { sums_in_registers::<T::Whole>(self.x, self.y) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            256 => unsafe { sums_in_registers::<T::Half>(self.x, self.y) },
            _ => sums(self.x, self.y),
        };
    }
}

/// Registers that sum beside each other.
#[cfg(target_arch = "x86_64")]
const TOGETHER: usize = 4;

/// # Safety
/// The processor must have the registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn sums_in_registers<R: Registers>(x: &[R::Element], y: &[R::Element]) -> f64 {
    let width = TOGETHER * R::LANES;
    let count = x.len().min(y.len());
    let whole = count / width * width;
    let (from_x, from_y) = (x.as_ptr(), y.as_ptr());
    let mut total = 0.0;
    let mut lanes = [R::Element::ZERO; TOGETHER * MOST_LANES];
    for start in (0..whole).step_by(BLOCK) {
        // SAFETY: all that is read lies before `whole`, and the lanes are as many as the widest registers have.
        unsafe {
            let mut sums = [R::splat(R::Element::ZERO); TOGETHER];
            let mut at = start;
            while at < whole.min(start + BLOCK) {
                for (i, sum) in sums.iter_mut().enumerate() {
                    let place = at + i * R::LANES;
                    *sum = R::plus(*sum, R::load(from_x.add(place)), R::load(from_y.add(place)));
                }
                at += width;
            }
            for (i, &sum) in sums.iter().enumerate() {
                R::store(lanes.as_mut_ptr().add(i * R::LANES), sum);
            }
        }
        total += lanes[..width].iter().map(|&lane| lane.into()).sum::<f64>();
    }
    for at in whole..count {
        total += (x[at] * y[at]).into();
    }
    total
}

#[inline(always)]
fn sums<T: Real + Into<f64>>(x: &[T], y: &[T]) -> f64 {
    let mut total = 0.0;
    for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let mut lanes = [T::ZERO; LANES];
        let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        for i in 0..xs.len() {
            for lane in 0..LANES {
                lanes[lane] += xs[i][lane] * ys[i][lane];
            }
        }
        total += lanes.iter().map(|&lane| lane.into()).sum::<f64>();
        for i in 0..x_rest.len() {
            total += (x_rest[i] * y_rest[i]).into();
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_length() {
        for count in [0, 1, LANES + 3, BLOCK + 1, 2 * WORTH_A_THREAD + 5] {
            let x: Vec<f64> = (0..count).map(|i| (i % 7) as f64).collect();
            let wanted: f64 = x.iter().map(|v| v * 2.0).sum();
            let y = vec![2.0; count];
            for threads in [1, 2] {
                assert_eq!(inner_product(&x, &y, threads).unwrap(), wanted);
            }
        }
        assert!(inner_product(&[1.0f32], &[], 1).is_err());
    }

    #[test]
    fn millions_err_like_thousands() {
        let x = vec![1.1f32; 1 << 22];
        let wanted = f64::from(1.1f32) * f64::from(1.1f32) * x.len() as f64;
        assert!((inner_product(&x, &x, 1).unwrap() / wanted - 1.0).abs() < 1e-6);
        let elements = vec![1.0; 2 << 11];
        let matrix = Matrix {
            elements: &elements,
            rows: 1 << 11,
            columns: 2,
        };
        let mut result = vec![0.0; 2 << 11];
        let squares = product_and_squares(&matrix, &x, &mut result, 1 << 11, 1).unwrap();
        assert!((squares / wanted - 1.0).abs() < 1e-6);
    }

    /// Whole numbers, so that sums are exact in any order.
    #[test]
    fn squares_beside_products_of_long_rows_and_short_ones() {
        for (rows, n, p) in [(0, 70, 2), (3, 0, 2), (5, 3, 3), (37, 100, 17), (9, 70, 0)] {
            let x: Vec<f32> = (0..rows * n).map(|i| (i % 11) as f32 - 5.0).collect();
            let elements: Vec<f32> = (0..n * p).map(|i| (i % 7) as f32 - 3.0).collect();
            let matrix = Matrix {
                elements: &elements,
                rows: n,
                columns: p,
            };
            let (mut result, mut wanted) = (vec![f32::NAN; rows * p], vec![f32::NAN; rows * p]);
            matrix.apply(&x, &mut wanted, rows, 2).unwrap();
            let squares = product_and_squares(&matrix, &x, &mut result, rows, 2).unwrap();
            let sum: f32 = x.iter().map(|v| v * v).sum();
            assert_eq!((squares, result), (f64::from(sum), wanted));
        }
    }
}
