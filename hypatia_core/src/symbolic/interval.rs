//! Interval arithmetic in multiple precision: every operation encloses the true result.
//!
//! Directed rounding is astro-float's; results of its elementary functions are widened by far more than the half
//! unit they are documented to err by.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use astro_float::{BigFloat, Consts, RoundingMode, Sign};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The expression is certainly not defined at the point.
    Undefined,
    /// The precision does not suffice to tell, or the value is out of range.
    Unsure,
}

/// An interval that contains a real number.
#[derive(Debug, Clone)]
pub struct Interval {
    pub low: BigFloat,
    pub high: BigFloat,
}

/// A value or the reason there is none.
pub type Enclosed = Result<Interval, Missing>;

/// Interval operations at one precision, with the cache of constants they need.
pub struct Arithmetic {
    bits: usize,
    constants: Rc<RefCell<Consts>>,
}

thread_local! {
    /// Pi, e and logarithms, as far as they were computed: they are rounded correctly, whatever was asked before.
    static CONSTANTS: Option<Rc<RefCell<Consts>>> =
        Consts::new().ok().map(|constants| Rc::new(RefCell::new(constants)));
}

const DOWN: RoundingMode = RoundingMode::Down;
const UP: RoundingMode = RoundingMode::Up;
/// Binary exponents beyond which functions are not evaluated.
const LARGEST_EXPONENT: i32 = 2_000;

fn less(a: &BigFloat, b: &BigFloat) -> bool {
    matches!(a.partial_cmp(b), Some(Ordering::Less))
}

fn zero() -> BigFloat {
    BigFloat::from_i32(0, 64)
}

/// The integer, exactly.
pub fn big_float(value: &BigInt) -> BigFloat {
    if value.is_zero() {
        return zero();
    }
    let bits = value.bits();
    let words = bits.div_ceil(64);
    let mantissa = value.magnitude() << (words * 64 - bits);
    let sign = if value.is_negative() {
        Sign::Neg
    } else {
        Sign::Pos
    };
    BigFloat::from_words(&mantissa.to_u64_digits(), sign, bits as i32)
}

impl Interval {
    fn checked(low: BigFloat, high: BigFloat) -> Enclosed {
        let usable = |x: &BigFloat| !x.is_nan() && !x.is_inf();
        if usable(&low) && usable(&high) && !less(&high, &low) {
            Ok(Self { low, high })
        } else {
            Err(Missing::Unsure)
        }
    }

    /// The number alone.
    pub fn exact(value: BigFloat) -> Self {
        Self {
            low: value.clone(),
            high: value,
        }
    }

    /// The small integer.
    pub fn integer(value: i64) -> Self {
        Self::exact(BigFloat::from_i64(value, 64))
    }

    /// Whether the interval is exactly zero.
    pub fn is_zero(&self) -> bool {
        self.low.is_zero() && self.high.is_zero()
    }

    pub fn is_positive(&self) -> bool {
        less(&zero(), &self.low)
    }

    pub fn is_negative(&self) -> bool {
        less(&self.high, &zero())
    }

    pub fn contains_zero(&self) -> bool {
        !self.is_positive() && !self.is_negative()
    }

    /// Whether no number lies in both.
    pub fn disjoint(&self, other: &Self) -> bool {
        less(&self.high, &other.low) || less(&other.high, &self.low)
    }

    fn is_point(&self) -> bool {
        self.low.partial_cmp(&self.high) == Some(Ordering::Equal)
    }

    /// Whether the interval determines more than 64 bits.
    pub fn is_tight(&self) -> bool {
        let width = self.high.sub(&self.low, 64, UP);
        let size = |x: &BigFloat| {
            if x.is_zero() {
                i32::MIN
            } else {
                x.exponent().unwrap_or(i32::MIN)
            }
        };
        width.is_zero() || size(&width) < size(&self.low).max(size(&self.high)).saturating_sub(64)
    }

