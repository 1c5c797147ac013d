//! Instructions over elements that lie together: plain loops, which the compiler turns into whole registers.
//!
//! No closures: they would be compiled for any processor.

use super::elementary as e;
use super::instruction::{Binary, Reduction, Unary};
use crate::linear::activation::{gelu, plus, sigmoid};

/// Numbers of which a long function is taken side by side.
const WIDE: usize = 16;
/// Numbers that are summed side by side.
const LANES: usize = 32;
/// So many numbers are summed before their sum is added to those of the ones before: errors grow with the terms of one
/// sum, not with all.
const BLOCK: usize = 4096;

/// out[i] = f(a[i]).
#[inline(always)]
pub(super) fn unary<const BITS: usize>(of: Unary, a: &[f32], out: &mut [f32]) {
    macro_rules! each {
        ($x:ident => $y:expr) => {
            for (out, &$x) in out.iter_mut().zip(a) {
                *out = $y;
            }
        };
    }
    // Two registers at a time: what one waits for, the other does.
    macro_rules! wide {
        ($x:ident => $y:expr) => {{
            let (blocks, rest) = a.as_chunks::<WIDE>();
            let (outs, out_rest) = out.as_chunks_mut::<WIDE>();
            for (out, block) in outs.iter_mut().zip(blocks) {
                let mut values = *block;
                for value in &mut values {
                    let $x = *value;
                    *value = $y;
                }
                *out = values;
            }
            for (out, &$x) in out_rest.iter_mut().zip(rest) {
                *out = $y;
            }
        }};
    }
    // Far from zero one turn more or less of a circle is beyond what float32 tells apart.
    macro_rules! of_angle {
        ($quick:path, $far:path) => {{
            let mut far = false;
            for &x in a {
                far |= (x.abs() > e::FAR) | x.is_nan();
            }
            if far {
                each!(x => $far(f64::from(x)) as f32);
            } else {
                each!(x => $quick(x));
            }
        }};
    }
    match of {
        Unary::Neg => each!(x => -x),
        Unary::Abs => each!(x => x.abs()),
        Unary::Relu => each!(x => if x < 0.0 { 0.0 } else { x }),
        Unary::Sigmoid => wide!(x => sigmoid::<BITS>(x)),
        Unary::Tanh => wide!(x => e::tanh::<BITS>(x)),
        Unary::Gelu => wide!(x => gelu::<BITS>(x)),
        Unary::GeluTanh => wide!(x => {
            const SCALE: f32 = 1.595_769; // 2√(2/π)
            x * sigmoid::<BITS>(x * plus::<BITS>(0.044_715 * SCALE * x, x, SCALE))
        }),
        Unary::Silu => wide!(x => e::silu::<BITS>(x)),
        Unary::Exp => wide!(x => e::exp::<BITS>(x)),
        Unary::Exp2 => wide!(x => e::exp2::<BITS>(x)),
        Unary::Expm1 => wide!(x => e::expm1::<BITS>(x)),
        Unary::Log => wide!(x => e::log::<BITS>(x)),
        Unary::Log1p => wide!(x => e::log1p::<BITS>(x)),
        Unary::Sqrt => each!(x => x.sqrt()),
        Unary::Rsqrt => each!(x => 1.0 / x.sqrt()),
        Unary::Reciprocal => each!(x => 1.0 / x),
        Unary::Erf => wide!(x => e::erf::<BITS>(x)),
        Unary::Sin => of_angle!(e::sin::<BITS>, f64::sin),
        Unary::Cos => of_angle!(e::cos::<BITS>, f64::cos),
        Unary::Softplus => wide!(x => e::softplus::<BITS>(x)),
        Unary::HardSwish => each!(x => x * (six(x) * (1.0 / 6.0))),
        Unary::HardSigmoid => each!(x => six(x) * (1.0 / 6.0)),
        Unary::Floor => each!(x => x.floor()),
        Unary::Ceil => each!(x => x.ceil()),
        Unary::Round => each!(x => x.round_ties_even()),
        Unary::Trunc => each!(x => x.trunc()),
        Unary::Sign => each!(x => truth(x > 0.0) - truth(x < 0.0)),
        Unary::Not => each!(x => truth(x == 0.0)),
        Unary::Square => each!(x => x * x),
        Unary::Cube => each!(x => x * x * x),
        Unary::ReciprocalOfSquare => each!(x => (1.0 / x) * (1.0 / x)),
    }
}

/// x + 3, cut off at 0 and 6.
#[inline(always)]
fn six(x: f32) -> f32 {
    let above = if x < -3.0 { 0.0 } else { x + 3.0 };
    if above > 6.0 { 6.0 } else { above }
}

#[inline(always)]
fn truth(holds: bool) -> f32 {
    if holds { 1.0 } else { 0.0 }
}

