//! Blades as subspaces: projection, reflection, meet and join.

use super::blade::Blade;
use super::coefficients::Coefficients;
use super::multivector::Multivector;
use super::product::{Grades, Product};
use crate::error::{Error, Result};

/// A direction shorter than this, beside unit vectors, is taken to lie in the subspace already.
const INDEPENDENT: f64 = 1e-9;

impl Multivector {
    fn require_grade_one(&self, what: &str) -> Result<()> {
        if self.grades() == Grades::only(1) {
            return Ok(());
        }
        Err(Error::new(format!(
            "{what} must be a vector other than zero, but is {self}"
        )))
    }

    /// The projection (A ⌋ B⁻¹) ⌋ B on the subspace of the blade B.
    ///
    /// # Errors
    /// If B has no inverse or the algebras differ.
    pub fn project(&self, blade: &Self) -> Result<Self> {
        self.product(Product::LeftContraction, &blade.inverse()?)?
            .product(Product::LeftContraction, blade)
    }

    /// What the projection leaves: A − project(A).
    ///
    /// # Errors
    /// As [`Self::project`].
    pub fn reject(&self, blade: &Self) -> Result<Self> {
        self.sub(&self.project(blade)?)
    }

    /// The mirror image in the hyperplane orthogonal to the vector n: n Â n⁻¹, for a vector −n a n⁻¹.
    ///
    /// # Errors
    /// If n is not a vector, or a null vector, or of another algebra.
    pub fn reflect(&self, normal: &Self) -> Result<Self> {
        normal.require_grade_one("the normal of a mirror")?;
        let image = normal
            .product(Product::Geometric, &self.involute())?
            .times(&normal.inverse()?);
        Ok(image.part(self.grades()))
    }

    /// The vectors v₁ … v_g whose outer product is the blade up to a factor, orthonormal in the
    /// coefficients, whatever the metric.
    fn factors(&self) -> Result<Vec<Vec<f64>>> {
        let not_a_blade = || Error::new(format!("meet and join take blades, but got {self}"));
        let algebra = self.algebra();
        let (n, size) = (algebra.dimension(), self.magnitude());
        let grade = match self.grades().iter().collect::<Vec<_>>()[..] {
            [grade] if size.is_finite() => grade,
            _ => return Err(not_a_blade()),
        };
        let canonical = |blade: Blade| {
            let positions = algebra.positions(blade.grade());
            let found = positions
                .clone()
                .find(|&k| algebra.blades()[k].blade == blade)?;
            Some(f64::from(algebra.blades()[found].orientation) * self.coefficients()[found] / size)
        };
        let largest = algebra
            .positions(grade)
            .max_by(|&a, &b| {
                self.coefficients()[a]
                    .abs()
                    .total_cmp(&self.coefficients()[b].abs())
            })
            .ok_or_else(not_a_blade)?;
        let frame = algebra.blades()[largest].blade;
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for factor in frame.factors() {
            let others = Blade(frame.0 & !(1 << factor));
            let vector = (0..n).map(|k| {
                let vector = Blade(1 << k);
                let sign = f64::from(vector.reordering_sign(others));
                if others.0 & vector.0 != 0 {
                    0.0
                } else {
                    sign * canonical(Blade(others.0 | vector.0)).unwrap_or(0.0)
                }
            });
            extend(&mut basis, vector.collect(), INDEPENDENT);
        }
        let rebuilt = self.wedge_of(&basis);
        let sign = (rebuilt.coefficients()[largest] * self.coefficients()[largest]).signum();
        let unit = self.unscale(
            self.coefficients()
                .iter()
                .map(|c| (c / size).powi(2))
                .sum::<f64>()
                .sqrt()
                * size,
        );
        if basis.len() != grade || !rebuilt.scale(sign).is_close(&unit, 1e-9, 0.0)? {
            return Err(not_a_blade());
        }
        if sign < 0.0
            && let Some(first) = basis.first_mut()
        {
            first.iter_mut().for_each(|c| *c = -*c);
        }
        Ok(basis)
    }

