//! Canonical forms: an expression as a fraction of polynomials over kernels.
//!
//! All statements are relative to a set D of points, those where every expression of the problem is defined.
//! Each step keeps the value on D, so two expressions with the same canonical form are equal on D. Facts are
//! signs that hold on D: they come from the conditions under which the expressions are defined, and from the
//! user's assumptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use rustc_hash::FxHashMap;

use super::budget::Budget;
use super::domain::{Relation, conditions};
use super::expression::{Expression, Operator};
use super::function::Function;
use super::gcd::gcd;
use super::kernel::{Fraction, Kernel, KernelTable};
use super::monomial::Monomial;
use super::multiple_angle::Multiple;
use super::polynomial::Polynomial;
use super::sign::{Facts, SignSet};
use crate::error::{Error, Result};

/// The reason given where a denominator vanishes identically.
pub const NOWHERE_DEFINED: &str =
    "a denominator is zero everywhere, so one side is defined nowhere";

/// One problem: its kernels, what is known, and what it may still cost.
#[derive(Clone)]
pub struct Context {
    pub table: KernelTable,
    pub facts: Facts,
    assumptions: BTreeMap<Arc<str>, SignSet>,
    /// Pairwise coprime polynomials over which logarithms, roots and signs are taken apart.
    pub(super) basis: Vec<Polynomial>,
    /// The index of the root that is taken of a basis element.
    pub(super) root_index: FxHashMap<Polynomial, u32>,
    /// What all multiples of an exponent, and of an angle, are whole multiples of.
    pub(super) exponent_unit: FxHashMap<Fraction, BigRational>,
    pub(super) angle_unit: FxHashMap<Fraction, BigRational>,
    /// What is known of multiples of the angles that sines and cosines are of.
    pub(super) multiples: FxHashMap<Fraction, Multiple>,
    /// A basis or a unit was refined: what was computed before is not comparable any more.
    pub(super) stale: bool,
    pub(super) budget: Budget,
    /// Signs taken for granted while a case is examined.
    cases: Vec<(Polynomial, SignSet)>,
}

impl Context {
    /// A context with these assumed signs of variables and this budget.
    pub fn new(assumptions: &BTreeMap<Arc<str>, SignSet>, steps: u64) -> Self {
        Self {
            table: KernelTable::default(),
            facts: Facts::default(),
            assumptions: assumptions.clone(),
            basis: Vec::new(),
            root_index: FxHashMap::default(),
            exponent_unit: FxHashMap::default(),
            angle_unit: FxHashMap::default(),
            multiples: FxHashMap::default(),
            stale: false,
            budget: Budget::new(steps),
            cases: Vec::new(),
        }
    }

    /// Takes a sign for granted from now on.
    pub fn assume_case(&mut self, polynomial: Polynomial, signs: SignSet) {
        self.cases.push((polynomial, signs));
    }

    /// The canonical forms of expressions on the set where all of them are defined.
    ///
    /// # Errors
    /// When the budget is spent, or when a denominator vanishes everywhere.
    pub fn canonicalize(&mut self, expressions: &[&Expression]) -> Result<Vec<Fraction>> {
        self.canonicalize_given(expressions, expressions)
    }

    /// The canonical forms of expressions on the set where all of `defined` are defined.
    ///
    /// # Errors
    /// As [`Self::canonicalize`].
    pub fn canonicalize_given(
        &mut self,
        expressions: &[&Expression],
        defined: &[&Expression],
    ) -> Result<Vec<Fraction>> {
        const ROUNDS: usize = 60;
        for _ in 0..ROUNDS {
            self.stale = false;
            self.facts = Facts::default();
            self.multiples.clear();
            for (name, signs) in self.assumptions.clone() {
                let generator = self.table.number(Kernel::Variable(name));
                self.facts.insert(&Polynomial::generator(generator), signs);
            }
            for (polynomial, signs) in self.cases.clone() {
                self.facts.insert(&polynomial, signs);
            }
            // Facts of the second round may use those of the first, of whatever order.
            for _ in 0..2 {
                for expression in defined {
                    self.learn(expression)?;
                }
            }
            let forms = expressions
                .iter()
                .map(|expression| self.form(expression))
                .collect::<Result<Vec<_>>>()?;
            if !self.stale {
                return Ok(forms);
            }
        }
        Err(Error::new(format!(
            "the limit of {ROUNDS} refinements of the kernels was reached"
        )))
    }

