//! Canonical forms back to expressions.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use rustc_hash::FxHashMap;

use super::build::{add, call, div, mul, neg, pow, powi, sub};
use super::canonical::Context;
use super::expression::Expression;
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use super::sign::SignSet;
use crate::error::Result;

/// Products of powers that were written in one sum.
type Products<'a> = FxHashMap<&'a [(u32, u32)], Expression>;

impl Context {
    /// The expression of a fraction.
    pub fn to_expression(&self, fraction: &Fraction) -> Expression {
        Writer::new(self, [&fraction.num, &fraction.den]).fraction(fraction)
    }

    /// The expression of a fraction as a product of powers over the basis of coprime factors.
    ///
    /// # Errors
    /// When the budget is spent.
    pub fn factored(&mut self, fraction: &Fraction) -> Result<Expression> {
        if fraction.is_zero() {
            return Ok(Expression::integer(0));
        }
        let factors = self.factors(fraction)?;
        let writer = Writer::new(self, [&fraction.num, &fraction.den]);
        let mut sides = [Vec::new(), Vec::new()];
        let generators = factors
            .generators
            .iter()
            .map(|&(g, e)| (Polynomial::generator(g), e));
        for (element, exponent) in generators.chain(factors.elements) {
            let side = usize::from(exponent < 0);
            let power = writer.sum(&element);
            sides[side].push(powi(power, exponent.abs()));
        }
        let [top, bottom] = sides.map(|side| side.into_iter().reduce(mul));
        let number = |n: &BigInt| Expression::integer(n.clone());
        let with = |n: &BigInt, product: Option<Expression>| match product {
            Some(product) => mul(number(n), product),
            None => number(n),
        };
        Ok(div(
            with(factors.content.numer(), top),
            with(factors.content.denom(), bottom),
        ))
    }
}

/// Expressions of the kernels of one fraction, inner ones first: nothing is written twice, and nothing recursively.
struct Writer<'c> {
    context: &'c Context,
    written: FxHashMap<u32, Expression>,
}

