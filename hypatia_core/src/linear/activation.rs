//! Functions of one element that a product applies to its result before it is written.
//!
//! Plain code over short slices, which the compiler turns into whole registers.

use crate::error::{Error, Result};

/// A function of one element.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// x.
    None,
    /// max(x, 0).
    Relu,
    /// x cut off below and above.
    Clamp(f32, f32),
    /// x·Φ(x), Φ the distribution function of the normal distribution.
    Gelu,
    /// x·σ(2u), u = √(2/π)(x + 0.044715x³): the gelu by tanh, since (1 + tanh u)/2 = σ(2u).
    GeluTanh,
    /// x·σ(x).
    Silu,
    /// σ(x) = 1/(1 + e⁻ˣ).
    Sigmoid,
    /// x·clamp(x + 3, 0, 6)/6.
    HardSwish,
}

impl Activation {
    /// The one that oneDNN calls so, with its numbers and its algorithm.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn named(name: &str, low: f32, high: f32, algorithm: &str) -> Result<Self> {
        Ok(match (name, algorithm) {
            ("none", _) => Self::None,
            ("relu", _) => Self::Relu,
            ("hardtanh", _) => Self::Clamp(low, high),
            ("gelu", "none") => Self::Gelu,
            ("gelu", "tanh") => Self::GeluTanh,
            ("swish", _) => Self::Silu,
            ("sigmoid", _) => Self::Sigmoid,
            ("hardswish", _) => Self::HardSwish,
            _ => return Err(Error::new(format!("no activation {name:?} {algorithm:?}"))),
        })
    }

    /// Applies it to each element.
    #[inline(always)]
    pub(crate) fn apply<const BITS: usize>(self, values: &mut [f32]) {
        // No closures: they would be compiled for any processor.
        macro_rules! each {
            ($x:ident => $y:expr) => {
                for value in values {
                    let $x = *value;
                    *value = $y;
                }
            };
        }
        match self {
            Self::None => {}
            // Of a choice between a number and the element itself the compiler makes a store under a mask, which some
            // processors do element by element; a sum with zero is no longer the element itself.
            Self::Relu => each!(x => {
                let x = x + 0.0;
                if x < 0.0 { 0.0 } else { x }
            }),
            // Comparisons that keep what is no number, as torch does.
            Self::Clamp(low, high) => each!(x => {
                let x = x + 0.0;
                let above = if x < low { low } else { x };
                if above > high { high } else { above }
            }),
            Self::Gelu => each!(x => gelu::<BITS>(x)),
            Self::GeluTanh => each!(x => {
                const SCALE: f32 = 1.595_769; // 2√(2/π)
                x * sigmoid::<BITS>(x * plus::<BITS>(0.044_715 * SCALE * x, x, SCALE))
            }),
            Self::Silu => each!(x => x * sigmoid::<BITS>(x)),
            Self::Sigmoid => each!(x => sigmoid::<BITS>(x)),
            Self::HardSwish => each!(x => {
                let above = if x < -3.0 { 0.0 } else { x + 3.0 };
                x * if above > 6.0 { 6.0 } else { above } * (1.0 / 6.0)
            }),
        }
    }
}

/// a·b + c; rounded once, in one instruction, where the code is compiled for processors that have it.
#[inline(always)]
pub(crate) fn plus<const BITS: usize>(a: f32, b: f32, c: f32) -> f32 {
    if BITS >= 256 {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// eˣ for x ≤ 0, to two units in the last place; 0 below −87.
///
/// x = n ln 2 + r, |r| ≤ ln 2 / 2, and eʳ by its polynomial of least relative error.
#[inline(always)]
pub(crate) fn exp_of_negative<const BITS: usize>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³: adding it rounds to whole numbers
    const HIGH: f32 = 0.693_359_4; // ln 2 in so few bits that n times it is exact,
    const LOW: f32 = -2.121_944_4e-4; // and the rest
    let shifted = plus::<BITS>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = plus::<BITS>(n, -LOW, plus::<BITS>(n, -HIGH, x));
    let mut sum = 0.001_375_140_9;
    for coefficient in [0.008_368_921, 0.041_669_533, 0.166_665_18, 0.499_999_88] {
        sum = plus::<BITS>(sum, r, coefficient);
    }
    let power = plus::<BITS>(sum * r, r, r) + 1.0;
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127).wrapping_shl(23));
    if x < -87.0 { 0.0 } else { power * scale }
}

