//! Elementary functions of float32, each to two units in the last place, of any input.
//!
//! Polynomials are of least relative error over their interval; arguments are reduced so that what is cut off is small.
//! Straight code with no table and no branch, which the compiler turns into whole registers.

use crate::linear::activation::{erf_near_zero, exp_of_negative, plus, scaled_tail, sigmoid};

/// The polynomial by Horner's scheme, the highest coefficient first.
#[inline(always)]
fn polynomial<const BITS: usize, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = plus::<BITS>(sum, x, *coefficient);
    }
    sum
}

/// eʳ − 1 for |r| ≤ ln 2 / 2.
#[inline(always)]
fn expm1_near_zero<const BITS: usize>(r: f32) -> f32 {
    let rest = polynomial::<BITS, 6>(
        r,
        [
            1.991_454_6e-4,
            1.394_127_7e-3,
            8.333_272e-3,
            4.166_635e-2,
            0.166_666_67,
            0.5,
        ],
    );
    plus::<BITS>(r * r, rest, r)
}

/// 1.5·2²³: adding it rounds to whole numbers, which then stand in the last bits.
const ROUND: f32 = 12_582_912.0;

/// 2ⁿ of a number that was rounded by adding `ROUND`, for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(shifted: f32) -> f32 {
    f32::from_bits(shifted.to_bits().wrapping_add(127).wrapping_shl(23))
}

/// x = n ln 2 + r: n plus `ROUND`, n and r. For |x| < 2¹⁵.
#[inline(always)]
fn reduced<const BITS: usize>(x: f32) -> (f32, f32, f32) {
    const HIGH: f32 = 0.693_359_4; // ln 2 in so few bits that n times it is exact,
    const LOW: f32 = -2.121_944_4e-4; // and the rest
    let shifted = plus::<BITS>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = plus::<BITS>(n, -LOW, plus::<BITS>(n, -HIGH, x));
    (shifted, n, r)
}

/// (1 + m)·2ⁿ, n as `reduced` has it, in two steps: 2ⁿ alone may be too large or too small.
#[inline(always)]
fn scaled(m: f32, n: f32) -> f32 {
    let half = n * 0.5 + ROUND;
    let rest = n - (half - ROUND) + ROUND;
    (m + 1.0) * power_of_two(half) * power_of_two(rest)
}

/// eˣ.
#[inline(always)]
pub(crate) fn exp<const BITS: usize>(x: f32) -> f32 {
    // Comparisons that keep what is no number.
    let cut = if x > 89.0 { 89.0 } else { x };
    let cut = if cut < -105.0 { -105.0 } else { cut };
    let (_, n, r) = reduced::<BITS>(cut);
    scaled(expm1_near_zero::<BITS>(r), n)
}

/// Up to this size of x, eˣ and its reciprocal are numbers with all their digits.
pub(super) const NEAR: f32 = 87.0;

/// eˣ for |x| ≤ `NEAR`: 2ⁿ is a number itself.
#[inline(always)]
pub(crate) fn exp_near<const BITS: usize>(x: f32) -> f32 {
    let (shifted, _, r) = reduced::<BITS>(x);
    let power = power_of_two(shifted);
    plus::<BITS>(expm1_near_zero::<BITS>(r), power, power)
}

/// 2ˣ.
#[inline(always)]
pub(crate) fn exp2<const BITS: usize>(x: f32) -> f32 {
    let cut = if x > 129.0 { 129.0 } else { x };
    let cut = if cut < -151.0 { -151.0 } else { cut };
    let n = (cut + ROUND) - ROUND;
    let r = (cut - n) * std::f32::consts::LN_2;
    scaled(expm1_near_zero::<BITS>(r), n)
}

/// eˣ − 1.
#[inline(always)]
pub(crate) fn expm1<const BITS: usize>(x: f32) -> f32 {
    let cut = if x > 89.0 { 89.0 } else { x };
    let cut = if cut < -20.0 { -20.0 } else { cut };
    let (_, n, r) = reduced::<BITS>(cut);
    let half = n * 0.5 + ROUND;
    let rest = n - (half - ROUND) + ROUND;
    let (a, b) = (power_of_two(half), power_of_two(rest));
    let m = expm1_near_zero::<BITS>(r);
    // (m·a + a)·b − 1 where 2ⁿ = a·b; below so large an n nothing is lost by taking the product first.
    let near = m * (a * b) + (a * b - 1.0);
    let far = (m + 1.0) * a * b - 1.0;
    let value = if n > 64.0 { far } else { near };
    // Of −0 it is −0.
    if x == 0.0 { x } else { value }
}

/// x = m·2ⁿ with √½ ≤ m < √2: ln x = ln(1 + f) + n ln 2, f = m − 1; for positive, finite, normal x.
#[inline(always)]
fn log_of_normal<const BITS: usize>(x: f32, more: f32) -> f32 {
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let from_root = x
        .to_bits()
        .wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let n = (from_root as i32) >> 23;
    let f = f32::from_bits(x.to_bits().wrapping_sub((n as u32).wrapping_shl(23))) - 1.0;
    let n = n as f32 + more;
    let rest = polynomial::<BITS, 9>(
        f,
        [
            6.746_691e-2,
            -0.116_756_78,
            0.118_881_546,
            -0.124_055_84,
            0.142_195_52,
            -0.166_679_96,
            0.200_021_19,
            -0.250_000_1,
            0.333_333_13,
        ],
    );
    let square = f * f;
    let small = plus::<BITS>(square * f, rest, n * LOW);
    let small = plus::<BITS>(square, -0.5, small);
    plus::<BITS>(n, HIGH, f + small)
}

