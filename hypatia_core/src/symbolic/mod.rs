//! Scalar symbolic algebra.
//!
//! Text becomes an [`expression::Expression`] (`parse`), which is differentiated, evaluated and rewritten. Whether
//! two expressions are equal is asked of `prove`, which has three answers: canonical forms prove, interval
//! arithmetic refutes, and what neither settles is unknown.

pub mod budget;
pub mod build;
pub mod canonical;
mod canonical_function;
mod convert;
pub mod cost;
pub mod derivative;
pub mod domain;
pub mod enclosure;
pub mod evaluate;
pub mod expression;
mod factorization;
pub mod function;
pub mod gcd;
mod infix;
pub mod interval;
pub mod kernel;
mod literal;
mod location;
pub mod monomial;
pub mod parse;
pub mod polynomial;
pub mod print;
pub mod prove;
pub mod refute;
mod s_expression;
pub mod sample;
pub mod sign;
pub mod simplify;
pub mod substitute;
pub mod tensor_form;
pub mod tensor_operator;
