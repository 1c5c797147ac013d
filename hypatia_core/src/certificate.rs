//! Why a result equals its original: the rule instances from which it follows, and the check that it does.
//!
//! A certificate is a list of equations, each an instance of a rule whose conditions hold. The check builds both
//! programs and every instance as ground terms, asks each condition again of them, and decides by congruence closure
//! whether the outputs are equal. It uses neither the e-graph nor what the search believed.

use egg::Id;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::analysis::{Builder, Known, OpaqueOp, TensorAnalysis, TensorGraph};
use crate::congruence::{Congruence, Signature};
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind};
use crate::language::{Head, Term};
use crate::pattern::{Binding, Match};
use crate::rules::Rewrite;
use crate::step::Step;
use crate::tensor_type::TensorType;

/// One equation: a rule, and the terms that stand for its variables, as numbers in the certificate's table.
#[derive(Debug, Clone)]
pub struct Instance {
    pub rewrite: &'static Rewrite,
    pub found: Match,
    /// The type of both sides.
    pub root: TensorType,
}

/// A list of equations over a table of ground terms.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Terms over earlier terms of the table; heads of attributes and opaque operations number the lists below.
    pub terms: Vec<Term>,
    pub instances: Vec<Instance>,
}

/// The equations, of all that the search added, from which the result follows.
///
/// # Errors
/// The result does not follow from them: the search is at fault, and its result may not be used.
pub fn certify(
    egraph: &TensorGraph,
    steps: &[Step],
    original: &Graph,
    result: &Graph,
) -> Result<Certificate> {
    let terms = egraph.nodes().to_vec();
    let instances: Vec<Instance> = steps
        .iter()
        .map(|step| Instance {
            rewrite: step.rewrite,
            found: step.found.clone(),
            root: step.root.clone(),
        })
        .collect();
    let all = Certificate { terms, instances };
    let numbers = needed(&all, &egraph.analysis, original, result)?;
    let instances: Vec<Instance> = numbers
        .into_iter()
        .map(|number| all.instances[number].clone())
        .collect();
    let least = Certificate {
        terms: all.terms,
        instances,
    };
    // A condition may rest on a constant that another step established: then the explanation alone is too short.
    match needed(&least, &egraph.analysis, original, result) {
        Ok(_) => Ok(least),
        Err(_) => {
            let instances = all.instances;
            Ok(Certificate {
                terms: least.terms,
                instances,
            })
        }
    }
}

/// Whether the outputs of two programs are equal by the certificate.
///
/// # Errors
/// Says which step is no instance of its rule, or that the outputs do not follow.
pub fn check(
    certificate: &Certificate,
    egraph: &TensorGraph,
    original: &Graph,
    result: &Graph,
) -> Result<()> {
    needed(certificate, &egraph.analysis, original, result).map(|_| ())
}

/// The numbers of the instances from which the equality of the outputs follows.
fn needed(
    certificate: &Certificate,
    analysis: &TensorAnalysis,
    original: &Graph,
    result: &Graph,
) -> Result<Vec<usize>> {
    let signature = Signature {
        inputs: signature_inputs(original),
        opaque: analysis.opaque.clone(),
    };
    let mut bank = Congruence::new(signature);
    let before = state(&mut bank, original, &analysis.opaque)?;
    let after = state(&mut bank, result, &analysis.opaque)?;
    // The table's terms, in the bank's numbers.
    let mut places: Vec<Id> = Vec::with_capacity(certificate.terms.len());
    for term in &certificate.terms {
        let children: SmallVec<[Id; 4]> = term
            .children
            .iter()
            .map(|&c| places[usize::from(c)])
            .collect();
        let place = match term.head {
            Head::Attribute(number) => bank.add_attribute(analysis.attribute(number).clone()),
            head => bank.add(head, children),
        };
        places.push(place);
    }
    for (number, instance) in certificate.instances.iter().enumerate() {
        let (left, right) = state_instance(&mut bank, instance, &places)
            .map_err(|e| Error::new(format!("step {number}, {}: {e}", instance.rewrite.name())))?;
        bank.equate(left, right, number);
    }
    if let Some(what) = &bank.contradiction {
        return Err(Error::new(format!(
            "the certificate joins unequal types: {what}"
        )));
    }
    let pairs: Vec<(Id, Id)> = original
        .outputs
        .iter()
        .zip(&result.outputs)
        .map(|(&a, &b)| (before[a], after[b]))
        .collect();
    bank.explain(&pairs)
        .map(|used| used.into_iter().collect())
        .ok_or_else(|| Error::new("the result does not follow from the steps"))
}

