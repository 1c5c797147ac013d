//! Chains of matrix products come out in their best order, whatever their length, within one round of search.

use _hypatia_core::attribute::Attribute;
use _hypatia_core::cost::{CostModel, Machine};
use _hypatia_core::graph::{Graph, Kind, Node};
use _hypatia_core::op::Op;
use _hypatia_core::optimize::{Settings, optimize};
use _hypatia_core::saturate::Limits;
use _hypatia_core::tensor_type::{DType, TensorType};

/// A program under construction.
#[derive(Default)]
struct Program(Graph);

impl Program {
    fn input(&mut self, shape: &[i64]) -> usize {
        let index = self.0.nodes.len() as u32;
        self.push(
            Kind::Input {
                index,
                weight: false,
            },
            vec![],
            vec![],
            TensorType::new(DType::F32, shape),
        )
    }

    fn op(&mut self, op: Op, operands: &[usize], attributes: Vec<Attribute>) -> usize {
        let types: Vec<&TensorType> = operands
            .iter()
            .map(|&o| self.0.nodes[o].ty.as_ref().unwrap())
            .collect();
        let ty = op
            .infer(&types, &attributes.iter().collect::<Vec<_>>())
            .unwrap();
        self.push(Kind::Op(op), operands.to_vec(), attributes, ty)
    }

    fn transposed(&mut self, x: usize) -> usize {
        self.op(Op::Permute, &[x], vec![Attribute::Axes(vec![1, 0])])
    }

    fn push(
        &mut self,
        kind: Kind,
        operands: Vec<usize>,
        attributes: Vec<Attribute>,
        ty: TensorType,
    ) -> usize {
        self.0.nodes.push(Node {
            kind,
            operands,
            attributes,
            ty: Some(ty),
        });
        self.0.nodes.len() - 1
    }

    fn seconds_at_best(mut self, outputs: &[usize], iterations: usize) -> f64 {
        self.0.outputs = outputs.to_vec();
        let settings = Settings {
            limits: Limits {
                iterations,
                ..Limits::default()
            },
            check_proof: true,
            ..Settings::default()
        };
        optimize(&self.0, &settings).unwrap().account.seconds_after
    }
}

/// A bracketing drawn at random.
fn bracketed(program: &mut Program, factors: &[usize], rng: &mut fastrand::Rng) -> usize {
    if let [one] = factors {
        return *one;
    }
    let (left, right) = factors.split_at(rng.usize(1..factors.len()));
    let (left, right) = (
        bracketed(program, left, rng),
        bracketed(program, right, rng),
    );
    program.op(Op::Matmul, &[left, right], vec![])
}

/// The least seconds over all bracketings, by plain recursion.
fn least(types: &[TensorType], model: &CostModel) -> (f64, TensorType) {
    if let [one] = types {
        return (0.0, one.clone());
    }
    let of_split = |s: usize| {
        let ((a, ta), (b, tb)) = (least(&types[..s], model), least(&types[s..], model));
        let result = Op::Matmul.infer(&[&ta, &tb], &[]).unwrap();
        let own = model.seconds(Op::Matmul, &[&ta, &tb], &[], &result);
        (a + b + own, result)
    };
    let all = (1..types.len()).map(of_split);
    all.min_by(|x, y| x.0.total_cmp(&y.0)).unwrap()
}

#[test]
fn a_chain_of_any_length_comes_out_in_its_best_order() {
    let mut rng = fastrand::Rng::with_seed(0);
    for factors in 3..=10 {
        for _ in 0..6 {
            let batched = rng.bool();
            let extents: Vec<i64> = (0..=factors)
                .map(|_| [1, 16, 128, 1024][rng.usize(..4)])
                .collect();
            let mut program = Program::default();
            let inputs: Vec<usize> = extents
                .windows(2)
                .map(|w| {
                    let stacked = batched && rng.u8(..3) == 0;
                    let shape = if stacked {
                        vec![8, w[0], w[1]]
                    } else {
                        w.to_vec()
                    };
                    program.input(&shape)
                })
                .collect();
            let types: Vec<TensorType> = program
                .0
                .nodes
                .iter()
                .map(|n| n.ty.clone().unwrap())
                .collect();
            let product = bracketed(&mut program, &inputs, &mut rng);
            let (best, _) = least(&types, &CostModel::new(&Machine::default()));
            let found = program.seconds_at_best(&[product], 1);
            assert!(
                found <= best * (1.0 + 2e-3),
                "{types:?}: {found} where {best} is possible"
            );
        }
    }
}

/// Seconds of one product of square matrices.
fn one_product(side: i64) -> f64 {
    let t = TensorType::new(DType::F32, &[side, side]);
    CostModel::new(&Machine::default()).seconds(Op::Matmul, &[&t, &t], &[], &t)
}

#[test]
fn a_sub_product_that_occurs_again_transposed_is_computed_once() {
    let mut program = Program::default();
    let (a, b) = (program.input(&[512, 512]), program.input(&[512, 512]));
    let (at, bt) = (program.transposed(a), program.transposed(b));
    // BᵀA AᵀB = SᵀS for S = AᵀB: two products in place of three.
    let left = program.op(Op::Matmul, &[bt, a], vec![]);
    let right = program.op(Op::Matmul, &[at, b], vec![]);
    let product = program.op(Op::Matmul, &[left, right], vec![]);
    let found = program.seconds_at_best(&[product], 8);
    assert!(found < 2.1 * one_product(512), "{found}");
}

#[test]
fn two_chains_share_the_sub_product_that_serves_both() {
    let mut program = Program::default();
    let inputs: Vec<usize> = (0..6).map(|_| program.input(&[256, 256])).collect();
    let mut outputs = Vec::new();
    for ends in [(0, 1), (2, 3)] {
        // x (b c) y, bracketed so that b c stands nowhere.
        let xb = program.op(Op::Matmul, &[inputs[ends.0], inputs[4]], vec![]);
        let cy = program.op(Op::Matmul, &[inputs[5], inputs[ends.1]], vec![]);
        outputs.push(program.op(Op::Matmul, &[xb, cy], vec![]));
    }
    let found = program.seconds_at_best(&outputs, 6);
    assert!(found < 5.1 * one_product(256), "{found}");
}
