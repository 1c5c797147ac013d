//! Whether two terms are equal in the sense that a soundness class claims, on inputs chosen to hurt.

use std::collections::BTreeMap;

use egg::Id;
use fastrand::Rng;

use crate::evaluate::arithmetic::{round, ulp};
use crate::evaluate::{
    Arithmetic, Complex, Evaluated, Evaluation, Field, Floating, Tensor, extents,
};
use crate::rules::Soundness;
use crate::tensor_type::DType;
use crate::trial::instance::Built;

/// Relative difference in float64 above which two well-conditioned values are not the same real number.
const SAME: f64 = 1e-9;
/// A result that claims to be accurate may err by so many units more than the original: each side rounds some times.
const UNITS_MORE: f64 = 8.0;

/// From which numbers inputs are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Regime {
    /// Between −2 and 2.
    Moderate,
    /// Between 0.1 and 3.
    Positive,
    /// From −3 to 3: zeros, ones, equal elements.
    Whole,
    /// Magnitudes from 1e-12 to 1e-3.
    Tiny,
    /// Magnitudes from 10 to 300: exponentials overflow.
    Large,
    /// Magnitudes from 1e-30 to 1e30.
    Wide,
    /// One NaN among moderate numbers.
    OneNan,
    /// Some infinities among moderate numbers.
    Infinite,
    /// NaN, infinities, both zeros, the largest and the least numbers.
    Special,
}

use Regime::{Infinite, Large, Moderate, OneNan, Positive, Special, Tiny, Whole, Wide};

/// What has been compared so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub exact_elements: usize,
    pub float_elements: usize,
    /// By regime: the largest error of the left and of the right side, in units in the last place.
    errors: BTreeMap<u8, (f64, f64)>,
}

impl Tally {
    /// Whether the right sides were, regime by regime, at worst as far from the exact values as the left sides.
    pub fn errs_no_more(&self) -> Result<(), String> {
        for (&regime, &(left, right)) in &self.errors {
            if right > 1.5 * left + UNITS_MORE {
                return Err(format!(
                    "errs by {right:.3e} units in the last place where the original errs by {left:.3e} ({:?} inputs)",
                    ACCURACY[usize::from(regime)]
                ));
            }
        }
        Ok(())
    }
}

const ACCURACY: [Regime; 6] = [Moderate, Positive, Whole, Tiny, Large, Wide];

/// Whether arithmetic on this type wraps.
pub fn is_integer(dtype: DType) -> bool {
    matches!(
        dtype,
        DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U8 | DType::Bool
    )
}

fn is_complex(dtype: DType) -> bool {
    matches!(dtype, DType::C64 | DType::C128)
}

fn draw(regime: Regime, dtype: DType, rng: &mut Rng) -> f64 {
    if dtype == DType::Bool {
        return f64::from(u8::from(rng.bool()));
    }
    if is_integer(dtype) {
        let edge = matches!(dtype, DType::I8 | DType::U8) && rng.u8(..4) == 0;
        let n = if edge {
            100 + rng.i64(..100)
        } else {
            rng.i64(-4..5)
        };
        return round(n as f64, dtype);
    }
    let sign = if rng.bool() { 1.0 } else { -1.0 };
    let power =
        |rng: &mut Rng, low: f64, high: f64| sign * libm::exp10(low + (high - low) * rng.f64());
    let moderate = 4.0 * rng.f64() - 2.0;
    let x = match regime {
        Moderate | OneNan => moderate,
        Positive => 0.1 + 2.9 * rng.f64(),
        Whole => sign * rng.u8(..4) as f64,
        Tiny => power(rng, -12.0, -3.0),
        Large => power(rng, 1.0, 2.5),
        Wide => power(rng, -30.0, 30.0),
        Infinite if rng.u8(..4) == 0 => sign * f64::INFINITY,
        Infinite => moderate,
        Special => match rng.u8(..9) {
            0 => f64::NAN,
            1 | 2 => sign * f64::INFINITY,
            3 | 4 => sign * 0.0,
            5 => sign * f64::from(f32::MAX),
            6 => sign * 1e-45,
            7 => sign,
            _ => moderate,
        },
    };
    round(x, dtype)
}

