//! Why a result equals its original: the rule instances from which it follows, and the check that it does.
//!
//! A certificate is a list of equations, each an instance of a rule whose conditions hold. The check builds both
//! programs and every instance as ground terms, asks each condition again of them, and decides by congruence closure
//! whether the outputs are equal. It uses neither the e-graph nor what the search believed.

use egg::Id;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::analysis::{Builder, Known, OpaqueOp, TensorGraph};
use crate::attribute::Attribute;
use crate::congruence::{Congruence, Signature};
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind};
use crate::island::Island;
use crate::language::{Head, Term};
use crate::pattern::Match;
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
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// What heads of attributes number.
    pub attributes: Vec<Attribute>,
    /// What heads of opaque operations number.
    pub opaque: Vec<OpaqueOp>,
    /// Terms over earlier terms of the table.
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
    let all = Certificate {
        attributes: egraph.analysis.attributes().to_vec(),
        opaque: egraph.analysis.opaque.clone(),
        terms: egraph.nodes().to_vec(),
        instances: steps
            .iter()
            .map(|step| Instance {
                rewrite: step.rewrite,
                found: step.found.clone(),
                root: step.root.clone(),
            })
            .collect(),
    };
    let numbers = needed(&all, original, result)?;
    let least = all.restricted(&numbers);
    // A condition may rest on a constant that another step established: then the explanation alone is too short.
    match needed(&least, original, result) {
        Ok(_) => Ok(least),
        Err(_) => Ok(all.restricted(&(0..all.instances.len()).collect::<Vec<_>>())),
    }
}

impl Certificate {
    /// These instances, with the part of the table that they need.
    fn restricted(&self, numbers: &[usize]) -> Self {
        let mut kept = vec![false; self.terms.len()];
        let instances = || numbers.iter().map(|&n| &self.instances[n]);
        for id in instances().flat_map(|i| i.found.ids()) {
            kept[usize::from(id)] = true;
        }
        for number in (0..self.terms.len()).rev() {
            if kept[number] {
                for &child in &self.terms[number].children {
                    kept[usize::from(child)] = true;
                }
            }
        }
        let mut place: Vec<Id> = vec![Id::from(0); self.terms.len()];
        let mut terms: Vec<Term> = Vec::new();
        for (number, term) in self.terms.iter().enumerate().filter(|(n, _)| kept[*n]) {
            place[number] = Id::from(terms.len());
            let mut term = term.clone();
            term.children
                .iter_mut()
                .for_each(|c| *c = place[usize::from(*c)]);
            terms.push(term);
        }
        let mut kept: Vec<Instance> = instances().cloned().collect();
        for instance in &mut kept {
            instance.found.rename(|id| place[usize::from(id)]);
        }
        Self {
            attributes: self.attributes.clone(),
            opaque: self.opaque.clone(),
            terms,
            instances: kept,
        }
    }
}

/// Whether the outputs of two programs are equal by the certificate.
///
/// # Errors
/// Says which step is no instance of its rule, or that the outputs do not follow.
pub fn check(certificate: &Certificate, original: &Graph, result: &Graph) -> Result<()> {
    needed(certificate, original, result).map(|_| ())
}

/// Whether the outputs of two whole programs are equal by the certificates of the islands that changed, each replayed at
/// its island's place; the number of steps that were replayed.
///
/// # Errors
/// Says which step is no instance of its rule, or that the outputs do not follow.
pub fn check_whole<'c>(
    original: &Graph,
    result: &Graph,
    islands: impl Iterator<Item = (&'c Island, Option<&'c Certificate>)>,
) -> Result<usize> {
    let opaque = opaque_of(original);
    let mut bank = bank_of(original, &opaque);
    let before = state(&mut bank, original, &opaque)?;
    let after = state(&mut bank, result, &opaque)?;
    let (mut effects, mut replayed) = (0, 0);
    for (island, certificate) in islands {
        if let Some(certificate) = certificate {
            let mut effect = effects;
            let numbers: Option<Vec<u32>> = certificate
                .opaque
                .iter()
                .map(|o| {
                    let nth = if o.effect {
                        effect += 1;
                        Some(effect - 1)
                    } else {
                        None
                    };
                    number_of(&opaque, o, nth)
                })
                .collect();
            let numbers = numbers
                .ok_or_else(|| Error::new("an island's operations are not the program's"))?;
            let inputs: Vec<Id> = island.inputs.iter().map(|&n| before[n]).collect();
            let places = state_terms(&mut bank, certificate, &|_, n| inputs[n as usize], &numbers);
            equate(&mut bank, certificate, &places, replayed)?;
            replayed += certificate.instances.len();
        }
        let own = opaque_of(&island.graph);
        effects += own.iter().filter(|o| o.effect).count();
    }
    follows(&bank, (original, &before), (result, &after))?;
    Ok(replayed)
}

/// The numbers of the instances from which the equality of the outputs follows.
fn needed(certificate: &Certificate, original: &Graph, result: &Graph) -> Result<Vec<usize>> {
    let (mut bank, before, after) = before_and_after(certificate, original, result)?;
    let places = state_table(&mut bank, certificate);
    equate(&mut bank, certificate, &places, 0)?;
    follows(&bank, (original, &before), (result, &after))
}

