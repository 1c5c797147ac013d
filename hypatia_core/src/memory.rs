//! How much memory a program holds at its widest moment.

use rustc_hash::FxHashSet;

use crate::graph::{Graph, Kind};
use crate::op::Work;

/// The most bytes that are held at once when the nodes run in their order: inputs throughout, each result from where it
/// is made to its last use, outputs to the end. Views hold what they look at.
///
/// With `folding`, what depends on weights alone is made elsewhere, where it has a bound of its own.
pub fn peak_bytes(graph: &Graph, folding: bool) -> u64 {
    let folded = if folding {
        graph.weights_only()
    } else {
        vec![false; graph.nodes.len()]
    };
    let bytes = |i: usize| {
        let node = &graph.nodes[i];
        let elsewhere = folded[i] && !matches!(node.kind, Kind::Input { .. });
        if elsewhere {
            0
        } else {
            node.ty.as_ref().map_or(0, |t| t.bytes())
        }
    };
    // What each node's memory belongs to.
    let mut owner: Vec<usize> = (0..graph.nodes.len()).collect();
    for (i, node) in graph.nodes.iter().enumerate() {
        let views = match node.kind {
            Kind::Op(op) => op.row().work == Work::View,
            Kind::Item { .. } => true,
            _ => false,
        };
        if let (true, Some(&source)) = (views, node.operands.first()) {
            owner[i] = owner[source];
        }
    }
    let mut last: Vec<usize> = (0..graph.nodes.len()).collect();
    for (i, node) in graph.nodes.iter().enumerate() {
        for &operand in &node.operands {
            last[owner[operand]] = i;
        }
    }
    let kept: FxHashSet<usize> = graph.outputs.iter().map(|&o| owner[o]).collect();
    let mut ends: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for i in 0..graph.nodes.len() {
        let stays = matches!(graph.nodes[i].kind, Kind::Input { .. }) || kept.contains(&i);
        if owner[i] == i && !stays {
            ends[last[i]].push(i);
        }
    }
    let (mut held, mut peak) = (0, 0);
    for i in 0..graph.nodes.len() {
        if owner[i] == i {
            held += bytes(i);
        }
        peak = peak.max(held);
        held -= ends[i].iter().map(|&e| bytes(e)).sum::<u64>();
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Node;
    use crate::op::Op;
    use crate::tensor_type::{DType, TensorType};

    #[test]
    fn results_are_freed_at_their_last_use_and_folded_ones_are_elsewhere() {
        let ty = Some(TensorType::new(DType::F32, &[256]));
        let node = |kind, operands| Node {
            kind,
            operands,
            attributes: vec![],
            ty: ty.clone(),
        };
        let chain = |weight| {
            let mut nodes = vec![node(Kind::Input { index: 0, weight }, vec![])];
            for i in 0..5 {
                nodes.push(node(Kind::Op(Op::Exp), vec![i]));
            }
            let outputs = vec![5];
            Graph { nodes, outputs }
        };
        assert_eq!(peak_bytes(&chain(false), false), 3 * 1024);
        assert_eq!(peak_bytes(&chain(false), true), 3 * 1024);
        assert_eq!(peak_bytes(&chain(true), false), 3 * 1024);
        assert_eq!(peak_bytes(&chain(true), true), 1024);
    }
}