fn inputs(
    built: &Built,
    sizes: &BTreeMap<u32, usize>,
    regime: Regime,
    rng: &mut Rng,
) -> Vec<Tensor<f64>> {
    let mut tensors: Vec<Tensor<f64>> = built
        .inputs
        .iter()
        .map(|ty| {
            let shape = extents(&ty.shape, sizes);
            let data = (0..shape.iter().product())
                .map(|_| draw(regime, ty.dtype, rng))
                .collect();
            Tensor::new(shape, data)
        })
        .collect();
    if regime == OneNan && !tensors.is_empty() {
        let i = rng.usize(..tensors.len());
        if !tensors[i].data.is_empty() && built.inputs[i].dtype.is_float() {
            let j = rng.usize(..tensors[i].data.len());
            tensors[i].data[j] = f64::NAN;
        }
    }
    tensors
}

/// Whether some input has no elements.
fn is_empty(built: &Built, sizes: &BTreeMap<u32, usize>) -> bool {
    let mut inputs = built.inputs.iter();
    inputs.any(|t| extents(&t.shape, sizes).contains(&0))
}

type Both<S> = (Evaluated<Tensor<S>>, Vec<Evaluated<Tensor<S>>>, f64);

/// Left side, right sides, and for floats the largest finite magnitude met on the way.
fn both<A: Arithmetic>(
    built: &Built,
    rights: &[Id],
    arithmetic: &A,
    inputs: &[Tensor<A::Scalar>],
    sizes: &BTreeMap<u32, usize>,
    magnitude: impl Fn(A::Scalar) -> f64,
) -> Both<A::Scalar> {
    let mut evaluation = Evaluation::new(&built.egraph, arithmetic, inputs, sizes);
    let left = evaluation.value(built.root).cloned();
    let right = rights
        .iter()
        .map(|&id| evaluation.value(id).cloned())
        .collect();
    let most = evaluation
        .values()
        .flat_map(|t| &t.data)
        .map(|&x| magnitude(x).abs())
        .filter(|x| x.is_finite())
        .fold(0.0, f64::max);
    (left, right, most)
}

/// Compares the root with each right side.
///
/// # Errors
/// Says on which inputs which elements differ.
pub fn judge(
    built: &Built,
    rights: &[(Id, bool)],
    soundness: Soundness,
    seed: u64,
    thorough: bool,
    tally: &mut Tally,
) -> Result<(), String> {
    for regroups in [false, true] {
        let rights = rights.iter().filter(|(_, r)| *r == regroups);
        let rights: Vec<Id> = rights.map(|(id, _)| *id).collect();
        if rights.is_empty() {
            continue;
        }
        let asked = if regroups {
            soundness.max(Soundness::Reassociates)
        } else {
            soundness
        };
        judge_as(built, &rights, asked, seed, thorough, tally)?;
    }
    Ok(())
}

