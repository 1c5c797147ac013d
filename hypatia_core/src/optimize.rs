//! The pipeline: a graph in, a cheaper equal graph out, with an account of what was done.

use std::collections::BTreeMap;
use std::time::Instant;

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::analysis::{Builder, OpaqueOp, TensorAnalysis, TensorGraph, attribute, tensor_type};
use crate::certificate::{certify, counts};
use crate::cost::{Machine, shape_class};
use crate::error::{Error, Result};
use crate::extract::{Selection, extract};
use crate::graph::{Graph, Kind, Node};
use crate::island::{Region, islands, join};
use crate::language::{Head, Term};
use crate::rules::{Rewrite, Soundness};
use crate::saturate::{Limits, Stop, saturate};
use crate::tensor_type::DType;

/// What the caller decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// "exact", "accurate", "reassociate" or "reals".
    pub numerics: String,
    pub limits: Limits,
    /// Evaluations of one class that extraction may spend on improving its greedy answer.
    pub extraction_steps: usize,
    pub machine: Machine,
    /// Rules beside the built-in ones, tried before.
    #[serde(skip)]
    pub users: Vec<&'static Rewrite>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            numerics: Soundness::Reassociates.numerics().into(),
            limits: Limits::default(),
            extraction_steps: 2_000_000,
            machine: Machine::default(),
            users: Vec::new(),
        }
    }
}

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
    /// Wall time of each stage, in seconds; nothing depends on it.
    pub stages: BTreeMap<&'static str, f64>,
}

/// The result of [`optimize`].
#[derive(Debug, Clone)]
pub struct Optimized {
    /// `None` where nothing cheaper was found: the original stands.
    pub graph: Option<Graph>,
    pub account: Account,
}

/// A relative gain below this is not worth another program.
const LEAST_GAIN: f64 = 1e-3;

/// Finds a cheaper program that equals the original.
///
/// # Errors
/// The graph is malformed, a setting is unknown, or a rule proved unsound on it.
pub fn optimize(graph: &Graph, settings: &Settings) -> Result<Optimized> {
    let admitted = Soundness::admitted_by(&settings.numerics).ok_or_else(|| {
        Error::new(format!(
            "unknown numerics '{}': exact, accurate, reassociate or reals",
            settings.numerics
        ))
    })?;
    let parts = islands(graph);
    let mut known: FxHashMap<&Graph, Solved> = FxHashMap::default();
    let mut account = Account {
        islands: parts.len(),
        ..Account::default()
    };
    let mut solved: Vec<Graph> = Vec::with_capacity(parts.len());
    let mut better = false;
    for part in &parts {
        if !known.contains_key(&part.graph) {
            let solution = solve(&part.graph, admitted, settings)?;
            account.different_islands += 1;
            account.search(&solution);
            known.insert(&part.graph, solution);
        }
        let solution = &known[&part.graph];
        better |= solution.graph.is_some();
        account.use_of(solution);
        solved.push(solution.graph.as_ref().unwrap_or(&part.graph).clone());
    }
    account
        .rules
        .sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    account.nodes_before = graph.nodes.len();
    account.nodes_after = graph.nodes.len();
    if !better {
        return Ok(Optimized {
            graph: None,
            account,
        });
    }
    let (result, regions) = join(graph, &parts, &solved);
    result.check()?;
    // Equal islands were rewritten alike: the first of each kind stands for all.
    let mut shown: FxHashSet<&Graph> = FxHashSet::default();
    for (part, region) in parts.iter().zip(regions) {
        if known[&part.graph].graph.is_some() && shown.insert(&part.graph) {
            account.regions.push(region);
        }
    }
    account.nodes_after = result.nodes.len();
    Ok(Optimized {
        graph: Some(result),
        account,
    })
}

/// What was found for one island.
struct Solved {
    /// `None` where the original stands.
    graph: Option<Graph>,
    seconds_before: f64,
    seconds_after: f64,
    rules: Vec<(String, usize)>,
    egraph_nodes: usize,
    egraph_classes: usize,
    iterations: usize,
    stop: Stop,
    stages: Vec<(&'static str, f64)>,
}

impl Account {
    /// Adds a search that was made.
    fn search(&mut self, solved: &Solved) {
        self.egraph_nodes += solved.egraph_nodes;
        self.egraph_classes += solved.egraph_classes;
        self.iterations = self.iterations.max(solved.iterations);
        *self.stops.entry(solved.stop).or_default() += 1;
        for &(stage, seconds) in &solved.stages {
            *self.stages.entry(stage).or_default() += seconds;
        }
    }

