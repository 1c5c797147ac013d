//! What a term costs to run: as measured on this machine at shapes like its own, else by a roofline.

mod measured;
mod roofline;
mod shape_class;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::attribute::Attribute;
use crate::op::{Op, Work};
use crate::tensor_type::{DType, TensorType};

use measured::Fit;
pub use measured::Measured;
pub use roofline::Roofline;
pub use shape_class::{ShapeClass, shape_class};

/// The share of its time that counts of what is computed once: the cheaper of two ways still wins.
const FOLDED: f64 = 1e-3;

/// What the machine can do: peaks, and what was measured of single implementations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    pub roofline: Roofline,
    pub measured: Vec<Measured>,
}

/// A machine's figures, ready to be asked.
#[derive(Debug)]
pub struct CostModel {
    roofline: Roofline,
    /// Whether what depends on weights alone is computed once and not on each run.
    folding: bool,
    fitted: FxHashMap<(&'static str, DType), Fit>,
}

impl CostModel {
    /// The model of a machine; what was measured of operations that the engine does not know is left out.
    pub fn new(machine: &Machine) -> Self {
        let roofline = machine.roofline;
        let fit = |m: &Measured| {
            let op = Op::named(&m.implementation)?;
            let guess = |class: &[u64]| roofline.seconds(op, class, m.dtype);
            Some(((op.row().name, m.dtype), Fit::new(&m.points, &guess)))
        };
        Self {
            roofline,
            folding: false,
            fitted: machine.measured.iter().filter_map(fit).collect(),
        }
    }

    /// The same machine where what depends on weights alone is computed once, and not on each run.
    #[must_use]
    pub fn folding(self, folding: bool) -> Self {
        Self { folding, ..self }
    }

    /// The part of its seconds that an operation costs each run.
    pub fn share(&self, weights_only: bool) -> f64 {
        if self.folding && weights_only {
            FOLDED
        } else {
            1.0
        }
    }

    /// Seconds to run an operation on operands of these types.
    ///
    /// A sum or product of several is written as one after another, the small ones first.
    pub fn seconds(
        &self,
        op: Op,
        operands: &[&TensorType],
        attributes: &[&Attribute],
        result: &TensorType,
    ) -> f64 {
        if op.row().work == Work::Free {
            return 0.0;
        }
        if op.is_commutative() && operands.len() > 2 {
            return self.in_turn(op, operands, result);
        }
        let class = shape_class(op, operands, attributes, result);
        self.of_class(op, &class, result.dtype)
    }

    fn in_turn(&self, op: Op, operands: &[&TensorType], result: &TensorType) -> f64 {
        let mut sizes: Vec<u64> = operands.iter().map(|t| t.numel()).collect();
        sizes.sort_unstable();
        sizes[1..]
            .iter()
            .map(|&n| self.of_class(op, &[n.min(result.numel())], result.dtype))
            .sum()
    }

    fn of_class(&self, op: Op, class: &[u64], dtype: DType) -> f64 {
        let guess = self.roofline.seconds(op, class, dtype);
        match self.fitted.get(&(op.row().name, dtype)) {
            Some(fit) => guess * fit.correction(class),
            None => guess,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_three_is_two_sums() {
        let model = CostModel::new(&Machine::default());
        let (big, small) = (
            TensorType::new(DType::F32, &[512, 512]),
            TensorType::new(DType::F32, &[512]),
        );
        let of = |operands: &[&TensorType]| model.seconds(Op::Add, operands, &[], &big);
        assert!((of(&[&big, &big, &big]) - 2.0 * of(&[&big, &big])).abs() < 1e-12);
        assert!(of(&[&big, &small, &small]) < 1.6 * of(&[&big, &big]));
    }

    #[test]
    fn what_is_folded_counts_for_little() {
        let model = CostModel::new(&Machine::default());
        assert_eq!(model.share(true), 1.0);
        let model = model.folding(true);
        assert_eq!((model.share(true), model.share(false)), (FOLDED, 1.0));
    }

    #[test]
    fn what_was_measured_is_believed() {
        let t = TensorType::new(DType::F32, &[64, 64]);
        let machine = Machine {
            measured: vec![Measured {
                implementation: "exp".into(),
                dtype: DType::F32,
                points: vec![(vec![4096], 5e-6), (vec![65_536], 5e-5)],
            }],
            ..Machine::default()
        };
        let model = CostModel::new(&machine);
        assert!((model.seconds(Op::Exp, &[&t], &[], &t) / 5e-6 - 1.0).abs() < 1e-3);
    }
}