    pub fn neg(&self) -> Self {
        Self {
            low: self.high.neg(),
            high: self.low.neg(),
        }
    }

    /// A double near the interval.
    pub fn to_f64(&self) -> f64 {
        to_f64(&self.low)
    }
}

/// The double nearest to the number; infinite beyond the range.
pub fn to_f64(value: &BigFloat) -> f64 {
    let Some((words, _, sign, exponent, _)) = value.as_raw_parts() else {
        return f64::NAN;
    };
    if value.is_zero() {
        return 0.0;
    }
    let (top, rest) = match words.split_last() {
        Some((top, rest)) => (*top, rest),
        None => (0, words),
    };
    let (kept, dropped) = (top >> 11, top & 0x7ff);
    let above_half = dropped > 0x400 || rest.iter().any(|word| *word != 0);
    let up = dropped >= 0x400 && (above_half || kept & 1 == 1);
    let mantissa = (kept + u64::from(up)) as f64;
    let magnitude = match exponent - 53 {
        shift if shift > 971 => f64::INFINITY,
        shift if shift < -1200 => 0.0,
        shift => mantissa * 2f64.powi(shift / 2) * 2f64.powi(shift - shift / 2),
    };
    if sign == Sign::Neg {
        -magnitude
    } else {
        magnitude
    }
}

impl Arithmetic {
    /// Arithmetic with this many bits.
    pub fn new(bits: usize) -> Option<Self> {
        Some(Self {
            bits,
            constants: CONSTANTS.with(Clone::clone)?,
        })
    }

    pub fn rational(&self, value: &BigRational) -> Enclosed {
        let (top, bottom) = (big_float(value.numer()), big_float(value.denom()));
        if value.is_integer() {
            return Interval::checked(top.clone(), top);
        }
        Interval::checked(
            top.div(&bottom, self.bits, DOWN),
            top.div(&bottom, self.bits, UP),
        )
    }

    pub fn pi(&mut self) -> Enclosed {
        let value = self
            .constants
            .borrow_mut()
            .pi(self.bits + 64, RoundingMode::ToEven);
        self.widened(&value)
    }

    /// The value with an error of one part in 2^bits allowed for.
    fn widened(&self, value: &BigFloat) -> Enclosed {
        if value.is_nan() || value.is_inf() || value.is_zero() {
            return Err(Missing::Unsure);
        }
        let mut error = value.abs();
        let exponent = error.exponent().unwrap_or(0);
        error.set_exponent(exponent.saturating_sub(self.bits as i32));
        Interval::checked(
            value.sub(&error, self.bits + 64, DOWN),
            value.add(&error, self.bits + 64, UP),
        )
    }

    pub fn add(&self, a: &Interval, b: &Interval) -> Enclosed {
        Interval::checked(
            a.low.add(&b.low, self.bits, DOWN),
            a.high.add(&b.high, self.bits, UP),
        )
    }

    pub fn sub(&self, a: &Interval, b: &Interval) -> Enclosed {
        self.add(a, &b.neg())
    }

    pub fn mul(&self, a: &Interval, b: &Interval) -> Enclosed {
        let corners = [
            (&a.low, &b.low),
            (&a.low, &b.high),
            (&a.high, &b.low),
            (&a.high, &b.high),
        ];
        let all = |rounding| corners.map(|(x, y)| x.mul(y, self.bits, rounding));
        Self::hull(&all(DOWN), &all(UP))
    }

    fn hull(lows: &[BigFloat], highs: &[BigFloat]) -> Enclosed {
        if lows.iter().chain(highs).any(|x| x.is_nan() || x.is_inf()) {
            return Err(Missing::Unsure);
        }
        let pick = |values: &[BigFloat], wanted: Ordering| {
            values.iter().cloned().reduce(|best, x| {
                if x.partial_cmp(&best) == Some(wanted) {
                    x
                } else {
                    best
                }
            })
        };
        match (pick(lows, Ordering::Less), pick(highs, Ordering::Greater)) {
            (Some(low), Some(high)) => Interval::checked(low, high),
            _ => Err(Missing::Unsure),
        }
    }

