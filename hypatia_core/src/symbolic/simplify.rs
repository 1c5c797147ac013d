//! Simplification: an expression of the same value and the same domain that costs less, or the expression itself.

use std::collections::HashSet;

use super::build;
use super::canonical::Context;
use super::cost::Cost;
use super::domain::{Condition, Relation, conditions};
use super::expression::{Expression, Operator};
use super::kernel::Fraction;
use super::prove::{Assumptions, CONDITION_STEPS, always_in};
use super::tensor_form::fold_exactly;

/// Algebra steps for one node.
const STEPS: u64 = 60_000;
/// Algebra steps for one walk through an expression: some seconds, whatever its size.
const ALL_STEPS: u64 = 10_000_000;
/// Nodes beyond which parts are only folded, not brought to canonical form.
const LARGE: u64 = 400;

/// The simplified expression: equal wherever the original is defined, defined nowhere else, and never costlier
/// or larger. The same for every run; simplifying again changes nothing.
pub fn simplify(expression: &Expression, assumptions: &Assumptions, cost: Cost) -> Expression {
    if expression.has_tensors() {
        let folded = fold_exactly(expression);
        return if better(cost, &folded, expression) {
            folded
        } else {
            expression.clone()
        };
    }
    let mut current = expression.clone();
    // Each round lowers the cost, so this ends.
    loop {
        let next = round(&current, assumptions, cost);
        if !better(cost, &next, &current) {
            return current;
        }
        current = next;
    }
}

/// Whether `candidate` costs less and is not larger.
fn better(cost: Cost, candidate: &Expression, original: &Expression) -> bool {
    candidate.size() <= original.size() && cost.of(candidate) < cost.of(original)
}

/// What a walk through an expression may still cost. Each walk has the same, so that simplifying again changes nothing.
struct Work<'a> {
    assumptions: &'a Assumptions,
    left: u64,
}

impl Work<'_> {
    /// The result of some algebra, whose steps are taken away.
    fn of<T>(&mut self, most: u64, algebra: impl FnOnce(&mut Context) -> T) -> T {
        let mut context = Context::new(self.assumptions, most.min(self.left));
        let result = algebra(&mut context);
        self.left = self.left.saturating_sub(context.budget.spent());
        result
    }

    /// Whether the condition holds everywhere.
    fn always(&mut self, condition: &Condition) -> bool {
        self.of(CONDITION_STEPS, |context| always_in(context, condition))
    }
}

fn round(expression: &Expression, assumptions: &Assumptions, cost: Cost) -> Expression {
    let mut work = Work {
        assumptions,
        left: ALL_STEPS,
    };
    let result = expression.fold(|node, arguments: &[Expression]| {
        let rebuilt = fold_node(&node.with_arguments(arguments), &mut work);
        let rebuilt = if rebuilt.size() <= node.size() {
            rebuilt
        } else {
            node.clone()
        };
        let whole = node.address() == expression.address();
        let worthwhile = rebuilt.size() > 2 && (whole || rebuilt.size() <= LARGE);
        Ok::<_, std::convert::Infallible>(if worthwhile {
            by_canonical_form(&rebuilt, &mut work, cost)
        } else {
            rebuilt
        })
    });
    match result {
        Ok(result) => result,
        Err(never) => match never {},
    }
}

/// Neutral elements and exact numbers at one node; nothing that would change the domain.
fn fold_node(node: &Expression, work: &mut Work<'_>) -> Expression {
    let argument = |index: usize| node.arguments()[index].clone();
    let mut drops = |index: usize| is_total(&node.arguments()[index], work);
    match node.operator() {
        Operator::Add => build::add(argument(0), argument(1)),
        Operator::Sub if argument(0) == argument(1) && drops(0) => build::zero(),
        Operator::Sub => build::sub(argument(0), argument(1)),
        Operator::Neg => build::neg(argument(0)),
        Operator::Mul => {
            let zero = |index: usize| node.arguments()[index].is_integer_constant(0);
            if (zero(0) && !drops(1)) || (zero(1) && !drops(0)) {
                node.clone()
            } else {
                build::mul(argument(0), argument(1))
            }
        }
        Operator::Div => build::div(argument(0), argument(1)),
        Operator::Pow if argument(1).is_integer_constant(0) && drops(0) => build::one(),
        Operator::Pow => build::pow(argument(0), argument(1)),
        _ => node.clone(),
    }
}

