//! Rotors of Euclidean space, and their exchange with angles, matrices and quaternions.
//!
//! A rotor is R = cos(θ/2) − sin(θ/2) B; R v R̃ turns v by θ counter-clockwise in the oriented plane B.

use super::algebra::Algebra;
use super::multivector::Multivector;
use super::product::{Grades, Product};
use super::subspace::extend;
use crate::error::{Error, Result};

/// How far the columns of a rotation matrix may be from orthonormal.
const ORTHONORMAL: f64 = 1e-6;

impl Multivector {
    /// The rotor by an angle in radians in the plane of a bivector, whose size does not matter.
    ///
    /// # Errors
    /// If the angle is not finite, or the bivector is zero, not of grade 2, or not a plane of rotation
    /// (its square is not a negative number).
    pub fn rotor(plane: &Self, angle: f64) -> Result<Self> {
        if !angle.is_finite() {
            return Err(Error::new(format!(
                "the angle of a rotor must be finite, but is {angle}"
            )));
        }
        let size = plane.magnitude();
        if plane.grades() != Grades::only(2) || !size.is_finite() {
            return Err(Error::new(format!(
                "the plane of a rotor must be a bivector other than zero, but is {plane}"
            )));
        }
        let plane = plane.unscale(size);
        let square = plane.times(&plane);
        let (scalar, rest) = (square.scalar_part(), square.grade(4).magnitude());
        if scalar >= 0.0 || rest > 1e-12 {
            return Err(Error::new(format!(
                "{plane} is not a plane of rotation: its square is {square}"
            )));
        }
        let (sin, cos) = (0.5 * angle).sin_cos();
        Ok(plane.scale(-sin / (-scalar).sqrt()).add_scalar(cos))
    }

    /// The rotor of space by an angle in radians about an axis, whose length does not matter.
    ///
    /// # Errors
    /// If the angle or the axis is not finite, or the axis is zero.
    pub fn rotor_about(space: &'static Algebra, angle: f64, axis: [f64; 3]) -> Result<Self> {
        let axis_is = || format!("({}, {}, {})", axis[0], axis[1], axis[2]);
        if axis.iter().any(|c| !c.is_finite()) {
            return Err(Error::new(format!(
                "the axis of a rotor must be finite, but is {}",
                axis_is()
            )));
        }
        if axis == [0.0; 3] {
            return Err(Error::new(
                "the axis of a rotor must not be zero: (0, 0, 0) has no direction",
            ));
        }
        Self::rotor(
            &Self::of_grade(space, 1, &axis)?.times(&Self::pseudoscalar(space)),
            angle,
        )
    }

    /// The rotor that turns the direction of vector a to that of b by the shorter way. Where they are
    /// opposite every plane through a serves, and one is chosen.
    ///
    /// # Errors
    /// If either is not a finite vector other than zero, the space has one dimension only, or the
    /// signature is not Euclidean.
    pub fn rotor_between(a: &Self, b: &Self) -> Result<Self> {
        let algebra = a.algebra();
        if !algebra.signature().is_euclidean()
            || algebra.dimension() < 2
            || a.algebra() != b.algebra()
        {
            return Err(Error::new(format!(
                "a rotor between vectors needs two of the same Euclidean space, got {algebra} and {}",
                b.algebra()
            )));
        }
        let mut basis = Vec::new();
        for (name, vector) in [("first", a), ("second", b)] {
            if vector.grades() != Grades::only(1) || !vector.magnitude().is_finite() {
                return Err(Error::new(format!(
                    "the {name} of a rotor's vectors must be a finite vector other than zero, but is {vector}"
                )));
            }
            extend(
                &mut basis,
                vector.coefficients()[algebra.positions(1)].to_vec(),
                1e-14,
            );
        }
        let (a, b) = (a.normalized()?, b.normalized()?);
        if basis.len() < 2 {
            for k in algebra.positions(1).map(|k| k - 1) {
                let mut axis = vec![0.0; algebra.dimension()];
                axis[k] = 1.0;
                if basis.len() < 2 && basis[0][k].abs() < 0.9 {
                    extend(&mut basis, axis, 1e-3);
                }
            }
        }
        let across = Self::of_grade(algebra, 1, &basis[1])?;
        let cos = a.multiplied(Product::Scalar, &b).scalar_part();
        let sin = across.multiplied(Product::Scalar, &b).scalar_part();
        Self::rotor(&a.multiplied(Product::Outer, &across), sin.atan2(cos))
    }

