//! Measurements of one implementation, and what they say of shapes between them.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::tensor_type::DType;

/// What one implementation was measured to take, at one element type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    pub implementation: String,
    pub dtype: DType,
    /// Shape classes of one length, each with its seconds.
    pub points: Vec<(Vec<u64>, f64)>,
}

/// So near, in squared octaves, two shapes count as one.
const NEAR: f64 = 1e-3;

type Coordinates = SmallVec<[f64; 4]>;

/// Octaves; `libm`, so that every machine computes the same.
fn octaves(class: &[u64]) -> Coordinates {
    class.iter().map(|&n| libm::log2(n.max(1) as f64)).collect()
}

/// How far a guess is off, by shape.
#[derive(Debug)]
pub struct Fit {
    /// Octaves of the extents, and the logarithm of measured over guessed seconds.
    points: Vec<(Coordinates, f64)>,
}

impl Fit {
    /// Compares a guess with what was measured.
    pub fn new(measured: &[(Vec<u64>, f64)], guess: &dyn Fn(&[u64]) -> f64) -> Self {
        let extents = measured.first().map_or(0, |(shape, _)| shape.len());
        let comparable = |shape: &[u64], seconds: f64| shape.len() == extents && seconds > 0.0;
        let points = measured
            .iter()
            .filter(|(shape, seconds)| comparable(shape, *seconds))
            .map(|(shape, seconds)| (octaves(shape), libm::log(seconds / guess(shape))))
            .collect();
        Self { points }
    }

    /// What the guess at a shape class is to be multiplied by.
    ///
    /// Moving least squares, linear in the logarithms of the extents (Lancaster and Salkauskas, Mathematics of
    /// Computation 37, 1981): a measured shape gets its own time. Beyond what was measured the nearest correction stays.
    pub fn correction(&self, class: &[u64]) -> f64 {
        let mut at = octaves(class);
        if self.points.first().is_none_or(|(p, _)| p.len() != at.len()) {
            return 1.0;
        }
        for (axis, x) in at.iter_mut().enumerate() {
            let along = || self.points.iter().map(|(p, _)| p[axis]);
            let (low, high) = (
                along().fold(f64::INFINITY, f64::min),
                along().fold(f64::NEG_INFINITY, f64::max),
            );
            *x = x.clamp(low, high);
        }
        libm::exp(correction(&self.points, &at))
    }
}

/// The value at `at` of the linear function that fits the points best, near ones counting most.
fn correction(points: &[(Coordinates, f64)], at: &[f64]) -> f64 {
    // Normal equations of 1, x₁ − at₁, …: the first unknown is the value.
    let n = at.len() + 1;
    let mut matrix = vec![vec![0.0; n + 1]; n];
    for (point, value) in points {
        let mut row: SmallVec<[f64; 8]> = SmallVec::from_slice(&[1.0]);
        row.extend(point.iter().zip(at).map(|(p, a)| p - a));
        let squared: f64 = row[1..].iter().map(|d| d * d).sum();
        let weight = 1.0 / ((squared + NEAR) * (squared + NEAR));
        for i in 0..n {
            for j in 0..n {
                matrix[i][j] += weight * row[i] * row[j];
            }
            matrix[i][n] += weight * row[i] * value;
        }
    }
    // A slope that few points determine stays small.
    let ridge = 1e-3 * matrix[0][0].min(1.0);
    for (i, row) in matrix.iter_mut().enumerate().skip(1) {
        row[i] += ridge;
    }
    first_unknown(matrix)
}

/// Solves a symmetric positive definite system by elimination, from the last unknown to the first.
fn first_unknown(mut matrix: Vec<Vec<f64>>) -> f64 {
    let n = matrix.len();
    for pivot in (1..n).rev() {
        for row in 0..pivot {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let (above, from) = matrix.split_at_mut(pivot);
            for (x, y) in above[row].iter_mut().zip(&from[0]) {
                *x -= factor * y;
            }
        }
    }
    matrix[0][n] / matrix[0][0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(points: &[(Vec<u64>, f64)], class: &[u64]) -> f64 {
        product(class) * Fit::new(points, &product).correction(class)
    }

    fn product(class: &[u64]) -> f64 {
        class.iter().map(|&n| n as f64).product::<f64>() * 1e-9
    }

    #[test]
    fn a_measured_shape_has_its_own_time() {
        let grid: Vec<(Vec<u64>, f64)> = [1u64, 16, 256]
            .iter()
            .flat_map(|&a| [1u64, 16, 256].map(|b| (vec![a, b], 1e-6 * (a + 2 * b) as f64)))
            .collect();
        for (shape, seconds) in &grid {
            let found = predicted(&grid, shape);
            assert!(
                (found / seconds - 1.0).abs() < 0.02,
                "{shape:?}: {found} for {seconds}"
            );
        }
    }

    #[test]
    fn between_measurements_powers_are_met() {
        // Twice the guess times √a everywhere: linear in the logarithms.
        let truth = |s: &[u64]| 2.0 * product(s) * (s[0] as f64).sqrt();
        let points: Vec<(Vec<u64>, f64)> = [4u64, 64, 1024]
            .iter()
            .flat_map(|&a| [4u64, 64, 1024].map(|b| vec![a, b]))
            .map(|s| (s.clone(), truth(&s)))
            .collect();
        for shape in [[7, 9], [100, 30], [500, 600]] {
            let found = predicted(&points, &shape);
            assert!((found / truth(&shape) - 1.0).abs() < 0.02, "{shape:?}");
        }
    }

    #[test]
    fn beyond_the_measurements_the_guess_scales() {
        let points = [(vec![16], 3.0 * 16e-9), (vec![1024], 2.0 * 1024e-9)];
        let found = predicted(&points, &[1 << 20]);
        assert!((found / (2.0 * product(&[1 << 20])) - 1.0).abs() < 0.02);
        assert_eq!(predicted(&[], &[8]), product(&[8]));
    }
}