/// An operand of a row: a number for each element, or one for all.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Each(&'a [f32]),
    All(f32),
}

/// out[i] = f(a[i], b[i]).
#[inline(always)]
pub(super) fn binary<const BITS: usize>(
    of: Binary,
    a: Operand<'_>,
    b: Operand<'_>,
    out: &mut [f32],
) {
    macro_rules! each {
        ($x:ident, $y:ident => $z:expr) => {
            match (a, b) {
                (Operand::Each(a), Operand::Each(b)) => {
                    for ((out, &$x), &$y) in out.iter_mut().zip(a).zip(b) {
                        *out = $z;
                    }
                }
                (Operand::Each(a), Operand::All($y)) => {
                    for (out, &$x) in out.iter_mut().zip(a) {
                        *out = $z;
                    }
                }
                (Operand::All($x), Operand::Each(b)) => {
                    for (out, &$y) in out.iter_mut().zip(b) {
                        *out = $z;
                    }
                }
                (Operand::All($x), Operand::All($y)) => out.fill($z),
            }
        };
    }
    match of {
        Binary::Add => each!(x, y => x + y),
        Binary::Sub => each!(x, y => x - y),
        Binary::Mul => each!(x, y => x * y),
        Binary::Div => each!(x, y => x / y),
        // What is no number goes through, as in torch's maximum.
        Binary::Max => each!(x, y => larger(x, y)),
        Binary::Min => each!(x, y => smaller(x, y)),
        Binary::Pow => each!(x, y => f64::from(x).powf(f64::from(y)) as f32),
        Binary::Gt => each!(x, y => truth(x > y)),
        Binary::Ge => each!(x, y => truth(x >= y)),
        Binary::Lt => each!(x, y => truth(x < y)),
        Binary::Le => each!(x, y => truth(x <= y)),
        Binary::Eq => each!(x, y => truth(x == y)),
        Binary::Ne => each!(x, y => truth(x != y)),
        Binary::And => each!(x, y => truth((x != 0.0) & (y != 0.0))),
        Binary::Or => each!(x, y => truth((x != 0.0) | (y != 0.0))),
    }
}

#[inline(always)]
fn larger(x: f32, y: f32) -> f32 {
    let most = if x > y { x } else { y };
    if x.is_nan() { x } else { most }
}

#[inline(always)]
fn smaller(x: f32, y: f32) -> f32 {
    let least = if x < y { x } else { y };
    if x.is_nan() { x } else { least }
}

/// out[i] = a[i]·b[i] + c[i].
#[inline(always)]
pub(super) fn multiply_add<const BITS: usize>(
    a: Operand<'_>,
    b: Operand<'_>,
    c: Operand<'_>,
    out: &mut [f32],
) {
    let (a, b) = match (a, b) {
        (Operand::All(_), Operand::Each(_)) => (b, a),
        _ => (a, b),
    };
    match (a, b, c) {
        (Operand::Each(a), Operand::Each(b), Operand::Each(c)) => {
            for (((out, &x), &y), &z) in out.iter_mut().zip(a).zip(b).zip(c) {
                *out = plus::<BITS>(x, y, z);
            }
        }
        (Operand::Each(a), Operand::All(y), Operand::Each(c)) => {
            for ((out, &x), &z) in out.iter_mut().zip(a).zip(c) {
                *out = plus::<BITS>(x, y, z);
            }
        }
        (Operand::Each(a), Operand::Each(b), Operand::All(z)) => {
            for ((out, &x), &y) in out.iter_mut().zip(a).zip(b) {
                *out = plus::<BITS>(x, y, z);
            }
        }
        (Operand::Each(a), Operand::All(y), Operand::All(z)) => {
            for (out, &x) in out.iter_mut().zip(a) {
                *out = plus::<BITS>(x, y, z);
            }
        }
        (Operand::All(x), Operand::All(y) | Operand::Each(&[y, ..]), Operand::Each(c)) => {
            for (out, &z) in out.iter_mut().zip(c) {
                *out = plus::<BITS>(x, y, z);
            }
        }
        (Operand::All(x), Operand::All(y) | Operand::Each(&[y, ..]), Operand::All(z)) => {
            out.fill(plus::<BITS>(x, y, z));
        }
        // An empty row.
        (Operand::All(_), Operand::Each(&[]), _) => {}
    }
}

