//! Canonical forms of functions: each is brought down to a few kernels.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive};

use super::canonical::Context;
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::polynomial::Polynomial;
use super::sign::SignSet;
use crate::error::Result;

/// The largest multiple of an angle that is expanded.
const LARGEST_MULTIPLE: i64 = 48;

impl Context {
    /// The canonical form of a function; each line is an identity that holds wherever the function is defined.
    pub(super) fn apply(
        &mut self,
        function: Function,
        arguments: &[&Fraction],
    ) -> Result<Fraction> {
        let u = arguments[0];
        let one = Fraction::one();
        let half = BigRational::new(1.into(), 2.into());
        match function {
            Function::Exp => self.exp(u),
            Function::Log => self.log_magnitude(u),
            Function::Log1p => {
                let sum = self.add(&one, u)?;
                self.log_magnitude(&sum)
            }
            Function::Expm1 => {
                let exponential = self.exp(u)?;
                self.add(&exponential, &Fraction::integer(-1))
            }
            Function::Sqrt => self.magnitude_power(u, &half),
            Function::Abs => self.magnitude_power(u, &BigRational::one()),
            Function::Sign => self.sign_value(u),
            Function::Relu => {
                let magnitude = self.magnitude_power(u, &BigRational::one())?;
                Ok(self.add(u, &magnitude)?.scale(&half))
            }
            Function::ReluGrad => {
                let sign = self.sign_value(u)?;
                let square = self.mul(&sign, &sign)?;
                Ok(self.add(&sign, &square)?.scale(&half))
            }
            Function::Max | Function::Min => {
                let difference = self.add(u, &arguments[1].neg())?;
                let magnitude = self.magnitude_power(&difference, &BigRational::one())?;
                let sum = self.add(u, arguments[1])?;
                let signed = if function == Function::Max {
                    magnitude
                } else {
                    magnitude.neg()
                };
                Ok(self.add(&sum, &signed)?.scale(&half))
            }
            Function::Hypot => {
                let (a, b) = (self.mul(u, u)?, self.mul(arguments[1], arguments[1])?);
                let sum = self.add(&a, &b)?;
                self.magnitude_power(&sum, &half)
            }
            Function::Sin => Ok(self.circle(u)?.0),
            Function::Cos => Ok(self.circle(u)?.1),
            Function::Tan => {
                let (sine, cosine) = self.circle(u)?;
                self.div(&sine, &cosine)
            }
            Function::Sinh | Function::Cosh => {
                let (up, down) = (self.exp(u)?, self.exp(&u.neg())?);
                let signed = if function == Function::Sinh {
                    down.neg()
                } else {
                    down
                };
                Ok(self.add(&up, &signed)?.scale(&half))
            }
            Function::Tanh => {
                let square = self.exp(&u.scale(&Self::integer(2)))?;
                let (top, bottom) = (self.add(&square, &one.neg())?, self.add(&square, &one)?);
                self.div(&top, &bottom)
            }
            Function::Sigmoid => self.sigmoid(u),
            Function::Silu => {
                let gate = self.sigmoid(u)?;
                self.mul(u, &gate)
            }
            Function::Softplus => {
                let exponential = self.exp(u)?;
                let sum = self.add(&one, &exponential)?;
                self.log_magnitude(&sum)
            }
            Function::Gelu => {
                let root = self.magnitude_power(&Fraction::integer(2), &-half.clone())?;
                let scaled = self.mul(u, &root)?;
                let error = self.apply(Function::Erf, &[&scaled])?;
                let sum = self.add(&one, &error)?;
                Ok(self.mul(u, &sum)?.scale(&half))
            }
            Function::Erf => Ok(self.odd(u, Kernel::Erf)),
            Function::Asin => self.asin(u),
            Function::Acos => {
                let right = self.kernel(Kernel::Pi).scale(&half);
                let sine = self.asin(u)?;
                self.add(&right, &sine.neg())
            }
            Function::Atan => self.atan(u),
            Function::Asinh => {
                if is_turned(u) {
                    return Ok(self.apply(function, &[&u.neg()])?.neg());
                }
                let square = self.mul(u, u)?;
                let sum = self.add(&square, &one)?;
                let root = self.magnitude_power(&sum, &half)?;
                let argument = self.add(u, &root)?;
                self.log_magnitude(&argument)
            }
            Function::Acosh => {
                let (below, above) = (self.add(u, &one.neg())?, self.add(u, &one)?);
                let (a, b) = (
                    self.magnitude_power(&below, &half)?,
                    self.magnitude_power(&above, &half)?,
                );
                let root = self.mul(&a, &b)?;
                let argument = self.add(u, &root)?;
                self.log_magnitude(&argument)
            }
            Function::Atanh => {
                let (above, below) = (self.add(&one, u)?, self.add(&one, &u.neg())?);
                let (a, b) = (self.log_magnitude(&above)?, self.log_magnitude(&below)?);
                Ok(self.add(&a, &b.neg())?.scale(&half))
            }
            Function::Floor => self.floor(u),
        }
    }

