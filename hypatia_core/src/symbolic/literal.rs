//! Numbers and names as they are written.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

use super::expression::Expression;

/// Digits beyond which a number is refused.
pub const DIGIT_LIMIT: usize = 20_000;

/// A number as an S-expression writes it: `-3`, `22/7`, `0.5`, `1e-3`. None when it is not a number at all.
pub fn number(word: &str) -> Option<Result<Expression, String>> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if word.len() > DIGIT_LIMIT {
        return Some(Err(format!(
            "this number has more than {DIGIT_LIMIT} digits"
        )));
    }
    Some(read(word))
}

fn read(word: &str) -> Result<Expression, String> {
    let signed = word.strip_prefix('+').unwrap_or(word);
    let integer = |text: &str| -> Option<BigInt> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { text.parse().ok() } else { None }
    };
    if let Some(value) = integer(signed) {
        return Ok(Expression::integer(value));
    }
    if let Some((top, bottom)) = signed.split_once('/') {
        let parts = integer(top).zip(integer(bottom).filter(|_| !bottom.starts_with('-')));
        return match parts {
            Some((_, bottom)) if bottom.is_zero() => Err("a fraction with denominator zero".into()),
            Some((top, bottom)) => Ok(Expression::rational(BigRational::new(top, bottom))),
            None => Err(format!("'{}' is not a number", clip(word))),
        };
    }
    let float_like = signed
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match signed.parse::<f64>() {
        Ok(value) if float_like && value.is_finite() => Ok(Expression::float(value)),
        Ok(_) if float_like => Err(format!("'{}' is beyond the range of a double", clip(word))),
        _ => Err(format!("'{}' is not a number", clip(word))),
    }
}

/// The first 40 characters.
pub fn clip(word: &str) -> String {
    if word.chars().count() <= 40 {
        word.to_string()
    } else {
        word.chars().take(40).chain(['…']).collect()
    }
}

/// Whether a variable may have this name: a letter or `_`, then letters, digits, `_`, `.` or `'`; not `pi`.
pub fn is_name(word: &str) -> bool {
    let mut characters = word.chars();
    characters
        .next()
        .is_some_and(|c| c.is_alphabetic() || c == '_')
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '\''))
        && word.len() <= 1000
        && word != "pi"
        && word != "π"
}
