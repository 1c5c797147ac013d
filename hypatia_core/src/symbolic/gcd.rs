//! Greatest common divisors by evaluation at a large integer (the heuristic of Char, Geddes and Gonnet,
//! GCDHEU, 1989). Every answer is verified by division, so a divisor that is found divides.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::budget::Budget;
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use crate::error::Result;

/// Bits beyond which an evaluation point is given up.
const POINT_BITS: u64 = 40_000;

/// A common divisor of both, primitive, the greatest one unless the heuristic gives up.
///
/// # Errors
/// When the budget is spent.
pub fn gcd(left: &Polynomial, right: &Polynomial, budget: &mut Budget) -> Result<Polynomial> {
    if left.is_zero() {
        return Ok(right.primitive().1);
    }
    if right.is_zero() {
        return Ok(left.primitive().1);
    }
    budget.spend(
        left.reduction_steps()
            .saturating_add(right.reduction_steps()),
    )?;
    let common = left.monomial_content().gcd(&right.monomial_content());
    let strip = |p: &Polynomial| {
        let content = p.monomial_content();
        p.div_monomial(&content)
            .unwrap_or_else(|| p.clone())
            .primitive()
            .1
    };
    let (a, b) = (strip(left), strip(right));
    let factor = Polynomial::term(common, BigRational::one());
    if a.as_constant().is_some() || b.as_constant().is_some() {
        return Ok(factor);
    }
    let found = if a == b {
        Some(a)
    } else {
        heuristic(&a, &b, budget)?.map(|g| g.primitive().1)
    };
    found.unwrap_or_else(Polynomial::one).mul(&factor, budget)
}

/// The gcd of two polynomials with integer coefficients, integer content included.
fn heuristic(a: &Polynomial, b: &Polynomial, budget: &mut Budget) -> Result<Option<Polynomial>> {
    if let (Some(x), Some(y)) = (a.as_constant(), b.as_constant()) {
        return Ok(Some(Polynomial::constant(BigRational::from_integer(
            x.numer().gcd(y.numer()),
        ))));
    }
    let (gens_a, gens_b) = (a.generators(), b.generators());
    let Some(&generator) = gens_a.iter().chain(&gens_b).max() else {
        return Ok(None);
    };
    let mut point = (a.height().min(b.height()) * BigInt::from(2)) + BigInt::from(29);
    for _ in 0..6 {
        let degree = u64::from(a.degree_in(generator).max(b.degree_in(generator)));
        if point.bits() * (degree + 1) > POINT_BITS {
            return Ok(None);
        }
        // A value has as many words as the point's power and the coefficients together.
        let words = (point.bits() * degree) as usize / 64 + a.words().max(b.words());
        budget.spend((a.terms().len() + b.terms().len()).saturating_mul(1 + words * words / 16))?;
        let (at_a, at_b) = (a.at(generator, &point), b.at(generator, &point));
        if !at_a.is_zero()
            && !at_b.is_zero()
            && let Some(image) = heuristic(&at_a, &at_b, budget)?
        {
            let content = integer_content(a).gcd(&integer_content(b));
            let candidate = interpolate(&image, generator, &point).primitive().1;
            if a.div_exact(&candidate, budget)?.is_some()
                && b.div_exact(&candidate, budget)?.is_some()
            {
                return Ok(Some(candidate.scale(&BigRational::from_integer(content))));
            }
        }
        point = &point * BigInt::from(73_794) / BigInt::from(27_011) + BigInt::one();
    }
    Ok(None)
}

fn integer_content(p: &Polynomial) -> BigInt {
    p.terms()
        .iter()
        .fold(BigInt::zero(), |common, (_, c)| common.gcd(c.numer()))
}

/// The polynomial whose value at the point this is, with coefficients of least magnitude.
fn interpolate(image: &Polynomial, generator: u32, point: &BigInt) -> Polynomial {
    let half = point / BigInt::from(2);
    let mut rest = image.clone();
    let mut result = Polynomial::zero();
    let mut power = 0;
    while !rest.is_zero() {
        let digit_of = |c: &BigRational| {
            let digit = c.numer().mod_floor(point);
            if digit > half { digit - point } else { digit }
        };
        let digits = rest
            .terms()
            .iter()
            .map(|(m, c)| (m.clone(), BigRational::from_integer(digit_of(c))))
            .collect();
        let digits = Polynomial::from_map(digits);
        rest = rest
            .sub(&digits)
            .scale(&BigRational::new(BigInt::one(), point.clone()));
        let shifted = digits
            .terms()
            .iter()
            .map(|(m, c)| (m.mul(&Monomial::power(generator, power)), c.clone()))
            .collect();
        result = result.add(&Polynomial::from_map(shifted));
        power += 1;
    }
    result
}

/// Splits integers into small prime powers and what is left; for logarithms and roots of numbers.
pub fn small_primes(value: &BigInt) -> Vec<(BigInt, u32)> {
    const LARGEST: u32 = 2000;
    /// Bits beyond which a number stands for itself.
    const FACTORED_BITS: u64 = 2048;
    let mut rest = value.abs();
    if rest.bits() > FACTORED_BITS {
        return vec![(rest, 1)];
    }
    let mut found = Vec::new();
    let mut prime = 2u32;
    while prime <= LARGEST && BigInt::from(prime) * prime <= rest {
        let divisor = BigInt::from(prime);
        let mut exponent = 0;
        while rest.is_multiple_of(&divisor) {
            rest /= &divisor;
            exponent += 1;
        }
        if exponent > 0 {
            found.push((divisor, exponent));
        }
        prime += if prime == 2 { 1 } else { 2 };
    }
    if rest > BigInt::one() {
        found.push((rest, 1));
    }
    found
}
