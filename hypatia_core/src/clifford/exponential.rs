//! Exponential, logarithm and square root.
//!
//! Where the square of the non-scalar part is a [`Study`] number (every element of two dimensions, every
//! bivector up to five) the closed form is taken; elsewhere scaling and squaring. A logarithm or root
//! that is not a closed form is checked by putting it back, and refused if it does not fit.

use num_complex::Complex64;

use super::multivector::Multivector;
use super::product::Grades;
use super::study::{AngleOverSine, CoshRoot, SinhcRoot, Study};
use crate::error::{Error, Result};

/// How well a logarithm or root must give its argument back, relative to its size.
const FIT: f64 = 1e-9;

impl Multivector {
    fn require_finite(&self, function: &str) -> Result<()> {
        if self.magnitude().is_finite() {
            return Ok(());
        }
        Err(Error::new(format!(
            "{function} of a multivector that is not finite: {self}"
        )))
    }

    /// The coefficients' sum of absolute values, which never grows under products.
    fn one_norm(&self) -> f64 {
        self.coefficients().iter().map(|c| c.abs()).sum()
    }

    fn fits(&self, other: &Self) -> bool {
        self.is_close(other, FIT, 0.0).unwrap_or(false)
    }

    /// The exponential Σ Aᵏ/k!.
    ///
    /// # Errors
    /// If A is not finite, or the result is beyond the floats.
    pub fn exp(&self) -> Result<Self> {
        self.require_finite("exp")?;
        let algebra = self.algebra();
        let scalar = self.scalar_part();
        let mut rest = self.add_scalar(-scalar).part(Grades(!1));
        let mut factor = Self::scalar(algebra, scalar.exp());
        if algebra.dimension() % 2 == 1 {
            let central = rest.grade(algebra.dimension());
            if central.magnitude() != 0.0 {
                rest = rest.part(Grades(!Grades::only(algebra.dimension()).0));
                factor = factor.times(&central.exp_of_rest());
            }
        }
        let out = factor.times(&rest.exp_of_rest());
        if out.magnitude().is_finite() {
            return Ok(out);
        }
        Err(Error::new(format!("exp overflows for {self}")))
    }

    /// exp of an element without scalar part.
    fn exp_of_rest(&self) -> Self {
        let square = self.times(self).part(self.grades_of_square());
        let closed = Study::of(&square).and_then(|z| {
            self.times(&z.apply(&SinhcRoot)?)
                .add(&z.apply(&CoshRoot)?)
                .ok()
        });
        closed.unwrap_or_else(|| self.exp_by_squaring())
    }

    /// The grades the square can have: one that is its own reverse, or its negative, squares to one
    /// that is its own reverse.
    fn grades_of_square(&self) -> Grades {
        let signs: Vec<i8> = self
            .possible_grades()
            .iter()
            .map(super::blade::Blade::reverse_sign)
            .collect();
        if signs.iter().all(|s| *s == 1) || signs.iter().all(|s| *s == -1) {
            Grades(0x3333)
        } else {
            Grades(u16::MAX)
        }
    }

    fn exp_by_squaring(&self) -> Self {
        let halvings = (self.one_norm().log2().ceil() + 1.0).clamp(0.0, 1100.0) as i32;
        let small = self.scale(0.5f64.powi(halvings));
        let mut term = Self::scalar(self.algebra(), 1.0);
        let mut sum = term.clone();
        for k in 1..18 {
            term = term.times(&small).unscale(f64::from(k));
            sum = sum.zip_add(&term);
        }
        for _ in 0..halvings {
            sum = sum.times(&sum);
        }
        sum
    }

    fn zip_add(&self, other: &Self) -> Self {
        let coefficients = self
            .coefficients()
            .iter()
            .zip(other.coefficients())
            .map(|(a, b)| a + b)
            .collect();
        Self::with_grades(
            self.algebra(),
            self.possible_grades().union(other.possible_grades()),
            coefficients,
        )
    }

    /// The principal logarithm: exp(log A) = A.
    ///
    /// # Errors
    /// If A is not finite, or has no principal logarithm: zero, a divisor of zero, or an element with a
    /// negative real eigenvalue, such as the rotor −1 of a full turn, which every plane of rotation fits.
    pub fn log(&self) -> Result<Self> {
        self.require_finite("log")?;
        let none = || Error::new(format!("{self} has no principal logarithm"));
        let a = self.scalar_part();
        let rest = self.add_scalar(-a).part(Grades(!1));
        let size = self.magnitude();
        if let Some(z) = Study::of(&self.unscale(size)) {
            let (a, d) = (z.a, z.square.abs().sqrt());
            let (length, factor) = if z.square < 0.0 {
                (a.hypot(d), d.atan2(a) / d)
            } else if z.square > 0.0 && a > d {
                (((a - d) * (a + d)).sqrt(), (d / a).atanh() / d)
            } else if z.square == 0.0 && a > 0.0 {
                (a, 1.0 / a)
            } else {
                return Err(none());
            };
            return Ok(rest
                .scale(factor / size)
                .add_scalar(log_of_length(length * size)));
        }
        if let Some(log) = self
            .log_of_versor()
            .filter(|log| log.exp().is_ok_and(|e| e.fits(self)))
        {
            return Ok(log);
        }
        self.log_by_roots()
            .filter(|log| log.exp().is_ok_and(|e| e.fits(self)))
            .ok_or_else(none)
    }

