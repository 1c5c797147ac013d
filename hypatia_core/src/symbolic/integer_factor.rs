//! Irreducible factors of polynomials in one variable over the integers (Zassenhaus, 1969): factors modulo a prime are
//! lifted to a power of it (Hensel), and subsets of them that multiply to a divisor are looked for.

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::budget::Budget;
use super::prime_field::{Dense, Frobenius, PrimeField, prime_above};
use crate::error::{Error, Result};

/// Integer coefficients in rising powers; the last is not zero.
pub(super) type Coefficients = Vec<BigInt>;

/// Primes start here: large, so that few lifting steps are needed, and below 2^31.
const FIRST_PRIME: u64 = 1 << 30;
/// Primes of which the one with the fewest factors is taken.
const PRIMES: usize = 3;

/// The irreducible factors of a primitive square-free polynomial of degree one or more.
///
/// # Errors
/// When the budget is spent.
pub(super) fn irreducible_factors(
    polynomial: &[BigInt],
    budget: &mut Budget,
) -> Result<Vec<Coefficients>> {
    if polynomial.len() <= 2 {
        return Ok(vec![polynomial.to_vec()]);
    }
    let (field, modular) = modular_factors(polynomial, budget)?;
    if modular.len() == 1 {
        return Ok(vec![polynomial.to_vec()]);
    }
    let (lifted, modulus) = lift(field, polynomial, modular, budget)?;
    recombine(polynomial, lifted, &modulus, budget)
}

fn reduced(field: PrimeField, polynomial: &[BigInt]) -> Dense {
    let prime = BigInt::from(field.prime);
    let mut image: Dense = polynomial
        .iter()
        .map(|c| c.mod_floor(&prime).to_u64().unwrap_or(0))
        .collect();
    while image.last() == Some(&0) {
        image.pop();
    }
    image
}

/// How a polynomial falls apart modulo one prime.
struct Modular {
    count: usize,
    map: Frobenius,
    /// The products of the factors of each degree.
    parts: Vec<(usize, Dense)>,
    field: PrimeField,
}

/// A prime for which the polynomial keeps its degree and stays square-free, and the monic factors modulo it.
fn modular_factors(polynomial: &[BigInt], budget: &mut Budget) -> Result<(PrimeField, Vec<Dense>)> {
    let mut prime = FIRST_PRIME;
    let mut best: Option<Modular> = None;
    let (mut tried, mut skipped) = (0, 0);
    while tried < PRIMES {
        prime = prime_above(prime);
        let field = PrimeField { prime };
        let image = reduced(field, polynomial);
        budget.spend(image.len() * image.len())?;
        skipped += 1;
        if skipped > 50 {
            return Err(Error::new(
                "a polynomial that is not square-free is not factored",
            ));
        }
        if image.len() < polynomial.len() || field.gcd(&image, &field.derivative(&image)).len() > 1
        {
            continue;
        }
        tried += 1;
        let map = Frobenius::new(field, &field.monic(&image), budget)?;
        let parts = map.distinct_degrees(budget)?;
        let count = parts
            .iter()
            .map(|(degree, part)| (part.len() - 1) / degree)
            .sum();
        if best.as_ref().is_none_or(|best| count < best.count) {
            best = Some(Modular {
                count,
                map,
                parts,
                field,
            });
        }
        if count == 1 {
            break;
        }
    }
    let mut factors = Vec::new();
    let mut field = PrimeField { prime };
    if let Some(best) = best {
        field = best.field;
        for (degree, part) in best.parts {
            factors.extend(best.map.equal_degree(&part, degree, budget)?);
        }
    }
    Ok((field, factors))
}

/// A bound of the coefficients of every divisor, times two and the leading coefficient (Mignotte, 1974).
fn divisor_bound(polynomial: &[BigInt]) -> BigInt {
    let squares: BigInt = polynomial.iter().map(|c| c * c).sum();
    let lead = polynomial.last().map_or_else(BigInt::one, Signed::abs);
    ((squares.sqrt() + 1u32) * lead) << polynomial.len()
}

fn product(a: &[BigInt], b: &[BigInt], modulus: &BigInt) -> Coefficients {
    let mut product = vec![BigInt::zero(); (a.len() + b.len()).saturating_sub(1)];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            product[i + j] += x * y;
        }
    }
    product.iter().map(|c| c.mod_floor(modulus)).collect()
}

