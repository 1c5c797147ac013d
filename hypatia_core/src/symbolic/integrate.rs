//! Antiderivatives by an ansatz with unknown coefficients, after the parallel method of Norman and Moore and
//! Bronstein's account of it (Symbolic Integration I, 2nd ed., chapter 10). What is found is differentiated and
//! proved equal to the integrand before it is returned.

use num_traits::Signed;

use super::ansatz::{Logarithms, TERMS, ansatz, depends};
use super::build::{add, mul, neg, sub};
use super::canonical::Context;
use super::derivative::derivative;
use super::expression::{Expression, Operator};
use super::function::Function;
use super::kernel::Kernel;
use super::linear::solve_linear;
use super::prove::{Assumptions, Status, prove};
use crate::error::{Error, Result};

/// Algebra steps of an integration.
pub(super) const STEPS: u64 = 20_000_000;

/// An antiderivative with respect to the variable, proved by differentiation.
///
/// # Errors
/// When none is found; there may be one that this method does not reach.
pub fn integrate(
    integrand: &Expression,
    name: &str,
    assumptions: &Assumptions,
) -> Result<Expression> {
    let not_found = || {
        Error::new(format!(
            "no antiderivative with respect to '{name}' was found"
        ))
    };
    let jumps = |operator: &Operator| {
        matches!(
            operator,
            Operator::Function(Function::Floor | Function::Sign | Function::ReluGrad)
        )
    };
    if integrand.any(jumps) {
        return Err(Error::new("functions with jumps are not integrated"));
    }
    if integrand.has_tensors() {
        return Err(Error::new("tensor operators have no antiderivative"));
    }
    if !integrand.variables().contains(name) {
        return Ok(mul(integrand.clone(), Expression::variable(name)));
    }
    let mut found = None;
    for logarithms in [Logarithms::Few, Logarithms::All] {
        if found.is_none() {
            found = attempt(integrand, name, assumptions, logarithms)?;
        }
    }
    let found = found.ok_or_else(not_found)?;
    let found = super::simplify::simplify(&found, assumptions, super::cost::Cost::Nodes);
    match prove(&derivative(&found, name)?, integrand, assumptions, STEPS).status {
        Status::Proved => Ok(found),
        _ => Err(not_found()),
    }
}

/// The sum of terms of the ansatz whose derivative is the integrand.
fn attempt(
    integrand: &Expression,
    name: &str,
    assumptions: &Assumptions,
    logarithms: Logarithms,
) -> Result<Option<Expression>> {
    let mut context = Context::new(assumptions, STEPS);
    let slope = derivative(integrand, name)?;
    let mut forms = context.canonicalize(&[integrand, &slope])?;
    let (slope, form) = (forms.remove(1), forms.remove(0));
    let terms = ansatz(&mut context, &form, &slope, name, logarithms)?;
    if terms.is_empty() || terms.len() > TERMS {
        return Ok(None);
    }
    let derivatives = terms
        .iter()
        .map(|term| derivative(term, name))
        .collect::<Result<Vec<_>>>()?;
    // Corners are single points: the coefficients are found beside them, and the proof looks at them too.
    for generator in form.num.generators() {
        if let Kernel::Abs(b) = context.table.get(generator).clone() {
            context.assume_case(b, super::sign::SignSet::NON_ZERO);
        }
    }
    let all: Vec<&Expression> = std::iter::once(integrand).chain(&derivatives).collect();
    // Equality is needed where the integrand is defined; the final proof looks at the rest.
    let forms = context.canonicalize(&all)?;
    let varying = |context: &Context, generator: u32| depends(context, generator, name);
    let Some(solution) = solve_linear(&mut context, &forms[1..], &forms[0], &varying)? else {
        return Ok(None);
    };
    let mut total: Option<Expression> = None;
    for (coefficient, term) in solution.iter().zip(terms) {
        if coefficient.is_zero() {
            continue;
        }
        let negative = coefficient.num.leading().is_negative();
        let factor = context.to_expression(&if negative {
            coefficient.neg()
        } else {
            coefficient.clone()
        });
        let product = mul(factor, term);
        total = Some(match (total, negative) {
            (None, false) => product,
            (None, true) => neg(product),
            (Some(sum), false) => add(sum, product),
            (Some(sum), true) => sub(sum, product),
        });
    }
    Ok(total)
}
