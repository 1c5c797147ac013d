//! Trials of rules: random instances of one side, the other side by the rule, both evaluated and compared as strictly
//! as the rule's soundness class claims. A rule has earned its class when no instance refutes it.

pub mod example;
mod instance;
mod judge;
pub mod mutant;
mod vary;

use std::fmt;

use egg::Id;
use fastrand::Rng;
use rustc_hash::FxHashSet;

use crate::analysis::TensorGraph;
use crate::pattern::Match;
use crate::rules::{Rewrite, Rule, compile};

use instance::{Built, Instance, Template};
use judge::Tally;

/// How long a rule is tried; counted, so that every machine tries the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Instances on which the rule fires and both sides are compared in every way that its class asks for.
    pub instances: usize,
    /// Instances after those on which both sides are compared in one way: for shapes and attributes that are rare.
    pub more: usize,
    /// Instances drawn to find those.
    pub proposals: usize,
    /// Instances in which a factor goes from one extent to another, for rules that reshape.
    pub moved: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            instances: 64,
            more: 500,
            proposals: 5_000,
            moved: 400,
        }
    }
}

/// How often a condition said yes, no and unknown on well-typed instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    pub yes: usize,
    pub no: usize,
    pub unknown: usize,
}

/// What was tried of one rewrite without refuting it.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    pub rewrite: String,
    /// Well-typed instances of the searched side.
    pub typed: usize,
    /// Instances on which the rule fired.
    pub fired: usize,
    /// Of these: with an extent of zero, with an extent of one, with symbolic extents, of integers.
    pub empty: usize,
    pub ones: usize,
    pub symbolic: usize,
    pub integers: usize,
    /// Different ranks of the result.
    pub ranks: usize,
    /// Elements found equal over the prime field.
    pub exact_elements: usize,
    /// Elements compared in floating point where both sides were defined.
    pub float_elements: usize,
    /// One for each condition of the rule, in order.
    pub conditions: Vec<Answers>,
}

impl Trial {
    /// What it must have seen to count and did not.
    pub fn starved(&self) -> Option<String> {
        if self.fired < 16 {
            return Some(format!("{} instances", self.fired));
        }
        let (exact, float) = (self.exact_elements, self.float_elements);
        (exact + float < 100).then(|| format!("{exact} + {float} elements"))
    }
}

/// An instance on which a rule is not what it claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refutation {
    pub rewrite: String,
    /// `None` where the row is malformed or does not fire on its own example.
    pub instance: Option<String>,
    pub why: String,
}