    /// Records the signs that the definedness of the expression implies.
    fn learn(&mut self, expression: &Expression) -> Result<()> {
        for condition in conditions(expression) {
            let form = self.form(&condition.quantity)?;
            let signs = match condition.relation {
                Relation::NonZero => SignSet::NON_ZERO,
                Relation::NonNegative => SignSet::NON_NEGATIVE,
                Relation::Positive => SignSet::POSITIVE,
                Relation::Real => continue,
            };
            if let Some(value) = form.as_constant() {
                if SignSet::of(&value).and(signs) != SignSet::of(&value) {
                    return Err(Error::new("one side is defined nowhere"));
                }
                continue;
            }
            self.facts.insert(&form.den, SignSet::NON_ZERO);
            if signs.within(SignSet::NON_ZERO) {
                self.facts.insert(&form.num, SignSet::NON_ZERO);
                // |b| and its roots do not vanish where b does not.
                for (generator, _) in form.num.monomial_content().0 {
                    if let Kernel::Abs(b) | Kernel::Root(b, _) = self.table.get(generator).clone() {
                        self.facts.insert(&b, SignSet::NON_ZERO);
                    }
                }
            }
            let product = form.num.mul(&form.den, &mut self.budget)?;
            self.facts.insert(&product, signs);
            let den = self.sign(&form.den);
            if den.within(SignSet::POSITIVE) || den.within(SignSet::NEGATIVE) {
                self.facts.insert(&form.num, signs.times(den));
            }
        }
        // What an inverse sine is taken of lies within ±1, and so does its square.
        for node in expression.post_order() {
            let bounded = Operator::Function(Function::Asin);
            if *node.operator() == bounded || *node.operator() == Operator::Function(Function::Acos)
            {
                let form = self.form(&node.arguments()[0])?;
                let (num, den) = (
                    form.num.mul(&form.num, &mut self.budget)?,
                    form.den.mul(&form.den, &mut self.budget)?,
                );
                let rest = self.reduce(den.sub(&num))?;
                self.facts.insert(&rest, SignSet::NON_NEGATIVE);
            }
        }
        Ok(())
    }

    /// The canonical form of one expression under the facts there are.
    fn form(&mut self, expression: &Expression) -> Result<Fraction> {
        expression
            .fold(|node, arguments: &[Arc<Fraction>]| {
                let arguments: Vec<&Fraction> = arguments.iter().map(AsRef::as_ref).collect();
                let form = self.node(node, &arguments)?;
                // What follows passes over the coefficients: signs, common divisors, hashes.
                self.budget.spend(
                    form.num
                        .reduction_steps()
                        .saturating_add(form.den.reduction_steps()),
                )?;
                Ok(Arc::new(form))
            })
            .map(|form| (*form).clone())
    }

    /// The canonical form of a node over the canonical forms of its arguments.
    pub(super) fn node(&mut self, node: &Expression, arguments: &[&Fraction]) -> Result<Fraction> {
        match node.operator() {
            Operator::Rational(value) => Ok(Fraction::constant(value.clone())),
            // A float is the exact binary number it holds.
            Operator::Float(bits) => BigRational::from_float(f64::from_bits(*bits))
                .map(Fraction::constant)
                .ok_or_else(|| Error::new("a float that is not finite")),
            Operator::Variable(name) => Ok(self.kernel(Kernel::Variable(name.clone()))),
            Operator::Pi => Ok(self.kernel(Kernel::Pi)),
            Operator::Add => self.add(arguments[0], arguments[1]),
            Operator::Sub => self.add(arguments[0], &arguments[1].neg()),
            Operator::Mul => self.mul(arguments[0], arguments[1]),
            Operator::Div => self.div(arguments[0], arguments[1]),
            Operator::Neg => Ok(arguments[0].neg()),
            Operator::Pow => self.power(arguments[0], arguments[1]),
            Operator::Function(function) => self.apply(*function, arguments),
            Operator::Tensor(operator) => Err(Error::new(format!(
                "'{}' acts on tensors and has no canonical form",
                operator.name
            ))),
        }
    }

