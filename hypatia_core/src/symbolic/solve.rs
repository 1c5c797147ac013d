//! Equations in one unknown: polynomials by their factors, and one function of the unknown by its inverse.

use num_rational::BigRational;
use num_traits::{Signed, Zero};
use rustc_hash::FxHashMap;

use super::build::{add, call, div, mul, neg, powi, sqrt, sub};
use super::canonical::Context;
use super::expression::Expression;
use super::factor::factor_polynomial;
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::monomial::Monomial;
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
            [first, second] => match same_angle(context, &factor, *first, *second) {
                Some((angle, sine, tangents)) => {
                    for value in roots(context, &tangents, sine)? {
                        let value = call(Function::Atan, value);
                        found.extend(solutions(context, &angle, value, name)?);
                    }
                }
                None => return Err(several(name)),
            },
            _ => return Err(several(name)),
        }
    }
    Ok(found)
}

fn several(name: &str) -> Error {
    Error::new(format!(
        "'{name}' occurs in more than one function; this is not solved"
    ))
}

/// For a polynomial of which all terms have one degree in the sine and the cosine of an angle: the angle, the sine's
/// number, and the polynomial over a power of the cosine, in which the sine stands for the tangent.
fn same_angle(
    context: &Context,
    factor: &Polynomial,
    first: u32,
    second: u32,
) -> Option<(Fraction, u32, Polynomial)> {
    let (angle, sine, cosine) = match (context.table.get(first), context.table.get(second)) {
        (Kernel::Sin(u), Kernel::Cos(v)) if u == v => (u.clone(), first, second),
        (Kernel::Cos(u), Kernel::Sin(v)) if u == v => (u.clone(), second, first),
        _ => return None,
    };
    let degree = |m: &Monomial| m.exponent(sine) + m.exponent(cosine);
    let all = degree(&factor.terms().first()?.0);
    let homogeneous = factor.terms().iter().all(|(m, _)| degree(m) == all);
    homogeneous.then(|| (angle, sine, factor.at(cosine, &1.into())))
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
        [d, c, b, a] => match [a, b, c, d].map(Expression::as_rational) {
            [Some(a), Some(b), Some(c), Some(d)] => cubic(a, b, c, d),
            _ => Err(Error::new(
                "a cubic factor with variables in its coefficients is not solved",
            )),
        },
        _ => Err(Error::new(format!(
            "a factor of degree {} is not solved",
            coefficients.len() - 1
        ))),
    }
}

/// The real root of an irreducible a·x³ + b·x² + c·x + d by Cardano's formula, where there is just one.
fn cubic(
    a: &BigRational,
    b: &BigRational,
    c: &BigRational,
    d: &BigRational,
) -> Result<Vec<Expression>> {
    let number = |n: i64| BigRational::from_integer(n.into());
    let shift = b / (a * number(3));
    // x = t − b/(3a), t³ + p·t + q.
    let p = c / a - &shift * &shift * number(3);
    let q = &shift * &shift * &shift * number(2) - &shift * c / a + d / a;
    let discriminant = &q * &q / number(4) + &p * &p * &p / number(27);
    let constant = |value: &BigRational| Expression::rational(value.clone());
    if discriminant.is_negative() {
        return Err(Error::new(
            "a cubic factor with three real roots, which no real radicals express, is not solved",
        ));
    }
    // u³ is the root of the resolvent of larger magnitude, so that it is not zero; t = u − p/(3u).
    let half = -&q / number(2);
    let root = sqrt(constant(&discriminant));
    let (cube, negative) = if half.is_negative() {
        (sub(root, constant(&half)), true)
    } else {
        (add(constant(&half), root), false)
    };
    let u = super::build::pow(cube, Expression::ratio(1, 3));
    let u = if negative { neg(u) } else { u };
    let t = sub(u.clone(), div(constant(&(&p / number(3))), u));
    Ok(vec![sub(t, constant(&shift))])
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
        Kernel::Atan(u) => (u, vec![call(Function::Tan, value)]),
        _ => return Err(Error::new("this function of the unknown is not inverted")),
    };
    let mut found = Vec::new();
    for target in targets {
        found.extend(solutions(context, &inner, target, name)?);
    }
    Ok(found)
}

/// The solutions of inner = target.
fn solutions(
    context: &Context,
    inner: &Fraction,
    target: Expression,
    name: &str,
) -> Result<Vec<Expression>> {
    let equation = sub(context.to_expression(inner), target);
    let mut inner_context = Context::new(&Assumptions::new(), STEPS);
    match inner_context.canonicalize(&[&equation]) {
        Ok(mut forms) => zeros(&mut inner_context, &forms.remove(0).num, name),
        // It is defined nowhere.
        Err(_) => Ok(Vec::new()),
    }
}
