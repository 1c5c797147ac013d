//! Taylor series and limits.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::One;
use rustc_hash::FxHashMap;

use super::build::{add, mul, powi, sub, zero};
use super::canonical::Context;
use super::cost::Cost;
use super::derivative::derivative;
use super::domain::{Relation, conditions};
use super::expression::{Expression, Operator};
use super::function::Function;
use super::limit::{Tendency, at_infinity};
use super::prove::{Assumptions, Status, always, prove};
use super::sign::SignSet;
use super::simplify::simplify;
use super::substitute::substitute;
use crate::error::{Error, Result};

const STEPS: u64 = 20_000_000;

/// Refuses functions with corners and jumps, to which neither series nor the rule of l'Hôpital apply.
fn refuse_corners(expression: &Expression) -> Result<()> {
    let cornered = |operator: &Operator| match operator {
        Operator::Function(function) => matches!(
            function,
            Function::Abs
                | Function::Sign
                | Function::Floor
                | Function::Relu
                | Function::ReluGrad
                | Function::Max
                | Function::Min
                | Function::Hypot
        ),
        Operator::Tensor(_) => true,
        _ => false,
    };
    if expression.any(cornered) {
        return Err(Error::new(
            "functions with corners or jumps are not expanded",
        ));
    }
    Ok(())
}

/// The value at a point in canonical form; an error where it is not defined there.
fn value_at(
    expression: &Expression,
    name: &str,
    at: &Expression,
    assumptions: &Assumptions,
) -> Result<Expression> {
    let replaced = substitute(
        expression,
        &FxHashMap::from_iter([(name.to_string(), at.clone())]),
    );
    let mut context = Context::new(assumptions, STEPS);
    let forms = context.canonicalize(&[&replaced])?;
    let value = context.to_expression(&forms[0]);
    Ok(if value.size() < replaced.size() {
        value
    } else {
        replaced
    })
}

/// The sum of c_k (x − a)^k for k below `order`.
///
/// # Errors
/// When the expression or a derivative is not defined at the point, or has corners.
pub fn series(
    expression: &Expression,
    name: &str,
    at: &Expression,
    order: u32,
    assumptions: &Assumptions,
) -> Result<Expression> {
    refuse_corners(expression)?;
    if order > 60 {
        return Err(Error::new("the limit of 60 terms for series was reached"));
    }
    let step = sub(Expression::variable(name), at.clone());
    let (mut term, mut factorial, mut total) = (expression.clone(), BigInt::one(), zero());
    for k in 0..order {
        let value = value_at(&term, name, at, assumptions).map_err(|error| {
            Error::new(format!(
                "no Taylor series there: the derivative of order {k} has no value ({})",
                error.0
            ))
        })?;
        let coefficient = mul(
            Expression::rational(BigRational::new(BigInt::one(), factorial.clone())),
            value,
        );
        if !coefficient.is_integer_constant(0) {
            let power = if k == 0 {
                Expression::integer(1)
            } else {
                powi(step.clone(), i64::from(k))
            };
            total = add(total, mul(coefficient, power));
        }
        if k + 1 < order {
            term = smaller(&derivative(&term, name)?, assumptions);
            factorial *= BigInt::from(k + 1);
        }
    }
    Ok(total)
}

/// The canonical form where it is smaller.
fn smaller(expression: &Expression, assumptions: &Assumptions) -> Expression {
    let mut context = Context::new(assumptions, STEPS / 10);
    match context.canonicalize(&[expression]) {
        Ok(forms) => {
            let form = context.to_expression(&forms[0]);
            if form.size() < expression.size() {
                form
            } else {
                expression.clone()
            }
        }
        Err(_) => expression.clone(),
    }
}

/// From where the variable comes to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Both,
    /// From below.
    Left,
    /// From above.
    Right,
}

