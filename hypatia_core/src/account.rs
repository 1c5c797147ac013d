//! What was done to a program, in numbers and in steps.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::certificate::{Certificate, counts};
use crate::cost::Roofline;
use crate::derivation::{Derivation, Derived};
use crate::extract::Method;
use crate::graph::Graph;
use crate::island::{Island, Region};
use crate::saturate::Stop;

/// What was done, in numbers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Account {
    pub nodes_before: usize,
    pub nodes_after: usize,
    /// Estimated seconds of one run.
    pub seconds_before: f64,
    pub seconds_after: f64,
    /// How often each rule was needed on the way from the original to the result, the most frequent first.
    pub rules: Vec<(String, usize)>,
    /// Parts of the program that were searched apart, and how many of them differ.
    pub islands: usize,
    pub different_islands: usize,
    /// Size of all e-graphs together.
    pub egraph_nodes: usize,
    pub egraph_classes: usize,
    /// Rounds of the longest search, and how many searches stopped for which reason.
    pub iterations: usize,
    pub stops: BTreeMap<Stop, usize>,
    /// Where each different island that changed stands in both programs.
    pub regions: Vec<Region>,
    /// How many searches ended with which extraction.
    pub extractions: BTreeMap<Method, usize>,
    /// No program that was found is cheaper than an island's by more than this part.
    pub gap: f64,
    /// Searches whose cheaper program needed more memory than is allowed, so that the original stands.
    pub too_large: usize,
    /// Each step of each different island that changed, in the original's numbers.
    pub steps: Vec<Placed>,
    /// Estimated seconds of each node, of the original and of the result; none where nothing is known.
    pub node_seconds_before: Vec<Option<f64>>,
    pub node_seconds_after: Vec<Option<f64>>,
    /// The peaks from which times are estimated that were not measured.
    pub machine: Roofline,
    /// Nodes of the original, each with a node of the result that is known to have its value.
    pub values: Vec<(usize, usize)>,
    /// Steps that were replayed from the original to the result, where the settings ask for it.
    pub replayed: Option<usize>,
    /// Wall time of each stage, in seconds; nothing depends on it.
    pub stages: BTreeMap<&'static str, f64>,
}

/// A step, and each place where it was made: equal islands are searched once.
#[derive(Debug, Clone, Serialize)]
pub struct Placed {
    #[serde(flatten)]
    pub step: Derived,
    /// At how many islands it was made, and the node that it starts from on each.
    pub times: usize,
    pub places: Vec<usize>,
}

/// What was found for one island.
pub struct Solved {
    /// `None` where the original stands.
    pub graph: Option<Graph>,
    pub certificate: Option<Certificate>,
    pub derivation: Derivation,
    pub seconds_before: f64,
    pub seconds_after: f64,
    pub too_large: bool,
    pub egraph_nodes: usize,
    pub egraph_classes: usize,
    pub iterations: usize,
    pub stop: Stop,
    pub method: Method,
    pub gap: f64,
    pub stages: Vec<(&'static str, f64)>,
}

impl Account {
    /// Adds a search that was made.
    pub fn search(&mut self, solved: &Solved) {
        self.egraph_nodes += solved.egraph_nodes;
        self.egraph_classes += solved.egraph_classes;
        self.iterations = self.iterations.max(solved.iterations);
        *self.stops.entry(solved.stop).or_default() += 1;
        *self.extractions.entry(solved.method).or_default() += 1;
        self.gap = self.gap.max(solved.gap);
        self.too_large += usize::from(solved.too_large);
        for &(stage, seconds) in &solved.stages {
            *self.stages.entry(stage).or_default() += seconds;
        }
    }

    /// Adds the steps of an island, with all islands that equal it.
    pub fn place(&mut self, steps: &[Derived], island: &Island, islands: &[Island]) {
        let equal: Vec<&Island> = islands
            .iter()
            .filter(|other| other.graph == island.graph)
            .collect();
        for step in steps {
            let at = |other: &&Island| step.at.map(|node| other.nodes[node]);
            self.steps.push(Placed {
                step: Derived {
                    left: step.left.renumbered(&island.nodes),
                    right: step.right.renumbered(&island.nodes),
                    at: at(&island),
                    ..step.clone()
                },
                times: equal.len(),
                places: equal.iter().filter_map(at).collect(),
            });
        }
    }

    /// Adds a place where what was found is used.
    pub fn use_of(&mut self, solved: &Solved) {
        self.seconds_before += solved.seconds_before;
        self.seconds_after += solved.seconds_after;
        for (rule, count) in solved.certificate.iter().flat_map(counts) {
            match self.rules.iter_mut().find(|(name, _)| *name == rule) {
                Some((_, total)) => *total += count,
                None => self.rules.push((rule, count)),
            }
        }
    }
}

/// Times the stages of a search.
pub struct Clock {
    last: Instant,
    pub laps: Vec<(&'static str, f64)>,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            last: Instant::now(),
            laps: Vec::new(),
        }
    }

    pub fn lap(&mut self, name: &'static str) {
        self.laps.push((name, self.last.elapsed().as_secs_f64()));
        self.last = Instant::now();
    }
}
