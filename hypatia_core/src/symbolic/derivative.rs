//! Derivatives. A function without a right derivative is refused, never guessed.

use super::build::{add, call, div, mul, neg, one, pow, powi, sqrt, sub, zero};
use super::expression::{Expression, Operator};
use super::function::Function;
use crate::error::{Error, Result};

/// The derivative with respect to the variable.
///
/// Where a function has a corner, its derivative there is the one torch uses: `relu'(0) = 0`, `abs'(0) = 0`,
/// and `max(u, v)` shares evenly where `u = v`. The derivative of `sign`, `floor` and `relu_grad` is 0, which
/// holds wherever they are differentiable.
///
/// # Errors
/// For tensor operators, and for powers of a negative number that have no real derivative.
pub fn derivative(expression: &Expression, name: &str) -> Result<Expression> {
    expression.fold(|node, inner: &[Expression]| {
        Ok(match node.operator() {
            Operator::Variable(variable) if &**variable == name => one(),
            Operator::Variable(_) | Operator::Rational(_) | Operator::Float(_) | Operator::Pi => {
                zero()
            }
            Operator::Tensor(operator) => {
                return Err(Error::new(format!(
                    "'{}' has no scalar derivative: it acts on tensors",
                    operator.name
                )));
            }
            // The constants' subtrees cost nothing further.
            _ if inner.iter().all(|d| d.is_integer_constant(0)) => zero(),
            Operator::Add => add(inner[0].clone(), inner[1].clone()),
            Operator::Sub => sub(inner[0].clone(), inner[1].clone()),
            Operator::Neg => neg(inner[0].clone()),
            operator => {
                let u = node.arguments()[0].clone();
                let du = inner[0].clone();
                match operator {
                    Operator::Mul => {
                        let v = node.arguments()[1].clone();
                        add(mul(du, v), mul(u, inner[1].clone()))
                    }
                    Operator::Div => quotient(u, du, node.arguments()[1].clone(), inner[1].clone()),
                    Operator::Pow => {
                        power(node, u, du, node.arguments()[1].clone(), inner[1].clone())?
                    }
                    Operator::Function(Function::Max) => {
                        corner(1, u, du, node.arguments()[1].clone(), inner[1].clone())
                    }
                    Operator::Function(Function::Min) => {
                        corner(-1, u, du, node.arguments()[1].clone(), inner[1].clone())
                    }
                    Operator::Function(Function::Hypot) => {
                        let v = node.arguments()[1].clone();
                        div(add(mul(u, du), mul(v, inner[1].clone())), node.clone())
                    }
                    Operator::Function(function) => match outer(*function, node, u) {
                        Outer::Times(factor) => mul(factor, du),
                        Outer::Over(divisor) => div(du, divisor),
                    },
                    _ => return Err(Error::new("an operator without a derivative")),
                }
            }
        })
    })
}

/// The n-th derivative.
///
/// # Errors
/// As [`derivative`], and when the result outgrows memory.
pub fn nth_derivative(expression: &Expression, name: &str, order: u32) -> Result<Expression> {
    const LIMIT: usize = 2_000_000;
    let mut result = expression.clone();
    for _ in 0..order {
        if result.is_integer_constant(0) {
            break;
        }
        result = derivative(&result, name)?;
        if result.size() > LIMIT as u64 && result.post_order().len() > LIMIT {
            return Err(Error::new(format!(
                "the derivative of order {order} has more than {LIMIT} nodes"
            )));
        }
    }
    Ok(result)
}

fn quotient(u: Expression, du: Expression, v: Expression, dv: Expression) -> Expression {
    if dv.is_integer_constant(0) {
        return div(du, v);
    }
    div(sub(mul(du, v.clone()), mul(u, dv)), powi(v, 2))
}

