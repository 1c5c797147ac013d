//! Greedy extraction over sets of needed classes, then improved one choice at a time.

use std::collections::{BTreeMap, VecDeque};

use egg::Id;

use super::program::Program;
use super::{Costs, Priced, Selection};
use crate::bits::Bits;
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
    let count = costs.names.len();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (class, own) in costs.priced.iter().enumerate() {
        for &child in own.iter().flat_map(|term| &term.children) {
            if users[child].last() != Some(&class) {
                users[child].push(class);
            }
        }
    }
    let mut best: Vec<Option<Best>> = (0..count).map(|_| None).collect();
    let mut queue: VecDeque<usize> = (0..count).collect();
    let mut queued = vec![true; count];
    while let Some(class) = queue.pop_front() {
        queued[class] = false;
        let mut improved = false;
        for term in &costs.priced[class] {
            let Some(candidate) = evaluate(&best, class, term) else {
                continue;
            };
            if best[class]
                .as_ref()
                .is_none_or(|b| candidate.total < b.total * (1.0 - 1e-9))
            {
                best[class] = Some(candidate);
                improved = true;
            }
        }
        if improved {
            for &user in &users[class] {
                if !std::mem::replace(&mut queued[user], true) {
                    queue.push_back(user);
                }
            }
        }
    }
    let mut selection = Selection::default();
    for (class, b) in best.into_iter().enumerate() {
        if let Some(b) = b {
            selection.choice.insert(costs.names[class], b.term);
        }
    }
    if improve(costs, roots, &mut selection, steps).is_none() {
        // A class took what needs it, by a term that got another one since.
        selection = shallow(costs);
        improve(costs, roots, &mut selection, steps)?;
    }
    Some(selection)
}

/// For each class the term that is ready first, were each computed as soon as its operands are: never in a circle.
fn shallow(costs: &Costs) -> Selection {
    let mut ready: Vec<(f64, usize)> = vec![(f64::INFINITY, 0); costs.names.len()];
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (class, own) in costs.priced.iter().enumerate() {
            for term in own {
                let operands = term.children.iter().map(|&c| ready[c].0);
                let at = term.seconds + operands.fold(0.0, f64::max);
                if at < ready[class].0 {
                    ready[class] = (at, term.number);
                    changed = true;
                }
            }
        }
    }
    let mut selection = Selection::default();
    for (class, (at, number)) in costs.names.iter().zip(ready) {
        if at.is_finite() {
            selection.choice.insert(*class, number);
        }
    }
    selection
}

fn evaluate(best: &[Option<Best>], class: usize, term: &Priced) -> Option<Best> {
    let mut needs = Bits::with_capacity(best.len());
    for &child in &term.children {
        needs.union(&best[child].as_ref()?.needs);
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
        total: term.seconds + below,
        own: term.seconds,
        term: term.number,
        needs,
    })
}

/// Tries each other term of each needed class in place, and keeps it where the whole program gets cheaper; its seconds
/// then. `steps` bounds the classes looked at. `None` where the choice goes round in a circle or is not whole.
pub fn improve(
    costs: &Costs,
    roots: &[Id],
    selection: &mut Selection,
    steps: usize,
) -> Option<f64> {
    let mut program = Program::new(costs, roots, selection)?;
    let mut left = steps;
    while left > 0 {
        let improved = exchange(costs, &mut program, &mut left);
        if !improved && !share(costs, &mut program, &mut left) {
            break;
        }
    }
    program.write(selection);
    Some(program.seconds)
}

/// One pass over the program, from its results to its inputs; whether something was gained.
fn exchange(costs: &Costs, program: &mut Program, left: &mut usize) -> bool {
    let mut improved = false;
    for class in program.order.clone().into_iter().rev() {
        for place in 0..costs.priced[class].len() {
            if *left == 0 {
                return false;
            }
            if program.is_needed(class) && program.chosen(class) != Some(place) {
                improved |= program.try_term(class, place, left);
            }
        }
    }
    improved
}

/// Where several needed classes are views of one value that the program does not make, tries to make it and look at it
/// from all of them: no one of them would pay for it alone. Whether something was gained.
fn share(costs: &Costs, program: &mut Program, left: &mut usize) -> bool {
    let mut viewers: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for &class in &program.order {
        let nodes = &costs.egraph[costs.names[class]].nodes;
        for (place, priced) in costs.priced[class].iter().enumerate() {
            let term = &nodes[priced.number];
            let is_view = term.op().is_some_and(|op| op.row().work == Work::View);
            let (operands, _) = term.split();
            if let (true, Some(&source)) = (is_view, operands.first()) {
                let source = costs.positions[&costs.egraph.find(source)];
                if !program.is_needed(source) && program.has_choice(source) {
                    viewers.entry(source).or_default().push((class, place));
                }
            }
        }
    }
    let mut improved = false;
    for looks in viewers.values().filter(|looks| looks.len() > 1) {
        let needed = program.order.len();
        if *left < needed {
            break;
        }
        *left -= needed;
        let total = program.seconds;
        let mut before = Vec::new();
        for &(class, place) in looks {
            let chosen = program.chosen(class);
            if program.set(class, place) {
                before.push((class, chosen));
            }
        }
        if program.seconds < total * (1.0 - 1e-9) {
            improved = true;
            continue;
        }
        // In reverse, so that a class with two such terms gets its first choice back.
        for (class, place) in before.into_iter().rev() {
            if let Some(place) = place {
                program.set(class, place);
            }
        }
    }
    improved
}
