//! Whether two expressions are equal wherever both are defined over the reals: proved, refuted or unknown.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::One;

use super::canonical::Context;
use super::domain::{Condition, Relation, conditions};
use super::expression::{Expression, Operator};
use super::function::Function;
use super::kernel::{Fraction, Kernel};
use super::polynomial::Polynomial;
use super::print::to_text;
use super::refute::{Comparison, Witness, compare, is_small};
use super::replay::replay;
use super::search::{Limits, chain};
use super::sign::SignSet;
use super::tensor_form;
use crate::error::Result;

/// Algebra steps a proof may take unless the caller says otherwise.
pub const PROOF_STEPS: u64 = 2_000_000;
/// Algebra steps for whether one condition holds everywhere.
pub(super) const CONDITION_STEPS: u64 = 50_000;
/// Magnitudes and signs whose cases are examined one by one.
const CASE_DEPTH: usize = 4;

/// What the search over identities may use.
const SEARCH: Limits = Limits {
    rounds: 6,
    nodes: 3_000,
};

/// The three answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Proved,
    Refuted,
    Unknown,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Refuted => "refuted",
            Self::Unknown => "unknown",
        }
    }
}

/// One link of a chain from the left side to the right side.
#[derive(Debug, Clone)]
pub struct Step {
    pub rule: String,
    pub before: Expression,
    pub after: Expression,
    pub condition: String,
}

/// The answer with what supports it.
#[derive(Debug)]
pub struct Answer {
    pub status: Status,
    pub steps: Vec<Step>,
    pub witness: Option<Witness>,
    /// Where both sides are defined; what always holds is left out.
    pub conditions: Vec<Condition>,
    /// The shapes of tensors for which the answer holds, in words.
    pub shapes: Vec<String>,
    /// Why the answer is unknown.
    pub reason: Option<String>,
}

/// What is taken for granted: the signs of variables.
pub type Assumptions = BTreeMap<Arc<str>, SignSet>;

/// Proves or refutes that both expressions are equal wherever both are defined.
///
/// "Proved" needs a point at which both are certainly defined, so that nothing is proved of the empty set;
/// identical expressions are the one exception. Every limit counts steps. The status does not depend on which side
/// is called the left one: both orders are one computation.
pub fn prove(
    left: &Expression,
    right: &Expression,
    assumptions: &Assumptions,
    steps: u64,
) -> Answer {
    let mut answer = if in_order(left, right) {
        decide(left, right, assumptions, steps)
    } else {
        decide(right, left, assumptions, steps).turned()
    };
    if answer.status == Status::Proved && answer.shapes.is_empty() {
        answer.conditions = open_conditions(left, right, assumptions);
    }
    answer
}

/// Whether two expressions stand in the order in which they are compared.
pub fn in_order(left: &Expression, right: &Expression) -> bool {
    let key = |side: &Expression| (side.size(), side.hash_code());
    match key(left).cmp(&key(right)) {
        Ordering::Equal => to_text(left).ok() <= to_text(right).ok(),
        order => order == Ordering::Less,
    }
}

impl Answer {
    /// The answer about the sides the other way round.
    fn turned(mut self) -> Self {
        self.steps.reverse();
        for step in &mut self.steps {
            std::mem::swap(&mut step.before, &mut step.after);
        }
        if let Some(witness) = &mut self.witness {
            std::mem::swap(&mut witness.left, &mut witness.right);
        }
        self
    }
}