impl<'c> Writer<'c> {
    /// For polynomials over what these are over.
    fn new<'p>(context: &'c Context, over: impl IntoIterator<Item = &'p Polynomial>) -> Self {
        let mut writer = Self {
            context,
            written: FxHashMap::default(),
        };
        for generator in context.table.reached(over) {
            let expression = writer.kernel_expression(context.table.get(generator));
            writer.written.insert(generator, expression);
        }
        writer
    }

    fn fraction(&self, fraction: &Fraction) -> Expression {
        if fraction.den.is_one() {
            return self.sum(&fraction.num);
        }
        let (content, primitive) = fraction.num.primitive();
        // A rational factor is shared between the two sides: (3/2)·p/q = 3p/(2q).
        let top = scaled(
            self.sum(&primitive),
            &BigRational::from_integer(content.numer().clone()),
            &primitive,
            self,
        );
        let bottom = scaled(
            self.sum(&fraction.den),
            &BigRational::from_integer(content.denom().clone()),
            &fraction.den,
            self,
        );
        div(top, bottom)
    }

    fn sum(&self, polynomial: &Polynomial) -> Expression {
        // High total degrees first, positive terms first among equals.
        let mut terms: Vec<&(Monomial, BigRational)> = polynomial.terms().iter().collect();
        terms.sort_by_cached_key(|(monomial, coefficient)| {
            (
                std::cmp::Reverse(monomial.degree()),
                coefficient.is_negative(),
            )
        });
        if let Some(first) = terms
            .iter()
            .position(|(_, coefficient)| coefficient.is_positive())
            && first > 0
        {
            let term = terms.remove(first);
            terms.insert(0, term);
        }
        let mut total: Option<Expression> = None;
        let mut known = Products::default();
        for (monomial, coefficient) in terms {
            let product = self.product(monomial, &coefficient.abs(), &mut known);
            total = Some(match (total, coefficient.is_negative()) {
                (None, false) => product,
                (None, true) => neg(product),
                (Some(sum), false) => add(sum, product),
                (Some(sum), true) => sub(sum, product),
            });
        }
        total.unwrap_or_else(|| Expression::integer(0))
    }

    fn product<'a>(
        &self,
        monomial: &'a Monomial,
        coefficient: &BigRational,
        known: &mut Products<'a>,
    ) -> Expression {
        let product = self.product_of_powers(&monomial.0, known);
        match product {
            None => Expression::rational(coefficient.clone()),
            Some(product) if coefficient.is_one() => product,
            // c/d·p is written c·p/d.
            Some(product) => {
                let top = mul(Expression::integer(coefficient.numer().clone()), product);
                if coefficient.denom().is_one() {
                    top
                } else {
                    div(top, Expression::integer(coefficient.denom().clone()))
                }
            }
        }
    }

    /// The product of powers of generators, none of the empty product; equal beginnings are one node.
    fn product_of_powers<'a>(
        &self,
        powers: &'a [(u32, u32)],
        known: &mut Products<'a>,
    ) -> Option<Expression> {
        let is_exponential = |(generator, _): &(u32, u32)| {
            matches!(self.context.table.get(*generator), Kernel::Exp(_))
        };
        if !powers.iter().any(is_exponential) {
            let (last, before) = powers.split_last()?;
            if let Some(product) = known.get(powers) {
                return Some(product.clone());
            }
            let power = match before {
                [] => self.power_of_generator(*last),
                _ => self.product_of_powers(std::slice::from_ref(last), known)?,
            };
            let product = match self.product_of_powers(before, known) {
                None => power,
                Some(product) => mul(product, power),
            };
            known.insert(powers, product.clone());
            return Some(product);
        }
        let mut exponent = Fraction::zero();
        let mut factors = Vec::new();
        for &(generator, power) in powers {
            match self.context.table.get(generator) {
                // exp(u)·exp(v) is written exp(u + v).
                Kernel::Exp(argument) => {
                    let argument = argument.scale(&BigRational::from_integer(BigInt::from(power)));
                    exponent = if exponent.is_zero() {
                        argument
                    } else {
                        self.plain_sum(&exponent, &argument)
                    };
                }
                _ => factors.push(self.power_of_generator((generator, power))),
            }
        }
        if !exponent.is_zero() {
            factors.push(call(Function::Exp, self.fraction(&exponent)));
        }
        factors.into_iter().reduce(mul)
    }

    fn power_of_generator(&self, (generator, power): (u32, u32)) -> Expression {
        match self.context.table.get(generator) {
            Kernel::Root(b, index) => self.root(b, power, *index),
            _ => powi(self.written[&generator].clone(), i64::from(power)),
        }
    }

    /// The sum of two fractions without looking for common factors.
    fn plain_sum(&self, a: &Fraction, b: &Fraction) -> Fraction {
        if a.den == b.den {
            return Fraction {
                num: a.num.add(&b.num),
                den: a.den.clone(),
            };
        }
        let mut budget = super::budget::Budget::new(1_000_000);
        let cross = |p: &Polynomial, q: &Polynomial, budget: &mut super::budget::Budget| {
            p.mul(q, budget).unwrap_or_default()
        };
        let num = cross(&a.num, &b.den, &mut budget).add(&cross(&b.num, &a.den, &mut budget));
        Fraction {
            num,
            den: cross(&a.den, &b.den, &mut budget),
        }
    }

    fn root(&self, b: &Polynomial, power: u32, index: u32) -> Expression {
        let base = self.magnitude_expression(b);
        let exponent = BigRational::new(power.into(), index.into());
        if *exponent.denom() == BigInt::from(2) {
            return powi(
                call(Function::Sqrt, base),
                i64::try_from(exponent.numer()).unwrap_or(1),
            );
        }
        pow(base, Expression::rational(exponent))
    }

    fn magnitude_expression(&self, b: &Polynomial) -> Expression {
        let signs = self.context.sign(b);
        if signs.within(SignSet::NON_NEGATIVE) {
            self.sum(b)
        } else if signs.within(SignSet::NON_POSITIVE) {
            self.sum(&b.neg())
        } else {
            call(Function::Abs, self.sum(b))
        }
    }

    fn kernel_expression(&self, kernel: &Kernel) -> Expression {
        let one = |function, u: &Fraction| call(function, self.fraction(u));
        match kernel {
            Kernel::Variable(name) => Expression::variable(name),
            Kernel::Pi => Expression::pi(),
            Kernel::Exp(u) => one(Function::Exp, u),
            Kernel::Log(b) => call(Function::Log, self.magnitude_expression(b)),
            Kernel::Root(b, index) => self.root(b, 1, *index),
            Kernel::Abs(b) => call(Function::Abs, self.sum(b)),
            Kernel::Sign(b) => call(Function::Sign, self.sum(b)),
            Kernel::Sin(u) => one(Function::Sin, u),
            Kernel::Cos(u) => one(Function::Cos, u),
            Kernel::Floor(u) => one(Function::Floor, u),
            Kernel::Erf(u) => one(Function::Erf, u),
            Kernel::Asin(u) => one(Function::Asin, u),
            Kernel::Atan(u) => one(Function::Atan, u),
            Kernel::Pow(u, v) => pow(self.fraction(u), self.fraction(v)),
        }
    }
}

/// A number times a sum: into the only term, or in front.
fn scaled(
    sum: Expression,
    factor: &BigRational,
    polynomial: &Polynomial,
    writer: &Writer<'_>,
) -> Expression {
    if factor.is_one() || factor.is_zero() {
        return sum;
    }
    if polynomial.terms().len() == 1 {
        return writer.sum(&polynomial.scale(factor));
    }
    mul(Expression::rational(factor.clone()), sum)
}
