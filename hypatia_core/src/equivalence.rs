//! Whether two programs are equal: both in one e-graph, saturated until their outputs meet.
//!
//! What the search finds is not believed: the steps are replayed from the ground terms by congruence closure (see
//! `certificate`), and only then is the answer "proved".

use serde::Serialize;

use crate::certificate::{Certificate, certify, check, counts};
use crate::cost::CostModel;
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, Node};
use crate::optimize::{Settings, represent};
use crate::rules::Soundness;
use crate::saturate::{Limits, Stop, saturate};

/// How a proof went.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    pub proved: bool,
    /// How often each rule is needed for the proof, the most frequent first.
    pub rules: Vec<(String, usize)>,
    /// Rounds of the search, and nodes of the e-graph in the end.
    pub rounds: usize,
    pub nodes: usize,
    /// Why the search stopped, where nothing was proved.
    pub stop: Option<Stop>,
    /// The outputs that did not meet.
    pub open: Vec<usize>,
    /// The equations from which the equality follows, where it was proved.
    #[serde(skip)]
    pub certificate: Option<Certificate>,
}

/// Rounds after which it is looked whether the outputs have met.
const TURNS: &[usize] = &[2, 3, 4, 5];

/// Whether the outputs of two programs over the same inputs follow from each other by the admitted rules.
///
/// # Errors
/// A graph is malformed or has effects, the outputs are not as many, or a rule proved unsound.
pub fn compare(left: &Graph, right: &Graph, settings: &Settings) -> Result<Comparison> {
    let admitted = Soundness::admitted_by(&settings.numerics)
        .ok_or_else(|| Error::new(format!("unknown numerics '{}'", settings.numerics)))?;
    if left.outputs.len() != right.outputs.len() {
        return Err(Error::new(format!(
            "{} outputs against {}",
            left.outputs.len(),
            right.outputs.len()
        )));
    }
    let effect = |node: &Node| matches!(node.kind, Kind::Opaque { effect: true, .. });
    if left.nodes.iter().chain(&right.nodes).any(effect) {
        return Err(Error::new(
            "a program with effects is not its outputs alone",
        ));
    }
    let left = &with_inputs_of(left, right);
    let (mut egraph, ids) = represent(&side_by_side(left, right))?;
    let outputs = |offset: usize, graph: &Graph| -> Vec<_> {
        graph.outputs.iter().map(|o| ids[o + offset]).collect()
    };
    let (ours, theirs) = (outputs(0, left), outputs(left.nodes.len(), right));
    let model = CostModel::new(&settings.machine);
    let (mut steps, mut rounds, mut stop) = (Vec::new(), 0, None);
    for turn in TURNS {
        let open: Vec<usize> = (0..ours.len())
            .filter(|&i| egraph.find(ours[i]) != egraph.find(theirs[i]))
            .collect();
        if open.is_empty() {
            break;
        }
        let limits = Limits {
            iterations: (*turn).min(settings.limits.iterations.saturating_sub(rounds)),
            ..settings.limits
        };
        let saturation = saturate(&mut egraph, admitted, &settings.users, &limits, &model)?;
        steps.extend(saturation.steps);
        rounds += saturation.iterations;
        stop = Some(saturation.stop);
        if saturation.stop != Stop::Iterations || rounds >= settings.limits.iterations {
            break;
        }
    }
    let open: Vec<usize> = (0..ours.len())
        .filter(|&i| egraph.find(ours[i]) != egraph.find(theirs[i]))
        .collect();
    let proved = open.is_empty();
    let certificate = match proved {
        true => Some(certify(&egraph, &steps, left, right)?),
        false => None,
    };
    Ok(Comparison {
        proved,
        rules: certificate.as_ref().map(counts).unwrap_or_default(),
        rounds,
        nodes: egraph.total_number_of_nodes(),
        stop: stop.filter(|_| !proved),
        open,
        certificate,
    })
}

/// Whether the outputs of two programs are equal by the certificate of a comparison of them, with no search.
///
/// # Errors
/// Says which step is no instance of its rule, or that the outputs do not follow.
pub fn replay(left: &Graph, right: &Graph, certificate: &Certificate) -> Result<()> {
    check(certificate, &with_inputs_of(left, right), right)
}

/// The program with the inputs that only the other one has, unused.
fn with_inputs_of(graph: &Graph, other: &Graph) -> Graph {
    let index = |node: &Node| match node.kind {
        Kind::Input { index, .. } => Some(index),
        _ => None,
    };
    let known: Vec<u32> = graph.nodes.iter().filter_map(index).collect();
    let mut whole = graph.clone();
    for node in &other.nodes {
        if index(node).is_some_and(|index| !known.contains(&index)) {
            whole.nodes.push(node.clone());
        }
    }
    whole
}

/// Both programs as one: equal inputs and equal parts become one class each when they are represented.
fn side_by_side(left: &Graph, right: &Graph) -> Graph {
    let offset = left.nodes.len();
    let mut both = left.clone();
    for node in &right.nodes {
        let mut node = node.clone();
        node.operands.iter_mut().for_each(|o| *o += offset);
        both.nodes.push(node);
    }
    both.outputs
        .extend(right.outputs.iter().map(|o| o + offset));
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Attribute;
    use crate::op::Op;
    use crate::tensor_type::{DType, TensorType};

    fn input(index: u32, shape: &[i64]) -> Node {
        Node {
            kind: Kind::Input {
                index,
                weight: false,
            },
            operands: vec![],
            attributes: vec![],
            ty: Some(TensorType::new(DType::F32, shape)),
        }
    }

    fn op(op: Op, operands: &[usize], shape: &[i64], attributes: Vec<Attribute>) -> Node {
        Node {
            kind: Kind::Op(op),
            operands: operands.to_vec(),
            attributes,
            ty: Some(TensorType::new(DType::F32, shape)),
        }
    }

    #[test]
    fn a_product_in_another_order_is_proved_and_another_product_is_not() {
        let inputs = [input(0, &[4, 4]), input(1, &[4, 4]), input(2, &[4, 4])];
        let program = |nodes: [Node; 2]| Graph {
            nodes: inputs.iter().cloned().chain(nodes).collect(),
            outputs: vec![4],
        };
        let matmul = |a, b| op(Op::Matmul, &[a, b], &[4, 4], vec![]);
        let left = program([matmul(0, 1), matmul(3, 2)]);
        let right = program([matmul(1, 2), matmul(0, 3)]);
        let wrong = program([matmul(1, 2), matmul(3, 0)]);
        let settings = Settings::default();
        let found = compare(&left, &right, &settings).unwrap();
        assert!(found.proved, "{found:?}");
        assert_eq!(found.rules[0].0, "matmul-associates");
        let certificate = found.certificate.unwrap();
        assert!(replay(&left, &right, &certificate).is_ok());
        assert!(replay(&left, &wrong, &certificate).is_err());
        assert!(replay(&left, &right, &Certificate::default()).is_err());
        assert!(!compare(&left, &wrong, &settings).unwrap().proved);
        let exact = Settings {
            numerics: "exact".into(),
            ..Settings::default()
        };
        assert!(!compare(&left, &right, &exact).unwrap().proved);
    }
}
