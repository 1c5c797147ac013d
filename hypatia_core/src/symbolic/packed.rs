//! Products and powers of polynomials with integer coefficients whose monomials fit one machine word.
//!
//! A monomial is a word: one field of bits for each generator, the first generator in the highest bits, so that
//! words are ordered as monomials are and the sum of two words is their product. Coefficients are integers of 128
//! bits where a bound shows that nothing overflows, and of any size in powers.

use std::ops::{Add, MulAssign};

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::budget::Budget;
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use crate::error::Result;

/// Products of terms up to which sorting them all beats a table of sums.
const SORTED: usize = 2_048;
/// Bits that a sum of products may need: one less than an `i128` holds besides its sign.
const SUM_BITS: u32 = 126;
/// Terms of a base that the multinomial theorem is used for; each is one level of recursion.
const MULTINOMIAL_TERMS: usize = 24;

/// Terms up to which a power is written in one go; longer ones are multiplied out, which asks for interrupts.
const MULTINOMIAL_WAYS: u64 = 1 << 18;
/// Machine words that the coefficients of such a power may take.
const MULTINOMIAL_WORDS: u64 = 1 << 22;

/// Where each generator's exponent stands in the word.
struct Layout {
    fields: SmallVec<[Field; 8]>,
}

struct Field {
    generator: u32,
    shift: u32,
    mask: u64,
}

impl Layout {
    /// A layout for exponents up to these bounds, in rising order of the generators; none if a word is too short.
    fn new(bounds: &[(u32, u64)]) -> Option<Self> {
        let mut fields = SmallVec::new();
        let mut shift = 0;
        for &(generator, bound) in bounds.iter().rev() {
            let bits = u64::BITS - bound.leading_zeros();
            if bound > u64::from(u32::MAX) || shift + bits > u64::BITS {
                return None;
            }
            let mask = u64::MAX.checked_shr(u64::BITS - bits).unwrap_or(0);
            fields.push(Field {
                generator,
                shift,
                mask,
            });
            shift += bits;
        }
        fields.reverse();
        Some(Self { fields })
    }

    fn pack(&self, monomial: &Monomial) -> u64 {
        let mut fields = self.fields.iter();
        let mut word = 0;
        for &(generator, exponent) in &monomial.0 {
            if let Some(field) = fields.find(|field| field.generator == generator) {
                word |= u64::from(exponent) << field.shift;
            }
        }
        word
    }

    fn unpack(&self, word: u64) -> Monomial {
        let mut factors = SmallVec::new();
        for field in &self.fields {
            let exponent = (word >> field.shift) & field.mask;
            if exponent > 0 {
                factors.push((field.generator, exponent as u32));
            }
        }
        Monomial(factors)
    }

    /// The polynomial of packed terms, one a monomial at most.
    fn polynomial<C: Into<BigInt>>(&self, mut terms: Vec<(u64, C)>) -> Polynomial {
        terms.sort_unstable_by_key(|(word, _)| std::cmp::Reverse(*word));
        let unpacked = terms
            .into_iter()
            .map(|(word, c)| (self.unpack(word), BigRational::from_integer(c.into())));
        Polynomial::from_sorted(unpacked.collect())
    }
}

/// The greatest exponent of each generator, in rising order.
fn degrees(polynomial: &Polynomial) -> SmallVec<[(u32, u64); 8]> {
    let mut found: SmallVec<[(u32, u64); 8]> = SmallVec::new();
    for (monomial, _) in polynomial.terms() {
        for &(generator, exponent) in &monomial.0 {
            match found.binary_search_by_key(&generator, |known| known.0) {
                Ok(place) => found[place].1 = found[place].1.max(u64::from(exponent)),
                Err(place) => found.insert(place, (generator, u64::from(exponent))),
            }
        }
    }
    found
}

/// The terms with packed monomials; none if a coefficient is no integer of 64 bits.
fn packed(layout: &Layout, polynomial: &Polynomial) -> Option<Vec<(u64, i64)>> {
    polynomial
        .terms()
        .iter()
        .map(|(monomial, c)| {
            if !c.denom().is_one() {
                return None;
            }
            Some((layout.pack(monomial), c.numer().to_i64()?))
        })
        .collect()
}

/// The bits of the greatest coefficient.
fn bits(terms: &[(u64, i64)]) -> u32 {
    let most = terms.iter().map(|(_, c)| c.unsigned_abs()).max();
    u64::BITS - most.unwrap_or(0).leading_zeros()
}

