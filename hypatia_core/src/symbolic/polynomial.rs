//! Sparse polynomials in many generators with exact rational coefficients.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use rustc_hash::FxHashMap;

use super::budget::Budget;
use super::monomial::Monomial;
use super::packed;
use crate::error::Result;

/// A polynomial: terms in falling order of their monomials, no coefficient zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Polynomial {
    terms: Vec<(Monomial, BigRational)>,
}

/// Whole machine words that a number takes.
fn words(value: &BigRational) -> usize {
    let bits = value.numer().bits().saturating_add(value.denom().bits());
    usize::try_from(bits / 64).unwrap_or(usize::MAX)
}

/// Steps of one product of coefficients of so many words: bringing it to lowest terms is quadratic in them.
fn product_steps(left: usize, right: usize) -> usize {
    left.saturating_add(right)
        .saturating_add(1)
        .saturating_pow(2)
}

impl Polynomial {
    pub fn zero() -> Self {
        Self::default()
    }

    pub fn one() -> Self {
        Self::constant(BigRational::one())
    }

    pub fn constant(value: BigRational) -> Self {
        Self::term(Monomial::one(), value)
    }

    pub fn integer(value: i64) -> Self {
        Self::constant(BigRational::from_integer(value.into()))
    }

    pub fn term(monomial: Monomial, coefficient: BigRational) -> Self {
        if coefficient.is_zero() {
            Self::zero()
        } else {
            Self {
                terms: vec![(monomial, coefficient)],
            }
        }
    }

    /// The generator itself.
    pub fn generator(generator: u32) -> Self {
        Self::term(Monomial::power(generator, 1), BigRational::one())
    }

    pub fn from_map(map: FxHashMap<Monomial, BigRational>) -> Self {
        let mut terms: Vec<_> = map
            .into_iter()
            .filter(|(_, coefficient)| !coefficient.is_zero())
            .collect();
        terms.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Self { terms }
    }

    /// Terms in falling order of their monomials, none of them zero: what `packed` makes.
    pub(super) fn from_sorted(terms: Vec<(Monomial, BigRational)>) -> Self {
        debug_assert!(terms.is_sorted_by(|a, b| a.0 > b.0));
        Self { terms }
    }

    pub fn terms(&self) -> &[(Monomial, BigRational)] {
        &self.terms
    }

    pub fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    pub fn is_one(&self) -> bool {
        self.as_constant().is_some_and(|value| value.is_one())
    }

    /// The number this is, if it is one.
    pub fn as_constant(&self) -> Option<BigRational> {
        match self.terms.as_slice() {
            [] => Some(BigRational::zero()),
            [(monomial, coefficient)] if monomial.is_one() => Some(coefficient.clone()),
            _ => None,
        }
    }

    /// The leading coefficient; zero for the zero polynomial.
    pub fn leading(&self) -> BigRational {
        self.terms
            .first()
            .map_or_else(BigRational::zero, |(_, coefficient)| coefficient.clone())
    }

    pub fn neg(&self) -> Self {
        self.scale(&-BigRational::one())
    }

    pub fn scale(&self, factor: &BigRational) -> Self {
        if factor.is_zero() {
            return Self::zero();
        }
        if factor.is_one() {
            return self.clone();
        }
        Self {
            terms: self
                .terms
                .iter()
                .map(|(monomial, c)| (monomial.clone(), c * factor))
                .collect(),
        }
    }

    pub fn add(&self, other: &Self) -> Self {
        self.combine(other, |c| c.clone())
    }

    pub fn sub(&self, other: &Self) -> Self {
        self.combine(other, |c| -c)
    }

