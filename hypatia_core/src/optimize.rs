//! The pipeline: a graph in, a cheaper equal graph out, with an account of what was done.

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Clock, Solved};
use crate::analysis::{Builder, OpaqueOp, TensorAnalysis, TensorGraph, attribute, tensor_type};
use crate::certificate::{certify, check_whole};
use crate::cost::{CostModel, Machine, shape_class};
use crate::derivation::{Derivation, derivation};
use crate::error::{Error, Result};
use crate::extract::{Costs, Effort, Selection, extract};
use crate::graph::{Graph, Kind, Node};
use crate::island::{Island, islands, join};
use crate::language::{Head, Term};
use crate::memory::peak_bytes;
use crate::merge;
use crate::rules::{Rewrite, Soundness};
use crate::saturate::{Limits, saturate};
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
    /// Variables of linear relaxations, over all that an exact extraction may solve.
    pub extraction_variables: usize,
    /// So many times the memory of the original, at its widest moment, may a rewritten island need.
    pub memory_factor: f64,
    /// Whether the steps are replayed from the original to the result.
    pub check_proof: bool,
    /// Whether what depends on weights alone is computed once, outside, and so costs next to nothing.
    pub fold_weights: bool,
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
            extraction_variables: 6_000,
            memory_factor: 1.25,
            check_proof: false,
            fold_weights: false,
            machine: Machine::default(),
            users: Vec::new(),
        }
    }
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
    let model = CostModel::new(&settings.machine).folding(settings.fold_weights);
    let parts = islands(graph);
    let mut known: FxHashMap<&Graph, Solved> = FxHashMap::default();
    let mut account = Account {
        islands: parts.len(),
        machine: settings.machine.roofline,
        node_seconds_before: node_seconds(graph, &model),
        ..Account::default()
    };
    let mut solved: Vec<Graph> = Vec::with_capacity(parts.len());
    let mut better = false;
    for part in &parts {
        if !known.contains_key(&part.graph) {
            let solution = solve(&part.graph, admitted, settings, &model)?;
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
    if settings.check_proof {
        account.replayed = Some(replay(graph, &result, &parts, &known)?);
    }
    // Equal islands were rewritten alike: the first of each kind stands for all.
    let mut shown: FxHashSet<&Graph> = FxHashSet::default();
    for (part, region) in parts.iter().zip(regions) {
        account.values.extend(&region.outputs);
        let equal = known[&part.graph].derivation.equal.iter();
        account
            .values
            .extend(equal.map(|&(a, b)| (part.nodes[a], region.nodes[b])));
        if known[&part.graph].graph.is_some() && shown.insert(&part.graph) {
            account.regions.push(region);
            account.place(&known[&part.graph].derivation.steps, part, &parts);
        }
    }
    account.nodes_after = result.nodes.len();
    account.node_seconds_after = node_seconds(&result, &model);
    Ok(Optimized {
        graph: Some(result),
        account,
    })
}

/// Replays the steps of all islands.
fn replay(
    graph: &Graph,
    result: &Graph,
    parts: &[Island],
    known: &FxHashMap<&Graph, Solved>,
) -> Result<usize> {
    let certificates = parts
        .iter()
        .map(|part| (part, known[&part.graph].certificate.as_ref()));
    check_whole(graph, result, certificates)
        .map_err(|e| Error::new(format!("the proof does not hold: {e}")))
}

/// How often extraction may be asked again for a program that needs less memory.
const MEMORY_TRIES: usize = 8;

/// One search: represent, saturate, extract, read back, certify.
fn solve(
    graph: &Graph,
    admitted: Soundness,
    settings: &Settings,
    model: &CostModel,
) -> Result<Solved> {
    let mut clock = Clock::start();
    let (mut egraph, ids) = represent(graph)?;
    let roots = roots(graph, &ids);
    if admitted >= Soundness::Reassociates {
        merge::enter(&mut egraph);
    }
    clock.lap("represent");
    let saturation = saturate(
        &mut egraph,
        admitted,
        &settings.users,
        &settings.limits,
        model,
    )?;
    clock.lap("saturate");
    let effort = Effort {
        steps: settings.extraction_steps,
        variables: settings.extraction_variables,
    };
    let mut costs = Costs::new(&egraph, model, &roots);
    let allowed = peak_bytes(graph, settings.fold_weights) as f64 * settings.memory_factor;
    // What needs too much memory is first left out of quick answers; only a fitting one is made the best.
    let (mut tries, mut whole) = (0, true);
    let seconds_before = seconds(graph, model);
    let mut least = 0.0;
    let (extraction, result) = loop {
        let effort = if whole { effort } else { effort.greedy() };
        let extraction = extract(&costs, &roots, effort)
            .ok_or_else(|| Error::new("extraction found no finite program"))?;
        let result = read_back(&egraph, &extraction.selection, graph, &ids)?;
        result.check()?;
        if peak_bytes(&result, settings.fold_weights) as f64 <= allowed {
            if std::mem::replace(&mut whole, true) {
                break (extraction, Some(result));
            }
            continue;
        }
        if tries == 0 {
            let total = extraction.selection.seconds(&costs, &roots);
            least = total.unwrap_or(0.0) * (1.0 - extraction.gap);
        }
        whole = false;
        tries += 1;
        match largest_new(&egraph, &extraction.selection, &roots, &ids) {
            Some(class) if tries < MEMORY_TRIES => costs.ban(class),
            _ => break (extraction, None),
        }
    };
    clock.lap("extract");
    let too_large = result.is_none();
    let seconds_after = result
        .as_ref()
        .map_or(seconds_before, |r| seconds(r, model));
    let better = seconds_after < seconds_before * (1.0 - LEAST_GAIN);
    let result = result.filter(|_| better);
    let (certificate, derivation) = match &result {
        Some(result) => {
            let certificate = certify(&egraph, &saturation.steps, graph, result)?;
            let derivation = derivation(&certificate, graph, result, model)?;
            (Some(certificate), derivation)
        }
        None => (None, Derivation::default()),
    };
    clock.lap("certify");
    Ok(Solved {
        graph: result,
        certificate,
        derivation,
        seconds_before,
        seconds_after: if better {
            seconds_after
        } else {
            seconds_before
        },
        too_large,
        egraph_nodes: egraph.total_number_of_nodes(),
        egraph_classes: egraph.number_of_classes(),
        iterations: saturation.iterations,
        stop: saturation.stop,
        method: extraction.method,
        gap: if too_large {
            (1.0 - least / seconds_before).max(0.0)
        } else {
            extraction.gap
        },
        stages: clock.laps,
    })
}

/// The largest tensor that a program makes and the original does not.
fn largest_new(
    egraph: &TensorGraph,
    selection: &Selection,
    roots: &[Id],
    ids: &[Id],
) -> Option<Id> {
    let original: FxHashSet<Id> = ids.iter().map(|&id| egraph.find(id)).collect();
    let order = selection.order(egraph, roots)?;
    let new = order.into_iter().filter(|id| !original.contains(id));
    let sized = new.filter_map(|id| Some((tensor_type(egraph, id)?.bytes(), id)));
    sized.max().map(|(_, id)| id)
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
pub fn estimates(graph: &Graph, model: &CostModel) -> Vec<Option<Estimate>> {
    let folded = graph.weights_only();
    let estimate = |(i, node): (usize, &Node)| {
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
            seconds: model.share(folded[i]) * model.seconds(op, &operands, &attributes, result),
        })
    };
    graph.nodes.iter().enumerate().map(estimate).collect()
}

/// Estimated seconds of each node; `None` where nothing is known.
pub fn node_seconds(graph: &Graph, model: &CostModel) -> Vec<Option<f64>> {
    let estimates = estimates(graph, model).into_iter();
    estimates.map(|e| e.map(|e| e.seconds)).collect()
}

/// Estimated seconds of one run of a graph; what is not known to the rules costs the same in any graph and counts as nothing.
pub fn seconds(graph: &Graph, model: &CostModel) -> f64 {
    let estimates = estimates(graph, model);
    estimates.iter().flatten().map(|e| e.seconds).sum()
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
