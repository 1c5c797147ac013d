//! Branch and bound over linear relaxations, after the e-graph was reduced to what a cheaper program could use.
//!
//! Each term is a variable between 0 and 1; a root needs a term, and so does each operand of a chosen term: one that does
//! not need the chosen term's class in turn. Longer circles are forbidden one by one, when a solution has one. Relaxations are solved by `good_lp` with `microlp`.

use egg::Id;
use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, microlp, variable};
use rustc_hash::{FxHashMap, FxHashSet};

use super::reduced::Reduced;
use super::{Costs, Extraction, Method, Selection, greedy};

/// An answer so near to the bound is the best.
pub const EQUAL: f64 = 1e-6;
/// Steps of local improvement after rounding.
const POLISH: usize = 20_000;

/// Makes an answer better, or proves how good it is, with relaxations of at most so many variables together.
pub fn improve(
    costs: &Costs,
    roots: &[Id],
    first: Selection,
    variables: usize,
) -> Option<Extraction> {
    let total = first.seconds(costs, roots)?;
    let mut search = Search {
        costs,
        roots,
        best: first,
        total,
        circles: Vec::new(),
        left: variables,
    };
    let lower = match Reduced::new(costs, roots, total) {
        // Nothing is left that a cheaper program could use.
        None => search.total,
        Some(reduced) => search.run(&reduced),
    };
    log::debug!(
        "exact extraction: {} of {} variables used, at most {:.3e} s where {lower:.3e} s is proved",
        variables - search.left,
        variables,
        search.total,
    );
    let gap = ((search.total - lower) / search.total).max(0.0);
    let (method, gap) = if gap <= EQUAL {
        (Method::Exact, 0.0)
    } else {
        (Method::Greedy, gap)
    };
    Some(Extraction {
        selection: search.best,
        method,
        gap,
    })
}

/// A part of the space: some terms are taken, some are left.
#[derive(Clone)]
struct Branch {
    decided: Vec<(usize, bool)>,
    bound: f64,
}

struct Search<'s> {
    costs: &'s Costs<'s>,
    roots: &'s [Id],
    best: Selection,
    total: f64,
    /// Terms of which not all may be chosen.
    circles: Vec<Vec<usize>>,
    left: usize,
}

