//! Scalar symbolic algebra.
//!
//! Text becomes an [`expression::Expression`] (`parse`), which is differentiated, evaluated and rewritten. Whether
//! two expressions are equal is asked of `prove`, which has three answers: canonical forms prove, interval
//! arithmetic refutes, and what neither settles is unknown.

pub mod accuracy;
mod ansatz;
pub mod budget;
pub mod build;
pub mod canonical;
mod canonical_function;
pub mod columns;
mod convert;
pub mod cost;
pub mod derivative;
pub mod domain;
pub mod element;
pub mod enclosure;
pub mod evaluate;
pub mod expression;
pub mod factor;
mod factorization;
pub mod function;
pub mod gcd;
pub mod identity;
mod infix;
mod integer_factor;
pub mod integrate;
pub mod interval;
pub mod kernel;
pub mod latex;
pub mod limit;
mod linear;
mod literal;
mod location;
pub mod monomial;
mod multiple_angle;
mod packed;
pub mod parse;
pub mod polynomial;
mod prime_field;
pub mod print;
pub mod prove;
pub mod refute;
pub mod replay;
mod s_expression;
pub mod sample;
pub mod search;
pub mod series;
mod sharing;
pub mod sign;
pub mod simplify;
pub mod solve;
pub mod substitute;
pub mod tactic;
pub mod tensor_form;
pub mod tensor_operator;
pub mod tensor_shape;
mod vector_math;
