//! Polynomials over a prime field, dense, in rising powers: what factoring over the integers starts from.

use super::budget::Budget;
use crate::error::Result;

/// A polynomial; the last coefficient is not zero.
pub(super) type Dense = Vec<u64>;

/// The field of the integers modulo a prime below 2^31.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrimeField {
    pub prime: u64,
}

/// The first prime above this number.
pub(super) fn prime_above(number: u64) -> u64 {
    let is_prime = |n: u64| {
        n > 1
            && (2..)
                .take_while(|d| d * d <= n)
                .all(|d| !n.is_multiple_of(d))
    };
    (number + 1..).find(|n| is_prime(*n)).unwrap_or(2)
}

fn trimmed(mut polynomial: Dense) -> Dense {
    while polynomial.last() == Some(&0) {
        polynomial.pop();
    }
    polynomial
}

impl PrimeField {
    pub fn power(self, mut base: u64, mut exponent: u64) -> u64 {
        let mut result = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * base % self.prime;
            }
            base = base * base % self.prime;
            exponent >>= 1;
        }
        result
    }

    /// The inverse of a number that is not zero.
    pub fn inverse(self, value: u64) -> u64 {
        self.power(value, self.prime - 2)
    }

    pub fn sub(self, a: &[u64], b: &[u64]) -> Dense {
        let at = |polynomial: &[u64], index: usize| polynomial.get(index).copied().unwrap_or(0);
        let difference = |index| (at(a, index) + self.prime - at(b, index)) % self.prime;
        trimmed((0..a.len().max(b.len())).map(difference).collect())
    }

    pub fn mul(self, a: &[u64], b: &[u64]) -> Dense {
        if a.is_empty() || b.is_empty() {
            return Dense::new();
        }
        let mut product = vec![0; a.len() + b.len() - 1];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                product[i + j] = (product[i + j] + x * y) % self.prime;
            }
        }
        trimmed(product)
    }

    /// Quotient and rest; the divisor is not zero.
    pub fn div(self, a: &[u64], b: &[u64]) -> (Dense, Dense) {
        let mut rest = a.to_vec();
        let Some(lead) = b.last() else {
            return (Dense::new(), rest);
        };
        if rest.len() < b.len() {
            return (Dense::new(), rest);
        }
        let scale = self.inverse(*lead);
        let mut quotient = vec![0; rest.len() + 1 - b.len()];
        for place in (0..quotient.len()).rev() {
            let factor = rest[place + b.len() - 1] * scale % self.prime;
            quotient[place] = factor;
            if factor != 0 {
                for (index, c) in b.iter().enumerate() {
                    let at = &mut rest[place + index];
                    *at = (*at + (self.prime - factor) * c) % self.prime;
                }
            }
        }
        rest.truncate(b.len() - 1);
        (trimmed(quotient), trimmed(rest))
    }

    pub fn monic(self, polynomial: &[u64]) -> Dense {
        let scale = polynomial.last().map_or(1, |lead| self.inverse(*lead));
        polynomial.iter().map(|c| c * scale % self.prime).collect()
    }

    /// The monic greatest common divisor.
    pub fn gcd(self, a: &[u64], b: &[u64]) -> Dense {
        let (mut a, mut b) = (a.to_vec(), b.to_vec());
        while !b.is_empty() {
            let rest = self.div(&a, &b).1;
            a = std::mem::replace(&mut b, rest);
        }
        self.monic(&a)
    }

    /// The inverse modulo another polynomial that is coprime to it.
    pub fn inverse_modulo(self, polynomial: &[u64], modulus: &[u64]) -> Dense {
        let (mut a, mut b) = (modulus.to_vec(), self.div(polynomial, modulus).1);
        let (mut of_a, mut of_b) = (Dense::new(), vec![1]);
        while b.len() > 1 {
            let (quotient, rest) = self.div(&a, &b);
            let next = self.sub(&of_a, &self.mul(&quotient, &of_b));
            (a, b) = (b, rest);
            (of_a, of_b) = (of_b, next);
        }
        let scale = b.first().map_or(0, |c| self.inverse(*c));
        let scaled: Dense = of_b.iter().map(|c| c * scale % self.prime).collect();
        self.div(&scaled, modulus).1
    }

    pub fn derivative(self, polynomial: &[u64]) -> Dense {
        let terms = polynomial.iter().enumerate().skip(1);
        trimmed(
            terms
                .map(|(n, c)| n as u64 % self.prime * c % self.prime)
                .collect(),
        )
    }

    fn power_modulo(
        self,
        base: &[u64],
        mut exponent: u64,
        modulus: &[u64],
        budget: &mut Budget,
    ) -> Result<Dense> {
        let mut result = self.div(&[1], modulus).1;
        let mut base = self.div(base, modulus).1;
        while exponent > 0 {
            budget.spend(modulus.len() * modulus.len())?;
            if exponent & 1 == 1 {
                result = self.div(&self.mul(&result, &base), modulus).1;
            }
            base = self.div(&self.mul(&base, &base), modulus).1;
            exponent >>= 1;
        }
        Ok(result)
    }
}

