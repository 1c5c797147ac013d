//! Substitution of variables, all at once.

use rustc_hash::FxHashMap;

use super::build;
use super::expression::{Expression, Operator};

/// Replaces the variables by expressions simultaneously; exact numbers that meet are folded.
pub fn substitute(
    expression: &Expression,
    replacements: &FxHashMap<String, Expression>,
) -> Expression {
    let changed = expression.fold(|node, arguments: &[(Expression, bool)]| {
        Ok::<_, std::convert::Infallible>(match node.operator() {
            Operator::Variable(name) => match replacements.get(&**name) {
                Some(replacement) => (replacement.clone(), true),
                None => (node.clone(), false),
            },
            _ if arguments.iter().any(|(_, changed)| *changed) => {
                let arguments: Vec<Expression> = arguments
                    .iter()
                    .map(|(argument, _)| argument.clone())
                    .collect();
                (fold_numbers(node.operator(), arguments), true)
            }
            _ => (node.clone(), false),
        })
    });
    match changed {
        Ok((result, _)) => result,
        Err(never) => match never {},
    }
}

/// The node, or the exact number it is when all its arguments are numbers.
fn fold_numbers(operator: &Operator, arguments: Vec<Expression>) -> Expression {
    if arguments
        .iter()
        .all(|argument| argument.as_rational().is_some())
    {
        let mut operands = arguments.iter().cloned();
        let folded = match (operator, operands.next(), operands.next()) {
            (Operator::Add, Some(a), Some(b)) => Some(build::add(a, b)),
            (Operator::Sub, Some(a), Some(b)) => Some(build::sub(a, b)),
            (Operator::Mul, Some(a), Some(b)) => Some(build::mul(a, b)),
            (Operator::Div, Some(a), Some(b)) => Some(build::div(a, b)),
            (Operator::Pow, Some(a), Some(b)) => Some(build::pow(a, b)),
            (Operator::Neg, Some(a), None) => Some(build::neg(a)),
            _ => None,
        };
        if let Some(folded) = folded.filter(|folded| folded.as_rational().is_some()) {
            return folded;
        }
    }
    Expression::new(operator.clone(), arguments)
}