    /// The generator as a fraction.
    pub(super) fn kernel(&mut self, kernel: Kernel) -> Fraction {
        Fraction::polynomial(Polynomial::generator(self.table.number(kernel)))
    }

    /// The signs a polynomial may have on D.
    pub fn sign(&self, polynomial: &Polynomial) -> SignSet {
        self.facts.sign(&self.table, polynomial)
    }

    /// The signs a fraction may have on D.
    pub fn sign_of_fraction(&self, fraction: &Fraction) -> SignSet {
        self.sign(&fraction.num)
            .times(self.sign(&fraction.den).and(SignSet::NON_ZERO))
    }

    /// Whether the polynomial is known not to vanish on D.
    pub(super) fn nonzero(&mut self, polynomial: &Polynomial) -> Result<bool> {
        if self.sign(polynomial).within(SignSet::NON_ZERO) {
            return Ok(true);
        }
        let known: Vec<Polynomial> = self.facts.nonzero().cloned().collect();
        for fact in known {
            if fact.div_exact(polynomial, &mut self.budget)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// e to the power of the fraction.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn exponential(&mut self, exponent: &Fraction) -> Result<Fraction> {
        self.exp(exponent)
    }

    /// The sine and the cosine of the fraction.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn circle_of(&mut self, angle: &Fraction) -> Result<(Fraction, Fraction)> {
        self.circle(angle)
    }

    pub fn add(&mut self, left: &Fraction, right: &Fraction) -> Result<Fraction> {
        if left.is_zero() {
            return Ok(right.clone());
        }
        if right.is_zero() {
            return Ok(left.clone());
        }
        if left.den == right.den {
            let num = left.num.add(&right.num);
            return if left.den.is_one() {
                // A sum of reduced polynomials is reduced.
                Ok(Fraction::polynomial(num))
            } else {
                self.normalize(num, left.den.clone())
            };
        }
        let common = gcd(&left.den, &right.den, &mut self.budget)?;
        let over = |den: &Polynomial, budget: &mut Budget| -> Result<Polynomial> {
            Ok(den
                .div_exact(&common, budget)?
                .unwrap_or_else(|| den.clone()))
        };
        let (rest_left, rest_right) = (
            over(&left.den, &mut self.budget)?,
            over(&right.den, &mut self.budget)?,
        );
        let a = left.num.mul(&rest_right, &mut self.budget)?;
        let b = right.num.mul(&rest_left, &mut self.budget)?;
        let den = left.den.mul(&rest_right, &mut self.budget)?;
        self.normalize(a.add(&b), den)
    }

    pub fn mul(&mut self, left: &Fraction, right: &Fraction) -> Result<Fraction> {
        if left.is_zero() || right.is_zero() {
            return Ok(Fraction::zero());
        }
        let num = left.num.mul(&right.num, &mut self.budget)?;
        let den = left.den.mul(&right.den, &mut self.budget)?;
        self.normalize(num, den)
    }

    pub fn div(&mut self, top: &Fraction, bottom: &Fraction) -> Result<Fraction> {
        if bottom.is_zero() {
            return Err(Error::new(NOWHERE_DEFINED));
        }
        let num = top.num.mul(&bottom.den, &mut self.budget)?;
        let den = top.den.mul(&bottom.num, &mut self.budget)?;
        self.normalize(num, den)
    }

    /// The fraction to an integer power.
    pub fn powi(&mut self, base: &Fraction, exponent: i64) -> Result<Fraction> {
        let magnitude = u32::try_from(exponent.unsigned_abs())
            .ok()
            .filter(|magnitude| *magnitude <= 1_000_000)
            .ok_or_else(|| Error::new("the limit of 1000000 for exponents was reached"))?;
        if base.is_zero() && exponent < 0 {
            return Err(Error::new(NOWHERE_DEFINED));
        }
        let num = base.num.pow(magnitude, &mut self.budget)?;
        let den = base.den.pow(magnitude, &mut self.budget)?;
        if exponent >= 0 {
            self.normalize(num, den)
        } else {
            self.normalize(den, num)
        }
    }

