//! Exact extraction against every program of small e-graphs.

use _hypatia_core::cost::{CostModel, Machine};
use _hypatia_core::extract::{Costs, Effort, Method, extract};
use _hypatia_core::graph::{Graph, Kind, Node};
use _hypatia_core::op::Op;
use _hypatia_core::optimize::represent;
use _hypatia_core::rules::Soundness;
use _hypatia_core::saturate::{Limits, saturate};
use _hypatia_core::tensor_type::{DType, TensorType};
use egg::{Id, Language};
use std::collections::HashMap;

/// Sums and products of a few inputs and of one another, drawn at random.
fn program(rng: &mut fastrand::Rng) -> Graph {
    let side = |rng: &mut fastrand::Rng| [16, 64][rng.usize(..2)];
    let extents = [side(rng), side(rng)];
    let ty = |a: usize, b: usize| TensorType::new(DType::F32, &[extents[a], extents[b]]);
    let mut nodes: Vec<Node> = Vec::new();
    let mut sides: Vec<(usize, usize)> = Vec::new();
    for index in 0..4 {
        sides.push((rng.usize(..2), rng.usize(..2)));
        nodes.push(Node {
            kind: Kind::Input {
                index,
                weight: false,
            },
            operands: vec![],
            attributes: vec![],
            ty: Some(ty(sides[index as usize].0, sides[index as usize].1)),
        });
    }
    for _ in 0..rng.usize(3..9) {
        let (a, b) = (rng.usize(..nodes.len()), rng.usize(..nodes.len()));
        let (op, result) = if sides[a].1 == sides[b].0 && rng.u8(..3) > 0 {
            (Op::Matmul, (sides[a].0, sides[b].1))
        } else if sides[a] == sides[b] {
            (Op::Add, sides[a])
        } else {
            continue;
        };
        sides.push(result);
        nodes.push(Node {
            kind: Kind::Op(op),
            operands: vec![a, b],
            attributes: vec![],
            ty: Some(ty(result.0, result.1)),
        });
    }
    let last = nodes.len() - 1;
    let outputs = if last > 5 {
        vec![last, last - 1]
    } else {
        vec![last]
    };
    Graph { nodes, outputs }
}

/// The least cost over all choices of terms, by trying each; `None` where there are too many.
fn brute_force(costs: &Costs, roots: &[Id]) -> Option<f64> {
    struct Trying<'c> {
        costs: &'c Costs<'c>,
        least: f64,
        left: usize,
    }
    impl Trying<'_> {
        /// Decides the classes that are waiting, one after another.
        fn decide(&mut self, chosen: &mut HashMap<Id, usize>, waiting: Vec<Id>, total: f64) {
            if self.left == 0 || total >= self.least {
                return;
            }
            self.left -= 1;
            let mut waiting = waiting;
            let Some(class) = waiting.pop() else {
                if self.is_acyclic(chosen) {
                    self.least = total;
                }
                return;
            };
            if chosen.contains_key(&class) {
                return self.decide(chosen, waiting, total);
            }
            for (number, term) in self.costs.terms(class) {
                let mut next = waiting.clone();
                next.extend(term.children().iter().map(|&c| self.costs.egraph.find(c)));
                chosen.insert(class, number);
                self.decide(chosen, next, total + self.costs.of(class, number));
                chosen.remove(&class);
            }
        }

        fn is_acyclic(&self, chosen: &HashMap<Id, usize>) -> bool {
            let mut done: Vec<Id> = Vec::new();
            loop {
                let ready: Vec<Id> = chosen
                    .iter()
                    .filter(|(c, _)| !done.contains(c))
                    .filter(|(c, n)| {
                        let term = &self.costs.egraph[**c].nodes[**n];
                        term.children()
                            .iter()
                            .all(|&x| done.contains(&self.costs.egraph.find(x)))
                    })
                    .map(|(c, _)| *c)
                    .collect();
                if ready.is_empty() {
                    return done.len() == chosen.len();
                }
                done.extend(ready);
            }
        }
    }
    let mut trying = Trying {
        costs,
        least: f64::INFINITY,
        left: 400_000,
    };
    trying.decide(&mut HashMap::new(), roots.to_vec(), 0.0);
    (trying.left > 0).then_some(trying.least)
}

#[test]
fn what_is_called_exact_is_the_cheapest_of_all_programs() {
    let model = CostModel::new(&Machine::default());
    let effort = Effort {
        steps: 100_000,
        variables: 20_000,
    };
    let (mut compared, mut choices) = (0, 0);
    for seed in 0..60 {
        let graph = program(&mut fastrand::Rng::with_seed(seed));
        let (mut egraph, ids) = represent(&graph).unwrap();
        let limits = Limits {
            nodes: 120,
            iterations: 4,
            matches: 16,
        };
        saturate(&mut egraph, Soundness::Reassociates, &[], &limits, &model).unwrap();
        let roots: Vec<Id> = graph.outputs.iter().map(|&o| egraph.find(ids[o])).collect();
        let costs = Costs::new(&egraph, &model, &roots);
        let found = extract(&costs, &roots, effort).unwrap();
        let total = found.selection.seconds(&costs, &roots).unwrap();
        let Some(least) = brute_force(&costs, &roots) else {
            continue;
        };
        compared += 1;
        choices += usize::from(2 * egraph.total_number_of_nodes() > 3 * egraph.number_of_classes());
        assert!(
            total >= least * (1.0 - 1e-9),
            "seed {seed}: {total} beats {least}"
        );
        assert!(
            least >= total * (1.0 - found.gap - 1e-6),
            "seed {seed}: {total} with a gap of {} where {least} is possible",
            found.gap
        );
        if found.method == Method::Exact {
            assert!(
                total <= least * (1.0 + 1e-5),
                "seed {seed}: {total}, not {least}"
            );
        }
    }
    assert!(
        compared >= 30 && choices >= 5,
        "{compared} compared, {choices} with many choices"
    );
}