    pub fn div(&self, a: &Interval, b: &Interval) -> Enclosed {
        if b.is_zero() {
            return Err(Missing::Undefined);
        }
        if b.contains_zero() {
            return Err(Missing::Unsure);
        }
        let corners = [
            (&a.low, &b.low),
            (&a.low, &b.high),
            (&a.high, &b.low),
            (&a.high, &b.high),
        ];
        let all = |rounding| corners.map(|(x, y)| x.div(y, self.bits, rounding));
        Self::hull(&all(DOWN), &all(UP))
    }

    /// A rising function applied to both ends.
    fn rising(
        &mut self,
        a: &Interval,
        mut f: impl FnMut(&BigFloat, usize, &mut Consts) -> BigFloat,
    ) -> Enclosed {
        let too_large = |x: &BigFloat| x.exponent().is_some_and(|e| e > LARGEST_EXPONENT);
        if too_large(&a.low) || too_large(&a.high) {
            return Err(Missing::Unsure);
        }
        let value = f(&a.low, self.bits + 64, &mut self.constants.borrow_mut());
        let low = self.widened(&value)?;
        let high = if a.is_point() {
            low.clone()
        } else {
            let value = f(&a.high, self.bits + 64, &mut self.constants.borrow_mut());
            self.widened(&value)?
        };
        Interval::checked(low.low, high.high)
    }

    pub fn exp(&mut self, a: &Interval) -> Enclosed {
        if a.is_zero() {
            return Ok(Interval::integer(1));
        }
        if a.low.exponent().is_some_and(|e| e > 28) || a.high.exponent().is_some_and(|e| e > 28) {
            return Err(Missing::Unsure);
        }
        self.rising(a, |x, p, c| {
            if x.is_zero() {
                BigFloat::from_i32(1, 64)
            } else {
                x.exp(p, RoundingMode::ToEven, c)
            }
        })
    }

    pub fn log(&mut self, a: &Interval) -> Enclosed {
        if !less(&zero(), &a.high) {
            return Err(Missing::Undefined);
        }
        if !a.is_positive() {
            return Err(Missing::Unsure);
        }
        let one = BigFloat::from_i32(1, 64);
        let is_one = |x: &BigFloat| x.partial_cmp(&one) == Some(Ordering::Equal);
        if a.is_point() && is_one(&a.low) {
            return Ok(Interval::integer(0));
        }
        // Near one the logarithm is small: x − 1 bounds it above, 1 − 1/x below.
        if is_one(&a.low) || is_one(&a.high) {
            let unit = Interval::integer(1);
            let upper = self.sub(a, &unit)?;
            let inverse = self.div(&unit, a)?;
            let lower = self.sub(&unit, &inverse)?;
            return Interval::checked(lower.low, upper.high);
        }
        self.rising(a, |x, p, c| x.ln(p, RoundingMode::ToEven, c))
    }

    pub fn sqrt(&mut self, a: &Interval) -> Enclosed {
        if a.is_zero() {
            return Ok(a.clone());
        }
        if a.is_negative() {
            return Err(Missing::Undefined);
        }
        if less(&a.low, &zero()) {
            return Err(Missing::Unsure);
        }
        Interval::checked(a.low.sqrt(self.bits, DOWN), a.high.sqrt(self.bits, UP))
    }

    /// The middle, and the distance from it to the ends, rounded up.
    fn middle(&self, a: &Interval) -> Result<(BigFloat, BigFloat), Missing> {
        let mut middle = a.low.add(&a.high, self.bits + 64, RoundingMode::ToEven);
        if let Some(exponent) = middle.exponent().filter(|_| !middle.is_zero()) {
            if exponent > LARGEST_EXPONENT {
                return Err(Missing::Unsure);
            }
            middle.set_exponent(exponent - 1);
        }
        let (up, down) = (
            a.high.sub(&middle, self.bits, UP),
            middle.sub(&a.low, self.bits, UP),
        );
        let radius = if less(&up, &down) { down } else { up };
        Ok((middle, radius))
    }

