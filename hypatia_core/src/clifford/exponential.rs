//! Exponential, logarithm and square root.
//!
//! Where the square of the non-scalar part is a [`Study`] number (every element of two dimensions, every
//! bivector up to five) the closed form is taken; elsewhere scaling and squaring. A logarithm or root
//! that is not a closed form, or whose closed form may have lost digits, is checked by putting it back, and refused if it
//! does not fit.

use num_complex::Complex64;

use super::multivector::Multivector;
use super::product::{Grades, Product};
use super::study::{AngleOverSine, Study};
use crate::error::{Error, Result};

/// How well a logarithm or root must give its argument back, relative to its size.
const FIT: f64 = 1e-9;
/// The squares of a versor's coefficients are at most so many times what is computed of their differences: rounding then
/// changes its logarithm by a hundredth of [`FIT`], even where the derivative of an angle by its sine counts.
const CONDITION: f64 = 1e3;

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
        let (dimension, scalar) = (self.algebra().dimension(), self.scalar_part());
        let mut rest = self.part(Grades(!1));
        let mut out = None;
        if dimension % 2 == 1 && self.possible_grades().contains(dimension) {
            let pseudoscalar = Grades::only(dimension);
            if rest.magnitude_of(pseudoscalar) != 0.0 {
                let central = rest.part(pseudoscalar);
                rest = rest.part(Grades(!pseudoscalar.0));
                out = Some(central.exp_of_rest().times(&rest.exp_of_rest()));
            }
        }
        let mut out = out.unwrap_or_else(|| rest.exp_of_rest());
        if scalar != 0.0 {
            out.times_scalar(scalar.exp());
        }
        if out.magnitude().is_finite() {
            return Ok(out);
        }
        Err(Error::new(format!("exp overflows for {self}")))
    }

    /// exp of an element without scalar part.
    #[inline]
    fn exp_of_rest(&self) -> Self {
        self.exp_in_closed_form()
            .unwrap_or_else(|| self.exp_by_squaring())
    }

    #[inline]
    fn exp_in_closed_form(&self) -> Option<Self> {
        let z = Study::of(&self.square())?;
        let [cosh, sinhc] = z.cosh_and_sinhc_of_root()?;
        let mut out = self.scale(sinhc.scalar);
        out.plus_scalar(cosh.scalar);
        if !z.is_scalar() {
            // Q, a part of the square, commutes with it: their product is its own reverse, or its negative, as it is.
            let by_q = self.multiplied_to(Product::Geometric, &z.q, self.grades_of_its_kind());
            out.plus_scaled(&by_q, sinhc.factor);
            out.plus_scaled(&z.q, cosh.factor);
        }
        Some(out)
    }

    fn exp_by_squaring(&self) -> Self {
        let halvings = (self.one_norm().log2().ceil() + 1.0).clamp(0.0, 1100.0) as i32;
        let small = self.scale(0.5f64.powi(halvings));
        let mut term = Self::scalar(self.algebra(), 1.0);
        let mut sum = term.clone();
        for k in 1..18 {
            term = term.times(&small).unscale(f64::from(k));
            sum.plus_scaled(&term, 1.0);
        }
        for _ in 0..halvings {
            sum = sum.times(&sum);
        }
        sum
    }

    /// The principal logarithm: exp(log A) = A.
    ///
    /// # Errors
    /// If A is not finite, or has no principal logarithm: zero, a divisor of zero, or an element with a
    /// negative real eigenvalue, such as the rotor −1 of a full turn, which every plane of rotation fits.
    pub fn log(&self) -> Result<Self> {
        self.require_finite("log")?;
        let none = || Error::new(format!("{self} has no principal logarithm"));
        let size = self.magnitude();
        let unit = self.unscale(size);
        let of_versor = || {
            let (mut log, sure) = unit.log_of_versor()?;
            log.plus_scalar(log_of_length(size));
            (sure || log.exp().is_ok_and(|e| e.fits(self))).then_some(log)
        };
        // What has a part of grade 4 turns in two planes, if it is a versor.
        let in_two_planes = unit.magnitude_of(Grades::only(4)) > FIT;
        if in_two_planes && let Some(log) = of_versor() {
            return Ok(log);
        }
        if let Some(z) = Study::of(&unit) {
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
            let log = self
                .part(Grades(!1))
                .scale(factor / size)
                .add_scalar(log_of_length(length * size));
            // Near a divisor of zero a + Q the difference a − √Q² has few digits left.
            let sure = z.square <= 0.0 || d < 0.99 * a;
            return if sure || log.exp().is_ok_and(|e| e.fits(self)) {
                Ok(log)
            } else {
                Err(none())
            };
        }
        if !in_two_planes && let Some(log) = of_versor() {
            return Ok(log);
        }
        self.log_by_roots()
            .filter(|log| log.exp().is_ok_and(|e| e.fits(self)))
            .ok_or_else(none)
    }

    /// The logarithm of an even versor whose planes of rotation are at most two, and whether it is sure to have kept its
    /// digits.
    #[inline]
    fn log_of_versor(&self) -> Option<(Self, bool)> {
        if self.algebra().dimension() > 5 || self.grades().0 & !0b10101 != 0 {
            return None;
        }
        let square = self.multiplied_to(Product::Geometric, &self.reverse(), Grades(0b10001));
        let (squared, rest) = (square.scalar_part(), square.magnitude_of(Grades::only(4)));
        if squared.is_nan() || squared <= 0.0 || rest.is_nan() || rest > 1e-12 * squared {
            return None;
        }
        let (length, four) = (squared.sqrt(), self.algebra().positions(4));
        // The unit versor is c + c₄ + P; w + w₄ is −P². The parts of grade 4 are multiples of one, q.
        let mut planes = self.grade(2);
        let square = planes.square();
        let (c, w) = (self.scalar_part() / length, -square.scalar_part() / squared);
        let size = |of: &Self| of.magnitude_of(Grades::only(4));
        let (from, by) = if size(self) / length > size(&square) / squared {
            (self, 1.0 / length)
        } else {
            (&square, -1.0 / squared)
        };
        let mut q = from.grade(4);
        q.times_scalar(by);
        let along = |v: &[f64], by: f64| {
            let q = &q.coefficients()[four.clone()];
            let dot: f64 = v.iter().zip(q).map(|(a, b)| by * a * b).sum();
            let (t, size) = (
                dot / q.iter().map(|q| q * q).sum::<f64>(),
                v.iter().fold(0.0, |m: f64, c| m.max((by * c).abs())),
            );
            v.iter()
                .zip(q)
                .all(|(v, q)| (by * v - t * q).abs() <= 1e-15 + 1e-12 * size)
                .then_some(t)
        };
        let dc = along(&self.coefficients()[four.clone()], 1.0 / length)?;
        let dw = along(&square.coefficients()[four.clone()], -1.0 / squared)?;
        let number = Study::of(&q)?;
        let d = number.square.abs().sqrt();
        let squares = |of: &Self| of.coefficients().iter().map(|c| c * c).sum::<f64>() / squared;
        // The squares of the sines of both angles, the smaller one in size.
        let least = if number.square < 0.0 {
            w.hypot(dw * d)
        } else {
            (w - dw * d).abs().min((w + dw * d).abs())
        };
        let sure = squares(self) <= CONDITION && squares(&planes) <= CONDITION * least;
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
        let by_q = planes.multiplied_to(Product::Geometric, &q, Grades::only(2));
        planes.times_scalar(scalar / length);
        planes.plus_scaled(&by_q, factor / length);
        planes.plus_scalar(log_of_length(length));
        planes.magnitude().is_finite().then_some((planes, sure))
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
            sum.plus_scaled(&power, 1.0 / f64::from(2 * k + 1));
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
            let rest = unit.part(Grades(!1));
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
            let mut next = x.clone();
            next.plus_scaled(&y.inverse().ok()?, 1.0);
            next.times_scalar(0.5);
            y.plus_scaled(&x.inverse().ok()?, 1.0);
            y.times_scalar(0.5);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clifford::Algebra;

    /// Bivectors that turn in two planes at any speed, also at nearly half a turn and by large boosts.
    fn bivectors(algebra: &'static Algebra, draw: &mut fastrand::Rng) -> Multivector {
        let count = algebra.positions(2).len();
        let mut numbers: Vec<f64> = (0..count).map(|_| draw.f64() * 2.0 - 1.0).collect();
        if draw.bool() {
            // Few planes, one of them at an angle of its own.
            numbers.iter_mut().for_each(|number| {
                *number = if draw.usize(..3) == 0 { *number } else { 0.0 };
            });
        }
        let size = [0.3, 1.0, 3.0, std::f64::consts::PI * (1.0 - 1e-9), 12.0][draw.usize(..5)];
        let out = Multivector::of_grade(algebra, 2, &numbers).unwrap();
        out.scale(size)
    }

    #[test]
    fn a_logarithm_that_is_sure_gives_its_versor_back() {
        let mut draw = fastrand::Rng::with_seed(3);
        for name in ["PGA3D", "CGA2D", "CGA3D", "STA"] {
            let algebra = Algebra::named(name).unwrap();
            let (mut sure_ones, mut others) = (0, 0);
            for _ in 0..5000 {
                let Ok(versor) = bivectors(algebra, &mut draw).exp() else {
                    continue;
                };
                let unit = versor.unscale(versor.magnitude());
                let Some((log, sure)) = unit.log_of_versor() else {
                    continue;
                };
                if !sure {
                    others += 1;
                    continue;
                }
                sure_ones += 1;
                let again = log.exp().unwrap();
                assert!(
                    again.is_close(&unit, 0.1 * FIT, 0.0).unwrap(),
                    "{name}: {unit} by {log}"
                );
            }
            assert!(
                sure_ones > 500 && others > 50,
                "{name}: {sure_ones} {others}"
            );
        }
    }
}