impl Search<'_> {
    /// The proved lower bound.
    fn run(&mut self, reduced: &Reduced) -> f64 {
        let mut open = vec![Branch {
            decided: Vec::new(),
            bound: reduced.least,
        }];
        while let Some(branch) = open.pop() {
            if branch.bound >= self.total * (1.0 - EQUAL) {
                continue;
            }
            let relaxed = if self.left >= reduced.candidates.len() {
                self.left -= reduced.candidates.len();
                self.relax(reduced, &branch.decided)
            } else {
                Relaxed::Unknown
            };
            match relaxed {
                Relaxed::Unknown => {
                    let bounds = open.iter().map(|b| b.bound);
                    return bounds.fold(branch.bound, f64::min).min(self.total);
                }
                Relaxed::Infeasible => {}
                Relaxed::At(bound, values) => {
                    let bound = bound.max(branch.bound);
                    if bound >= self.total * (1.0 - EQUAL) {
                        continue;
                    }
                    if let Some(circle) = self.round(reduced, &values) {
                        self.circles.push(circle);
                        open.push(Branch { bound, ..branch });
                        continue;
                    }
                    let open_term = |&i: &usize| {
                        let v: f64 = values[i];
                        (v - v.round()).abs() > 1e-6
                    };
                    let dear = |&a: &usize, &b: &usize| {
                        let weight = |i: usize| reduced.candidates[i].seconds * values[i];
                        weight(a).total_cmp(&weight(b)).then(b.cmp(&a))
                    };
                    let split = (0..values.len()).filter(open_term).max_by(dear);
                    if let Some(split) = split {
                        for taken in [false, true] {
                            let mut decided = branch.decided.clone();
                            decided.push((split, taken));
                            open.push(Branch { decided, bound });
                        }
                    }
                }
            }
        }
        self.total
    }

    fn relax(&self, reduced: &Reduced, decided: &[(usize, bool)]) -> Relaxed {
        let mut problem = ProblemVariables::new();
        let variables: Vec<Variable> = (0..reduced.candidates.len())
            .map(|i| {
                let fixed = decided.iter().find(|(d, _)| *d == i);
                let (low, high) = match fixed {
                    Some((_, true)) => (1.0, 1.0),
                    Some((_, false)) => (0.0, 0.0),
                    None => (0.0, 1.0),
                };
                problem.add(variable().min(low).max(high))
            })
            .collect();
        let chosen = |class: &Id| -> Expression {
            reduced.classes[class]
                .iter()
                .map(|&i| Expression::from(variables[i]))
                .sum()
        };
        let scale = 1.0 / self.total;
        let objective: Expression = reduced
            .candidates
            .iter()
            .zip(&variables)
            .map(|(c, &x)| x * (c.seconds * scale))
            .sum();
        let mut model = problem.minimise(objective).using(microlp);
        for root in self.roots {
            model = model.with(chosen(root).geq(1.0));
        }
        for (candidate, &x) in reduced.candidates.iter().zip(&variables) {
            for supply in &candidate.supplies {
                let supplied: Expression =
                    supply.iter().map(|&i| Expression::from(variables[i])).sum();
                model = model.with((supplied - x).geq(0.0));
            }
        }
        for circle in &self.circles {
            let sum: Expression = circle.iter().map(|&i| Expression::from(variables[i])).sum();
            model = model.with(sum.leq(circle.len() as f64 - 1.0));
        }
        match model.solve() {
            Ok(solution) => {
                let values: Vec<f64> = variables.iter().map(|&x| solution.value(x)).collect();
                let bound = reduced
                    .candidates
                    .iter()
                    .zip(&values)
                    .map(|(c, v)| c.seconds * v)
                    .sum();
                Relaxed::At(bound, values)
            }
            Err(good_lp::ResolutionError::Infeasible) => Relaxed::Infeasible,
            Err(_) => Relaxed::Unknown,
        }
    }

    /// Takes the greatest value of each class; a whole program may be the new best. A circle of terms that are wholly
    /// chosen is returned.
    fn round(&mut self, reduced: &Reduced, values: &[f64]) -> Option<Vec<usize>> {
        let mut rounded = self.best.clone();
        let mut taken: FxHashMap<Id, usize> = FxHashMap::default();
        let mut stack = self.roots.to_vec();
        while let Some(class) = stack.pop() {
            if taken.contains_key(&class) {
                continue;
            }
            let greatest = reduced.classes.get(&class)?.iter().copied();
            let greatest =
                greatest.max_by(|&a, &b| values[a].total_cmp(&values[b]).then(b.cmp(&a)))?;
            taken.insert(class, greatest);
            rounded
                .choice
                .insert(class, reduced.candidates[greatest].number);
            stack.extend(&reduced.candidates[greatest].children);
        }
        if let Some(before) = rounded.seconds(self.costs, self.roots) {
            if before < self.total * 1.5 {
                greedy::improve(self.costs, self.roots, &mut rounded, POLISH);
            }
            if let Some(total) = rounded.seconds(self.costs, self.roots)
                && total < self.total
            {
                self.total = total;
                self.best = rounded;
            }
            return None;
        }
        let circle = circle_of(reduced, &taken, self.roots)?;
        circle
            .iter()
            .all(|&i| values[i] > 1.0 - 1e-6)
            .then_some(circle)
    }
}

enum Relaxed {
    At(f64, Vec<f64>),
    Infeasible,
    /// Not solved: the bound was reached, or the solver gave up.
    Unknown,
}

/// Terms that need one another in a circle.
fn circle_of(reduced: &Reduced, taken: &FxHashMap<Id, usize>, roots: &[Id]) -> Option<Vec<usize>> {
    let mut done: FxHashSet<Id> = FxHashSet::default();
    for &root in roots {
        let mut path: Vec<(Id, usize)> = vec![(root, 0)];
        while let Some((class, next)) = path.pop() {
            let term = *taken.get(&class)?;
            let Some(&child) = reduced.candidates[term].children.get(next) else {
                done.insert(class);
                continue;
            };
            path.push((class, next + 1));
            if let Some(start) = path.iter().position(|(c, _)| *c == child) {
                return Some(path[start..].iter().map(|(c, _)| taken[c]).collect());
            }
            if !done.contains(&child) {
                path.push((child, 0));
            }
        }
    }
    None
}
