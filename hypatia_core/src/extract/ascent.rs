//! A lower bound by dual ascent over cuts, which circles of terms cannot get around.
//!
//! A cut is a set of terms without which a root cannot be made, from inputs upwards, so that every program has one of
//! them. Each step finds a cut of terms that still have cost, takes the least of these costs off all of them and adds it
//! to the bound, until the roots can be made of terms without cost. After Wong, "A dual ascent approach for Steiner tree
//! problems on a directed graph" (Mathematical Programming, 1984), here over terms with several operands. A linear
//! relaxation lets half a term stand on another half that stands on it; a cut does not.

use std::collections::VecDeque;

use egg::Id;
use rustc_hash::FxHashMap;

use super::reduced::Reduced;

/// Which of several missing operands a cut goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    First,
    Last,
    /// The one that takes longest to make.
    Dearest,
}

/// All of them; each gives a bound of its own.
pub const WAYS: [Through; 3] = [Through::Dearest, Through::First, Through::Last];

/// The terms of [`Reduced`] with classes numbered, for many ascents.
pub struct Net {
    seconds: Vec<f64>,
    class_of: Vec<usize>,
    children: Vec<Vec<usize>>,
    terms: Vec<Vec<usize>>,
    users: Vec<Vec<usize>>,
    roots: Vec<usize>,
    /// The longest chain of terms, each the cheapest of its class, that a class needs.
    depth: Vec<f64>,
}

/// What one ascent found.
pub struct Ascent {
    /// No program of the terms that were allowed costs less.
    pub bound: f64,
    /// What of each term's cost no cut has taken: a program with the term costs so much more than the bound.
    pub rest: Vec<f64>,
    /// For each class the term that first made it without cost; following it never comes back.
    pub maker: Vec<Option<usize>>,
}

impl Net {
    pub fn new(reduced: &Reduced, roots: &[Id]) -> Self {
        let mut names: Vec<Id> = reduced.classes.keys().copied().collect();
        names.sort_unstable();
        let place: FxHashMap<Id, usize> = names.iter().enumerate().map(|(i, &c)| (c, i)).collect();
        let mut class_of = vec![0; reduced.candidates.len()];
        let terms: Vec<Vec<usize>> = names.iter().map(|c| reduced.classes[c].clone()).collect();
        for (class, own) in terms.iter().enumerate() {
            own.iter().for_each(|&t| class_of[t] = class);
        }
        let children: Vec<Vec<usize>> = reduced
            .candidates
            .iter()
            .map(|c| c.children.iter().map(|child| place[child]).collect())
            .collect();
        let mut users = vec![Vec::new(); names.len()];
        for (term, needed) in children.iter().enumerate() {
            needed.iter().for_each(|&class| users[class].push(term));
        }
        let mut net = Self {
            seconds: reduced.candidates.iter().map(|c| c.seconds).collect(),
            class_of,
            children,
            terms,
            users,
            roots: roots.iter().filter_map(|r| place.get(r).copied()).collect(),
            depth: Vec::new(),
        };
        net.depth = net.depths();
        net
    }