    /// As a unit rotor: even, with R R̃ a positive number, divided by its norm.
    fn unit_rotor(&self, use_: &str) -> Result<Self> {
        let square = self.times(&self.reverse());
        let scalar = square.scalar_part();
        let even = self.grades().0 & !Grades::EVEN.0 == 0;
        let rest = square.add_scalar(-scalar).magnitude();
        let euclidean = self.algebra().signature().is_euclidean();
        if !(even && euclidean && scalar > 0.0 && rest <= 1e-9 * scalar) {
            return Err(Error::new(format!(
                "{use_} needs a rotor of Euclidean space, but got {self}"
            )));
        }
        self.normalized()
    }

    /// The rotation's matrix, row by row: its columns are R eⱼ R̃.
    ///
    /// # Errors
    /// If this is not a rotor of a Euclidean space.
    pub fn to_matrix(&self) -> Result<Vec<Vec<f64>>> {
        let rotor = self.unit_rotor("a rotation matrix")?;
        let vectors = self.algebra().positions(1);
        let columns: Result<Vec<Self>> = vectors
            .clone()
            .map(|j| rotor.sandwich(&Self::unit(self.algebra(), j)))
            .collect();
        let columns = columns?;
        Ok(vectors
            .map(|i| columns.iter().map(|c| c.coefficients()[i]).collect())
            .collect())
    }