    fn sigmoid(&mut self, u: &Fraction) -> Result<Fraction> {
        let exponential = self.exp(u)?;
        let bottom = self.add(&exponential, &Fraction::one())?;
        self.div(&exponential, &bottom)
    }

    /// An odd function: of two opposite arguments one is used.
    fn odd(&mut self, u: &Fraction, kernel: impl Fn(Fraction) -> Kernel) -> Fraction {
        if u.is_zero() {
            Fraction::zero()
        } else if is_turned(u) {
            self.kernel(kernel(u.neg())).neg()
        } else {
            self.kernel(kernel(u.clone()))
        }
    }

    /// The terms c·t of a sum, each with its number c apart.
    fn summands(&mut self, u: &Fraction) -> Result<Vec<(BigRational, Fraction)>> {
        let mut found = Vec::new();
        for (monomial, coefficient) in u.num.terms().to_vec() {
            let unit = self.normalize(
                Polynomial::term(monomial, BigRational::one()),
                u.den.clone(),
            )?;
            let lead = unit.num.leading();
            found.push((coefficient * &lead, unit.scale(&lead.recip())));
        }
        Ok(found)
    }

    /// e to the power of the fraction.
    pub(super) fn exp(&mut self, u: &Fraction) -> Result<Fraction> {
        let mut result = Fraction::one();
        for (coefficient, unit) in self.summands(u)? {
            let factor = match self.lone_kernel(&unit) {
                // exp(c·log|b|) = |b|^c.
                Some(Kernel::Log(b)) => self.element_or_magnitude(&b, &coefficient)?,
                _ => self.exp_of_multiple(&coefficient, &unit)?,
            };
            result = self.mul(&result, &factor)?;
        }
        Ok(result)
    }

    fn element_or_magnitude(&mut self, b: &Polynomial, exponent: &BigRational) -> Result<Fraction> {
        self.magnitude_power(&Fraction::polynomial(b.clone()), exponent)
    }

    /// The kernel that this fraction is, if it is one alone.
    fn lone_kernel(&self, unit: &Fraction) -> Option<Kernel> {
        let [(monomial, coefficient)] = unit.num.terms() else {
            return None;
        };
        let [(generator, 1)] = monomial.0.as_slice() else {
            return None;
        };
        (coefficient.is_one() && unit.den.is_one()).then(|| self.table.get(*generator).clone())
    }

    fn exp_of_multiple(&mut self, coefficient: &BigRational, unit: &Fraction) -> Result<Fraction> {
        let known = self.exponent_unit.get(unit).cloned();
        let Some(step) = common_step(known.as_ref(), coefficient) else {
            return Ok(self.kernel(Kernel::Exp(unit.scale(coefficient))));
        };
        if known.as_ref() != Some(&step) {
            self.stale |= known.is_some();
            self.exponent_unit.insert(unit.clone(), step.clone());
        }
        match (coefficient / &step)
            .to_integer()
            .to_i64()
            .filter(|multiple| multiple.abs() <= 100_000)
        {
            Some(multiple) => {
                let base = self.kernel(Kernel::Exp(unit.scale(&step)));
                self.powi(&base, multiple)
            }
            None => Ok(self.kernel(Kernel::Exp(unit.scale(coefficient)))),
        }
    }

    /// The sine and the cosine, with sums and multiples of angles expanded.
    pub(super) fn circle(&mut self, u: &Fraction) -> Result<(Fraction, Fraction)> {
        let mut result = (Fraction::zero(), Fraction::one());
        for (coefficient, unit) in self.summands(u)? {
            let factor = self.circle_of_multiple(&coefficient, &unit)?;
            result = self.angle_sum(&result, &factor)?;
        }
        Ok(result)
    }

    fn angle_sum(
        &mut self,
        a: &(Fraction, Fraction),
        b: &(Fraction, Fraction),
    ) -> Result<(Fraction, Fraction)> {
        let (s, t) = (self.mul(&a.0, &b.1)?, self.mul(&a.1, &b.0)?);
        let (c, d) = (self.mul(&a.1, &b.1)?, self.mul(&a.0, &b.0)?);
        Ok((self.add(&s, &t)?, self.add(&c, &d.neg())?))
    }