/// The answer, without the conditions.
fn decide(left: &Expression, right: &Expression, assumptions: &Assumptions, steps: u64) -> Answer {
    let answer = |status, witness, reason: Option<String>| Answer {
        status,
        steps: Vec::new(),
        witness,
        conditions: Vec::new(),
        shapes: Vec::new(),
        reason,
    };
    if left == right {
        return answer(Status::Proved, None, None);
    }
    if left.has_tensors() || right.has_tensors() {
        return tensor_form::prove(left, right);
    }
    let Comparison { witness, common } = compare(left, right, assumptions, false);
    if let Some(witness) = witness {
        return answer(Status::Refuted, Some(witness), None);
    }
    let attempt = Proof::new(left, right, assumptions, steps).attempt();
    let reason = match attempt {
        Ok(Some(steps)) => match common {
            Some(_) => {
                return Answer {
                    steps,
                    ..answer(Status::Proved, None, None)
                };
            }
            None => "no point was found at which both sides are certainly defined".to_string(),
        },
        Ok(None) => "the canonical forms differ, and no point was found at which the sides differ"
            .to_string(),
        Err(error) => error.0,
    };
    match compare(left, right, assumptions, true).witness {
        Some(witness) => answer(Status::Refuted, Some(witness), None),
        None => answer(Status::Unknown, None, Some(reason)),
    }
}

/// The conditions of both sides that do not hold everywhere.
fn open_conditions(
    left: &Expression,
    right: &Expression,
    assumptions: &Assumptions,
) -> Vec<Condition> {
    let mut found: Vec<Condition> = Vec::new();
    for condition in conditions(left).into_iter().chain(conditions(right)) {
        if !found.contains(&condition) && !always(&condition, assumptions) {
            found.push(condition);
        }
    }
    found
}

/// Whether the condition follows from the assumptions alone wherever its quantity is defined.
pub fn always(condition: &Condition, assumptions: &Assumptions) -> bool {
    always_in(&mut Context::new(assumptions, CONDITION_STEPS), condition)
}

/// The same by a context of the caller's, which knows the assumptions and counts the steps.
pub(super) fn always_in(context: &mut Context, condition: &Condition) -> bool {
    let wanted = match condition.relation {
        Relation::NonZero => SignSet::NON_ZERO,
        Relation::NonNegative => SignSet::NON_NEGATIVE,
        Relation::Positive => SignSet::POSITIVE,
        Relation::Real => {
            let [base, _] = condition.quantity.arguments() else {
                return false;
            };
            let condition = Condition {
                quantity: base.clone(),
                relation: Relation::Positive,
            };
            return always_in(context, &condition);
        }
    };
    match context.canonicalize(&[&condition.quantity]) {
        Ok(forms) => context.sign_of_fraction(&forms[0]).within(wanted),
        Err(_) => false,
    }
}

/// The steps by algebra alone between two terms, wherever both sides are defined; none where there are none.
///
/// # Errors
/// When the budget is spent, or a side is defined nowhere.
pub(super) fn by_algebra(
    before: &Expression,
    after: &Expression,
    sides: [&Expression; 2],
    assumptions: &Assumptions,
    steps: u64,
) -> Result<Option<Vec<Step>>> {
    // In one order, so that a chain holds up in both directions.
    let (first, second) = if in_order(before, after) {
        (before, after)
    } else {
        (after, before)
    };
    let mut proof = Proof::new(first, second, assumptions, steps);
    proof.sides = match in_order(sides[0], sides[1]) {
        true => sides,
        false => [sides[1], sides[0]],
    };
    let (forms, difference) = proof.forms()?;
    if let Some(steps) = proof.by_forms(&forms, &difference)? {
        return Ok(Some(steps));
    }
    let by_cases = proof.by_cases(&difference, CASE_DEPTH)?;
    Ok(by_cases.then(|| proof.directly("cases-by-sign")))
}

/// One attempt at a proof.
struct Proof<'a> {
    left: &'a Expression,
    right: &'a Expression,
    /// The equality is asked where these are defined.
    sides: [&'a Expression; 2],
    assumptions: &'a Assumptions,
    context: Context,
}

impl<'a> Proof<'a> {
    fn new(
        left: &'a Expression,
        right: &'a Expression,
        assumptions: &'a Assumptions,
        steps: u64,
    ) -> Self {
        Self {
            left,
            right,
            sides: [left, right],
            assumptions,
            context: Context::new(assumptions, steps),
        }
    }

