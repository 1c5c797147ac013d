//! The numbers over which programs are evaluated: a prime field, and floating point with or without rounding.

use crate::tensor_type::DType;

/// Why a value does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The operation has no meaning in this arithmetic: an exponential in a finite field.
    Outside,
    /// Division by zero where there are no infinities, or the largest element of nothing.
    Undefined,
}

/// A value, or why there is none.
pub type Evaluated<T> = Result<T, Failure>;

/// What an evaluator needs of its numbers; every operation names the element type of its result.
pub trait Arithmetic {
    type Scalar: Copy + PartialEq + std::fmt::Debug;

    fn number(&self, value: f64, dtype: DType) -> Evaluated<Self::Scalar>;
    fn add(&self, a: Self::Scalar, b: Self::Scalar, dtype: DType) -> Self::Scalar;
    fn sub(&self, a: Self::Scalar, b: Self::Scalar, dtype: DType) -> Self::Scalar;
    fn mul(&self, a: Self::Scalar, b: Self::Scalar, dtype: DType) -> Self::Scalar;
    fn div(&self, a: Self::Scalar, b: Self::Scalar, dtype: DType) -> Evaluated<Self::Scalar>;
    /// The opposite number; unlike a product with minus one it is exact for complex infinities too.
    fn neg(&self, x: Self::Scalar, dtype: DType) -> Evaluated<Self::Scalar>;
    /// A function of the reals that is not rational.
    fn map(&self, f: impl Fn(f64) -> f64, x: Self::Scalar, dtype: DType)
    -> Evaluated<Self::Scalar>;
    /// The same of two arguments.
    fn zip(
        &self,
        f: impl Fn(f64, f64) -> f64,
        a: Self::Scalar,
        b: Self::Scalar,
        dtype: DType,
    ) -> Evaluated<Self::Scalar>;
    fn cast(&self, x: Self::Scalar, from: DType, to: DType) -> Evaluated<Self::Scalar>;
    /// The place along an axis of this extent that an integer names, counted from the end where it is negative; over it
    /// from the start again.
    fn place(&self, x: Self::Scalar, extent: usize) -> Evaluated<usize>;
    /// The sum of several terms. Where sums round, the order follows `salt`: a library is free in it, and equal calls
    /// (equal salts) sum in the same order.
    fn sum(&self, terms: &mut [Self::Scalar], dtype: DType, salt: u64) -> Evaluated<Self::Scalar>;
}

/// The integers modulo 2⁶¹ − 1. Two polynomials of degree d that differ agree at a random point with probability at
/// most d / 2⁶¹ (Schwartz and Zippel).
#[derive(Debug, Clone, Copy, Default)]
pub struct Field;

impl Field {
    pub const PRIME: u64 = (1 << 61) - 1;

    fn product(a: u64, b: u64) -> u64 {
        (u128::from(a) * u128::from(b) % u128::from(Self::PRIME)) as u64
    }

    fn power(mut base: u64, mut exponent: u64) -> u64 {
        let mut result = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = Self::product(result, base);
            }
            base = Self::product(base, base);
            exponent >>= 1;
        }
        result
    }

    fn negative(a: u64) -> u64 {
        if a == 0 { 0 } else { Self::PRIME - a }
    }
}

impl Arithmetic for Field {
    type Scalar = u64;

    /// A float is a fraction whose denominator is a power of two: exact here too.
    fn number(&self, value: f64, _: DType) -> Evaluated<u64> {
        if !value.is_finite() {
            return Err(Failure::Outside);
        }
        let (mut mantissa, mut exponent) = libm::frexp(value.abs());
        mantissa *= (1u64 << 53) as f64;
        exponent -= 53;
        let two = if exponent < 0 {
            Self::power(2, Self::PRIME - 2)
        } else {
            2
        };
        let scale = Self::power(two, u64::from(exponent.unsigned_abs()));
        let magnitude = Self::product(mantissa as u64 % Self::PRIME, scale);
        Ok(if value < 0.0 {
            Self::negative(magnitude)
        } else {
            magnitude
        })
    }

    fn add(&self, a: u64, b: u64, _: DType) -> u64 {
        (a + b) % Self::PRIME
    }

    fn sub(&self, a: u64, b: u64, _: DType) -> u64 {
        (a + Self::negative(b)) % Self::PRIME
    }

    fn mul(&self, a: u64, b: u64, _: DType) -> u64 {
        Self::product(a, b)
    }

    fn div(&self, a: u64, b: u64, _: DType) -> Evaluated<u64> {
        if b == 0 {
            return Err(Failure::Undefined);
        }
        Ok(Self::product(a, Self::power(b, Self::PRIME - 2)))
    }

    fn neg(&self, x: u64, _: DType) -> Evaluated<u64> {
        Ok(Self::negative(x))
    }

    fn map(&self, _: impl Fn(f64) -> f64, _: u64, _: DType) -> Evaluated<u64> {
        Err(Failure::Outside)
    }

    fn zip(&self, _: impl Fn(f64, f64) -> f64, _: u64, _: u64, _: DType) -> Evaluated<u64> {
        Err(Failure::Outside)
    }

