//! Angles of which a multiple has a known sine and cosine: what that says of their own.
//!
//! With c = cos θ and s = sin θ, Moivre's formula gives cos nθ = Tₙ(c) and sin nθ = s·Uₙ₋₁(c) in the polynomials of
//! Chebyshev (DLMF 18.5.1 and 18.5.2), so that cⁿ and s·cⁿ⁻¹ are written by lower powers.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::canonical::Context;
use super::kernel::{Fraction, Kernel};
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use crate::error::Result;

/// The largest multiple that is looked at.
const LARGEST: u32 = 12;

/// The sine and the cosine of a multiple of an angle.
#[derive(Debug, Clone)]
pub(super) struct Multiple {
    count: u32,
    sine: Polynomial,
    cosine: Polynomial,
}

/// What is left of a monomial, and what power of what replaces the rest.
type Replacement = (Monomial, Polynomial, u32);

impl Multiple {
    /// For a monomial with a high power of the cosine.
    pub(super) fn power_of_cosine(&self, cosine: u32, monomial: &Monomial) -> Option<Replacement> {
        let rest = monomial.div(&Monomial::power(cosine, self.count))?;
        let lower = lower_terms(&chebyshev(self.count, 1), cosine);
        Some((rest, self.halved(self.cosine.sub(&lower)), 1))
    }

    /// For a monomial with the sine and a high power of the cosine.
    pub(super) fn sine_times_power(
        &self,
        [sine, cosine]: [u32; 2],
        monomial: &Monomial,
    ) -> Option<Replacement> {
        let power = Monomial::power(cosine, self.count - 1);
        let unit = Monomial::power(sine, 1);
        let rest = monomial.div(&power.mul(&unit))?;
        let lower = lower_terms(&chebyshev(self.count - 1, 2), cosine);
        let lower = lower.terms().iter().map(|(m, c)| (m.mul(&unit), c.clone()));
        let lower = Polynomial::from_map(lower.collect());
        Some((rest, self.halved(self.sine.sub(&lower)), 1))
    }

    /// Over 2ⁿ⁻¹, the leading coefficient of both polynomials.
    fn halved(&self, polynomial: Polynomial) -> Polynomial {
        polynomial.scale(&BigRational::new(
            BigInt::one(),
            BigInt::one() << (self.count - 1),
        ))
    }
}

/// The coefficients, lowest first, of a polynomial of Chebyshev: of the first kind where P₁ is x, of the second where it
/// is 2x.
fn chebyshev(degree: u32, first: i64) -> Vec<BigInt> {
    let (mut before, mut last) = (vec![BigInt::one()], vec![BigInt::zero(), first.into()]);
    if degree == 0 {
        return before;
    }
    for _ in 1..degree {
        // Pₖ₊₁ = 2x·Pₖ − Pₖ₋₁.
        let mut next = vec![BigInt::zero()];
        next.extend(last.iter().map(|c| c * 2));
        for (place, c) in before.iter().enumerate() {
            next[place] -= c;
        }
        (before, last) = (last, next);
    }
    last
}

/// All terms but the leading one, as a polynomial in the generator.
fn lower_terms(coefficients: &[BigInt], generator: u32) -> Polynomial {
    whole(&coefficients[..coefficients.len() - 1], generator)
}

/// The polynomial in the generator with these coefficients.
fn whole(coefficients: &[BigInt], generator: u32) -> Polynomial {
    let term = |(power, c): (usize, &BigInt)| {
        (
            Monomial::power(generator, power as u32),
            BigRational::from_integer(c.clone()),
        )
    };
    Polynomial::from_map(coefficients.iter().enumerate().map(term).collect())
}

impl Context {
    /// Notes what is known of a multiple of an angle before its sine and cosine become kernels.
    ///
    /// # Errors
    /// When the budget is spent.
    pub(super) fn note_multiple(
        &mut self,
        angle: &Fraction,
        count: u32,
        circle: impl FnOnce(&mut Self) -> Result<Option<(Fraction, Fraction)>>,
    ) -> Result<()> {
        if !(2..=LARGEST).contains(&count) {
            return Ok(());
        }
        if let Some((sine, cosine)) = circle(self)?
            && sine.den.is_one()
            && cosine.den.is_one()
        {
            let multiple = Multiple {
                count,
                sine: sine.num,
                cosine: cosine.num,
            };
            self.multiples.insert(angle.clone(), multiple);
        }
        Ok(())
    }

    /// The sine of a part of π by its cosine, so that one number is not written in two ways: by Pythagoras for θ and
    /// nθ, s² = 1 − c² and (1 − c²)·Uₙ₋₁(c)² = sin²nθ, whence s = (1 − c²)·Uₙ₋₁(c)/sin nθ where that is not zero.
    ///
    /// # Errors
    /// When the budget is spent.
    pub(super) fn by_cosine(
        &mut self,
        angle: &Fraction,
        (sine, cosine): (Fraction, Fraction),
    ) -> Result<(Fraction, Fraction)> {
        let Some(multiple) = self.multiples.get(angle).cloned() else {
            return Ok((sine, cosine));
        };
        let of_numbers =
            |kernel: &Kernel| matches!(kernel, Kernel::Root(b, _) if b.as_constant().is_some());
        let is_number = multiple
            .sine
            .generators()
            .into_iter()
            .all(|g| of_numbers(self.table.get(g)));
        let [(power, _)] = cosine.num.terms() else {
            return Ok((sine, cosine));
        };
        let [(generator, 1)] = power.0[..] else {
            return Ok((sine, cosine));
        };
        if multiple.sine.is_zero() || !is_number {
            return Ok((sine, cosine));
        }
        let inverse = self.div(&Fraction::one(), &Fraction::polynomial(multiple.sine))?;
        if !inverse.den.is_one() {
            return Ok((sine, cosine));
        }
        let chebyshev = whole(&chebyshev(multiple.count - 1, 2), generator);
        let square = self.mul(&cosine, &cosine)?;
        let rest = self.add(&Fraction::one(), &square.neg())?;
        let product = self.mul(&rest, &Fraction::polynomial(chebyshev))?;
        Ok((self.mul(&product, &inverse)?, cosine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomials_are_chebyshevs() {
        let integers = |values: &[i64]| values.iter().map(|&v| BigInt::from(v)).collect::<Vec<_>>();
        assert_eq!(chebyshev(0, 1), integers(&[1]));
        assert_eq!(chebyshev(3, 1), integers(&[0, -3, 0, 4]));
        assert_eq!(chebyshev(2, 2), integers(&[-1, 0, 4]));
        assert_eq!(chebyshev(5, 1), integers(&[0, 5, 0, -20, 0, 16]));
    }
}
