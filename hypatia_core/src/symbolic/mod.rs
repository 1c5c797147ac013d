//! Scalar symbolic algebra.
