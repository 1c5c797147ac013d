//! Equality saturation over the identities, for what canonical forms do not decide.
//!
//! The search works relative to the set D where the given expressions are defined: every term in the graph is
//! defined on D, because every identity leads from what is defined to what is defined. So a logarithm in the
//! graph says that its argument is positive on D, and so on; those signs meet the identities' conditions.

use std::str::FromStr;
use std::time::Duration;

use egg::{
    Analysis, DidMerge, EGraph, Id, Pattern, RecExpr, Rewrite, Runner, Subst, Symbol, SymbolLang,
    Var,
};
use num_rational::BigRational;

use super::budget::interrupted;
use super::cost::Cost;
use super::expression::{Expression, Operator};
use super::function::Function;
use super::identity::{Family, IDENTITIES, Identity};
use super::parse::parse;
use super::print::leaf_text;
use super::prove::{Assumptions, Step};
use super::sign::SignSet;

/// What one match and one round of a search count for when it is asked whether to stop.
const MATCH_STEPS: usize = 1 << 6;
const ROUND_STEPS: usize = 1 << 15;

/// What is known of a class of equal terms on D.
#[derive(Debug, Clone)]
pub struct Knowledge {
    pub(super) signs: SignSet,
    pub(super) constant: Option<BigRational>,
}

/// Signs and exact numbers.
#[derive(Default)]
pub struct SignAnalysis {
    assumptions: Assumptions,
}

impl Analysis<SymbolLang> for SignAnalysis {
    type Data = Knowledge;

    fn make(egraph: &mut EGraph<SymbolLang, Self>, node: &SymbolLang, _id: Id) -> Knowledge {
        let of = |index: usize| &egraph[node.children[index]].data;
        let signs = |index: usize| of(index).signs;
        let name = node.op.as_str();
        if node.children.is_empty() {
            if let Ok(value) = BigRational::from_str(name) {
                return Knowledge {
                    signs: SignSet::of(&value),
                    constant: Some(value),
                };
            }
            let known = match name {
                "pi" => SignSet::POSITIVE,
                _ => egraph
                    .analysis
                    .assumptions
                    .get(name)
                    .copied()
                    .unwrap_or(SignSet::ANY),
            };
            return Knowledge {
                signs: known,
                constant: None,
            };
        }
        let pair = || of(0).constant.as_ref().zip(of(1).constant.as_ref());
        let small = |value: &BigRational| value.numer().bits() + value.denom().bits() < 256;
        let constant = match name {
            "add" => pair().map(|(a, b)| a + b),
            "sub" => pair().map(|(a, b)| a - b),
            "mul" => pair().map(|(a, b)| a * b),
            "div" => pair()
                .filter(|(_, b)| !num_traits::Zero::is_zero(*b))
                .map(|(a, b)| a / b),
            "neg" => of(0).constant.as_ref().map(|a| -a),
            _ => None,
        };
        let constant = constant.filter(small);
        let result = match name {
            "add" => signs(0).plus(signs(1)),
            "sub" => signs(0).plus(signs(1).negated()),
            "mul" => signs(0).times(signs(1)),
            "div" => signs(0).times(signs(1).and(SignSet::NON_ZERO)),
            "neg" => signs(0).negated(),
            "exp" | "cosh" | "sigmoid" | "softplus" => SignSet::POSITIVE,
            "abs" | "sqrt" if signs(0).within(SignSet::NON_ZERO) => SignSet::POSITIVE,
            "abs" | "sqrt" | "relu" | "relu_grad" | "hypot" | "acos" | "acosh" => {
                SignSet::NON_NEGATIVE
            }
            "sinh" | "tanh" | "asinh" | "atan" | "erf" | "sign" | "asin" | "atanh" | "expm1"
            | "log1p" | "silu" | "gelu" => signs(0),
            "pow" => match &of(1).constant {
                Some(n) if n.is_integer() && num_integer::Integer::is_even(n.numer()) => {
                    if signs(0).within(SignSet::NON_ZERO) {
                        SignSet::POSITIVE
                    } else {
                        SignSet::NON_NEGATIVE
                    }
                }
                _ if signs(0).within(SignSet::POSITIVE) => SignSet::POSITIVE,
                _ => SignSet::ANY,
            },
            _ => SignSet::ANY,
        };
        let result = constant
            .as_ref()
            .map_or(result, |value| result.and(SignSet::of(value)));
        Knowledge {
            signs: result,
            constant,
        }
    }

    fn merge(&mut self, to: &mut Knowledge, from: Knowledge) -> DidMerge {
        let signs = to.signs.and(from.signs);
        let (wider, narrower) = (signs != to.signs, signs != from.signs);
        to.signs = signs;
        let gained = to.constant.is_none() && from.constant.is_some();
        let lost = to.constant.is_some() && from.constant.is_none();
        if gained {
            to.constant = from.constant;
        }
        DidMerge(wider || gained, narrower || lost)
    }