/// The monic factors modulo a power of the prime beyond the bound, and that power.
fn lift(
    field: PrimeField,
    polynomial: &[BigInt],
    modular: Vec<Dense>,
    budget: &mut Budget,
) -> Result<(Vec<Coefficients>, BigInt)> {
    let prime = BigInt::from(field.prime);
    let bound = divisor_bound(polynomial);
    let size = polynomial.len();
    // The inverse of the product of all others modulo each factor.
    let whole = modular
        .iter()
        .fold(vec![1], |whole, factor| field.mul(&whole, factor));
    budget.spend(modular.len() * size * size)?;
    let inverses: Vec<Dense> = modular
        .iter()
        .map(|factor| field.inverse_modulo(&field.div(&whole, factor).0, factor))
        .collect();
    let mut lifted: Vec<Coefficients> = modular
        .iter()
        .map(|factor| factor.iter().map(|c| BigInt::from(*c)).collect())
        .collect();
    let mut modulus = prime.clone();
    let lead = polynomial.last().cloned().unwrap_or_else(BigInt::one);
    while modulus <= bound {
        let next = &modulus * &prime;
        budget.spend(size * size * (1 + next.bits() as usize / 64))?;
        let inverse = lead.modinv(&next).unwrap_or_else(BigInt::one);
        let known = lifted.iter().fold(vec![BigInt::one()], |known, factor| {
            product(&known, factor, &next)
        });
        let error: Dense = polynomial
            .iter()
            .zip(&known)
            .map(|(wanted, found)| {
                let error: BigInt = (wanted * &inverse - found).mod_floor(&next) / &modulus;
                error.to_u64().unwrap_or(0)
            })
            .collect();
        for ((factor, modular), inverse) in lifted.iter_mut().zip(&modular).zip(&inverses) {
            let error = field.div(&error, modular).1;
            let change = field.div(&field.mul(&error, inverse), modular).1;
            for (at, c) in factor.iter_mut().zip(change) {
                *at += &modulus * c;
            }
        }
        modulus = next;
    }
    Ok((lifted, modulus))
}

/// Divisors of the polynomial among the products of the lifted factors, smallest subsets first.
fn recombine(
    polynomial: &[BigInt],
    mut lifted: Vec<Coefficients>,
    modulus: &BigInt,
    budget: &mut Budget,
) -> Result<Vec<Coefficients>> {
    let half = modulus / 2u32;
    let symmetric = |c: BigInt| {
        let c = c.mod_floor(modulus);
        if c > half { c - modulus } else { c }
    };
    let mut rest = polynomial.to_vec();
    let mut found = Vec::new();
    let mut size = 1;
    while 2 * size <= lifted.len() {
        let mut chosen = Subset::first(size);
        let mut divided = false;
        loop {
            budget.spend(1 + size * (1 + modulus.bits() as usize / 64))?;
            let lead = rest.last().cloned().unwrap_or_else(BigInt::one);
            // The constant terms first: most subsets fail there.
            let constant = chosen
                .places
                .iter()
                .fold(lead.clone(), |c, place| c * &lifted[*place][0]);
            let constant = symmetric(constant);
            if constant.is_zero() || (&rest[0] * &lead).is_multiple_of(&constant) {
                budget.spend(rest.len() * rest.len())?;
                let candidate = chosen.places.iter().fold(vec![lead], |whole, place| {
                    product(&whole, &lifted[*place], modulus)
                });
                let candidate = primitive(candidate.into_iter().map(symmetric).collect());
                if let Some(quotient) = quotient(&rest, &candidate) {
                    found.push(candidate);
                    rest = quotient;
                    for place in chosen.places.iter().rev() {
                        lifted.remove(*place);
                    }
                    divided = true;
                    break;
                }
            }
            if !chosen.advance(lifted.len()) {
                break;
            }
        }
        if !divided {
            size += 1;
        }
    }
    if rest.len() > 1 {
        found.push(rest);
    }
    Ok(found)
}

