//! Views: nothing is computed, only looked at in another order.

use super::rules;

rules! {
    "permute-of-permute-composes"
        "(permute (permute ?x ?q) ?p)" => "(permute ?x {compose ?p ?q})" BitExact;
        "axis i of the result is axis q[p[i]] of x"; "x: f32[2,3,4] q: [1,2,0] p: [2,1,0]";
    "identity-permute-is-nothing"
        "(permute ?x ?p)" => "?x" BitExact if "is-identity ?p";
        "no axis moves"; "x: f32[2,3] p: [0,1]";
    "reshape-of-reshape-is-one"
        "(reshape (reshape ?x ?s) ?t)" => "(reshape ?x ?t)" BitExact;
        "both keep the elements in row-major order"; "x: f32[6,4] s: [2,3,4] t: [24]";
    "reshape-to-own-shape-is-nothing"
        "(reshape ?x ?s)" => "?x" BitExact if "has-shape ?x ?s";
        "the shape is already so"; "x: f32[2,3] s: [2,3]";
    "expand-of-expand-is-one"
        "(expand (expand ?x ?s) ?t)" => "(expand ?x ?t)" BitExact;
        "repeating along an axis twice is repeating once"; "x: f32[1,3] s: [1,3] t: [2,3]";
    "expand-to-own-shape-is-nothing"
        "(expand ?x ?s)" => "?x" BitExact if "has-shape ?x ?s";
        "the shape is already so"; "x: f32[2,3] s: [2,3]";
    "whole-slice-is-nothing"
        "(slice ?x ?d ?a ?b int:1)" => "?x" BitExact if "is-whole ?x ?d ?a ?b";
        "each index is kept"; "x: f32[2,3] d: 1 a: 0 b: 3";
    "select-of-permute-moves-axis"
        "(slice (permute ?x ?p) ?d ?a ?b ?s)" => "(permute (slice ?x {move-axis ?d ?p} ?a ?b ?s) ?p)" BitExact;
        "axis d of the permuted tensor is axis p[d] of x"; "x: f32[4,3] p: [1,0] d: 0 a: 1 b: 2 s: 1";
}
