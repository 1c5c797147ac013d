//! A second look at a proof: its steps, one after another, with no search.
//!
//! A step by an identity has to be an instance of its row, at one place of the term, with the row's signs shown and
//! the new term defined wherever both sides are. A step by algebra is computed again in a context of its own. All
//! steps are also held against enclosures in multiple precision at fixed points, and rational ones against
//! arithmetic in a prime field, neither of which the prover uses to prove.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::ToPrimitive;

use super::canonical::Context;
use super::domain::{Relation, conditions};
use super::enclosure::enclose;
use super::expression::{Expression, Operator};
use super::identity::{IDENTITIES, Identity};
use super::interval::Arithmetic;
use super::parse::parse;
use super::prove::{Assumptions, PROOF_STEPS, Step, by_algebra};
use super::sample::points;
use super::sign::SignSet;
use crate::error::{Error, Result};

/// Algebra steps for one sign.
const SIGN_STEPS: u64 = 200_000;
/// Precision of the enclosures, and how many points they are taken at.
const BITS: usize = 256;
const MIXTURES: usize = 24;
/// The prime 2^61 − 1, and at how many points of its field rational steps are compared.
const PRIME: u64 = (1 << 61) - 1;
const FIELD_POINTS: u64 = 4;

/// Whether the steps lead from the left side to the right side, each as its rule says.
///
/// # Errors
/// Names the first step that does not hold up, and why.
pub fn replay(
    left: &Expression,
    right: &Expression,
    steps: &[Step],
    assumptions: &Assumptions,
) -> Result<()> {
    let mut current = left;
    for (number, step) in steps.iter().enumerate() {
        let fails = |why: String| Error::new(format!("step {}, {}: {why}", number + 1, step.rule));
        if step.before != *current {
            return Err(fails(
                "it does not start where the one before ends".to_string(),
            ));
        }
        let checker = Checker {
            sides: [left, right],
            assumptions,
        };
        checker.step(step).map_err(|error| fails(error.0))?;
        checker
            .by_enclosures(step)
            .map_err(|error| fails(error.0))?;
        by_field(&step.before, &step.after).map_err(|error| fails(error.0))?;
        current = &step.after;
    }
    if current == right {
        Ok(())
    } else {
        Err(Error::new("the last step does not end at the right side"))
    }
}

struct Checker<'a> {
    /// All terms have to be defined wherever both of these are.
    sides: [&'a Expression; 2],
    assumptions: &'a Assumptions,
}

impl Checker<'_> {
    fn step(&self, step: &Step) -> Result<()> {
        let name = step.rule.trim_end_matches("-backwards");
        if let Some(identity) = IDENTITIES.iter().find(|identity| identity.name == name) {
            return self.by_identity(identity, &step.before, &step.after);
        }
        match name {
            "exact-arithmetic" => by_arithmetic(&step.before, &step.after),
            "congruence" => Err(Error::new("it names no rule")),
            rule => match by_algebra(
                &step.before,
                &step.after,
                self.sides,
                self.assumptions,
                PROOF_STEPS,
            )? {
                Some(_) => Ok(()),
                None => Err(Error::new(format!(
                    "'{rule}' does not follow when computed again"
                ))),
            },
        }
    }

    fn by_identity(
        &self,
        identity: &Identity,
        before: &Expression,
        after: &Expression,
    ) -> Result<()> {
        let side = |text: &str| parse(&text.replace('?', ""));
        let (row_left, row_right) = (side(identity.left)?, side(identity.right)?);
        let (old, new) = difference(before, after);
        for (from, to) in [(&row_left, &row_right), (&row_right, &row_left)] {
            let mut bound = BTreeMap::new();
            // Both sides are matched: a variable may stand on one of them alone.
            if !matches(from, &old, &mut bound) || !matches(to, &new, &mut bound) {
                continue;
            }
            for (variable, signs) in identity.conditions {
                let part = bound
                    .get(variable.trim_start_matches('?'))
                    .ok_or_else(|| Error::new(format!("{variable} is not bound")))?;
                if !self.sign(part)?.within(*signs) {
                    return Err(Error::new(format!("the sign of {part:?} is not known")));
                }
            }
            return self.defined(after);
        }
        Err(Error::new(format!(
            "{old:?} to {new:?} is no instance of {}",
            identity.name
        )))
    }

    /// The signs that a part may have wherever both sides are defined.
    fn sign(&self, part: &Expression) -> Result<SignSet> {
        let mut context = Context::new(self.assumptions, SIGN_STEPS);
        let forms = context.canonicalize_given(&[part], &self.sides)?;
        Ok(context.sign_of_fraction(&forms[0]))
    }

    /// Whether a term is defined wherever both sides are.
    fn defined(&self, term: &Expression) -> Result<()> {
        let given: Vec<_> = self
            .sides
            .iter()
            .flat_map(|side| conditions(side))
            .collect();
        for condition in conditions(term) {
            let wanted = match condition.relation {
                Relation::NonZero => SignSet::NON_ZERO,
                Relation::NonNegative => SignSet::NON_NEGATIVE,
                Relation::Positive | Relation::Real => SignSet::POSITIVE,
            };
            let quantity = match (condition.relation, condition.quantity.arguments()) {
                (Relation::Real, [base, _]) => base,
                _ => &condition.quantity,
            };
            if !given.contains(&condition) && !self.sign(quantity)?.within(wanted) {
                return Err(Error::new(format!(
                    "the new term needs {condition}, which does not follow from the sides"
                )));
            }
        }
        Ok(())
    }

    /// Enclosures of both terms meet at every point at which the sides are defined.
    fn by_enclosures(&self, step: &Step) -> Result<()> {
        let mut arithmetic =
            Arithmetic::new(BITS).ok_or_else(|| Error::new("no multiple precision"))?;
        let mut names: Vec<Arc<str>> = self
            .sides
            .iter()
            .flat_map(|side| side.variables())
            .collect();
        names.extend(
            step.before
                .variables()
                .into_iter()
                .chain(step.after.variables()),
        );
        names.sort();
        names.dedup();
        for point in points(&names, self.assumptions, MIXTURES) {
            let mut value = |term: &Expression| enclose(&mut arithmetic, term, &point).ok();
            if self.sides.iter().any(|side| value(side).is_none()) {
                continue;
            }
            if let (Some(a), Some(b)) = (value(&step.before), value(&step.after))
                && a.disjoint(&b)
            {
                return Err(Error::new(format!("the terms differ at {point:?}")));
            }
        }
        Ok(())
    }
}

