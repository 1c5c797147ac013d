//! Building expressions with the trivial cases folded: exact numbers, neutral elements, signs.
//!
//! Everything here keeps the domain, save `0·u → 0`, which is used for derivatives only.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::expression::{Expression, Operator};
use super::function::Function;

/// Bits beyond which numbers are not multiplied out.
const FOLD_BITS: u64 = 100_000;

pub fn zero() -> Expression {
    Expression::integer(0)
}

pub fn one() -> Expression {
    Expression::integer(1)
}

pub fn add(left: Expression, right: Expression) -> Expression {
    match (left.as_rational(), right.as_rational()) {
        (Some(a), Some(b)) => return Expression::rational(a + b),
        (Some(a), None) if a.is_zero() => return right,
        (None, Some(b)) if b.is_zero() => return left,
        (None, Some(b)) if b.is_negative() => {
            return Expression::binary(Operator::Sub, left, Expression::rational(-b));
        }
        _ => {}
    }
    match negated(&right) {
        Some(inner) => Expression::binary(Operator::Sub, left, inner),
        None => Expression::binary(Operator::Add, left, right),
    }
}

pub fn sub(left: Expression, right: Expression) -> Expression {
    match (left.as_rational(), right.as_rational()) {
        (Some(a), Some(b)) => return Expression::rational(a - b),
        (Some(a), None) if a.is_zero() => return neg(right),
        (None, Some(b)) if b.is_zero() => return left,
        (None, Some(b)) if b.is_negative() => {
            return Expression::binary(Operator::Add, left, Expression::rational(-b));
        }
        _ => {}
    }
    match negated(&right) {
        Some(inner) => Expression::binary(Operator::Add, left, inner),
        None => Expression::binary(Operator::Sub, left, right),
    }
}

fn negated(expression: &Expression) -> Option<Expression> {
    matches!(expression.operator(), Operator::Neg).then(|| expression.arguments()[0].clone())
}

pub fn neg(value: Expression) -> Expression {
    match value.operator() {
        Operator::Rational(number) => Expression::rational(-number),
        Operator::Neg => value.arguments()[0].clone(),
        _ => Expression::unary(Operator::Neg, value),
    }
}

pub fn mul(left: Expression, right: Expression) -> Expression {
    match (left.as_rational(), right.as_rational()) {
        (Some(a), Some(b)) if small(a) && small(b) => return Expression::rational(a * b),
        (Some(a), _) if a.is_zero() => return zero(),
        (_, Some(b)) if b.is_zero() => return zero(),
        (Some(a), _) if a.is_one() => return right,
        (_, Some(b)) if b.is_one() => return left,
        (Some(a), _) if is_minus_one(a) => return neg(right),
        (_, Some(b)) if is_minus_one(b) => return neg(left),
        (None, Some(_)) => return mul(right, left),
        // One number in front: 2·(3·u) = 6·u.
        (Some(a), None) if matches!(right.operator(), Operator::Mul) => {
            if let Some(b) = right.arguments()[0].as_rational()
                && small(a)
                && small(b)
            {
                return mul(Expression::rational(a * b), right.arguments()[1].clone());
            }
        }
        _ => {}
    }
    if let Some(inner) = negated(&left) {
        return neg(mul(inner, right));
    }
    if let Some(inner) = negated(&right) {
        return neg(mul(left, inner));
    }
    // The number comes out of the second factor: u·(3·v) = 3·(u·v).
    if matches!(right.operator(), Operator::Mul)
        && right.arguments()[0].as_rational().is_some()
        && left.as_rational().is_none()
    {
        return mul(
            right.arguments()[0].clone(),
            mul(left, right.arguments()[1].clone()),
        );
    }
    Expression::binary(Operator::Mul, left, right)
}

pub fn div(top: Expression, bottom: Expression) -> Expression {
    match (top.as_rational(), bottom.as_rational()) {
        (Some(a), Some(b)) if !b.is_zero() => return Expression::rational(a / b),
        (_, Some(b)) if b.is_one() => return top,
        (_, Some(b)) if is_minus_one(b) => return neg(top),
        _ => {}
    }
    if let Some(inner) = negated(&top) {
        return neg(div(inner, bottom));
    }
    Expression::binary(Operator::Div, top, bottom)
}

pub fn pow(base: Expression, exponent: Expression) -> Expression {
    if exponent.is_integer_constant(1) {
        return base;
    }
    if let (Some(value), Some(power)) = (base.as_rational(), exponent.as_rational())
        && let Some(result) = power_of_rational(value, power)
    {
        return Expression::rational(result);
    }
    Expression::binary(Operator::Pow, base, exponent)
}

/// The base to an integer power.
pub fn powi(base: Expression, exponent: i64) -> Expression {
    pow(base, Expression::integer(exponent))
}

/// The exact power of a number, where it is rational and of reasonable size.
pub fn power_of_rational(value: &BigRational, power: &BigRational) -> Option<BigRational> {
    if !power.is_integer() || (value.is_zero() && power.is_negative()) {
        return None;
    }
    let exponent = power.to_integer().to_i32()?;
    let bits = value.numer().bits().max(value.denom().bits());
    (bits.saturating_mul(u64::from(exponent.unsigned_abs())) <= FOLD_BITS)
        .then(|| value.pow(exponent))
}

fn is_minus_one(value: &BigRational) -> bool {
    value.is_negative() && value.denom().is_one() && value.numer().magnitude().is_one()
}

fn small(value: &BigRational) -> bool {
    value.numer().bits() + value.denom().bits() < FOLD_BITS
}

pub fn call(function: Function, argument: Expression) -> Expression {
    Expression::call(function, argument)
}

pub fn sqrt(argument: Expression) -> Expression {
    if let Some(root) = argument.as_rational().and_then(exact_square_root) {
        return Expression::rational(root);
    }
    call(Function::Sqrt, argument)
}

/// The rational square root, where there is one.
pub fn exact_square_root(value: &BigRational) -> Option<BigRational> {
    if value.is_negative() {
        return None;
    }
    let root = |n: &BigInt| {
        let root = n.sqrt();
        (&root * &root == *n).then_some(root)
    };
    Some(BigRational::new(root(value.numer())?, root(value.denom())?))
}