fn judge_as(
    built: &Built,
    rights: &[Id],
    soundness: Soundness,
    seed: u64,
    thorough: bool,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    // A symbol's value is not the hint that the types were made with.
    let sizes: BTreeMap<u32, usize> = (0..3).map(|s| (s, rng.usize(..4))).collect();
    let dtypes: Vec<DType> = built.inputs.iter().map(|t| t.dtype).collect();
    let before = tally.exact_elements;
    over_the_field(built, rights, &sizes, &mut rng, tally)?;
    let complex = built.inputs.iter().any(|t| is_complex(t.dtype));
    if !thorough && !complex && tally.exact_elements > before {
        return Ok(());
    }
    if dtypes.iter().any(|d| is_complex(*d)) {
        if soundness == Soundness::BitExact && dtypes.iter().all(|d| is_complex(*d)) {
            for regime in [Moderate, Infinite, Special] {
                part_by_part(built, rights, regime, &sizes, &mut rng, tally)?;
            }
        }
        return Ok(());
    }
    // A mask or places go with floating point; integers alone are exact.
    let counts = dtypes.iter().any(|d| is_integer(*d) && *d != DType::Bool);
    if dtypes.iter().all(|d| is_integer(*d)) || (counts && is_integer(built.ty.dtype)) {
        for _ in 0..3 {
            bit_by_bit(built, rights, Moderate, &sizes, &mut rng, tally)?;
        }
        return Ok(());
    }
    over_the_reals(built, rights, soundness, &sizes, &mut rng, tally)?;
    if !thorough {
        return Ok(());
    }
    match soundness {
        Soundness::BitExact => {
            for regime in [
                Moderate, Whole, Wide, Large, OneNan, Infinite, Special, Special,
            ] {
                bit_by_bit(built, rights, regime, &sizes, &mut rng, tally)?;
            }
        }
        Soundness::Accurate => {
            if dtypes.iter().all(|d| *d == DType::F32) {
                for (number, regime) in ACCURACY.iter().enumerate() {
                    let number = number as u8;
                    by_error(built, rights, number, *regime, &sizes, &mut rng, tally)?;
                }
                at_the_edges(built, rights, &sizes, &mut rng)?;
            }
            spreads_nan(built, rights, &sizes, &mut rng)?;
        }
        Soundness::Reassociates => spreads_nan(built, rights, &sizes, &mut rng)?,
        Soundness::RealsOnly => {}
    }
    Ok(())
}

/// Where in a tensor the first pair stands that `wrong` finds wrong, with both elements.
fn find<S: Copy>(
    left: &Tensor<S>,
    right: &Tensor<S>,
    wrong: impl Fn(S, S) -> bool,
) -> Option<(usize, S, S)> {
    let pairs = left.data.iter().zip(&right.data).enumerate();
    pairs
        .map(|(i, (&l, &r))| (i, l, r))
        .find(|&(_, l, r)| wrong(l, r))
}

/// The inputs, where they are few enough to be read.
fn show(inputs: &[Tensor<f64>]) -> String {
    if inputs.iter().map(|t| t.data.len()).sum::<usize>() > 12 {
        return String::new();
    }
    let all: Vec<String> = inputs.iter().map(|t| format!("{:?}", t.data)).collect();
    format!(", inputs {}", all.join(" "))
}

fn differ(
    element: usize,
    left: impl std::fmt::Debug,
    right: impl std::fmt::Debug,
    how: &str,
) -> String {
    format!("element {element} is {left:?} on the left and {right:?} on the right ({how})")
}

/// Polynomials in exact arithmetic: equal at a random point of a large field, or not equal.
fn over_the_field(
    built: &Built,
    rights: &[Id],
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let inputs: Vec<Tensor<u64>> = built
        .inputs
        .iter()
        .map(|ty| {
            let shape = extents(&ty.shape, sizes);
            let data = (0..shape.iter().product())
                .map(|_| rng.u64(..Field::PRIME))
                .collect();
            Tensor::new(shape, data)
        })
        .collect();
    let (left, rights, _) = both(built, rights, &Field, &inputs, sizes, |_| 0.0);
    let Ok(left) = left else { return Ok(()) };
    // Not a polynomial, or undefined in a part that no element may depend on: the reals will tell.
    for right in rights.into_iter().flatten() {
        if let Some((i, l, r)) = find(&left, &right, |l, r| l != r) {
            return Err(differ(i, l, r, "modulo 2⁶¹ − 1, random inputs"));
        }
        tally.exact_elements += left.data.len();
    }
    Ok(())
}

