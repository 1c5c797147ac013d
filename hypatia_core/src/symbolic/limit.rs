//! Limits at infinity, by the laws of limits, by series in 1/x, and by the rule of l'Hôpital where growth decides.

use std::cell::Cell;

use num_traits::{Signed, Zero};

use super::accuracy::laurent::{Center, Laurent};
use super::budget::interrupted;
use super::build;
use super::canonical::Context;
use super::derivative::derivative;
use super::enclosure::{Point, enclose};
use super::expression::{Expression, Operator};
use super::function::Function;
use super::interval::Arithmetic;
use super::kernel::Fraction;
use super::prove::Assumptions;
use crate::error::{Error, Result};

/// How often the rule of l'Hôpital is used in turn.
const GROWTH_ROUNDS: usize = 5;
/// How often it is used in all.
const GROWTH_ATTEMPTS: usize = 200;
/// Algebra steps of one canonical form.
const FORM_STEPS: u64 = 200_000;

/// What an expression tends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tendency {
    Finite(Expression),
    PlusInfinity,
    MinusInfinity,
}

use Tendency::{Finite, MinusInfinity, PlusInfinity};

/// What the expression tends to as the variable grows beyond all bounds, or falls below them.
///
/// # Errors
/// When that is not decided, or another variable occurs.
pub fn at_infinity(expression: &Expression, name: &str, positive: bool) -> Result<Tendency> {
    if expression.variables().iter().any(|other| **other != *name) {
        return Err(Error::new("limits at infinity are taken of one variable"));
    }
    let attempts = Cell::new(GROWTH_ATTEMPTS);
    let rule = Growth {
        rounds: GROWTH_ROUNDS,
        attempts: &attempts,
    };
    tends(expression, name, positive, rule).ok_or_else(|| Error::new("the limit was not decided"))
}

/// How often the rule of l'Hôpital may still be used: in turn, and in all.
#[derive(Clone, Copy)]
struct Growth<'a> {
    rounds: usize,
    attempts: &'a Cell<usize>,
}

impl Growth<'_> {
    /// One use less.
    fn used(self) -> Option<Self> {
        self.attempts.set(self.attempts.get().checked_sub(1)?);
        let rounds = self.rounds.checked_sub(1)?;
        (!interrupted(1 << 10)).then_some(Self { rounds, ..self })
    }
}

fn tends(
    expression: &Expression,
    name: &str,
    positive: bool,
    rule: Growth<'_>,
) -> Option<Tendency> {
    let found = expression.fold(|node, arguments: &[Option<Tendency>]| {
        let found = by_laws(node, arguments, positive)
            .or_else(|| by_series(node, positive))
            .or_else(|| by_growth(node, arguments, name, positive, rule));
        Ok::<_, std::convert::Infallible>(found)
    });
    match found {
        Ok(found) => found,
        Err(never) => match never {},
    }
}

/// The limit of an indeterminate form, as a quotient of derivatives.
///
/// Taken of functions without oscillation only: their germs at infinity form a field in which every quotient has a
/// limit (Hardy 1910), so that the derivative of the denominator does not vanish far out.
fn by_growth(
    node: &Expression,
    arguments: &[Option<Tendency>],
    name: &str,
    positive: bool,
    rule: Growth<'_>,
) -> Option<Tendency> {
    let rule = rule.used()?;
    let part = |index: usize| node.arguments()[index].clone();
    let tendency = |index: usize| arguments.get(index)?.as_ref();
    let zero = |t: &Tendency| matches!(t, Finite(a) if a.is_integer_constant(0));
    // Defined far out, as what it is taken of tends somewhere.
    let bounded = |part: &Expression| {
        is_bounded(part) && tends(&part.arguments()[0], name, positive, rule).is_some()
    };
    match node.operator() {
        // What is bounded vanishes beside what does.
        Operator::Mul => {
            for (a, b) in [(0, 1), (1, 0)] {
                if bounded(&part(a)) && tendency(b).is_some_and(zero) {
                    return Some(Finite(build::zero()));
                }
            }
        }
        Operator::Div
            if bounded(&part(0)) && matches!(tendency(1), Some(PlusInfinity | MinusInfinity)) =>
        {
            return Some(Finite(build::zero()));
        }
        _ => {}
    }
    if node.any(oscillates) || arguments.iter().any(Option::is_none) {
        return None;
    }
    match node.operator() {
        Operator::Pow => {
            let exponent = build::mul(part(1), Expression::call(Function::Log, part(0)));
            of_function(Function::Exp, tends(&exponent, name, positive, rule)?)
        }
        // a − b = (a² − b²)/(a + b).
        Operator::Sub if tendency(0)? == tendency(1)? => {
            let square = |index: usize| build::powi(part(index), 2);
            let difference = quotient(&build::sub(square(0), square(1)))?.whole();
            let sum = build::add(part(0), part(1));
            tends(&build::div(difference, sum), name, positive, rule)
        }
        Operator::Mul | Operator::Div => {
            let Quotient { top, bottom } = quotient(node)?;
            let (a, b) = (
                tends(&top, name, positive, rule)?,
                tends(&bottom, name, positive, rule)?,
            );
            let infinite = |t: &Tendency| matches!(t, PlusInfinity | MinusInfinity);
            if infinite(&b) || (zero(&a) && zero(&b)) {
                let slopes = build::div(
                    derivative(&top, name).ok()?,
                    derivative(&bottom, name).ok()?,
                );
                return tends(&quotient(&slopes)?.whole(), name, positive, rule);
            }
            let whole = Expression::binary(Operator::Div, top, bottom);
            by_laws(&whole, &[Some(a), Some(b)], positive)
        }
        _ => None,
    }
}

