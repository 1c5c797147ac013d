//! Enclosures of an expression's value at a point given exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_rational::BigRational;
use num_traits::ToPrimitive;

use super::budget::interrupted;
use super::expression::{Expression, Operator};
use super::function::Function;
use super::interval::{Arithmetic, Enclosed, Interval, Missing};

/// What one function counts for when it is asked whether to stop.
const FUNCTION_STEPS: usize = 1 << 10;

/// A point: exact values of variables.
pub type Point = BTreeMap<Arc<str>, BigRational>;

/// An interval that holds the expression's value at the point.
///
/// # Errors
/// Whether the expression is certainly undefined there, or the precision does not suffice.
pub fn enclose(arithmetic: &mut Arithmetic, expression: &Expression, point: &Point) -> Enclosed {
    expression.fold(|node, arguments: &[Interval]| {
        let exponent = node
            .arguments()
            .get(1)
            .and_then(|exponent| exponent.as_rational());
        enclose_node(arithmetic, node.operator(), exponent, arguments, point)
    })
}

/// The enclosure of one operator's value over enclosures of its arguments; `exponent` is the second argument where
/// that is an exact number.
pub(super) fn enclose_node(
    a: &mut Arithmetic,
    operator: &Operator,
    exponent: Option<&BigRational>,
    arguments: &[Interval],
    point: &Point,
) -> Enclosed {
    match operator {
        Operator::Rational(value) => a.rational(value),
        Operator::Float(bits) => BigRational::from_float(f64::from_bits(*bits))
            .ok_or(Missing::Unsure)
            .and_then(|value| a.rational(&value)),
        Operator::Variable(name) => match point.get(name) {
            Some(value) => a.rational(value),
            None => Err(Missing::Unsure),
        },
        Operator::Pi => a.pi(),
        Operator::Add => a.add(&arguments[0], &arguments[1]),
        Operator::Sub => a.sub(&arguments[0], &arguments[1]),
        Operator::Mul => a.mul(&arguments[0], &arguments[1]),
        Operator::Div => a.div(&arguments[0], &arguments[1]),
        Operator::Neg => Ok(arguments[0].neg()),
        Operator::Pow => match exponent.filter(|value| value.is_integer()) {
            Some(exponent) => match exponent.to_integer().to_i64() {
                Some(exponent) => a.powi(&arguments[0], exponent),
                None => Err(Missing::Unsure),
            },
            None => a.pow(&arguments[0], &arguments[1]),
        },
        Operator::Function(_) if interrupted(FUNCTION_STEPS) => Err(Missing::Unsure),
        Operator::Function(function) => apply(a, *function, arguments),
        Operator::Tensor(_) => Err(Missing::Unsure),
    }
}

/// The enclosure of a function over enclosures of its arguments.
fn apply(a: &mut Arithmetic, function: Function, arguments: &[Interval]) -> Enclosed {
    let u = &arguments[0];
    let (one, two) = (Interval::integer(1), Interval::integer(2));
    match function {
        Function::Exp => a.exp(u),
        Function::Log => a.log(u),
        Function::Sqrt => a.sqrt(u),
        Function::Sin => a.sin(u),
        Function::Cos => a.cos(u),
        Function::Tan => {
            let (sine, cosine) = (a.sin(u)?, a.cos(u)?);
            a.div(&sine, &cosine)
        }
        Function::Asin => a.asin(u),
        Function::Acos => {
            let (pi, sine) = (a.pi()?, a.asin(u)?);
            let right = a.div(&pi, &two)?;
            a.sub(&right, &sine)
        }
        Function::Atan => a.atan(u),
        Function::Sinh | Function::Cosh => {
            let (up, down) = (a.exp(u)?, a.exp(&u.neg())?);
            let sum = if function == Function::Sinh {
                a.sub(&up, &down)?
            } else {
                a.add(&up, &down)?
            };
            a.div(&sum, &two)
        }
        Function::Tanh => {
            if u.is_positive() {
                return Ok(apply(a, function, &[u.neg()])?.neg());
            }
            let twice = a.add(u, u)?;
            let square = a.exp(&twice)?;
            let (top, bottom) = (a.sub(&square, &one)?, a.add(&square, &one)?);
            a.div(&top, &bottom)
        }
        Function::Asinh => {
            let square = a.mul(u, u)?;
            let sum = a.add(&square, &one)?;
            let root = a.sqrt(&sum)?;
            let argument = a.add(u, &root)?;
            a.log(&argument)
        }
        Function::Acosh => {
            let (below, above) = (a.sub(u, &one)?, a.add(u, &one)?);
            let (p, q) = (a.sqrt(&below)?, a.sqrt(&above)?);
            let root = a.mul(&p, &q)?;
            let argument = a.add(u, &root)?;
            a.log(&argument)
        }
        Function::Atanh => {
            let (above, below) = (a.add(&one, u)?, a.sub(&one, u)?);
            let (p, q) = (a.log(&above)?, a.log(&below)?);
            let difference = a.sub(&p, &q)?;
            a.div(&difference, &two)
        }
        Function::Abs => a.abs(u),
        Function::Sign => a.sign(u),
        Function::Floor => a.floor(u),
        Function::Relu => a.max(u, &Interval::integer(0)),
        Function::ReluGrad => {
            let sign = a.sign(u)?;
            a.max(&sign, &Interval::integer(0))
        }
        Function::Sigmoid => sigmoid(a, u),
        Function::Silu => {
            let gate = sigmoid(a, u)?;
            a.mul(u, &gate)
        }
        Function::Softplus => {
            let exponential = a.exp(u)?;
            let sum = a.add(&one, &exponential)?;
            a.log(&sum)
        }
        Function::Gelu => {
            let root = a.sqrt(&two)?;
            let scaled = a.div(u, &root)?;
            let error = a.erf(&scaled)?;
            let sum = a.add(&one, &error)?;
            let product = a.mul(u, &sum)?;
            a.div(&product, &two)
        }
        Function::Erf => a.erf(u),
        Function::Expm1 => {
            let exponential = a.exp(u)?;
            a.sub(&exponential, &one)
        }
        Function::Log1p => {
            let sum = a.add(&one, u)?;
            a.log(&sum)
        }
        Function::Hypot => {
            let (p, q) = (a.mul(u, u)?, a.mul(&arguments[1], &arguments[1])?);
            let (p, q) = (a.abs(&p)?, a.abs(&q)?);
            let sum = a.add(&p, &q)?;
            a.sqrt(&sum)
        }
        Function::Max => a.max(u, &arguments[1]),
        Function::Min => Ok(a.max(&u.neg(), &arguments[1].neg())?.neg()),
    }
}

fn sigmoid(a: &mut Arithmetic, u: &Interval) -> Enclosed {
    let one = Interval::integer(1);
    let down = a.exp(&u.neg())?;
    let bottom = a.add(&one, &down)?;
    a.div(&one, &bottom)
}