/// Whether the expression is known to be defined everywhere.
fn is_total(expression: &Expression, work: &mut Work<'_>) -> bool {
    conditions(expression)
        .iter()
        .all(|condition| work.always(condition))
}

/// The cheapest of the expression and its canonical form, whole or over a common denominator.
fn by_canonical_form(expression: &Expression, work: &mut Work<'_>, cost: Cost) -> Expression {
    let mut best = expression.clone();
    let found = work.of(STEPS, |context| {
        let forms = context.canonicalize(&[expression]).ok()?;
        Some(candidates(context, &forms[0]))
    });
    let floats = expression.has_floats();
    for candidate in found.unwrap_or_default() {
        let candidate = if floats {
            with_floats(&candidate)
        } else {
            candidate
        };
        if better(cost, &candidate, &best) && same_domain(expression, &candidate, work) {
            best = candidate;
        }
    }
    best
}

/// Ways to write a canonical form.
fn candidates(context: &mut Context, form: &Fraction) -> Vec<Expression> {
    let mut found = vec![context.to_expression(form)];
    if let Ok(factored) = context.factored(form) {
        found.push(factored);
    }
    found
}

/// Whether two expressions that agree where both are defined are defined at the same points.
///
/// Sure when every condition of one is, in canonical form, a condition of the other: conditions are listed from
/// the inside out, so where one expression is defined the other's are met one after the other.
fn same_domain(left: &Expression, right: &Expression, work: &mut Work<'_>) -> bool {
    let mut open = |expression: &Expression| -> Vec<_> {
        conditions(expression)
            .into_iter()
            .filter(|condition| !work.always(condition))
            .collect()
    };
    let (left, right) = (open(left), open(right));
    if left.is_empty() && right.is_empty() {
        return true;
    }
    if left == right {
        return true;
    }
    let quantities: Vec<&Expression> = left
        .iter()
        .chain(&right)
        .map(|condition| &condition.quantity)
        .collect();
    let forms = work.of(STEPS, |context| {
        context.canonicalize_given(&quantities, &[])
    });
    let Ok(forms) = forms else {
        return false;
    };
    let key = |index: usize, relation: Relation| {
        let form = &forms[index];
        match relation {
            // A multiple by a number does not change what vanishes, a positive one not what is positive.
            Relation::NonZero => (form.num.primitive().1, form.den.clone(), relation),
            _ => {
                let (content, primitive) = form.num.primitive();
                let signed = if num_traits::Signed::is_negative(&content) {
                    primitive.neg()
                } else {
                    primitive
                };
                (signed, form.den.clone(), relation)
            }
        }
    };
    let keys_left: HashSet<_> = left
        .iter()
        .enumerate()
        .map(|(i, condition)| key(i, condition.relation))
        .collect();
    let keys_right: HashSet<_> = right
        .iter()
        .enumerate()
        .map(|(i, condition)| key(left.len() + i, condition.relation))
        .collect();
    keys_left == keys_right
}

/// The numbers as floats, save exponents: what comes of an expression with floats stays marked.
fn with_floats(expression: &Expression) -> Expression {
    use num_traits::ToPrimitive;
    let float = |value: &Expression| match value.as_rational().and_then(|value| value.to_f64()) {
        Some(float) if float.is_finite() => Expression::float(float),
        _ => value.clone(),
    };
    let result = expression.fold(|node, arguments: &[Expression]| {
        let mut arguments = arguments.to_vec();
        for (index, argument) in arguments.iter_mut().enumerate() {
            if !(matches!(node.operator(), Operator::Pow) && index == 1) {
                *argument = float(argument);
            }
        }
        Ok::<_, std::convert::Infallible>(node.with_arguments(&arguments))
    });
    match result {
        Ok(result) => float(&result),
        Err(never) => match never {},
    }
}
