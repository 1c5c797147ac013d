//! Equality saturation: every match of every admitted rule is added, round by round, within limits that count.

use egg::Id;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use crate::analysis::{TensorGraph, tensor_type};
use crate::error::{Error, Result};
use crate::language::Head;
use crate::pattern::Match;
use crate::rules::{Rewrite, Soundness, rewrites};
use crate::tensor_type::TensorType;

/// When the search stops; counted in nodes and rounds, so that every machine stops at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub nodes: usize,
    pub iterations: usize,
    /// Matches of one rule taken up in one round.
    pub matches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 20_000,
            iterations: 10,
            matches: 4_000,
        }
    }
}

/// One application of a rule: enough to state the equation that it added.
#[derive(Debug, Clone)]
pub struct Step {
    pub rewrite: &'static Rewrite,
    pub found: Match,
    /// The type of both sides.
    pub root: TensorType,
}

/// Why the search stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

/// Applies all rules of at most this class until nothing new is found or a limit is reached.
///
/// # Errors
/// A rule joined classes of unequal type: it is unsound, and the e-graph may not be used.
pub fn saturate(
    egraph: &mut TensorGraph,
    admitted: Soundness,
    limits: &Limits,
) -> Result<Saturation> {
    let rules: Vec<&'static Rewrite> = rewrites()
        .iter()
        .filter(|r| r.rule.soundness <= admitted)
        .collect();
    let mut seen: Vec<FxHashSet<(Id, Match)>> = vec![FxHashSet::default(); rules.len()];
    let mut steps = Vec::new();
    for iteration in 0..limits.iterations {
        let found: Vec<Vec<(Id, Match)>> = rules
            .iter()
            .zip(&mut seen)
            .map(|(rule, seen)| search(egraph, rule, admitted, seen, limits.matches))
            .collect();
        let mut changed = false;
        for (rule, matches) in rules.iter().zip(found) {
            for (class, found) in matches {
                if let Some(step) = apply(egraph, rule, class, found)? {
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
        if !changed {
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

fn sound(egraph: &TensorGraph) -> Result<()> {
    match &egraph.analysis.contradiction {
        Some(what) => Err(Error::new(format!("an unsound rule: {what}"))),
        None => Ok(()),
    }
}

/// The matches of a rule that were not seen before, in a fixed order.
fn search(
    egraph: &TensorGraph,
    rule: &Rewrite,
    admitted: Soundness,
    seen: &mut FxHashSet<(Id, Match)>,
    limit: usize,
) -> Vec<(Id, Match)> {
    let mut fresh = Vec::new();
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
                if seen.insert((class, found.clone())) {
                    fresh.push((class, found));
                }
                fresh.len() < limit
            });
        if !go_on {
            break;
        }
    }
    fresh
}

/// Adds the right side's instance and joins it with the class, if the conditions surely hold.
fn apply(
    egraph: &mut TensorGraph,
    rule: &'static Rewrite,
    class: Id,
    mut found: Match,
) -> Result<Option<Step>> {
    for (condition, arguments) in &rule.conditions {
        let mut ids = Vec::with_capacity(arguments.len());
        for &argument in arguments {
            match found.gather(egraph, argument) {
                Some(id) => ids.push(id),
                None => return Ok(None),
            }
        }
        if (condition.holds)(egraph, &ids) != Some(true) {
            return Ok(None);
        }
    }
    let Some(root) = tensor_type(egraph, class).cloned() else {
        return Ok(None);
    };
    let built = rule
        .right
        .instantiate(egraph, &found, &root, rule.left.head())
        .map_err(|e| Error::new(format!("rule {}: {e}", rule.name())))?;
    let Some(right) = built else { return Ok(None) };
    if egraph.find(right) == egraph.find(class) {
        return Ok(None);
    }
    egraph.union(class, right);
    Ok(Some(Step {
        rewrite: rule,
        found,
        root,
    }))
}