/// The innermost parts in which two terms differ at one place.
fn difference(before: &Expression, after: &Expression) -> (Expression, Expression) {
    let (mut old, mut new) = (before.clone(), after.clone());
    loop {
        let unequal: Vec<usize> = old
            .arguments()
            .iter()
            .zip(new.arguments())
            .enumerate()
            .filter(|(_, (a, b))| a != b)
            .map(|(index, _)| index)
            .collect();
        let same =
            old.operator() == new.operator() && old.arguments().len() == new.arguments().len();
        match unequal[..] {
            [index] if same => {
                let deeper = (
                    old.arguments()[index].clone(),
                    new.arguments()[index].clone(),
                );
                (old, new) = deeper;
            }
            _ => return (old, new),
        }
    }
}

/// Whether a term is an instance of a pattern, whose variables stand for terms.
fn matches(
    pattern: &Expression,
    term: &Expression,
    bound: &mut BTreeMap<String, Expression>,
) -> bool {
    if let Operator::Variable(name) = pattern.operator() {
        return *bound
            .entry(name.to_string())
            .or_insert_with(|| term.clone())
            == *term;
    }
    pattern.operator() == term.operator()
        && pattern.arguments().len() == term.arguments().len()
        && pattern
            .arguments()
            .iter()
            .zip(term.arguments())
            .all(|(p, t)| matches(p, t, bound))
}

/// Whether two terms differ by exact arithmetic on numbers at one place.
fn by_arithmetic(before: &Expression, after: &Expression) -> Result<()> {
    let (old, new) = difference(before, after);
    let value = |term: &Expression| folded(term).as_rational().cloned();
    match (value(&old), value(&new)) {
        (Some(a), Some(b)) if a == b => Ok(()),
        _ => Err(Error::new(format!("{old:?} is not the number {new:?}"))),
    }
}

fn folded(term: &Expression) -> Expression {
    let result = term.fold(|node, arguments: &[Expression]| {
        use super::build::{add, div, mul, neg, sub};
        let argument = |index: usize| arguments[index].clone();
        Ok::<_, std::convert::Infallible>(match node.operator() {
            Operator::Add => add(argument(0), argument(1)),
            Operator::Sub => sub(argument(0), argument(1)),
            Operator::Mul => mul(argument(0), argument(1)),
            Operator::Div => div(argument(0), argument(1)),
            Operator::Neg => neg(argument(0)),
            _ => node.with_arguments(arguments),
        })
    });
    match result {
        Ok(result) => result,
        Err(never) => match never {},
    }
}

/// Rational functions that agree are equal at the points of a prime field, where both have a value (Schwartz 1980,
/// Zippel 1979); terms with other functions are left alone.
fn by_field(before: &Expression, after: &Expression) -> Result<()> {
    for point in 1..=FIELD_POINTS {
        if let (Some(a), Some(b)) = (residue(before, point), residue(after, point))
            && a != b
        {
            return Err(Error::new("the terms differ modulo 2^61 - 1"));
        }
    }
    Ok(())
}