    /// The logarithm of an even versor whose planes of rotation are at most two.
    fn log_of_versor(&self) -> Option<Self> {
        let algebra = self.algebra();
        if algebra.dimension() > 5 || self.grades().0 & !0b10101 != 0 {
            return None;
        }
        let length = self.norm();
        let unit = self.unscale(length);
        let square = unit.times(&unit.reverse());
        if !square
            .is_close(&Self::scalar(algebra, 1.0), 1e-12, 0.0)
            .ok()?
        {
            return None;
        }
        let planes = unit.grade(2);
        let (c, w) = (
            unit.part(Grades(0b10001)),
            planes.times(&planes).part(Grades(0b10001)).neg(),
        );
        let (c4, w4) = (c.grade(4), w.grade(4));
        let q = if c4.magnitude() > w4.magnitude() {
            &c4
        } else {
            &w4
        };
        let along = |v: &Self| {
            let dot = |a: &Self, b: &Self| -> f64 {
                a.coefficients()
                    .iter()
                    .zip(b.coefficients())
                    .map(|(a, b)| a * b)
                    .sum()
            };
            let t = dot(v, q) / dot(q, q);
            v.is_close(&q.scale(t), 1e-12, 1e-15)
                .unwrap_or(false)
                .then_some(t)
        };
        let (dc, dw) = (along(&c4)?, along(&w4)?);
        let number = Study::of(q)?;
        let (c, w, d) = (c.scalar_part(), w.scalar_part(), number.square.abs().sqrt());
        let (scalar, factor) = if number.square < 0.0 {
            let value =
                AngleOverSine::complex(Complex64::new(c, dc * d), Complex64::new(w, dw * d));
            (value.re, value.im / d)
        } else if number.square > 0.0 {
            let low = AngleOverSine::real(c - dc * d, w - dw * d);
            let high = AngleOverSine::real(c + dc * d, w + dw * d);
            (0.5 * (low + high), 0.5 * (high - low) / d)
        } else {
            (
                AngleOverSine::real(c, w),
                AngleOverSine::slope(c, w, dc, dw),
            )
        };
        let log = planes
            .times(&q.scale(factor).add_scalar(scalar))
            .add_scalar(log_of_length(length));
        log.magnitude().is_finite().then_some(log)
    }

    /// Inverse scaling and squaring (Kenney and Laub, 1989), with 2 artanh((X − 1)/(X + 1)) near 1.
    fn log_by_roots(&self) -> Option<Self> {
        let mut root = self.clone();
        let mut halvings = 0;
        while root.add_scalar(-1.0).one_norm() > 0.3 {
            if halvings == 64 {
                return None;
            }
            root = root.sqrt_by_iteration()?;
            halvings += 1;
        }
        let y = root
            .add_scalar(-1.0)
            .times(&root.add_scalar(1.0).inverse().ok()?);
        let (yy, mut power) = (y.times(&y), y.clone());
        let mut sum = y;
        for k in 1..14 {
            power = power.times(&yy);
            sum = sum.zip_add(&power.unscale(f64::from(2 * k + 1)));
        }
        Some(sum.scale(2.0f64.powi(halvings + 1)))
    }

    /// The principal square root: the one near 1 for arguments near 1.
    ///
    /// # Errors
    /// If A is not finite or has no principal root.
    pub fn sqrt(&self) -> Result<Self> {
        self.require_finite("sqrt")?;
        let none = || Error::new(format!("{self} has no principal square root"));
        let size = self.magnitude();
        if size == 0.0 {
            return Ok(self.clone());
        }
        let unit = self.unscale(size);
        if let Some(z) = Study::of(&unit) {
            let a = z.a;
            let rest = unit.add_scalar(-a).part(Grades(!1));
            let scalar = if z.square < 0.0 {
                let d = (-z.square).sqrt();
                let length = a.hypot(d);
                if a >= 0.0 {
                    (0.5 * (length + a)).sqrt()
                } else {
                    0.5 * d / (0.5 * (length - a)).sqrt()
                }
            } else if a > 0.0 && a * a > z.square {
                (0.5 * (a + (a * a - z.square).sqrt())).sqrt()
            } else {
                return Err(none());
            };
            return Ok(rest
                .unscale(2.0 * scalar)
                .add_scalar(scalar)
                .scale(size.sqrt()));
        }
        let root = unit.sqrt_by_iteration().ok_or_else(none)?;
        Ok(root.scale(size.sqrt()))
    }

    /// The iteration of Denman and Beavers (1976): X → ½(X + Y⁻¹), Y → ½(Y + X⁻¹).
    fn sqrt_by_iteration(&self) -> Option<Self> {
        let mut x = self.clone();
        let mut y = Self::scalar(self.algebra(), 1.0);
        let mut last = f64::INFINITY;
        for _ in 0..64 {
            let next = x.zip_add(&y.inverse().ok()?).scale(0.5);
            y = y.zip_add(&x.inverse().ok()?).scale(0.5);
            let step = next.sub(&x).ok()?.magnitude() / next.magnitude();
            x = next;
            if step < 1e-15 || (step < 1e-12 && step >= last) {
                break;
            }
            last = step;
        }
        x.times(&x).fits(self).then_some(x)
    }
}

/// The logarithm of a norm; rounding noise around 1 is 0, so that a unit rotor's is a pure bivector.
fn log_of_length(length: f64) -> f64 {
    let log = length.ln();
    if log.abs() <= 4.0 * f64::EPSILON {
        0.0
    } else {
        log
    }
}
