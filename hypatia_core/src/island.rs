//! Cutting a large program where few values cross, so that equal parts (layers) are searched once.

use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::graph::{Graph, Kind, Node};

/// Programs of fewer operations are searched whole.
const WHOLE: usize = 120;
/// An island has at least so many operations, so that what belongs together stays together.
const LEAST: usize = 24;

/// A part of a program: a graph of its own, whose inputs and outputs are nodes of the whole.
#[derive(Debug, Clone)]
pub struct Island {
    pub graph: Graph,
    /// For each input of the island, the node of the whole that it stands for.
    pub inputs: Vec<usize>,
    /// For each output of the island, the node of the whole that it gives.
    pub outputs: Vec<usize>,
    /// For each node of the island, the node of the whole that it is.
    pub nodes: Vec<usize>,
}

/// The islands of a program, in its order. Together they hold each node but the inputs once.
pub fn islands(graph: &Graph) -> Vec<Island> {
    let work: Vec<usize> = (0..graph.nodes.len())
        .filter(|&i| !matches!(graph.nodes[i].kind, Kind::Input { .. }))
        .collect();
    if work.is_empty() {
        return Vec::new();
    }
    let last_use = last_uses(graph);
    cuts(graph, &work, &last_use)
        .windows(2)
        .map(|bounds| island(graph, &work[bounds[0]..bounds[1]], &last_use))
        .collect()
}

/// For each node, the last node that uses it; outputs are used after the end.
fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last: Vec<usize> = (0..graph.nodes.len()).collect();
    for (i, node) in graph.nodes.iter().enumerate() {
        for &operand in &node.operands {
            last[operand] = i;
        }
    }
    for &output in &graph.outputs {
        last[output] = graph.nodes.len();
    }
    last
}

/// Positions in `work` between which the islands lie: where least values cross, not too near one another.
fn cuts(graph: &Graph, work: &[usize], last_use: &[usize]) -> Vec<usize> {
    if work.len() <= WHOLE {
        return vec![0, work.len()];
    }
    // Values made early and used almost everywhere (masks, positions) cross every cut and tell nothing.
    let far = work.len() / 2;
    let mut crossing = vec![0usize; work.len() + 1];
    let place: FxHashMap<usize, usize> = work
        .iter()
        .enumerate()
        .map(|(p, &node)| (node, p))
        .collect();
    for (position, &node) in work.iter().enumerate() {
        let end = place.get(&last_use[node]).copied().unwrap_or(work.len());
        let several_results = graph.nodes[node].ty.is_none();
        if several_results {
            // Its results must be told apart on the island where it is computed.
            crossing[position + 1..=end]
                .iter_mut()
                .for_each(|count| *count += work.len());
        } else if end - position <= far {
            crossing[position + 1..=end]
                .iter_mut()
                .for_each(|count| *count += 1);
        }
    }
    let least = crossing[1..work.len()]
        .iter()
        .copied()
        .min()
        .unwrap_or(0)
        .max(1);
    let mut cuts = vec![0];
    let mut begun = 0;
    for (position, &count) in crossing.iter().enumerate().take(work.len()).skip(1) {
        if count <= least && position - begun >= LEAST {
            begun = position;
            cuts.push(position);
        }
    }
    if cuts.len() > 1 && work.len() - cuts[cuts.len() - 1] < LEAST {
        cuts.pop();
    }
    cuts.push(work.len());
    cuts
}

fn island(graph: &Graph, nodes: &[usize], last_use: &[usize]) -> Island {
    let end = nodes[nodes.len() - 1];
    let mut inputs: Vec<usize> = Vec::new();
    for &node in nodes {
        for &operand in &graph.nodes[node].operands {
            if nodes.binary_search(&operand).is_err() && !inputs.contains(&operand) {
                inputs.push(operand);
            }
        }
    }
    let mut place: FxHashMap<usize, usize> = FxHashMap::default();
    let mut own: Vec<Node> = Vec::with_capacity(inputs.len() + nodes.len());
    for (index, &input) in inputs.iter().enumerate() {
        place.insert(input, own.len());
        let weight = matches!(graph.nodes[input].kind, Kind::Input { weight: true, .. });
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        own.push(Node {
            kind: Kind::Input { index, weight },
            operands: Vec::new(),
            attributes: Vec::new(),
            ty: graph.nodes[input].ty.clone(),
        });
    }
    for &node in nodes {
        place.insert(node, own.len());
        let operands = graph.nodes[node]
            .operands
            .iter()
            .map(|o| place[o])
            .collect();
        own.push(Node {
            operands,
            ..graph.nodes[node].clone()
        });
    }
    let outputs: Vec<usize> = nodes
        .iter()
        .copied()
        .filter(|&node| last_use[node] > end)
        .collect();
    let graph = Graph {
        outputs: outputs.iter().map(|node| place[node]).collect(),
        nodes: own,
    };
    Island {
        graph,
        nodes: inputs.iter().chain(nodes).copied().collect(),
        inputs,
        outputs,
    }
}

