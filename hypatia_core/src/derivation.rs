//! The steps of a certificate as a person reads them: each equation with both of its sides spelled out.

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;

use crate::analysis::Known;
use crate::attribute::Attribute;
use crate::certificate::{Certificate, before_and_after, state_instance, state_table};
use crate::congruence::Congruence;
use crate::cost::CostModel;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::language::Head;
use crate::pattern::Binding;

/// Formulas deeper than this end in [`Formula::Further`].
const DEPTH: usize = 8;

/// One side of an equation; values that the original computes stand for themselves.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Formula {
    /// The value of this node of the original.
    Node { node: usize },
    /// An operation; for one that is opaque the only attribute is its key.
    Term {
        op: &'static str,
        operands: Vec<Formula>,
        attributes: Vec<Attribute>,
    },
    /// Something too deep to be read.
    Further { further: bool },
}

impl Formula {
    /// The same formula, its nodes numbered as `places` says.
    pub fn renumbered(&self, places: &[usize]) -> Self {
        match self {
            Self::Node { node } => Self::Node {
                node: places[*node],
            },
            Self::Term {
                op,
                operands,
                attributes,
            } => Self::Term {
                op,
                operands: operands.iter().map(|o| o.renumbered(places)).collect(),
                attributes: attributes.clone(),
            },
            Self::Further { .. } => self.clone(),
        }
    }
}

/// One step: a rule's instance, which of the original's nodes it starts from, and what its two sides cost.
#[derive(Debug, Clone, Serialize)]
pub struct Derived {
    pub rule: String,
    pub left: Formula,
    pub right: Formula,
    /// The original's node whose value both sides have, where it has one.
    pub at: Option<usize>,
    /// Estimated seconds of the operations that the sides spell out.
    pub seconds_left: f64,
    pub seconds_right: f64,
}

/// A certificate spelled out.
#[derive(Debug, Clone, Default)]
pub struct Derivation {
    /// In the order in which the search found them.
    pub steps: Vec<Derived>,
    /// Nodes of the original and of the result that are equal by these steps.
    pub equal: Vec<(usize, usize)>,
}

/// The steps of a certificate, and what is equal by them.
///
/// # Errors
/// A step is no instance of its rule.
pub fn derivation(
    certificate: &Certificate,
    original: &Graph,
    result: &Graph,
    model: &CostModel,
) -> Result<Derivation> {
    let (mut bank, before, after) = before_and_after(certificate, original, result)?;
    let mut nodes: FxHashMap<Id, usize> = FxHashMap::default();
    for (node, &id) in before.iter().enumerate() {
        nodes.entry(id).or_insert(node);
    }
    let places = state_table(&mut bank, certificate);
    let mut steps = Vec::with_capacity(certificate.instances.len());
    for (number, instance) in certificate.instances.iter().enumerate() {
        let rule = instance.rewrite.name();
        let (left, right) = state_instance(&mut bank, instance, &places)
            .map_err(|e| Error::new(format!("step {number}, {rule}: {e}")))?;
        let bound = instance.found.bindings.iter().flat_map(|b| match b {
            Binding::Class(id) => vec![*id],
            Binding::Rest(_, ids) => ids.to_vec(),
            Binding::Free => vec![],
        });
        let variables: FxHashSet<Id> = bound
            .chain(instance.found.remainder.iter().copied())
            .map(|id| places[usize::from(id)])
            .collect();
        let mut speller = Speller {
            bank: &bank,
            certificate,
            nodes: &nodes,
            variables: &variables,
            model,
            spelled: FxHashSet::default(),
            seconds: 0.0,
        };
        let left_formula = speller.spell(left, 0);
        let seconds_left = speller.restart();
        let right_formula = speller.spell(right, 0);
        let seconds_right = speller.restart();
        // The equations so far tell which of the original's values an intermediate form is.
        let named = |id: Id| nodes.get(&id).copied();
        let equal = || (0..before.len()).find(|&node| bank.equal(before[node], left));
        let at = named(left).or_else(|| named(right)).or_else(equal);
        bank.equate(left, right, number);
        steps.push(Derived {
            rule,
            left: left_formula,
            right: right_formula,
            at,
            seconds_left,
            seconds_right,
        });
    }
    let mut classes: FxHashMap<Id, Vec<usize>> = FxHashMap::default();
    for (node, &id) in before.iter().enumerate() {
        classes
            .entry(bank.representative(id))
            .or_default()
            .push(node);
    }
    let mut equal = Vec::new();
    for (node, &id) in after.iter().enumerate() {
        let same = classes.get(&bank.representative(id)).into_iter().flatten();
        equal.extend(same.map(|&original| (original, node)));
    }
    Ok(Derivation { steps, equal })
}