    fn modify(egraph: &mut EGraph<SymbolLang, Self>, id: Id) {
        if let Some(value) = egraph[id].data.constant.clone() {
            let number = egraph.add(SymbolLang::leaf(value.to_string()));
            if egraph.are_explanations_enabled() {
                // Numbers are united by a named step, so that the chain shows it.
                let own = egraph.id_to_expr(id);
                let mut text = RecExpr::default();
                text.add(SymbolLang::leaf(value.to_string()));
                if own != text {
                    egraph.union_trusted(id, number, "exact-arithmetic");
                }
            } else {
                egraph.union(id, number);
            }
        }
        // What is defined on D tells of its parts.
        let mut learned: Vec<(Id, SignSet)> = Vec::new();
        for node in &egraph[id].nodes {
            match (node.op.as_str(), node.children.as_slice()) {
                ("log", [a]) => learned.push((*a, SignSet::POSITIVE)),
                ("sqrt", [a]) => learned.push((*a, SignSet::NON_NEGATIVE)),
                ("div", [_, b]) => learned.push((*b, SignSet::NON_ZERO)),
                _ => {}
            }
        }
        for (part, signs) in learned {
            let mut data = egraph[part].data.clone();
            if data.signs.and(signs) != data.signs {
                data.signs = data.signs.and(signs);
                egraph.set_analysis_data(part, data);
            }
        }
    }
}

fn pattern(text: &str) -> Option<Pattern<SymbolLang>> {
    text.parse().ok()
}

/// The rewrites of an identity; each fires only where its conditions are known to hold.
fn rewrites(identity: &'static Identity) -> Vec<Rewrite<SymbolLang, SignAnalysis>> {
    let conditions: Vec<(Option<Var>, SignSet)> = identity
        .conditions
        .iter()
        .map(|(name, signs)| (name.parse().ok(), *signs))
        .collect();
    let holds = move |egraph: &mut EGraph<SymbolLang, SignAnalysis>, _: Id, subst: &Subst| {
        !interrupted(MATCH_STEPS)
            && conditions.iter().all(|(variable, signs)| {
                match variable.and_then(|variable| subst.get(variable)) {
                    Some(id) => egraph[*id].data.signs.within(*signs),
                    None => false,
                }
            })
    };
    let mut found = Vec::new();
    let mut direct = |name: String, left: &str, right: &str| {
        if let (Some(left), Some(right)) = (pattern(left), pattern(right)) {
            let applier = egg::ConditionalApplier {
                condition: holds.clone(),
                applier: right,
            };
            found.extend(Rewrite::new(name, left, applier));
        }
    };
    direct(identity.name.to_string(), identity.left, identity.right);
    if identity.both_ways {
        direct(
            format!("{}-backwards", identity.name),
            identity.right,
            identity.left,
        );
    }
    found
}

/// What a search may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub rounds: usize,
    pub nodes: usize,
}

pub(super) fn runner(
    assumptions: &Assumptions,
    limits: Limits,
) -> Runner<SymbolLang, SignAnalysis> {
    let analysis = SignAnalysis {
        assumptions: assumptions.clone(),
    };
    Runner::new(analysis)
        .with_iter_limit(limits.rounds)
        .with_node_limit(limits.nodes)
        // Steps are counted, not seconds.
        .with_time_limit(Duration::from_secs(1 << 30))
        .with_hook(|_| match interrupted(ROUND_STEPS) {
            true => Err("interrupted".into()),
            false => Ok(()),
        })
}

pub(super) fn rules(families: &[Family]) -> Vec<Rewrite<SymbolLang, SignAnalysis>> {
    IDENTITIES
        .iter()
        .filter(|identity| families.contains(&identity.family))
        .flat_map(rewrites)
        .collect()
}

pub(super) fn to_terms(expression: &Expression) -> RecExpr<SymbolLang> {
    let mut terms = RecExpr::default();
    let added = expression.fold(|node, arguments: &[Id]| {
        let name = node
            .operator()
            .name()
            .map_or_else(|| leaf_text(node.operator()), str::to_string);
        Ok::<Id, std::convert::Infallible>(terms.add(SymbolLang {
            op: Symbol::from(name),
            children: arguments.to_vec(),
        }))
    });
    match added {
        Ok(_) => terms,
        Err(never) => match never {},
    }
}

pub(super) fn from_terms(terms: &RecExpr<SymbolLang>) -> Option<Expression> {
    let mut built: Vec<Expression> = Vec::new();
    for node in terms {
        let name = node.op.as_str();
        let arguments: Vec<Expression> = node
            .children
            .iter()
            .map(|id| built[usize::from(*id)].clone())
            .collect();
        built.push(match (name, arguments.len()) {
            (_, 0) => parse(name).ok()?,
            ("add", 2) => Expression::new(Operator::Add, arguments),
            ("sub", 2) => Expression::new(Operator::Sub, arguments),
            ("mul", 2) => Expression::new(Operator::Mul, arguments),
            ("div", 2) => Expression::new(Operator::Div, arguments),
            ("pow", 2) => Expression::new(Operator::Pow, arguments),
            ("neg", 1) => Expression::new(Operator::Neg, arguments),
            (_, count) => {
                let function = Function::by_name(name)?;
                if function.row().arity != count {
                    return None;
                }
                Expression::new(Operator::Function(function), arguments)
            }
        });
    }
    built.pop()
}

