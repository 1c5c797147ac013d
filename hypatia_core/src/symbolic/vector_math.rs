//! Elementary functions over slices of doubles, written without branches so that the compiler makes vectors of them.
//!
//! Errors stay below two units in the last place. Reductions are Cody and Waite's (1980) with fused multiply-add;
//! the polynomials of sine, cosine and logarithm are those of Sun's fdlibm (1993). Where the machine has no fused
//! multiply-add, and for arguments outside the range of a reduction, the standard library's functions stand in.

/// A number that takes doubles to integers in its low bits: 3·2^51.
const TO_INTEGER: f64 = 6_755_399_441_055_744.0;
/// Angles beyond which the reduction by π/2 in three parts loses digits.
const LARGEST_ANGLE: f64 = 1_048_576.0;
const PI_2_HIGH: f64 = std::f64::consts::FRAC_PI_2;
const PI_2_MIDDLE: f64 = 6.123_233_995_736_766e-17;
const PI_2_LOW: f64 = -1.497_384_904_859_169_8e-33;
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// The slice functions: each a kernel without branches, a test of what it is good for, and what stands in.
macro_rules! slice_functions {
    ($($name:ident $kernel:ident $covers:expr, $otherwise:expr;)*) => {$(
        /// The function of each element.
        pub fn $name(out: &mut [f64], input: &[f64]) {
            #[inline(always)]
            fn each(out: &mut [f64], input: &[f64]) {
                for (out, x) in out.iter_mut().zip(input) {
                    *out = $kernel(*x);
                }
                let covers: fn(f64) -> bool = $covers;
                if !input.iter().fold(true, |all, x| all & covers(*x)) {
                    for (out, x) in out.iter_mut().zip(input) {
                        if !covers(*x) {
                            *out = $otherwise(*x);
                        }
                    }
                }
            }
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn each_fused(out: &mut [f64], input: &[f64]) {
                    each(out, input);
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has what the function is compiled for.
                    unsafe { each_fused(out, input) };
                    return;
                }
            }
            if cfg!(target_arch = "aarch64") {
                each(out, input);
                return;
            }
            for (out, x) in out.iter_mut().zip(input) {
                *out = $otherwise(*x);
            }
        }
    )*};
}

slice_functions! {
    exp exp_kernel |_| true, f64::exp;
    sin sin_kernel |x| x.abs() <= LARGEST_ANGLE, f64::sin;
    cos cos_kernel |x| x.abs() <= LARGEST_ANGLE, f64::cos;
    log log_kernel |x| (f64::MIN_POSITIVE..=f64::MAX).contains(&x), f64::ln;
    sigmoid sigmoid_kernel |_| true, sigmoid_scalar;
}

#[inline(always)]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = coefficients[N - 1];
    for index in (0..N - 1).rev() {
        sum = sum.mul_add(x, coefficients[index]);
    }
    sum
}

/// 2 to the power of an integer of magnitude below 1023, given as a double.
#[inline(always)]
fn power_of_two(exponent: f64) -> f64 {
    f64::from_bits(((exponent + TO_INTEGER).to_bits().wrapping_add(1023)) << 52)
}

#[inline(always)]
fn exp_kernel(x: f64) -> f64 {
    const LOWEST: f64 = -745.2;
    const HIGHEST: f64 = 709.782_712_893_384;
    let whole = x.mul_add(std::f64::consts::LOG2_E, TO_INTEGER) - TO_INTEGER;
    let rest = whole.mul_add(-LN_2_LOW, whole.mul_add(-LN_2_HIGH, x));
    let tail = polynomial(
        rest,
        [
            0.5,
            1.0 / 6.0,
            1.0 / 24.0,
            1.0 / 120.0,
            1.0 / 720.0,
            1.0 / 5_040.0,
            1.0 / 40_320.0,
            1.0 / 362_880.0,
            1.0 / 3_628_800.0,
            1.0 / 39_916_800.0,
            1.0 / 479_001_600.0,
            1.0 / 6_227_020_800.0,
        ],
    );
    let value = 1.0 + (rest * rest).mul_add(tail, rest);
    // In two steps, as neither subnormal results nor the largest ones have a power of two of their own.
    let half = (whole * 0.5 + TO_INTEGER) - TO_INTEGER;
    let scaled = value * power_of_two(half) * power_of_two(whole - half);
    if x > HIGHEST {
        f64::INFINITY
    } else if x < LOWEST {
        0.0
    } else if x.is_nan() {
        x
    } else {
        scaled
    }
}

#[inline(always)]
fn sigmoid_kernel(x: f64) -> f64 {
    let small = exp_kernel(-x.abs());
    let top = if x >= 0.0 { 1.0 } else { small };
    top / (1.0 + small)
}

fn sigmoid_scalar(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    let top = if x >= 0.0 { 1.0 } else { small };
    top / (1.0 + small)
}

#[inline(always)]
fn sin_kernel(x: f64) -> f64 {
    circle(x, 0)
}

#[inline(always)]
fn cos_kernel(x: f64) -> f64 {
    circle(x, 1)
}

