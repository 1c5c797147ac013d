//! Choosing one term for each class that is needed, so that the whole program, shared parts counted once, is cheap.

use egg::{Id, Language};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::analysis::{TensorGraph, Value, attribute, tensor_type};
use crate::cost::Machine;
use crate::language::Term;
use crate::tensor_type::TensorType;

/// A cost too small to matter, which still makes the shorter of two free programs win.
const EPSILON: f64 = 1e-10;

/// One term for each class; following it from a root never comes back to a class.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    choice: FxHashMap<Id, Term>,
}

/// Seconds that one term takes.
pub fn term_seconds(egraph: &TensorGraph, machine: &Machine, class: Id, term: &Term) -> f64 {
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
        EPSILON + machine.seconds(op, &operands, &attributes, result)
    })
}

impl Selection {
    /// The term chosen for a class.
    pub fn term(&self, egraph: &TensorGraph, class: Id) -> Option<&Term> {
        self.choice.get(&egraph.find(class))
    }

    /// Chooses this term for a class.
    pub fn choose(&mut self, egraph: &TensorGraph, class: Id, term: Term) {
        self.choice.insert(egraph.find(class), term);
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
            for &child in self.choice.get(&id)?.children.iter().rev() {
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
    pub fn seconds(&self, egraph: &TensorGraph, machine: &Machine, roots: &[Id]) -> Option<f64> {
        let order = self.order(egraph, roots)?;
        Some(
            order
                .iter()
                .map(|id| term_seconds(egraph, machine, *id, &self.choice[id]))
                .sum(),
        )
    }
}

/// Classes by position, as bits.
#[derive(Clone, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn with_capacity(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    fn insert(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn contains(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    fn union(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            std::iter::successors((word != 0).then_some(word), |w| {
                let rest = w & (w - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |w| i * 64 + w.trailing_zeros() as usize)
        })
    }
}

struct Best {
    total: f64,
    own: f64,
    term: Term,
    needs: Bits,
}

/// Greedy extraction over sets of needed classes, then improved one choice at a time.
///
/// The greedy part keeps for each class the cheapest set of classes found that computes it, shared ones counted once
/// (the "faster greedy DAG" extractor of the e-graph literature). `steps` bounds the improvement.
pub fn extract(
    egraph: &TensorGraph,
    machine: &Machine,
    roots: &[Id],
    steps: usize,
) -> Option<Selection> {
    let reachable = reachable(egraph, roots);
    let position: FxHashMap<Id, usize> = reachable
        .iter()
        .enumerate()
        .map(|(i, &id)| (id, i))
        .collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); reachable.len()];
    for (i, &id) in reachable.iter().enumerate() {
        for term in &egraph[id].nodes {
            for &child in term.children() {
                let child = position[&egraph.find(child)];
                if users[child].last() != Some(&i) {
                    users[child].push(i);
                }
            }
        }
    }
    let mut best: Vec<Option<Best>> = (0..reachable.len()).map(|_| None).collect();
    let mut queue: std::collections::VecDeque<usize> = (0..reachable.len()).collect();
    let mut queued = vec![true; reachable.len()];
    while let Some(i) = queue.pop_front() {
        queued[i] = false;
        let mut improved = false;
        for term in &egraph[reachable[i]].nodes {
            let Some(candidate) = evaluate(egraph, machine, &reachable, &position, &best, i, term)
            else {
                continue;
            };
            if best[i]
                .as_ref()
                .is_none_or(|b| candidate.total < b.total * (1.0 - 1e-9))
            {
                best[i] = Some(candidate);
                improved = true;
            }
        }
        if improved {
            for &user in &users[i] {
                if !std::mem::replace(&mut queued[user], true) {
                    queue.push_back(user);
                }
            }
        }
    }
    let mut selection = Selection::default();
    for (i, b) in best.into_iter().enumerate() {
        if let Some(b) = b {
            selection.choice.insert(reachable[i], b.term);
        }
    }
    selection.order(egraph, roots)?;
    improve(egraph, machine, roots, &mut selection, steps);
    Some(selection)
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
    list.sort_unstable();
    list
}

fn evaluate(
    egraph: &TensorGraph,
    machine: &Machine,
    reachable: &[Id],
    position: &FxHashMap<Id, usize>,
    best: &[Option<Best>],
    class: usize,
    term: &Term,
) -> Option<Best> {
    let mut needs = Bits::with_capacity(reachable.len());
    for &child in term.children() {
        needs.union(&best[position[&egraph.find(child)]].as_ref()?.needs);
    }
    if needs.contains(class) {
        return None;
    }
    let own = term_seconds(egraph, machine, reachable[class], term);
    let below: f64 = needs
        .iter()
        .map(|i| best[i].as_ref().map_or(f64::INFINITY, |b| b.own))
        .sum();
    needs.insert(class);
    Some(Best {
        total: own + below,
        own,
        term: term.clone(),
        needs,
    })
}

/// Tries each other term of each needed class in place, and keeps it where the whole program gets cheaper.
fn improve(
    egraph: &TensorGraph,
    machine: &Machine,
    roots: &[Id],
    selection: &mut Selection,
    steps: usize,
) {
    let Some(mut total) = selection.seconds(egraph, machine, roots) else {
        return;
    };
    let mut left = steps;
    loop {
        let Some(order) = selection.order(egraph, roots) else {
            return;
        };
        let mut improved = false;
        for &class in order.iter().rev() {
            for term in &egraph[class].nodes {
                if egraph[class].nodes.len() == 1 || Some(term) == selection.choice.get(&class) {
                    continue;
                }
                if term
                    .children()
                    .iter()
                    .any(|&c| !selection.choice.contains_key(&egraph.find(c)))
                {
                    continue;
                }
                if left < order.len() {
                    return;
                }
                left -= order.len();
                let Some(before) = selection.choice.insert(class, term.clone()) else {
                    continue;
                };
                match selection.seconds(egraph, machine, roots) {
                    Some(seconds) if seconds < total * (1.0 - 1e-9) => {
                        total = seconds;
                        improved = true;
                    }
                    _ => {
                        selection.choice.insert(class, before);
                    }
                }
            }
        }
        if !improved {
            return;
        }
    }
}
