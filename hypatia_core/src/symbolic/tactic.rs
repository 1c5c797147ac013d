//! Named tactics: what the user asks for by name, over arithmetic with functions left alone.

use num_traits::Signed;
use rustc_hash::FxHashMap;

use super::build;
use super::canonical::Context;
use super::domain::constant_exponent;
use super::expression::{Expression, Operator};
use super::factor::factor_polynomial;
use super::identity::Family;
use super::kernel::{Fraction, Kernel};
use super::polynomial::Polynomial;
use super::prove::Assumptions;
use super::search::{Limits, cheapest};
use crate::error::{Error, Result};

/// Algebra steps of a tactic.
const STEPS: u64 = 200_000_000;
const SEARCH: Limits = Limits {
    rounds: 6,
    nodes: 5_000,
};

/// A tactic by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tactic {
    /// Products and whole powers of sums multiplied out.
    Expand,
    /// Products of factors.
    Factor,
    /// One fraction in lowest terms, multiplied out.
    Cancel,
    /// One fraction in lowest terms, its sides in factors.
    Together,
    Trigsimp,
    Powsimp,
    Logcombine,
}

/// Applies a tactic.
///
/// `cancel`, `together` and `factor` remove common factors, so the result may be defined where the original is
/// not; the others keep the domain or enlarge it as their identities do.
///
/// # Errors
/// When the limit of algebra steps is reached, or a denominator is zero everywhere.
pub fn apply(
    tactic: Tactic,
    expression: &Expression,
    assumptions: &Assumptions,
) -> Result<Expression> {
    if expression.has_tensors() {
        return Err(Error::new("tensor operators take no scalar tactics"));
    }
    let families: &[Family] = match tactic {
        Tactic::Trigsimp => &[Family::Arithmetic, Family::Trigonometry, Family::Hyperbolic],
        Tactic::Powsimp => &[Family::Power],
        Tactic::Logcombine => &[Family::Logarithm],
        _ => return arithmetic(tactic, expression),
    };
    let mut best = super::simplify::simplify(expression, assumptions, super::cost::Cost::Nodes);
    if tactic != Tactic::Trigsimp {
        best = expression.clone();
    }
    while let Some(better) = cheapest(&best, assumptions, families, SEARCH) {
        best = better;
    }
    Ok(best)
}

/// Bottom-up: arguments of functions first, then the arithmetic around them, functions standing for themselves.
fn arithmetic(tactic: Tactic, expression: &Expression) -> Result<Expression> {
    let rewritten = expression.fold(|node, arguments: &[Expression]| {
        let is_function = matches!(node.operator(), Operator::Function(_)) || is_opaque_power(node);
        if !is_function {
            return Ok(node.with_arguments(arguments));
        }
        let inner = arguments
            .iter()
            .map(|argument| sum(tactic, argument))
            .collect::<Result<Vec<_>>>()?;
        Ok(node.with_arguments(&inner))
    })?;
    sum(tactic, &rewritten)
}

fn is_opaque_power(node: &Expression) -> bool {
    matches!(node.operator(), Operator::Pow)
        && !constant_exponent(&node.arguments()[1]).is_some_and(|n| n.is_integer())
}

/// One arithmetic expression over opaque parts.
fn sum(tactic: Tactic, expression: &Expression) -> Result<Expression> {
    let mut opaque = Opaque {
        context: Context::new(&Assumptions::new(), STEPS),
        parts: FxHashMap::default(),
    };
    let form = opaque.form(expression, tactic == Tactic::Expand)?;
    let result = match tactic {
        Tactic::Factor | Tactic::Together => opaque.factored(&form)?,
        _ => opaque.context.to_expression(&form),
    };
    Ok(opaque.restore(&result))
}

/// Arithmetic in which functions are variables of their own.
struct Opaque {
    context: Context,
    parts: FxHashMap<String, Expression>,
}

impl Opaque {
    fn form(&mut self, expression: &Expression, keep_denominators: bool) -> Result<Fraction> {
        let mut numbers: FxHashMap<Expression, usize> = FxHashMap::default();
        let mut boundary = Vec::new();
        let mut stack = vec![expression.clone()];
        // What lies below a function is not looked at.
        while let Some(node) = stack.pop() {
            let opaque = matches!(node.operator(), Operator::Function(_) | Operator::Float(_))
                || is_opaque_power(&node);
            if opaque {
                if !numbers.contains_key(&node) {
                    numbers.insert(node.clone(), numbers.len());
                    boundary.push(node);
                }
            } else {
                stack.extend(node.arguments().iter().cloned());
            }
        }
        self.evaluate(expression, &numbers, keep_denominators)
    }