    fn attempt(mut self) -> Result<Option<Vec<Step>>> {
        let (forms, difference) = self.forms()?;
        if let Some(steps) = self.by_forms(&forms, &difference)? {
            return Ok(Some(if self.is_read_again(&steps) {
                steps
            } else {
                self.directly("canonical-form")
            }));
        }
        // What the search found counts once it was replayed without it.
        if let Some(steps) = chain(self.left, self.right, self.assumptions, SEARCH)
            && replay(self.left, self.right, &steps, self.assumptions).is_ok()
        {
            return Ok(Some(steps));
        }
        if self.by_cases(&difference, CASE_DEPTH)? {
            return Ok(Some(self.directly("cases-by-sign")));
        }
        Ok(None)
    }

    /// Whether each link follows by itself: a form with exponentials may be taken apart otherwise when it is read.
    fn is_read_again(&self, steps: &[Step]) -> bool {
        let exponential = |operator: &Operator| *operator == Operator::Function(Function::Exp);
        let follows = |step: &Step| {
            let found = by_algebra(
                &step.before,
                &step.after,
                self.sides,
                self.assumptions,
                PROOF_STEPS,
            );
            matches!(found, Ok(Some(_)))
        };
        steps.len() < 2 || !steps[0].after.any(exponential) || steps.iter().all(follows)
    }

    /// The forms of both sides and their difference.
    fn forms(&mut self) -> Result<(Vec<Fraction>, Fraction)> {
        let forms = self
            .context
            .canonicalize_given(&[self.left, self.right], &self.sides)?;
        let difference = self.context.add(&forms[0], &forms[1].neg())?;
        Ok((forms, difference))
    }

    /// What canonical forms decide, with no search.
    fn by_forms(&mut self, forms: &[Fraction], difference: &Fraction) -> Result<Option<Vec<Step>>> {
        if difference.is_zero() {
            return Ok(Some(self.through(&forms[0], "canonical-form")));
        }
        if self.squares_agree(forms)? {
            return Ok(Some(self.directly("equal-squares-of-equal-sign")));
        }
        if self.exponentials_agree(difference)? {
            return Ok(Some(self.directly("exponential-is-one-to-one")));
        }
        if self.sines_agree(difference)? {
            return Ok(Some(self.directly("sine-vanishes-within-pi")));
        }
        Ok(None)
    }

    /// Left to canonical form to right.
    fn through(&self, form: &Fraction, rule: &str) -> Vec<Step> {
        let middle = self.context.to_expression(form);
        let link = |before: &Expression, after: &Expression| Step {
            rule: rule.to_string(),
            before: before.clone(),
            after: after.clone(),
            condition: "where both sides are defined".to_string(),
        };
        let links = [(self.left, &middle), (&middle, self.right)];
        links
            .into_iter()
            .filter(|(before, after)| before != after)
            .map(|(before, after)| link(before, after))
            .collect()
    }

    fn directly(&self, rule: &str) -> Vec<Step> {
        vec![Step {
            rule: rule.to_string(),
            before: self.left.clone(),
            after: self.right.clone(),
            condition: "where both sides are defined".to_string(),
        }]
    }

    /// Two quantities of the same sign are equal when their squares are.
    fn squares_agree(&mut self, forms: &[Fraction]) -> Result<bool> {
        let signs = (
            self.context.sign_of_fraction(&forms[0]),
            self.context.sign_of_fraction(&forms[1]),
        );
        let both = |set: SignSet| signs.0.within(set) && signs.1.within(set);
        if !both(SignSet::NON_NEGATIVE) && !both(SignSet::NON_POSITIVE) {
            return Ok(false);
        }
        let (a, b) = (
            self.context.mul(&forms[0], &forms[0])?,
            self.context.mul(&forms[1], &forms[1])?,
        );
        Ok(self.context.add(&a, &b.neg())?.is_zero())
    }

