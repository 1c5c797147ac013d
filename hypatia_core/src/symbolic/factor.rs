//! Irreducible factors of polynomials over the rationals.
//!
//! Square-free parts first; in one variable then factors modulo a prime that are lifted (`integer_factor`), in several
//! Kronecker's substitution, after quicker looks. What is found is multiplied again and compared.

use std::cmp::Reverse;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::budget::Budget;
use super::gcd::gcd;
use super::integer_factor::{Subset, irreducible_factors};
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use crate::error::{Error, Result};

/// A number and irreducible primitive factors with multiplicities, in a fixed order.
///
/// # Errors
/// When the budget is spent, or the substituted polynomial of several variables would be too large.
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
    let mut product = Polynomial::constant(content.clone());
    for (factor, multiplicity) in &factors {
        product = product.mul(&factor.pow(*multiplicity, budget)?, budget)?;
    }
    if product != *polynomial {
        return Err(Error::new(
            "the factors that were found do not multiply to the polynomial",
        ));
    }
    // Large coefficients first, positive ones first among equals.
    let shape = |p: &Polynomial| -> Vec<(Reverse<BigInt>, bool)> {
        let terms = p.terms().iter();
        terms
            .map(|(_, c)| (Reverse(c.numer().abs()), c.is_negative()))
            .collect()
    };
    factors.sort_by(|a, b| {
        let size = |p: &Polynomial| (p.terms().len(), p.terms().first().map(|(m, _)| m.degree()));
        size(&a.0)
            .cmp(&size(&b.0))
            .then_with(|| b.0.terms().first().cmp(&a.0.terms().first()))
            .then_with(|| shape(&a.0).cmp(&shape(&b.0)))
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

/// The irreducible factors of a primitive square-free polynomial.
fn split(polynomial: Polynomial, budget: &mut Budget) -> Result<Vec<Polynomial>> {
    let mut pending = vec![polynomial];
    let mut done = Vec::new();
    while let Some(next) = pending.pop() {
        match proper_factors(&next, budget)? {
            Some(factors) => pending.extend(factors),
            None => done.push(next),
        }
    }
    Ok(done)
}

/// Proper factors whose product this is; none of an irreducible polynomial.
fn proper_factors(polynomial: &Polynomial, budget: &mut Budget) -> Result<Option<Vec<Polynomial>>> {
    let generators = polynomial.generators();
    if let [generator] = generators[..] {
        let factors = irreducible_factors(&integers(polynomial, generator), budget)?;
        return Ok((factors.len() > 1).then(|| {
            factors
                .iter()
                .map(|factor| from_integers(factor, generator))
                .collect()
        }));
    }
    // What some generator does not occur in divides all coefficients of that generator's powers.
    for &generator in &generators {
        let mut content = Polynomial::zero();
        for coefficient in polynomial.coefficients_in(generator) {
            content = gcd(&content, &coefficient, budget)?;
        }
        if content.as_constant().is_none() {
            return divided(polynomial, &content, budget);
        }
    }
    if generators.iter().any(|g| polynomial.degree_in(*g) == 1) {
        return Ok(None);
    }
    if let Some(&generator) = generators.iter().find(|g| polynomial.degree_in(**g) == 2) {
        return match quadratic_factor(polynomial, generator, budget)? {
            Some(factor) => divided(polynomial, &factor, budget),
            None => Ok(None),
        };
    }
    if let Some(flat) = dehomogenized(polynomial, generators[0]) {
        let factors = split(flat, budget)?;
        return Ok((factors.len() > 1).then(|| {
            factors
                .iter()
                .map(|factor| homogenized(factor, generators[0]))
                .collect()
        }));
    }
    if irreducible_at_a_point(polynomial, &generators, budget)? {
        return Ok(None);
    }
    kronecker(polynomial, &generators, budget)
}

/// The factor and the rest.
fn divided(
    polynomial: &Polynomial,
    factor: &Polynomial,
    budget: &mut Budget,
) -> Result<Option<Vec<Polynomial>>> {
    Ok(polynomial
        .div_exact(factor, budget)?
        .map(|rest| vec![factor.primitive().1, rest.primitive().1]))
}

/// The coefficients of a primitive polynomial in one generator.
fn integers(polynomial: &Polynomial, generator: u32) -> Vec<BigInt> {
    polynomial
        .coefficients_in(generator)
        .iter()
        .map(|c| c.leading().to_integer())
        .collect()
}

fn from_integers(coefficients: &[BigInt], generator: u32) -> Polynomial {
    let terms = coefficients.iter().enumerate().map(|(exponent, c)| {
        let monomial = Monomial::power(generator, exponent as u32);
        (monomial, BigRational::from_integer(c.clone()))
    });
    Polynomial::from_map(terms.collect())
}

/// Where all terms have one degree, the polynomial with one generator set to one.
fn dehomogenized(polynomial: &Polynomial, generator: u32) -> Option<Polynomial> {
    let degree = polynomial.terms().first()?.0.degree();
    let homogeneous = polynomial.terms().iter().all(|(m, _)| m.degree() == degree);
    homogeneous.then(|| polynomial.at(generator, &BigInt::one()).primitive().1)
}

/// The primitive polynomial with each term raised to the greatest degree by the generator.
fn homogenized(polynomial: &Polynomial, generator: u32) -> Polynomial {
    let degree = polynomial
        .terms()
        .iter()
        .map(|(m, _)| m.degree())
        .max()
        .unwrap_or(0);
    let terms = polynomial.terms().iter().map(|(monomial, c)| {
        let missing = Monomial::power(generator, (degree - monomial.degree()) as u32);
        (monomial.mul(&missing), c.clone())
    });
    Polynomial::from_map(terms.collect()).primitive().1
}

/// Whether numbers in place of all generators but one leave an irreducible polynomial of the same degree: then there
/// is no factor in which that generator occurs but the whole, and there are no others.
fn irreducible_at_a_point(
    polynomial: &Polynomial,
    generators: &[u32],
    budget: &mut Budget,
) -> Result<bool> {
    const POINTS: i64 = 3;
    let Some(&main) = generators.iter().min_by_key(|g| polynomial.degree_in(**g)) else {
        return Ok(false);
    };
    for point in 1..=POINTS {
        let mut image = polynomial.clone();
        for (index, generator) in (1..).zip(generators.iter().filter(|g| **g != main)) {
            budget.spend(image.terms().len())?;
            image = image.at(*generator, &BigInt::from(point * (2 * index + 1) + 1));
        }
        if image.degree_in(main) < polynomial.degree_in(main) {
            continue;
        }
        let image = image.primitive().1;
        let repeated = gcd(&image, &image.derivative(main), budget)?;
        if repeated.as_constant().is_some()
            && irreducible_factors(&integers(&image, main), budget)?.len() == 1
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Factors by Kronecker's substitution: powers of one variable for the generators, so far apart that a product of
/// the image's factors tells the only polynomial it may come from. Every factor is verified by division.
fn kronecker(
    polynomial: &Polynomial,
    generators: &[u32],
    budget: &mut Budget,
) -> Result<Option<Vec<Polynomial>>> {
    /// Degrees of the image beyond which the steps would run out.
    const LARGEST: u64 = 20_000;
    let mut places = Vec::new();
    let mut room = 1u64;
    for &generator in generators {
        places.push((generator, room));
        room = room.saturating_mul(u64::from(polynomial.degree_in(generator)) + 1);
    }
    if room > LARGEST {
        return Err(Error::new(format!(
            "the limit of {LARGEST} for the degree of a substituted polynomial was reached"
        )));
    }
    let variable = generators[0];
    let image = polynomial.terms().iter().map(|(monomial, c)| {
        let exponent: u64 = places
            .iter()
            .map(|(g, place)| u64::from(monomial.exponent(*g)) * place)
            .sum();
        (Monomial::power(variable, exponent as u32), c.clone())
    });
    let image = Polynomial::from_map(image.collect());
    let mut parts: Vec<Vec<BigInt>> = Vec::new();
    let common = image.monomial_content();
    for _ in 0..common.exponent(variable) {
        parts.push(vec![BigInt::zero(), BigInt::one()]);
    }
    let rest = image.div_monomial(&common).unwrap_or_else(Polynomial::one);
    for (part, multiplicity) in square_free(&rest.primitive().1, budget)? {
        for factor in irreducible_factors(&integers(&part, variable), budget)? {
            parts.extend(std::iter::repeat_n(factor, multiplicity as usize));
        }
    }
    for size in 1..=parts.len() / 2 {
        let mut chosen = Subset::first(size);
        loop {
            budget.spend(room as usize)?;
            let product = chosen
                .places
                .iter()
                .try_fold(Polynomial::one(), |product, place| {
                    product.mul(&from_integers(&parts[*place], variable), budget)
                })?;
            let candidate = product.terms().iter().map(|(monomial, c)| {
                let mut exponent = u64::from(monomial.exponent(variable));
                let mut factors = Monomial::one();
                for (generator, place) in places.iter().rev() {
                    factors = Monomial::power(*generator, (exponent / place) as u32).mul(&factors);
                    exponent %= place;
                }
                (factors, c.clone())
            });
            let candidate = Polynomial::from_map(candidate.collect());
            if candidate.as_constant().is_none()
                && let Some(factors) = divided(polynomial, &candidate, budget)?
            {
                return Ok(Some(factors));
            }
            if !chosen.advance(parts.len()) {
                break;
            }
        }
    }
    Ok(None)
}

/// a·g² + b·g + c splits when its discriminant is a square.
fn quadratic_factor(
    polynomial: &Polynomial,
    generator: u32,
    budget: &mut Budget,
) -> Result<Option<Polynomial>> {
    let coefficients = polynomial.coefficients_in(generator);
    let [c, b, a] = &coefficients[..] else {
        return Ok(None);
    };
    let square = b.mul(b, budget)?;
    let product = a
        .mul(c, budget)?
        .scale(&BigRational::from_integer(4.into()));
    let Some(root) = square_root(&square.sub(&product), budget)? else {
        return Ok(None);
    };
    // 2a·g + b − √(b² − 4ac), without what it shares with its coefficients.
    let power = Polynomial::term(
        Monomial::power(generator, 1),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// x, y and z.
    fn generators() -> [Polynomial; 3] {
        [0, 1, 2].map(Polynomial::generator)
    }

    fn count(polynomial: &Polynomial) -> u32 {
        let found =
            factor_polynomial(polynomial, &mut Budget::new(1 << 40)).expect("within the limit");
        found.1.iter().map(|(_, multiplicity)| multiplicity).sum()
    }

    #[test]
    fn products_fall_apart_into_as_many_factors() {
        let [x, y, z] = generators();
        let mut budget = Budget::new(u64::MAX);
        let mut power = |p: &Polynomial, n: u32| p.pow(n, &mut budget).expect("no limit");
        let one = Polynomial::one();
        // Irreducible ones: cubics and more in every variable too.
        let irreducible = [
            x.add(&y),
            power(&x, 3).add(&power(&y, 3)).add(&power(&z, 3)).add(&one),
            power(&x, 4)
                .add(&y.scale(&BigRational::from_integer(3.into())))
                .add(&power(&y, 3)),
            power(&x, 3).add(&power(&y, 4)).sub(&Polynomial::integer(2)),
            power(&x, 4).add(&one),
            power(&y, 3).sub(&Polynomial::integer(2)),
            power(&x, 4).add(&power(&y, 4)),
        ];
        for a in &irreducible {
            assert_eq!(count(a), 1, "{a:?}");
            for b in &irreducible {
                let product = a.mul(b, &mut Budget::new(u64::MAX)).expect("no limit");
                assert_eq!(count(&product), 2, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn textbook_polynomials() {
        let [x, y, _] = generators();
        let mut budget = Budget::new(u64::MAX);
        let mut power = |p: &Polynomial, n: u32| p.pow(n, &mut budget).expect("no limit");
        let four = Polynomial::integer(4);
        assert_eq!(count(&power(&x, 4).add(&four)), 2);
        assert_eq!(
            count(&power(&x, 4).add(&power(&y, 4).mul(&four, &mut Budget::new(99)).expect("few"))),
            2
        );
        assert_eq!(count(&power(&x, 12).sub(&power(&y, 12))), 6);
        // Of degree one in y, and yet three factors.
        let line = power(&x, 2).sub(&Polynomial::one());
        assert_eq!(
            count(&line.mul(&x.add(&y), &mut Budget::new(99)).expect("few")),
            3
        );
    }
}
