//! Sums, and what they pass through.

use super::rules;

rules! {
    "sum-of-columns-of-matmul"
        "(sum (matmul ?a ?b) ?axes true)" => "(matmul ?a (sum ?b {last-axis ?b} true))" Reassociates
        if "reduces-columns ?axes ?a ?b";
        "Σⱼ Σₖ aᵢₖ bₖⱼ = Σₖ aᵢₖ Σⱼ bₖⱼ"; "a: f32[6,5] b: f32[5,4] axes: [1]";
    "sum-of-rows-of-matmul"
        "(sum (matmul ?a ?b) ?axes true)" => "(matmul (sum ?a {inner-axes ?a} true) ?b)" Reassociates
        if "reduces-rows ?axes ?a ?b";
        "Σᵢ Σₖ aᵢₖ bₖⱼ = Σₖ (Σᵢ aᵢₖ) bₖⱼ"; "a: f32[6,5] b: f32[5,4] axes: [0]";
    "sum-of-matmul"
        "(sum (matmul ?a ?b) ?axes true)"
        => "(matmul (sum ?a {inner-axes ?a} true) (sum ?b {last-axis ?b} true))" Reassociates
        if "reduces-matrix ?axes ?a ?b";
        "Σᵢⱼ Σₖ aᵢₖ bₖⱼ = Σₖ (Σᵢ aᵢₖ)(Σⱼ bₖⱼ)"; "a: f32[6,5] b: f32[5,4] axes: [0,1]";
    "mean-of-columns-of-matmul"
        "(mean (matmul ?a ?b) ?axes true)" => "(matmul ?a (mean ?b {last-axis ?b} true))" Reassociates
        if "reduces-columns ?axes ?a ?b";
        "a mean is a sum over a count, which no index of the product changes"; "a: f32[6,5] b: f32[5,4] axes: [1]";
    "mean-of-rows-of-matmul"
        "(mean (matmul ?a ?b) ?axes true)" => "(matmul (mean ?a {inner-axes ?a} true) ?b)" Reassociates
        if "reduces-rows ?axes ?a ?b";
        "a mean is a sum over a count, which no index of the product changes"; "a: f32[6,5] b: f32[5,4] axes: [0]";
    "mean-of-matmul"
        "(mean (matmul ?a ?b) ?axes true)"
        => "(matmul (mean ?a {inner-axes ?a} true) (mean ?b {last-axis ?b} true))" Reassociates
        if "reduces-matrix ?axes ?a ?b";
        "both counts divide the sum of the products of sums"; "a: f32[6,5] b: f32[5,4] axes: [0,1]";
    "sum-over-its-count-is-a-mean"
        "(div (sum ?x ?axes true) ?n)" => "(mean ?x ?axes true)" Reassociates if "is-count ?n ?x ?axes", "is-vector ?n";
        "the definition of the mean"; "x: f32[3,4] axes: [1] n: (expand 4 ?z) z: []";
    "sum-of-a-stack-of-products"
        "(sum (matmul ?a ?b) ?axes true)"
        => "(sum (mul (sum ?a {inner-axes ?a} true) (permute (sum ?b {last-axis ?b} true) {swap ?b})) ?axes true)"
        Reassociates if "reduces-stack ?axes ?a ?b";
        "Σₙᵢⱼ Σₖ aₙᵢₖ bₙₖⱼ = Σₙₖ (Σᵢ aₙᵢₖ)(Σⱼ bₙₖⱼ)"; "a: f32[2,6,5] b: f32[2,5,4] axes: [0,1,2]";
    "mean-of-a-stack-of-products"
        "(mean (matmul ?a ?b) ?axes true)"
        => "(mean (sum (mul (mean ?a {inner-axes ?a} true) (permute (mean ?b {last-axis ?b} true) {swap ?b})) ends:[1] true)
            ?axes true)" Reassociates if "reduces-stack ?axes ?a ?b";
        "counts of rows, columns and matrices divide the sum of the products of sums";
        "a: f32[2,6,5] b: f32[2,5,4] axes: [0,1,2]";
    "sum-of-all-products-is-an-inner-product"
        "(sum (mul ?x ?y) ?axes true)"
        => "(reshape (matmul (reshape ?x {one-row ?x}) (reshape ?y {one-column ?y})) {shape (sum (mul ?x ?y) ?axes true)})"
        Reassociates if "reduces-all ?axes ?x", "same-shape ?x ?y";
        "Σᵢ xᵢ yᵢ, without holding the products"; "x: f32[4,3] y: f32[4,3] axes: [0,1]";
    "sum-passes-through-units"
        "(sum (reshape ?x ?s) ?axes true)"
        => "(reshape (sum ?x {axes-below ?x ?s ?axes} true) {reduced-shape ?s ?axes})" Reassociates
        if "only-units ?x ?s";
        "a sum over an extent of one is no sum"; "x: f32[4,3] s: [1,4,3] axes: [2]";
    "sum-along-rows-passes-through-reshape"
        "(sum (reshape ?x ?s) ?axes true)"
        => "(reshape (sum ?x {last-axis ?x} true) {reduced-shape ?s ?axes})" Reassociates
        if "keeps-last ?x ?s", "is-last-alone ?axes ?s";
        "rows stay rows, each with its own sum"; "x: f32[2,3,4] s: [6,4] axes: [1]";
    "sum-of-permute-moves-axes"
        "(sum (permute ?x ?p) ?axes true)" => "(permute (sum ?x {moved-axes ?axes ?p} true) ?p)" Reassociates;
        "axis i of the permuted tensor is axis p[i] of x"; "x: f32[4,3] p: [1,0] axes: [0]";
    "sum-of-sums"
        "(sum (add ?a ?b) ?axes true)" == "(add (sum ?a ?axes true) (sum ?b ?axes true))" Reassociates
        if "same-shape ?a ?b";
        "addition is associative and commutative over the reals"; "a: f32[4,3] b: f32[4,3] axes: [1]";
    "scalar-passes-through-sum"
        "(sum (mul ?c ?a) ?axes true)" == "(mul ?c (sum ?a ?axes true))" Reassociates
        if "is-scalar ?c", "is-vector ?c";
        "multiplication distributes over addition"; "c: f32[] a: f32[4,3] axes: [1]";
    "inner-product-with-matmul-cycles"
        "(sum (mul ?x (matmul ?u ?w)) ?axes true)"
        => "(sum (mul ?u (matmul ?x (permute ?w {swap ?w}))) ?axes true)" Reassociates
        if "reduces-matrix ?axes ?u ?w", "is-product ?x ?u ?w", "is-matrix ?x";
        "Σᵢⱼ xᵢⱼ Σₖ uᵢₖ wₖⱼ = Σᵢₖ uᵢₖ Σⱼ xᵢⱼ wₖⱼ"; "x: f32[6,4] u: f32[6,2] w: f32[2,4] axes: [0,1]";
}
