//! Branch and bound over cuts and linear relaxations, after the e-graph was reduced to what a cheaper program could use.
//!
//! Cuts (`ascent`) come first: their bound leaves out every term whose remaining cost is more than a cheaper program may
//! have, again and again while that makes the e-graph smaller. What is left is relaxed while the bound on variables
//! lasts and while relaxations prove more than cuts did, then branched on by cuts alone, the branch with the least bound
//! first.
//!
//! Each term is a variable between 0 and 1; a root needs a term, and so does each operand of a chosen term: one that does
//! not need the chosen term's class in turn. Longer circles are forbidden one by one, when a solution has one. Relaxations are solved by `good_lp` with `microlp`.

use egg::Id;
use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, microlp, variable};
use rustc_hash::{FxHashMap, FxHashSet};

use super::ascent::{Ascent, Net, Through, WAYS};
use super::reduced::Reduced;
use super::{Costs, Extraction, Method, Selection, greedy};

/// An answer so near to the bound is the best.
pub const EQUAL: f64 = 1e-6;
/// A relaxation of more variables is not solved: its time grows with their square.
const LARGEST: usize = 1_500;
/// Steps of local improvement after rounding.
const POLISH: usize = 20_000;
/// Terms that cuts may look at, for each variable of a relaxation that is allowed: about a tenth of its time.
const STEPS_A_VARIABLE: usize = 50;