    /// Over the reals one floating type is like another; a cast to integers is no polynomial.
    fn cast(&self, x: u64, from: DType, to: DType) -> Evaluated<u64> {
        if from == to || (from.is_float() && to.is_float()) {
            Ok(x)
        } else {
            Err(Failure::Outside)
        }
    }

    fn place(&self, x: u64, extent: usize) -> Evaluated<usize> {
        let place = x.checked_rem(extent as u64).ok_or(Failure::Undefined)?;
        Ok(place as usize)
    }

    fn sum(&self, terms: &mut [u64], dtype: DType, _: u64) -> Evaluated<u64> {
        Ok(terms.iter().fold(0, |sum, &x| self.add(sum, x, dtype)))
    }
}

/// Float64, rounded after each operation to the tensor's element type as torch rounds; or, as the stand-in for the
/// reals, not rounded. Integers wrap. Products of 32-bit integers are exact only while they stay below 2⁵³.
#[derive(Debug, Clone, Copy)]
pub struct Floating {
    pub rounded: bool,
}

impl Floating {
    fn settle(self, x: f64, dtype: DType) -> f64 {
        if dtype.is_float() && !self.rounded {
            x
        } else {
            round(x, dtype)
        }
    }

    fn admit(dtype: DType) -> Evaluated<()> {
        match dtype {
            DType::C64 | DType::C128 | DType::Other(_) => Err(Failure::Outside),
            _ => Ok(()),
        }
    }
}

/// The nearest value of an element type; of an integer type the one that wrapping gives.
#[expect(
    clippy::cast_lossless,
    reason = "each arm says through which type it goes"
)]
pub fn round(x: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => x as f32 as f64,
        DType::F16 => round_to(x, 10, -14, 65_520.0),
        DType::BF16 => round_to(x, 7, -126, 3.396_e38),
        DType::I64 => x as i64 as f64,
        DType::I32 => x as i64 as i32 as f64,
        DType::I16 => x as i64 as i16 as f64,
        DType::I8 => x as i64 as i8 as f64,
        DType::U8 => x as i64 as u8 as f64,
        DType::Bool => f64::from(u8::from(x != 0.0)),
        DType::F64 | DType::C64 | DType::C128 | DType::Other(_) => x,
    }
}

/// To nearest, ties to even, with so many bits after the leading one and this least exponent.
fn round_to(x: f64, bits: i32, least: i32, overflow: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    if x.abs() >= overflow {
        return f64::INFINITY.copysign(x);
    }
    let unit = libm::exp2(f64::from(libm::ilogb(x).max(least) - bits));
    ((x / unit).round_ties_even() * unit).copysign(x)
}

/// The distance from `x` to the next larger magnitude of this type.
pub fn ulp(x: f64, dtype: DType) -> f64 {
    let (bits, least) = match dtype {
        DType::F16 => (10, -14),
        DType::BF16 => (7, -126),
        DType::F64 => (52, -1022),
        _ => (23, -126),
    };
    let exponent = if x == 0.0 || !x.is_finite() {
        least
    } else {
        libm::ilogb(x).max(least)
    };
    libm::exp2(f64::from(exponent - bits))
}

impl Arithmetic for Floating {
    type Scalar = f64;

    fn number(&self, value: f64, dtype: DType) -> Evaluated<f64> {
        Self::admit(dtype)?;
        // Among the reals a literal is what it says: √½ in a rule is not the nearest float32 to it.
        Ok(self.settle(value, dtype))
    }

    fn add(&self, a: f64, b: f64, dtype: DType) -> f64 {
        self.settle(a + b, dtype)
    }

    fn sub(&self, a: f64, b: f64, dtype: DType) -> f64 {
        self.settle(a - b, dtype)
    }

    fn mul(&self, a: f64, b: f64, dtype: DType) -> f64 {
        self.settle(a * b, dtype)
    }

    fn div(&self, a: f64, b: f64, dtype: DType) -> Evaluated<f64> {
        Ok(self.settle(a / b, dtype))
    }

    fn neg(&self, x: f64, dtype: DType) -> Evaluated<f64> {
        Ok(self.settle(-x, dtype))
    }

    fn map(&self, f: impl Fn(f64) -> f64, x: f64, dtype: DType) -> Evaluated<f64> {
        Ok(self.settle(f(x), dtype))
    }

    fn zip(&self, f: impl Fn(f64, f64) -> f64, a: f64, b: f64, dtype: DType) -> Evaluated<f64> {
        Ok(self.settle(f(a, b), dtype))
    }

    fn cast(&self, x: f64, _: DType, to: DType) -> Evaluated<f64> {
        Self::admit(to)?;
        Ok(if to.is_float() {
            self.settle(x, to)
        } else if to == DType::Bool || x.is_finite() {
            round(if to == DType::Bool { x } else { x.trunc() }, to)
        } else {
            return Err(Failure::Undefined);
        })
    }

    fn place(&self, x: f64, extent: usize) -> Evaluated<usize> {
        let place = (x as i64).checked_rem_euclid(extent as i64);
        Ok(place.ok_or(Failure::Undefined)? as usize)
    }

