//! Programs of our own kernels, run with nothing between them.
//!
//! A program is written as text once ([`Program::new`]); everything that it says is checked then. A run
//! ([`Program::run`]) is given where the caller's memory lies, and goes from step to step.

#[cfg(test)]
mod accuracy;
mod attention;
mod bilinear;
mod buffer;
mod channel_map;
mod convolution;
mod depthwise;
mod gather;
mod inner_product;
mod instruction;
mod lanes;
mod linear;
mod matmul;
mod memory;
mod number;
mod plan;
mod program;
mod recurrence;
mod rows;
mod rows_by_matrix;
mod signed_sums;
mod step;
mod sums;
mod view;
mod winograd;

pub use program::Program;
