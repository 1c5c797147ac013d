//! Text to expression: S-expressions and infix, told apart by how they start.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use super::expression::{Expression, Operator};
pub use super::literal::{clip, is_name};
use super::location::error_at;
use super::{infix, s_expression};
use crate::error::{Error, Result};

/// Bytes beyond which a text is refused unread.
pub const TEXT_LIMIT: usize = 4 << 20;
/// Nodes beyond which a text is refused.
pub const NODE_LIMIT: usize = 400_000;
/// Parentheses and signs that may be open at once.
pub const NESTING_LIMIT: usize = 10_000;
/// Bits beyond which a power of numbers is refused.
pub const POWER_BITS: u64 = 1_000_000;

/// Reads an S-expression, `(add x 2)`, `(+ x 2)`, or infix text, `x + 2`, `2*x**2`, `sin(x)^2`.
///
/// # Errors
/// Says line, column and what was expected, with a caret under the place; refuses texts beyond the limits above.
pub fn parse(text: &str) -> Result<Expression> {
    if text.len() > TEXT_LIMIT {
        return Err(Error::new(format!(
            "the text has {} bytes; at most {TEXT_LIMIT} are read",
            text.len()
        )));
    }
    if text.trim().is_empty() {
        return Err(error_at(text, 0, "expected an expression, found nothing"));
    }
    let (expression, powers_of_numbers) = if looks_like_s_expression(text) {
        // `(- x - y)` starts like an S-expression and is infix.
        s_expression::parse(text).or_else(|error| infix::parse(text).map_err(|_| error))?
    } else {
        infix::parse(text)?
    };
    if powers_of_numbers {
        refuse_giant_powers(&expression)?;
    }
    Ok(expression)
}

/// A '(' followed by a sign and a space, or by a name and something that is neither an operator nor a call.
fn looks_like_s_expression(text: &str) -> bool {
    let Some(inner) = text.trim_start().strip_prefix('(') else {
        return false;
    };
    if starts_with_sign(text) {
        return true;
    }
    let inner = inner.trim_start();
    let end = inner
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '\'')))
        .unwrap_or(inner.len());
    if end == 0 {
        return inner.starts_with(')');
    }
    let rest = &inner[end..];
    let next = rest.trim_start();
    if next.is_empty() || inner.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let spaced = rest.len() != next.len();
    let mut characters = next.chars();
    match characters.next() {
        Some('(') => spaced || super::function::Function::by_name(&inner[..end]).is_none(),
        // `(relu -1)` against `(x - 1)` and `(x -1)`: only a known operator's name makes it an S-expression.
        Some('-' | '+') => {
            let signed = characters
                .next()
                .is_some_and(|c| c.is_ascii_digit() || c == '.');
            spaced && signed && s_expression::is_head(&inner[..end])
        }
        Some(c) => spaced && !matches!(c, '*' | '/' | '^' | ')' | ','),
        None => false,
    }
}

fn starts_with_sign(text: &str) -> bool {
    let Some(inner) = text.trim_start().strip_prefix('(') else {
        return false;
    };
    let inner = inner.trim_start();
    let signs = inner.len() - inner.trim_start_matches(['+', '-', '*', '/', '^']).len();
    signs > 0 && inner[signs..].starts_with(|c: char| c.is_whitespace() || c == '(')
}

/// `9**9**9` as an exact number would not fit in memory: refuse it where it is written.
fn refuse_giant_powers(expression: &Expression) -> Result<()> {
    const KEPT_BITS: u64 = 4096;
    let bits = |value: &BigRational| value.numer().bits().max(value.denom().bits());
    expression
        .fold(|node, values: &[Option<BigRational>]| {
            let pair = || values.first()?.as_ref().zip(values.get(1)?.as_ref());
            let value = match node.operator() {
                Operator::Rational(value) => Some(value.clone()),
                Operator::Neg => values[0].as_ref().map(|value| -value),
                Operator::Add => pair().map(|(left, right)| left + right),
                Operator::Sub => pair().map(|(left, right)| left - right),
                Operator::Mul => pair().map(|(left, right)| left * right),
                Operator::Div => pair()
                    .filter(|(_, bottom)| !bottom.is_zero())
                    .map(|(top, bottom)| top / bottom),
                Operator::Pow => match pair() {
                    Some((base, exponent)) if exponent.is_integer() => {
                        power(base, &exponent.to_integer())?
                    }
                    _ => None,
                },
                _ => None,
            };
            Ok(value.filter(|value| bits(value) <= KEPT_BITS))
        })
        .map(|_| ())
}

fn power(base: &BigRational, exponent: &BigInt) -> Result<Option<BigRational>> {
    let growth = base.numer().bits().max(base.denom().bits())
        - u64::from(base.is_integer() && base.numer().magnitude() == &1u8.into());
    if base.is_zero() || growth == 0 {
        return Ok(None);
    }
    let size = exponent
        .abs()
        .to_u64()
        .and_then(|exponent| exponent.checked_mul(growth));
    match size {
        Some(size) if size <= 4096 => Ok(exponent.to_i32().map(|exponent| base.pow(exponent))),
        Some(size) if size <= POWER_BITS => Ok(None),
        _ => Err(Error::new(format!(
            "a power of numbers here would have more than {POWER_BITS} bits; write it with a variable or a float"
        ))),
    }
}