    fn circle_of_multiple(
        &mut self,
        coefficient: &BigRational,
        unit: &Fraction,
    ) -> Result<(Fraction, Fraction)> {
        let lone = self.lone_kernel(unit);
        if lone == Some(Kernel::Pi)
            && let Some(exact) = self.exact_angle(coefficient)?
        {
            return Ok(exact);
        }
        let known = self.angle_unit.get(unit).cloned();
        // Whole multiples of an inverse function's value are expanded from that value.
        let start = match &lone {
            Some(Kernel::Asin(_) | Kernel::Atan(_)) => Some(BigRational::one()),
            _ => known.clone(),
        };
        let step = common_step(start.as_ref(), coefficient);
        let multiple = step
            .as_ref()
            .and_then(|step| (coefficient / step).to_integer().to_i64());
        let (Some(step), Some(multiple)) = (step, multiple.filter(|m| m.abs() <= LARGEST_MULTIPLE))
        else {
            return self.base_angle(&unit.scale(coefficient), None);
        };
        if known.as_ref() != Some(&step) {
            self.stale |= known.is_some();
            self.angle_unit.insert(unit.clone(), step.clone());
        }
        let angle = unit.scale(&step);
        match &lone {
            // A part of an inverse sine: as many parts have a known sine.
            Some(Kernel::Asin(_)) if step.numer().is_one() => {
                let count = step.denom().to_u32().unwrap_or(u32::MAX);
                let whole = lone.clone();
                self.note_multiple(&angle, count, |context| {
                    Ok(Some(context.base_angle(unit, whole)?))
                })?;
            }
            Some(Kernel::Pi) => {
                let twelfths = &step * BigInt::from(12);
                let count = twelfths.denom().to_u32().unwrap_or(u32::MAX);
                let whole = &step * twelfths.denom();
                self.note_multiple(&angle, count, |context| context.exact_angle(&whole))?;
            }
            _ => {}
        }
        let lone = if step.is_one() { lone } else { None };
        let base = self.base_angle(&angle, lone)?;
        let base = self.by_cosine(&angle, base)?;
        let mut result = (Fraction::zero(), Fraction::one());
        for _ in 0..multiple.abs() {
            result = self.angle_sum(&result, &base)?;
        }
        if multiple < 0 {
            result.0 = result.0.neg();
        }
        Ok(result)
    }

    /// Sine and cosine of an angle that is not taken apart further.
    fn base_angle(
        &mut self,
        angle: &Fraction,
        lone: Option<Kernel>,
    ) -> Result<(Fraction, Fraction)> {
        let half = BigRational::new(1.into(), 2.into());
        match lone {
            // The inverse sine lies in [−π/2, π/2], where the cosine is not negative.
            Some(Kernel::Asin(w)) => {
                let square = self.mul(&w, &w)?;
                let rest = self.add(&Fraction::one(), &square.neg())?;
                Ok((w, self.magnitude_power(&rest, &half)?))
            }
            Some(Kernel::Atan(w)) => {
                let square = self.mul(&w, &w)?;
                let sum = self.add(&Fraction::one(), &square)?;
                let cosine = self.magnitude_power(&sum, &-half)?;
                Ok((self.mul(&w, &cosine)?, cosine))
            }
            _ => {
                let turned = is_turned(angle);
                let angle = if turned { angle.neg() } else { angle.clone() };
                let cosine = self.kernel(Kernel::Cos(angle.clone()));
                let sine = self.kernel(Kernel::Sin(angle));
                Ok((if turned { sine.neg() } else { sine }, cosine))
            }
        }
    }

    /// Sine and cosine of c·π where c is a multiple of 1/12.
    fn exact_angle(&mut self, coefficient: &BigRational) -> Result<Option<(Fraction, Fraction)>> {
        let twelfths = coefficient * BigInt::from(12);
        if !twelfths.is_integer() {
            return Ok(None);
        }
        let step = twelfths
            .to_integer()
            .mod_floor(&24.into())
            .to_i64()
            .unwrap_or(0);
        let cosine = self.cosine_of_twelfths(step)?;
        let sine = self.cosine_of_twelfths((step + 18) % 24)?;
        Ok(Some((sine, cosine)))
    }

    fn cosine_of_twelfths(&mut self, step: i64) -> Result<Fraction> {
        let (step, sign) = match step {
            0..=6 => (step, 1),
            7..=12 => (12 - step, -1),
            13..=18 => (step - 12, -1),
            _ => (24 - step, 1),
        };
        let half = BigRational::new(1.into(), 2.into());
        let mut root = |n: i64, d: i64| -> Result<Fraction> {
            Ok(self
                .magnitude_power(&Fraction::integer(n), &half)?
                .scale(&BigRational::new(1.into(), d.into())))
        };
        let value = match step {
            0 => Fraction::one(),
            1 | 5 => {
                let (a, b) = (root(6, 4)?, root(2, 4)?);
                self.add(&a, &if step == 1 { b } else { b.neg() })?
            }
            2 => root(3, 2)?,
            3 => root(2, 2)?,
            4 => Fraction::constant(half),
            _ => Fraction::zero(),
        };
        Ok(if sign < 0 { value.neg() } else { value })
    }