    /// A function whose slope never exceeds one.
    fn gentle(
        &mut self,
        a: &Interval,
        f: impl FnOnce(&BigFloat, usize, &mut Consts) -> BigFloat,
    ) -> Enclosed {
        let (middle, radius) = self.middle(a)?;
        let value = if middle.is_zero() {
            let value = f(&middle, self.bits, &mut self.constants.borrow_mut());
            Interval::exact(value)
        } else {
            let value = f(&middle, self.bits + 64, &mut self.constants.borrow_mut());
            self.widened(&value)?
        };
        let low = value.low.sub(&radius, self.bits, DOWN);
        let high = value.high.add(&radius, self.bits, UP);
        Interval::checked(low, high)
    }

    pub fn sin(&mut self, a: &Interval) -> Enclosed {
        self.gentle(a, |x, p, c| {
            if x.is_zero() {
                zero()
            } else {
                x.sin(p, RoundingMode::ToEven, c)
            }
        })
    }

    pub fn cos(&mut self, a: &Interval) -> Enclosed {
        self.gentle(a, |x, p, c| {
            if x.is_zero() {
                BigFloat::from_i32(1, 64)
            } else {
                x.cos(p, RoundingMode::ToEven, c)
            }
        })
    }

    pub fn atan(&mut self, a: &Interval) -> Enclosed {
        self.gentle(a, |x, p, c| {
            if x.is_zero() {
                zero()
            } else {
                x.atan(p, RoundingMode::ToEven, c)
            }
        })
    }

    /// asin(x) = 2 atan(x/(1 + √(1 − x²))).
    pub fn asin(&mut self, a: &Interval) -> Enclosed {
        let one = Interval::integer(1);
        let (above, below) = (self.add(&one, a)?, self.sub(&one, a)?);
        if above.is_negative() || below.is_negative() {
            return Err(Missing::Undefined);
        }
        if less(&above.low, &zero()) || less(&below.low, &zero()) {
            return Err(Missing::Unsure);
        }
        let product = self.mul(&above, &below)?;
        let root = self.sqrt(&product)?;
        let bottom = self.add(&one, &root)?;
        let ratio = self.div(a, &bottom)?;
        let half = self.atan(&ratio)?;
        self.add(&half, &half)
    }

    /// erf by its series of positive terms, 2x/√π·e^(−x²)·Σ (2x²)ⁿ/(2n + 1)!!; DLMF 7.6.2.
    pub fn erf(&mut self, a: &Interval) -> Enclosed {
        let (one, two) = (Interval::integer(1), Interval::integer(2));
        if a.is_zero() {
            return Ok(a.clone());
        }
        if a.is_negative() {
            return Ok(self.erf(&a.neg())?.neg());
        }
        if !a.is_positive() {
            return Err(Missing::Unsure);
        }
        let square = self.mul(a, a)?;
        let bell = self.exp(&square.neg())?;
        if less(&BigFloat::from_i32(1200, 64), &square.low) {
            // 1 − e^(−x²) < erf(x) < 1.
            let low = self.sub(&one, &bell)?;
            return Interval::checked(low.low, one.high);
        }
        let twice = self.mul(&two, &square)?;
        let (mut term, mut sum) = (one.clone(), one.clone());
        for n in 0..20_000i64 {
            let step = self.div(&twice, &Interval::integer(2 * n + 3))?;
            term = self.mul(&term, &step)?;
            sum = self.add(&sum, &term)?;
            // From here on each term is less than half of the one before: the rest is below the last term.
            let halving = less(&step.high, &BigFloat::from_f64(0.5, 64));
            let small = term.high.exponent().unwrap_or(0)
                < sum.low.exponent().unwrap_or(0) - self.bits as i32;
            if halving && small {
                let tail = Interval {
                    low: zero(),
                    high: term.high.clone(),
                };
                sum = self.add(&sum, &tail)?;
                let pi = self.pi()?;
                let root = self.sqrt(&pi)?;
                let factor = self.div(&two, &root)?;
                let product = self.mul(&sum, &bell)?;
                let product = self.mul(&product, a)?;
                return self.mul(&product, &factor);
            }
        }
        Err(Missing::Unsure)
    }