    fn evaluate(
        &mut self,
        expression: &Expression,
        numbers: &FxHashMap<Expression, usize>,
        keep_denominators: bool,
    ) -> Result<Fraction> {
        expression.fold(|node, arguments: &[Fraction]| {
            if let Some(number) = numbers.get(node) {
                return Ok(self.part(&format!(" {number}"), node));
            }
            match node.operator() {
                // An opaque part's own parts are not used.
                Operator::Function(_) | Operator::Float(_) => Ok(Fraction::zero()),
                Operator::Pow if is_opaque_power(node) => Ok(Fraction::zero()),
                Operator::Pow => {
                    let exponent = constant_exponent(&node.arguments()[1]).unwrap_or_default();
                    let exponent: i64 = exponent
                        .to_integer()
                        .try_into()
                        .map_err(|_| Error::new("the limit for exponents was reached"))?;
                    if keep_denominators && exponent < 0 && arguments[0].as_constant().is_none() {
                        let kept = build::powi(self.context.to_expression(&arguments[0]), exponent);
                        let kept = self.restore(&kept);
                        return Ok(self.part(&format!(" p{}", self.parts.len()), &kept));
                    }
                    self.context.powi(&arguments[0], exponent)
                }
                Operator::Div if keep_denominators && arguments[1].as_constant().is_none() => {
                    let bottom = self.context.to_expression(&arguments[1]);
                    let kept = build::div(build::one(), self.restore(&bottom));
                    let inverse = self.part(&format!(" q{}", self.parts.len()), &kept);
                    self.context.mul(&arguments[0], &inverse)
                }
                _ => {
                    let arguments: Vec<&Fraction> = arguments.iter().collect();
                    self.context.arithmetic(node, &arguments)
                }
            }
        })
    }

    fn part(&mut self, name: &str, meaning: &Expression) -> Fraction {
        if let Some((known, _)) = self.parts.iter().find(|(_, part)| *part == meaning) {
            let known = known.clone();
            return Fraction::polynomial(Polynomial::generator(
                self.context
                    .table
                    .number(Kernel::Variable(known.as_str().into())),
            ));
        }
        self.parts.insert(name.to_string(), meaning.clone());
        Fraction::polynomial(Polynomial::generator(
            self.context.table.number(Kernel::Variable(name.into())),
        ))
    }

    /// The parts in place of their names.
    fn restore(&self, expression: &Expression) -> Expression {
        if self.parts.is_empty() {
            return expression.clone();
        }
        let restored = expression.fold(|node, arguments: &[Expression]| {
            Ok::<_, std::convert::Infallible>(match node.operator() {
                Operator::Variable(name) => self
                    .parts
                    .get(&**name)
                    .cloned()
                    .unwrap_or_else(|| node.clone()),
                // a·(1/b) is written a/b.
                Operator::Mul
                    if is_inverse(&arguments[1]) && node.arguments()[1].arguments().is_empty() =>
                {
                    build::div(arguments[0].clone(), arguments[1].arguments()[1].clone())
                }
                _ => node.with_arguments(arguments),
            })
        });
        match restored {
            Ok(restored) => restored,
            Err(never) => match never {},
        }
    }

    fn factored(&mut self, form: &Fraction) -> Result<Expression> {
        if form.is_zero() {
            return Ok(build::zero());
        }
        let mut sides = Vec::new();
        for polynomial in [&form.num, &form.den] {
            let (content, factors) = self.context.factor(polynomial)?;
            let mut product: Option<Expression> = None;
            for (factor, exponent) in factors {
                let base = self.context.to_expression(&Fraction::polynomial(factor));
                let power = build::powi(base, i64::from(exponent));
                product = Some(match product {
                    None => power,
                    Some(product) => build::mul(product, power),
                });
            }
            sides.push((content, product));
        }
        let content = &sides[0].0 / &sides[1].0;
        let with = |number: &num_bigint::BigInt, product: &Option<Expression>| match product {
            Some(product) => build::mul(Expression::integer(number.clone()), product.clone()),
            None => Expression::integer(number.clone()),
        };
        let negative = content.is_negative();
        let content = content.abs();
        let quotient = build::div(
            with(content.numer(), &sides[0].1),
            with(content.denom(), &sides[1].1),
        );
        Ok(if negative {
            build::neg(quotient)
        } else {
            quotient
        })
    }
}

fn is_inverse(expression: &Expression) -> bool {
    matches!(expression.operator(), Operator::Div)
        && expression.arguments()[0].is_integer_constant(1)
}

impl Context {
    /// The factors of a polynomial: a number and polynomials with their multiplicities.
    fn factor(
        &mut self,
        polynomial: &Polynomial,
    ) -> Result<(num_rational::BigRational, Vec<(Polynomial, u32)>)> {
        factor_polynomial(polynomial, &mut self.budget)
    }

    /// The form of an arithmetic node.
    fn arithmetic(&mut self, node: &Expression, arguments: &[&Fraction]) -> Result<Fraction> {
        self.node(node, arguments)
    }
}
