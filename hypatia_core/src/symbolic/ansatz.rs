//! The terms that an antiderivative may have, by the kernels and the factors of the integrand.

use std::collections::BTreeSet;
use std::sync::Arc;

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::build::{add, call, div, mul, neg, one, powi, sqrt, sub};
use super::canonical::Context;
use super::expression::Expression;
use super::factor::factor_polynomial;
use super::function::Function;
use super::integrate::STEPS;
use super::kernel::{Fraction, Kernel};
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use super::sign::SignSet;
use crate::error::Result;

/// Terms an ansatz may have.
pub(super) const TERMS: usize = 90;

/// Which logarithms are among the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logarithms {
    /// None of factors of a radicand: they would take the root apart.
    Few,
    All,
}

/// Whether the generator varies with the variable.
pub(super) fn depends(context: &Context, generator: u32, name: &str) -> bool {
    let kernel = Fraction::polynomial(Polynomial::generator(generator));
    context.to_expression(&kernel).variables().contains(name)
}

/// The terms an antiderivative may have.
pub(super) fn ansatz(
    context: &mut Context,
    form: &Fraction,
    slope: &Fraction,
    name: &str,
    logarithms: Logarithms,
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
        match context.table.get(generator).clone() {
            // A sine needs its cosine.
            Kernel::Sin(u) => {
                generators.insert(context.table.number(Kernel::Cos(u)));
            }
            Kernel::Cos(u) => {
                generators.insert(context.table.number(Kernel::Sin(u)));
            }
            // The slope of the error function.
            Kernel::Erf(u) => {
                let square = context.mul(&u, &u)?;
                let bell = context.exponential(&square.neg())?;
                for side in [&bell.num, &bell.den] {
                    generators.extend(side.generators());
                }
            }
            _ => {}
        }
    }
    let radicands: Vec<Polynomial> = generators
        .iter()
        .filter_map(|&g| match context.table.get(g) {
            Kernel::Root(b, _) => Some(b.clone()),
            _ => None,
        })
        .collect();
    let mut budget = super::budget::Budget::new(STEPS);
    let mut under_a_root = |factor: &Polynomial| -> Result<bool> {
        for radicand in &radicands {
            if radicand.div_exact(factor, &mut budget)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    for (factor, _) in factor_polynomial(&slope.den, &mut super::budget::Budget::new(STEPS))?.1 {
        let varies = factor
            .generators()
            .iter()
            .any(|&g| depends(context, g, name));
        let wanted = logarithms == Logarithms::All || !under_a_root(&factor)?;
        if form.den.is_one() && varies && wanted {
            let base = context.to_expression(&Fraction::polynomial(factor.clone()));
            terms.push(log_abs(base));
            terms.extend(by_factor(context, &factor, x_generator));
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
        // 1/(1 + cos x) has the slope sin x/(1 + cos x)², in which sin² x has the factor too.
        let circular = factor
            .generators()
            .iter()
            .any(|&g| matches!(context.table.get(g), Kernel::Cos(_) | Kernel::Sin(_)));
        let kept = if varies && !exponential && !circular {
            multiplicity - 1
        } else {
            *multiplicity
        };
        lowered = lowered.mul(&factor.pow(kept, &mut budget)?, &mut budget)?;
        if varies && (logarithms == Logarithms::All || !under_a_root(factor)?) {
            let base = context.to_expression(&Fraction::polynomial(factor.clone()));
            terms.push(log_abs(base));
            terms.extend(by_factor(context, factor, x_generator));
            for radicand in &radicands {
                terms.extend(beside_root(context, factor, radicand, x_generator));
            }
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

fn log_abs(argument: Expression) -> Expression {
    call(Function::Log, call(Function::Abs, argument))
}

/// What integrals of the inverse of a factor in one generator suggest.
fn by_factor(context: &mut Context, factor: &Polynomial, x: u32) -> Vec<Expression> {
    let [y] = factor.generators()[..] else {
        // Letters: a quadratic in the variable itself.
        return by_quadratic(context, factor, x);
    };
    let mut terms = by_quadratic(context, factor, y);
    terms.extend(by_biquadratic(context, factor, y));
    match context.table.get(y).clone() {
        // In the sine: c² = 1 − s².
        Kernel::Cos(u) if factor.degree_in(y) == 2 => {
            let [c0, c1, c2] = &factor.coefficients_in(y)[..] else {
                return terms;
            };
            if c1.is_zero() {
                let sine = context.table.number(Kernel::Sin(u));
                let turned = [c0.add(c2), Polynomial::zero(), c2.neg()];
                let turned = Polynomial::from_coefficients(sine, &turned);
                terms.extend(by_quadratic(context, &turned, sine));
            }
        }
        Kernel::Cos(u) if factor.degree_in(y) == 1 => {
            terms.extend(by_half_angle(context, factor, y, &u, true));
        }
        Kernel::Sin(u) if factor.degree_in(y) == 1 => {
            terms.extend(by_half_angle(context, factor, y, &u, false));
        }
        _ => {}
    }
    terms
}

/// For a quadratic factor a·y² + b·y + c: atan((2a·y + b)/√(4ac − b²)), or the logarithms of its irrational factors.
fn by_quadratic(context: &Context, factor: &Polynomial, y: u32) -> Vec<Expression> {
    let Some([c, b, a]) = quadratic(context, factor, y) else {
        return Vec::new();
    };
    let y = context.to_expression(&Fraction::polynomial(Polynomial::generator(y)));
    let rest = sub(
        mul(Expression::integer(4), mul(a.clone(), c)),
        powi(b.clone(), 2),
    );
    let top = add(mul(mul(Expression::integer(2), a), y), b);
    match rest.as_rational() {
        Some(value) if value.is_zero() => Vec::new(),
        Some(value) if value.is_negative() => {
            let root = sqrt(neg(rest));
            vec![
                log_abs(sub(top.clone(), root.clone())),
                log_abs(add(top, root)),
            ]
        }
        _ => vec![call(Function::Atan, div(top, sqrt(rest)))],
    }
}

/// For y⁴ + p·y² + q with q > 0 and no rational factors: what its factors y² ± r·y + √q suggest, r² = 2√q − p > 0.
fn by_biquadratic(context: &Context, factor: &Polynomial, y: u32) -> Vec<Expression> {
    let coefficients: Option<Vec<BigRational>> = factor
        .coefficients_in(y)
        .iter()
        .map(Polynomial::as_constant)
        .collect();
    let Some([q, c1, p, c3, a]) = coefficients.as_deref() else {
        return Vec::new();
    };
    let (p, q) = (p / a, q / a);
    if !c1.is_zero()
        || !c3.is_zero()
        || !q.is_positive()
        || p.is_positive() && &p * &p >= &q * BigRational::from_integer(4.into())
    {
        return Vec::new();
    }
    let y = context.to_expression(&Fraction::polynomial(Polynomial::generator(y)));
    let middle = sqrt(Expression::rational(q));
    let twice = mul(Expression::integer(2), middle.clone());
    let (r, rest) = (
        sqrt(sub(twice.clone(), Expression::rational(p.clone()))),
        sqrt(add(twice, Expression::rational(p))),
    );
    let mut terms = Vec::new();
    for r in [r.clone(), neg(r)] {
        let square = add(powi(y.clone(), 2), mul(r.clone(), y.clone()));
        terms.push(log_abs(add(square, middle.clone())));
        let top = add(mul(Expression::integer(2), y.clone()), r);
        terms.push(call(Function::Atan, div(top, rest.clone())));
    }
    terms
}

/// For a + b·cos u or a + b·sin u: the inverse functions of tan(u/2), which is sin u/(1 + cos u).
fn by_half_angle(
    context: &Context,
    factor: &Polynomial,
    y: u32,
    angle: &Fraction,
    cosine: bool,
) -> Vec<Expression> {
    let coefficients = factor.coefficients_in(y);
    let constants: Option<Vec<BigRational>> =
        coefficients.iter().map(Polynomial::as_constant).collect();
    let Some([a, b]) = constants.as_deref() else {
        return Vec::new();
    };
    let difference = a * a - b * b;
    if difference.is_zero() {
        return Vec::new();
    }
    let u = context.to_expression(angle);
    let tangent = div(
        call(Function::Sin, u.clone()),
        add(one(), call(Function::Cos, u)),
    );
    let number = |value: BigRational| Expression::rational(value);
    // (a − b)·t for the cosine, a·t + b for the sine, over √|a² − b²|.
    let top = if cosine {
        mul(number(a - b), tangent)
    } else {
        add(mul(number(a.clone()), tangent), number(b.clone()))
    };
    let root = sqrt(number(difference.abs()));
    if difference.is_positive() {
        vec![call(Function::Atan, div(top, root))]
    } else {
        vec![
            log_abs(sub(top.clone(), root.clone())),
            log_abs(add(top, root)),
        ]
    }
}

/// For a factor that is linear in the variable beside √b: of a linear b by y = √b, of a quadratic one by the inverse of
/// the distance to the factor's zero.
fn beside_root(
    context: &mut Context,
    factor: &Polynomial,
    radicand: &Polynomial,
    x: u32,
) -> Vec<Expression> {
    let numbers = |p: &Polynomial| -> Option<Vec<BigRational>> {
        p.coefficients_in(x)
            .iter()
            .map(Polynomial::as_constant)
            .collect()
    };
    let (Some(linear), Some(of_root)) = (numbers(factor), numbers(radicand)) else {
        return Vec::new();
    };
    let [shift, scale] = &linear[..] else {
        return Vec::new();
    };
    let zero = -(shift / scale);
    let mut inside: Vec<BigRational> = of_root;
    if context.sign(radicand).within(SignSet::NON_POSITIVE) {
        inside.iter_mut().for_each(|c| *c = -c.clone());
    }
    let number = |value: BigRational| Expression::rational(value);
    let variable = context.to_expression(&Fraction::polynomial(Polynomial::generator(x)));
    let value = inside
        .iter()
        .rev()
        .fold(BigRational::zero(), |sum, c| sum * &zero + c);
    if value.is_zero() {
        return Vec::new();
    }
    let under = inside
        .iter()
        .rev()
        .fold(number(BigRational::zero()), |sum, c| {
            add(mul(sum, variable.clone()), number(c.clone()))
        });
    let root = sqrt(under);
    let far = sqrt(number(value.abs()));
    match &inside[..] {
        [_, _] if value.is_negative() => vec![call(Function::Atan, div(root, far))],
        [_, _] => vec![
            log_abs(sub(root.clone(), far.clone())),
            log_abs(add(root, far)),
        ],
        [_, b1, b2] => {
            let two = BigRational::one() + BigRational::one();
            let slope = b1 + &two * b2 * &zero;
            let step = sub(variable, number(zero));
            let top = add(mul(number(slope), step.clone()), number(&two * &value));
            let bottom = mul(mul(number(two), far), root);
            if value.is_negative() {
                vec![call(Function::Atan, div(top, bottom))]
            } else {
                vec![log_abs(div(add(top, bottom), step))]
            }
        }
        _ => Vec::new(),
    }
}

/// Terms that a kernel suggests: inverse functions for roots of quadratics, the error function, half angles.
fn special(
    context: &mut Context,
    generator: u32,
    inverted: bool,
    x_generator: u32,
    x: &Expression,
) -> Vec<Expression> {
    match context.table.get(generator).clone() {
        Kernel::Root(b, 2) => {
            // The radicand is |b|.
            let b = if context.sign(&b).within(SignSet::NON_POSITIVE) {
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
