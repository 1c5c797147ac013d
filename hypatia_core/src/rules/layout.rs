//! Views: nothing is computed, only looked at in another order.

use super::rules;

rules! {
    "permute-of-permute-composes"
        "(permute (permute ?x ?q) ?p)" => "(permute ?x {compose ?p ?q})" BitExact;
        "axis i of the result is axis q[p[i]] of x"; "x: f32[2,3,4] q: [1,2,0] p: [2,1,0]";
    "identity-permute-is-nothing"
        "(permute ?x ?p)" => "?x" BitExact if "is-identity ?p";
        "no axis moves"; "x: f32[2,3] p: [0,1]";
    "permute-of-units-is-reshape"
        "(permute ?x ?p)" => "(reshape ?x {permuted-shape ?x ?p})" BitExact if "moves-units ?x ?p";
        "where only extents of one move, the row-major order of the elements stays"; "x: f32[2,1,3] p: [1,0,2]";
    "permute-passes-through-units"
        "(permute (reshape ?x ?s) ?p)"
        => "(reshape (permute ?x {permutation-below ?x ?s ?p}) {permuted-shape (reshape ?x ?s) ?p})" BitExact
        if "only-units ?x ?s";
        "extents of one do not change which element stands where"; "x: f32[2,3] s: [1,2,3] p: [0,2,1]";
    "transposing-passes-through-stacking"
        "(permute (reshape ?x ?s) ?p)" => "(reshape (permute ?x {swap ?x}) {permuted-shape (reshape ?x ?s) ?p})" BitExact
        if "swaps-last-two ?p", "keeps-matrices ?x ?s";
        "matrices are transposed one by one, however they are stacked"; "x: f32[4,3,2] s: [2,2,3,2] p: [0,1,3,2]";
    "a-repeated-number-has-no-order"
        "(permute (expand ?x ?s) ?p)" => "(expand ?x {permuted-shape (expand ?x ?s) ?p})" BitExact
        if "is-scalar ?x";
        "each element is the same"; "x: f32[] s: [2,3] p: [1,0]";
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
        "(slice ?x ?d ?i ?j int:1)" => "?x" BitExact if "is-whole ?x ?d ?i ?j";
        "each index is kept"; "x: f32[2,3] d: 1 i: 0 j: 3";
    "slice-within-the-first-part"
        "(slice (cat ?a ?b ?d) ?d ?i ?j ?k)" => "(slice ?a ?d ?i ?j ?k)" BitExact;
        "a concatenation starts with its first part"; "a: f32[2,3] b: f32[2,4] d: 1 i: 0 j: 3 k: 1";
    "slice-within-the-second-part"
        "(slice (cat ?a ?b ?d) ?d ?i ?j ?k)" => "(slice ?b ?d {less-extent ?i ?a ?d} {less-extent ?j ?a ?d} ?k)" BitExact;
        "the second part starts where the first one ends"; "a: f32[2,3] b: f32[2,4] d: 1 i: 3 j: 7 k: 1";
    "concatenation-flattens-from-the-left"
        "(cat (cat ?a ?b ?d) ?c ?d)" => "(cat ?a ?b ?c ?d)" BitExact;
        "one after another along the same axis"; "a: f32[2,3] b: f32[2,4] c: f32[2,1] d: 1";
    "concatenation-flattens-from-the-right"
        "(cat ?a (cat ?b ?c ?d) ?d)" => "(cat ?a ?b ?c ?d)" BitExact;
        "one after another along the same axis"; "a: f32[2,3] b: f32[2,4] c: f32[2,1] d: 1";
    "concatenation-of-concatenations-is-one"
        "(cat (cat ?a ?b ?d) (cat ?c ?e ?d) ?d)" => "(cat ?a ?b ?c ?e ?d)" BitExact;
        "one after another along the same axis"; "a: f32[2,3] b: f32[2,4] c: f32[2,1] e: f32[2,2] d: 1";
    "slice-of-permute-moves-axis"
        "(slice (permute ?x ?p) ?d ?i ?j ?k)" => "(permute (slice ?x {move-axis ?d ?p} ?i ?j ?k) ?p)" BitExact;
        "axis d of the permuted tensor is axis p[d] of x"; "x: f32[4,3] p: [1,0] d: 0 i: 1 j: 2 k: 1";
    "slice-passes-through-units"
        "(slice (reshape ?x ?s) ?d ?i ?j ?k)"
        => "(reshape (slice ?x {axis-below ?x ?s ?d} ?i ?j ?k) {sliced-shape ?s ?d ?i ?j ?k})" BitExact
        if "only-units ?x ?s";
        "extents of one do not change which element stands where"; "x: f32[4,3] s: [1,4,3] d: 1 i: 1 j: 2 k: 1";
    "slice-of-sum-is-sum-of-slices"
        "(slice (add ?a ?b) ?d ?i ?j ?k)" => "(add (slice ?a ?d ?i ?j ?k) (slice ?b ?d ?i ?j ?k))" BitExact
        if "same-shape ?a ?b";
        "addition works element by element"; "a: f32[4,3] b: f32[4,3] d: 0 i: 1 j: 2 k: 1";
    "slice-of-sum-with-vector"
        "(slice (add ?b ?a) ?d ?i ?j ?k)" => "(add ?b (slice ?a ?d ?i ?j ?k))" BitExact
        if "is-vector ?b", "is-below-last ?d ?a";
        "a vector is the same in each row"; "b: f32[3] a: f32[4,3] d: 0 i: 1 j: 2 k: 1";
    "selected-rows-of-permute-move-their-axis"
        "(select_rows (permute ?x ?p) ?i ?d ?k)" => "(permute (select_rows ?x ?i {move-axis ?d ?p} ?k) ?p)" BitExact;
        "axis d of the permuted tensor is axis p[d] of x"; "x: f32[4,3] p: [1,0] i: i64[2] d: 0 k: 'index";
    "selected-rows-pass-through-units"
        "(select_rows (reshape ?x ?s) ?i ?d ?k)"
        => "(reshape (select_rows ?x ?i {axis-below ?x ?s ?d} ?k) {selected-shape ?s ?i ?d})" BitExact
        if "only-units ?x ?s";
        "extents of one do not change which element stands where"; "x: f32[4,3] s: [1,4,3] i: i64[2] d: 1 k: 'index";
    "selected-rows-of-sum-are-sum-of-selected-rows"
        "(select_rows (add ?a ?b) ?i ?d ?k)" => "(add (select_rows ?a ?i ?d ?k) (select_rows ?b ?i ?d ?k))" BitExact
        if "same-shape ?a ?b";
        "addition works element by element"; "a: f32[4,3] b: f32[4,3] i: i64[2] d: 0 k: 'index";
    "selected-rows-of-sum-with-vector"
        "(select_rows (add ?b ?a) ?i ?d ?k)" => "(add ?b (select_rows ?a ?i ?d ?k))" BitExact
        if "is-vector ?b", "is-below-last ?d ?a";
        "a vector is the same in each row"; "b: f32[3] a: f32[4,3] i: i64[2] d: 0 k: 'index";
    "selected-rows-of-product-with-vector"
        "(select_rows (mul ?b ?a) ?i ?d ?k)" => "(mul ?b (select_rows ?a ?i ?d ?k))" BitExact
        if "is-vector ?b", "is-below-last ?d ?a";
        "a vector is the same in each row"; "b: f32[3] a: f32[4,3] i: i64[2] d: 0 k: 'index";
    "units-pass-through-sum"
        "(add (reshape ?a ?s) (reshape ?b ?s))" => "(reshape (add ?a ?b) ?s)" BitExact if "same-shape ?a ?b";
        "addition works element by element"; "a: f32[4,3] b: f32[4,3] s: [1,4,3]";
    "units-pass-through-product"
        "(mul (reshape ?a ?s) (reshape ?b ?s))" => "(reshape (mul ?a ?b) ?s)" BitExact if "same-shape ?a ?b";
        "multiplication works element by element"; "a: f32[4,3] b: f32[4,3] s: [1,4,3]";
    "reshape-passes-through-sum-with-vector"
        "(add ?b (reshape ?a ?s))" => "(reshape (add ?b ?a) ?s)" BitExact if "is-vector ?b", "keeps-last ?a ?s";
        "a vector is the same in each row, and rows stay rows"; "b: f32[3] a: f32[4,3] s: [2,2,3]";
    "reshape-passes-through-scaling"
        "(mul ?c (reshape ?a ?s))" => "(reshape (mul ?c ?a) ?s)" BitExact if "is-scalar ?c", "is-vector ?c";
        "each element is scaled alike"; "c: f32[] a: f32[4,3] s: [12]";
    "reshape-passes-through-sum-with-number"
        "(add ?c (reshape ?a ?s))" => "(reshape (add ?c ?a) ?s)" BitExact if "is-scalar ?c", "is-vector ?c";
        "each element is shifted alike"; "c: f32[] a: f32[4,1] s: [4]";
    "rsqrt-passes-through-reshape"
        "(rsqrt (reshape ?x ?s))" => "(reshape (rsqrt ?x) ?s)" BitExact;
        "each element for itself"; "x: f32[3,1] s: [3]";
    "sqrt-passes-through-reshape"
        "(sqrt (reshape ?x ?s))" => "(reshape (sqrt ?x) ?s)" BitExact;
        "each element for itself"; "x: f32[3,1] s: [3]";
}