    /// d = 0 when exp(2n·d) = 1; the logarithms in d become powers, whose squares need no signs.
    fn exponentials_agree(&mut self, difference: &Fraction) -> Result<bool> {
        let has_log = |p: &Polynomial, c: &Context| {
            p.generators()
                .iter()
                .any(|&g| matches!(c.table.get(g), Kernel::Log(_)))
        };
        if !has_log(&difference.num, &self.context) || !difference.den.is_one() {
            return Ok(false);
        }
        let denominators = difference
            .num
            .terms()
            .iter()
            .map(|(_, c)| c.denom().clone());
        let common = denominators.fold(BigInt::one(), |a, b| a.lcm(&b));
        if common > BigInt::from(64) {
            return Ok(false);
        }
        let mut context = self.context.clone();
        let power =
            context.exponential(&difference.scale(&BigRational::from_integer(common * 2)))?;
        Ok(context.add(&power, &Fraction::integer(-1))?.is_zero())
    }

    /// d = 0 when sin(d) = 0 and |d| < π.
    fn sines_agree(&mut self, difference: &Fraction) -> Result<bool> {
        let mut context = self.context.clone();
        let arcs = difference
            .num
            .generators()
            .iter()
            .any(|&g| matches!(context.table.get(g), Kernel::Asin(_) | Kernel::Atan(_)));
        if !arcs || !difference.den.is_one() {
            return Ok(false);
        }
        let constant = self.left.variables().is_empty() && self.right.variables().is_empty();
        let within = if constant {
            is_small(&super::build::sub(self.left.clone(), self.right.clone()))
        } else {
            let (low, high) = context.facts.bounds(&context.table, &difference.num, 3);
            let limit = BigRational::new(314_159.into(), 100_000.into());
            low.is_some_and(|low| low > -limit.clone()) && high.is_some_and(|high| high < limit)
        };
        if !within {
            return Ok(false);
        }
        let (sine, _) = context.circle_of(difference)?;
        Ok(sine.is_zero())
    }

    /// Examines both signs of a magnitude, and three of a sign, one after the other.
    fn by_cases(&mut self, difference: &Fraction, depth: usize) -> Result<bool> {
        if depth == 0 {
            return Ok(false);
        }
        const HALVES: &[SignSet] = &[SignSet::NON_NEGATIVE, SignSet::NON_POSITIVE];
        const SIDES: &[SignSet] = &[SignSet::POSITIVE, SignSet::NEGATIVE];
        let table = &self.context.table;
        let inner = table.innermost_magnitude(&difference.num);
        let sign = || {
            let generators = difference.num.generators().into_iter();
            generators
                .map(|g| table.get(g))
                .find_map(|kernel| match kernel {
                    Kernel::Sign(b) => Some((b.clone(), SIDES)),
                    _ => None,
                })
        };
        let Some((polynomial, cases)) = inner.map(|b| (b.clone(), HALVES)).or_else(sign) else {
            return Ok(false);
        };
        if cases[0] == SignSet::POSITIVE && !self.vanishes_with(&difference.num, &polynomial)? {
            return Ok(false);
        }
        let outer = self.context.clone();
        for case in cases {
            self.context = outer.clone();
            self.context.assume_case(polynomial.clone(), *case);
            let (_, difference) = self.forms()?;
            let settled = difference.is_zero() || self.by_cases(&difference, depth - 1)?;
            if !settled {
                self.context = outer;
                return Ok(false);
            }
        }
        self.context = outer;
        Ok(true)
    }

    /// Whether a polynomial is zero wherever `b` is: with |b|, its roots and its sign zero, `b` divides the rest.
    fn vanishes_with(&mut self, polynomial: &Polynomial, b: &Polynomial) -> Result<bool> {
        let gone = |generator: u32| match self.context.table.get(generator) {
            Kernel::Abs(inner) | Kernel::Sign(inner) | Kernel::Root(inner, _) => inner == b,
            _ => false,
        };
        let rest = polynomial
            .terms()
            .iter()
            .filter(|(monomial, _)| !monomial.0.iter().any(|(g, _)| gone(*g)));
        let rest = Polynomial::from_map(rest.cloned().collect());
        let mut budget = super::budget::Budget::new(1_000_000);
        Ok(rest.is_zero() || rest.div_exact(b, &mut budget)?.is_some())
    }
}