/// The value in the prime field, variables by their names; none outside rational functions and at poles.
fn residue(term: &Expression, point: u64) -> Option<u64> {
    let product = |a: u64, b: u64| ((u128::from(a) * u128::from(b)) % u128::from(PRIME)) as u64;
    let power = |mut base: u64, mut exponent: u64| {
        let mut result = 1;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = product(result, base);
            }
            base = product(base, base);
            exponent >>= 1;
        }
        result
    };
    let inverse = |a: u64| (a != 0).then(|| power(a, PRIME - 2));
    let reduced = |n: &BigInt| n.mod_floor(&BigInt::from(PRIME)).to_u64();
    let result = term.fold(|node, arguments: &[u64]| {
        let value = match node.operator() {
            Operator::Rational(value) => reduced(value.numer())
                .zip(reduced(value.denom()).and_then(inverse))
                .map(|(top, bottom)| product(top, bottom)),
            Operator::Variable(name) => {
                // A fixed number by the name's letters and the point.
                let mix = |hash: u64, byte: u8| {
                    product(hash ^ u64::from(byte), 0x9e37_79b9_7f4a_7c15 % PRIME) + 1
                };
                Some(name.bytes().fold(point, mix) % PRIME)
            }
            Operator::Add => Some((arguments[0] + arguments[1]) % PRIME),
            Operator::Sub => Some((arguments[0] + PRIME - arguments[1]) % PRIME),
            Operator::Mul => Some(product(arguments[0], arguments[1])),
            Operator::Div => inverse(arguments[1]).map(|i| product(arguments[0], i)),
            Operator::Neg => Some((PRIME - arguments[0]) % PRIME),
            Operator::Pow => node.arguments()[1]
                .as_rational()
                .filter(|exponent| exponent.is_integer())
                .and_then(|exponent| exponent.to_integer().to_i64())
                .and_then(|exponent| {
                    let value = power(arguments[0], exponent.unsigned_abs());
                    if exponent < 0 {
                        inverse(value)
                    } else {
                        Some(value)
                    }
                }),
            _ => None,
        };
        value.ok_or(())
    });
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::super::prove::{Status, prove};
    use super::*;

    fn expression(text: &str) -> Expression {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn proof(left: &str, right: &str) -> (Expression, Expression, Vec<Step>) {
        let (left, right) = (expression(left), expression(right));
        let answer = prove(&left, &right, &Assumptions::new(), PROOF_STEPS);
        assert_eq!(
            answer.status,
            Status::Proved,
            "{left:?} {right:?} {:?}",
            answer.reason
        );
        (left, right, answer.steps)
    }

    #[test]
    fn proofs_are_replayed() {
        let pairs = [
            ("(x+y)^2", "x^2 + 2*x*y + y^2"),
            ("x/x", "1"),
            ("sin(2*x)", "2*sin(x)*cos(x)"),
            ("max(x, -x)", "abs(x)"),
            ("relu(x) - relu(-x)", "x"),
            ("max(max(x, y), z)", "max(x, max(y, z))"),
            ("asin(x) + acos(x)", "pi/2"),
            ("log(x^2)", "2*log(abs(x))"),
            ("sqrt(x^2 + 2*x + 1)", "abs(x + 1)"),
            ("floor(x + y)", "floor(y + x)"),
        ];
        for (left, right) in pairs {
            let (left, right, steps) = proof(left, right);
            replay(&left, &right, &steps, &Assumptions::new())
                .unwrap_or_else(|error| panic!("{left:?} {right:?}: {error} {steps:?}"));
        }
    }

    #[test]
    fn a_forged_step_is_caught() {
        let (left, right, steps) = proof("(x+y)^2", "x^2 + 2*x*y + y^2");
        let wrong = expression("x^2 + y^2");
        let mut forged = steps.clone();
        let last = forged.len() - 1;
        forged[last].after = wrong.clone();
        assert!(replay(&left, &wrong, &forged, &Assumptions::new()).is_err());
        assert!(replay(&left, &right, &steps[..last], &Assumptions::new()).is_err());
        let step = |rule: &str, before: &str, after: &str| Step {
            rule: rule.to_string(),
            before: expression(before),
            after: expression(after),
            condition: String::new(),
        };
        for (rule, before, after) in [
            ("magnitude-of-positive", "abs(x)", "x"),
            ("addition-commutes", "x + y", "x + z"),
            ("exact-arithmetic", "1 + 1", "3"),
            ("no-such-rule", "x", "x + 1"),
            ("canonical-form", "sin(x)", "x"),
        ] {
            let steps = [step(rule, before, after)];
            let (left, right) = (&steps[0].before, &steps[0].after);
            let result = replay(left, right, &steps, &Assumptions::new());
            assert!(result.is_err(), "{rule}");
        }
    }

    #[test]
    fn a_term_that_is_not_defined_everywhere_may_not_come_between() {
        let step = |before: &str, after: &str| Step {
            rule: "quotient-of-itself".to_string(),
            before: expression(before),
            after: expression(after),
            condition: String::new(),
        };
        let steps = [step("1", "x/x"), step("x/x", "1")];
        let error = replay(
            &expression("1"),
            &expression("1"),
            &steps,
            &Assumptions::new(),
        );
        assert!(error.is_err_and(|error| error.0.contains("the new term needs")));
    }
}
