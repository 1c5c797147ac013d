//! Numbers a + Q whose Q squares to a scalar, and analytic functions of them.
//!
//! The square of a bivector is such a number up to five dimensions (Study, 1891, for the projective case;
//! Roelfs and De Keninck, "Graded symmetry groups: plane and simple", 2021, for all of them). Q² < 0
//! makes it complex, Q² = 0 dual, Q² > 0 a pair of real numbers.

use num_complex::Complex64;

use super::multivector::Multivector;
use super::product::Grades;

/// The number a + Q with Q² = `square`.
pub(super) struct Study {
    pub(super) a: f64,
    pub(super) q: Multivector,
    pub(super) square: f64,
}

/// A function's value at a + Q: scalar + factor · Q.
pub(super) struct Value {
    pub(super) scalar: f64,
    pub(super) factor: f64,
}

/// A square this small beside the coefficients is rounding noise around zero.
const NULL: f64 = 1e-15;

impl Study {
    /// The parts of a multivector, or `None` where it is not such a number, or its Q is so nearly null
    /// that dividing by √|Q²| would lose digits.
    #[inline]
    pub(super) fn of(value: &Multivector) -> Option<Self> {
        let a = value.scalar_part();
        let q = value.part(Grades(!1));
        let size = q.magnitude();
        if size == 0.0 {
            return Some(Self { a, q, square: 0.0 });
        }
        if !(1e-100..1e100).contains(&size) {
            return None;
        }
        let qq = q.square();
        let square = qq.scalar_part();
        let rest = qq.magnitude_of(Grades(!1));
        if rest > 4.0 * NULL * size * size {
            return None;
        }
        let relative = square / (size * size);
        if relative.abs() <= NULL {
            return Some(Self { a, q, square: 0.0 });
        }
        (relative.abs() >= 1e-6).then_some(Self { a, q, square })
    }

    /// Whether Q is zero.
    pub(super) fn is_scalar(&self) -> bool {
        self.q.magnitude() == 0.0
    }

    /// cosh √z and sinh √z / √z, both entire in z, or `None` where they are beyond the floats.
    pub(super) fn cosh_and_sinhc_of_root(&self) -> Option<[Value; 2]> {
        let (a, d) = (self.a, self.square.abs().sqrt());
        let values = if self.square < 0.0 {
            of_complex(Complex64::new(a, d)).map(|value| Value {
                scalar: value.re,
                factor: value.im / d,
            })
        } else if self.square > 0.0 {
            let ([c, s], [ch, sh]) = (of_real(a - d), of_real(a + d));
            [(c, ch), (s, sh)].map(|(low, high)| Value {
                scalar: 0.5 * (low + high),
                factor: 0.5 * (high - low) / d,
            })
        } else {
            let slopes = if self.is_scalar() {
                [0.0; 2]
            } else {
                slopes(a)
            };
            let [cosh, sinhc] = of_real(a);
            [(cosh, slopes[0]), (sinhc, slopes[1])].map(|(scalar, factor)| Value { scalar, factor })
        };
        values
            .iter()
            .all(|value| value.scalar.is_finite() && value.factor.is_finite())
            .then_some(values)
    }
}

/// cosh √x and sinh √x / √x.
fn of_real(x: f64) -> [f64; 2] {
    let root = x.abs().sqrt();
    if root == 0.0 {
        [1.0; 2]
    } else if x > 0.0 {
        [root.cosh(), root.sinh() / root]
    } else {
        let (sin, cos) = root.sin_cos();
        [cos, sin / root]
    }
}

/// The derivative of sinh √x / √x is Σ k xᵏ⁻¹ / (2k + 1)!, here to rounding for |x| ≤ 1.
const SLOPE: [f64; 9] = {
    let (mut terms, mut power, mut k) = ([0.0; 9], 1.0 / 6.0, 1);
    while k <= terms.len() {
        let n = k as f64;
        terms[k - 1] = n * power;
        power /= (2.0 * n + 2.0) * (2.0 * n + 3.0);
        k += 1;
    }
    terms
};

/// Their derivatives.
fn slopes(x: f64) -> [f64; 2] {
    let [cosh, sinhc] = of_real(x);
    if x.abs() > 1.0 {
        return [0.5 * sinhc, (cosh - sinhc) / (2.0 * x)];
    }
    // The quotient above would lose digits to cancellation near 0.
    [
        0.5 * sinhc,
        SLOPE.iter().rev().fold(0.0, |sum, a| sum * x + a),
    ]
}

/// Both where z has an imaginary part, which is positive.
fn of_complex(z: Complex64) -> [Complex64; 2] {
    // The root without the angle of z: its larger part by addition alone, the other by division.
    let larger = (0.5 * (z.norm() + z.re.abs())).sqrt();
    let other = 0.5 * z.im / larger;
    let (re, im) = if z.re >= 0.0 {
        (larger, other)
    } else {
        (other, larger)
    };
    let ((sin, cos), sinh, cosh) = (im.sin_cos(), re.sinh(), re.cosh());
    let sine = Complex64::new(sinh * cos, cosh * sin);
    [
        Complex64::new(cosh * cos, sinh * sin),
        sine / Complex64::new(re, im),
    ]
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