/// The map u ↦ uᵖ modulo a polynomial, as the matrix that it is.
pub(super) struct Frobenius {
    field: PrimeField,
    modulus: Dense,
    /// The images of the powers of the variable.
    images: Vec<Dense>,
}

impl Frobenius {
    /// # Errors
    /// When the budget is spent.
    pub fn new(field: PrimeField, modulus: &[u64], budget: &mut Budget) -> Result<Self> {
        let image = field.power_modulo(&[0, 1], field.prime, modulus, budget)?;
        let mut images = vec![vec![1]];
        while images.len() + 1 < modulus.len() {
            budget.spend(modulus.len() * modulus.len())?;
            let next = field.mul(&images[images.len() - 1], &image);
            images.push(field.div(&next, modulus).1);
        }
        Ok(Self {
            field,
            modulus: modulus.to_vec(),
            images,
        })
    }

    fn apply(&self, polynomial: &[u64], budget: &mut Budget) -> Result<Dense> {
        budget.spend(self.images.len() * polynomial.len())?;
        let mut sum = vec![0; self.images.len()];
        for (c, image) in polynomial.iter().zip(&self.images) {
            for (at, value) in sum.iter_mut().zip(image) {
                *at = (*at + c * value) % self.field.prime;
            }
        }
        Ok(trimmed(sum))
    }

    /// The products of all irreducible factors of each degree of the monic square-free modulus.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn distinct_degrees(&self, budget: &mut Budget) -> Result<Vec<(usize, Dense)>> {
        let mut rest = self.modulus.clone();
        let mut found = Vec::new();
        let mut image = vec![0, 1];
        let mut degree = 0;
        while rest.len() > 2 * (degree + 1) {
            degree += 1;
            image = self.apply(&image, budget)?;
            budget.spend(rest.len() * rest.len())?;
            let part = self.field.gcd(&rest, &self.field.sub(&image, &[0, 1]));
            if part.len() > 1 {
                rest = self.field.div(&rest, &part).0;
                found.push((degree, part));
            }
        }
        if rest.len() > 1 {
            found.push((rest.len() - 1, rest));
        }
        Ok(found)
    }

    /// The irreducible factors, all of one degree, of a divisor of the modulus (Cantor and Zassenhaus, 1981); the
    /// random choices are always the same.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn equal_degree(
        &self,
        product: &[u64],
        degree: usize,
        budget: &mut Budget,
    ) -> Result<Vec<Dense>> {
        let mut pending = vec![product.to_vec()];
        let mut found = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        while let Some(next) = pending.pop() {
            if next.len() == degree + 1 {
                found.push(next);
                continue;
            }
            let mut random = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % self.field.prime
            };
            let choice: Dense = trimmed((1..self.modulus.len()).map(|_| random()).collect());
            // The norm to the prime field, whose power (p − 1)/2 is ±1.
            let (mut norm, mut image) = (self.field.div(&choice, &next).1, choice);
            for _ in 1..degree {
                image = self.apply(&image, budget)?;
                budget.spend(self.modulus.len() * next.len())?;
                norm = self.field.div(&self.field.mul(&norm, &image), &next).1;
            }
            let power =
                self.field
                    .power_modulo(&norm, (self.field.prime - 1) / 2, &next, budget)?;
            let part = self.field.gcd(&next, &self.field.sub(&power, &[1]));
            if part.len() > 1 && part.len() < next.len() {
                pending.push(self.field.div(&next, &part).0);
                pending.push(part);
            } else {
                pending.push(next);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_known_factors_falls_apart_into_them() {
        let field = PrimeField {
            prime: prime_above(1 << 30),
        };
        let mut budget = Budget::new(u64::MAX);
        let lines: Vec<Dense> = (1..9).map(|root| vec![field.prime - root, 1]).collect();
        let product = lines
            .iter()
            .fold(vec![1], |product, line| field.mul(&product, line));
        let map = Frobenius::new(field, &product, &mut budget).expect("no limit");
        let parts = map.distinct_degrees(&mut budget).expect("no limit");
        assert_eq!(parts, [(1, product.clone())]);
        let mut found = map
            .equal_degree(&product, 1, &mut budget)
            .expect("no limit");
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found, lines);
    }

    #[test]
    fn an_inverse_times_its_polynomial_is_one() {
        let field = PrimeField { prime: 101 };
        let (polynomial, modulus) = (vec![3, 4, 5], vec![7, 0, 2, 1]);
        let inverse = field.inverse_modulo(&polynomial, &modulus);
        assert_eq!(
            field.div(&field.mul(&polynomial, &inverse), &modulus).1,
            [1]
        );
    }
}