    /// Adds a place where what was found is used.
    fn use_of(&mut self, solved: &Solved) {
        self.seconds_before += solved.seconds_before;
        self.seconds_after += solved.seconds_after;
        for (rule, count) in &solved.rules {
            match self.rules.iter_mut().find(|(name, _)| name == rule) {
                Some((_, total)) => *total += count,
                None => self.rules.push((rule.clone(), *count)),
            }
        }
    }
}

/// One search: represent, saturate, extract, read back, certify.
fn solve(graph: &Graph, admitted: Soundness, settings: &Settings) -> Result<Solved> {
    let mut clock = Clock::start();
    let (mut egraph, ids) = represent(graph)?;
    let roots = roots(graph, &ids);
    clock.lap("represent");
    let saturation = saturate(
        &mut egraph,
        admitted,
        &settings.users,
        &settings.limits,
        &settings.machine,
    )?;
    clock.lap("saturate");
    let selection = extract(
        &egraph,
        &settings.machine,
        &roots,
        settings.extraction_steps,
    )
    .ok_or_else(|| Error::new("extraction found no finite program"))?;
    clock.lap("extract");
    let result = read_back(&egraph, &selection, graph, &ids)?;
    result.check()?;
    let seconds_before = seconds(graph, &settings.machine);
    let seconds_after = seconds(&result, &settings.machine);
    let better = seconds_after < seconds_before * (1.0 - LEAST_GAIN);
    clock.lap("read back");
    let rules = if better {
        counts(&certify(&egraph, &saturation.steps, graph, &result)?)
    } else {
        Vec::new()
    };
    clock.lap("certify");
    Ok(Solved {
        graph: better.then_some(result),
        seconds_before,
        seconds_after: if better {
            seconds_after
        } else {
            seconds_before
        },
        rules,
        egraph_nodes: egraph.total_number_of_nodes(),
        egraph_classes: egraph.number_of_classes(),
        iterations: saturation.iterations,
        stop: saturation.stop,
        stages: clock.laps,
    })
}

/// What one node is thought to take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    pub implementation: &'static str,
    pub dtype: DType,
    pub shape_class: Vec<u64>,
    pub seconds: f64,
}

/// The estimate of each node; `None` for inputs and for what the rules do not know.
pub fn estimates(graph: &Graph, machine: &Machine) -> Vec<Option<Estimate>> {
    let estimate = |node: &Node| {
        let Kind::Op(op) = node.kind else { return None };
        let operands: Option<Vec<_>> = node
            .operands
            .iter()
            .map(|&o| graph.nodes[o].ty.as_ref())
            .collect();
        let (operands, result) = (operands?, node.ty.as_ref()?);
        let attributes: Vec<_> = node.attributes.iter().collect();
        Some(Estimate {
            implementation: op.row().name,
            dtype: result.dtype,
            shape_class: shape_class(op, &operands, &attributes, result).to_vec(),
            seconds: machine.seconds(op, &operands, &attributes, result),
        })
    };
    graph.nodes.iter().map(estimate).collect()
}

/// Estimated seconds of one run of a graph; what is not known to the rules costs the same in any graph and counts as nothing.
pub fn seconds(graph: &Graph, machine: &Machine) -> f64 {
    let estimates = estimates(graph, machine);
    estimates.iter().flatten().map(|e| e.seconds).sum()
}

struct Clock {
    last: Instant,
    laps: Vec<(&'static str, f64)>,
}

impl Clock {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            laps: Vec::new(),
        }
    }

    fn lap(&mut self, name: &'static str) {
        self.laps.push((name, self.last.elapsed().as_secs_f64()));
        self.last = Instant::now();
    }
}

