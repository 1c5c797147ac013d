//! Equations in one unknown: polynomials by their factors, and one function of the unknown by its inverse.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use rustc_hash::FxHashMap;

use super::build::{add, call, div, mul, neg, powi, sqrt, sub};
use super::canonical::Context;
use super::evaluate::evaluate;
use super::expression::Expression;
use super::factor::factor_polynomial;
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use super::prove::{Assumptions, Status, prove};
use super::sample::samples;
use super::substitute::substitute;
use crate::error::{Error, Result};

const STEPS: u64 = 5_000_000;
/// Points of the parameters at which candidates that were not proved are looked at, besides those of the table.
const MIXTURES: usize = 40;

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
    let mut doubtful = Vec::new();
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
        if !holds {
            doubtful.push((candidate, replaced));
        } else if !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    for (candidate, replaced) in doubtful {
        no_solution(&candidate, &replaced, &found, assumptions)?;
    }
    Ok(found)
}

/// Makes sure that a candidate that was not proved solves the equation nowhere that no other solution does.
///
/// # Errors
/// Where it does, as far as doubles tell: then a list without it would not be complete.
fn no_solution(
    candidate: &Expression,
    replaced: &Expression,
    found: &[Expression],
    assumptions: &Assumptions,
) -> Result<()> {
    let names: Vec<_> = candidate
        .variables()
        .into_iter()
        .chain(replaced.variables())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    for point in samples(&names, assumptions, MIXTURES) {
        let at: FxHashMap<String, f64> = names
            .iter()
            .map(ToString::to_string)
            .zip(point.doubles())
            .collect();
        let value = |expression: &Expression| evaluate(expression, &at).ok();
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs());
        let Some(place) = value(candidate) else {
            continue;
        };
        let solves = value(replaced).is_some_and(|value| value.abs() <= 1e-9);
        let known = || {
            found
                .iter()
                .any(|other| value(other).is_some_and(|other| close(place, other)))
        };
        if solves && !known() {
            return Err(Error::new(if names.is_empty() {
                "a solution was found that could not be proved".to_string()
            } else {
                format!(
                    "{candidate:?} is a solution for some values of {} and not for others; assume their signs, as in \
                     Symbol.variable(\"{}\", positive=True)",
                    names.join(", "),
                    names[0]
                )
            }));
        }
    }
    Ok(())
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
            [first, second]
                if let Some((angle, sine, tangents)) =
                    same_angle(context, &factor, *first, *second) =>
            {
                for value in roots(context, &tangents, sine)? {
                    let value = call(Function::Atan, value);
                    found.extend(solutions(context, &angle, value, name)?);
                }
            }
            _ => match without_logarithms(context, &factor, &varying)? {
                Some(sides) => {
                    for side in sides {
                        found.extend(zeros(context, &side, name)?);
                    }
                }
                None => return Err(several(name)),
            },
        }
    }
    Ok(found)
}

/// For Σ cᵢ·log|bᵢ| + k with whole multiples cᵢ of one number: the polynomials one of which vanishes where that does,
/// from Π |bᵢ|^cᵢ = exp(−k) with either sign of the product.
fn without_logarithms(
    context: &mut Context,
    factor: &Polynomial,
    varying: &[u32],
) -> Result<Option<Vec<Polynomial>>> {
    /// The largest power of a logarithm's argument.
    const LARGEST: i64 = 24;
    let mut rest = factor.clone();
    let mut logarithms = Vec::new();
    for &generator in varying {
        let Kernel::Log(b) = context.table.get(generator).clone() else {
            return Ok(None);
        };
        let linear = factor.coefficients_in(generator);
        let [_, coefficient] = linear.as_slice() else {
            return Ok(None);
        };
        let Some(coefficient) = coefficient.as_constant() else {
            return Ok(None);
        };
        rest = rest.sub(&Polynomial::generator(generator).scale(&coefficient));
        logarithms.push((b, coefficient));
    }
    let common = logarithms
        .iter()
        .fold(BigInt::one(), |all, (_, c)| all.lcm(c.denom()));
    let common = BigRational::from_integer(common);
    let constant = Fraction::polynomial(rest).scale(&-common.clone());
    let mut right = context.exponential(&constant)?;
    let mut left = Fraction::one();
    for (b, coefficient) in logarithms {
        let power = (coefficient * &common).to_integer().to_i64();
        let Some(power) = power.filter(|power| power.abs() <= LARGEST) else {
            return Ok(None);
        };
        let side = if power > 0 { &mut left } else { &mut right };
        let raised = context.powi(&Fraction::polynomial(b), power.abs())?;
        *side = context.mul(side, &raised)?;
    }
    let (difference, sum) = (
        context.add(&left, &right.neg())?,
        context.add(&left, &right)?,
    );
    Ok(Some(vec![difference.num, sum.num]))
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
            [Some(a), Some(b), Some(c), Some(d)] => Ok(cubic(a, b, c, d)),
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

/// The real roots of an irreducible a·x³ + b·x² + c·x + d: one by Cardano's formula, or three by Viète's, which takes
/// a third of an angle.
fn cubic(a: &BigRational, b: &BigRational, c: &BigRational, d: &BigRational) -> Vec<Expression> {
    let number = |n: i64| BigRational::from_integer(n.into());
    let shift = b / (a * number(3));
    // x = t − b/(3a), t³ + p·t + q.
    let p = c / a - &shift * &shift * number(3);
    let q = &shift * &shift * &shift * number(2) - &shift * c / a + d / a;
    let discriminant = &q * &q / number(4) + &p * &p * &p / number(27);
    let constant = |value: &BigRational| Expression::rational(value.clone());
    if discriminant.is_negative() {
        // t = 2√(−p/3)·cos φ makes 4cos³φ − 3cos φ = cos 3φ of the equation.
        let radius = mul(Expression::integer(2), sqrt(constant(&(-&p / number(3)))));
        let cosine = mul(
            constant(&(&q * number(3) / (&p * number(2)))),
            sqrt(constant(&(-number(3) / &p))),
        );
        let angle = div(call(Function::Acos, cosine), Expression::integer(3));
        let turn = |k: i64| mul(Expression::ratio(2 * k, 3), Expression::pi());
        let root = |k| {
            let angle = if k == 0 {
                angle.clone()
            } else {
                sub(turn(k), angle.clone())
            };
            sub(
                mul(radius.clone(), call(Function::Cos, angle)),
                constant(&shift),
            )
        };
        return (0..3).map(root).collect();
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
    let t = add(u.clone(), div(constant(&(-&p / number(3))), u));
    vec![sub(t, constant(&shift))]
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