/// Σ x[i]·y[i].
#[inline(always)]
pub(super) fn dot<const BITS: usize>(x: &[f32], y: &[f32]) -> f32 {
    let mut total = 0.0;
    for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let (x_blocks, x_rest) = x.as_chunks::<LANES>();
        let (y_blocks, y_rest) = y.as_chunks::<LANES>();
        let mut few = [0.0f32; 8];
        if !x_blocks.is_empty() {
            let mut lanes = [0.0f32; LANES];
            for (x, y) in x_blocks.iter().zip(y_blocks) {
                for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
                    *lane = plus::<BITS>(x, y, *lane);
                }
            }
            for i in 0..8 {
                few[i] = (lanes[i] + lanes[i + 8]) + (lanes[i + 16] + lanes[i + 24]);
            }
        }
        let (x_eights, x_rest) = x_rest.as_chunks::<8>();
        let (y_eights, y_rest) = y_rest.as_chunks::<8>();
        for (x, y) in x_eights.iter().zip(y_eights) {
            for ((lane, &x), &y) in few.iter_mut().zip(x).zip(y) {
                *lane = plus::<BITS>(x, y, *lane);
            }
        }
        for ((lane, &x), &y) in few.iter_mut().zip(x_rest).zip(y_rest) {
            *lane = plus::<BITS>(x, y, *lane);
        }
        for i in 0..4 {
            few[i] += few[i + 4];
        }
        total += (few[0] + few[2]) + (few[1] + few[3]);
    }
    total
}

/// out[i] = a[i] cut off below and above.
#[inline(always)]
pub(super) fn clamp(a: &[f32], low: f32, high: f32, out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(a) {
        let above = if x < low { low } else { x };
        *out = if above > high { high } else { above };
    }
}

/// out[i] = a[i] where c[i] is not 0, else b[i].
#[inline(always)]
pub(super) fn choose(c: Operand<'_>, a: Operand<'_>, b: Operand<'_>, out: &mut [f32]) {
    let c = match c {
        Operand::Each(c) => c,
        Operand::All(c) => {
            match if c != 0.0 { a } else { b } {
                Operand::Each(x) => out.copy_from_slice(x),
                Operand::All(x) => out.fill(x),
            }
            return;
        }
    };
    let places = out.iter_mut().zip(c);
    match (a, b) {
        (Operand::Each(a), Operand::Each(b)) => {
            for (((out, &c), &x), &y) in places.zip(a).zip(b) {
                *out = if c != 0.0 { x } else { y };
            }
        }
        (Operand::Each(a), Operand::All(y)) => {
            for ((out, &c), &x) in places.zip(a) {
                *out = if c != 0.0 { x } else { y };
            }
        }
        (Operand::All(x), Operand::Each(b)) => {
            for ((out, &c), &y) in places.zip(b) {
                *out = if c != 0.0 { x } else { y };
            }
        }
        (Operand::All(x), Operand::All(y)) => {
            for (out, &c) in places {
                *out = if c != 0.0 { x } else { y };
            }
        }
    }
}

/// The sum, product, largest or smallest of a row; of an empty one what leaves others as they are.
#[inline(always)]
pub(super) fn reduce(of: Reduction, row: &[f32]) -> f32 {
    macro_rules! fold {
        ($row:expr, $begin:expr, $f:expr) => {{
            let (blocks, rest) = $row.as_chunks::<LANES>();
            let mut few: [f32; 8] = [$begin; 8];
            if !blocks.is_empty() {
                let mut lanes = [$begin; LANES];
                for block in blocks {
                    for (lane, &x) in lanes.iter_mut().zip(block) {
                        *lane = $f(*lane, x);
                    }
                }
                for i in 0..8 {
                    few[i] = $f($f(lanes[i], lanes[i + 8]), $f(lanes[i + 16], lanes[i + 24]));
                }
            }
            let (eights, rest) = rest.as_chunks::<8>();
            for eight in eights {
                for (lane, &x) in few.iter_mut().zip(eight) {
                    *lane = $f(*lane, x);
                }
            }
            for (lane, &x) in few.iter_mut().zip(rest) {
                *lane = $f(*lane, x);
            }
            for i in 0..4 {
                few[i] = $f(few[i], few[i + 4]);
            }
            $f($f(few[0], few[2]), $f(few[1], few[3]))
        }};
    }
    #[inline(always)]
    fn add(x: f32, y: f32) -> f32 {
        x + y
    }
    #[inline(always)]
    fn times(x: f32, y: f32) -> f32 {
        x * y
    }
    match of {
        Reduction::Sum => {
            let mut total = 0.0;
            for block in row.chunks(BLOCK) {
                total += fold!(block, 0.0, add);
            }
            total
        }
        Reduction::Max => fold!(row, f32::NEG_INFINITY, larger),
        Reduction::Min => fold!(row, f32::INFINITY, smaller),
        Reduction::Prod => fold!(row, 1.0, times),
    }
}

/// The same of a row of so many equal numbers.
#[inline(always)]
pub(super) fn repeated(of: Reduction, number: f32, count: usize) -> f32 {
    match of {
        Reduction::Sum => number * count as f32,
        Reduction::Max | Reduction::Min => number,
        Reduction::Prod => number.powi(i32::try_from(count).unwrap_or(i32::MAX)),
    }
}