    fn wedge_of(&self, vectors: &[Vec<f64>]) -> Self {
        let algebra = self.algebra();
        vectors
            .iter()
            .fold(Self::scalar(algebra, 1.0), |blade, vector| {
                let mut coefficients = Coefficients::zeros(algebra.len());
                coefficients[algebra.positions(1)].copy_from_slice(vector);
                blade.multiplied(
                    Product::Outer,
                    &Self::with_grades(algebra, Grades::only(1), coefficients),
                )
            })
    }

    /// The smallest blade that contains both. It is A ∧ B where they share no direction; elsewhere
    /// its coefficients have length 1 and it continues A.
    ///
    /// # Errors
    /// If either is not a blade, or the algebras differ.
    pub fn join(&self, other: &Self) -> Result<Self> {
        let outer = self.product(Product::Outer, other)?;
        let (mut basis, more) = (self.factors()?, other.factors()?);
        let together = basis.len() + more.len();
        for vector in more {
            extend(&mut basis, vector, INDEPENDENT);
        }
        Ok(if basis.len() == together {
            outer
        } else {
            self.wedge_of(&basis)
        })
    }

    /// The largest blade contained in both: the undual of the join of the duals. It is the regressive
    /// product A ∨ B where both together span the whole space.
    ///
    /// # Errors
    /// If either is not a blade, or the algebras differ.
    pub fn meet(&self, other: &Self) -> Result<Self> {
        Ok(self.dual().join(&other.dual())?.undual())
    }
}

/// Gram–Schmidt, twice: adds the direction of `vector` that `basis` does not span yet, if it is longer
/// than `least` times the vector.
pub(super) fn extend(basis: &mut Vec<Vec<f64>>, mut vector: Vec<f64>, least: f64) {
    let length = |v: &[f64]| v.iter().fold(0.0f64, |sum, c| sum.hypot(*c));
    let size = length(&vector);
    if size == 0.0 {
        return;
    }
    vector.iter_mut().for_each(|c| *c /= size);
    for _ in 0..3 {
        for unit in basis.iter() {
            let along: f64 = unit.iter().zip(&vector).map(|(a, b)| a * b).sum();
            vector
                .iter_mut()
                .zip(unit)
                .for_each(|(c, u)| *c -= along * u);
        }
        let left = length(&vector);
        if left <= least {
            return;
        }
        vector.iter_mut().for_each(|c| *c /= left);
    }
    basis.push(vector);
}

#[cfg(test)]
mod tests {
    use super::super::algebra::Algebra;
    use super::*;

    #[test]
    fn planes_of_space_meet_in_their_line_and_join_to_space() {
        let space = Algebra::named("VGA3D").unwrap();
        let (a, b) = (
            Multivector::basis(space, "e12").unwrap(),
            Multivector::basis(space, "e23").unwrap(),
        );
        let (meet, join) = (a.meet(&b).unwrap(), a.join(&b).unwrap());
        assert_eq!(meet.grades(), Grades::only(1));
        assert_eq!(meet.coefficient("e2").unwrap().abs(), 1.0);
        assert_eq!(join.grades(), Grades::only(3));
    }

    #[test]
    fn a_blade_meets_and_joins_itself_in_itself() {
        let space = Algebra::named("VGA3D").unwrap();
        let v = Multivector::of_grade(space, 1, &[0.6, 0.0, -0.8]).unwrap();
        assert!(v.join(&v).unwrap().is_close(&v, 1e-12, 0.0).unwrap());
        let meet = v.meet(&v).unwrap();
        assert!(
            meet.is_close(&v, 1e-12, 0.0).unwrap() || meet.is_close(&v.neg(), 1e-12, 0.0).unwrap()
        );
    }

    #[test]
    fn a_sum_that_is_no_blade_is_refused() {
        let algebra = Algebra::new(4, 0, 0).unwrap();
        let two_planes = Multivector::basis(algebra, "e12").unwrap();
        let two_planes = two_planes
            .add(&Multivector::basis(algebra, "e34").unwrap())
            .unwrap();
        let v = Multivector::basis(algebra, "e1").unwrap();
        assert!(two_planes.join(&v).unwrap_err().0.contains("take blades"));
    }
}
