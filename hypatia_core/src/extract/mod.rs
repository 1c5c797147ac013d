//! Choosing one term for each class that is needed, so that the whole program, shared parts counted once, is cheap.
//!
//! A good answer comes first (`greedy`), then branch and bound over cuts (`ascent`) and linear relaxations makes it
//! better or proves it best (`exact`), within a bound that counts.

mod ascent;
mod exact;
mod greedy;
mod program;
mod reduced;

use egg::{Id, Language};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use smallvec::SmallVec;

use crate::analysis::{TensorGraph, Value, attribute, tensor_type};
use crate::cost::CostModel;
use crate::language::Term;
use crate::tensor_type::TensorType;

/// A cost too small to matter, which still makes the shorter of two free programs win.
const EPSILON: f64 = 1e-10;

/// How much extraction may do; counted, so that every machine does the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Evaluations of one class that may be spent on improving the greedy answer.
    pub steps: usize,
    /// Variables of linear relaxations, over all that are solved; with none nothing is proved.
    pub variables: usize,
}

impl Effort {
    /// Without a proof.
    pub fn greedy(self) -> Self {
        Self {
            variables: 0,
            ..self
        }
    }
}

/// How an answer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Proved to be cheapest.
    Exact,
    /// The best that was found within the bound.
    Greedy,
}

/// An answer, and what is known of how good it is.
#[derive(Debug, Clone)]
pub struct Extraction {
    pub selection: Selection,
    pub method: Method,
    /// No program in the e-graph is cheaper than by this part.
    pub gap: f64,
}

/// A term that may be chosen, by positions of classes in [`Costs`].
#[derive(Debug)]
struct Priced {
    /// Its number in its class.
    number: usize,
    seconds: f64,
    /// The classes of its operands, each once.
    children: SmallVec<[usize; 4]>,
}

/// Seconds of each term, computed once.
#[derive(Debug)]
pub struct Costs<'g> {
    pub egraph: &'g TensorGraph,
    /// The classes below the roots, in a fixed order.
    names: Vec<Id>,
    positions: FxHashMap<Id, usize>,
    /// For each class, by position, its terms of finite cost.
    priced: Vec<Vec<Priced>>,
}

impl<'g> Costs<'g> {
    /// The costs of all terms below the roots.
    pub fn new(egraph: &'g TensorGraph, model: &CostModel, roots: &[Id]) -> Self {
        let mut names = reachable(egraph, roots);
        names.sort_unstable();
        let positions: FxHashMap<Id, usize> =
            names.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        let priced = |&class: &Id| -> Vec<Priced> {
            let terms = egraph[class].nodes.iter().enumerate();
            let priced = terms.map(|(number, term)| {
                let children = term.children().iter();
                let mut children: SmallVec<[usize; 4]> =
                    children.map(|&c| positions[&egraph.find(c)]).collect();
                children.sort_unstable();
                children.dedup();
                Priced {
                    number,
                    seconds: term_seconds(egraph, model, class, term),
                    children,
                }
            });
            priced.filter(|p| p.seconds.is_finite()).collect()
        };
        Self {
            egraph,
            priced: names.iter().map(priced).collect(),
            names,
            positions,
        }
    }

    /// Seconds of a class's term of this number.
    pub fn of(&self, class: Id, term: usize) -> f64 {
        self.own(class)
            .find(|p| p.number == term)
            .map_or(f64::INFINITY, |p| p.seconds)
    }

    /// The terms of a class that may be chosen, by number.
    pub fn terms(&self, class: Id) -> impl Iterator<Item = (usize, &'g Term)> + '_ {
        let nodes = &self.egraph[class].nodes;
        self.own(class).map(|p| (p.number, &nodes[p.number]))
    }

    fn own(&self, class: Id) -> impl Iterator<Item = &Priced> {
        let position = self.positions.get(&class);
        position.into_iter().flat_map(|&p| &self.priced[p])
    }

    /// Takes a class out of every program.
    pub fn ban(&mut self, class: Id) {
        if let Some(&position) = self.positions.get(&class) {
            self.priced[position].clear();
        }
    }
}

/// Seconds that one term takes.
fn term_seconds(egraph: &TensorGraph, model: &CostModel, class: Id, term: &Term) -> f64 {
    let Some(op) = term.op() else { return EPSILON };
    let Value::Tensor(result) = &egraph[class].data.value else {
        return EPSILON;
    };
    let (operands, attributes) = term.split();
    let operands: Option<Vec<&TensorType>> =
        operands.iter().map(|&c| tensor_type(egraph, c)).collect();
    let attributes: Vec<_> = attributes
        .iter()
        .filter_map(|&c| attribute(egraph, c))
        .collect();
    operands.map_or(f64::INFINITY, |operands| {
        let share = model.share(egraph[class].data.weights_only);
        EPSILON + share * model.seconds(op, &operands, &attributes, result)
    })
}

/// One term for each class, by its number; following it from a root never comes back to a class.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    choice: FxHashMap<Id, usize>,
}

impl Selection {
    /// The term chosen for a class.
    pub fn term<'g>(&self, egraph: &'g TensorGraph, class: Id) -> Option<&'g Term> {
        let class = egraph.find(class);
        egraph[class].nodes.get(*self.choice.get(&class)?)
    }

    /// The classes that the roots need, operands first; `None` where the choice goes round in a circle or is not whole.
    pub fn order(&self, egraph: &TensorGraph, roots: &[Id]) -> Option<Vec<Id>> {
        let mut order = Vec::new();
        let mut state: FxHashMap<Id, bool> = FxHashMap::default();
        let mut stack: Vec<(Id, bool)> = roots
            .iter()
            .rev()
            .map(|&r| (egraph.find(r), false))
            .collect();
        while let Some((id, leaving)) = stack.pop() {
            if leaving {
                state.insert(id, true);
                order.push(id);
                continue;
            }
            match state.get(&id) {
                Some(true) => continue,
                Some(false) => return None,
                None => {}
            }
            state.insert(id, false);
            stack.push((id, true));
            for &child in self.term(egraph, id)?.children.iter().rev() {
                let child = egraph.find(child);
                match state.get(&child) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => stack.push((child, false)),
                }
            }
        }
        Some(order)
    }

    /// Seconds of the program below the roots, each class once; `None` where [`Selection::order`] has none.
    pub fn seconds(&self, costs: &Costs, roots: &[Id]) -> Option<f64> {
        let order = self.order(costs.egraph, roots)?;
        Some(order.iter().map(|id| costs.of(*id, self.choice[id])).sum())
    }
}

/// The cheapest program that is found within the effort; `None` where there is no finite one.
pub fn extract(costs: &Costs, roots: &[Id], effort: Effort) -> Option<Extraction> {
    let roots: Vec<Id> = roots.iter().map(|&r| costs.egraph.find(r)).collect();
    let first = greedy::extract(costs, &roots, effort.steps)?;
    exact::improve(costs, &roots, first, effort.variables)
}

fn reachable(egraph: &TensorGraph, roots: &[Id]) -> Vec<Id> {
    let mut seen: FxHashSet<Id> = FxHashSet::default();
    let mut list = Vec::new();
    let mut stack: Vec<Id> = roots.iter().rev().map(|&r| egraph.find(r)).collect();
    while let Some(id) = stack.pop() {
        if !seen.insert(id) {
            continue;
        }
        list.push(id);
        for term in &egraph[id].nodes {
            stack.extend(term.children().iter().map(|&c| egraph.find(c)));
        }
    }
    list
}
