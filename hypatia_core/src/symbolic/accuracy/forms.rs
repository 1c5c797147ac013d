//! Equal forms of an expression from one e-graph, chosen by their measured error.
//!
//! All terms of a class are equal over the reals, so a class has one true value at each point. From the leaves up,
//! each class keeps the few terms whose doubles come nearest to its true values; those of the root are the answer.

use std::sync::Arc;

use egg::{EGraph, Id, SymbolLang};
use num_rational::BigRational;
use rustc_hash::FxHashMap;

use super::super::canonical::Context;
use super::super::cost::operation;
use super::super::enclosure::{Point, enclose_node};
use super::super::evaluate::ieee;
use super::super::expression::{Expression, Operator};
use super::super::function::Function;
use super::super::identity::Family;
use super::super::interval::Interval;
use super::super::parse::parse;
use super::super::prove::Assumptions;
use super::super::search::{Limits, SignAnalysis, from_terms, rules, runner, to_terms};
use super::floating::bits_of_error;
use super::truth::{Evaluator, Truth, rounded};

type Graph = EGraph<SymbolLang, SignAnalysis>;

/// The families that change rounding.
const FAMILIES: &[Family] = &[
    Family::Arithmetic,
    Family::Power,
    Family::Logarithm,
    Family::Trigonometry,
    Family::Stability,
    Family::Accuracy,
];
/// The search takes turns with the canonical forms of what it found.
const TURNS: &[Limits] = &[
    Limits {
        rounds: 3,
        nodes: 700,
    },
    Limits {
        rounds: 3,
        nodes: 1_600,
    },
    Limits {
        rounds: 2,
        nodes: 2_600,
    },
];
/// Classes and algebra steps for canonical forms in one turn, and the largest term.
const CANONICAL: (usize, u64, usize) = (120, 4_000, 30);
/// Terms that a class keeps, and the root.
const KEPT: usize = 3;
const KEPT_AT_ROOT: usize = 10;
/// Rounds from the leaves up; cycles of classes need several.
const ROUNDS: usize = 7;
/// Nodes of the largest form.
const LARGEST: u64 = 80;
/// A gain in mean bits that is worth another form.
const WORTHWHILE: f64 = 0.2;

/// Points at which forms are measured.
pub struct Points<'a> {
    pub names: &'a [Arc<str>],
    pub points: &'a [Vec<f64>],
    pub truths: &'a [Truth],
}

/// A term of a class with its doubles at the points.
#[derive(Debug, Clone)]
struct Form {
    expression: Expression,
    values: Vec<f64>,
    errors: Vec<f32>,
    mean: f64,
    cost: u64,
}

/// Forms equal to the expression wherever it is defined and the assumptions hold, the most accurate first.
pub fn forms(
    expression: &Expression,
    assumptions: &Assumptions,
    evaluator: &mut Evaluator,
    points: &Points<'_>,
) -> Vec<Expression> {
    let (graph, root) = saturated(expression, assumptions);
    let mut classes = Classes::new(&graph, root, points);
    classes.find_truths(evaluator, points);
    classes.choose(points);
    classes.kept[classes.root]
        .iter()
        .map(|form| form.expression.clone())
        .collect()
}

/// The e-graph of the identities, and of the canonical forms of what they lead to.
fn saturated(expression: &Expression, assumptions: &Assumptions) -> (Graph, Id) {
    let rewrites = rules(FAMILIES);
    let mut turn = runner(assumptions, TURNS[0]).with_expr(&to_terms(expression));
    let root = turn.roots[0];
    add_canonical_forms(&mut turn.egraph, expression, assumptions);
    for limits in TURNS {
        let mut next = runner(assumptions, *limits).with_egraph(turn.egraph);
        next = next.run(&rewrites);
        add_canonical_forms(&mut next.egraph, expression, assumptions);
        turn = next;
    }
    let root = turn.egraph.find(root);
    (turn.egraph, root)
}

/// Unites classes with the canonical form of their smallest term, as a sum and as a product.
fn add_canonical_forms(graph: &mut Graph, whole: &Expression, assumptions: &Assumptions) {
    let (classes, steps, largest) = CANONICAL;
    let extractor = egg::Extractor::new(graph, egg::AstSize);
    let mut smallest: Vec<(usize, Id)> = graph
        .classes()
        .map(|class| (extractor.find_best_cost(class.id), class.id))
        .filter(|(size, _)| (3..=largest).contains(size))
        .collect();
    smallest.sort_unstable();
    smallest.truncate(classes);
    let terms: Vec<(Id, Option<Expression>)> = smallest
        .into_iter()
        .map(|(_, id)| (id, from_terms(&extractor.find_best(id).1)))
        .collect();
    for (id, term) in terms {
        let Some(term) = term else { continue };
        let mut context = Context::new(assumptions, steps);
        let Ok(found) = context.canonicalize_given(&[&term], &[whole]) else {
            continue;
        };
        let mut equal = vec![context.to_expression(&found[0])];
        equal.extend(context.factored(&found[0]).ok());
        for form in equal {
            if form != term && form.size() <= 2 * term.size() + 8 {
                let other = graph.add_expr(&to_terms(&form));
                graph.union(id, other);
            }
        }
    }
    graph.rebuild();
}