/// The coefficients without their common divisor, the leading one positive.
fn primitive(polynomial: Coefficients) -> Coefficients {
    let mut content = polynomial
        .iter()
        .fold(BigInt::zero(), |common, c| common.gcd(c));
    if polynomial.last().is_some_and(Signed::is_negative) {
        content = -content;
    }
    if content.is_zero() {
        return polynomial;
    }
    polynomial.iter().map(|c| c / &content).collect()
}

/// The quotient, when the division leaves nothing and the quotient is whole.
fn quotient(polynomial: &[BigInt], divisor: &[BigInt]) -> Option<Coefficients> {
    let lead = divisor.last().filter(|lead| !lead.is_zero())?;
    let places = (polynomial.len() + 1).checked_sub(divisor.len())?;
    let mut rest = polynomial.to_vec();
    let mut quotient = vec![BigInt::zero(); places];
    for place in (0..places).rev() {
        let (factor, left) = rest[place + divisor.len() - 1].div_rem(lead);
        if !left.is_zero() {
            return None;
        }
        for (at, c) in rest[place..].iter_mut().zip(divisor) {
            *at -= &factor * c;
        }
        quotient[place] = factor;
    }
    rest.iter().all(Zero::is_zero).then_some(quotient)
}

/// Places chosen among a number of them, in the order of the dictionary.
pub(super) struct Subset {
    pub places: Vec<usize>,
}

impl Subset {
    pub fn first(size: usize) -> Self {
        Self {
            places: (0..size).collect(),
        }
    }

    /// The next choice among so many; false after the last.
    pub fn advance(&mut self, among: usize) -> bool {
        let size = self.places.len();
        let Some(index) = (0..size)
            .rev()
            .find(|index| self.places[*index] + size < among + index)
        else {
            return false;
        };
        self.places[index] += 1;
        for later in index + 1..size {
            self.places[later] = self.places[later - 1] + 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coefficients(values: &[i64]) -> Coefficients {
        values.iter().map(|c| BigInt::from(*c)).collect()
    }

    fn factors(values: &[i64]) -> Vec<Coefficients> {
        let mut found = irreducible_factors(&coefficients(values), &mut Budget::new(u64::MAX))
            .expect("no limit");
        found.sort();
        found
    }

    #[test]
    fn textbook_polynomials() {
        assert_eq!(
            factors(&[4, 0, 0, 0, 1]),
            [coefficients(&[2, -2, 1]), coefficients(&[2, 2, 1])]
        );
        assert_eq!(factors(&[1, 0, 0, 0, 1]), [coefficients(&[1, 0, 0, 0, 1])]);
        // Reducible modulo every prime, irreducible over the rationals (Swinnerton-Dyer).
        assert_eq!(factors(&[576, 0, -960, 0, 352, 0, -40, 0, 1]).len(), 1);
        // x^15 - 1 has a cyclotomic factor for each divisor of 15.
        let mut cyclotomic = vec![0; 16];
        (cyclotomic[0], cyclotomic[15]) = (-1, 1);
        let degrees: Vec<usize> = factors(&cyclotomic).iter().map(|f| f.len() - 1).collect();
        assert_eq!(degrees.iter().sum::<usize>(), 15);
        assert_eq!(degrees.len(), 4);
        // (6x² + 5x + 1)(10x³ − 7) with leading coefficients that are no units.
        let whole = product(
            &coefficients(&[1, 3]),
            &coefficients(&[1, 2]),
            &(BigInt::one() << 90),
        );
        let big = BigInt::one() << 90u32;
        let whole = product(&whole, &coefficients(&[-7, 0, 0, 10]), &big);
        let whole: Vec<i64> = whole
            .iter()
            .map(|c| {
                if c > &(BigInt::one() << 80u32) {
                    c - &big
                } else {
                    c.clone()
                }
            })
            .map(|c| c.to_i64().expect("small"))
            .collect();
        assert_eq!(factors(&whole).len(), 3);
    }

    #[test]
    fn all_subsets_are_visited() {
        let mut subset = Subset::first(2);
        let mut seen = vec![subset.places.clone()];
        while subset.advance(5) {
            seen.push(subset.places.clone());
        }
        assert_eq!(seen.len(), 10);
        assert_eq!(seen.last(), Some(&vec![3, 4]));
    }
}
