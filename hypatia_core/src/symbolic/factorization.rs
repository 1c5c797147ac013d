//! Taking quantities apart over a basis of coprime polynomials: magnitudes, logarithms and signs of products.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::canonical::Context;
use super::gcd::{gcd, small_primes};
use super::kernel::{Fraction, Kernel};
use super::polynomial::Polynomial;
use super::sign::SignSet;
use crate::error::{Error, Result};

/// A number times powers of generators and of elements of the basis.
pub(super) struct Factors {
    pub content: BigRational,
    pub generators: Vec<(u32, i64)>,
    pub elements: Vec<(Polynomial, i64)>,
}

impl Context {
    /// The factors of a fraction that is not zero.
    pub(super) fn factors(&mut self, fraction: &Fraction) -> Result<Factors> {
        let mut result = Factors {
            content: BigRational::one(),
            generators: Vec::new(),
            elements: Vec::new(),
        };
        for (polynomial, side) in [(&fraction.num, 1i64), (&fraction.den, -1)] {
            let (content, primitive) = polynomial.primitive();
            result.content = if side > 0 {
                &result.content * content
            } else {
                &result.content / content
            };
            let common = primitive.monomial_content();
            result.generators.extend(
                common
                    .0
                    .iter()
                    .map(|&(generator, e)| (generator, side * i64::from(e))),
            );
            let rest = primitive
                .div_monomial(&common)
                .unwrap_or_else(Polynomial::one);
            for (element, exponent) in self.over_basis(rest)? {
                result.elements.push((element, side * exponent));
            }
        }
        Ok(result)
    }

    /// A primitive polynomial without monomial content as a product over the basis, refining it where needed.
    fn over_basis(&mut self, polynomial: Polynomial) -> Result<Vec<(Polynomial, i64)>> {
        if polynomial.as_constant().is_some() {
            return Ok(Vec::new());
        }
        self.refine(polynomial.clone())?;
        let mut rest = polynomial;
        let mut found = Vec::new();
        for element in self.basis.clone() {
            let mut exponent = 0;
            while let Some(quotient) = rest.div_exact(&element, &mut self.budget)? {
                rest = quotient;
                exponent += 1;
            }
            if exponent > 0 {
                found.push((element, exponent));
            }
        }
        if rest.as_constant().is_none() {
            // The gcd gave up somewhere: the rest stands for itself.
            found.push((rest, 1));
        } else if !rest.is_one() {
            return Err(Error::new("a factorization left a number behind"));
        }
        Ok(found)
    }

    /// Makes the basis coprime with respect to one more polynomial.
    fn refine(&mut self, polynomial: Polynomial) -> Result<()> {
        let mut pending = vec![polynomial];
        while let Some(mut next) = pending.pop() {
            let mut index = 0;
            while index < self.basis.len() && next.as_constant().is_none() {
                let element = self.basis[index].clone();
                let common = gcd(&next, &element, &mut self.budget)?;
                if common.as_constant().is_some() {
                    index += 1;
                } else if common == element {
                    next = next
                        .div_exact(&element, &mut self.budget)?
                        .unwrap_or_else(Polynomial::one);
                } else {
                    self.basis.swap_remove(index);
                    self.stale = true;
                    let rest = element
                        .div_exact(&common, &mut self.budget)?
                        .unwrap_or_else(Polynomial::one);
                    pending.push(rest.primitive().1);
                    pending.push(next.clone());
                    next = common;
                    index = 0;
                }
            }
            if next.as_constant().is_some() {
                continue;
            }
            // A repeated factor divides the derivative too.
            let repeated = match next.generators().first() {
                Some(&generator) => gcd(&next, &next.derivative(generator), &mut self.budget)?,
                None => Polynomial::one(),
            };
            if repeated.as_constant().is_none() && repeated != next {
                let rest = next
                    .div_exact(&repeated, &mut self.budget)?
                    .unwrap_or_else(Polynomial::one);
                pending.push(rest.primitive().1);
                pending.push(repeated);
            } else {
                self.basis.push(next);
            }
        }
        Ok(())
    }

    /// |u|^s for a fraction that is not zero everywhere and a number s.
    pub(super) fn magnitude_power(
        &mut self,
        fraction: &Fraction,
        exponent: &BigRational,
    ) -> Result<Fraction> {
        if fraction.is_zero() {
            return if exponent.is_positive() {
                Ok(Fraction::zero())
            } else {
                Err(Error::new(super::canonical::NOWHERE_DEFINED))
            };
        }
        let factors = self.factors(fraction)?;
        let mut result = Fraction::one();
        for (number, side) in [
            (factors.content.numer().clone(), 1i64),
            (factors.content.denom().clone(), -1),
        ] {
            for (prime, multiplicity) in small_primes(&number) {
                let base = Polynomial::constant(BigRational::from_integer(prime));
                let power = self.element_power(
                    &base,
                    &(exponent * BigInt::from(side * i64::from(multiplicity))),
                )?;
                result = self.mul(&result, &power)?;
            }
        }
        for (generator, multiplicity) in factors.generators {
            let exponent = exponent * BigInt::from(multiplicity);
            let power = match self.table.get(generator).clone() {
                Kernel::Exp(argument) => self.exp(&argument.scale(&exponent))?,
                Kernel::Root(b, index) => self
                    .magnitude_power(&Fraction::polynomial(b), &(exponent / BigInt::from(index)))?,
                Kernel::Abs(b) => self.magnitude_power(&Fraction::polynomial(b), &exponent)?,
                _ => self.element_power(&Polynomial::generator(generator), &exponent)?,
            };
            result = self.mul(&result, &power)?;
        }
        for (element, multiplicity) in factors.elements {
            let power = self.element_power(&element, &(exponent * BigInt::from(multiplicity)))?;
            result = self.mul(&result, &power)?;
        }
        Ok(result)
    }

