//! The engine of Hypatia: a tensor program comes in as a [`graph::Graph`], equality saturation finds all programs equal
//! to it that the rules reach, extraction takes the cheapest, and it goes back as a [`graph::Graph`].
//!
//! [`optimize::optimize`] is the pipeline; each module below is one noun of it. [`symbolic`] and [`clifford`] are the
//! scalar and the geometric algebra.

pub mod account;
pub mod analysis;
pub mod attention;
pub mod attribute;
pub mod attribute_function;
pub mod bilinear;
mod bits;
pub mod certificate;
pub mod clifford;
pub mod condition;
pub mod congruence;
pub mod contraction;
pub mod convolution;
pub mod cost;
pub mod depthwise;
pub mod derivation;
mod elementary;
pub mod equivalence;
pub mod error;
pub mod evaluate;
pub mod extract;
pub mod graph;
pub mod inner_product;
pub mod island;
pub mod language;
pub mod linear;
pub mod memory;
mod merge;
pub mod native;
pub mod normal_product;
pub mod op;
#[cfg(target_os = "linux")]
mod openmp;
pub mod optimize;
pub mod pattern;
#[cfg(feature = "python")]
mod python;
pub mod range;
pub mod recurrence;
mod registers;
pub mod rules;
pub mod saturate;
pub mod step;
pub mod symbolic;
pub mod table;
pub mod team;
pub mod tensor_expression;
pub mod tensor_type;
pub mod trial;
pub mod user_rule;
pub mod view;
pub mod winograd;