/// A node of the e-graph in our terms.
struct Node {
    operator: Operator,
    arguments: Vec<usize>,
}

/// The e-graph by numbers, with what is known of each class.
struct Classes {
    nodes: Vec<Vec<Node>>,
    constants: Vec<Option<BigRational>>,
    truths: Vec<Vec<Option<f64>>>,
    kept: Vec<Vec<Form>>,
    root: usize,
}

impl Classes {
    fn new(graph: &Graph, root: Id, points: &Points<'_>) -> Self {
        let mut ids: Vec<Id> = graph.classes().map(|class| class.id).collect();
        ids.sort_unstable();
        let place: FxHashMap<Id, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let node = |node: &SymbolLang| {
            Some(Node {
                operator: operator(node.op.as_str(), node.children.len())?,
                arguments: node
                    .children
                    .iter()
                    .map(|child| place[&graph.find(*child)])
                    .collect(),
            })
        };
        let nodes = ids
            .iter()
            .map(|id| graph[*id].nodes.iter().filter_map(node).collect())
            .collect();
        let constants = ids.iter().map(|id| graph[*id].data.constant.clone());
        Self {
            nodes,
            constants: constants.collect(),
            truths: vec![vec![None; points.points.len()]; ids.len()],
            kept: vec![Vec::new(); ids.len()],
            root: place[&root],
        }
    }

    fn exponent(&self, node: &Node) -> Option<&BigRational> {
        self.constants[*node.arguments.get(1)?].as_ref()
    }

    /// The true value of each class at each point, rounded once, in the precision that the point needed.
    fn find_truths(&mut self, evaluator: &mut Evaluator, points: &Points<'_>) {
        for (index, (values, truth)) in points.points.iter().zip(points.truths).enumerate() {
            let point: Point = points
                .names
                .iter()
                .zip(values)
                .filter_map(|(name, value)| Some((name.clone(), BigRational::from_float(*value)?)))
                .collect();
            let arithmetic = evaluator.at_precision(truth.bits);
            let mut known: Vec<Option<Interval>> = vec![None; self.nodes.len()];
            loop {
                let mut changed = false;
                for class in 0..self.nodes.len() {
                    if known[class].is_some() {
                        continue;
                    }
                    let found = self.nodes[class].iter().find_map(|node| {
                        let arguments: Option<Vec<Interval>> = node
                            .arguments
                            .iter()
                            .map(|argument| known[*argument].clone())
                            .collect();
                        let exponent = self.exponent(node);
                        enclose_node(arithmetic, &node.operator, exponent, &arguments?, &point).ok()
                    });
                    changed |= found.is_some();
                    known[class] = found;
                }
                if !changed {
                    break;
                }
            }
            for (class, interval) in known.iter().enumerate() {
                self.truths[class][index] = interval.as_ref().and_then(rounded);
            }
        }
    }

