//! Equality saturation: every match of every admitted rule is added, round by round, within limits that count.

use egg::Id;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use crate::analysis::TensorGraph;
use crate::contraction::Orders;
use crate::cost::CostModel;
use crate::error::{Error, Result};
use crate::language::Head;
use crate::pattern::Match;
use crate::rules::{Rewrite, Soundness, rewrites};
use crate::step::{Step, apply};

/// When the search stops; counted in nodes and rounds, so that every machine stops at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub nodes: usize,
    pub iterations: usize,
    /// New matches in one round above which a rule that makes programs larger has to wait.
    pub matches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 8_000,
            iterations: 12,
            matches: 64,
        }
    }
}

/// Why the search stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    Saturated,
    Nodes,
    Iterations,
}

/// What the search did.
#[derive(Debug)]
pub struct Saturation {
    pub steps: Vec<Step>,
    pub iterations: usize,
    pub stop: Stop,
}

/// The rules that a search of this class may use: the built-in ones, then the users'.
pub fn rules_of(
    admitted: Soundness,
    users: &[&'static Rewrite],
) -> impl Iterator<Item = &'static Rewrite> + Clone {
    rewrites()
        .iter()
        .chain(users.iter().copied())
        .filter(move |r| r.rule.soundness <= admitted)
}

/// Applies all rules of at most this class until nothing new is found or a limit is reached. Before each round the best
/// orders of chains of products enter.
///
/// # Errors
/// A rule joined classes of unequal type: it is unsound, and the e-graph may not be used.
pub fn saturate(
    egraph: &mut TensorGraph,
    admitted: Soundness,
    users: &[&'static Rewrite],
    limits: &Limits,
    model: &CostModel,
) -> Result<Saturation> {
    let mut queue: Vec<Scheduled> = rules_of(admitted, users).map(Scheduled::new).collect();
    let mut orders = Orders::new(rules_of(admitted, users));
    let mut steps = Vec::new();
    for iteration in 0..limits.iterations {
        let entered = orders.enter(egraph, model)?;
        sound(egraph)?;
        let mut changed = !entered.is_empty();
        steps.extend(entered);
        let found: Vec<Vec<(Id, Match)>> = queue
            .iter_mut()
            .map(|entry| entry.search(egraph, admitted, iteration, limits.matches))
            .collect();
        for (entry, matches) in queue.iter().zip(found) {
            for (class, found) in matches {
                if let Some(step) = apply(egraph, entry.rule, class, found)? {
                    changed = true;
                    steps.push(step);
                }
                if egraph.total_number_of_nodes() > limits.nodes {
                    egraph.rebuild();
                    sound(egraph)?;
                    return Ok(Saturation {
                        steps,
                        iterations: iteration + 1,
                        stop: Stop::Nodes,
                    });
                }
            }
        }
        egraph.rebuild();
        sound(egraph)?;
        if !changed && !queue.iter().any(|entry| entry.resumes > iteration) {
            return Ok(Saturation {
                steps,
                iterations: iteration + 1,
                stop: Stop::Saturated,
            });
        }
    }
    Ok(Saturation {
        steps,
        iterations: limits.iterations,
        stop: Stop::Iterations,
    })
}

/// A rule with what it has seen and, where it found too much at once, the round at which it may go on.
///
/// The back-off is that of egg (Willsey et al., POPL 2021): a rule with too many new matches waits a few rounds, then
/// may have twice as many. Rules that only simplify are never held back.
struct Scheduled {
    rule: &'static Rewrite,
    seen: FxHashSet<(Id, Match)>,
    resumes: usize,
    bans: u32,
}

/// Rounds that a rule waits the first time it found too much.
const WAIT: usize = 2;

impl Scheduled {
    fn new(rule: &'static Rewrite) -> Self {
        Self {
            rule,
            seen: FxHashSet::default(),
            resumes: 0,
            bans: 0,
        }
    }

    fn search(
        &mut self,
        egraph: &TensorGraph,
        admitted: Soundness,
        iteration: usize,
        limit: usize,
    ) -> Vec<(Id, Match)> {
        if iteration < self.resumes {
            return Vec::new();
        }
        let limit = if self.rule.grows() {
            limit << self.bans
        } else {
            usize::MAX
        };
        let fresh = search(egraph, self.rule, admitted, &self.seen, limit);
        if fresh.len() > limit {
            self.resumes = iteration + 1 + (WAIT << self.bans);
            self.bans += 1;
            return Vec::new();
        }
        self.seen.extend(fresh.iter().cloned());
        fresh
    }
}

fn sound(egraph: &TensorGraph) -> Result<()> {
    match &egraph.analysis.contradiction {
        Some(what) => Err(Error::new(format!("an unsound rule: {what}"))),
        None => Ok(()),
    }
}

/// The matches of a rule that were not seen before, in a fixed order; one more than `limit` at the most.
fn search(
    egraph: &TensorGraph,
    rule: &Rewrite,
    admitted: Soundness,
    seen: &FxHashSet<(Id, Match)>,
    limit: usize,
) -> Vec<(Id, Match)> {
    let (mut fresh, mut own) = (Vec::new(), FxHashSet::default());
    let Some(head) = rule.left.head() else {
        return fresh;
    };
    let Some(classes) = egraph.classes_for_op(&Head::Op(head)) else {
        return fresh;
    };
    let mut classes: Vec<Id> = classes.collect();
    classes.sort_unstable();
    for class in classes {
        let go_on = rule
            .left
            .matches(egraph, class, rule.variables.len(), &mut |found| {
                if admitted < Soundness::Reassociates && found.regroups() {
                    return true;
                }
                let found = found.clone().canonical(egraph);
                let entry = (class, found);
                if !seen.contains(&entry) && own.insert(entry.clone()) {
                    fresh.push(entry);
                }
                fresh.len() <= limit
            });
        if !go_on {
            break;
        }
    }
    fresh
}