/// Top and bottom of a canonical form.
struct Quotient {
    top: Expression,
    bottom: Expression,
}

impl Quotient {
    fn whole(self) -> Expression {
        build::div(self.top, self.bottom)
    }
}

fn quotient(expression: &Expression) -> Option<Quotient> {
    let mut context = Context::new(&Assumptions::new(), FORM_STEPS);
    let form = context.canonicalize(&[expression]).ok()?.remove(0);
    let side = |polynomial| context.to_expression(&Fraction::polynomial(polynomial));
    Some(Quotient {
        top: side(form.num),
        bottom: side(form.den),
    })
}

fn is_bounded(expression: &Expression) -> bool {
    matches!(
        expression.operator(),
        Operator::Function(Function::Sin | Function::Cos)
    )
}

/// Whether the operator may change its sign or jump again and again.
fn oscillates(operator: &Operator) -> bool {
    matches!(
        operator,
        Operator::Function(Function::Sin | Function::Cos | Function::Tan | Function::Floor)
    )
}

/// The limit from the limits of the parts, where these decide it.
fn by_laws(node: &Expression, arguments: &[Option<Tendency>], positive: bool) -> Option<Tendency> {
    let of = |index: usize| arguments.get(index)?.clone();
    match node.operator() {
        Operator::Rational(_) | Operator::Float(_) | Operator::Pi => Some(Finite(node.clone())),
        Operator::Variable(_) if positive => Some(PlusInfinity),
        Operator::Variable(_) => Some(MinusInfinity),
        Operator::Neg => negated(of(0)?),
        Operator::Add => sum(of(0)?, of(1)?),
        Operator::Sub => sum(of(0)?, negated(of(1)?)?),
        Operator::Mul => product(of(0)?, of(1)?),
        Operator::Div => match (of(0)?, of(1)?) {
            (Finite(a), Finite(b)) if sign(&b)? != 0 => Some(Finite(build::div(a, b))),
            (Finite(_), PlusInfinity | MinusInfinity) => Some(Finite(build::zero())),
            (a, Finite(b)) if sign(&b)? != 0 => product(a, Finite(Expression::integer(sign(&b)?))),
            _ => None,
        },
        Operator::Pow => {
            let exponent = node.arguments()[1].as_rational()?;
            let even = exponent.is_integer() && num_integer::Integer::is_even(exponent.numer());
            match (of(0)?, exponent.is_positive(), exponent.is_integer()) {
                (Finite(a), _, true) if exponent.is_positive() || sign(&a)? != 0 => {
                    Some(Finite(build::pow(a, node.arguments()[1].clone())))
                }
                (Finite(a), _, false) if sign(&a)? > 0 => {
                    Some(Finite(build::pow(a, node.arguments()[1].clone())))
                }
                (PlusInfinity, true, _) => Some(PlusInfinity),
                (MinusInfinity, true, true) if even => Some(PlusInfinity),
                (MinusInfinity, true, true) => Some(MinusInfinity),
                (PlusInfinity, false, _) if !exponent.is_zero() => Some(Finite(build::zero())),
                (MinusInfinity, false, true) if !exponent.is_zero() => Some(Finite(build::zero())),
                _ => None,
            }
        }
        Operator::Function(function) => of_function(*function, of(0)?),
        Operator::Tensor(_) => None,
    }
}

fn negated(a: Tendency) -> Option<Tendency> {
    Some(match a {
        Finite(a) => Finite(build::neg(a)),
        PlusInfinity => MinusInfinity,
        MinusInfinity => PlusInfinity,
    })
}

fn sum(a: Tendency, b: Tendency) -> Option<Tendency> {
    match (a, b) {
        (Finite(a), Finite(b)) => Some(Finite(build::add(a, b))),
        (Finite(_), b) => Some(b),
        (a, Finite(_)) => Some(a),
        (a, b) => (a == b).then_some(a),
    }
}

