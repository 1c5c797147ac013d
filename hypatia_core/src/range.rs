//! What is known of a tensor's elements: between which numbers they lie, and whether one may be not a number.
//!
//! A range holds of the floating-point value that a term is computed to, not just of the real one: bounds go outwards
//! to a short ladder of numbers that every element type holds, so that rounding cannot pass them and a search that goes
//! round in a circle comes to an end.

use smallvec::SmallVec;

use crate::attribute::Attribute;
use crate::op::Op;
use crate::tensor_type::{DType, TensorType};

/// Each element is not a number, where it may be, or lies from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
    pub nan: bool,
}

const INF: f64 = f64::INFINITY;
/// Bounds that results are known by.
const LADDER: [f64; 10] = [0.0, 1.0 / 1024.0, 0.25, 1.0, 2.0, 8.0, 64.0, 1e3, 1e4, 1e30];
/// More than what a few operations round by, in any element type.
const SLACK: f64 = 0.03;

/// The next number of the ladder below.
fn down(x: f64, dtype: DType) -> f64 {
    if x < 0.0 {
        return -up(-x, dtype);
    }
    LADDER.into_iter().rev().find(|&l| l <= x).unwrap_or(0.0)
}

/// The next number of the ladder above; infinity beyond what the element type surely holds.
fn up(x: f64, dtype: DType) -> f64 {
    if x < 0.0 {
        return -down(-x, dtype);
    }
    let most = if dtype == DType::F16 { 1e4 } else { 1e30 };
    let next = LADDER.into_iter().find(|&l| l >= x).unwrap_or(INF);
    if next > most { INF } else { next }
}

impl Range {
    /// What every tensor of a type is known to be.
    pub fn of(ty: &TensorType) -> Self {
        let whole = |low: f64, high: f64| Self {
            low,
            high,
            nan: false,
        };
        match ty.dtype {
            DType::Bool => whole(0.0, 1.0),
            DType::U8 => whole(0.0, 255.0),
            DType::I8 => whole(-128.0, 127.0),
            DType::I16 => whole(-32_768.0, 32_767.0),
            DType::I32 => whole(f64::from(i32::MIN), f64::from(i32::MAX)),
            DType::I64 => whole(i64::MIN as f64, i64::MAX as f64),
            _ => Self {
                low: -INF,
                high: INF,
                nan: true,
            },
        }
    }

    /// One number.
    pub fn exactly(x: f64) -> Self {
        if x.is_nan() {
            return Self {
                low: INF,
                high: -INF,
                nan: true,
            };
        }
        Self {
            low: x,
            high: x,
            nan: false,
        }
    }

    /// What holds of both.
    pub fn hull(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            nan: self.nan || other.nan,
        }
    }

    /// Whether each element is a finite number; `None` is "not known".
    pub fn is_finite(self) -> Option<bool> {
        if !self.nan && self.low > -INF && self.high < INF {
            return Some(true);
        }
        let never = self.low == INF || self.high == -INF;
        never.then_some(false)
    }

    fn may_be(self, x: f64) -> bool {
        self.low <= x && x <= self.high
    }

    fn may_be_infinite(self) -> bool {
        self.low == -INF || self.high == INF
    }

    fn opposite(self) -> Self {
        Self {
            low: -self.high,
            high: -self.low,
            nan: self.nan,
        }
    }

    /// The largest magnitude, and the least.
    fn magnitudes(self) -> (f64, f64) {
        let most = self.low.abs().max(self.high.abs());
        let least = if self.may_be(0.0) {
            0.0
        } else {
            self.low.abs().min(self.high.abs())
        };
        (most, least)
    }
}

/// The range of a result; `equal` says whether two operands, by number, are one value.
pub fn range(
    op: Op,
    operands: &[Range],
    equal: &dyn Fn(usize, usize) -> bool,
    attributes: &[&Attribute],
    result: &TensorType,
) -> Range {
    let any = Range::of(result);
    let x = operands.first().copied().unwrap_or(any);
    match op {
        Op::Const => attributes[0].float().map_or(any, Range::exactly),
        Op::Literal => match attributes[0].elements().map(|e| e.values.split_first()) {
            Some(Some((&first, rest))) => rest
                .iter()
                .fold(Range::exactly(first), |r, &v| r.hull(Range::exactly(v))),
            _ => any,
        },
        Op::Permute | Op::Reshape | Op::Expand | Op::Slice | Op::Diagonal | Op::SelectRows => x,
        Op::Cat => operands[1..].iter().fold(x, |r, &o| r.hull(o)),
        Op::Tril | Op::Triu | Op::DiagEmbed => x.hull(Range::exactly(0.0)),
        Op::Where => operands[1].hull(operands[2]),
        Op::Cast => cast(x, any, result.dtype),
        _ if !result.dtype.is_float() => any,
        _ => Floats {
            dtype: result.dtype,
            any,
        }
        .range(op, operands, equal, attributes),
    }
}