    pub fn abs(&self, a: &Interval) -> Enclosed {
        if a.is_negative() {
            return Ok(a.neg());
        }
        if !less(&a.low, &zero()) {
            return Ok(a.clone());
        }
        let flipped = a.low.neg();
        let high = if less(&flipped, &a.high) {
            a.high.clone()
        } else {
            flipped
        };
        Interval::checked(zero(), high)
    }

    pub fn sign(&self, a: &Interval) -> Enclosed {
        if a.is_positive() {
            Ok(Interval::integer(1))
        } else if a.is_negative() {
            Ok(Interval::integer(-1))
        } else if a.is_zero() {
            Ok(Interval::integer(0))
        } else {
            Err(Missing::Unsure)
        }
    }

    pub fn floor(&self, a: &Interval) -> Enclosed {
        let (low, high) = (a.low.floor(), a.high.floor());
        if low.partial_cmp(&high) == Some(Ordering::Equal) {
            Ok(Interval::exact(low))
        } else {
            Err(Missing::Unsure)
        }
    }

    pub fn max(&self, a: &Interval, b: &Interval) -> Enclosed {
        let larger = |x: &BigFloat, y: &BigFloat| if less(x, y) { y.clone() } else { x.clone() };
        Interval::checked(larger(&a.low, &b.low), larger(&a.high, &b.high))
    }

    /// An integer power.
    pub fn powi(&self, a: &Interval, exponent: i64) -> Enclosed {
        if exponent < 0 {
            if a.is_zero() {
                return Err(Missing::Undefined);
            }
            let opposite = exponent.checked_neg().ok_or(Missing::Unsure)?;
            let power = self.powi(a, opposite)?;
            return self.div(&Interval::integer(1), &power);
        }
        if exponent > 10_000_000 {
            return Err(Missing::Unsure);
        }
        let even = exponent % 2 == 0;
        // Even powers through the magnitude, so that the lower end stays at zero or above.
        let base = if even && exponent > 0 {
            self.abs(a)?
        } else {
            a.clone()
        };
        let mut result = Interval::integer(1);
        for bit in (0..64 - exponent.leading_zeros()).rev() {
            result = self.mul(&result, &result)?;
            if exponent >> bit & 1 == 1 {
                result = self.mul(&result, &base)?;
            }
        }
        Ok(result)
    }

    /// A real power; see `docs/symbolic.md` for where it is defined.
    pub fn pow(&mut self, a: &Interval, b: &Interval) -> Enclosed {
        let whole = b.low.floor();
        if b.is_point() && whole.partial_cmp(&b.low) == Some(Ordering::Equal) {
            let exponent = to_f64(&b.low).to_i64().ok_or(Missing::Unsure)?;
            return self.powi(a, exponent);
        }
        if a.is_positive() {
            let logarithm = self.log(a)?;
            let product = self.mul(b, &logarithm)?;
            return self.exp(&product);
        }
        let fractional = whole.partial_cmp(&b.high.floor()) == Some(Ordering::Equal)
            && whole.partial_cmp(&b.low) == Some(Ordering::Less);
        if a.is_zero() {
            return if b.is_positive() {
                Ok(a.clone())
            } else if b.is_negative() {
                Err(Missing::Undefined)
            } else {
                Err(Missing::Unsure)
            };
        }
        if a.is_negative() && fractional {
            Err(Missing::Undefined)
        } else {
            Err(Missing::Unsure)
        }
    }
}