fn product(a: Tendency, b: Tendency) -> Option<Tendency> {
    let direction = |a: &Tendency| match a {
        Finite(a) => sign(a),
        PlusInfinity => Some(1),
        MinusInfinity => Some(-1),
    };
    if let (Finite(a), Finite(b)) = (&a, &b) {
        return Some(Finite(build::mul(a.clone(), b.clone())));
    }
    match direction(&a)? * direction(&b)? {
        1 => Some(PlusInfinity),
        -1 => Some(MinusInfinity),
        _ => None,
    }
}

fn of_function(function: Function, a: Tendency) -> Option<Tendency> {
    let half_pi = || build::div(Expression::pi(), Expression::integer(2));
    let number = |value: i64| Some(Finite(Expression::integer(value)));
    match (function, a) {
        (Function::Exp | Function::Sigmoid | Function::Softplus, MinusInfinity)
        | (Function::Relu | Function::Silu | Function::Gelu, MinusInfinity) => number(0),
        (Function::Expm1 | Function::Tanh | Function::Erf | Function::Sign, MinusInfinity) => {
            number(-1)
        }
        (Function::Sigmoid | Function::Tanh | Function::Erf | Function::Sign, PlusInfinity) => {
            number(1)
        }
        (Function::Atan, PlusInfinity) => Some(Finite(half_pi())),
        (Function::Atan, MinusInfinity) => Some(Finite(build::neg(half_pi()))),
        (Function::Abs | Function::Cosh, MinusInfinity) => Some(PlusInfinity),
        (Function::Sinh | Function::Asinh | Function::Floor, MinusInfinity) => Some(MinusInfinity),
        (
            Function::Exp
            | Function::Expm1
            | Function::Log
            | Function::Log1p
            | Function::Sqrt
            | Function::Sinh
            | Function::Cosh
            | Function::Asinh
            | Function::Acosh
            | Function::Abs
            | Function::Floor
            | Function::Relu
            | Function::Softplus
            | Function::Silu
            | Function::Gelu,
            PlusInfinity,
        ) => Some(PlusInfinity),
        // Continuous everywhere, so that the limit goes inside.
        (
            Function::Exp
            | Function::Expm1
            | Function::Sin
            | Function::Cos
            | Function::Atan
            | Function::Sinh
            | Function::Cosh
            | Function::Tanh
            | Function::Asinh
            | Function::Abs
            | Function::Relu
            | Function::Sigmoid
            | Function::Softplus
            | Function::Silu
            | Function::Gelu
            | Function::Erf,
            Finite(a),
        ) => Some(Finite(Expression::call(function, a))),
        (Function::Log | Function::Sqrt, Finite(a)) if sign(&a)? > 0 => {
            Some(Finite(Expression::call(function, a)))
        }
        _ => None,
    }
}

/// The limit by the first term of the series in 1/x.
fn by_series(node: &Expression, positive: bool) -> Option<Tendency> {
    let (valuation, coefficient) = Laurent::of(node, Center::Infinity)?.first()?;
    if valuation > 0 {
        return Some(Finite(build::zero()));
    }
    if valuation == 0 {
        return Some(Finite(Expression::rational(coefficient)));
    }
    let rises = coefficient.is_positive() == (positive || valuation % 2 == 0);
    Some(if rises { PlusInfinity } else { MinusInfinity })
}

/// The sign of a number, where enclosures tell.
fn sign(value: &Expression) -> Option<i64> {
    if value.as_rational().is_some_and(Zero::is_zero) {
        return Some(0);
    }
    let mut arithmetic = Arithmetic::new(200)?;
    let enclosed = enclose(&mut arithmetic, value, &Point::new()).ok()?;
    match (enclosed.is_positive(), enclosed.is_negative()) {
        (true, _) => Some(1),
        (_, true) => Some(-1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn known_limits_are_found_and_the_others_are_not_decided() {
        let finite = |value: i64| Some(Finite(Expression::integer(value)));
        let known = [
            ("1/x", true, finite(0)),
            ("(x^2 + 1)/(2*x^2 - x) * 2", true, finite(1)),
            ("x^3 - x^2", false, Some(MinusInfinity)),
            ("exp(-x)", true, finite(0)),
            ("exp(-x)", false, Some(PlusInfinity)),
            ("sqrt(x^2 + 1) - x", true, finite(0)),
            ("x*sin(1/x)", true, finite(1)),
            ("tanh(x)", false, finite(-1)),
            ("sin(x)", true, None),
            ("x*exp(-x)", true, finite(0)),
            ("exp(x)/x^3", true, Some(PlusInfinity)),
            ("log(x)/x", true, finite(0)),
            ("sqrt(x+1) - sqrt(x)", true, finite(0)),
            ("sin(x^2)/x", true, finite(0)),
            ("sin(log(x))/x", false, None),
            ("sqrt(x)*sqrt(x)", false, None),
            ("0*exp(x)", true, finite(0)),
            ("(x + sin(x))/x", true, None),
        ];
        for (text, positive, expected) in known {
            let found = at_infinity(&parse(text).expect(text), "x", positive).ok();
            assert_eq!(found, expected, "{text}");
        }
    }
}