fn cast(x: Range, any: Range, to: DType) -> Range {
    if !to.is_float() {
        return any;
    }
    // Small whole numbers are numbers of every type; others go outwards by more than they are rounded.
    let exact = |b: f64| b.fract() == 0.0 && b.abs() <= 256.0;
    let low = if exact(x.low) {
        x.low
    } else {
        down(x.low - SLACK * x.low.abs(), to)
    };
    let high = if exact(x.high) {
        x.high
    } else {
        up(x.high + SLACK * x.high.abs(), to)
    };
    Range {
        low,
        high,
        nan: x.nan,
    }
}

struct Floats {
    dtype: DType,
    any: Range,
}

impl Floats {
    fn out(&self, low: f64, high: f64, nan: bool) -> Range {
        Range {
            low: down(low, self.dtype),
            high: up(high, self.dtype),
            nan,
        }
    }

    /// Bounds of a rounded function that grows with its argument.
    fn growing(&self, f: impl Fn(f64) -> f64, x: Range, nan: bool) -> Range {
        let less = |y: f64| y - SLACK * y.abs();
        let more = |y: f64| y + SLACK * y.abs();
        self.out(less(f(x.low)), more(f(x.high)), nan)
    }

    fn range(
        &self,
        op: Op,
        operands: &[Range],
        equal: &dyn Fn(usize, usize) -> bool,
        attributes: &[&Attribute],
    ) -> Range {
        let x = operands[0];
        let between = |low: f64, high: f64, nan: bool| Range { low, high, nan };
        match op {
            Op::Add => self.sum(operands),
            Op::Sub => self.sum(&[x, operands[1].opposite()]),
            Op::Mul => self.product(operands, equal),
            Op::Div => self.quotient(x, operands[1]),
            Op::Reciprocal => self.quotient(Range::exactly(1.0), x),
            Op::Maximum | Op::Minimum => {
                let y = operands[1];
                let nan = x.nan || y.nan;
                if op == Op::Maximum {
                    between(x.low.max(y.low), x.high.max(y.high), nan)
                } else {
                    between(x.low.min(y.low), x.high.min(y.high), nan)
                }
            }
            Op::Clamp => match (attributes[0].float(), attributes[1].float()) {
                (Some(l), Some(h)) => between(x.low.max(l).min(h), x.high.max(l).min(h), x.nan),
                _ => self.any,
            },
            Op::Neg => x.opposite(),
            Op::Abs => {
                let (most, least) = x.magnitudes();
                between(least, most, x.nan)
            }
            Op::Relu => between(x.low.max(0.0), x.high.max(0.0), x.nan),
            Op::Exp => self.growing(libm::exp, x, x.nan),
            Op::Expm1 => {
                let r = self.growing(libm::expm1, x, x.nan);
                between(r.low.max(-1.0), r.high, r.nan)
            }
            Op::Log if x.low >= 0.0 => self.growing(libm::log, x, x.nan),
            Op::Log1p if x.low >= -1.0 => self.growing(libm::log1p, x, x.nan),
            Op::Sqrt if x.low >= 0.0 => self.growing(f64::sqrt, x, x.nan),
            Op::Sqrt => between(0.0, INF, true),
            Op::Rsqrt if x.low > 0.0 => between(0.0, INF, x.nan),
            Op::Sin | Op::Cos => between(-2.0, 2.0, x.nan || x.may_be_infinite()),
            Op::Tanh | Op::Erf => {
                let low = if x.low >= 0.0 { 0.0 } else { -1.0 };
                between(low, if x.high <= 0.0 { 0.0 } else { 1.0 }, x.nan)
            }
            Op::Sigmoid => between(0.0, 1.0, x.nan),
            Op::Softplus => between(0.0, INF, x.nan),
            Op::LogSigmoid => between(-INF, 0.0, x.nan),
            Op::Hypot => between(0.0, INF, x.nan || operands[1].nan),
            Op::Silu | Op::Gelu => {
                let low = if x.low >= 0.0 { 0.0 } else { -1.0 };
                between(low, x.high.max(0.0), x.nan || x.low == -INF)
            }
            Op::PowScalar => match attributes[0].float() {
                Some(e) if e > 0.0 && (e % 2.0 == 0.0 || x.low >= 0.0) => between(0.0, INF, x.nan),
                _ => self.any,
            },
            // What has one sign cannot cancel, nor make infinities meet.
            Op::Sum if x.low >= 0.0 => between(0.0, INF, x.nan),
            Op::Sum if x.high <= 0.0 => between(-INF, 0.0, x.nan),
            // The mean of nothing is not a number.
            Op::Mean if x.low >= 0.0 => between(0.0, INF, true),
            Op::Mean if x.high <= 0.0 => between(-INF, 0.0, true),
            Op::Amax => x,
            Op::Variance => between(0.0, INF, true),
            // Of infinities alone it is not a number.
            Op::Softmax => between(0.0, 1.0, x.nan || x.may_be_infinite()),
            Op::LogSoftmax => between(-INF, 0.0, x.nan || x.may_be_infinite()),
            _ => self.any,
        }
    }