/// Equal up to the rounding of float64 where both are defined; and defined alike, unless the class says otherwise.
fn over_the_reals(
    built: &Built,
    rights: &[Id],
    soundness: Soundness,
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let empty = is_empty(built, sizes);
    for regime in [Moderate, Positive, Whole] {
        let inputs = inputs(built, sizes, regime, rng);
        let reals = Floating { rounded: false };
        let (left, rights, most) = both(built, rights, &reals, &inputs, sizes, |x| x);
        let Ok(left) = left else { continue };
        for right in rights.into_iter().flatten() {
            let wrong = |l: f64, r: f64| {
                if l.is_finite() && r.is_finite() {
                    (l - r).abs() > SAME * most
                } else {
                    // The mean of nothing is no value that a rule has to keep.
                    let asked = soundness < Soundness::RealsOnly && (l.is_finite() || !empty);
                    asked && l.is_finite() != r.is_finite()
                }
            };
            if let Some((i, l, r)) = find(&left, &right, wrong) {
                let how = format!("over the reals, {regime:?} inputs{}", show(&inputs));
                return Err(differ(i, l, r, &how));
            }
            let pairs = left.data.iter().zip(&right.data);
            tally.float_elements += pairs
                .filter(|(l, r)| l.is_finite() && r.is_finite())
                .count();
        }
    }
    Ok(())
}

fn same_bits(l: f64, r: f64) -> bool {
    l.to_bits() == r.to_bits() || (l.is_nan() && r.is_nan())
}

/// Equal bit by bit, the sign of zero too: what follows may divide by it.
fn bit_by_bit(
    built: &Built,
    rights: &[Id],
    regime: Regime,
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let inputs = inputs(built, sizes, regime, rng);
    let integers = is_integer(built.ty.dtype);
    let (left, rights, _) = both(
        built,
        rights,
        &Floating { rounded: true },
        &inputs,
        sizes,
        |x| x,
    );
    let Ok(left) = left else { return Ok(()) };
    for right in rights {
        let right = right.map_err(|why| format!("the right side has no value: {why:?}"))?;
        let wrong = |l: f64, r: f64| if integers { l != r } else { !same_bits(l, r) };
        if let Some((i, l, r)) = find(&left, &right, wrong) {
            let how = format!("{:?}, {regime:?} inputs{}", built.ty.dtype, show(&inputs));
            return Err(differ(i, l, r, &how));
        }
        tally.float_elements += left.data.len();
    }
    Ok(())
}

/// Complex numbers bit by bit, both parts.
fn part_by_part(
    built: &Built,
    rights: &[Id],
    regime: Regime,
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let (real, imaginary) = (
        inputs(built, sizes, regime, rng),
        inputs(built, sizes, regime, rng),
    );
    let pairs: Vec<Tensor<[f64; 2]>> = real
        .into_iter()
        .zip(imaginary)
        .map(|(x, y)| {
            // A single precision part is one that float32 holds.
            let part = |v: f64| round(v, DType::F32);
            let data = x
                .data
                .iter()
                .zip(&y.data)
                .map(|(&a, &b)| [part(a), part(b)]);
            Tensor::new(x.shape, data.collect())
        })
        .collect();
    let complex = Complex {
        parts: Floating { rounded: true },
    };
    let (left, rights, _) = both(built, rights, &complex, &pairs, sizes, |_| 0.0);
    let Ok(left) = left else { return Ok(()) };
    for right in rights.into_iter().flatten() {
        let wrong = |l: [f64; 2], r: [f64; 2]| !(same_bits(l[0], r[0]) && same_bits(l[1], r[1]));
        if let Some((i, l, r)) = find(&left, &right, wrong) {
            return Err(differ(i, l, r, &format!("complex, {regime:?} inputs")));
        }
        tally.float_elements += left.data.len();
    }
    Ok(())
}