fn power(
    node: &Expression,
    u: Expression,
    du: Expression,
    v: Expression,
    dv: Expression,
) -> Result<Expression> {
    if dv.is_integer_constant(0) {
        if v.is_integer_constant(0) {
            return Ok(zero());
        }
        let lowered = pow(u, sub(v.clone(), one()));
        return Ok(mul(mul(v, lowered), du));
    }
    if u.as_rational()
        .is_some_and(|base| base <= &num_traits::Zero::zero())
    {
        return Err(Error::new(
            "a power with a base that is not positive has no real derivative in its exponent",
        ));
    }
    let through_exponent = mul(dv, call(Function::Log, u.clone()));
    let through_base = if du.is_integer_constant(0) {
        zero()
    } else {
        div(mul(v, du), u)
    };
    Ok(mul(node.clone(), add(through_exponent, through_base)))
}

/// max(u, v) = (u + v + |u − v|)/2, and min with the other sign.
fn corner(sign: i64, u: Expression, du: Expression, v: Expression, dv: Expression) -> Expression {
    let step = call(Function::Sign, sub(u, v));
    let swing = mul(step, sub(du.clone(), dv.clone()));
    let total = add(du, dv);
    div(
        if sign > 0 {
            add(total, swing)
        } else {
            sub(total, swing)
        },
        Expression::integer(2),
    )
}

enum Outer {
    Times(Expression),
    Over(Expression),
}

/// The derivative of the function at u, as a factor or as a divisor.
fn outer(function: Function, node: &Expression, u: Expression) -> Outer {
    use Outer::{Over, Times};
    let square = |e: Expression| powi(e, 2);
    let same = || node.clone();
    match function {
        Function::Exp => Times(same()),
        Function::Log => Over(u),
        Function::Sqrt => Over(mul(Expression::integer(2), same())),
        Function::Sin => Times(call(Function::Cos, u)),
        Function::Cos => Times(neg(call(Function::Sin, u))),
        Function::Tan => Times(add(one(), square(same()))),
        Function::Asin => Over(sqrt(sub(one(), square(u)))),
        Function::Acos => Over(neg(sqrt(sub(one(), square(u))))),
        Function::Atan => Over(add(one(), square(u))),
        Function::Sinh => Times(call(Function::Cosh, u)),
        Function::Cosh => Times(call(Function::Sinh, u)),
        Function::Tanh => Times(sub(one(), square(same()))),
        Function::Asinh => Over(sqrt(add(one(), square(u)))),
        Function::Acosh => Over(mul(sqrt(sub(u.clone(), one())), sqrt(add(u, one())))),
        Function::Atanh => Over(sub(one(), square(u))),
        Function::Abs => Times(call(Function::Sign, u)),
        Function::Sign | Function::Floor | Function::ReluGrad => Times(zero()),
        Function::Relu => Times(call(Function::ReluGrad, u)),
        Function::Sigmoid => Times(mul(same(), sub(one(), same()))),
        Function::Softplus => Times(call(Function::Sigmoid, u)),
        Function::Gelu => {
            // Φ(u) + u φ(u).
            let scaled = div(u.clone(), sqrt(Expression::integer(2)));
            let cumulative = div(
                add(one(), call(Function::Erf, scaled)),
                Expression::integer(2),
            );
            let bell = call(
                Function::Exp,
                neg(div(square(u.clone()), Expression::integer(2))),
            );
            let density = div(
                mul(u, bell),
                sqrt(mul(Expression::integer(2), Expression::pi())),
            );
            Times(add(cumulative, density))
        }
        Function::Silu => {
            let gate = call(Function::Sigmoid, u.clone());
            Times(mul(gate.clone(), add(one(), mul(u, sub(one(), gate)))))
        }
        Function::Erf => {
            let bell = call(Function::Exp, neg(square(u)));
            Times(div(
                mul(Expression::integer(2), bell),
                sqrt(Expression::pi()),
            ))
        }
        Function::Expm1 => Times(call(Function::Exp, u)),
        Function::Log1p => Over(add(one(), u)),
        // Taken care of with their two arguments.
        Function::Hypot | Function::Max | Function::Min => Times(zero()),
    }
}