/// The product, where words suffice.
pub(super) fn product(left: &Polynomial, right: &Polynomial) -> Option<Polynomial> {
    let mut bounds = degrees(left);
    for (generator, degree) in degrees(right) {
        match bounds.binary_search_by_key(&generator, |known| known.0) {
            Ok(place) => bounds[place].1 += degree,
            Err(place) => bounds.insert(place, (generator, degree)),
        }
    }
    let layout = Layout::new(&bounds)?;
    let (a, b) = (packed(&layout, left)?, packed(&layout, right)?);
    let terms = a.len().min(b.len()) as u64;
    if bits(&a) + bits(&b) + (u64::BITS - terms.leading_zeros()) > SUM_BITS {
        return None;
    }
    let products = a.iter().flat_map(|(m, p)| {
        b.iter()
            .map(move |(n, q)| (m + n, i128::from(*p) * i128::from(*q)))
    });
    Some(if a.len() * b.len() <= SORTED {
        layout.polynomial(summed(products.collect()))
    } else {
        let mut sums: FxHashMap<u64, i128> = FxHashMap::default();
        for (word, c) in products {
            *sums.entry(word).or_insert(0) += c;
        }
        layout.polynomial(sums.into_iter().filter(|(_, c)| *c != 0).collect())
    })
}

/// Terms with equal monomials added, zeros left out.
fn summed<C: Clone + Zero + for<'a> Add<&'a C, Output = C>>(
    mut terms: Vec<(u64, C)>,
) -> Vec<(u64, C)> {
    terms.sort_unstable_by_key(|(word, _)| std::cmp::Reverse(*word));
    let mut sums: Vec<(u64, C)> = Vec::with_capacity(terms.len());
    for (word, c) in terms {
        match sums.last_mut() {
            Some((last, sum)) if *last == word => *sum = std::mem::replace(sum, C::zero()) + &c,
            _ => sums.push((word, c)),
        }
    }
    sums.retain(|(_, c)| !c.is_zero());
    sums
}

/// The power of two or more terms by the multinomial theorem, where words suffice and it is the shorter way.
///
/// # Errors
/// When the budget is spent.
pub(super) fn power(
    base: &Polynomial,
    exponent: u32,
    budget: &mut Budget,
) -> Result<Option<Polynomial>> {
    let mut bounds = degrees(base);
    for (_, degree) in &mut bounds {
        match degree.checked_mul(u64::from(exponent)) {
            Some(bound) if bound <= u64::from(u32::MAX) => *degree = bound,
            _ => return Ok(None),
        }
    }
    let Some(layout) = Layout::new(&bounds) else {
        return Ok(None);
    };
    let Some(terms) = packed(&layout, base).filter(|terms| terms.len() <= MULTINOMIAL_TERMS) else {
        return Ok(None);
    };
    // As many terms as there are ways to share the exponent out, against all monomials within the degrees.
    let ways = binomial(
        u64::from(exponent) + terms.len() as u64 - 1,
        terms.len() as u64 - 1,
    );
    let room = bounds
        .iter()
        .try_fold(1u64, |room, (_, degree)| room.checked_mul(degree + 1));
    let Some(ways) = ways.filter(|ways| {
        *ways <= MULTINOMIAL_WAYS && room.is_none_or(|room| *ways <= room.saturating_mul(4))
    }) else {
        return Ok(None);
    };
    let sum: f64 = terms.iter().map(|(_, c)| c.unsigned_abs() as f64).sum();
    let needed = f64::from(exponent) * sum.log2() + f64::from(exponent).log2();
    let words = 1 + (needed / 64.0) as usize;
    if ways.saturating_mul(words as u64) > MULTINOMIAL_WORDS {
        return Ok(None);
    }
    budget.spend(
        usize::try_from(ways)
            .unwrap_or(usize::MAX)
            .saturating_mul(words),
    )?;
    Ok(Some(if needed < f64::from(SUM_BITS) - 2.0 {
        layout.polynomial(summed(multinomial::<i128>(&terms, exponent, ways)))
    } else {
        layout.polynomial(summed(multinomial::<BigInt>(&terms, exponent, ways)))
    }))
}

/// The binomial coefficient, where it fits.
fn binomial(n: u64, k: u64) -> Option<u64> {
    let k = k.min(n - k);
    (0..k).try_fold(1u64, |value, i| Some(value.checked_mul(n - i)? / (i + 1)))
}

/// An integer that powers are computed in.
trait Coefficient: Clone + One + From<i64> + for<'a> MulAssign<&'a Self> {
    /// The quotient by a divisor.
    fn over(self, divisor: i64) -> Self;
}