fn signature_inputs(graph: &Graph) -> FxHashMap<u32, TensorType> {
    graph
        .nodes
        .iter()
        .filter_map(|node| match (&node.kind, &node.ty) {
            (Kind::Input { index, .. }, Some(ty)) => Some((*index, ty.clone())),
            _ => None,
        })
        .collect()
}

/// A program as ground terms; the term of each node.
fn state(bank: &mut Congruence, graph: &Graph, opaque: &[OpaqueOp]) -> Result<Vec<Id>> {
    let mut places: Vec<Id> = Vec::with_capacity(graph.nodes.len());
    let mut effects = 0;
    for node in &graph.nodes {
        let operands: Vec<Id> = node.operands.iter().map(|&o| places[o]).collect();
        let place = match &node.kind {
            Kind::Input { index, .. } => bank.add(Head::Input(*index), []),
            Kind::Opaque { key, effect } => {
                // Effects are numbered in their order, so that the n-th of one program is the n-th of the other.
                let same = |o: &OpaqueOp| o.key == *key && o.effect == *effect;
                let number = if *effect {
                    effects += 1;
                    let place = (0..opaque.len())
                        .filter(|&i| opaque[i].effect)
                        .nth(effects - 1);
                    place.filter(|&i| same(&opaque[i]))
                } else {
                    opaque.iter().position(same)
                };
                let number = number.and_then(|n| u32::try_from(n).ok());
                let number =
                    number.ok_or_else(|| Error::new("the programs' opaque operations differ"))?;
                bank.add(Head::Opaque(number), operands)
            }
            Kind::Item { index } => bank.add(Head::Item(*index), operands),
            Kind::Op(op) => {
                let attributes: Vec<Id> = node
                    .attributes
                    .iter()
                    .map(|a| bank.add_attribute(a.clone()))
                    .collect();
                bank.add_term(*op, &operands, &attributes).ok_or_else(|| {
                    Error::new(format!("a {} of ill-typed operands", op.row().name))
                })?
            }
        };
        places.push(place);
    }
    Ok(places)
}

/// Both sides of an instance, after its conditions were asked of the ground terms.
fn state_instance(
    bank: &mut Congruence,
    instance: &Instance,
    places: &[Id],
) -> std::result::Result<(Id, Id), String> {
    let place = |id: &Id| places[usize::from(*id)];
    let mut found = instance.found.clone();
    for binding in &mut found.bindings {
        match binding {
            Binding::Class(id) => *id = place(id),
            Binding::Rest(_, ids) => ids.iter_mut().for_each(|id| *id = place(id)),
            Binding::Free => {}
        }
    }
    found.remainder.iter_mut().for_each(|id| *id = place(id));
    let rewrite = instance.rewrite;
    if !rewrite.left.constants_hold(bank, &found) {
        return Err("a constant is not what the rule asks for".into());
    }
    for (condition, arguments) in &rewrite.conditions {
        let ids: Option<Vec<Id>> = arguments
            .iter()
            .map(|&v| found.clone().gather(bank, v))
            .collect();
        let ids = ids.ok_or("a variable has no type")?;
        if (condition.holds)(bank, &ids) != Some(true) {
            return Err(format!(
                "the condition '{}' is not known to hold",
                condition.name
            ));
        }
    }
    let left = rewrite
        .left
        .instance(bank, &found, &instance.root)
        .ok_or("the left side has no type")?;
    if bank.tensor_type(left) != Some(&instance.root) {
        return Err("the left side has another type".into());
    }
    let right = rewrite
        .right
        .instantiate(bank, &found, &instance.root, rewrite.left.head())?
        .ok_or("the right side has no type")?;
    Ok((left, right))
}

/// How often each rule stands in a certificate, the most frequent first.
pub fn counts(certificate: &Certificate) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for instance in &certificate.instances {
        let name = instance.rewrite.name();
        match counts.iter_mut().find(|(n, _)| *n == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}
