//! Geometric (Clifford) algebra.
