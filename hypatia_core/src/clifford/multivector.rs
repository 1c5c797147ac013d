//! A multivector with float coefficients.

use super::algebra::Algebra;
use super::blade::Blade;
use super::coefficients::Coefficients;
use super::product::{Grades, Product};
use crate::error::{Error, Result};

/// A linear combination of the basis blades of an [`Algebra`].
///
/// It knows which grades it can have at all, and every operation skips the others.
#[derive(Debug, Clone)]
pub struct Multivector {
    algebra: &'static Algebra,
    grades: Grades,
    coefficients: Coefficients,
}

impl Multivector {
    /// The multivector with these coefficients, in the order of the algebra's blades.
    ///
    /// # Errors
    /// If there are not exactly 2ⁿ of them.
    pub fn new(algebra: &'static Algebra, coefficients: Vec<f64>) -> Result<Self> {
        if coefficients.len() != algebra.len() {
            return Err(Error::new(format!(
                "{algebra} has {} blades, but {} coefficients were given",
                algebra.len(),
                coefficients.len()
            )));
        }
        let used = (0..algebra.len())
            .filter(|&k| coefficients[k] != 0.0)
            .map(|k| algebra.grade(k))
            .collect();
        Ok(Self {
            algebra,
            grades: used,
            coefficients: coefficients.into(),
        })
    }

    /// Zero.
    pub fn zero(algebra: &'static Algebra) -> Self {
        Self::with_grades(
            algebra,
            Grades::default(),
            Coefficients::zeros(algebra.len()),
        )
    }

    /// The caller promises that the coefficients of all other grades are zero.
    pub(super) fn with_grades(
        algebra: &'static Algebra,
        grades: Grades,
        coefficients: Coefficients,
    ) -> Self {
        debug_assert_eq!(coefficients.len(), algebra.len());
        Self {
            algebra,
            grades,
            coefficients,
        }
    }

    /// A scalar.
    pub fn scalar(algebra: &'static Algebra, value: f64) -> Self {
        let mut out = Self::zero(algebra);
        out.grades = Grades::only(0);
        out.coefficients[0] = value;
        out
    }

    /// The basis blade of this name.
    ///
    /// # Errors
    /// If the algebra has none of this name.
    pub fn basis(algebra: &'static Algebra, name: &str) -> Result<Self> {
        let (k, sign) = algebra.require_blade(name)?;
        Ok(Self::unit(algebra, k).scale(sign.into()))
    }

    /// The basis element at a position.
    pub(super) fn unit(algebra: &'static Algebra, position: usize) -> Self {
        let mut out = Self::zero(algebra);
        out.grades = Grades::only(algebra.grade(position));
        out.coefficients[position] = 1.0;
        out
    }

    /// The element of one grade with these coefficients.
    ///
    /// # Errors
    /// If the grade has another number of blades.
    pub fn of_grade(algebra: &'static Algebra, grade: usize, values: &[f64]) -> Result<Self> {
        let positions = algebra.positions(grade);
        if positions.len() != values.len() {
            return Err(Error::new(format!(
                "grade {grade} of {algebra} has {} blades, but {} coefficients were given",
                positions.len(),
                values.len()
            )));
        }
        let mut out = Self::zero(algebra);
        out.grades = Grades::only(grade);
        out.coefficients[positions].copy_from_slice(values);
        Ok(out)
    }

    /// The pseudoscalar, the product of all basis vectors.
    pub fn pseudoscalar(algebra: &'static Algebra) -> Self {
        Self::unit(algebra, algebra.len() - 1)
    }