struct Speller<'a> {
    bank: &'a Congruence,
    certificate: &'a Certificate,
    nodes: &'a FxHashMap<Id, usize>,
    /// What the rule's variables stand for: named where the original computes it.
    variables: &'a FxHashSet<Id>,
    model: &'a CostModel,
    spelled: FxHashSet<Id>,
    seconds: f64,
}

impl Speller<'_> {
    /// The seconds of what was spelled since the last time.
    fn restart(&mut self) -> f64 {
        self.spelled.clear();
        std::mem::take(&mut self.seconds)
    }

    fn spell(&mut self, id: Id, depth: usize) -> Formula {
        let term = self.bank.term(id);
        let is_constant = term.op().is_some_and(|op| op.row().name == "const");
        if let Some(&node) = self.nodes.get(&id)
            && !is_constant
            && (self.variables.contains(&id) || depth >= DEPTH || term.op().is_none())
        {
            return Formula::Node { node };
        }
        if depth >= DEPTH {
            return Formula::Further { further: true };
        }
        let (operands, attributes) = term.split();
        let (op, attributes) = match term.head {
            Head::Op(op) => (
                op.row().name,
                attributes
                    .iter()
                    .filter_map(|&a| self.bank.attribute(a).cloned())
                    .collect(),
            ),
            Head::Opaque(number) => {
                let key = self.certificate.opaque[number as usize].key.clone();
                ("opaque", vec![Attribute::Word(key)])
            }
            Head::Item(index) => ("item", vec![Attribute::Int(i64::from(index))]),
            Head::Input(_) | Head::Attribute(_) => return Formula::Further { further: true },
        };
        if self.spelled.insert(id) {
            self.seconds += self.own_seconds(id);
        }
        let operands = operands.to_vec();
        Formula::Term {
            op,
            operands: operands
                .into_iter()
                .map(|operand| self.spell(operand, depth + 1))
                .collect(),
            attributes,
        }
    }

    fn own_seconds(&self, id: Id) -> f64 {
        let term = self.bank.term(id);
        let (operands, attributes) = term.split();
        let types: Option<Vec<_>> = operands.iter().map(|&o| self.bank.tensor_type(o)).collect();
        let attributes: Vec<_> = attributes
            .iter()
            .filter_map(|&a| self.bank.attribute(a))
            .collect();
        match (term.op(), types, self.bank.tensor_type(id)) {
            (Some(op), Some(types), Some(result)) => {
                self.model.seconds(op, &types, &attributes, result)
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Graph;
    use crate::optimize::{Settings, optimize};

    /// (A B) v, of 64 × 64 and 64 × 1.
    const CHAIN: &str = r#"{"version": 1, "outputs": [4], "nodes": [
        {"op": "input", "attributes": [{"int": 0}, {"bool": false}], "type": {"dtype": "f32", "shape": [64, 64], "device": 0}},
        {"op": "input", "attributes": [{"int": 1}, {"bool": false}], "type": {"dtype": "f32", "shape": [64, 64], "device": 0}},
        {"op": "input", "attributes": [{"int": 2}, {"bool": false}], "type": {"dtype": "f32", "shape": [64, 1], "device": 0}},
        {"op": "matmul", "operands": [0, 1], "type": {"dtype": "f32", "shape": [64, 64], "device": 0}},
        {"op": "matmul", "operands": [3, 2], "type": {"dtype": "f32", "shape": [64, 1], "device": 0}}]}"#;

    #[test]
    fn a_step_spells_the_pattern_and_names_the_rest() {
        let graph = Graph::from_json(CHAIN).unwrap();
        let account = optimize(&graph, &Settings::default()).unwrap().account;
        let [step] = &account.steps[..] else {
            panic!("{} steps", account.steps.len())
        };
        let shown = serde_json::to_value(step).unwrap();
        let matmul = |a: serde_json::Value, b: serde_json::Value| serde_json::json!({"op": "matmul", "operands": [a, b], "attributes": []});
        let node = |i: usize| serde_json::json!({"node": i});
        assert_eq!(shown["rule"], "matmul-associates");
        assert_eq!(shown["left"], matmul(matmul(node(0), node(1)), node(2)));
        assert_eq!(shown["right"], matmul(node(0), matmul(node(1), node(2))));
        assert_eq!((&shown["at"], &shown["times"]), (&4.into(), &1.into()));
        assert!(step.step.seconds_right < step.step.seconds_left);
    }
}
