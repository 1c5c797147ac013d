//! Factors of polynomials over the rationals: square-free parts, linear factors and quadratic splits.
//!
//! What it finds multiplies back to the polynomial. It is not complete: a factor of degree three or more in every
//! variable, in a polynomial without linear or quadratic structure, stays whole.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::budget::Budget;
use super::gcd::{gcd, small_primes};
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use crate::error::Result;

/// A number and primitive factors with multiplicities, in a fixed order.
///
/// # Errors
/// When the budget is spent.
pub fn factor_polynomial(
    polynomial: &Polynomial,
    budget: &mut Budget,
) -> Result<(BigRational, Vec<(Polynomial, u32)>)> {
    let (content, primitive) = polynomial.primitive();
    let common = primitive.monomial_content();
    let mut factors: Vec<(Polynomial, u32)> = common
        .0
        .iter()
        .map(|&(generator, exponent)| (Polynomial::generator(generator), exponent))
        .collect();
    let rest = primitive
        .div_monomial(&common)
        .unwrap_or_else(Polynomial::one);
    for (part, multiplicity) in square_free(&rest, budget)? {
        for factor in split(part, budget)? {
            factors.push((factor, multiplicity));
        }
    }
    factors.sort_by(|a, b| {
        let size = |p: &Polynomial| (p.terms().len(), p.terms().first().map(|(m, _)| m.degree()));
        size(&a.0)
            .cmp(&size(&b.0))
            .then_with(|| b.0.terms().first().cmp(&a.0.terms().first()))
            .then(a.1.cmp(&b.1))
    });
    Ok((content, factors))
}

/// Square-free parts with their multiplicities (Yun's scheme by repeated gcds).
fn square_free(polynomial: &Polynomial, budget: &mut Budget) -> Result<Vec<(Polynomial, u32)>> {
    let mut found = Vec::new();
    let Some(generator) = polynomial.generators().first().copied() else {
        return Ok(found);
    };
    // Factors free of the first generator are the content in it.
    let mut content = Polynomial::zero();
    for coefficient in polynomial.coefficients_in(generator) {
        content = gcd(&content, &coefficient, budget)?;
    }
    let main = polynomial
        .div_exact(&content, budget)?
        .unwrap_or_else(|| polynomial.clone())
        .primitive()
        .1;
    if content.as_constant().is_none() {
        found.extend(square_free(&content.primitive().1, budget)?);
    }
    let mut repeated = gcd(&main, &main.derivative(generator), budget)?;
    let mut radical = main
        .div_exact(&repeated, budget)?
        .unwrap_or_else(|| main.clone());
    let mut multiplicity = 1;
    while radical.as_constant().is_none() {
        let next = gcd(&radical, &repeated, budget)?;
        let part = radical
            .div_exact(&next, budget)?
            .unwrap_or_else(Polynomial::one)
            .primitive()
            .1;
        if part.as_constant().is_none() {
            found.push((part, multiplicity));
        }
        repeated = repeated
            .div_exact(&next, budget)?
            .unwrap_or_else(Polynomial::one);
        radical = next;
        multiplicity += 1;
    }
    Ok(found)
}

/// The factors of a primitive square-free polynomial that the methods here find.
fn split(polynomial: Polynomial, budget: &mut Budget) -> Result<Vec<Polynomial>> {
    let mut pending = vec![polynomial];
    let mut done = Vec::new();
    while let Some(next) = pending.pop() {
        match one_factor(&next, budget)? {
            Some(factor) => {
                let rest = next
                    .div_exact(&factor, budget)?
                    .unwrap_or_else(Polynomial::one)
                    .primitive()
                    .1;
                pending.push(factor.primitive().1);
                if rest.as_constant().is_none() {
                    pending.push(rest);
                }
            }
            None => done.push(next),
        }
    }
    Ok(done)
}

/// A proper factor.
fn one_factor(polynomial: &Polynomial, budget: &mut Budget) -> Result<Option<Polynomial>> {
    let generators = polynomial.generators();
    for &generator in &generators {
        if polynomial.degree_in(generator) == 1 {
            return Ok(None);
        }
    }
    if let [generator] = generators.as_slice()
        && let Some(root) = rational_root(polynomial, *generator)
    {
        let line = Polynomial::generator(*generator).sub(&Polynomial::constant(root));
        return Ok(Some(line.primitive().1));
    }
    for &generator in &generators {
        for step in [1, 2, 3] {
            if let Some(factor) = quadratic_factor(polynomial, generator, step, budget)?
                && factor.as_constant().is_none()
                && factor != *polynomial
                && polynomial.div_exact(&factor, budget)?.is_some()
            {
                return Ok(Some(factor));
            }
        }
        if let Some(factor) = cubes(polynomial, generator, budget)? {
            return Ok(Some(factor));
        }
    }
    Ok(None)
}