/// All families that prove.
const PROVING: &[Family] = &[
    Family::Arithmetic,
    Family::Power,
    Family::Logarithm,
    Family::Trigonometry,
    Family::Hyperbolic,
    Family::Magnitude,
    Family::Activation,
    Family::Stability,
];

/// A chain of identities from one expression to the other, if the search meets one.
pub fn chain(
    left: &Expression,
    right: &Expression,
    assumptions: &Assumptions,
    limits: Limits,
) -> Option<Vec<Step>> {
    if left.has_floats() || right.has_floats() || left.size() + right.size() > 120 {
        return None;
    }
    let (start, goal) = (to_terms(left), to_terms(right));
    let mut runner = runner(assumptions, limits)
        .with_explanations_enabled()
        .with_expr(&start)
        .with_expr(&goal);
    let (a, b) = (runner.roots[0], runner.roots[1]);
    runner = runner.with_hook(move |runner| {
        if runner.egraph.find(a) == runner.egraph.find(b) {
            Err("met".into())
        } else {
            Ok(())
        }
    });
    let mut runner = runner.run(&rules(PROVING));
    if runner.egraph.find(a) != runner.egraph.find(b) {
        return None;
    }
    let explanation = runner
        .explain_equivalence(&start, &goal)
        .make_flat_explanation()
        .clone();
    let mut steps = Vec::new();
    for pair in explanation.windows(2) {
        let (before, after) = (pair[0].get_recexpr(), pair[1].get_recexpr());
        let name = find_rule(&pair[1]);
        let condition = IDENTITIES
            .iter()
            .find(|identity| {
                Some(identity.name)
                    == name
                        .as_deref()
                        .map(|name| name.trim_end_matches("-backwards"))
            })
            .map(|identity| identity.why.to_string());
        steps.push(Step {
            rule: name.unwrap_or_else(|| "congruence".to_string()),
            before: from_terms(&before)?,
            after: from_terms(&after)?,
            condition: condition.unwrap_or_default(),
        });
    }
    Some(steps)
}

/// The name of the rule that led to this term.
fn find_rule(term: &egg::FlatTerm<SymbolLang>) -> Option<String> {
    term.forward_rule
        .or(term.backward_rule)
        .map(|rule| rule.to_string())
        .or_else(|| term.children.iter().find_map(find_rule))
}

/// The cheapest term that the families lead to.
pub fn cheapest(
    expression: &Expression,
    assumptions: &Assumptions,
    families: &[Family],
    limits: Limits,
) -> Option<Expression> {
    if expression.has_floats() || expression.has_tensors() || expression.size() > 120 {
        return None;
    }
    let start = to_terms(expression);
    let runner = runner(assumptions, limits)
        .with_expr(&start)
        .run(&rules(families));
    let extractor = egg::Extractor::new(&runner.egraph, egg::AstSize);
    let (_, best) = extractor.find_best(runner.roots[0]);
    from_terms(&best).filter(|best| Cost::Nodes.of(best) < Cost::Nodes.of(expression))
}

/// The text of every identity, for the documentation.
pub fn catalogue() -> String {
    let mut text = String::new();
    for identity in IDENTITIES {
        let arrow = if identity.both_ways { "<=>" } else { "=>" };
        text += &format!(
            "{} | {} {arrow} {} | {}\n",
            identity.name, identity.left, identity.right, identity.why
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::budget::interruptible;
    use super::*;

    #[test]
    fn one_search_asks_whether_to_stop_and_stops() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        const LIMITS: Limits = Limits {
            rounds: 6,
            nodes: 3_000,
        };
        let term = |text: &str| parse(text).expect(text);
        let (left, right) = (
            term("max(a, max(b, relu(c))) + tan(x)*exp(y)"),
            term("max(max(a, b), relu(d)) + exp(y)*tan(z)"),
        );
        let assumptions = Assumptions::new();
        let search = || chain(&left, &right, &assumptions, LIMITS);
        let never = || {
            ASKED.fetch_add(1, Ordering::Relaxed);
            false
        };
        assert!(interruptible(never, search).is_none());
        let whole = ASKED.load(Ordering::Relaxed);
        assert!(whole > 1, "{whole}");
        let at_once = || {
            ASKED.fetch_add(1, Ordering::Relaxed);
            true
        };
        assert!(interruptible(at_once, search).is_none());
        assert_eq!(ASKED.load(Ordering::Relaxed), whole + 1);
    }
}