/// An island in both programs: pairs of a node of the original and the node of the result that has its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    pub inputs: Vec<(usize, usize)>,
    pub outputs: Vec<(usize, usize)>,
    /// For each node of the graph in the island's place, the node of the result that it is.
    #[serde(skip)]
    pub nodes: Vec<usize>,
}

/// The program with each island's graph in its place, and where each island stands in both programs; `solved` stand in
/// the order of [`islands`].
pub fn join(whole: &Graph, islands: &[Island], solved: &[Graph]) -> (Graph, Vec<Region>) {
    let mut nodes: Vec<Node> = Vec::with_capacity(whole.nodes.len());
    let mut regions: Vec<Region> = Vec::with_capacity(islands.len());
    let mut place: FxHashMap<usize, usize> = FxHashMap::default();
    for (i, node) in whole.nodes.iter().enumerate() {
        if matches!(node.kind, Kind::Input { .. }) {
            place.insert(i, nodes.len());
            nodes.push(node.clone());
        }
    }
    for (island, graph) in islands.iter().zip(solved) {
        let mut own: Vec<usize> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            if let Kind::Input { index, .. } = node.kind {
                own.push(place[&island.inputs[index as usize]]);
                continue;
            }
            own.push(nodes.len());
            let operands = node.operands.iter().map(|&o| own[o]).collect();
            nodes.push(Node {
                operands,
                ..node.clone()
            });
        }
        for (&output, &given) in island.outputs.iter().zip(&graph.outputs) {
            place.insert(output, own[given]);
        }
        let pairs = |list: &[usize]| list.iter().map(|&node| (node, place[&node])).collect();
        regions.push(Region {
            inputs: pairs(&island.inputs),
            outputs: pairs(&island.outputs),
            nodes: own,
        });
    }
    let outputs = whole.outputs.iter().map(|o| place[o]).collect();
    (Graph { nodes, outputs }, regions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Op;
    use crate::tensor_type::{DType, TensorType};

    /// `layers` times: x + exp(x)·…, wide enough to be cut between.
    fn stack(layers: usize) -> Graph {
        let ty = Some(TensorType::new(DType::F32, &[4]));
        let input = Kind::Input {
            index: 0,
            weight: false,
        };
        let mut graph = Graph {
            nodes: vec![Node {
                kind: input,
                operands: vec![],
                attributes: vec![],
                ty: ty.clone(),
            }],
            outputs: vec![],
        };
        let mut push = |op, operands: Vec<usize>| {
            graph.nodes.push(Node {
                kind: Kind::Op(op),
                operands,
                attributes: vec![],
                ty: ty.clone(),
            });
            graph.nodes.len() - 1
        };
        let mut x = 0;
        for _ in 0..layers {
            let mut y = x;
            for _ in 0..30 {
                y = push(Op::Exp, vec![y]);
            }
            x = push(Op::Add, vec![x, y]);
        }
        graph.outputs = vec![x];
        graph
    }

    #[test]
    fn layers_become_equal_islands_and_join_to_the_same_program() {
        let graph = stack(12);
        let parts = islands(&graph);
        assert!(parts.len() > 6, "{}", parts.len());
        let middle = &parts[2].graph;
        assert!(parts[3..parts.len() - 1].iter().all(|p| p.graph == *middle));
        let solved: Vec<Graph> = parts.iter().map(|p| p.graph.clone()).collect();
        let (joined, regions) = join(&graph, &parts, &solved);
        assert_eq!(joined, graph);
        assert!(
            regions
                .iter()
                .all(|r| r.outputs.iter().all(|(a, b)| a == b))
        );
    }

    #[test]
    fn a_program_that_computes_nothing_has_no_island() {
        assert!(islands(&stack(0)).is_empty());
    }

    #[test]
    fn a_small_program_is_one_island() {
        assert_eq!(islands(&stack(2)).len(), 1);
    }
}
