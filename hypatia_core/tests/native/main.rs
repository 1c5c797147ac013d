//! Programs of our own kernels, against what their text says read word by word.

mod kernels;
mod program;
mod rows;
mod tensor;