/// An e-graph that holds just this program, and the class of each node.
pub fn represent(graph: &Graph) -> Result<(TensorGraph, Vec<Id>)> {
    let mut egraph = TensorGraph::new(TensorAnalysis::default());
    let mut opaque_numbers: FxHashMap<(String, usize), u32> = FxHashMap::default();
    let mut ids: Vec<Id> = Vec::with_capacity(graph.nodes.len());
    for (i, node) in graph.nodes.iter().enumerate() {
        let typed = || {
            node.ty
                .clone()
                .ok_or_else(|| Error::new(format!("graph: node {i} needs a type")))
        };
        let operands = node.operands.iter().map(|&o| ids[o]);
        let term = match &node.kind {
            Kind::Input { index, weight } => {
                egraph.analysis.inputs.insert(*index, (typed()?, *weight));
                Term::leaf(Head::Input(*index))
            }
            Kind::Opaque { key, effect } => {
                // An effect is itself at its own place only.
                let identity = (key.clone(), if *effect { i + 1 } else { 0 });
                let next = u32::try_from(egraph.analysis.opaque.len())
                    .map_err(|_| Error::new("graph: too large"))?;
                let number = *opaque_numbers.entry(identity).or_insert(next);
                if number == next {
                    let (key, effect, ty) = (key.clone(), *effect, node.ty.clone());
                    egraph.analysis.opaque.push(OpaqueOp {
                        key,
                        effect,
                        ty,
                        items: FxHashMap::default(),
                    });
                }
                Term::new(Head::Opaque(number), operands)
            }
            Kind::Item { index } => {
                if let Head::Opaque(number) = egraph.id_to_node(ids[node.operands[0]]).head
                    && let Some(ty) = &node.ty
                {
                    egraph.analysis.opaque[number as usize]
                        .items
                        .insert(*index, ty.clone());
                }
                Term::new(Head::Item(*index), operands)
            }
            Kind::Op(op) => {
                let operands: Vec<Id> = operands.collect();
                let attributes: Vec<Id> = node
                    .attributes
                    .iter()
                    .map(|a| egraph.add_attribute(a.clone()))
                    .collect();
                Term::new(Head::Op(*op), operands.into_iter().chain(attributes))
            }
        };
        ids.push(egraph.add(term));
    }
    egraph.rebuild();
    match &egraph.analysis.contradiction {
        Some(what) => Err(Error::new(format!("graph: {what}"))),
        None => Ok((egraph, ids)),
    }
}

/// Whatever has an effect, in order, and the outputs. Reading back goes through them in this order, so that effects
/// keep theirs.
fn roots(graph: &Graph, ids: &[Id]) -> Vec<Id> {
    let effects = (0..graph.nodes.len())
        .filter(|&i| matches!(graph.nodes[i].kind, Kind::Opaque { effect: true, .. }));
    effects
        .chain(graph.outputs.iter().copied())
        .map(|i| ids[i])
        .collect()
}

/// The chosen program as a graph; inputs stand first, in the caller's order, whether used or not.
fn read_back(
    egraph: &TensorGraph,
    selection: &Selection,
    original: &Graph,
    ids: &[Id],
) -> Result<Graph> {
    let order = selection
        .order(egraph, &roots(original, ids))
        .ok_or_else(|| Error::new("extraction chose a program that goes round in a circle"))?;
    let mut place: FxHashMap<Id, usize> = FxHashMap::default();
    let mut nodes: Vec<Node> = Vec::new();
    for (i, node) in original.nodes.iter().enumerate() {
        if matches!(node.kind, Kind::Input { .. }) {
            place.insert(egraph.find(ids[i]), nodes.len());
            nodes.push(node.clone());
        }
    }
    for class in order {
        if place.contains_key(&class) || attribute(egraph, class).is_some() {
            continue;
        }
        let term = selection
            .term(egraph, class)
            .ok_or_else(|| Error::new("extraction left a class without a term"))?;
        let (operands, attributes) = term.split();
        let kind = match term.head {
            Head::Op(op) => Kind::Op(op),
            Head::Item(index) => Kind::Item { index },
            Head::Opaque(number) => {
                let opaque = &egraph.analysis.opaque[number as usize];
                Kind::Opaque {
                    key: opaque.key.clone(),
                    effect: opaque.effect,
                }
            }
            Head::Input(_) | Head::Attribute(_) => {
                return Err(Error::new("an input stands where it was not given"));
            }
        };
        place.insert(class, nodes.len());
        nodes.push(Node {
            kind,
            operands: operands.iter().map(|&c| place[&egraph.find(c)]).collect(),
            attributes: attributes
                .iter()
                .filter_map(|&a| attribute(egraph, a).cloned())
                .collect(),
            ty: tensor_type(egraph, class).cloned(),
        });
    }
    let outputs = original
        .outputs
        .iter()
        .map(|&o| place[&egraph.find(ids[o])])
        .collect();
    Ok(Graph { nodes, outputs })
}
