//! Matrix products: their order, what passes through them, what they share.

use super::rules;

rules! {
    "matmul-associates"
        "(matmul (matmul ?a ?b) ?c)" == "(matmul ?a (matmul ?b ?c))" Reassociates
        if "same-rank ?a ?b", "same-rank ?b ?c";
        "the matrix product is associative"; "a: f32[6,5] b: f32[5,4] c: f32[4,2]";
    "matmul-distributes-on-the-left"
        "(add (matmul ?x ?a) (matmul ?x ?b))" == "(matmul ?x (add ?a ?b))" Reassociates if "same-shape ?a ?b";
        "XA + XB = X(A + B)"; "x: f32[6,5] a: f32[5,4] b: f32[5,4]";
    "matmul-distributes-on-the-right"
        "(add (matmul ?a ?x) (matmul ?b ?x))" == "(matmul (add ?a ?b) ?x)" Reassociates if "same-shape ?a ?b";
        "AX + BX = (A + B)X"; "a: f32[6,5] b: f32[6,5] x: f32[5,4]";
    "scalar-passes-through-matmul-on-the-left"
        "(matmul (mul ?s ?a) ?b)" == "(mul ?s (matmul ?a ?b))" Reassociates if "is-scalar ?s";
        "(sA)B = s(AB)"; "s: f32[] a: f32[6,5] b: f32[5,4]";
    "scalar-passes-through-matmul-on-the-right"
        "(matmul ?a (mul ?s ?b))" == "(mul ?s (matmul ?a ?b))" Reassociates if "is-scalar ?s";
        "A(sB) = s(AB)"; "s: f32[] a: f32[6,5] b: f32[5,4]";
    "row-scaling-passes-through-matmul"
        "(matmul (mul ?d ?a) ?b)" == "(mul ?d (matmul ?a ?b))" Reassociates if "is-column ?d";
        "(DA)B = D(AB) for a diagonal D, kept as a column"; "d: f32[6,1] a: f32[6,5] b: f32[5,4]";
    "column-scaling-passes-through-matmul"
        "(matmul ?a (mul ?d ?b))" == "(mul ?d (matmul ?a ?b))" Reassociates if "is-row ?d";
        "A(BD) = (AB)D for a diagonal D, kept as a row"; "d: f32[4] a: f32[6,5] b: f32[5,4]";
    "transpose-of-matmul-swaps"
        "(permute (matmul ?a ?b) ?p)" => "(matmul (permute ?b {swap ?b}) (permute ?a {swap ?a}))" Reassociates
        if "swaps-last-two ?p", "same-rank ?a ?b";
        "(AB)ᵀ = BᵀAᵀ, the same sums of the same products"; "a: f32[6,5] b: f32[5,4] p: [1,0]";
    "matmul-of-transposes-is-transpose"
        "(matmul (permute ?b ?p) (permute ?a ?q))" => "(permute (matmul ?a ?b) {swap ?a})" Reassociates
        if "swaps-last-two ?p", "swaps-last-two ?q", "same-rank ?a ?b";
        "BᵀAᵀ = (AB)ᵀ"; "a: f32[6,5] b: f32[5,4] p: [1,0] q: [1,0]";
    "addmm-is-add-of-matmul"
        "(addmm ?c ?a ?b)" == "(add ?c (matmul ?a ?b))" Reassociates if "is-matrix ?a", "is-matrix ?b";
        "the sum starts from c instead of ending with it"; "c: f32[4] a: f32[6,5] b: f32[5,4]";
    "rows-of-matmul-need-just-those-rows"
        "(slice (matmul ?a ?b) ?d ?i ?j ?s)" => "(matmul (slice ?a {row-axis ?a} ?i ?j ?s) ?b)" Reassociates
        if "is-row-axis ?d ?a", "same-rank ?a ?b";
        "row i of AB is row i of A, times B"; "a: f32[6,5] b: f32[5,4] d: 0 i: 2 j: 3 s: 1";
    "columns-of-matmul-need-just-those-columns"
        "(slice (matmul ?a ?b) ?d ?i ?j ?s)" => "(matmul ?a (slice ?b {column-axis ?b} ?i ?j ?s))" Reassociates
        if "is-column-axis ?d ?b", "same-rank ?a ?b";
        "column j of AB is A times column j of B"; "a: f32[6,5] b: f32[5,4] d: 1 i: 2 j: 3 s: 1";
}