/// The sine of an angle and of so many right angles more.
#[inline(always)]
fn circle(x: f64, more: u64) -> f64 {
    let shifted = x.mul_add(std::f64::consts::FRAC_2_PI, TO_INTEGER);
    let whole = shifted - TO_INTEGER;
    let quarter = shifted.to_bits().wrapping_add(more);
    let first = whole.mul_add(-PI_2_HIGH, x);
    let second = whole.mul_add(-PI_2_MIDDLE, first);
    let rest = whole.mul_add(-PI_2_LOW, second);
    let square = rest * rest;
    let sine = polynomial(
        square,
        [
            -1.666_666_666_666_663_2e-1,
            8.333_333_333_322_49e-3,
            -1.984_126_982_985_795e-4,
            2.755_731_370_707_006_8e-6,
            -2.505_076_025_340_686_3e-8,
            1.589_690_995_211_55e-10,
        ],
    );
    let sine = (rest * square).mul_add(sine, rest);
    let cosine = polynomial(
        square,
        [
            4.166_666_666_666_66e-2,
            -1.388_888_888_887_411e-3,
            2.480_158_728_947_673e-5,
            -2.755_731_435_139_066_3e-7,
            2.087_572_321_298_175e-9,
            -1.135_964_755_778_819_5e-11,
        ],
    );
    let half = 0.5 * square;
    let near = 1.0 - half;
    let cosine = near + (square * square).mul_add(cosine, (1.0 - near) - half);
    let magnitude = if quarter & 1 == 0 { sine } else { cosine };
    let value = f64::from_bits(magnitude.to_bits() ^ ((quarter & 2) << 62));
    // Zero keeps its sign.
    if more == 0 && x == 0.0 { x } else { value }
}

/// The natural logarithm of a normal positive number.
#[inline(always)]
fn log_kernel(x: f64) -> f64 {
    /// The bits of √½, from which mantissas are taken.
    const START: u64 = 0x3fe6_a09e_667f_3bcd;
    /// The bits of 2^52.
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    let bits = x.to_bits().wrapping_sub(START).wrapping_add(1023 << 52);
    let exponent = f64::from_bits((bits >> 52) | TWO_52) - (4_503_599_627_370_496.0 + 1023.0);
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(START));
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let tail = z * polynomial(
        z,
        [
            6.666_666_666_666_735e-1,
            3.999_999_999_940_942e-1,
            2.857_142_874_366_239e-1,
            2.222_219_843_214_978_4e-1,
            1.818_357_216_161_805e-1,
            1.531_383_769_920_937_3e-1,
            1.479_819_860_511_658_6e-1,
        ],
    );
    let half = 0.5 * f * f;
    let low = exponent.mul_add(LN_2_LOW, s * (half + tail));
    exponent.mul_add(LN_2_HIGH, f - (half - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(least: f64, most: f64) -> Vec<f64> {
        const COUNT: u32 = 20_011;
        (0..COUNT)
            .map(|i| least + (most - least) * f64::from(i) / f64::from(COUNT - 1))
            .collect()
    }

    /// Units in the last place between two numbers.
    fn apart(a: f64, b: f64) -> u64 {
        if a == b || (a.is_nan() && b.is_nan()) {
            return 0;
        }
        let ordered = |x: f64| {
            let bits = x.to_bits() as i64;
            if bits < 0 { i64::MIN - bits } else { bits }
        };
        ordered(a).abs_diff(ordered(b))
    }

    fn agrees(slices: fn(&mut [f64], &[f64]), scalar: fn(f64) -> f64, input: &[f64]) {
        let mut out = vec![0.0; input.len()];
        slices(&mut out, input);
        for (x, found) in input.iter().zip(&out) {
            let expected = scalar(*x);
            assert!(
                apart(*found, expected) <= 2,
                "{x:e}: {found:e} against {expected:e}"
            );
        }
    }

    #[test]
    fn slices_agree_with_the_standard_library() {
        const SPECIAL: [f64; 12] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::MIN_POSITIVE,
            5e-324,
            1e300,
            -1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            std::f64::consts::PI,
        ];
        for (least, most) in [
            (-1.0, 1.0),
            (-30.0, 30.0),
            (-760.0, 760.0),
            (-1.1e6, 1.1e6),
            (1e-9, 1e9),
        ] {
            let mut input = points(least, most);
            input.extend(SPECIAL);
            agrees(exp, f64::exp, &input);
            agrees(sin, f64::sin, &input);
            agrees(cos, f64::cos, &input);
            agrees(sigmoid, sigmoid_scalar, &input);
            agrees(log, f64::ln, &input);
        }
        let multiples: Vec<f64> = (0..100_000)
            .map(|k| f64::from(k) * std::f64::consts::FRAC_PI_2)
            .collect();
        agrees(sin, f64::sin, &multiples);
        agrees(cos, f64::cos, &multiples);
        let exponents: Vec<f64> = (-1070..1024).map(|k| 2f64.powi(k) * 1.37).collect();
        agrees(log, f64::ln, &exponents);
    }
}
