//! The program as it crosses between Python and the engine: a list of nodes, operands before users.

use serde::{Deserialize, Serialize};

use crate::attribute::Attribute;
use crate::error::{Error, Result};
use crate::op::Op;
use crate::tensor_type::TensorType;

/// What a node computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The caller's argument number `index`; a weight is one that stays the same between calls.
    Input { index: u32, weight: bool },
    /// An operation that the engine does not look into. Two pure ones with equal `key` and operands are the same
    /// value; one with an effect is never merged, moved before another effect, or dropped.
    Opaque { key: String, effect: bool },
    /// One result of an opaque operation with several.
    Item { index: u32 },
    /// An operation whose meaning the rules know.
    Op(Op),
}

/// One node; `operands` are positions earlier in the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    pub kind: Kind,
    pub operands: Vec<usize>,
    pub attributes: Vec<Attribute>,
    /// `None` just for an opaque operation with several results.
    pub ty: Option<TensorType>,
}

/// A program: nodes in topological order, and which of them are returned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub outputs: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    op: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operands: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<Attribute>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    ty: Option<TensorType>,
    /// The key to take this node as opaque under, where its type is not the one that its operation surely gives.
    #[serde(default, skip_serializing)]
    otherwise: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WireGraph {
    version: u32,
    nodes: Vec<WireNode>,
    outputs: Vec<usize>,
}

/// The version of the JSON form; a reader refuses any other.
pub const WIRE_VERSION: u32 = 1;

impl Graph {
    /// Whether each node depends on no other inputs than weights.
    pub fn weights_only(&self) -> Vec<bool> {
        let mut known: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            known.push(match node.kind {
                Kind::Input { weight, .. } => weight,
                Kind::Opaque { effect: true, .. } => false,
                _ => node.operands.iter().all(|&o| known[o]),
            });
        }
        known
    }

    /// Reads the JSON form and checks that it is well formed.
    ///
    /// # Errors
    /// Says which node is malformed and why.
    pub fn from_json(text: &str) -> Result<Self> {
        let wire: WireGraph = serde_json::from_str(text)
            .map_err(|e| Error::new(format!("graph: not the expected JSON: {e}")))?;
        if wire.version != WIRE_VERSION {
            return Err(Error::new(format!(
                "graph: version {} where {WIRE_VERSION} is read",
                wire.version
            )));
        }
        let mut graph = Self {
            nodes: Vec::with_capacity(wire.nodes.len()),
            outputs: wire.outputs,
        };
        for (i, mut wire) in wire.nodes.into_iter().enumerate() {
            let otherwise = wire.otherwise.take();
            let mut node =
                read_node(wire).map_err(|e| Error::new(format!("graph: node {i}: {e}")))?;
            if let (Kind::Op(op), Some(key)) = (&node.kind, otherwise)
                && node.operands.iter().all(|&o| o < i)
                && graph.infer(*op, &node) != node.ty
            {
                node.kind = Kind::Opaque { key, effect: false };
                node.attributes.clear();
            }
            graph.nodes.push(node);
        }
        graph.check()?;
        Ok(graph)
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        let nodes = self.nodes.iter().map(write_node).collect();
        let wire = WireGraph {
            version: WIRE_VERSION,
            nodes,
            outputs: self.outputs.clone(),
        };
        serde_json::to_string(&wire).expect("a graph holds nothing that JSON cannot")
    }

    /// Whether operands come before users, and each known operation has the type that its operands give it.
    ///
    /// # Errors
    /// Names the first node that breaks this.
    pub fn check(&self) -> Result<()> {
        for (i, node) in self.nodes.iter().enumerate() {
            if let Some(&late) = node.operands.iter().find(|&&o| o >= i) {
                return Err(Error::new(format!(
                    "graph: node {i} uses node {late}, which does not come before it"
                )));
            }
            if let Kind::Op(op) = node.kind {
                let inferred = self.infer(op, node);
                if inferred.is_none() || inferred != node.ty {
                    let show = |t: &Option<TensorType>| {
                        t.as_ref().map_or("no type".into(), ToString::to_string)
                    };
                    return Err(Error::new(format!(
                        "graph: node {i} ({}) claims {} where its operands give {}",
                        op.row().name,
                        show(&node.ty),
                        show(&inferred)
                    )));
                }
            }
        }
        match self.outputs.iter().find(|&&o| o >= self.nodes.len()) {
            Some(o) => Err(Error::new(format!("graph: output {o} is not a node"))),
            None => Ok(()),
        }
    }

    fn infer(&self, op: Op, node: &Node) -> Option<TensorType> {
        let types: Option<Vec<_>> = node
            .operands
            .iter()
            .map(|&o| self.nodes[o].ty.as_ref())
            .collect();
        op.infer(&types?, &node.attributes.iter().collect::<Vec<_>>())
    }
}

