//! Antiderivatives by an ansatz with unknown coefficients, after the parallel method of Norman and Moore and
//! Bronstein's account of it (Symbolic Integration I, 2nd ed., chapter 10). What is found is differentiated and
//! proved equal to the integrand before it is returned.

use std::collections::BTreeSet;
use std::sync::Arc;

use num_traits::Signed;

use super::build::{add, call, div, mul, neg, powi, sqrt, sub};
use super::canonical::Context;
use super::derivative::derivative;
use super::expression::{Expression, Operator};
use super::factor::factor_polynomial;
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::linear::solve_linear;
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use super::prove::{Assumptions, Status, prove};
use crate::error::{Error, Result};

/// Algebra steps of an integration.
const STEPS: u64 = 20_000_000;
/// Terms an ansatz may have.
const TERMS: usize = 90;

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
    let found = attempt(integrand, name, assumptions)?.ok_or_else(not_found)?;
    let found = super::simplify::simplify(&found, assumptions, super::cost::Cost::Nodes);
    match prove(&derivative(&found, name)?, integrand, assumptions, STEPS).status {
        Status::Proved => Ok(found),
        _ => Err(not_found()),
    }
}

fn attempt(
    integrand: &Expression,
    name: &str,
    assumptions: &Assumptions,
) -> Result<Option<Expression>> {
    let mut context = Context::new(assumptions, STEPS);
    let slope = derivative(integrand, name)?;
    let mut forms = context.canonicalize(&[integrand, &slope])?;
    let (slope, form) = (forms.remove(1), forms.remove(0));
    let terms = ansatz(&mut context, &form, &slope, name)?;
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

/// Whether the generator varies with the variable.
fn depends(context: &Context, generator: u32, name: &str) -> bool {
    let kernel = Fraction::polynomial(Polynomial::generator(generator));
    context.to_expression(&kernel).variables().contains(name)
}

/// The terms an antiderivative may have.
fn ansatz(
    context: &mut Context,
    form: &Fraction,
    slope: &Fraction,
    name: &str,
) -> Result<Vec<Expression>> {
    let x = Expression::variable(name);
    let x_generator = context.table.number(Kernel::Variable(Arc::from(name)));
    let mut terms: Vec<Expression> = Vec::new();
    let mut generators: BTreeSet<u32> = BTreeSet::from([x_generator]);
    // What the derivative of the integrand brings, its integral may need: 1 + x² for atan(x).
    let sides = [&form.num, &form.den, &slope.num, &slope.den];
    for generator in sides.iter().flat_map(|side| side.generators()) {
        // A step function in an antiderivative would hide its jumps.
        let jumps = matches!(
            context.table.get(generator),
            Kernel::Sign(_) | Kernel::Floor(_)
        );
        if jumps || !depends(context, generator, name) {
            continue;
        }
        generators.insert(generator);
        // A sine needs its cosine.
        match context.table.get(generator).clone() {
            Kernel::Sin(u) => generators.insert(context.table.number(Kernel::Cos(u))),
            Kernel::Cos(u) => generators.insert(context.table.number(Kernel::Sin(u))),
            _ => false,
        };
    }
    for (factor, _) in factor_polynomial(&slope.den, &mut super::budget::Budget::new(STEPS))?.1 {
        if form.den.is_one()
            && factor
                .generators()
                .iter()
                .any(|&g| depends(context, g, name))
        {
            let base = context.to_expression(&Fraction::polynomial(factor));
            terms.push(call(Function::Log, call(Function::Abs, base)));
        }
    }
    // The denominator without one power of each factor, and the factors for logarithms.
    let (_, factors) = factor_polynomial(&form.den, &mut super::budget::Budget::new(STEPS))?;
    let mut lowered = Polynomial::one();
    let mut budget = super::budget::Budget::new(STEPS);
    for (factor, multiplicity) in &factors {
        let varies = factor
            .generators()
            .iter()
            .any(|&g| depends(context, g, name));
        let exponential = matches!(factor.terms(), [(m, _)] if matches!(m.0.as_slice(), [(g, 1)] if matches!(context.table.get(*g), Kernel::Exp(_))));
        let kept = if varies && !exponential {
            multiplicity - 1
        } else {
            *multiplicity
        };
        lowered = lowered.mul(&factor.pow(kept, &mut budget)?, &mut budget)?;
        if varies {
            let base = context.to_expression(&Fraction::polynomial(factor.clone()));
            terms.push(call(Function::Log, call(Function::Abs, base)));
            terms.extend(arc_tangent(context, factor, x_generator, &x));
        }
    }
    for &generator in &generators {
        let inverted = form.den.degree_in(generator) > 0;
        terms.extend(special(context, generator, inverted, x_generator, &x));
    }
    // Monomials over the lowered denominator.
    let bottom = context.to_expression(&Fraction::polynomial(lowered.clone()));
    let total = |p: &Polynomial| {
        p.terms()
            .iter()
            .map(|(m, _)| varying_degree(m, &generators))
            .max()
            .unwrap_or(0)
    };
    let degree = total(&form.num).max(total(&lowered)) + 1 + u64::from(generators.len() > 2);
    let mut monomials = vec![Monomial::one()];
    for &generator in &generators {
        let own = form
            .num
            .degree_in(generator)
            .max(lowered.degree_in(generator));
        let most = match context.table.get(generator) {
            Kernel::Exp(_) => own,
            Kernel::Sin(_) => 1,
            _ => own + 1,
        };
        let mut next = Vec::new();
        for monomial in &monomials {
            for power in 0..=most {
                let product = monomial.mul(&Monomial::power(generator, power));
                if product.degree() <= degree {
                    next.push(product);
                }
            }
        }
        monomials = next;
        if monomials.len() > TERMS {
            break;
        }
    }
    let monomials = monomials
        .into_iter()
        .filter(|m| !m.is_one() || !lowered.is_one());
    for monomial in monomials.take(TERMS + 1) {
        let factors = monomial.0.iter().map(|&(generator, power)| {
            let base =
                context.to_expression(&Fraction::polynomial(Polynomial::generator(generator)));
            powi(base, i64::from(power))
        });
        let product = factors
            .reduce(mul)
            .unwrap_or_else(|| Expression::integer(1));
        terms.push(if lowered.is_one() {
            product
        } else {
            div(product, bottom.clone())
        });
    }
    Ok(terms)
}

fn varying_degree(monomial: &Monomial, generators: &BTreeSet<u32>) -> u64 {
    monomial
        .0
        .iter()
        .filter(|(g, _)| generators.contains(g))
        .map(|(_, e)| u64::from(*e))
        .sum()
}

/// The coefficients of a polynomial of degree two in the variable, lowest first.
fn quadratic(context: &Context, p: &Polynomial, x: u32) -> Option<[Expression; 3]> {
    if p.degree_in(x) != 2 {
        return None;
    }
    let coefficients = p.coefficients_in(x);
    let parts: Vec<Expression> = coefficients
        .iter()
        .map(|c| context.to_expression(&Fraction::polynomial(c.clone())))
        .collect();
    <[Expression; 3]>::try_from(parts).ok()
}

/// For an irreducible quadratic factor a·x² + b·x + c: atan((2a·x + b)/√(4ac − b²)).
fn arc_tangent(
    context: &Context,
    factor: &Polynomial,
    x_generator: u32,
    x: &Expression,
) -> Option<Expression> {
    let [c, b, a] = quadratic(context, factor, x_generator)?;
    let rest = sub(
        mul(Expression::integer(4), mul(a.clone(), c)),
        powi(b.clone(), 2),
    );
    if rest.as_rational().is_some_and(|rest| !rest.is_positive()) {
        return None;
    }
    let top = add(mul(mul(Expression::integer(2), a), x.clone()), b);
    Some(call(Function::Atan, div(top, sqrt(rest))))
}

/// Terms that a kernel suggests: inverse functions for roots of quadratics, the error function, half angles.
fn special(
    context: &mut Context,
    generator: u32,
    inverted: bool,
    x_generator: u32,
    x: &Expression,
) -> Vec<Expression> {
    let log_abs = |argument: Expression| call(Function::Log, call(Function::Abs, argument));
    match context.table.get(generator).clone() {
        Kernel::Root(b, 2) => {
            // The radicand is |b|.
            let b = if context.sign(&b).within(super::sign::SignSet::NON_POSITIVE) {
                b.neg()
            } else {
                b
            };
            let Some([c, linear, a]) = quadratic(context, &b, x_generator) else {
                return Vec::new();
            };
            let radicand = context.to_expression(&Fraction::polynomial(b));
            let slope = add(
                mul(mul(Expression::integer(2), a.clone()), x.clone()),
                linear.clone(),
            );
            if a.as_rational().is_some_and(num_traits::Signed::is_negative) {
                let disc = sub(powi(linear, 2), mul(Expression::integer(4), mul(a, c)));
                vec![call(Function::Asin, div(slope, sqrt(disc)))]
            } else {
                let root = mul(
                    mul(Expression::integer(2), sqrt(a)),
                    call(Function::Sqrt, radicand),
                );
                vec![log_abs(add(slope, root))]
            }
        }
        Kernel::Exp(u) if u.den.is_one() && u.num.degree_in(x_generator) == 2 => {
            // exp(−u) is written with exp(u) in the denominator.
            let exponent = if inverted { u.num.neg() } else { u.num };
            let Some([_, linear, a]) = quadratic(context, &exponent, x_generator) else {
                return Vec::new();
            };
            if a.as_rational().is_some_and(|a| !a.is_negative()) {
                return Vec::new();
            }
            let root = sqrt(neg(a));
            let shift = div(linear, mul(Expression::integer(2), root.clone()));
            vec![call(Function::Erf, sub(mul(root, x.clone()), shift))]
        }
        Kernel::Cos(u) | Kernel::Sin(u) => {
            let angle = context.to_expression(&u);
            let unit = || Expression::integer(1);
            [Function::Cos, Function::Sin]
                .into_iter()
                .flat_map(|function| {
                    let value = call(function, angle.clone());
                    [
                        log_abs(add(unit(), value.clone())),
                        log_abs(sub(unit(), value)),
                    ]
                })
                .collect()
        }
        Kernel::Log(_) => vec![log_abs(
            context.to_expression(&Fraction::polynomial(Polynomial::generator(generator))),
        )],
        _ => Vec::new(),
    }
}