    fn sum(&self, all: &[Range]) -> Range {
        let plus = all.iter().filter(|r| r.high == INF).count();
        let minus = all.iter().filter(|r| r.low == -INF).count();
        let alone = |r: &Range| r.high == INF && r.low == -INF;
        let meet = plus > 0 && minus > 0 && !(plus == 1 && minus == 1 && all.iter().any(alone));
        let low = -self.total(all.iter().map(|r| -r.low));
        let high = self.total(all.iter().map(|r| r.high));
        // Finite parts that overflow may still meet an infinity of the other sign.
        let overflows = (high == INF && minus > 0) || (low == -INF && plus > 0);
        let nan = all.iter().any(|r| r.nan) || meet || (overflows && plus + minus > 1);
        self.out(low, high, nan)
    }

    /// More than the sum of these upper bounds, in any order of summation.
    fn total(&self, highs: impl Iterator<Item = f64> + Clone) -> f64 {
        let terms: SmallVec<[f64; 4]> = highs.filter(|&h| h != 0.0).collect();
        let above: f64 = terms.iter().map(|h| h.max(0.0)).sum();
        if up(above, self.dtype) == INF {
            return INF;
        }
        let sum: f64 = terms.iter().sum();
        let size: f64 = terms.iter().map(|h| h.abs()).sum();
        if terms.len() < 2 {
            sum
        } else {
            sum + SLACK * size
        }
    }

    fn product(&self, all: &[Range], equal: &dyn Fn(usize, usize) -> bool) -> Range {
        // A square is not negative, whatever its root is; nor can its two factors be zero and infinite.
        let mut factors: SmallVec<[Range; 4]> = SmallVec::new();
        let mut done = vec![false; all.len()];
        for i in 0..all.len() {
            if done[i] {
                continue;
            }
            let twin = (i + 1..all.len()).find(|&j| !done[j] && equal(i, j));
            if let Some(j) = twin {
                done[j] = true;
                let (most, least) = all[i].magnitudes();
                let square = |m: f64| m * m;
                factors.push(self.out(
                    square(least) * (1.0 - SLACK),
                    square(most) * (1.0 + SLACK),
                    all[i].nan,
                ));
            } else {
                factors.push(all[i]);
            }
        }
        if let [square] = factors[..]
            && all.len() == 2
        {
            return square;
        }
        let negative = factors.iter().filter(|r| r.high <= 0.0).count();
        let mixed = factors.iter().any(|r| r.low < 0.0 && r.high > 0.0);
        let most: f64 = factors.iter().map(|r| r.magnitudes().0.max(1.0)).product();
        let product: f64 = factors.iter().map(|r| r.magnitudes().0).product();
        let least: f64 = factors.iter().map(|r| r.magnitudes().1).product();
        let small: f64 = factors.iter().map(|r| r.magnitudes().1.min(1.0)).product();
        let infinite = up(most * (1.0 + SLACK), self.dtype) == INF;
        let vanishes = small < LADDER[1];
        let nan = factors.iter().any(|r| r.nan) || (infinite && vanishes);
        let high = if infinite || product.is_nan() {
            INF
        } else {
            product * (1.0 + SLACK)
        };
        let low = if vanishes { 0.0 } else { least * (1.0 - SLACK) };
        match (mixed, negative % 2) {
            (true, _) => self.out(-high, high, nan),
            (false, 0) => self.out(low, high, nan),
            (false, _) => self.out(-high, -low, nan),
        }
    }

    fn quotient(&self, x: Range, y: Range) -> Range {
        let nan = x.nan || y.nan || (x.may_be_infinite() && y.may_be_infinite());
        // A zero may be negative: then the quotient is infinite with the other sign.
        if y.may_be(0.0) {
            return Range {
                low: -INF,
                high: INF,
                nan: nan || x.may_be(0.0),
            };
        }
        let ((most, least), (large, small)) = (x.magnitudes(), y.magnitudes());
        let high = most / small * (1.0 + SLACK);
        let low = if large == INF {
            0.0
        } else {
            least / large * (1.0 - SLACK)
        };
        let low = if low.is_finite() { low } else { 0.0 };
        let high = if high.is_nan() { INF } else { high };
        match (x.low >= 0.0, x.high <= 0.0, y.low > 0.0) {
            (true, _, true) | (_, true, false) => self.out(low, high, nan),
            (true, _, false) | (_, true, true) => self.out(-high, -low, nan),
            _ => self.out(-high, high, nan),
        }
    }
}
