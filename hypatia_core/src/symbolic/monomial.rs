//! Products of powers of generators.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// A product of powers: generators in rising order, with positive exponents. Ordered lexicographically.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Monomial(pub SmallVec<[(u32, u32); 4]>);

impl Monomial {
    /// The empty product.
    pub fn one() -> Self {
        Self::default()
    }

    /// One generator to a power.
    pub fn power(generator: u32, exponent: u32) -> Self {
        let mut factors = SmallVec::new();
        if exponent > 0 {
            factors.push((generator, exponent));
        }
        Self(factors)
    }

    pub fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    /// The exponent of a generator.
    pub fn exponent(&self, generator: u32) -> u32 {
        self.0
            .iter()
            .find(|(known, _)| *known == generator)
            .map_or(0, |(_, exponent)| *exponent)
    }

    pub fn mul(&self, other: &Self) -> Self {
        let mut product = SmallVec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (
            self.0.iter().copied().peekable(),
            other.0.iter().copied().peekable(),
        );
        loop {
            match (left.peek().copied(), right.peek().copied()) {
                (Some(a), Some(b)) => match a.0.cmp(&b.0) {
                    Ordering::Less => {
                        product.push(a);
                        left.next();
                    }
                    Ordering::Greater => {
                        product.push(b);
                        right.next();
                    }
                    Ordering::Equal => {
                        product.push((a.0, a.1.saturating_add(b.1)));
                        left.next();
                        right.next();
                    }
                },
                (Some(a), None) => {
                    product.push(a);
                    left.next();
                }
                (None, Some(b)) => {
                    product.push(b);
                    right.next();
                }
                (None, None) => return Self(product),
            }
        }
    }

    /// The quotient, when it is a monomial.
    pub fn div(&self, other: &Self) -> Option<Self> {
        let mut quotient: SmallVec<[(u32, u32); 4]> = SmallVec::with_capacity(self.0.len());
        let mut divisor = other.0.iter().copied().peekable();
        for &(generator, exponent) in &self.0 {
            match divisor.peek().copied() {
                Some((other, _)) if other < generator => return None,
                Some((other, taken)) if other == generator => {
                    divisor.next();
                    match exponent.checked_sub(taken)? {
                        0 => {}
                        left => quotient.push((generator, left)),
                    }
                }
                _ => quotient.push((generator, exponent)),
            }
        }
        divisor.peek().is_none().then_some(Self(quotient))
    }

    /// The greatest common divisor.
    pub fn gcd(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .filter_map(|&(generator, exponent)| {
                    match exponent.min(other.exponent(generator)) {
                        0 => None,
                        common => Some((generator, common)),
                    }
                })
                .collect(),
        )
    }

    /// Without one generator.
    pub fn without(&self, generator: u32) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|(known, _)| *known != generator)
                .collect(),
        )
    }

    /// The sum of the exponents.
    pub fn degree(&self) -> u64 {
        self.0
            .iter()
            .map(|(_, exponent)| u64::from(*exponent))
            .sum()
    }
}

impl PartialOrd for Monomial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Monomial {
    /// Lexicographic: the smallest generator in which two monomials differ decides.
    fn cmp(&self, other: &Self) -> Ordering {
        for (a, b) in self.0.iter().zip(&other.0) {
            if a.0 != b.0 {
                return b.0.cmp(&a.0);
            }
            if a.1 != b.1 {
                return a.1.cmp(&b.1);
            }
        }
        self.0.len().cmp(&other.0.len())
    }
}