    /// Its algebra.
    pub fn algebra(&self) -> &'static Algebra {
        self.algebra
    }

    /// All coefficients, in the order of the algebra's blades.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// The coefficients as they are stored.
    pub(super) fn stored(&self) -> &Coefficients {
        &self.coefficients
    }

    /// The same to be written to, in the grades that it may have.
    pub(super) fn stored_mut(&mut self) -> &mut Coefficients {
        &mut self.coefficients
    }

    /// The scalar coefficient.
    pub fn scalar_part(&self) -> f64 {
        self.coefficients[0]
    }

    /// The coefficient of a blade by name; factors in another order change its sign.
    ///
    /// # Errors
    /// If the algebra has no blade of this name.
    pub fn coefficient(&self, name: &str) -> Result<f64> {
        let (k, sign) = self.algebra.require_blade(name)?;
        Ok(self.coefficients[k] * f64::from(sign))
    }

    /// The grades with a coefficient other than zero.
    pub fn grades(&self) -> Grades {
        self.grades
            .iter()
            .filter(|&g| {
                self.coefficients[self.algebra.positions(g)]
                    .iter()
                    .any(|c| *c != 0.0)
            })
            .collect()
    }

    /// The grades it may have; all others are zero by construction.
    pub(super) fn possible_grades(&self) -> Grades {
        self.grades
    }

    /// The part of these grades.
    pub fn part(&self, grades: Grades) -> Self {
        let mut out = Self::zero(self.algebra);
        out.grades = self.grades.intersection(grades);
        for g in out.grades.iter() {
            let positions = self.algebra.positions(g);
            out.coefficients[positions.clone()].copy_from_slice(&self.coefficients[positions]);
        }
        out
    }

    /// The part of grade k; zero above the dimension.
    pub fn grade(&self, k: usize) -> Self {
        self.part(if k < 16 {
            Grades::only(k)
        } else {
            Grades::default()
        })
    }

    /// The part of even grades.
    pub fn even(&self) -> Self {
        self.part(Grades::EVEN)
    }

    /// The part of odd grades.
    pub fn odd(&self) -> Self {
        self.part(Grades(!Grades::EVEN.0))
    }

    fn same_algebra(&self, other: &Self) -> Result<()> {
        if std::ptr::eq(self.algebra, other.algebra) || self.algebra == other.algebra {
            return Ok(());
        }
        Err(Error::new(format!(
            "multivectors of different algebras cannot be combined: {} and {}",
            self.algebra, other.algebra
        )))
    }

    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Result<Self> {
        self.same_algebra(other)?;
        let mut out = self.clone();
        out.grades = self.grades.union(other.grades);
        let pairs = out.coefficients.iter_mut().zip(other.coefficients());
        pairs.for_each(|(a, b)| *a = f(*a, *b));
        Ok(out)
    }

    /// The sum.
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn add(&self, other: &Self) -> Result<Self> {
        self.zip(other, |a, b| a + b)
    }

    /// The difference.
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn sub(&self, other: &Self) -> Result<Self> {
        self.zip(other, |a, b| a - b)
    }

    /// With a scalar added.
    pub fn add_scalar(&self, value: f64) -> Self {
        let mut out = self.clone();
        out.plus_scalar(value);
        out
    }

    /// Adds a scalar to it.
    pub(super) fn plus_scalar(&mut self, value: f64) {
        self.coefficients[0] += value;
        self.grades = self.grades.union(Grades::only(0));
    }

    /// Times a scalar. Grades that are zero by construction stay zero, whatever the scalar.
    pub fn scale(&self, factor: f64) -> Self {
        self.by_grade(|_| factor)
    }

    /// Divided by a scalar.
    pub fn unscale(&self, divisor: f64) -> Self {
        let mut out = self.clone();
        for g in self.grades.iter() {
            out.coefficients[self.algebra.positions(g)]
                .iter_mut()
                .for_each(|c| *c /= divisor);
        }
        out
    }

    /// Multiplies it by a scalar.
    pub(super) fn times_scalar(&mut self, factor: f64) {
        self.times_by_grade(|_| factor);
    }

    fn times_by_grade(&mut self, factor: impl Fn(usize) -> f64) {
        for g in self.grades.iter() {
            let factor = factor(g);
            for c in &mut self.coefficients[self.algebra.positions(g)] {
                *c *= factor;
            }
        }
    }

    fn by_grade(&self, factor: impl Fn(usize) -> f64) -> Self {
        let mut out = self.clone();
        out.times_by_grade(factor);
        out
    }

    /// A bilinear product, over the grades that the factors can have.
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn product(&self, product: Product, other: &Self) -> Result<Self> {
        self.same_algebra(other)?;
        Ok(self.multiplied(product, other))
    }

    pub(super) fn multiplied(&self, product: Product, other: &Self) -> Self {
        self.multiplied_to(product, other, Grades(u16::MAX))
    }

    /// The geometric product with a multivector of the same algebra.
    pub(super) fn times(&self, other: &Self) -> Self {
        self.multiplied(Product::Geometric, other)
    }

    /// A A, over the grades that it can have: one that is its own reverse, or its negative, squares to one that is
    /// its own reverse.
    pub(super) fn square(&self) -> Self {
        let kept = match self.grades_of_its_kind() {
            Grades(u16::MAX) => Grades(u16::MAX),
            _ => Grades::OWN_REVERSE,
        };
        self.multiplied_to(Product::Geometric, self, kept)
    }

    /// All grades whose reverse is what it is of the grades that it may have; every grade, where these differ.
    pub(super) fn grades_of_its_kind(&self) -> Grades {
        [Grades::OWN_REVERSE, Grades(!Grades::OWN_REVERSE.0)]
            .into_iter()
            .find(|kind| self.grades.0 & !kind.0 == 0)
            .unwrap_or(Grades(u16::MAX))
    }

    /// Adds a multiple of a multivector of the same algebra to it.
    pub(super) fn plus_scaled(&mut self, other: &Self, factor: f64) {
        self.grades = self.grades.union(other.grades);
        for g in other.grades.iter() {
            let positions = self.algebra.positions(g);
            let pairs = self.coefficients[positions.clone()]
                .iter_mut()
                .zip(&other.coefficients[positions]);
            pairs.for_each(|(sum, c)| *sum += factor * c);
        }
    }

    /// ½(ab − ba).
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn commutator(&self, other: &Self) -> Result<Self> {
        self.same_algebra(other)?;
        Ok(self.times(other).sub(&other.times(self))?.scale(0.5))
    }

    /// ½(ab + ba).
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn anticommutator(&self, other: &Self) -> Result<Self> {
        self.same_algebra(other)?;
        Ok(self.times(other).add(&other.times(self))?.scale(0.5))
    }

    /// The negative.
    pub fn neg(&self) -> Self {
        self.scale(-1.0)
    }

    /// The reverse: the factors of every blade in the opposite order.
    pub fn reverse(&self) -> Self {
        self.by_grade(|g| f64::from(Blade::reverse_sign(g)))
    }

    /// The grade involution: every vector negated.
    pub fn involute(&self) -> Self {
        self.by_grade(|g| if g % 2 == 0 { 1.0 } else { -1.0 })
    }

    /// The Clifford conjugate: reversed and involuted.
    pub fn conjugate(&self) -> Self {
        self.by_grade(|g| f64::from(Blade::reverse_sign(g)) * if g % 2 == 0 { 1.0 } else { -1.0 })
    }

    fn remapped(&self, to: impl Fn(usize) -> (usize, i8)) -> Self {
        let n = self.algebra.dimension();
        let mut out = Self::zero(self.algebra);
        out.grades = self.grades.iter().map(|g| n - g).collect();
        for i in self.grades.iter().flat_map(|g| self.algebra.positions(g)) {
            let (k, sign) = to(i);
            out.coefficients[k] = f64::from(sign) * self.coefficients[i];
        }
        out
    }

    /// The dual: the right complement, b ∧ dual(b) = the pseudoscalar on basis blades. Needs no metric,
    /// so it exists in every signature (the Hodge dual up to the metric's signs).
    pub fn dual(&self) -> Self {
        self.remapped(|i| self.algebra.complement(i))
    }

    /// The inverse of [`Self::dual`].
    pub fn undual(&self) -> Self {
        self.remapped(|i| self.algebra.uncomplement(i))
    }

    /// The metric dual `A I⁻¹`.
    ///
    /// # Errors
    /// If the algebra has null basis vectors, whose pseudoscalar has no inverse.
    pub fn polarity(&self) -> Result<Self> {
        Ok(self.times(&Self::pseudoscalar(self.algebra).inverse()?))
    }

    /// The largest absolute coefficient, or NaN.
    pub(super) fn magnitude(&self) -> f64 {
        self.magnitude_of(Grades(u16::MAX))
    }

    /// The same over these grades.
    pub(super) fn magnitude_of(&self, grades: Grades) -> f64 {
        // Without signs, floats are in order as their bits are, and what is not a number is above all.
        let mut largest = 0;
        for g in self.grades.intersection(grades).iter() {
            for c in &self.coefficients[self.algebra.positions(g)] {
                largest = largest.max(c.abs().to_bits());
            }
        }
        f64::from_bits(largest)
    }

    /// `⟨A Ã⟩₀`; negative where the metric makes it so.
    pub fn norm_squared(&self) -> f64 {
        let (n, table) = (self.algebra.len(), self.algebra.table(Product::Geometric));
        let terms = self.grades.iter().flat_map(|g| {
            let reverse = Blade::reverse_sign(g);
            self.algebra.positions(g).map(move |i| (i, reverse))
        });
        terms
            .filter_map(|(i, reverse)| {
                let sign = table[i * n + i].sign * reverse;
                (sign != 0).then(|| f64::from(sign) * self.coefficients[i] * self.coefficients[i])
            })
            .sum()
    }

    /// `√|⟨A Ã⟩₀|`, without overflow on the way.
    pub fn norm(&self) -> f64 {
        let scale = self.magnitude();
        if scale == 0.0 || !scale.is_finite() {
            return scale;
        }
        scale * self.unscale(scale).norm_squared().abs().sqrt()
    }

    /// Divided by its norm.
    ///
    /// # Errors
    /// If the norm is zero or not finite.
    pub fn normalized(&self) -> Result<Self> {
        let norm = self.norm();
        if norm == 0.0 || !norm.is_finite() {
            return Err(Error::new(format!(
                "a multivector of norm {norm} cannot be normalised: {self}"
            )));
        }
        Ok(self.unscale(norm))
    }

    /// An integer power; a negative one is a power of the inverse.
    ///
    /// # Errors
    /// If the power is negative and there is no inverse.
    pub fn powi(&self, exponent: i64) -> Result<Self> {
        let mut base = if exponent < 0 {
            self.inverse()?
        } else {
            self.clone()
        };
        let mut out = Self::scalar(self.algebra, 1.0);
        let mut left = exponent.unsigned_abs();
        while left > 0 {
            if left & 1 == 1 {
                out = out.times(&base);
            }
            left >>= 1;
            if left > 0 {
                base = base.times(&base);
            }
        }
        Ok(out)
    }

    /// Whether every coefficient differs by at most `atol + rtol · magnitude`, the magnitude being the
    /// larger of the two largest coefficients.
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn is_close(&self, other: &Self, rtol: f64, atol: f64) -> Result<bool> {
        self.same_algebra(other)?;
        let bound = atol + rtol * self.magnitude().max(other.magnitude());
        Ok(self
            .coefficients
            .iter()
            .zip(other.coefficients())
            .all(|(a, b)| a == b || (a - b).abs() <= bound))
    }
}

impl PartialEq for Multivector {
    fn eq(&self, other: &Self) -> bool {
        self.algebra == other.algebra && self.coefficients() == other.coefficients()
    }
}
