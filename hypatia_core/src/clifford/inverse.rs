//! The multiplicative inverse.

use super::coefficients::Coefficients;
use super::multivector::Multivector;
use super::product::{Grades, Product};
use crate::error::{Error, Result};

impl Multivector {
    /// The inverse: A A⁻¹ = A⁻¹ A = 1.
    ///
    /// A versor's is its reverse over its squared norm; any other solves A x = 1 by elimination with
    /// partial pivoting. In a finite-dimensional algebra a right inverse is a left inverse too.
    ///
    /// # Errors
    /// If A is zero, a divisor of zero, or so near to one that the solution fails its check.
    pub fn inverse(&self) -> Result<Self> {
        let scale = self.magnitude();
        if !scale.is_finite() {
            return Err(Error::new(format!(
                "{self} has no inverse: it is not finite"
            )));
        }
        if scale == 0.0 {
            return Err(Error::new("zero has no inverse"));
        }
        let unit = self.unscale(scale);
        let reverse = unit.reverse();
        let square = unit.times(&reverse);
        let norm = square.scalar_part();
        let rest = square.add_scalar(-norm).magnitude();
        if norm != 0.0 && rest <= 1e-15 * norm.abs() {
            return Ok(reverse.unscale(norm).unscale(scale));
        }
        if norm != 0.0 && rest <= 1e-12 * norm.abs() {
            // Rounding has left a little of other grades: one step of Newton's squares the error.
            let near = reverse.unscale(norm);
            let correction = unit.times(&near).neg().add_scalar(2.0);
            return Ok(near.times(&correction).unscale(scale));
        }
        let solved = unit.solve_for_one().filter(|x| {
            let residual = unit.times(x).add_scalar(-1.0).magnitude();
            residual <= 1e-9
        });
        let x =
            solved.ok_or_else(|| Error::new(format!("{self} has no inverse: it divides zero")))?;
        Ok(x.unscale(scale))
    }

    /// Solves A x = 1, or `None` where the left multiplication by A is singular in floating point.
    fn solve_for_one(&self) -> Option<Self> {
        let (algebra, n) = (self.algebra(), self.algebra().len());
        let table = algebra.table(Product::Geometric);
        let width = n + 1;
        let mut rows = vec![0.0; n * width];
        for (i, a) in self
            .coefficients()
            .iter()
            .enumerate()
            .filter(|(_, a)| **a != 0.0)
        {
            for j in 0..n {
                let entry = table[i * n + j];
                rows[usize::from(entry.blade) * width + j] += f64::from(entry.sign) * a;
            }
        }
        rows[n] = 1.0;
        for k in 0..n {
            let pivot = (k..n).max_by(|&a, &b| {
                rows[a * width + k]
                    .abs()
                    .total_cmp(&rows[b * width + k].abs())
            })?;
            let value = rows[pivot * width + k];
            if value.abs() < 1e-14 {
                return None;
            }
            if pivot != k {
                for j in 0..width {
                    rows.swap(k * width + j, pivot * width + j);
                }
            }
            let (upper, lower) = rows.split_at_mut((k + 1) * width);
            let row = &upper[k * width..];
            for other in lower.chunks_exact_mut(width) {
                let factor = other[k] / value;
                if factor != 0.0 {
                    other[k..]
                        .iter_mut()
                        .zip(&row[k..])
                        .for_each(|(o, r)| *o -= factor * r);
                }
            }
        }
        let mut x = Coefficients::zeros(n);
        for k in (0..n).rev() {
            let known: f64 = (k + 1..n).map(|j| rows[k * width + j] * x[j]).sum();
            x[k] = (rows[k * width + n] - known) / rows[k * width + k];
        }
        Some(Self::with_grades(
            algebra,
            Grades::all(algebra.dimension()),
            x,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::algebra::Algebra;
    use super::*;

    #[test]
    fn zero_divisors_are_refused_by_name() {
        let plane = Algebra::named("VGA2D").unwrap();
        let idempotent = Multivector::new(plane, vec![1.0, 1.0, 0.0, 0.0]).unwrap();
        assert!(idempotent.inverse().unwrap_err().0.contains("divides zero"));
        assert!(
            Multivector::zero(plane)
                .inverse()
                .unwrap_err()
                .0
                .contains("zero has no inverse")
        );
        let pga = Algebra::named("PGA3D").unwrap();
        assert!(Multivector::basis(pga, "e0").unwrap().inverse().is_err());
    }

    #[test]
    fn a_general_element_of_every_model_times_its_inverse_is_one() {
        for model in super::super::signature::MODELS {
            let algebra = Algebra::named(model.name).unwrap();
            let coefficients = (0..algebra.len())
                .map(|k| ((k * k + 3) as f64 * 0.7).sin() + if k == 0 { 2.0 } else { 0.0 });
            let a = Multivector::new(algebra, coefficients.collect()).unwrap();
            let x = a.inverse().unwrap();
            let one = Multivector::scalar(algebra, 1.0);
            assert!(a.times(&x).is_close(&one, 0.0, 1e-9).unwrap(), "{algebra}");
            assert!(x.times(&a).is_close(&one, 0.0, 1e-9).unwrap(), "{algebra}");
        }
    }

    #[test]
    fn tiny_and_huge_versors_keep_their_inverse() {
        let space = Algebra::named("VGA3D").unwrap();
        for size in [1e-200, 1e200] {
            let v = Multivector::of_grade(space, 1, &[size, 0.0, 0.0]).unwrap();
            assert_eq!(v.inverse().unwrap().coefficient("e1").unwrap(), 1.0 / size);
        }
    }
}
