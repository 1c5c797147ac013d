//! The roofline: time is a call plus the longer of computing at the peak and moving the bytes.
//!
//! After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (CACM, 2009).

use serde::{Deserialize, Serialize};

use crate::op::{Arity, Op, Work};
use crate::tensor_type::DType;

/// Peaks, in operations, bytes and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roofline {
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

impl Default for Roofline {
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

impl Roofline {
    /// Seconds of one operation on a shape class.
    pub fn seconds(&self, op: Op, class: &[u64], dtype: DType) -> f64 {
        let elements: f64 = class.iter().map(|&n| n as f64).product();
        let bytes = dtype.bytes() as f64;
        let stream = |count: f64| count * bytes / self.bandwidth;
        match op.row().work {
            Work::Free => 0.0,
            Work::View => self.view,
            Work::Elementwise(operations) => {
                let operands = match op.row().arity {
                    Arity::Exactly(n) => n,
                    Arity::Commutative => 2,
                    Arity::Sequence => 1,
                };
                let compute = elements * f64::from(operations) / self.elementwise_rate;
                self.call + compute.max(stream(elements * (operands + 1) as f64))
            }
            Work::Reduction => self.call + stream(elements),
            Work::Contraction => {
                let &[batches, rows, inner, columns] = class else {
                    return self.call + stream(elements);
                };
                let (b, m, k, n) = (batches as f64, rows as f64, inner as f64, columns as f64);
                let peak = if dtype == DType::F64 {
                    self.peak_f64
                } else {
                    self.peak_f32
                };
                // Factoring and inverting are bound by what LAPACK does one column after another.
                let share = match op {
                    Op::Factored => 1.5,
                    Op::Inverting => 4.0,
                    // By six panels (`panels.py`), which are less than whole products' peak.
                    Op::Gram | Op::LowerProduct | Op::UpperProduct => 0.68,
                    // Blocks above the diagonal are left out.
                    Op::CausalAttention => 0.6,
                    _ => 1.0,
                };
                let calls = match op {
                    Op::Gram => 12.0,
                    Op::LowerProduct | Op::UpperProduct => 6.0,
                    _ => 1.0,
                };
                let compute = 2.0 * elements * share / peak;
                // What is added to is copied to where the result will be, and read there again.
                let added = if op == Op::Addmm { 2.0 * m * n } else { 0.0 };
                self.call * calls + compute.max(stream(b * (m * k + k * n + m * n + added)))
            }
        }
    }
}