    fn sum(&self, terms: &mut [f64], dtype: DType, salt: u64) -> Evaluated<f64> {
        // Half types are summed in float32 and rounded once.
        let inner = match dtype {
            DType::F16 | DType::BF16 => DType::F32,
            other => other,
        };
        if dtype.is_float() {
            fastrand::Rng::with_seed(salt).shuffle(terms);
        }
        // An empty sum is +0; a sum of −0 alone is −0 or +0 by the library's first step: torch starts from +0.
        let sum = terms
            .iter()
            .fold(0.0, |sum, &x| self.settle(sum + x, inner));
        Ok(self.settle(sum, dtype))
    }
}

/// Pairs of floats, real and imaginary part, each rounded: complex numbers as torch multiplies them.
#[derive(Debug, Clone, Copy)]
pub struct Complex {
    pub parts: Floating,
}

impl Complex {
    /// The type of the parts.
    fn part(dtype: DType) -> DType {
        if dtype == DType::C64 {
            DType::F32
        } else {
            DType::F64
        }
    }
}

impl Arithmetic for Complex {
    type Scalar = [f64; 2];

    fn number(&self, value: f64, dtype: DType) -> Evaluated<[f64; 2]> {
        Ok([round(value, Self::part(dtype)), 0.0])
    }

    fn add(&self, a: [f64; 2], b: [f64; 2], dtype: DType) -> [f64; 2] {
        [0, 1].map(|i| self.parts.add(a[i], b[i], Self::part(dtype)))
    }

    fn sub(&self, a: [f64; 2], b: [f64; 2], dtype: DType) -> [f64; 2] {
        [0, 1].map(|i| self.parts.sub(a[i], b[i], Self::part(dtype)))
    }

    fn mul(&self, a: [f64; 2], b: [f64; 2], dtype: DType) -> [f64; 2] {
        let part = Self::part(dtype);
        let product = |i: usize, j: usize| self.parts.mul(a[i], b[j], part);
        [
            self.parts.sub(product(0, 0), product(1, 1), part),
            self.parts.add(product(0, 1), product(1, 0), part),
        ]
    }

    fn div(&self, _: [f64; 2], _: [f64; 2], _: DType) -> Evaluated<[f64; 2]> {
        Err(Failure::Outside)
    }

    fn neg(&self, x: [f64; 2], _: DType) -> Evaluated<[f64; 2]> {
        Ok(x.map(|part| -part))
    }

    fn map(&self, _: impl Fn(f64) -> f64, _: [f64; 2], _: DType) -> Evaluated<[f64; 2]> {
        Err(Failure::Outside)
    }

    fn zip(
        &self,
        _: impl Fn(f64, f64) -> f64,
        _: [f64; 2],
        _: [f64; 2],
        _: DType,
    ) -> Evaluated<[f64; 2]> {
        Err(Failure::Outside)
    }

    fn cast(&self, x: [f64; 2], from: DType, to: DType) -> Evaluated<[f64; 2]> {
        if matches!(
            (from, to),
            (DType::C64 | DType::C128, DType::C64 | DType::C128)
        ) {
            Ok(x.map(|part| self.parts.settle(part, Self::part(to))))
        } else {
            Err(Failure::Outside)
        }
    }

    fn place(&self, _: [f64; 2], _: usize) -> Evaluated<usize> {
        Err(Failure::Outside)
    }

    fn sum(&self, terms: &mut [[f64; 2]], dtype: DType, salt: u64) -> Evaluated<[f64; 2]> {
        fastrand::Rng::with_seed(salt).shuffle(terms);
        Ok(terms
            .iter()
            .fold([0.0; 2], |sum, &x| self.add(sum, x, dtype)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        assert_eq!(round(2049.0, DType::F16), 2048.0);
        assert_eq!(round(2051.0, DType::F16), 2052.0);
        assert_eq!(round(65_519.0, DType::F16), 65_504.0);
        assert_eq!(round(65_520.0, DType::F16), f64::INFINITY);
        assert_eq!(round(6e-8, DType::F16), libm::exp2(-24.0));
        assert_eq!(round(1.003_906_25, DType::BF16), 1.0);
        assert_eq!(round(1.0 + 3.0 / 256.0, DType::BF16), 1.015_625);
    }

    #[test]
    fn integers_wrap() {
        assert_eq!(round(200.0, DType::I8), -56.0);
        assert_eq!(round(-1.0, DType::U8), 255.0);
    }

    #[test]
    fn a_fraction_of_the_field_is_that_fraction() {
        let number = |x| Field.number(x, DType::F64).unwrap();
        assert_eq!(Field.mul(number(0.375), number(8.0), DType::F64), 3);
        assert_eq!(Field.add(number(-0.5), number(0.5), DType::F64), 0);
        assert_eq!(Field.div(3, number(8.0), DType::F64), Ok(number(0.375)));
        assert_eq!(Field.div(3, 0, DType::F64), Err(Failure::Undefined));
        assert_eq!(number(1e300), number(1e300));
        assert_eq!(Field.number(f64::NAN, DType::F64), Err(Failure::Outside));
    }
}