impl fmt::Display for Refutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rewrite)?;
        if let Some(instance) = &self.instance {
            write!(f, ", at {instance}")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// What a rewrite did on one instance.
struct Fired {
    /// The right sides, one a match, as terms of the instance's e-graph, and whether the match regroups a sum or a
    /// product of three or more: then no more than [`Soundness::Reassociates`] can be asked of it.
    rights: Vec<(Id, bool)>,
    /// The conditions' answers at the first match.
    answers: Vec<Option<bool>>,
}

/// Searches the root for the rewrite's left side and builds the right sides that its conditions admit.
///
/// # Errors
/// The right side has another type, or the left side is not found in its own instance.
fn fire(rewrite: &'static Rewrite, built: &mut Built, limit: usize) -> Result<Fired, String> {
    let Built {
        egraph, root, ty, ..
    } = built;
    let mut matches: Vec<Match> = Vec::new();
    rewrite
        .left
        .matches(egraph, *root, rewrite.variables.len(), &mut |found| {
            matches.push(found.clone());
            matches.len() < limit
        });
    let mut fired = Fired {
        rights: Vec::new(),
        answers: Vec::new(),
    };
    for found in matches {
        let answers = ask(rewrite, egraph, &found);
        if answers.iter().all(|a| *a == Some(true))
            && let Some(right) =
                rewrite
                    .right
                    .instantiate(egraph, &found, ty, rewrite.left.head())?
        {
            fired.rights.push((right, found.regroups()));
        }
        if fired.answers.is_empty() {
            fired.answers = answers;
        }
    }
    Ok(fired)
}

fn ask(rewrite: &Rewrite, egraph: &mut TensorGraph, found: &Match) -> Vec<Option<bool>> {
    rewrite
        .conditions
        .iter()
        .map(|(condition, arguments)| {
            let ids: Option<Vec<Id>> = arguments
                .iter()
                .map(|&v| found.clone().gather(egraph, v))
                .collect();
            (condition.holds)(egraph, &ids?)
        })
        .collect()
}

/// A number that follows from a name, on every machine the same.
fn seed_of(name: &str, seed: u64) -> u64 {
    name.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |hash, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Tries a rule in each direction in which it is searched.
///
/// # Errors
/// The row is malformed, does not fire on its example, or is refuted by an instance.
pub fn try_rule(rule: &'static Rule, seed: u64, budget: Budget) -> Result<Vec<Trial>, Refutation> {
    let malformed = |why: String| Refutation {
        rewrite: rule.name.into(),
        instance: None,
        why,
    };
    let rewrites = compile(rule).map_err(malformed)?;
    rewrites
        .into_iter()
        .map(|rewrite| try_rewrite(Box::leak(Box::new(rewrite)), seed, budget))
        .collect()
}

/// Tries one rewrite.
///
/// # Errors
/// It does not fire on its example, or an instance refutes it.
pub fn try_rewrite(
    rewrite: &'static Rewrite,
    seed: u64,
    budget: Budget,
) -> Result<Trial, Refutation> {
    let name = rewrite.name();
    let refute = |instance: String, why: String| Refutation {
        rewrite: name.clone(),
        instance: Some(instance),
        why,
    };
    let (template, base) = Template::new(rewrite).map_err(|why| Refutation {
        rewrite: name.clone(),
        instance: None,
        why,
    })?;
    let mut rng = Rng::with_seed(seed_of(&name, seed));
    let mut trial = Trial {
        rewrite: name.clone(),
        conditions: vec![Answers::default(); rewrite.conditions.len()],
        ..Trial::default()
    };
    let mut tally = Tally::default();
    let mut ranks = FxHashSet::default();
    let mut seen: FxHashSet<String> = FxHashSet::default();
    let mut current = base.clone();
    let mut fully: Vec<Instance> = Vec::new();
    for proposal in 0..budget.proposals {
        let open = |a: &Answers| a.yes == 0 || a.no + a.unknown == 0;
        if trial.fired >= budget.instances + budget.more && !trial.conditions.iter().any(open) {
            break;
        }
        let mut next = if rng.u8(..6) == 0 {
            base.clone()
        } else {
            current.clone()
        };
        if proposal > 0 {
            if template.has_terms()
                && rng.u8(..8) == 0
                && let Some(loosened) = template.loosened(&next, &mut rng)
            {
                next = loosened;
            }
            for _ in 0..rng.u8(1..4) {
                vary::edit(&mut next, template.takes_more(), &mut rng);
            }
        }
        if !next.is_small() || !seen.insert(template.describe(&next)) {
            continue;
        }
        let Some(mut built) = template.build(&next) else {
            continue;
        };
        trial.typed += 1;
        let judge_seed = rng.u64(..);
        let fired = match fire(rewrite, &mut built, 6) {
            Ok(fired) => fired,
            Err(why) => return Err(refute(template.describe(&next), why)),
        };
        for (answers, answer) in trial.conditions.iter_mut().zip(&fired.answers) {
            match answer {
                Some(true) => answers.yes += 1,
                Some(false) => answers.no += 1,
                None => answers.unknown += 1,
            }
        }
        if trial.fired >= budget.instances + budget.more {
            current = next;
            continue;
        }
        if fired.rights.is_empty() {
            // From where it does not fire, the walk goes on now and then: conditions fail there in many ways.
            if rng.u8(..4) == 0 {
                current = next;
            }
            continue;
        }
        if let Err(why) = judge::judge(
            &built,
            &fired.rights,
            rewrite.rule.soundness,
            judge_seed,
            trial.fired < budget.instances,
            &mut tally,
        ) {
            let (instance, why) = shrink(&template, next, why, judge_seed);
            return Err(refute(template.describe(&instance), why));
        }
        if trial.fired < budget.instances {
            fully.push(next.clone());
        }
        trial.fired += 1;
        ranks.insert(built.ty.rank());
        let dims = || built.inputs.iter().flat_map(|t| &t.shape);
        trial.empty += usize::from(dims().any(|d| d.is(0)));
        trial.ones += usize::from(dims().any(|d| d.is(1)));
        trial.symbolic += usize::from(dims().any(|d| d.known().is_none()));
        trial.integers += usize::from(built.inputs.iter().any(|t| judge::is_integer(t.dtype)));
        current = next;
    }
    // By draws of their own, so that those above are the same with and without them.
    let mut rng = Rng::with_seed(seed_of(&name, !seed));
    let moved = if base.reshapes() { budget.moved } else { 0 };
    for _ in 0..moved {
        let Some((next, mut built)) = template.with_a_factor_moved(&fully, &mut rng) else {
            continue;
        };
        if !seen.insert(template.describe(&next)) {
            continue;
        }
        let judge_seed = rng.u64(..);
        let fired =
            fire(rewrite, &mut built, 6).map_err(|why| refute(template.describe(&next), why))?;
        let soundness = rewrite.rule.soundness;
        if let Err(why) = judge::judge(
            &built,
            &fired.rights,
            soundness,
            judge_seed,
            false,
            &mut tally,
        ) {
            let (instance, why) = shrink(&template, next, why, judge_seed);
            return Err(refute(template.describe(&instance), why));
        }
    }
    tally
        .errs_no_more()
        .map_err(|why| refute("all instances together".into(), why))?;
    trial.ranks = ranks.len();
    trial.exact_elements = tally.exact_elements;
    trial.float_elements = tally.float_elements;
    Ok(trial)
}

/// A smaller instance that is refuted too, as far as a few tries find one.
fn shrink(
    template: &Template,
    mut instance: Instance,
    mut why: String,
    seed: u64,
) -> (Instance, String) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..150 {
        let candidate = vary::smaller(&instance, &mut rng);
        if vary::weight(&candidate) >= vary::weight(&instance) {
            continue;
        }
        let Some(mut built) = template.build(&candidate) else {
            continue;
        };
        let Ok(fired) = fire(template.rewrite, &mut built, 6) else {
            continue;
        };
        let soundness = template.rewrite.rule.soundness;
        let mut tally = Tally::default();
        if let Err(smaller) = judge::judge(
            &built,
            &fired.rights,
            soundness,
            rng.u64(..),
            true,
            &mut tally,
        ) {
            (instance, why) = (candidate, smaller);
        }
    }
    (instance, why)
}