/// ln x.
#[inline(always)]
pub(crate) fn log<const BITS: usize>(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let value = log_of_normal::<BITS>(scaled, if tiny { -23.0 } else { 0.0 });
    // Infinity and what is no number stay what they are.
    let value = if x < f32::INFINITY { value } else { x };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x < 0.0 { f32::NAN } else { value }
}

/// ln(1 + x): the logarithm of the rounded sum, and what rounding took away over that.
#[inline(always)]
pub(crate) fn log1p<const BITS: usize>(x: f32) -> f32 {
    let sum = 1.0 + x;
    let lost = if x > 1.0 {
        1.0 - (sum - x)
    } else {
        x - (sum - 1.0)
    };
    let value = log_of_normal::<BITS>(sum, 0.0) + lost / sum;
    let value = if x.abs() < 5e-8 { x } else { value };
    let value = if x < f32::INFINITY { value } else { x };
    let value = if x == -1.0 { f32::NEG_INFINITY } else { value };
    if x < -1.0 { f32::NAN } else { value }
}

/// ln(1 + eˣ), and x above 20, where torch cuts it.
#[inline(always)]
pub(crate) fn softplus<const BITS: usize>(x: f32) -> f32 {
    let value = log1p::<BITS>(exp::<BITS>(x));
    if x > 20.0 { x } else { value }
}

/// tanh x: x + x³·P(x²) for small x, else 1 − 2/(e²ˣ + 1) with the sign of x.
#[inline(always)]
pub(crate) fn tanh<const BITS: usize>(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let rest = polynomial::<BITS, 6>(
        square,
        [
            2.142_962e-3,
            -8.177_398e-3,
            2.170_070_3e-2,
            -5.394_676_3e-2,
            0.133_332_06,
            -0.333_333_3,
        ],
    );
    let small = plus::<BITS>(square * x, rest, x);
    // Beyond ten it is 1 in float32; what is no number stays so.
    let cut = if size > 10.0 { 10.0 } else { size };
    let (shifted, _, r) = reduced::<BITS>(2.0 * cut);
    let power = (expm1_near_zero::<BITS>(r) + 1.0) * power_of_two(shifted);
    let large = (1.0 - 2.0 / (power + 1.0)).copysign(x);
    if size < 0.625 {
        small.copysign(x)
    } else {
        large
    }
}

/// erf x: by its polynomial for small x, else 1 − e^(−x²)·erfcx(x) with the sign of x.
#[inline(always)]
pub(crate) fn erf<const BITS: usize>(x: f32) -> f32 {
    let size = x.abs();
    let small = erf_near_zero::<BITS>(x);
    // Beyond four it is 1 in float32.
    let cut = if size > 4.5 { 4.5 } else { size };
    let tail = scaled_tail::<BITS>(cut * std::f32::consts::SQRT_2);
    let below = exp_of_negative::<BITS>(-cut * cut);
    let large = (1.0 - tail * below).copysign(x);
    if size < 0.9 { small } else { large }
}

/// Beyond this the sine and the cosine are taken by the standard library, in float64.
pub(super) const FAR: f32 = 100_000.0;

/// Sine of x + turns·π/2, for |x| ≤ `FAR`.
#[inline(always)]
fn sine<const BITS: usize>(x: f32, turns: i32) -> f32 {
    // π/2 in so few bits that n times it is exact, and the rest.
    const HIGH: f64 = 1.570_796_326_734_125_6;
    const LOW: f64 = 6.077_100_506_506_192e-11;
    let wide = f64::from(x);
    const SHIFT: f64 = 6_755_399_441_055_744.0; // 1.5·2⁵²
    let shifted = wide * std::f64::consts::FRAC_2_PI + SHIFT;
    let n = shifted - SHIFT;
    let quarter = (shifted.to_bits() as i32).wrapping_add(turns);
    let r = ((wide - n * HIGH) - n * LOW) as f32;
    let square = r * r;
    let odd = polynomial::<BITS, 4>(
        square,
        [2.718_302_5e-6, -1.983_933_3e-4, 8.333_329e-3, -0.166_666_67],
    );
    let sine = plus::<BITS>(square * r, odd, r);
    let even = polynomial::<BITS, 3>(square, [2.443_836_5e-5, -1.388_736_7e-3, 4.166_664_6e-2]);
    let cosine = plus::<BITS>(square * square, even, plus::<BITS>(square, -0.5, 1.0));
    let value = if quarter & 1 == 0 { sine } else { cosine };
    let sign = ((quarter & 2) as u32) << 30;
    f32::from_bits(value.to_bits() ^ sign)
}

/// sin x for |x| ≤ `FAR`.
#[inline(always)]
pub(crate) fn sin<const BITS: usize>(x: f32) -> f32 {
    let value = sine::<BITS>(x, 0);
    if x == 0.0 { x } else { value }
}

/// cos x for |x| ≤ `FAR`.
#[inline(always)]
pub(crate) fn cos<const BITS: usize>(x: f32) -> f32 {
    sine::<BITS>(x, 1)
}

/// x·σ(x).
#[inline(always)]
pub(crate) fn silu<const BITS: usize>(x: f32) -> f32 {
    x * sigmoid::<BITS>(x)
}