    fn combine(&self, other: &Self, sign: impl Fn(&BigRational) -> BigRational) -> Self {
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut i, mut j) = (0, 0);
        while i < self.terms.len() && j < other.terms.len() {
            match self.terms[i].0.cmp(&other.terms[j].0) {
                std::cmp::Ordering::Greater => {
                    terms.push(self.terms[i].clone());
                    i += 1;
                }
                std::cmp::Ordering::Less => {
                    terms.push((other.terms[j].0.clone(), sign(&other.terms[j].1)));
                    j += 1;
                }
                std::cmp::Ordering::Equal => {
                    let sum = &self.terms[i].1 + sign(&other.terms[j].1);
                    if !sum.is_zero() {
                        terms.push((self.terms[i].0.clone(), sum));
                    }
                    i += 1;
                    j += 1;
                }
            }
        }
        terms.extend_from_slice(&self.terms[i..]);
        terms.extend(
            other.terms[j..]
                .iter()
                .map(|(monomial, c)| (monomial.clone(), sign(c))),
        );
        Self { terms }
    }

    /// The product.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn mul(&self, other: &Self, budget: &mut Budget) -> Result<Self> {
        let steps = product_steps(self.words(), other.words());
        budget.spend((self.terms.len() * other.terms.len()).saturating_mul(steps))?;
        let (short, long) = if self.terms.len() <= other.terms.len() {
            (self, other)
        } else {
            (other, self)
        };
        match short.terms.as_slice() {
            [] => return Ok(Self::zero()),
            // A monomial keeps the order of the terms.
            [(monomial, coefficient)] => {
                let product = |(m, c): &(Monomial, BigRational)| (m.mul(monomial), c * coefficient);
                return Ok(Self {
                    terms: long.terms.iter().map(product).collect(),
                });
            }
            _ => {}
        }
        if let Some(product) = packed::product(self, other) {
            return Ok(product);
        }
        let mut sums: FxHashMap<Monomial, BigRational> = FxHashMap::default();
        let whole = |p: &Self| p.terms.iter().all(|(_, c)| c.is_integer());
        if whole(self) && whole(other) {
            // Integers are summed without the normalisation that fractions need.
            let mut sums: FxHashMap<Monomial, BigInt> = FxHashMap::default();
            for (a, p) in &short.terms {
                for (b, q) in &long.terms {
                    *sums.entry(a.mul(b)).or_insert_with(BigInt::zero) += p.numer() * q.numer();
                }
            }
            return Ok(Self::from_map(
                sums.into_iter()
                    .map(|(m, c)| (m, BigRational::from_integer(c)))
                    .collect(),
            ));
        }
        for (a, p) in &short.terms {
            for (b, q) in &long.terms {
                *sums.entry(a.mul(b)).or_insert_with(BigRational::zero) += p * q;
            }
        }
        Ok(Self::from_map(sums))
    }

    /// The power.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn pow(&self, exponent: u32, budget: &mut Budget) -> Result<Self> {
        if exponent == 0 {
            return Ok(Self::one());
        }
        if self.terms.len() <= 1 {
            return self.pow_of_term(exponent, budget);
        }
        if let Some(power) = packed::power(self, exponent, budget)? {
            return Ok(power);
        }
        if !self.terms.iter().all(|(_, c)| c.is_integer()) {
            // Fractions are reduced once, at the end.
            let (content, primitive) = self.primitive();
            let power = Self::constant(content).pow_of_term(exponent, budget)?;
            return primitive.pow(exponent, budget)?.mul(&power, budget);
        }
        let mut result = Self::one();
        for _ in 0..exponent {
            result = result.mul(self, budget)?;
        }
        Ok(result)
    }

    fn pow_of_term(&self, exponent: u32, budget: &mut Budget) -> Result<Self> {
        let Some((monomial, coefficient)) = self.terms.first() else {
            return Ok(Self::zero());
        };
        let bits = coefficient.numer().bits().max(coefficient.denom().bits());
        let words = (bits.saturating_mul(u64::from(exponent)) / 64) as usize;
        budget.spend(product_steps(words, 0))?;
        let factors = monomial
            .0
            .iter()
            .map(|&(g, e)| (g, e.saturating_mul(exponent)))
            .collect();
        Ok(Self::term(
            Monomial(factors),
            coefficient.pow(exponent.min(i32::MAX as u32) as i32),
        ))
    }

    /// The greatest exponent of a generator.
    pub fn degree_in(&self, generator: u32) -> u32 {
        self.terms
            .iter()
            .map(|(monomial, _)| monomial.exponent(generator))
            .max()
            .unwrap_or(0)
    }

    /// The generators that occur, in rising order.
    pub fn generators(&self) -> Vec<u32> {
        // A few among many terms: looked up, not sorted.
        let mut found: Vec<u32> = Vec::new();
        for (generator, _) in self.terms.iter().flat_map(|(monomial, _)| &monomial.0) {
            if let Err(place) = found.binary_search(generator) {
                found.insert(place, *generator);
            }
        }
        found
    }

    /// The coefficients by rising power of one generator.
    pub fn coefficients_in(&self, generator: u32) -> Vec<Polynomial> {
        let mut coefficients = vec![Self::zero(); self.degree_in(generator) as usize + 1];
        for (monomial, coefficient) in &self.terms {
            let power = monomial.exponent(generator) as usize;
            coefficients[power]
                .terms
                .push((monomial.without(generator), coefficient.clone()));
        }
        for coefficient in &mut coefficients {
            coefficient.terms.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        }
        coefficients
    }

    /// The polynomial with these coefficients by rising power of one generator.
    pub fn from_coefficients(generator: u32, coefficients: &[Polynomial]) -> Self {
        let mut map = FxHashMap::default();
        for (power, coefficient) in coefficients.iter().enumerate() {
            let factor = Monomial::power(generator, power as u32);
            for (monomial, value) in &coefficient.terms {
                map.insert(monomial.mul(&factor), value.clone());
            }
        }
        Self::from_map(map)
    }

    /// The partial derivative.
    pub fn derivative(&self, generator: u32) -> Self {
        let map = self
            .terms
            .iter()
            .filter_map(|(monomial, c)| match monomial.exponent(generator) {
                0 => None,
                e => {
                    let lowered = monomial
                        .without(generator)
                        .mul(&Monomial::power(generator, e - 1));
                    Some((lowered, c * BigInt::from(e)))
                }
            })
            .collect();
        Self::from_map(map)
    }

    /// The greatest monomial that divides every term.
    pub fn monomial_content(&self) -> Monomial {
        let mut terms = self.terms.iter();
        let Some((first, _)) = terms.next() else {
            return Monomial::one();
        };
        terms.fold(first.clone(), |common, (monomial, _)| common.gcd(monomial))
    }

    /// The polynomial over a monomial that divides every term.
    pub fn div_monomial(&self, divisor: &Monomial) -> Option<Self> {
        let terms = self
            .terms
            .iter()
            .map(|(m, c)| m.div(divisor).map(|m| (m, c.clone())))
            .collect::<Option<_>>()?;
        Some(Self { terms })
    }

    /// Number and primitive part: integer coefficients without common divisor, the leading one positive.
    pub fn primitive(&self) -> (BigRational, Self) {
        let Some((_, first)) = self.terms.first() else {
            return (BigRational::one(), Self::zero());
        };
        let (mut numerator, mut denominator) = (BigInt::zero(), BigInt::one());
        // Common divisors with one are not looked for, as that takes a step a bit.
        for (_, coefficient) in &self.terms {
            if !numerator.is_one() {
                numerator = numerator.gcd(coefficient.numer());
            }
            if !coefficient.denom().is_one() {
                denominator = denominator.lcm(coefficient.denom());
            }
        }
        if first.is_negative() {
            numerator = -numerator;
        }
        let whole = |c: &BigRational| {
            let raised = c.numer() * (&denominator / c.denom());
            BigRational::from_integer(raised / &numerator)
        };
        let terms = self.terms.iter().map(|(m, c)| (m.clone(), whole(c)));
        let primitive = Self {
            terms: terms.collect(),
        };
        (BigRational::new_raw(numerator, denominator), primitive)
    }

    /// The quotient, when the division leaves nothing.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn div_exact(&self, divisor: &Self, budget: &mut Budget) -> Result<Option<Self>> {
        let Some((lead, coefficient)) = divisor.terms.first() else {
            return Ok(None);
        };
        if divisor.terms.len() == 1 {
            budget.spend(self.terms.len())?;
            return Ok(self
                .div_monomial(lead)
                .map(|quotient| quotient.scale(&coefficient.recip())));
        }
        let mut rest: std::collections::BTreeMap<Monomial, BigRational> =
            self.terms.iter().cloned().collect();
        let mut quotient = Vec::new();
        let widest = divisor.words();
        while let Some((monomial, value)) = rest.pop_last() {
            let Some(factor) = monomial.div(lead) else {
                return Ok(None);
            };
            let scale = value / coefficient;
            let steps = product_steps(words(&scale), widest);
            budget.spend(divisor.terms.len().saturating_mul(steps))?;
            for (m, c) in &divisor.terms[1..] {
                let at = m.mul(&factor);
                let entry = rest.entry(at.clone()).or_insert_with(BigRational::zero);
                *entry -= c * &scale;
                if entry.is_zero() {
                    rest.remove(&at);
                }
            }
            quotient.push((factor, scale));
        }
        Ok(Some(Self { terms: quotient }))
    }

    /// The value with one generator replaced by a number.
    pub fn at(&self, generator: u32, value: &BigInt) -> Self {
        let mut powers = vec![BigInt::one()];
        let mut map: FxHashMap<Monomial, BigRational> = FxHashMap::default();
        for (monomial, coefficient) in &self.terms {
            let exponent = monomial.exponent(generator) as usize;
            while powers.len() <= exponent {
                let next = powers
                    .last()
                    .map_or_else(BigInt::one, |power| power * value);
                powers.push(next);
            }
            *map.entry(monomial.without(generator))
                .or_insert_with(BigRational::zero) += coefficient * &powers[exponent];
        }
        Self::from_map(map)
    }

    /// Whole machine words of the longest coefficient.
    pub fn words(&self) -> usize {
        let each = self.terms.iter().map(|(_, c)| words(c));
        each.max().unwrap_or(0)
    }

    /// Steps of one pass over the coefficients that brings each to lowest terms; none where they fit one word.
    pub fn reduction_steps(&self) -> usize {
        let each = self.terms.iter().map(|(_, c)| words(c).saturating_pow(2));
        each.fold(0, usize::saturating_add)
    }

    /// The greatest magnitude of a coefficient, for integer coefficients.
    pub fn height(&self) -> BigInt {
        self.terms
            .iter()
            .map(|(_, c)| c.numer().abs())
            .max()
            .unwrap_or_default()
    }
}
