//! What a term costs to run: a roofline over the machine's measured peak, bandwidth and call overhead.

use serde::{Deserialize, Serialize};

use crate::op::{Op, Work};
use crate::tensor_type::{DType, TensorType};

/// What the machine can do, in seconds, bytes and floating operations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Floating operations a second in a large float32 matrix product.
    pub peak_f32: f64,
    /// The same in float64.
    pub peak_f64: f64,
    /// Elementary operations a second in a vectorised elementwise loop.
    pub elementwise_rate: f64,
    /// Bytes a second streamed through memory.
    pub bandwidth: f64,
    /// Seconds to call one operation that computes.
    pub call: f64,
    /// Seconds to make one view.
    pub view: f64,
}

impl Default for Machine {
    /// A cautious guess for two cores with AVX2, used until the machine has been measured.
    fn default() -> Self {
        Self {
            peak_f32: 140e9,
            peak_f64: 70e9,
            elementwise_rate: 16e9,
            bandwidth: 12e9,
            call: 3e-6,
            view: 1.5e-6,
        }
    }
}

impl Machine {
    /// Seconds to run an operation on operands of these types.
    pub fn seconds(&self, op: Op, operands: &[&TensorType], result: &TensorType) -> f64 {
        let moved = operands.iter().map(|t| t.bytes()).sum::<u64>() + result.bytes();
        let stream = moved as f64 / self.bandwidth;
        match op.row().work {
            Work::Free => 0.0,
            Work::View => self.view,
            Work::Elementwise(operations) => {
                let rounds = operands.len().saturating_sub(1).max(1) as f64;
                let compute = result.numel() as f64 * f64::from(operations) / self.elementwise_rate;
                rounds * (self.call + stream.max(compute))
            }
            Work::Reduction => self.call + stream,
            Work::Contraction => self.call + stream.max(self.contraction(operands, result)),
        }
    }

    fn contraction(&self, operands: &[&TensorType], result: &TensorType) -> f64 {
        // The product's left factor is the last operand but one: an addmm has its summand in front.
        let inner = operands[operands.len() - 2]
            .shape
            .last()
            .map_or(1, |d| d.hint().max(1)) as f64;
        let peak = if result.dtype == DType::F64 {
            self.peak_f64
        } else {
            self.peak_f32
        };
        2.0 * result.numel() as f64 * inner / peak
    }
}
