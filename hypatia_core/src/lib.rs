//! The engine of Hypatia.

pub mod clifford;
pub mod error;
#[cfg(feature = "python")]
mod python;
pub mod symbolic;