    /// From the leaves up, as long as something gets better.
    fn choose(&mut self, points: &Points<'_>) {
        for _ in 0..ROUNDS {
            let mut changed = false;
            for class in 0..self.nodes.len() {
                for node in 0..self.nodes[class].len() {
                    changed |= self.offer(class, node, points);
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// Tries a node over every choice of its arguments' forms; whether the class keeps one.
    fn offer(&mut self, class: usize, node: usize, points: &Points<'_>) -> bool {
        let node = &self.nodes[class][node];
        // A number is written as one.
        if self.constants[class].is_some() && !matches!(node.operator, Operator::Rational(_)) {
            return false;
        }
        let count = points.points.len();
        let choices: Vec<usize> = node.arguments.iter().map(|a| self.kept[*a].len()).collect();
        let mut found = Vec::new();
        for choice in 0..choices.iter().product::<usize>() {
            let mut rest = choice;
            let arguments: Vec<&Form> = node
                .arguments
                .iter()
                .zip(&choices)
                .map(|(argument, forms)| {
                    let form = &self.kept[*argument][rest % forms];
                    rest /= forms;
                    form
                })
                .collect();
            let size = arguments
                .iter()
                .map(|form| form.expression.size())
                .sum::<u64>();
            if size >= LARGEST {
                continue;
            }
            let exponent = arguments
                .get(1)
                .and_then(|form| form.expression.as_rational());
            let values: Vec<f64> = (0..count)
                .map(|index| match &node.operator {
                    Operator::Variable(name) => {
                        let place = points.names.iter().position(|known| known == name);
                        place.map_or(f64::NAN, |place| points.points[index][place])
                    }
                    operator => {
                        let mut at = [0.0; 2];
                        for (value, form) in at.iter_mut().zip(&arguments) {
                            *value = form.values[index];
                        }
                        ieee(operator, exponent, &at[..arguments.len()])
                    }
                })
                .collect();
            let errors: Vec<f32> = values
                .iter()
                .zip(&self.truths[class])
                .map(|(value, truth)| {
                    truth.map_or(0.0, |truth| bits_of_error(*value, truth) as f32)
                })
                .collect();
            let cost = operation(&node.operator, exponent)
                + arguments.iter().map(|form| form.cost).sum::<u64>();
            let mean = errors.iter().map(|e| f64::from(*e)).sum::<f64>() / count.max(1) as f64;
            if !worth_keeping(&self.kept[class], &errors, mean, cost) {
                continue;
            }
            let arguments = arguments.iter().map(|form| form.expression.clone());
            let expression = Expression::new(node.operator.clone(), arguments.collect::<Vec<_>>());
            found.push(Form {
                expression,
                values,
                errors,
                mean,
                cost,
            });
        }
        let limit = if class == self.root {
            KEPT_AT_ROOT
        } else {
            KEPT
        };
        let mut changed = false;
        for form in found {
            changed |= keep(&mut self.kept[class], form, limit);
        }
        changed
    }
}

/// Whether a form of this error is new to the class: better in the mean, cheaper, or better at some points.
fn worth_keeping(kept: &[Form], errors: &[f32], mean: f64, cost: u64) -> bool {
    let Some(best) = kept.first() else {
        return true;
    };
    if mean < best.mean - 0.01 || (mean <= best.mean + 0.01 && cost < best.cost) {
        return true;
    }
    let gain: f64 = (0..errors.len())
        .map(|index| {
            let least = kept
                .iter()
                .map(|form| form.errors[index])
                .fold(f32::MAX, f32::min);
            f64::from((least - errors[index]).max(0.0))
        })
        .sum();
    gain / errors.len().max(1) as f64 > WORTHWHILE
}

/// Puts the form among those kept: the best one, then those that help most at points where the others are poor.
fn keep(kept: &mut Vec<Form>, form: Form, limit: usize) -> bool {
    if kept.iter().any(|known| known.expression == form.expression)
        || !worth_keeping(kept, &form.errors, form.mean, form.cost)
    {
        return false;
    }
    let expression = form.expression.clone();
    kept.push(form);
    let rank = |form: &Form| {
        (
            (form.mean * 10.0).round() as i64,
            form.cost,
            form.expression.size(),
        )
    };
    let best = (0..kept.len()).min_by_key(|index| rank(&kept[*index]));
    let Some(best) = best else { return false };
    let mut chosen = vec![kept.swap_remove(best)];
    while chosen.len() < limit && !kept.is_empty() {
        let gain = |form: &Form| -> f64 {
            let at = |index: usize| {
                let least = chosen
                    .iter()
                    .map(|known| known.errors[index])
                    .fold(f32::MAX, f32::min);
                f64::from((least - form.errors[index]).max(0.0))
            };
            (0..form.errors.len()).map(at).sum::<f64>() / form.errors.len().max(1) as f64
        };
        let gains: Vec<f64> = kept.iter().map(gain).collect();
        let next = (0..kept.len()).max_by(|a, b| {
            gains[*a]
                .total_cmp(&gains[*b])
                .then(kept[*b].cost.cmp(&kept[*a].cost))
        });
        match next {
            Some(next) if gains[next] > WORTHWHILE => chosen.push(kept.swap_remove(next)),
            _ => break,
        }
    }
    *kept = chosen;
    kept.iter().any(|known| known.expression == expression)
}

fn operator(name: &str, arguments: usize) -> Option<Operator> {
    Some(match (name, arguments) {
        (_, 0) => parse(name).ok()?.operator().clone(),
        ("add", 2) => Operator::Add,
        ("sub", 2) => Operator::Sub,
        ("mul", 2) => Operator::Mul,
        ("div", 2) => Operator::Div,
        ("pow", 2) => Operator::Pow,
        ("neg", 1) => Operator::Neg,
        _ => Operator::Function(Function::by_name(name).filter(|f| f.row().arity == arguments)?),
    })
}
