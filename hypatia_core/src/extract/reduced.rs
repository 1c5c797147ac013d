//! An e-graph, reduced to the terms that a cheaper program than the best known could use.

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};

use super::exact::EQUAL;
use super::{Costs, Priced};
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
        let names = &costs.names;
        let roots: Vec<usize> = roots.iter().map(|r| costs.positions[r]).collect();
        let mut terms: Vec<Vec<Term>> = names
            .iter()
            .zip(&costs.priced)
            .map(|(&class, own)| {
                let mut own = undominated(own);
                own.retain(|term| !left_out.contains(&(class, term.number)));
                own
            })
            .collect();
        loop {
            let needs = needed(&terms, &roots);
            let cheapest: Vec<f64> = terms
                .iter()
                .map(|own| own.iter().map(|t| t.seconds).fold(f64::INFINITY, f64::min))
                .collect();
            let mut always = Bits::with_capacity(terms.len());
            roots.iter().for_each(|&r| always.union(&needs[r]));
            let least = always.iter().map(|c| cheapest[c]).sum::<f64>();
            if least >= total * (1.0 - EQUAL) || roots.iter().any(|&r| terms[r].is_empty()) {
                return None;
            }
            let mut changed = false;
            let mut below = Bits::with_capacity(terms.len());
            for (class, own) in terms.iter_mut().enumerate() {
                let before = own.len();
                own.retain(|term| {
                    below.clear();
                    term.children.iter().for_each(|&c| below.union(&needs[c]));
                    // What needs its own class goes round in a circle.
                    if below.contains(class) {
                        return false;
                    }
                    let own = if always.contains(class) {
                        cheapest[class]
                    } else {
                        0.0
                    };
                    let more: f64 = below.without(&always).map(|c| cheapest[c]).sum();
                    least + more - own + term.seconds < total * (1.0 - EQUAL)
                });
                changed |= own.len() != before;
            }
            if !changed {
                return Some(numbered(names, terms, &needs, &roots, least));
            }
        }
    }
}

/// For each class, the classes that every program of it has, itself among them: dominators, by iteration from above.
fn needed(terms: &[Vec<Term>], roots: &[usize]) -> Vec<Bits> {
    let order = operands_first(terms, roots);
    let mut needs = vec![Bits::full(terms.len()); terms.len()];
    let (mut below, mut common) = (Bits::full(terms.len()), Bits::full(terms.len()));
    loop {
        let mut changed = false;
        for &class in &order {
            common.fill(terms.len());
            for term in &terms[class] {
                below.clear();
                term.children.iter().for_each(|&c| below.union(&needs[c]));
                common.intersect(&below);
            }
            common.insert(class);
            if common != needs[class] {
                needs[class].clone_from(&common);
                changed = true;
            }
        }
        if !changed {
            return needs;
        }
    }
}

/// The classes below the roots, as far as circles allow operands before what needs them.
fn operands_first(terms: &[Vec<Term>], roots: &[usize]) -> Vec<usize> {
    let mut order = Vec::with_capacity(terms.len());
    let mut seen = vec![false; terms.len()];
    let mut stack: Vec<(usize, bool)> = roots.iter().map(|&r| (r, false)).collect();
    while let Some((class, leaving)) = stack.pop() {
        if leaving {
            order.push(class);
        } else if !std::mem::replace(&mut seen[class], true) {
            stack.push((class, true));
            let children = terms[class].iter().flat_map(|t| &t.children);
            stack.extend(children.filter(|&&c| !seen[c]).map(|&c| (c, false)));
        }
    }
    order
}

/// The terms of a class but those that another is no worse than, in cost and in what it needs.
fn undominated(own: &[Priced]) -> Vec<Term> {
    let mut all: Vec<&Priced> = own.iter().collect();
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
            kept.push(Term {
                number: term.number,
                seconds: term.seconds,
                children: term.children.to_vec(),
            });
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
            .filter(|&i| {
                let mut below = terms[child][i].children.iter();
                !below.any(|&c| needs[c].contains(class))
            })
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
