//! Greedy extraction over sets of needed classes, then improved one choice at a time.

use std::collections::{BTreeMap, VecDeque};

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Costs, Selection};
use crate::bits::Bits;
use crate::language::Term;
use crate::op::Work;

struct Best {
    total: f64,
    own: f64,
    term: usize,
    needs: Bits,
}

/// Keeps for each class the cheapest set of classes found that computes it, shared ones counted once (the "faster greedy
/// DAG" extractor of the e-graph literature), then improves the whole; `steps` bounds the improvement.
pub fn extract(costs: &Costs, roots: &[Id], steps: usize) -> Option<Selection> {
    let reachable = costs.classes();
    let position: FxHashMap<Id, usize> = reachable
        .iter()
        .enumerate()
        .map(|(i, &id)| (id, i))
        .collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); reachable.len()];
    for (i, &id) in reachable.iter().enumerate() {
        for (_, term) in costs.terms(id) {
            for child in costs.children(term) {
                let child = position[&child];
                if users[child].last() != Some(&i) {
                    users[child].push(i);
                }
            }
        }
    }
    let mut best: Vec<Option<Best>> = (0..reachable.len()).map(|_| None).collect();
    let mut queue: VecDeque<usize> = (0..reachable.len()).collect();
    let mut queued = vec![true; reachable.len()];
    while let Some(i) = queue.pop_front() {
        queued[i] = false;
        let mut improved = false;
        for (number, term) in costs.terms(reachable[i]) {
            let own = costs.of(reachable[i], number);
            let Some(candidate) = evaluate(costs, &position, &best, i, (number, term, own)) else {
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
    selection.order(costs.egraph, roots)?;
    improve(costs, roots, &mut selection, steps);
    Some(selection)
}

fn evaluate(
    costs: &Costs,
    position: &FxHashMap<Id, usize>,
    best: &[Option<Best>],
    class: usize,
    (number, term, own): (usize, &Term, f64),
) -> Option<Best> {
    let mut needs = Bits::with_capacity(best.len());
    for child in costs.children(term) {
        needs.union(&best[position[&child]].as_ref()?.needs);
    }
    if needs.contains(class) {
        return None;
    }
    let below: f64 = needs
        .iter()
        .map(|i| best[i].as_ref().map_or(f64::INFINITY, |b| b.own))
        .sum();
    needs.insert(class);
    Some(Best {
        total: own + below,
        own,
        term: number,
        needs,
    })
}

/// Tries each other term of each needed class in place, and keeps it where the whole program gets cheaper.
pub fn improve(costs: &Costs, roots: &[Id], selection: &mut Selection, steps: usize) {
    let Some(mut total) = selection.seconds(costs, roots) else {
        return;
    };
    let mut left = steps;
    loop {
        let Some(order) = selection.order(costs.egraph, roots) else {
            return;
        };
        let mut improved = false;
        for &class in order.iter().rev() {
            for (number, term) in costs.terms(class) {
                if costs.egraph[class].nodes.len() == 1
                    || selection.choice.get(&class) == Some(&number)
                {
                    continue;
                }
                if costs
                    .children(term)
                    .any(|c| !selection.choice.contains_key(&c))
                {
                    continue;
                }
                if left < order.len() {
                    return;
                }
                left -= order.len();
                let Some(before) = selection.choice.insert(class, number) else {
                    continue;
                };
                match selection.seconds(costs, roots) {
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
        if !improved && !share(costs, roots, selection, &mut total, &mut left) {
            return;
        }
    }
}

/// Where several needed classes are views of one value that the program does not make, tries to make it and look at it
/// from all of them: no one of them would pay for it alone. Whether something was gained.
fn share(
    costs: &Costs,
    roots: &[Id],
    selection: &mut Selection,
    total: &mut f64,
    left: &mut usize,
) -> bool {
    let Some(order) = selection.order(costs.egraph, roots) else {
        return false;
    };
    let needed: FxHashSet<Id> = order.iter().copied().collect();
    let mut viewers: BTreeMap<Id, Vec<(Id, usize)>> = BTreeMap::new();
    for &class in &order {
        for (number, term) in costs.terms(class) {
            let is_view = term.op().is_some_and(|op| op.row().work == Work::View);
            let (operands, _) = term.split();
            if let (true, Some(&source)) = (is_view, operands.first()) {
                let source = costs.egraph.find(source);
                if !needed.contains(&source) && selection.choice.contains_key(&source) {
                    viewers.entry(source).or_default().push((class, number));
                }
            }
        }
    }
    let mut improved = false;
    for looks in viewers.values().filter(|looks| looks.len() > 1) {
        if *left < order.len() {
            break;
        }
        *left -= order.len();
        let before: Vec<(Id, Option<usize>)> = looks
            .iter()
            .map(|&(class, number)| (class, selection.choice.insert(class, number)))
            .collect();
        match selection.seconds(costs, roots) {
            Some(seconds) if seconds < *total * (1.0 - 1e-9) => {
                *total = seconds;
                improved = true;
            }
            _ => {
                // In reverse, so that a class with two such terms gets its first choice back.
                for (class, number) in before.into_iter().rev() {
                    if let Some(number) = number {
                        selection.choice.insert(class, number);
                    }
                }
            }
        }
    }
    improved
}
