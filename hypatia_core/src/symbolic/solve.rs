//! Equations in one unknown: polynomials by their factors, and one function of the unknown by its inverse.

use num_traits::{Signed, Zero};
use rustc_hash::FxHashMap;

use super::build::{add, call, div, mul, neg, powi, sqrt, sub};
use super::canonical::Context;
use super::expression::Expression;
use super::factor::factor_polynomial;
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::polynomial::Polynomial;
use super::prove::{Assumptions, Status, prove};
use super::substitute::substitute;
use crate::error::{Error, Result};

const STEPS: u64 = 5_000_000;

/// The real solutions of `expression = 0`, each proved by substitution, in a fixed order. For a polynomial these
/// are all; for a function with many inverses the principal ones.
///
/// # Errors
/// When the equation is of no kind that is solved, so that no list would be complete.
pub fn solve(
    expression: &Expression,
    name: &str,
    assumptions: &Assumptions,
) -> Result<Vec<Expression>> {
    let mut context = Context::new(assumptions, STEPS);
    let form = context.canonicalize(&[expression])?.remove(0);
    if form.is_zero() {
        return Err(Error::new(
            "every value for which the equation is defined solves it",
        ));
    }
    let candidates = zeros(&mut context, &form.num, name)?;
    let mut found: Vec<Expression> = Vec::new();
    for candidate in candidates {
        let candidate =
            super::simplify::simplify(&candidate, assumptions, super::cost::Cost::Nodes);
        let replaced = substitute(
            expression,
            &FxHashMap::from_iter([(name.to_string(), candidate.clone())]),
        );
        // A candidate at which the equation is not defined is none.
        let holds =
            prove(&replaced, &Expression::integer(0), assumptions, STEPS).status == Status::Proved;
        if holds && !found.contains(&candidate) {
            found.push(candidate);
        } else if !holds
            && super::evaluate::Program::new(&replaced)
                .is_ok_and(|p| p.names().is_empty() && p.run(&[]).is_ok_and(|v| v.abs() < 1e-9))
        {
            return Err(Error::new("a solution was found that could not be proved"));
        }
    }
    Ok(found)
}

fn zeros(context: &mut Context, polynomial: &Polynomial, name: &str) -> Result<Vec<Expression>> {
    let mut budget = super::budget::Budget::new(STEPS);
    let mut found = Vec::new();
    for (factor, _) in factor_polynomial(polynomial, &mut budget)?.1 {
        let varying: Vec<u32> = factor
            .generators()
            .into_iter()
            .filter(|&generator| {
                let kernel = Fraction::polynomial(Polynomial::generator(generator));
                context.to_expression(&kernel).variables().contains(name)
            })
            .collect();
        match varying.as_slice() {
            [] => {}
            [generator] => {
                for value in roots(context, &factor, *generator)? {
                    found.extend(inverse(context, *generator, value, name)?);
                }
            }
            _ => {
                return Err(Error::new(format!(
                    "'{name}' occurs in more than one function; this is not solved"
                )));
            }
        }
    }
    Ok(found)
}

/// The real roots of a factor in one generator.
fn roots(context: &Context, factor: &Polynomial, generator: u32) -> Result<Vec<Expression>> {
    let coefficients: Vec<Expression> = factor
        .coefficients_in(generator)
        .iter()
        .map(|c| context.to_expression(&Fraction::polynomial(c.clone())))
        .collect();
    match coefficients.as_slice() {
        [b, a] => Ok(vec![div(neg(b.clone()), a.clone())]),
        [c, b, a] => {
            let disc = sub(
                powi(b.clone(), 2),
                mul(Expression::integer(4), mul(a.clone(), c.clone())),
            );
            if disc.as_rational().is_some_and(Signed::is_negative) {
                return Ok(Vec::new());
            }
            let root = sqrt(disc);
            let bottom = mul(Expression::integer(2), a.clone());
            let minus = div(sub(neg(b.clone()), root.clone()), bottom.clone());
            Ok(vec![minus, div(add(neg(b.clone()), root), bottom)])
        }
        // a·yⁿ + c.
        [c, middle @ .., a] if middle.iter().all(|m| m.is_integer_constant(0)) => {
            let n = coefficients.len() as i64 - 1;
            let ratio = div(neg(c.clone()), a.clone());
            let root = |value: Expression| super::build::pow(value, Expression::ratio(1, n));
            match ratio.as_rational() {
                Some(value) if value.is_negative() && n % 2 == 0 => Ok(Vec::new()),
                Some(value) if value.is_negative() => Ok(vec![neg(root(neg(ratio)))]),
                Some(value) if value.is_zero() => Ok(vec![ratio]),
                Some(_) if n % 2 == 0 => Ok(vec![neg(root(ratio.clone())), root(ratio)]),
                Some(_) => Ok(vec![root(ratio)]),
                None => Err(Error::new(
                    "a root of higher order with unknown sign is not solved",
                )),
            }
        }
        [c, z1, b, z2, a] if z1.is_integer_constant(0) && z2.is_integer_constant(0) => {
            let disc = sub(
                powi(b.clone(), 2),
                mul(Expression::integer(4), mul(a.clone(), c.clone())),
            );
            let inner = sqrt(disc);
            let mut found = Vec::new();
            for square in [
                sub(neg(b.clone()), inner.clone()),
                add(neg(b.clone()), inner),
            ] {
                let value = sqrt(div(square, mul(Expression::integer(2), a.clone())));
                found.extend([neg(value.clone()), value]);
            }
            Ok(found)
        }
        _ => Err(Error::new(format!(
            "a factor of degree {} is not solved",
            coefficients.len() - 1
        ))),
    }
}

/// The solutions of generator = value.
fn inverse(
    context: &mut Context,
    generator: u32,
    value: Expression,
    name: &str,
) -> Result<Vec<Expression>> {
    let (inner, targets) = match context.table.get(generator).clone() {
        Kernel::Variable(_) => return Ok(vec![value]),
        Kernel::Exp(u) => {
            if value
                .as_rational()
                .is_some_and(|value| !value.is_positive())
            {
                return Ok(Vec::new());
            }
            (u, vec![call(Function::Log, value)])
        }
        Kernel::Log(b) => {
            let exponential = call(Function::Exp, value);
            (
                Fraction::polynomial(b),
                vec![exponential.clone(), neg(exponential)],
            )
        }
        Kernel::Root(b, n) => {
            let power = powi(value, i64::from(n));
            (Fraction::polynomial(b), vec![power.clone(), neg(power)])
        }
        Kernel::Abs(b) => (Fraction::polynomial(b), vec![neg(value.clone()), value]),
        Kernel::Sin(u) => (u, vec![call(Function::Asin, value)]),
        Kernel::Cos(u) => (u, vec![call(Function::Acos, value)]),
        Kernel::Asin(u) => (u, vec![call(Function::Sin, value)]),
        _ => return Err(Error::new("this function of the unknown is not inverted")),
    };
    let mut found = Vec::new();
    for target in targets {
        let equation = sub(context.to_expression(&inner), target);
        let mut inner_context = Context::new(&Assumptions::new(), STEPS);
        let Ok(mut forms) = inner_context.canonicalize(&[&equation]) else {
            continue;
        };
        let form = forms.remove(0);
        found.extend(zeros(&mut inner_context, &form.num, name)?);
    }
    Ok(found)
}