/// Makes an answer better, or proves how good it is, with relaxations of at most so many variables together.
pub fn improve(
    costs: &Costs,
    roots: &[Id],
    first: Selection,
    variables: usize,
) -> Option<Extraction> {
    let total = first.seconds(costs, roots)?;
    if variables == 0 {
        return Some(Extraction {
            selection: first,
            method: Method::Greedy,
            gap: 1.0,
        });
    }
    let mut search = Search {
        costs,
        roots,
        best: first,
        total,
        circles: Vec::new(),
        left: variables,
        relaxes: true,
        steps: variables.saturating_mul(STEPS_A_VARIABLE),
    };
    let lower = search.lower();
    log::debug!(
        "exact extraction: {} of {} variables used, {} steps of cuts left, at most {:.3e} s where {lower:.3e} s is proved",
        variables - search.left,
        variables,
        search.steps,
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

impl Branch {
    /// Without a term, and with it.
    fn split(&self, term: usize, bound: f64) -> [Self; 2] {
        [false, true].map(|taken| {
            let mut decided = self.decided.clone();
            decided.push((term, taken));
            Self { decided, bound }
        })
    }
}

struct Search<'s> {
    costs: &'s Costs<'s>,
    roots: &'s [Id],
    best: Selection,
    total: f64,
    /// Terms of which not all may be chosen.
    circles: Vec<Vec<usize>>,
    left: usize,
    /// Whether relaxations are worth their time here.
    relaxes: bool,
    /// Terms that cuts may still look at.
    steps: usize,
}

impl Search<'_> {
    /// The proved lower bound.
    fn lower(&mut self) -> f64 {
        let (mut left_out, mut bound) = (FxHashSet::default(), 0.0f64);
        loop {
            let Some(reduced) = Reduced::new(self.costs, self.roots, self.total, &left_out) else {
                // Nothing is left that a cheaper program could use.
                return self.total;
            };
            let net = Net::new(&reduced, self.roots);
            let (before, all) = (left_out.len(), vec![true; reduced.candidates.len()]);
            bound = bound.max(reduced.least);
            for way in WAYS {
                let Some(ascent) = net.ascend(&all, way, &mut self.steps) else {
                    return self.total;
                };
                bound = bound.max(ascent.bound);
                self.take(&reduced, &net, &ascent);
                for (class, own) in &reduced.classes {
                    for &term in own {
                        if ascent.bound + ascent.rest[term] >= self.total * (1.0 - EQUAL) {
                            left_out.insert((*class, reduced.candidates[term].number));
                        }
                    }
                }
            }
            if bound >= self.total * (1.0 - EQUAL) {
                return self.total;
            }
            if left_out.len() == before || self.steps == 0 {
                return self.run(&reduced, &net, bound);
            }
        }
    }

    /// Keeps the program that an ascent has made without cost, polished, if it is the cheapest so far.
    fn take(&mut self, reduced: &Reduced, net: &Net, ascent: &Ascent) {
        let mut selection = self.best.clone();
        let program = net.program(ascent);
        if program.is_empty() {
            return;
        }
        for term in program {
            let candidate = &reduced.candidates[term];
            selection.choice.insert(candidate.class, candidate.number);
        }
        self.keep(selection);
    }

    /// Polishes a program, and keeps it if it is the cheapest so far; whether it was one.
    fn keep(&mut self, mut selection: Selection) -> bool {
        let Some(total) = greedy::improve(self.costs, self.roots, &mut selection, POLISH) else {
            return false;
        };
        if total < self.total {
            self.total = total;
            self.best = selection;
        }
        true
    }

    /// The bound of a branch by cuts, and the term to branch on next; `None` where the branch holds no cheaper program.
    fn cut(
        &mut self,
        reduced: &Reduced,
        net: &Net,
        branch: &Branch,
    ) -> Option<(f64, Option<usize>)> {
        let mut allowed = vec![true; reduced.candidates.len()];
        for &(term, taken) in &branch.decided {
            if taken {
                let others = net.class(term).1.iter().filter(|&&t| t != term);
                others.for_each(|&t| allowed[t] = false);
            } else {
                allowed[term] = false;
            }
        }
        let ascent = net.ascend(&allowed, Through::Dearest, &mut self.steps)?;
        let bound = ascent.bound.max(branch.bound);
        self.take(reduced, net, &ascent);
        if bound >= self.total * (1.0 - EQUAL) {
            return None;
        }
        let open = |&t: &usize| net.class(t).1.iter().filter(|&&o| allowed[o]).count() > 1;
        let dear = |&a: &usize, &b: &usize| {
            let (x, y) = (reduced.candidates[a].seconds, reduced.candidates[b].seconds);
            x.total_cmp(&y).then(b.cmp(&a))
        };
        let split = net.program(&ascent).into_iter().filter(open).max_by(dear);
        Some((bound, split))
    }

    fn run(&mut self, reduced: &Reduced, net: &Net, bound: f64) -> f64 {
        let mut open = vec![Branch {
            decided: Vec::new(),
            bound,
        }];
        while let Some(next) =
            (0..open.len()).min_by(|&a, &b| open[a].bound.total_cmp(&open[b].bound).then(b.cmp(&a)))
        {
            let mut branch = open.swap_remove(next);
            if branch.bound >= self.total * (1.0 - EQUAL) {
                continue;
            }
            let mut by_cut = None;
            if !branch.decided.is_empty() && self.steps > 0 {
                match self.cut(reduced, net, &branch) {
                    None => continue,
                    Some((bound, split)) => {
                        branch.bound = bound;
                        by_cut = split;
                    }
                }
            }
            let count = reduced.candidates.len();
            let relaxed = if self.relaxes && count <= LARGEST && count <= self.left {
                self.left -= reduced.candidates.len();
                self.relax(reduced, &branch.decided)
            } else {
                Relaxed::Unknown
            };
            match relaxed {
                Relaxed::Unknown => match by_cut {
                    Some(split) if self.steps > 0 => open.extend(branch.split(split, branch.bound)),
                    _ if branch.decided.is_empty() && self.steps > 0 => {
                        match self.cut(reduced, net, &branch) {
                            Some((bound, Some(split))) => open.extend(branch.split(split, bound)),
                            Some(_) => return branch.bound.min(self.total),
                            None => {}
                        }
                    }
                    _ => {
                        let bounds = open.iter().map(|b| b.bound);
                        return bounds.fold(branch.bound, f64::min).min(self.total);
                    }
                },
                Relaxed::Infeasible => {}
                Relaxed::At(bound, values) => {
                    // Where half terms stand on one another in circles, cuts say more for less.
                    self.relaxes &= !branch.decided.is_empty() || bound >= branch.bound;
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
                        open.extend(branch.split(split, bound));
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
        if self.keep(rounded) {
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