#[inline(always)]
pub(crate) fn sigmoid<const BITS: usize>(x: f32) -> f32 {
    let small = exp_of_negative::<BITS>(-x.abs());
    // Of what is no number both would be: `exp_of_negative` keeps it.
    (if x < 0.0 { small } else { 1.0 }) / (1.0 + small)
}

/// erfcx(x/√2) = t·P(t) for x ≥ 0, t = 1/(1 + x/√8), P of least relative error over 0 ≤ x/√2 ≤ 10.
#[inline(always)]
pub(crate) fn scaled_tail<const BITS: usize>(x: f32) -> f32 {
    // Pairs of terms, whose sums do not wait for one another.
    const TAIL: [[f32; 2]; 5] = [
        [0.282_064_5, 0.282_857_1],
        [0.238_644_4, 0.225_544],
        [-0.098_323_99, 0.421_286_26],
        [-0.670_037, 0.428_939_28],
        [-0.123_259_306, 0.012_284_724],
    ];
    let t = 1.0 / plus::<BITS>(x, 0.353_553_4, 1.0);
    let square = t * t;
    let mut sum = plus::<BITS>(TAIL[4][1], t, TAIL[4][0]);
    for [even, odd] in [TAIL[3], TAIL[2], TAIL[1], TAIL[0]] {
        sum = plus::<BITS>(sum, square, plus::<BITS>(odd, t, even));
    }
    sum * t
}

/// erf x = x + x·P(x²) for |x| < 0.9, P of least relative error.
#[inline(always)]
pub(crate) fn erf_near_zero<const BITS: usize>(x: f32) -> f32 {
    const REST: [f32; 6] = [
        -8.175_638_5e-4,
        5.203_859e-3,
        -2.686_050_9e-2,
        0.112_837_15,
        -0.376_126_35,
        0.128_379_17,
    ];
    let square = x * x;
    let mut sum = 8.513_101e-5;
    for coefficient in REST {
        sum = plus::<BITS>(sum, square, coefficient);
    }
    plus::<BITS>(x, sum, x)
}

/// x·Φ(x): (x + x·erf(x/√2))/2 for small x, else by the upper tail, e^(−x²/2)·erfcx(|x|/√2)/2.
#[inline(always)]
pub(crate) fn gelu<const BITS: usize>(x: f32) -> f32 {
    let near = plus::<BITS>(
        x,
        0.5 * erf_near_zero::<BITS>(x * std::f32::consts::FRAC_1_SQRT_2),
        0.5 * x,
    );
    let tail = scaled_tail::<BITS>(x.abs()) * exp_of_negative::<BITS>(-0.5 * x * x) * 0.5;
    let far = x * if x < 0.0 { tail } else { 1.0 - tail };
    if x.abs() < 1.25 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each against float64, over all that float32 makes a difference of.
    #[test]
    fn values_are_near_those_of_float64() {
        let normal = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let rows: [(Activation, &dyn Fn(f64) -> f64); 7] = [
            (Activation::Relu, &|x| x.max(0.0)),
            (Activation::Clamp(0.0, 6.0), &|x| x.clamp(0.0, 6.0)),
            (Activation::Gelu, &|x| x * normal(x)),
            (Activation::GeluTanh, &|x| {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + u.tanh())
            }),
            (Activation::Silu, &|x| x * logistic(x)),
            (Activation::Sigmoid, &logistic),
            (Activation::HardSwish, &|x| {
                x * (x + 3.0).clamp(0.0, 6.0) / 6.0
            }),
        ];
        for (activation, exact) in rows {
            for registers in [false, true] {
                let inputs: Vec<f32> = (-30_000..=30_000).map(|i| i as f32 / 2000.0).collect();
                let mut values = inputs.clone();
                if registers {
                    activation.apply::<256>(&mut values);
                } else {
                    activation.apply::<0>(&mut values);
                }
                for (&x, &y) in inputs.iter().zip(&values) {
                    let wanted = exact(f64::from(x));
                    let error = (f64::from(y) - wanted).abs();
                    // A rounding of an exponent as large as eight is eight times as large in the power.
                    let allowed = 1.2e-6 * wanted.abs().max(1e-3 * f64::from(x).abs()).max(1e-6);
                    assert!(error <= allowed, "{activation:?}({x}) = {y}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        for name in ["relu", "hardtanh", "gelu", "swish", "sigmoid", "hardswish"] {
            let activation = Activation::named(name, 0.0, 6.0, "none").unwrap();
            let mut values = [f32::NAN];
            activation.apply::<0>(&mut values);
            assert!(values[0].is_nan(), "{name}");
        }
        assert!(Activation::named("cube", 0.0, 0.0, "").is_err());
    }
}
