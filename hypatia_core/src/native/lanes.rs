//! Instructions over elements that lie together: plain loops, which the compiler turns into whole registers.
//!
//! No closures, and no iterators of several slices: what of these is not inlined is compiled for any processor, and
//! what a loop sums lies in memory around each call of it.

use super::instruction::{Binary, Reduction, Unary};
use super::sums::{self, Term};
use crate::elementary as e;
use crate::linear::activation::{gelu, plus, sigmoid};

/// Numbers of which a long function is taken side by side, in registers of 256 bits; in wider ones twice as many.
const WIDE: usize = 16;
/// Numbers that are summed side by side.
const LANES: usize = 64;
/// So many numbers are summed before their sum is added to those of the ones before: errors grow with the terms of one
/// sum, not with all.
const BLOCK: usize = 4096;

/// Sixteen numbers as one, halves at a time.
macro_rules! folded {
    ($few:ident, $f:ident) => {
        folded!($few, $f, 8 4 2 1)
    };
    ($few:ident, $f:ident, $($half:literal)*) => {{
        $(for i in 0..$half {
            $few[i] = $f($few[i], $few[i + $half]);
        })*
        $few[0]
    }};
}

/// out[i] = f(a[i]).
#[inline(always)]
pub(super) fn unary<const BITS: usize>(of: Unary, a: &[f32], out: &mut [f32]) {
    let count = out.len().min(a.len());
    let (a, out) = (&a[..count], &mut out[..count]);
    macro_rules! each {
        ($x:ident => $y:expr) => {
            for i in 0..count {
                let $x = a[i];
                out[i] = $y;
            }
        };
    }
    // Two registers at a time: what one waits for, the other does.
    macro_rules! beside {
        ($wide:expr, $x:ident => $y:expr) => {{
            let (blocks, rest) = a.as_chunks::<{ $wide }>();
            let (outs, out_rest) = out.as_chunks_mut::<{ $wide }>();
            for at in 0..blocks.len().min(outs.len()) {
                let mut values = blocks[at];
                for value in &mut values {
                    let $x = *value;
                    *value = $y;
                }
                outs[at] = values;
            }
            for at in 0..rest.len().min(out_rest.len()) {
                let $x = rest[at];
                out_rest[at] = $y;
            }
        }};
    }
    macro_rules! wide {
        ($x:ident => $y:expr) => {
            if BITS == 512 {
                beside!(2 * WIDE, $x => $y);
            } else {
                beside!(WIDE, $x => $y);
            }
        };
    }
    // Far from zero one turn more or less of a circle is beyond what float32 tells apart.
    macro_rules! of_angle {
        ($quick:path, $far:path) => {{
            if is_within(a, e::FAR) {
                each!(x => $quick(x));
            } else {
                each!(x => $far(f64::from(x)) as f32);
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
        Unary::Exp => {
            if is_within(a, e::NEAR) {
                wide!(x => e::exp_near::<BITS>(x));
            } else {
                wide!(x => e::exp::<BITS>(x));
            }
        }
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
    let count = out.len();
    macro_rules! each {
        ($x:ident, $y:ident => $z:expr) => {
            match (a, b) {
                (Operand::Each(a), Operand::Each(b)) => {
                    let (a, b) = (&a[..count], &b[..count]);
                    for i in 0..count {
                        let ($x, $y) = (a[i], b[i]);
                        out[i] = $z;
                    }
                }
                (Operand::Each(a), Operand::All($y)) => {
                    let a = &a[..count];
                    for i in 0..count {
                        let $x = a[i];
                        out[i] = $z;
                    }
                }
                (Operand::All($x), Operand::Each(b)) => {
                    let b = &b[..count];
                    for i in 0..count {
                        let $y = b[i];
                        out[i] = $z;
                    }
                }
                (Operand::All($x), Operand::All($y)) => {
                    let z = $z;
                    for out in out.iter_mut() {
                        *out = z;
                    }
                }
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
    let count = out.len();
    match (a, b, c) {
        (Operand::Each(a), Operand::Each(b), Operand::Each(c)) => {
            let (a, b, c) = (&a[..count], &b[..count], &c[..count]);
            for i in 0..count {
                out[i] = plus::<BITS>(a[i], b[i], c[i]);
            }
        }
        (Operand::Each(a), Operand::All(y), Operand::Each(c)) => {
            let (a, c) = (&a[..count], &c[..count]);
            for i in 0..count {
                out[i] = plus::<BITS>(a[i], y, c[i]);
            }
        }
        (Operand::Each(a), Operand::Each(b), Operand::All(z)) => {
            let (a, b) = (&a[..count], &b[..count]);
            for i in 0..count {
                out[i] = plus::<BITS>(a[i], b[i], z);
            }
        }
        (Operand::Each(a), Operand::All(y), Operand::All(z)) => {
            let a = &a[..count];
            for i in 0..count {
                out[i] = plus::<BITS>(a[i], y, z);
            }
        }
        (Operand::All(x), Operand::All(y) | Operand::Each(&[y, ..]), Operand::Each(c)) => {
            let c = &c[..count];
            for i in 0..count {
                out[i] = plus::<BITS>(x, y, c[i]);
            }
        }
        (Operand::All(x), Operand::All(y) | Operand::Each(&[y, ..]), Operand::All(z)) => {
            let value = plus::<BITS>(x, y, z);
            for out in out.iter_mut() {
                *out = value;
            }
        }
        // An empty row.
        (Operand::All(_), Operand::Each(&[]), _) => {}
    }
}

/// Σ x[i]·y[i].
#[inline(always)]
pub(super) fn dot<const BITS: usize>(x: &[f32], y: &[f32]) -> f32 {
    let count = x.len().min(y.len());
    let (x, y) = (&x[..count], &y[..count]);
    if BITS >= 256 {
        return sum_of::<BITS>(x, Term::Times(y.as_ptr()));
    }
    if count < LANES {
        let (mut few, mut at) = ([0.0f32; 16], 0);
        while at + 16 <= count {
            let (x, y) = (&x[at..at + 16], &y[at..at + 16]);
            for i in 0..16 {
                few[i] = plus::<BITS>(x[i], y[i], few[i]);
            }
            at += 16;
        }
        if at < count {
            let (x, y) = (padded(&x[at..], 0.0), padded(&y[at..], 0.0));
            for i in 0..16 {
                few[i] = plus::<BITS>(x[i], y[i], few[i]);
            }
        }
        return folded!(few, add);
    }
    let (mut total, mut at) = (0.0, 0);
    while at < count {
        let end = count.min(at + BLOCK);
        let mut lanes = [0.0f32; LANES];
        while at + LANES <= end {
            let (x, y) = (&x[at..at + LANES], &y[at..at + LANES]);
            for i in 0..LANES {
                lanes[i] = plus::<BITS>(x[i], y[i], lanes[i]);
            }
            at += LANES;
        }
        let mut few = [0.0f32; 16];
        for i in 0..16 {
            few[i] = (lanes[i] + lanes[i + 16]) + (lanes[i + 32] + lanes[i + 48]);
        }
        while at + 16 <= end {
            let (x, y) = (&x[at..at + 16], &y[at..at + 16]);
            for i in 0..16 {
                few[i] = plus::<BITS>(x[i], y[i], few[i]);
            }
            at += 16;
        }
        if at < end {
            let (x, y) = (padded(&x[at..end], 0.0), padded(&y[at..end], 0.0));
            for i in 0..16 {
                few[i] = plus::<BITS>(x[i], y[i], few[i]);
            }
        }
        at = end;
        total += folded!(few, add);
    }
    total
}

/// Σ (x[i] − centre)².
#[inline(always)]
pub(super) fn squares_about<const BITS: usize>(x: &[f32], centre: f32) -> f32 {
    if BITS >= 256 {
        return sum_of::<BITS>(x, Term::SquareAbout(centre));
    }
    let mut total = 0.0;
    for block in x.chunks(BLOCK) {
        let mut sum = 0.0;
        for &x in block {
            sum += (x - centre) * (x - centre);
        }
        total += sum;
    }
    total
}

/// The sum of a row's terms, block by block.
#[inline(always)]
fn sum_of<const BITS: usize>(x: &[f32], of: Term) -> f32 {
    let (mut total, mut at) = (0.0, 0);
    while at < x.len() {
        let count = BLOCK.min(x.len() - at);
        // SAFETY: both rows go on for so many elements, and this code is compiled for registers of `BITS`.
        let sum = unsafe {
            let of = match of {
                Term::Times(y) => Term::Times(y.add(at)),
                _ => of,
            };
            sums::of_row::<BITS>(x.as_ptr().add(at), of, count)
        };
        total += sum.unwrap_or(f32::NAN);
        at += count;
    }
    total
}

/// out[i] = (a[i] − centre)·scale.
#[inline(always)]
pub(super) fn standardize(a: &[f32], centre: f32, scale: f32, out: &mut [f32]) {
    let count = out.len().min(a.len());
    let (a, out) = (&a[..count], &mut out[..count]);
    for i in 0..count {
        out[i] = (a[i] - centre) * scale;
    }
}

/// out[i] = e^(a[i] − centre).
#[inline(always)]
pub(super) fn exp_about<const BITS: usize>(a: &[f32], centre: f32, out: &mut [f32]) {
    let count = out.len().min(a.len());
    let (a, out) = (&a[..count], &mut out[..count]);
    let mut most = 0;
    for &x in a {
        most = most.max((x - centre).to_bits() & 0x7fff_ffff);
    }
    if most > e::NEAR.to_bits() {
        for i in 0..count {
            out[i] = e::exp::<BITS>(a[i] - centre);
        }
        return;
    }
    let (blocks, rest) = a.as_chunks::<{ 2 * WIDE }>();
    let (outs, out_rest) = out.as_chunks_mut::<{ 2 * WIDE }>();
    for at in 0..blocks.len().min(outs.len()) {
        let mut values = blocks[at];
        for value in &mut values {
            *value = e::exp_near::<BITS>(*value - centre);
        }
        outs[at] = values;
    }
    for at in 0..rest.len().min(out_rest.len()) {
        out_rest[at] = e::exp_near::<BITS>(rest[at] - centre);
    }
}

/// out[i] = a[i] cut off below and above.
#[inline(always)]
pub(super) fn clamp(a: &[f32], low: f32, high: f32, out: &mut [f32]) {
    let count = out.len().min(a.len());
    let (a, out) = (&a[..count], &mut out[..count]);
    for i in 0..count {
        let x = a[i];
        let above = if x < low { low } else { x };
        out[i] = if above > high { high } else { above };
    }
}

/// out[i] = a[i] where c[i] is not 0, else b[i].
#[inline(always)]
pub(super) fn choose(c: Operand<'_>, a: Operand<'_>, b: Operand<'_>, out: &mut [f32]) {
    let count = out.len();
    macro_rules! each {
        ($c:ident, $i:ident => $x:expr, $y:expr) => {
            for $i in 0..count {
                let (x, y) = ($x, $y);
                out[$i] = if $c[$i] != 0.0 { x } else { y };
            }
        };
    }
    let c = match c {
        Operand::Each(c) => &c[..count],
        Operand::All(c) => {
            match if c != 0.0 { a } else { b } {
                Operand::Each(x) => out.copy_from_slice(x),
                Operand::All(x) => {
                    for out in out.iter_mut() {
                        *out = x;
                    }
                }
            }
            return;
        }
    };
    match (a, b) {
        (Operand::Each(a), Operand::Each(b)) => {
            let (a, b) = (&a[..count], &b[..count]);
            each!(c, i => a[i], b[i]);
        }
        (Operand::Each(a), Operand::All(y)) => {
            let a = &a[..count];
            each!(c, i => a[i], y);
        }
        (Operand::All(x), Operand::Each(b)) => {
            let b = &b[..count];
            each!(c, i => x, b[i]);
        }
        (Operand::All(x), Operand::All(y)) => each!(c, i => x, y),
    }
}

/// The sum, product, largest or smallest of a row; of an empty one what leaves others as they are.
#[inline(always)]
pub(super) fn reduce<const BITS: usize>(of: Reduction, row: &[f32]) -> f32 {
    macro_rules! fold {
        ($row:expr, $begin:expr, $f:ident) => {{
            let row: &[f32] = $row;
            let (mut few, mut at) = ([$begin; 16], 0);
            if row.len() >= LANES {
                let mut lanes = [$begin; LANES];
                while at + LANES <= row.len() {
                    let block = &row[at..at + LANES];
                    for i in 0..LANES {
                        lanes[i] = $f(lanes[i], block[i]);
                    }
                    at += LANES;
                }
                for i in 0..16 {
                    few[i] = $f(
                        $f(lanes[i], lanes[i + 16]),
                        $f(lanes[i + 32], lanes[i + 48]),
                    );
                }
            }
            while at + 16 <= row.len() {
                let block = &row[at..at + 16];
                for i in 0..16 {
                    few[i] = $f(few[i], block[i]);
                }
                at += 16;
            }
            if at < row.len() {
                let block = padded(&row[at..], $begin);
                for i in 0..16 {
                    few[i] = $f(few[i], block[i]);
                }
            }
            folded!(few, $f)
        }};
    }
    match of {
        Reduction::Sum if BITS >= 256 => sum_of::<BITS>(row, Term::Itself),
        Reduction::Sum => {
            let (mut total, mut at) = (0.0, 0);
            while at < row.len() {
                let end = row.len().min(at + BLOCK);
                total += fold!(&row[at..end], 0.0, add);
                at = end;
            }
            total
        }
        Reduction::Max => {
            let most = fold!(row, f32::NEG_INFINITY, greater);
            if has_nan(row) { f32::NAN } else { most }
        }
        Reduction::Min => {
            let least = fold!(row, f32::INFINITY, less);
            if has_nan(row) { f32::NAN } else { least }
        }
        Reduction::Prod => fold!(row, 1.0, times),
    }
}

/// The last numbers of a row, fewer than sixteen, and what leaves others as they are. Sums would lie in memory, each to
/// wait for the one before, if numbers were added to those of them that a loop counts.
#[inline(always)]
fn padded(row: &[f32], with: f32) -> [f32; 16] {
    let mut found = [with; 16];
    #[expect(
        clippy::manual_memcpy,
        reason = "of so few the library's call takes longer"
    )]
    for i in 0..row.len().min(16) {
        found[i] = row[i];
    }
    found
}

/// Whether any of a row is no number.
#[inline(always)]
fn has_nan(row: &[f32]) -> bool {
    !is_within(row, f32::INFINITY)
}

/// Whether all of a row are numbers of at most this size: a pass of integers, which waits for less than comparisons do.
#[inline(always)]
fn is_within(row: &[f32], size: f32) -> bool {
    let mut most = 0;
    for &x in row {
        most = most.max(x.to_bits() & 0x7fff_ffff);
    }
    most <= size.to_bits()
}

#[inline(always)]
fn greater(x: f32, y: f32) -> f32 {
    if x > y { x } else { y }
}

#[inline(always)]
fn less(x: f32, y: f32) -> f32 {
    if x < y { x } else { y }
}

#[inline(always)]
fn add(x: f32, y: f32) -> f32 {
    x + y
}

#[inline(always)]
fn times(x: f32, y: f32) -> f32 {
    x * y
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