    /// The rotor of a rotation matrix of the plane or of space.
    ///
    /// # Errors
    /// If the matrix has the wrong shape or is not orthonormal with determinant +1 to 1e-6.
    pub fn from_matrix(algebra: &'static Algebra, rows: &[Vec<f64>]) -> Result<Self> {
        let n = algebra.dimension();
        if !algebra.signature().is_euclidean() || !(n == 2 || n == 3) {
            return Err(Error::new(format!(
                "rotors from matrices are of VGA2D or VGA3D, not {algebra}"
            )));
        }
        if rows.len() != n || rows.iter().any(|row| row.len() != n) {
            let shape: Vec<String> = rows.iter().map(|row| row.len().to_string()).collect();
            return Err(Error::new(format!(
                "a rotation matrix of {algebra} has {n} rows of {n}, but rows of [{}] were given",
                shape.join(", ")
            )));
        }
        let off = (0..n * n).map(|ij| {
            let (i, j) = (ij / n, ij % n);
            let dot: f64 = (0..n).map(|k| rows[i][k] * rows[j][k]).sum();
            (dot - f64::from(u8::from(i == j))).abs()
        });
        let off = off.fold(
            0.0,
            |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) },
        );
        if off > ORTHONORMAL {
            return Err(Error::new(format!(
                "not a rotation matrix: M Mᵀ differs from 1 by {off:e}"
            )));
        }
        let r = |i: usize, j: usize| rows[i][j];
        if n == 2 {
            if r(0, 0) * r(1, 1) - r(0, 1) * r(1, 0) < 0.0 {
                return Err(Error::new("not a rotation matrix: its determinant is −1"));
            }
            let angle = (r(1, 0) - r(0, 1)).atan2(r(0, 0) + r(1, 1));
            return Self::rotor(&Self::pseudoscalar(algebra), angle);
        }
        let determinant = r(0, 0) * (r(1, 1) * r(2, 2) - r(1, 2) * r(2, 1))
            - r(0, 1) * (r(1, 0) * r(2, 2) - r(1, 2) * r(2, 0))
            + r(0, 2) * (r(1, 0) * r(2, 1) - r(1, 1) * r(2, 0));
        if determinant < 0.0 {
            return Err(Error::new("not a rotation matrix: its determinant is −1"));
        }
        // Shepperd (1978): divide by the largest of the four components, so that none is lost near π.
        let trace = r(0, 0) + r(1, 1) + r(2, 2);
        let squares = [r(0, 0), r(1, 1), r(2, 2), trace];
        let largest = (0..4)
            .max_by(|&a, &b| squares[a].total_cmp(&squares[b]))
            .unwrap_or(3);
        let quaternion = if largest == 3 {
            [
                r(2, 1) - r(1, 2),
                r(0, 2) - r(2, 0),
                r(1, 0) - r(0, 1),
                1.0 + trace,
            ]
        } else {
            let (i, j, k) = (largest, (largest + 1) % 3, (largest + 2) % 3);
            let mut q = [0.0; 4];
            q[i] = 1.0 + r(i, i) - r(j, j) - r(k, k);
            q[j] = r(j, i) + r(i, j);
            q[k] = r(k, i) + r(i, k);
            q[3] = r(k, j) - r(j, k);
            q
        };
        Self::from_quaternion(algebra, quaternion)
    }

    /// The rotor of a quaternion (x, y, z, w), scalar last and active as in SciPy; its length does not
    /// matter.
    ///
    /// # Errors
    /// If it is zero or not finite.
    pub fn from_quaternion(space: &'static Algebra, [x, y, z, w]: [f64; 4]) -> Result<Self> {
        if [x, y, z, w].iter().any(|c| !c.is_finite()) || [x, y, z, w] == [0.0; 4] {
            return Err(Error::new(format!(
                "a quaternion must be finite and not zero, but is ({x}, {y}, {z}, {w})"
            )));
        }
        let planes = Self::of_grade(space, 1, &[-x, -y, -z])?.times(&Self::pseudoscalar(space));
        planes.add_scalar(w).normalized()
    }

    /// The unit quaternion (x, y, z, w) of a rotor of space, scalar last.
    ///
    /// # Errors
    /// If this is not a rotor of VGA3D.
    pub fn to_quaternion(&self) -> Result<[f64; 4]> {
        if self.algebra().signature().counts() != (3, 0, 0) {
            return Err(Error::new(format!(
                "quaternions are rotors of VGA3D, not of {}",
                self.algebra()
            )));
        }
        let rotor = self.unit_rotor("a quaternion")?;
        let part = |name| rotor.coefficient(name).map(|c| 0.0 - c);
        Ok([
            part("e23")?,
            part("e31")?,
            part("e12")?,
            rotor.scalar_part(),
        ])
    }

    /// Between two rotors at constant speed by the shorter way: R₀ (R₀⁻¹ R₁)ᵗ.
    ///
    /// # Errors
    /// If t is not finite, a rotor has no inverse, or their quotient no logarithm.
    pub fn slerp(&self, other: &Self, t: f64) -> Result<Self> {
        if !t.is_finite() {
            return Err(Error::new(format!(
                "the parameter of slerp must be finite, but is {t}"
            )));
        }
        let mut step = self.inverse()?.product(Product::Geometric, other)?;
        if step.scalar_part() < 0.0 {
            step = step.neg();
        }
        Ok(self.times(&step.log()?.scale(t).exp()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_counter_clockwise() {
        let plane = Algebra::named("VGA2D").unwrap();
        let r = Multivector::rotor(
            &Multivector::pseudoscalar(plane),
            std::f64::consts::FRAC_PI_2,
        )
        .unwrap();
        let v = r
            .sandwich(&Multivector::basis(plane, "e1").unwrap())
            .unwrap();
        assert!(
            v.is_close(&Multivector::basis(plane, "e2").unwrap(), 1e-15, 0.0)
                .unwrap()
        );
    }

    #[test]
    fn opposite_vectors_still_have_a_rotor() {
        for (p, b) in [
            (2, vec![-1.0, 0.0]),
            (3, vec![-1.0, 1e-17, 0.0]),
            (3, vec![-2.0, 1e-9, 1e-9]),
            (5, vec![-1.0, 0.0, 0.0, 0.0, 0.0]),
        ] {
            let algebra = Algebra::new(p, 0, 0).unwrap();
            let a = Multivector::basis(algebra, "e1").unwrap();
            let b = Multivector::of_grade(algebra, 1, &b).unwrap();
            let r = Multivector::rotor_between(&a, &b).unwrap();
            let turned = r.sandwich(&a).unwrap();
            assert!(
                turned
                    .is_close(&b.normalized().unwrap(), 1e-15, 0.0)
                    .unwrap(),
                "{r} takes {a} to {turned}"
            );
        }
    }

    #[test]
    fn an_improper_matrix_is_refused() {
        let space = Algebra::named("VGA3D").unwrap();
        let mirror = [
            vec![1.0, 0.0, 0.0],
            vec![0.0, 1.0, 0.0],
            vec![0.0, 0.0, -1.0],
        ];
        assert!(
            Multivector::from_matrix(space, &mirror)
                .unwrap_err()
                .0
                .contains("determinant")
        );
        assert!(
            Multivector::from_matrix(space, &mirror[..2])
                .unwrap_err()
                .0
                .contains("3 rows")
        );
    }
}
