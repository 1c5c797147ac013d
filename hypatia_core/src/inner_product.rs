//! Inner products of long vectors: one pass over both, summed in blocks, so that the sum of millions errs like that of
//! thousands.

use crate::bilinear::{Real, threads};
use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// Elements that are summed in their own type.
const BLOCK: usize = 4096;
/// Sums that run beside each other.
const LANES: usize = 32;
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
        *self.total = sums(self.x, self.y);
    }
}

#[inline(always)]
fn sums<T: Real + Into<f64>>(x: &[T], y: &[T]) -> f64 {
    let mut total = 0.0;
    for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let mut lanes = [T::ZERO; LANES];
        let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
        let rest = xs.remainder().iter().zip(ys.remainder());
        for (a, b) in xs.zip(ys) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        total += lanes.iter().map(|&lane| lane.into()).sum::<f64>();
        total += rest.map(|(&a, &b)| (a * b).into()).sum::<f64>();
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
    }
}