    fn depths(&self) -> Vec<f64> {
        let mut depth = vec![f64::INFINITY; self.terms.len()];
        for _ in 0..self.terms.len() {
            let mut changed = false;
            for (class, own) in self.terms.iter().enumerate() {
                let of = |&t: &usize| {
                    let below = self.children[t].iter().map(|&c| depth[c]);
                    self.seconds[t] + below.fold(0.0, f64::max)
                };
                let least = own.iter().map(of).fold(f64::INFINITY, f64::min);
                if least < depth[class] {
                    depth[class] = least;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        depth
    }

    /// The class of a term, and the terms that compute it.
    pub fn class(&self, term: usize) -> (usize, &[usize]) {
        let class = self.class_of[term];
        (class, &self.terms[class])
    }

    /// The terms of a program that an ascent has made without cost.
    pub fn program(&self, ascent: &Ascent) -> Vec<usize> {
        let mut program = Vec::new();
        let mut seen = vec![false; self.terms.len()];
        let mut stack = self.roots.clone();
        while let Some(class) = stack.pop() {
            if std::mem::replace(&mut seen[class], true) {
                continue;
            }
            if let Some(term) = ascent.maker[class] {
                program.push(term);
                stack.extend(&self.children[term]);
            }
        }
        program
    }

    /// A bound for programs of the allowed terms; `None` where there is no program. Takes the terms that it looks at
    /// off `steps`, and stops with the bound reached when there are none left.
    pub fn ascend(&self, allowed: &[bool], through: Through, steps: &mut usize) -> Option<Ascent> {
        let count = self.terms.len();
        let mut state = State {
            net: self,
            allowed,
            rest: self.seconds.clone(),
            missing: self.children.iter().map(Vec::len).collect(),
            maker: vec![None; count],
            made: VecDeque::new(),
        };
        let mut bound = 0.0;
        let mut inside = vec![false; count];
        for &root in &self.roots {
            while state.maker[root].is_none() {
                let cut = state.cut(root, through, &mut inside, steps);
                let least = cut
                    .iter()
                    .map(|&t| state.rest[t])
                    .fold(f64::INFINITY, f64::min);
                if least == f64::INFINITY {
                    return None;
                }
                bound += least;
                for term in cut {
                    state.rest[term] -= least;
                    if state.rest[term] <= 0.0 {
                        state.rest[term] = 0.0;
                        state.free(term);
                    }
                }
                state.spread();
                if *steps == 0 {
                    break;
                }
            }
        }
        Some(Ascent {
            bound,
            rest: state.rest,
            maker: state.maker,
        })
    }
}

struct State<'n> {
    net: &'n Net,
    allowed: &'n [bool],
    rest: Vec<f64>,
    /// How many operands of each term cannot be made without cost yet.
    missing: Vec<usize>,
    maker: Vec<Option<usize>>,
    made: VecDeque<usize>,
}

impl State<'_> {
    /// Makes a term's class, if the term has neither cost nor missing operands.
    fn free(&mut self, term: usize) {
        let class = self.net.class_of[term];
        let ready = self.allowed[term] && self.rest[term] == 0.0 && self.missing[term] == 0;
        if ready && self.maker[class].is_none() {
            self.maker[class] = Some(term);
            self.made.push_back(class);
        }
    }

    fn spread(&mut self) {
        while let Some(class) = self.made.pop_front() {
            for &user in &self.net.users[class] {
                self.missing[user] -= 1;
                self.free(user);
            }
        }
    }

    /// Terms with cost, one of which every program of the root has: of each class inside, each term is one of them or
    /// needs a class inside.
    fn cut(
        &self,
        root: usize,
        through: Through,
        inside: &mut [bool],
        steps: &mut usize,
    ) -> Vec<usize> {
        let net = self.net;
        inside.fill(false);
        inside[root] = true;
        let (mut stack, mut cut) = (vec![root], Vec::new());
        while let Some(class) = stack.pop() {
            for &term in net.terms[class].iter().filter(|&&t| self.allowed[t]) {
                *steps = steps.saturating_sub(1);
                if self.missing[term] == 0 {
                    cut.push(term);
                    continue;
                }
                let open = || {
                    net.children[term]
                        .iter()
                        .copied()
                        .filter(|&c| self.maker[c].is_none())
                };
                if open().any(|c| inside[c]) {
                    continue;
                }
                let next = match through {
                    Through::First => open().next(),
                    Through::Last => open().next_back(),
                    Through::Dearest => open()
                        .max_by(|&a, &b| net.depth[a].total_cmp(&net.depth[b]).then(b.cmp(&a))),
                };
                if let Some(next) = next {
                    inside[next] = true;
                    stack.push(next);
                }
            }
        }
        cut
    }
}