/// A NaN poisons the same elements on both sides.
fn spreads_nan(
    built: &Built,
    rights: &[Id],
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
) -> Result<(), String> {
    // A sum of nothing is zero, whatever it is multiplied with before or after.
    if built
        .inputs
        .iter()
        .any(|t| extents(&t.shape, sizes).contains(&0))
    {
        return Ok(());
    }
    for _ in 0..2 {
        let inputs = inputs(built, sizes, OneNan, rng);
        let (left, rights, _) = both(
            built,
            rights,
            &Floating { rounded: false },
            &inputs,
            sizes,
            |x| x,
        );
        let Ok(left) = left else { continue };
        for right in rights.into_iter().flatten() {
            if let Some((i, l, r)) = find(&left, &right, |l, r| l.is_nan() != r.is_nan()) {
                return Err(differ(
                    i,
                    l,
                    r,
                    &format!("one NaN among the inputs{}", show(&inputs)),
                ));
            }
        }
    }
    Ok(())
}

/// Both sides in float32 against float64: the largest errors are kept, and what was finite stays finite.
fn by_error(
    built: &Built,
    rights: &[Id],
    number: u8,
    regime: Regime,
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let inputs = inputs(built, sizes, regime, rng);
    let (exact, also_exact, _) = both(
        built,
        rights,
        &Floating { rounded: false },
        &inputs,
        sizes,
        |x| x,
    );
    let (left, rights, _) = both(
        built,
        rights,
        &Floating { rounded: true },
        &inputs,
        sizes,
        |x| x,
    );
    let (Ok(exact), Ok(left)) = (exact, left) else {
        return Ok(());
    };
    for (right, also) in rights.into_iter().zip(also_exact) {
        let right = right.map_err(|why| format!("the right side has no value: {why:?}"))?;
        let also = also.map_err(|why| format!("the right side has no value: {why:?}"))?;
        for (i, (&e, (&l, &r))) in exact
            .data
            .iter()
            .zip(left.data.iter().zip(&right.data))
            .enumerate()
        {
            let normal = e.abs() < f64::from(f32::MAX) && e.abs() > f64::from(f32::MIN_POSITIVE);
            if !(normal || e == 0.0) || !l.is_finite() {
                continue;
            }
            if !r.is_finite() {
                let how = format!("exactly {e:?}, {regime:?} inputs{}", show(&inputs));
                return Err(differ(i, l, r, &how));
            }
            // Where even float64 cannot tell, as 1 + 10⁻³⁰ is 1 there too, neither side is the measure.
            if (e - also.data[i]).abs() > SAME * e.abs() {
                continue;
            }
            let unit = ulp(e, DType::F32);
            let worst = tally.errors.entry(number).or_insert((0.0, 0.0));
            worst.0 = worst.0.max((l - e).abs() / unit);
            worst.1 = worst.1.max((r - e).abs() / unit);
            tally.float_elements += 1;
        }
    }
    Ok(())
}

/// At infinities the right side is the left side, or the exact value, or the left side was NaN for no reason.
fn at_the_edges(
    built: &Built,
    rights: &[Id],
    sizes: &BTreeMap<u32, usize>,
    rng: &mut Rng,
) -> Result<(), String> {
    let inputs = inputs(built, sizes, Infinite, rng);
    let (exact, ..) = both(
        built,
        &[],
        &Floating { rounded: false },
        &inputs,
        sizes,
        |x| x,
    );
    let (left, rights, _) = both(
        built,
        rights,
        &Floating { rounded: true },
        &inputs,
        sizes,
        |x| x,
    );
    let (Ok(exact), Ok(left)) = (exact, left) else {
        return Ok(());
    };
    for right in rights {
        let right = right.map_err(|why| format!("the right side has no value: {why:?}"))?;
        for (i, (&e, (&l, &r))) in exact
            .data
            .iter()
            .zip(left.data.iter().zip(&right.data))
            .enumerate()
        {
            let fine = l == r || l.is_nan() || e == r || (e.is_finite() && r.is_finite());
            if !fine {
                return Err(differ(
                    i,
                    l,
                    r,
                    &format!("infinities among the inputs{}", show(&inputs)),
                ));
            }
        }
    }
    Ok(())
}