    /// |b|^r for one element of the basis, a generator or a positive integer.
    pub(super) fn element_power(
        &mut self,
        b: &Polynomial,
        exponent: &BigRational,
    ) -> Result<Fraction> {
        let whole = exponent.floor();
        let part = exponent - &whole;
        let whole = whole
            .to_integer()
            .to_i64()
            .ok_or_else(|| Error::new("the limit for exponents was reached"))?;
        let base = Fraction::polynomial(b.clone());
        let mut result = if whole.is_even() {
            self.powi(&base, whole)?
        } else {
            let rest = self.powi(&base, whole - 1)?;
            let magnitude = self.abs_element(b);
            self.mul(&rest, &magnitude)?
        };
        if !part.is_zero() {
            let denominator = part
                .denom()
                .to_u32()
                .filter(|d| *d <= 1000)
                .ok_or_else(|| Error::new("the limit of 1000 for roots was reached"))?;
            let known = self.root_index.get(b).copied().unwrap_or(1);
            let index = known.lcm(&denominator);
            if index > 1000 {
                return Err(Error::new("the limit of 1000 for roots was reached"));
            }
            if index != known {
                self.stale |= known != 1;
                self.root_index.insert(b.clone(), index);
            }
            let multiple = (part * BigInt::from(index))
                .to_integer()
                .to_u32()
                .unwrap_or(0);
            let generator = self.root_kernel(b, index);
            let root = Fraction::polynomial(Polynomial::generator(generator));
            let root = self.powi(&root, i64::from(multiple))?;
            result = self.mul(&result, &root)?;
        }
        Ok(result)
    }

    /// |b| for one element.
    fn abs_element(&mut self, b: &Polynomial) -> Fraction {
        let signs = self.sign(b);
        if signs.within(SignSet::NON_NEGATIVE) {
            Fraction::polynomial(b.clone())
        } else if signs.within(SignSet::NON_POSITIVE) {
            Fraction::polynomial(b.neg())
        } else {
            self.kernel(Kernel::Abs(b.clone()))
        }
    }

    /// log|u| for a fraction that does not vanish on D.
    pub(super) fn log_magnitude(&mut self, fraction: &Fraction) -> Result<Fraction> {
        if fraction.is_zero() {
            return Err(Error::new(
                "the logarithm of zero, so one side is defined nowhere",
            ));
        }
        let factors = self.factors(fraction)?;
        let mut result = Fraction::zero();
        for (number, side) in [
            (factors.content.numer().clone(), 1i64),
            (factors.content.denom().clone(), -1),
        ] {
            for (prime, multiplicity) in small_primes(&number) {
                let kernel = self.kernel(Kernel::Log(Polynomial::constant(
                    BigRational::from_integer(prime),
                )));
                let term = kernel.scale(&Self::integer(side * i64::from(multiplicity)));
                result = self.add(&result, &term)?;
            }
        }
        for (generator, multiplicity) in factors.generators {
            let term = match self.table.get(generator).clone() {
                Kernel::Exp(argument) => argument,
                Kernel::Root(b, index) => self
                    .log_magnitude(&Fraction::polynomial(b))?
                    .scale(&BigRational::new(BigInt::one(), BigInt::from(index))),
                Kernel::Abs(b) => self.log_magnitude(&Fraction::polynomial(b))?,
                _ => self.kernel(Kernel::Log(Polynomial::generator(generator))),
            };
            result = self.add(&result, &term.scale(&Self::integer(multiplicity)))?;
        }
        for (element, multiplicity) in factors.elements {
            let term = self
                .kernel(Kernel::Log(element))
                .scale(&Self::integer(multiplicity));
            result = self.add(&result, &term)?;
        }
        Ok(result)
    }

    /// The sign of a fraction, as a product of the signs of its factors.
    pub(super) fn sign_value(&mut self, fraction: &Fraction) -> Result<Fraction> {
        if fraction.is_zero() {
            return Ok(Fraction::zero());
        }
        match self.sign_of_fraction(fraction) {
            SignSet::POSITIVE => return Ok(Fraction::one()),
            SignSet::NEGATIVE => return Ok(Fraction::integer(-1)),
            SignSet::ZERO => return Ok(Fraction::zero()),
            _ => {}
        }
        let factors = self.factors(fraction)?;
        let mut result = Fraction::integer(if factors.content.is_negative() { -1 } else { 1 });
        let generators = factors
            .generators
            .into_iter()
            .map(|(g, e)| (Polynomial::generator(g), e));
        for (element, multiplicity) in generators.chain(factors.elements) {
            let sign = match self.sign(&element) {
                SignSet::POSITIVE => Fraction::one(),
                SignSet::NEGATIVE => Fraction::integer(-1),
                // A factor of the denominator does not vanish.
                _ if multiplicity < 0 || self.nonzero(&element)? => {
                    if multiplicity.is_even() {
                        Fraction::one()
                    } else {
                        let magnitude = self.abs_element(&element);
                        self.div(&magnitude, &Fraction::polynomial(element.clone()))?
                    }
                }
                _ => self.kernel(Kernel::Sign(element.clone())),
            };
            let power = self.powi(&sign, if multiplicity.is_even() { 2 } else { 1 })?;
            result = self.mul(&result, &power)?;
        }
        Ok(result)
    }
}
