//! Sums through products.

use super::rules;

rules! {
    "sum-of-columns-of-matmul"
        "(sum (matmul ?a ?b) ?axes true)" => "(matmul ?a (sum ?b {last-axis ?b} true))" Reassociates
        if "reduces-columns ?axes ?b", "same-rank ?a ?b";
        "Σⱼ Σₖ aᵢₖ bₖⱼ = Σₖ aᵢₖ Σⱼ bₖⱼ"; "a: f32[6,5] b: f32[5,4] axes: [1]";
    "sum-of-rows-of-matmul"
        "(sum (matmul ?a ?b) ?axes true)" => "(matmul (sum ?a {inner-axes ?a} true) ?b)" Reassociates
        if "reduces-rows ?axes ?a", "same-rank ?a ?b";
        "Σᵢ Σₖ aᵢₖ bₖⱼ = Σₖ (Σᵢ aᵢₖ) bₖⱼ"; "a: f32[6,5] b: f32[5,4] axes: [0]";
    "sum-of-matmul"
        "(sum (matmul ?a ?b) ?axes true)"
        => "(matmul (sum ?a {inner-axes ?a} true) (sum ?b {last-axis ?b} true))" Reassociates
        if "reduces-matrix ?axes ?a", "same-rank ?a ?b";
        "Σᵢⱼ Σₖ aᵢₖ bₖⱼ = Σₖ (Σᵢ aᵢₖ)(Σⱼ bₖⱼ)"; "a: f32[6,5] b: f32[5,4] axes: [0,1]";
}
