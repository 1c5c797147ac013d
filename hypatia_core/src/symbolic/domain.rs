//! Where an expression is defined over the reals, as a list of conditions.

use num_rational::BigRational;
use num_traits::Signed;

use super::build::{add, one, sub};
use super::expression::{Expression, Operator};
use super::function::Function;

/// How a quantity relates to zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    NonZero,
    NonNegative,
    Positive,
    /// The quantity, a power with an exponent that varies, is a real number.
    Real,
}

/// A quantity and how it has to relate to zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    pub quantity: Expression,
    pub relation: Relation,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.relation {
            Relation::Real => return write!(f, "{:?} is real", self.quantity),
            Relation::NonZero => "!=",
            Relation::NonNegative => ">=",
            Relation::Positive => ">",
        };
        write!(f, "{:?} {sign} 0", self.quantity)
    }
}

/// The conditions under which the expression is defined, inner ones first, each once.
///
/// An expression is defined where all its parts are. Powers: with an integer exponent everywhere, save zero to
/// a negative one; with another constant exponent where the base is not negative; with an exponent that varies
/// where the result is real (see `docs/symbolic.md`).
pub fn conditions(expression: &Expression) -> Vec<Condition> {
    let mut found: indexmap::IndexSet<Condition> = indexmap::IndexSet::new();
    for node in expression.post_order() {
        let mut needs = |quantity: Expression, relation| {
            if quantity
                .as_rational()
                .is_none_or(|value| !holds(value, relation))
            {
                found.insert(Condition { quantity, relation });
            }
        };
        let argument = |index: usize| node.arguments()[index].clone();
        match node.operator() {
            Operator::Div => needs(argument(1), Relation::NonZero),
            Operator::Pow => {
                if let Some(exponent) = constant_exponent(&argument(1)) {
                    match (exponent.is_integer(), exponent.is_negative()) {
                        (true, true) => needs(argument(0), Relation::NonZero),
                        (false, true) => needs(argument(0), Relation::Positive),
                        (false, false) => needs(argument(0), Relation::NonNegative),
                        (true, false) => {}
                    }
                } else {
                    needs(node.clone(), Relation::Real);
                }
            }
            Operator::Function(function) => match function {
                Function::Log => needs(argument(0), Relation::Positive),
                Function::Sqrt => needs(argument(0), Relation::NonNegative),
                Function::Log1p => needs(add(one(), argument(0)), Relation::Positive),
                Function::Asin | Function::Acos => {
                    needs(add(one(), argument(0)), Relation::NonNegative);
                    needs(sub(one(), argument(0)), Relation::NonNegative);
                }
                Function::Atanh => {
                    needs(add(one(), argument(0)), Relation::Positive);
                    needs(sub(one(), argument(0)), Relation::Positive);
                }
                Function::Acosh => needs(sub(argument(0), one()), Relation::NonNegative),
                Function::Tan => needs(
                    Expression::call(Function::Cos, argument(0)),
                    Relation::NonZero,
                ),
                _ => {}
            },
            _ => {}
        }
    }
    found.into_iter().collect()
}

/// The exact exponent, when it is a number; a float exponent is the number it holds.
pub fn constant_exponent(exponent: &Expression) -> Option<BigRational> {
    match exponent.operator() {
        Operator::Rational(value) => Some(value.clone()),
        Operator::Float(bits) => BigRational::from_float(f64::from_bits(*bits)),
        Operator::Neg => constant_exponent(&exponent.arguments()[0]).map(|value| -value),
        Operator::Div => {
            let top = constant_exponent(&exponent.arguments()[0])?;
            let bottom = constant_exponent(&exponent.arguments()[1])?;
            (!num_traits::Zero::is_zero(&bottom)).then(|| top / bottom)
        }
        _ => None,
    }
}

fn holds(value: &BigRational, relation: Relation) -> bool {
    match relation {
        Relation::NonZero => !num_traits::Zero::is_zero(value),
        Relation::NonNegative => !value.is_negative(),
        Relation::Positive => value.is_positive(),
        Relation::Real => true,
    }
}
