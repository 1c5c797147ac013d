//! Numbers a + Q whose Q squares to a scalar, and analytic functions of them.
//!
//! The square of a bivector is such a number up to five dimensions (Study, 1891, for the projective case;
//! Roelfs and De Keninck, "Graded symmetry groups: plane and simple", 2021, for all of them). Q² < 0
//! makes it complex, Q² = 0 dual, Q² > 0 a pair of real numbers.

use num_complex::Complex64;

use super::multivector::Multivector;

/// The number a + Q with Q² = `square`.
pub(super) struct Study {
    pub(super) a: f64,
    pub(super) q: Multivector,
    pub(super) square: f64,
}

/// A function with values on the real line, in the complex plane, and a slope.
pub(super) trait Analytic {
    fn real(&self, x: f64) -> f64;
    fn slope(&self, x: f64) -> f64;
    fn complex(&self, z: Complex64) -> Complex64;
}

/// A square this small beside the coefficients is rounding noise around zero.
const NULL: f64 = 1e-15;

impl Study {
    /// The parts of a multivector, or `None` where it is not such a number, or its Q is so nearly null
    /// that dividing by √|Q²| would lose digits.
    pub(super) fn of(value: &Multivector) -> Option<Self> {
        let a = value.scalar_part();
        let q = value.add_scalar(-a);
        let size = q.magnitude();
        if size == 0.0 {
            return Some(Self { a, q, square: 0.0 });
        }
        if !(1e-100..1e100).contains(&size) {
            return None;
        }
        let qq = q.times(&q);
        let square = qq.scalar_part();
        let rest = qq.add_scalar(-square).magnitude();
        if rest > 4.0 * NULL * size * size {
            return None;
        }
        let relative = square / (size * size);
        if relative.abs() <= NULL {
            return Some(Self { a, q, square: 0.0 });
        }
        (relative.abs() >= 1e-6).then_some(Self { a, q, square })
    }

    /// f(a + Q), or `None` where it is not defined.
    pub(super) fn apply(&self, f: &impl Analytic) -> Option<Multivector> {
        let (a, d) = (self.a, self.square.abs().sqrt());
        let (scalar, factor) = if self.square < 0.0 {
            let value = f.complex(Complex64::new(a, d));
            (value.re, value.im / d)
        } else if self.square > 0.0 {
            let (low, high) = (f.real(a - d), f.real(a + d));
            (0.5 * (low + high), 0.5 * (high - low) / d)
        } else if self.q.magnitude() == 0.0 {
            (f.real(a), 0.0)
        } else {
            (f.real(a), f.slope(a))
        };
        (scalar.is_finite() && factor.is_finite()).then(|| self.q.scale(factor).add_scalar(scalar))
    }
}

/// cosh √z, entire in z.
pub(super) struct CoshRoot;

/// sinh √z / √z, entire in z.
pub(super) struct SinhcRoot;

impl Analytic for CoshRoot {
    fn real(&self, x: f64) -> f64 {
        if x >= 0.0 {
            x.sqrt().cosh()
        } else {
            (-x).sqrt().cos()
        }
    }

    fn slope(&self, x: f64) -> f64 {
        0.5 * SinhcRoot.real(x)
    }

    fn complex(&self, z: Complex64) -> Complex64 {
        z.sqrt().cosh()
    }
}

impl Analytic for SinhcRoot {
    fn real(&self, x: f64) -> f64 {
        let root = x.abs().sqrt();
        if root == 0.0 {
            1.0
        } else if x > 0.0 {
            root.sinh() / root
        } else {
            root.sin() / root
        }
    }

    fn slope(&self, x: f64) -> f64 {
        if x.abs() > 1.0 {
            return (CoshRoot.real(x) - self.real(x)) / (2.0 * x);
        }
        // Σ k xᵏ⁻¹ / (2k + 1)!, which the quotient above would lose to cancellation near 0.
        let (mut power, mut sum) = (1.0 / 6.0, 0.0);
        for k in 1..14 {
            let k = f64::from(k);
            sum += k * power;
            power *= x / ((2.0 * k + 2.0) * (2.0 * k + 3.0));
        }
        sum
    }

    fn complex(&self, z: Complex64) -> Complex64 {
        let root = z.sqrt();
        if root.norm() == 0.0 {
            Complex64::new(1.0, 0.0)
        } else {
            root.sinh() / root
        }
    }
}

/// The angle over its sine, θ / sin θ, as a function of w = sin²θ and c = cos θ: continuous through
/// w = 0 and w < 0 (rapidities) where c > 0.
pub(super) struct AngleOverSine;

/// Below this |w|, with c > 0, the series is exact to rounding.
const SERIES: f64 = 0.01;

impl AngleOverSine {
    /// asin(s)/s = Σ aₖ wᵏ and its derivative by w.
    fn series<T>(w: T, zero: T, one: T) -> (T, T)
    where
        T: Copy
            + std::ops::Add<Output = T>
            + std::ops::Mul<Output = T>
            + std::ops::Mul<f64, Output = T>,
    {
        let (mut sum, mut slope, mut power, mut a) = (one, zero, one, 1.0);
        for k in 1..11 {
            let k = f64::from(k);
            a *= (2.0 * k - 1.0) * (2.0 * k - 1.0) / (2.0 * k * (2.0 * k + 1.0));
            slope = slope + power * (k * a);
            power = power * w;
            sum = sum + power * a;
        }
        (sum, slope)
    }

    pub(super) fn real(c: f64, w: f64) -> f64 {
        if c > 0.0 && w.abs() < SERIES {
            return Self::series(w, 0.0, 1.0).0;
        }
        let s = w.abs().sqrt();
        if w > 0.0 {
            s.atan2(c) / s
        } else if c > 0.0 {
            s.asinh() / s
        } else {
            f64::NAN
        }
    }

    /// The value for complex c and w.
    pub(super) fn complex(c: Complex64, w: Complex64) -> Complex64 {
        if c.re > 0.0 && w.norm() < SERIES {
            return Self::series(w, Complex64::ZERO, Complex64::ONE).0;
        }
        let s = w.sqrt();
        -Complex64::I * (c + Complex64::I * s).ln() / s
    }

    /// The dual part of the value at c + c′ε, w + w′ε.
    pub(super) fn slope(c: f64, w: f64, dc: f64, dw: f64) -> f64 {
        if c > 0.0 && w.abs() < SERIES {
            return Self::series(w, 0.0, 1.0).1 * dw;
        }
        if w <= 0.0 {
            return f64::NAN;
        }
        let s = w.sqrt();
        let ds = dw / (2.0 * s);
        let dtheta = (c * ds - s * dc) / (c * c + w);
        (dtheta - s.atan2(c) / s * ds) / s
    }
}