    fn asin(&mut self, u: &Fraction) -> Result<Fraction> {
        if is_turned(u) {
            return Ok(self.asin(&u.neg())?.neg());
        }
        // asin(sin(kπ/12)) for 0 ≤ k ≤ 6.
        for step in 0..=6 {
            if self.cosine_of_twelfths((step + 18) % 24)? == *u {
                return Ok(self
                    .kernel(Kernel::Pi)
                    .scale(&BigRational::new(step.into(), 12.into())));
            }
        }
        Ok(self.kernel(Kernel::Asin(u.clone())))
    }

    fn atan(&mut self, u: &Fraction) -> Result<Fraction> {
        if u.is_zero() {
            return Ok(Fraction::zero());
        }
        if is_turned(u) {
            return Ok(self.atan(&u.neg())?.neg());
        }
        let half = BigRational::new(1.into(), 2.into());
        // atan(u) = asin(u/√(1 + u²)), taken where the root goes away.
        let square = self.mul(u, u)?;
        let sum = self.add(&Fraction::one(), &square)?;
        let root = self.magnitude_power(&sum, &-half.clone())?;
        let sine = self.mul(u, &root)?;
        let has_roots = |this: &Self, p: &Polynomial| {
            p.generators().iter().any(
                |&g| matches!(this.table.get(g), Kernel::Root(b, _) if b.as_constant().is_none()),
            )
        };
        if !has_roots(self, &sine.num) && !has_roots(self, &sine.den) {
            let arc = self.asin(&sine)?;
            let constant = u.as_constant().is_some();
            if !constant || !matches!(self.lone_kernel(&arc), Some(Kernel::Asin(_))) {
                return Ok(arc);
            }
        }
        // atan(c/d) = sign(c/d)·π/2 − atan(d/c), where c is a number and so is not zero.
        if u.num.as_constant().is_some() && u.den.as_constant().is_none() {
            let inverse = self.div(&Fraction::one(), u)?;
            let sign = self.sign_value(u)?;
            let right = self.kernel(Kernel::Pi).scale(&half);
            let right = self.mul(&sign, &right)?;
            let rest = self.atan(&inverse)?;
            return self.add(&right, &rest.neg());
        }
        Ok(self.kernel(Kernel::Atan(u.clone())))
    }

    fn floor(&mut self, u: &Fraction) -> Result<Fraction> {
        if !u.den.is_one() {
            return Ok(self.kernel(Kernel::Floor(u.clone())));
        }
        // Whole summands come out: floor(u + n) = floor(u) + n.
        let mut whole = Polynomial::zero();
        for (monomial, coefficient) in u.num.terms() {
            let integral = monomial
                .0
                .iter()
                .all(|(g, _)| matches!(self.table.get(*g), Kernel::Floor(_) | Kernel::Sign(_)));
            let part = if monomial.is_one() {
                coefficient.floor()
            } else if integral && coefficient.is_integer() {
                coefficient.clone()
            } else {
                continue;
            };
            whole = whole.add(&Polynomial::term(monomial.clone(), part));
        }
        let rest = u.num.sub(&whole);
        if rest.as_constant().is_some() {
            return Ok(Fraction::polynomial(whole));
        }
        let floor = self.kernel(Kernel::Floor(Fraction::polynomial(rest)));
        self.add(&Fraction::polynomial(whole), &floor)
    }

    /// Whether both signs of the fraction are known to be the same on D.
    pub fn is_non_negative(&self, fraction: &Fraction) -> bool {
        self.sign_of_fraction(fraction)
            .within(SignSet::NON_NEGATIVE)
    }
}

/// Of two opposite fractions the one that is written with the sign turned.
fn is_turned(u: &Fraction) -> bool {
    u.num.leading().is_negative()
}

/// The largest number of which both are whole multiples, if it stays simple.
fn common_step(known: Option<&BigRational>, coefficient: &BigRational) -> Option<BigRational> {
    let step = match known {
        None => coefficient.abs(),
        Some(known) => {
            let top =
                (known.numer() * coefficient.denom()).gcd(&(coefficient.numer() * known.denom()));
            BigRational::new(top, known.denom() * coefficient.denom())
        }
    };
    (step.numer().bits() <= 64 && *step.denom() <= BigInt::from(10_000)).then_some(step)
}
