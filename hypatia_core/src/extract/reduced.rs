//! An e-graph, reduced to the terms that a cheaper program than the best known could use.

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Costs;
use super::exact::EQUAL;
use crate::bits::Bits;

/// A term that may be part of a cheaper program.
pub struct Candidate {
    pub class: Id,
    pub number: usize,
    pub seconds: f64,
    pub children: Vec<Id>,
    /// For each operand, the candidates that may compute it for this term.
    pub supplies: Vec<Vec<usize>>,
}

/// The terms that may be part of a cheaper program.
pub struct Reduced {
    pub candidates: Vec<Candidate>,
    /// Candidates by class.
    pub classes: FxHashMap<Id, Vec<usize>>,
    /// What every program costs, whichever terms it has.
    pub least: f64,
}

/// Terms of one class, before they are numbered.
struct Term {
    number: usize,
    seconds: f64,
    /// Operands, by position.
    children: Vec<usize>,
}

impl Reduced {
    /// `None` where nothing is left: no program is cheaper than `total`. `left_out` are terms, by class and number, that
    /// no cheaper program has.
    pub fn new(
        costs: &Costs,
        roots: &[Id],
        total: f64,
        left_out: &FxHashSet<(Id, usize)>,
    ) -> Option<Self> {
        let names = costs.classes();
        let position: FxHashMap<Id, usize> =
            names.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        let roots: Vec<usize> = roots.iter().map(|r| position[r]).collect();
        let mut terms: Vec<Vec<Term>> = names
            .iter()
            .map(|&class| {
                let mut own = undominated(costs, class, &position);
                own.retain(|term| !left_out.contains(&(class, term.number)));
                own
            })
            .collect();
        loop {
            let needs = needed(&terms);
            let cheapest: Vec<f64> = terms
                .iter()
                .map(|own| own.iter().map(|t| t.seconds).fold(f64::INFINITY, f64::min))
                .collect();
            let mut always = Bits::with_capacity(terms.len());
            roots.iter().for_each(|&r| always.union(&needs[r]));
            let floor = |set: &Bits| set.iter().map(|c| cheapest[c]).sum::<f64>();
            let least = floor(&always);
            if least >= total * (1.0 - EQUAL) || roots.iter().any(|&r| terms[r].is_empty()) {
                return None;
            }
            let mut changed = false;
            for (class, own) in terms.iter_mut().enumerate() {
                let before = own.len();
                own.retain(|term| {
                    let below = below(term, &needs);
                    // What needs its own class goes round in a circle.
                    if below.contains(class) {
                        return false;
                    }
                    let mut all = always.clone();
                    all.union(&below);
                    let own = if all.contains(class) {
                        cheapest[class]
                    } else {
                        0.0
                    };
                    floor(&all) - own + term.seconds < total * (1.0 - EQUAL)
                });
                changed |= own.len() != before;
            }
            if !changed {
                return Some(numbered(&names, terms, &needs, &roots, least));
            }
        }
    }
}

/// What a term needs besides itself.
fn below(term: &Term, needs: &[Bits]) -> Bits {
    let mut all = Bits::with_capacity(needs.len());
    term.children.iter().for_each(|&c| all.union(&needs[c]));
    all
}

/// For each class, the classes that every program of it has, itself among them: dominators, by iteration from above.
fn needed(terms: &[Vec<Term>]) -> Vec<Bits> {
    let mut needs = vec![Bits::full(terms.len()); terms.len()];
    loop {
        let mut changed = false;
        for (class, own) in terms.iter().enumerate() {
            let mut common = Bits::full(terms.len());
            for term in own {
                common.intersect(&below(term, &needs));
            }
            common.insert(class);
            if common != needs[class] {
                needs[class] = common;
                changed = true;
            }
        }
        if !changed {
            return needs;
        }
    }
}

/// The terms of a class but those that another is no worse than, in cost and in what it needs.
fn undominated(costs: &Costs, class: Id, position: &FxHashMap<Id, usize>) -> Vec<Term> {
    let mut all: Vec<Term> = costs
        .terms(class)
        .map(|(number, term)| {
            let mut children: Vec<usize> = costs.children(term).map(|c| position[&c]).collect();
            children.sort_unstable();
            children.dedup();
            Term {
                number,
                seconds: costs.of(class, number),
                children,
            }
        })
        .collect();
    all.sort_by(|a, b| {
        a.seconds
            .total_cmp(&b.seconds)
            .then(a.children.len().cmp(&b.children.len()))
            .then(a.number.cmp(&b.number))
    });
    let mut kept: Vec<Term> = Vec::new();
    for term in all {
        let needs = |c: &usize| term.children.binary_search(c).is_ok();
        if !kept.iter().any(|k| k.children.iter().all(needs)) {
            kept.push(term);
        }
    }
    kept
}

/// The terms that are reachable, numbered in a fixed order.
fn numbered(
    names: &[Id],
    terms: Vec<Vec<Term>>,
    needs: &[Bits],
    roots: &[usize],
    least: f64,
) -> Reduced {
    let mut place: Vec<Option<usize>> = vec![None; terms.len()];
    let mut order = Vec::new();
    let mut count = 0;
    let mut stack: Vec<usize> = roots.iter().rev().copied().collect();
    while let Some(class) = stack.pop() {
        if place[class].is_some() {
            continue;
        }
        place[class] = Some(count);
        count += terms[class].len();
        order.push(class);
        stack.extend(terms[class].iter().flat_map(|t| t.children.iter().rev()));
    }
    let supply = |class: usize, child: usize| -> Vec<usize> {
        let first = place[child].unwrap_or(0);
        (0..terms[child].len())
            .filter(|&i| !below(&terms[child][i], needs).contains(class))
            .map(|i| first + i)
            .collect()
    };
    let mut reduced = Reduced {
        candidates: Vec::with_capacity(count),
        classes: FxHashMap::default(),
        least,
    };
    for &class in &order {
        let first = reduced.candidates.len();
        for term in &terms[class] {
            reduced.candidates.push(Candidate {
                class: names[class],
                number: term.number,
                seconds: term.seconds,
                children: term.children.iter().map(|&c| names[c]).collect(),
                supplies: term.children.iter().map(|&c| supply(class, c)).collect(),
            });
        }
        let numbers = (first..reduced.candidates.len()).collect();
        reduced.classes.insert(names[class], numbers);
    }
    reduced
}
