//! What an expression costs: nodes, or floating operations.

use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};

use super::expression::{Expression, Operator};
use super::function::Function;

/// What is to be made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Nodes of the tree.
    Nodes,
    /// Floating operations, weighed by about how long they take.
    Operations,
}

impl Cost {
    /// The cost of the tree; between equal ones the other measure decides, then how often variables occur.
    pub fn of(self, expression: &Expression) -> (u64, u64, u64) {
        let (nodes, operations, variables) = (
            expression.size(),
            operations(expression),
            occurrences(expression),
        );
        match self {
            Self::Nodes => (nodes, operations, variables),
            Self::Operations => (operations, nodes, variables),
        }
    }
}

/// The leaves that are variables.
fn occurrences(expression: &Expression) -> u64 {
    let total = expression.fold(|node, arguments: &[u64]| {
        let own = u64::from(matches!(node.operator(), Operator::Variable(_)));
        Ok::<u64, std::convert::Infallible>(
            arguments
                .iter()
                .fold(own, |sum, count| sum.saturating_add(*count)),
        )
    });
    match total {
        Ok(total) => total,
        Err(never) => match never {},
    }
}

/// The floating operations of the tree.
pub fn operations(expression: &Expression) -> u64 {
    let total = expression.fold(|node, arguments: &[u64]| {
        let exponent = node
            .arguments()
            .get(1)
            .and_then(|exponent| exponent.as_rational());
        let own = operation(node.operator(), exponent);
        Ok::<u64, std::convert::Infallible>(
            arguments
                .iter()
                .fold(own, |sum, cost| sum.saturating_add(*cost)),
        )
    });
    match total {
        Ok(total) => total,
        Err(never) => match never {},
    }
}

/// The floating operations of one operator; `exponent` is the second argument where that is an exact number.
pub(super) fn operation(operator: &Operator, exponent: Option<&BigRational>) -> u64 {
    match operator {
        Operator::Rational(_) | Operator::Float(_) | Operator::Variable(_) | Operator::Pi => 0,
        Operator::Add | Operator::Sub | Operator::Mul | Operator::Neg => 1,
        Operator::Div => 4,
        Operator::Pow => match exponent {
            Some(exponent) if exponent.is_integer() => {
                let n = exponent.to_integer().abs().to_u64().unwrap_or(u64::MAX);
                // Multiplications by squaring.
                let products = u64::from(64 - n.leading_zeros()) + u64::from(n.count_ones());
                products.saturating_sub(2) + if exponent.is_negative() { 4 } else { 0 }
            }
            _ => 30,
        },
        Operator::Function(function) => match function {
            Function::Abs
            | Function::Sign
            | Function::Max
            | Function::Min
            | Function::Relu
            | Function::ReluGrad => 1,
            Function::Floor => 2,
            Function::Sqrt | Function::Hypot => 5,
            _ => 20,
        },
        Operator::Tensor(_) => 1000,
    }
}