/// a·y² + b·y + c with y = gˢ splits when its discriminant is a square.
fn quadratic_factor(
    polynomial: &Polynomial,
    generator: u32,
    step: usize,
    budget: &mut Budget,
) -> Result<Option<Polynomial>> {
    let coefficients = polynomial.coefficients_in(generator);
    if coefficients.len() != 2 * step + 1
        || coefficients
            .iter()
            .enumerate()
            .any(|(i, c)| i % step != 0 && !c.is_zero())
    {
        return Ok(None);
    }
    let (c, b, a) = (
        &coefficients[0],
        &coefficients[step],
        &coefficients[2 * step],
    );
    let square = b.mul(b, budget)?;
    let product = a
        .mul(c, budget)?
        .scale(&BigRational::from_integer(4.into()));
    let Some(root) = square_root(&square.sub(&product), budget)? else {
        return Ok(None);
    };
    // 2a·y + b − √(b² − 4ac), without what it shares with its coefficients.
    let power = Polynomial::term(
        Monomial::power(generator, step as u32),
        BigRational::from_integer(2.into()),
    );
    let line = a.mul(&power, budget)?.add(&b.sub(&root));
    let mut shared = Polynomial::zero();
    for coefficient in line.coefficients_in(generator) {
        shared = gcd(&shared, &coefficient, budget)?;
    }
    Ok(line
        .div_exact(&shared, budget)?
        .map(|line| line.primitive().1))
}

/// u³ ± v³ for monomials: the factor u ± v.
fn cubes(
    polynomial: &Polynomial,
    generator: u32,
    budget: &mut Budget,
) -> Result<Option<Polynomial>> {
    let [(first, a), (second, b)] = polynomial.terms() else {
        return Ok(None);
    };
    if first.exponent(generator) == 0 {
        return Ok(None);
    }
    let cube_root = |monomial: &Monomial, c: &BigRational| -> Option<Polynomial> {
        let root = |n: &BigInt| {
            let root = n.cbrt();
            (root.pow(3) == *n).then_some(root)
        };
        let factors = monomial
            .0
            .iter()
            .map(|&(g, e)| (e % 3 == 0).then_some((g, e / 3)))
            .collect::<Option<_>>()?;
        Some(Polynomial::term(
            Monomial(factors),
            BigRational::new(root(c.numer())?, root(c.denom())?),
        ))
    };
    let (Some(u), Some(v)) = (cube_root(first, a), cube_root(second, b)) else {
        return Ok(None);
    };
    let factor = u.add(&v);
    Ok(polynomial
        .div_exact(&factor, budget)?
        .map(|_| factor.primitive().1))
}

/// The polynomial whose square this is.
fn square_root(polynomial: &Polynomial, budget: &mut Budget) -> Result<Option<Polynomial>> {
    if polynomial.is_zero() {
        return Ok(Some(Polynomial::zero()));
    }
    let (content, primitive) = polynomial.primitive();
    let Some(number) = super::build::exact_square_root(&content) else {
        return Ok(None);
    };
    let common = primitive.monomial_content();
    let Some(halves) = common
        .0
        .iter()
        .map(|&(g, e)| (e % 2 == 0).then_some((g, e / 2)))
        .collect::<Option<_>>()
    else {
        return Ok(None);
    };
    let mut root = Polynomial::term(Monomial(halves), number);
    let rest = primitive
        .div_monomial(&common)
        .unwrap_or_else(Polynomial::one);
    for (part, multiplicity) in square_free(&rest, budget)? {
        if multiplicity % 2 == 1 {
            return Ok(None);
        }
        root = root.mul(&part.pow(multiplicity / 2, budget)?, budget)?;
    }
    let again = root.mul(&root, budget)?;
    Ok((again == *polynomial).then_some(root))
}

/// A rational zero of a polynomial in one generator, by the rational root theorem.
pub fn rational_root(polynomial: &Polynomial, generator: u32) -> Option<BigRational> {
    /// Candidates beyond which the search is given up.
    const MANY: usize = 20_000;
    let (_, primitive) = polynomial.primitive();
    let coefficients: Vec<BigInt> = primitive
        .coefficients_in(generator)
        .iter()
        .map(|c| c.leading().to_integer())
        .collect();
    let (constant, lead) = (coefficients.first()?, coefficients.last()?);
    if constant.is_zero() {
        return Some(BigRational::zero());
    }
    let value = |x: &BigRational| {
        coefficients
            .iter()
            .rev()
            .fold(BigRational::zero(), |sum, c| {
                sum * x + BigRational::from_integer(c.clone())
            })
    };
    let (tops, bottoms) = (divisors(constant)?, divisors(lead)?);
    if tops.len() * bottoms.len() > MANY {
        return None;
    }
    for top in &tops {
        for bottom in bottoms.iter().filter(|bottom| bottom.gcd(top).is_one()) {
            for candidate in [
                BigRational::new(top.clone(), bottom.clone()),
                BigRational::new(-top, bottom.clone()),
            ] {
                if value(&candidate).is_zero() {
                    return Some(candidate);
                }
            }
        }
    }
    None
}

/// The positive divisors, when the number factors easily.
fn divisors(value: &BigInt) -> Option<Vec<BigInt>> {
    let mut found = vec![BigInt::one()];
    for (prime, exponent) in small_primes(&value.abs()) {
        let known = found.clone();
        let mut power = BigInt::one();
        for _ in 0..exponent.to_u32()? {
            power *= &prime;
            found.extend(known.iter().map(|divisor| divisor * &power));
        }
        if found.len() > 4_000 {
            return None;
        }
    }
    Some(found)
}