/// The limit at a finite point: from both sides by continuity or by the rule of l'Hôpital, or by what happens at
/// infinity of 1/|x − a|.
///
/// # Errors
/// When it is not decided this way, or is not finite.
pub fn limit(
    expression: &Expression,
    name: &str,
    at: &Expression,
    side: Side,
    assumptions: &Assumptions,
) -> Result<Expression> {
    if side == Side::Both
        && refuse_corners(expression).is_ok()
        && let Some(found) = by_slopes(expression, name, at, assumptions)?
    {
        return Ok(found);
    }
    let from = |positive| from_side(expression, name, at, positive);
    let finite = |tendency| match tendency {
        Tendency::Finite(value) => Ok(simplify(&value, assumptions, Cost::Nodes)),
        _ => Err(Error::new("the limit is not finite")),
    };
    match side {
        Side::Right => finite(from(true)?),
        Side::Left => finite(from(false)?),
        Side::Both => match (from(true)?, from(false)?) {
            (Tendency::Finite(a), Tendency::Finite(b)) => {
                match prove(&a, &b, &Assumptions::new(), STEPS).status {
                    Status::Proved => Ok(simplify(&a, assumptions, Cost::Nodes)),
                    Status::Refuted => Err(Error::new(format!(
                        "the limit is {a:?} from the right and {b:?} from the left"
                    ))),
                    Status::Unknown => Err(Error::new("the limit was not decided")),
                }
            }
            (Tendency::Finite(_), _) | (_, Tendency::Finite(_)) => {
                Err(Error::new("the limit is finite from one side only"))
            }
            _ => Err(Error::new("the limit is not finite")),
        },
    }
}

/// The limit by continuity or by the rule of l'Hôpital; none where these do not decide it.
fn by_slopes(
    expression: &Expression,
    name: &str,
    at: &Expression,
    assumptions: &Assumptions,
) -> Result<Option<Expression>> {
    const ROUNDS: usize = 8;
    let mut current = expression.clone();
    for _ in 0..ROUNDS {
        let mut context = Context::new(assumptions, STEPS);
        let forms = context.canonicalize(&[&current])?;
        let form = &forms[0];
        let side = |p: &super::polynomial::Polynomial| {
            context.to_expression(&super::kernel::Fraction::polynomial(p.clone()))
        };
        let (top, bottom) = (side(&form.num), side(&form.den));
        let values = value_at(&top, name, at, assumptions)
            .and_then(|a| Ok((a, value_at(&bottom, name, at, assumptions)?)));
        let Ok((a, b)) = values else { break };
        match (a.is_integer_constant(0), b.is_integer_constant(0)) {
            (_, false) if is_nonzero(&b) => {
                return value_at(&super::build::div(a, b), name, at, assumptions).map(Some);
            }
            (false, true) if is_nonzero(&a) => return Err(Error::new("the limit is not finite")),
            (true, true) => {
                current = super::build::div(derivative(&top, name)?, derivative(&bottom, name)?);
            }
            _ => break,
        }
    }
    Ok(None)
}

/// What the expression tends to from one side: at infinity of t where x is a + 1/t, or a − 1/t.
fn from_side(
    expression: &Expression,
    name: &str,
    at: &Expression,
    right: bool,
) -> Result<Tendency> {
    let step = super::build::div(Expression::integer(1), Expression::variable(name));
    let near = if right {
        add(at.clone(), step)
    } else {
        sub(at.clone(), step)
    };
    let replaced = substitute(
        expression,
        &FxHashMap::from_iter([(name.to_string(), near)]),
    );
    // There t is positive, which takes magnitudes and signs away.
    let far = Assumptions::from([(name.into(), SignSet::POSITIVE)]);
    let needed = conditions(&replaced);
    let defined = needed.iter().all(|condition| always(condition, &far));
    let jumps = |operator: &Operator| {
        matches!(
            operator,
            Operator::Function(Function::Sign | Function::Floor | Function::ReluGrad)
        )
    };
    // Other functions are continuous on their domains, ends included; powers with exponents that vary are not.
    let powers = needed
        .iter()
        .any(|condition| condition.relation == Relation::Real);
    if defined
        && !powers
        && !expression.any(jumps)
        && let Ok(value) = value_at(expression, name, at, &Assumptions::new())
    {
        return Ok(Tendency::Finite(value));
    }
    at_infinity(&replaced, name, true).or_else(|error| {
        // A canonical form may be defined where the expression is not.
        if !defined {
            return Err(error);
        }
        let mut context = Context::new(&far, STEPS / 10);
        let form = context.canonicalize(&[&replaced])?.remove(0);
        at_infinity(&context.to_expression(&form), name, true)
    })
}

/// Whether a constant is certainly not zero.
fn is_nonzero(value: &Expression) -> bool {
    use super::enclosure::{Point, enclose};
    use super::interval::Arithmetic;
    let Some(mut arithmetic) = Arithmetic::new(200) else {
        return false;
    };
    enclose(&mut arithmetic, value, &Point::new()).is_ok_and(|value| !value.contains_zero())
}