    /// A power: exact for integers, by magnitude for other numbers, through the exponential for positive bases.
    pub(super) fn power(&mut self, base: &Fraction, exponent: &Fraction) -> Result<Fraction> {
        if let Some(value) = exponent.as_constant() {
            if value.is_integer() {
                let exponent = value.to_integer().to_i64().unwrap_or(i64::MAX);
                return self.powi(base, exponent);
            }
            if base.is_zero() {
                // Zero to a positive power; a negative one is defined nowhere.
                return if value.is_positive() {
                    Ok(Fraction::zero())
                } else {
                    Err(Error::new(NOWHERE_DEFINED))
                };
            }
            // Defined for bases that are not negative only, so the magnitude is the base.
            return self.magnitude_power(base, &value);
        }
        if self.sign_of_fraction(base).within(SignSet::POSITIVE) {
            let logarithm = self.log_magnitude(base)?;
            let product = self.mul(exponent, &logarithm)?;
            return self.exp(&product);
        }
        Ok(self.kernel(Kernel::Pow(base.clone(), exponent.clone())))
    }

    /// The fraction in lowest terms, its kernels' relations applied.
    pub(super) fn normalize(&mut self, num: Polynomial, den: Polynomial) -> Result<Fraction> {
        let mut num = self.reduce(num)?;
        let mut den = self.reduce(den)?;
        if den.is_zero() {
            return Err(Error::new(NOWHERE_DEFINED));
        }
        if num.is_zero() {
            return Ok(Fraction::zero());
        }
        if let Some(value) = den.as_constant() {
            let whole = value.is_one();
            return Ok(Fraction::polynomial(if whole {
                num
            } else {
                num.scale(&value.recip())
            }));
        }
        let common = gcd(&num, &den, &mut self.budget)?;
        if !common.is_one() {
            num = num.div_exact(&common, &mut self.budget)?.unwrap_or(num);
            den = den.div_exact(&common, &mut self.budget)?.unwrap_or(den);
        }
        if let Some(factor) = self.rationalizer(&den) {
            let num = num.mul(&factor, &mut self.budget)?;
            let den = den.mul(&factor, &mut self.budget)?;
            return self.normalize(num, den);
        }
        let (content, primitive) = den.primitive();
        Ok(Fraction {
            num: num.scale(&content.recip()),
            den: primitive,
        })
    }

    /// What takes roots and magnitudes out of a denominator that is one term.
    fn rationalizer(&self, den: &Polynomial) -> Option<Polynomial> {
        let [(monomial, _)] = den.terms() else {
            return None;
        };
        monomial
            .0
            .iter()
            .find_map(|&(generator, exponent)| match self.table.get(generator) {
                Kernel::Root(_, index) => Some(Polynomial::term(
                    Monomial::power(generator, index - exponent % index),
                    BigRational::one(),
                )),
                Kernel::Abs(_) if exponent % 2 == 1 => Some(Polynomial::generator(generator)),
                _ => None,
            })
    }

    /// The polynomial with the relations of its kernels applied.
    fn reduce(&mut self, polynomial: Polynomial) -> Result<Polynomial> {
        if !polynomial
            .terms()
            .iter()
            .any(|(monomial, _)| self.reducible(monomial).is_some())
        {
            return Ok(polynomial);
        }
        let mut done: FxHashMap<Monomial, BigRational> = FxHashMap::default();
        let mut pending: Vec<Polynomial> = vec![polynomial];
        while let Some(next) = pending.pop() {
            for (monomial, coefficient) in next.terms() {
                self.budget.spend(1)?;
                match self.reducible(monomial) {
                    None => {
                        *done
                            .entry(monomial.clone())
                            .or_insert_with(BigRational::zero) += coefficient
                    }
                    Some((rest, replacement, power)) => {
                        let replaced = replacement.pow(power, &mut self.budget)?;
                        let rest = Polynomial::term(rest, coefficient.clone());
                        pending.push(replaced.mul(&rest, &mut self.budget)?);
                    }
                }
            }
        }
        Ok(Polynomial::from_map(done))
    }

