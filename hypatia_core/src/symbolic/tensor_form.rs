//! Expressions with tensor operators: equal by congruence, and by what is exact bit for bit.
//!
//! Addition and multiplication commute, a difference is the sum with the negative, two negations cancel. What
//! else holds is the tensor optimizer's to say.

use super::build::neg;
use super::expression::{Expression, Operator};
use super::print::to_text;
use super::prove::{Answer, Status, Step};

/// The form in which equal expressions are the same.
pub fn tensor_form(expression: &Expression) -> Expression {
    let form = expression.fold(|node, arguments: &[Expression]| {
        Ok::<_, std::convert::Infallible>(match node.operator() {
            Operator::Neg => neg(arguments[0].clone()),
            Operator::Sub => sorted(
                Operator::Add,
                arguments[0].clone(),
                neg(arguments[1].clone()),
            ),
            Operator::Add | Operator::Mul => sorted(
                node.operator().clone(),
                arguments[0].clone(),
                arguments[1].clone(),
            ),
            _ => node.with_arguments(arguments),
        })
    });
    match form {
        Ok(form) => form,
        Err(never) => match never {},
    }
}

fn sorted(operator: Operator, a: Expression, b: Expression) -> Expression {
    let by_text = || to_text(&b).ok() < to_text(&a).ok();
    let swap = match b.hash_code().cmp(&a.hash_code()) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Equal => a != b && by_text(),
        std::cmp::Ordering::Greater => false,
    };
    if swap {
        Expression::binary(operator, b, a)
    } else {
        Expression::binary(operator, a, b)
    }
}

/// The expression with what is exact bit for bit folded: two negations, differences with a negative.
pub fn fold_exactly(expression: &Expression) -> Expression {
    let folded = expression.fold(|node, arguments: &[Expression]| {
        Ok::<_, std::convert::Infallible>(match (node.operator(), arguments) {
            (Operator::Neg, [inner]) if matches!(inner.operator(), Operator::Neg) => {
                inner.arguments()[0].clone()
            }
            (Operator::Sub, [a, b]) if matches!(b.operator(), Operator::Neg) => {
                Expression::binary(Operator::Add, a.clone(), b.arguments()[0].clone())
            }
            (Operator::Add, [a, b]) if matches!(b.operator(), Operator::Neg) => {
                Expression::binary(Operator::Sub, a.clone(), b.arguments()[0].clone())
            }
            _ => node.with_arguments(arguments),
        })
    });
    match folded {
        Ok(folded) => folded,
        Err(never) => match never {},
    }
}

/// Proved when the forms are the same; unknown otherwise, as there is no witness without shapes.
pub fn prove(left: &Expression, right: &Expression) -> Answer {
    let (a, b) = (tensor_form(left), tensor_form(right));
    let mut answer = Answer {
        status: Status::Unknown,
        steps: Vec::new(),
        witness: None,
        conditions: Vec::new(),
        shapes: Vec::new(),
        reason: None,
    };
    if a == b {
        answer.status = Status::Proved;
        answer.steps.push(Step {
            rule: "tensor-congruence".to_string(),
            before: left.clone(),
            after: right.clone(),
            condition: String::new(),
        });
    } else {
        answer.reason =
            Some("no rule about these tensor operators makes the sides the same".to_string());
    }
    answer
}