impl Coefficient for i128 {
    fn over(self, divisor: i64) -> Self {
        self / i128::from(divisor)
    }
}

impl Coefficient for BigInt {
    fn over(self, divisor: i64) -> Self {
        self / divisor
    }
}

/// Every term of a power, equal monomials apart.
fn multinomial<C: Coefficient>(base: &[(u64, i64)], exponent: u32, ways: u64) -> Vec<(u64, C)> {
    let powers = |c: i64| {
        let mut powers = vec![C::one()];
        for _ in 0..exponent {
            let mut next = powers[powers.len() - 1].clone();
            next *= &C::from(c);
            powers.push(next);
        }
        powers
    };
    let mut expansion = Expansion {
        base: base.iter().map(|&(word, c)| (word, powers(c))).collect(),
        found: Vec::with_capacity(usize::try_from(ways).unwrap_or(0)),
    };
    expansion.share(0, exponent, 0, C::one());
    expansion.found
}

struct Expansion<C> {
    /// The monomials of the base with the powers of their coefficients.
    base: Vec<(u64, Vec<C>)>,
    found: Vec<(u64, C)>,
}

impl<C: Coefficient> Expansion<C> {
    /// Shares what is left of the exponent out among the terms from this one on.
    fn share(&mut self, term: usize, left: u32, word: u64, coefficient: C) {
        let step = self.base[term].0;
        if term + 1 == self.base.len() {
            let mut last = coefficient;
            last *= &self.base[term].1[left as usize];
            self.found.push((word + step * u64::from(left), last));
            return;
        }
        // The ways to choose `taken` of what is left.
        let mut ways = coefficient;
        for taken in 0..=left {
            let mut factor = ways.clone();
            factor *= &self.base[term].1[taken as usize];
            self.share(
                term + 1,
                left - taken,
                word + step * u64::from(taken),
                factor,
            );
            ways *= &C::from(i64::from(left - taken));
            ways = ways.over(i64::from(taken) + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polynomial(terms: &[(&[(u32, u32)], i64)]) -> Polynomial {
        Polynomial::from_map(
            terms
                .iter()
                .map(|(m, c)| {
                    (
                        Monomial(m.iter().copied().collect()),
                        BigRational::from_integer((*c).into()),
                    )
                })
                .collect(),
        )
    }

    /// By single terms, which never takes the way through words.
    fn slow_product(left: &Polynomial, right: &Polynomial) -> Polynomial {
        let mut budget = Budget::new(u64::MAX);
        left.terms().iter().fold(Polynomial::zero(), |sum, (m, c)| {
            let term = Polynomial::term(m.clone(), c.clone());
            sum.add(&right.mul(&term, &mut budget).expect("no limit"))
        })
    }

    #[test]
    fn products_and_powers_agree_with_term_by_term() {
        let cases = [
            polynomial(&[(&[(0, 1)], 1), (&[(1, 1)], 1), (&[(2, 1)], 1), (&[], 1)]),
            polynomial(&[(&[(0, 2)], 3), (&[(0, 1)], -5), (&[], 7)]),
            polynomial(&[
                (&[(0, 2), (3, 1)], 1),
                (&[(3, 2)], -1),
                (&[(0, 1)], i64::MAX),
            ]),
            polynomial(&[(&[(0, 1)], 1), (&[], -1)]),
            polynomial(&[
                (&[(0, 40_000)], 2),
                (&[(1, 60_000)], -3),
                (&[(2, 70_000), (4, 9)], 1),
            ]),
        ];
        let mut budget = Budget::new(u64::MAX);
        for base in &cases {
            let mut slow = Polynomial::one();
            // The power 0 has no factor at all, not one with the exponent 0.
            for exponent in 0..9 {
                assert_eq!(
                    base.pow(exponent, &mut budget).expect("no limit"),
                    slow,
                    "{base:?} {exponent}"
                );
                slow = slow_product(&slow, base);
            }
            for other in &cases {
                assert_eq!(
                    base.mul(other, &mut budget).expect("no limit"),
                    slow_product(base, other)
                );
            }
        }
    }

    #[test]
    fn what_cancels_is_left_out() {
        let sum = polynomial(&[(&[(0, 1)], 1), (&[(1, 1)], 1)]);
        let difference = polynomial(&[(&[(0, 1)], 1), (&[(1, 1)], -1)]);
        let expected = polynomial(&[(&[(0, 2)], 1), (&[(1, 2)], -1)]);
        assert_eq!(product(&sum, &difference), Some(expected));
    }
}