    /// For a monomial that a relation applies to: what is left of it, and what power of what replaces the rest.
    fn reducible(&self, monomial: &Monomial) -> Option<(Monomial, Polynomial, u32)> {
        monomial.0.iter().find_map(|&(generator, exponent)| {
            let lowered = |left: u32| {
                monomial
                    .without(generator)
                    .mul(&Monomial::power(generator, left))
            };
            match self.table.get(generator) {
                Kernel::Root(b, index) if exponent >= *index => Some((
                    lowered(exponent % index),
                    self.magnitude(b),
                    exponent / index,
                )),
                Kernel::Abs(b) if exponent >= 2 => {
                    Some((lowered(exponent % 2), b.clone(), exponent / 2 * 2))
                }
                Kernel::Cos(angle) if self.multiples.contains_key(angle) => {
                    self.multiples[angle].power_of_cosine(generator, monomial)
                }
                Kernel::Sin(angle) if exponent == 1 => {
                    let cosine = self.known(&Kernel::Cos(angle.clone()))?;
                    let multiple = self.multiples.get(angle)?;
                    multiple.sine_times_power([generator, cosine], monomial)
                }
                Kernel::Sin(angle) if exponent >= 2 => {
                    let cosine = self.known(&Kernel::Cos(angle.clone()))?;
                    let square = Polynomial::term(Monomial::power(cosine, 2), -BigRational::one());
                    Some((
                        lowered(exponent % 2),
                        Polynomial::one().add(&square),
                        exponent / 2,
                    ))
                }
                Kernel::Sign(b) => {
                    if exponent >= 3 {
                        return Some((lowered(2 - exponent % 2), Polynomial::one(), 1));
                    }
                    let magnitude = self.known(&Kernel::Abs(b.clone()))?;
                    let left = lowered(exponent - 1).div(&Monomial::power(magnitude, 1))?;
                    Some((left, b.clone(), 1))
                }
                _ => None,
            }
        })
    }

    fn known(&self, kernel: &Kernel) -> Option<u32> {
        self.table.find(kernel)
    }

    /// |b| where its kernel exists or its sign is known; the caller made sure of one of them.
    fn magnitude(&self, b: &Polynomial) -> Polynomial {
        let signs = self.sign(b);
        if signs.within(SignSet::NON_NEGATIVE) {
            b.clone()
        } else if signs.within(SignSet::NON_POSITIVE) {
            b.neg()
        } else {
            match self.known(&Kernel::Abs(b.clone())) {
                Some(generator) => Polynomial::generator(generator),
                None => b.clone(),
            }
        }
    }

    /// The number of the kernel of |b|, made where it is needed for the relation of a root.
    pub(super) fn root_kernel(&mut self, b: &Polynomial, index: u32) -> u32 {
        self.table.number(Kernel::Abs(b.clone()));
        self.table.number(Kernel::Root(b.clone(), index))
    }

    /// The least common multiple of two denominators.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn common_multiple(&mut self, left: &Polynomial, right: &Polynomial) -> Result<Polynomial> {
        let common = gcd(left, right, &mut self.budget)?;
        let rest = right
            .div_exact(&common, &mut self.budget)?
            .unwrap_or_else(|| right.clone());
        Ok(left.mul(&rest, &mut self.budget)?.primitive().1)
    }

    /// The numerator of a fraction written over a multiple of its denominator.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn over(&mut self, fraction: &Fraction, den: &Polynomial) -> Result<Polynomial> {
        let factor = den
            .div_exact(&fraction.den, &mut self.budget)?
            .ok_or_else(|| Error::new("a denominator does not divide the common one"))?;
        let product = fraction.num.mul(&factor, &mut self.budget)?;
        self.reduce(product)
    }

    /// A small integer from a count.
    pub(super) fn integer(value: impl Into<BigInt>) -> BigRational {
        BigRational::from_integer(value.into())
    }
}