/// Both programs as ground terms: the bank that holds them, and the term of each node of either.
pub(crate) fn before_and_after(
    certificate: &Certificate,
    original: &Graph,
    result: &Graph,
) -> Result<(Congruence, Vec<Id>, Vec<Id>)> {
    let mut bank = bank_of(original, &certificate.opaque);
    let before = state(&mut bank, original, &certificate.opaque)?;
    let after = state(&mut bank, result, &certificate.opaque)?;
    Ok((bank, before, after))
}

/// The certificate's table, in the bank's numbers.
pub(crate) fn state_table(bank: &mut Congruence, certificate: &Certificate) -> Vec<Id> {
    let same: Vec<u32> = (0..).take(certificate.opaque.len()).collect();
    state_terms(
        bank,
        certificate,
        &|bank, n| bank.add(Head::Input(n), []),
        &same,
    )
}

fn follows(
    bank: &Congruence,
    (original, before): (&Graph, &[Id]),
    (result, after): (&Graph, &[Id]),
) -> Result<Vec<usize>> {
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

/// The table's terms, in the bank's numbers.
fn state_terms(
    bank: &mut Congruence,
    certificate: &Certificate,
    input: &dyn Fn(&mut Congruence, u32) -> Id,
    opaque: &[u32],
) -> Vec<Id> {
    let mut places: Vec<Id> = Vec::with_capacity(certificate.terms.len());
    for term in &certificate.terms {
        let children: SmallVec<[Id; 4]> = term
            .children
            .iter()
            .map(|&c| places[usize::from(c)])
            .collect();
        let place = match term.head {
            Head::Attribute(number) => {
                bank.add_attribute(certificate.attributes[number as usize].clone())
            }
            Head::Input(number) => input(bank, number),
            Head::Opaque(number) => bank.add(Head::Opaque(opaque[number as usize]), children),
            head => bank.add(head, children),
        };
        places.push(place);
    }
    places
}

/// Makes both sides of each instance equal, numbered from `first`.
fn equate(
    bank: &mut Congruence,
    certificate: &Certificate,
    places: &[Id],
    first: usize,
) -> Result<()> {
    for (number, instance) in certificate.instances.iter().enumerate() {
        let (left, right) = state_instance(bank, instance, places)
            .map_err(|e| Error::new(format!("step {number}, {}: {e}", instance.rewrite.name())))?;
        bank.equate(left, right, first + number);
    }
    Ok(())
}

fn bank_of(original: &Graph, opaque: &[OpaqueOp]) -> Congruence {
    Congruence::new(Signature {
        inputs: signature_inputs(original),
        opaque: opaque.to_vec(),
    })
}

/// The opaque operations of a program, in the order of their first appearance. An effect is itself at its own place
/// only.
fn opaque_of(graph: &Graph) -> Vec<OpaqueOp> {
    let mut table: Vec<OpaqueOp> = Vec::new();
    let mut numbers: Vec<Option<usize>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let mut number = None;
        match &node.kind {
            Kind::Opaque { key, effect } => {
                let known = table
                    .iter()
                    .position(|o| !effect && !o.effect && o.key == *key);
                number = Some(known.unwrap_or(table.len()));
                if known.is_none() {
                    table.push(OpaqueOp {
                        key: key.clone(),
                        effect: *effect,
                        ty: node.ty.clone(),
                        items: FxHashMap::default(),
                    });
                }
            }
            Kind::Item { index } => {
                let source = node.operands.first().and_then(|&o| numbers[o]);
                if let (Some(source), Some(ty)) = (source, &node.ty) {
                    table[source].items.insert(*index, ty.clone());
                }
            }
            _ => {}
        }
        numbers.push(number);
    }
    table
}

/// The number of an opaque operation in a table: by its key, or as the `nth` effect.
fn number_of(table: &[OpaqueOp], wanted: &OpaqueOp, nth: Option<usize>) -> Option<u32> {
    let same = |o: &OpaqueOp| o.key == wanted.key && o.effect == wanted.effect;
    let number = match nth {
        Some(nth) => (0..table.len())
            .filter(|&i| table[i].effect)
            .nth(nth)
            .filter(|&i| same(&table[i])),
        None => table.iter().position(same),
    };
    u32::try_from(number?).ok()
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
                let wanted = OpaqueOp {
                    key: key.clone(),
                    effect: *effect,
                    ty: None,
                    items: FxHashMap::default(),
                };
                let nth = effect.then_some(effects);
                effects += usize::from(*effect);
                let number = number_of(opaque, &wanted, nth)
                    .ok_or_else(|| Error::new("the programs' opaque operations differ"))?;
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
pub(crate) fn state_instance(
    bank: &mut Congruence,
    instance: &Instance,
    places: &[Id],
) -> std::result::Result<(Id, Id), String> {
    let mut found = instance.found.clone();
    found.rename(|id| places[usize::from(id)]);
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