fn read_node(wire: WireNode) -> Result<Node> {
    let WireNode {
        op,
        operands,
        mut attributes,
        ty,
        ..
    } = wire;
    let kind = match (op.as_str(), attributes.as_slice()) {
        ("input", [Attribute::Int(index), Attribute::Bool(weight)]) => Kind::Input {
            index: u32::try_from(*index)
                .map_err(|_| Error::new("an input's index is not negative"))?,
            weight: *weight,
        },
        ("opaque", [Attribute::Word(key), Attribute::Bool(effect)]) => Kind::Opaque {
            key: key.clone(),
            effect: *effect,
        },
        ("item", [Attribute::Int(index)]) if operands.len() == 1 => Kind::Item {
            index: u32::try_from(*index)
                .map_err(|_| Error::new("an item's index is not negative"))?,
        },
        ("input" | "opaque" | "item", _) => {
            return Err(Error::new(format!("'{op}' with the wrong attributes")));
        }
        (name, _) => Kind::Op(
            Op::named(name).ok_or_else(|| Error::new(format!("unknown operation '{name}'")))?,
        ),
    };
    if !matches!(kind, Kind::Op(_)) {
        attributes.clear();
    }
    Ok(Node {
        kind,
        operands,
        attributes,
        ty,
    })
}

fn write_node(node: &Node) -> WireNode {
    let (op, attributes) = match &node.kind {
        Kind::Input { index, weight } => (
            "input",
            vec![Attribute::Int(i64::from(*index)), Attribute::Bool(*weight)],
        ),
        Kind::Opaque { key, effect } => (
            "opaque",
            vec![Attribute::Word(key.clone()), Attribute::Bool(*effect)],
        ),
        Kind::Item { index } => ("item", vec![Attribute::Int(i64::from(*index))]),
        Kind::Op(op) => (op.row().name, node.attributes.clone()),
    };
    WireNode {
        op: op.into(),
        operands: node.operands.clone(),
        attributes,
        ty: node.ty.clone(),
        otherwise: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBLED: &str = r#"{"version":1,"nodes":[
        {"op":"input","attributes":[{"int":0},{"bool":false}],"type":{"dtype":"f32","shape":[2,{"symbol":0,"hint":3}]}},
        {"op":"add","operands":[0,0],"type":{"dtype":"f32","shape":[2,{"symbol":0,"hint":3}]}}],"outputs":[1]}"#;

    #[test]
    fn json_goes_there_and_back() {
        let graph = Graph::from_json(DOUBLED).unwrap();
        assert_eq!(Graph::from_json(&graph.to_json()).unwrap(), graph);
    }

    #[test]
    fn a_wrong_type_is_refused_by_name() {
        let wrong = DOUBLED.replacen("\"f32\"", "\"f64\"", 1);
        let message = Graph::from_json(&wrong).unwrap_err().to_string();
        assert!(
            message.contains("node 1 (add) claims F32[2,s0] where its operands give F64[2,s0]"),
            "{message}"
        );
    }
}
