//! Matrix products: their order, what passes through them, what they share.

use super::rules;

rules! {
    "matmul-associates"
        "(matmul (matmul ?a ?b) ?c)" == "(matmul ?a (matmul ?b ?c))" Reassociates;
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
    "row-scaling-of-one-line-passes-through-matmul"
        "(matmul (mul ?d ?v) ?b)" => "(mul ?d (matmul (reshape ?v {row-shape ?v}) ?b))" Reassociates
        if "is-column ?d", "is-line ?v";
        "(d vᵀ)B = d(vᵀB): a column times a line is of rank one"; "d: f32[6,1] v: f32[5] b: f32[5,4]";
    "transpose-of-matmul-swaps"
        "(permute (matmul ?a ?b) ?p)" => "(matmul (permute ?b {swap ?b}) (permute ?a {swap ?a}))" Reassociates
        if "swaps-last-two ?p";
        "(AB)ᵀ = BᵀAᵀ"; "a: f32[6,5] b: f32[5,4] p: [1,0]";
    "matmul-of-transposes-is-transpose"
        "(matmul (permute ?b ?p) (permute ?a ?q))"
        => "(permute (matmul ?a ?b) {swap (matmul (permute ?b ?p) (permute ?a ?q))})" Reassociates
        if "swaps-last-two ?p", "swaps-last-two ?q";
        "BᵀAᵀ = (AB)ᵀ"; "a: f32[6,5] b: f32[5,4] p: [1,0] q: [1,0]";
    "transpose-of-a-sum-with-a-product-is-of-each"
        "(permute (add ?w (matmul ?a ?b)) ?p)" => "(add (permute ?w ?p) (permute (matmul ?a ?b) ?p))" BitExact
        if "is-product ?w ?a ?b";
        "addition works element by element"; "w: f32[6,4] a: f32[6,5] b: f32[5,4] p: [1,0]";
    "addmm-is-add-of-matmul"
        "(addmm ?c ?a ?b)" == "(add ?c (matmul ?a ?b))" Reassociates if "is-matrix ?a", "is-matrix ?b";
        "the sum starts from c instead of ending with it"; "c: f32[4] a: f32[6,5] b: f32[5,4]";
    "batch-of-one-is-a-matrix"
        "(matmul ?a ?b)"
        => "(reshape (matmul (reshape ?a {matrix-shape ?a}) (reshape ?b {matrix-shape ?b})) {shape (matmul ?a ?b)})"
        Reassociates if "has-batch ?a", "is-unit-batch ?a", "is-unit-batch ?b";
        "a stack of one matrix holds one matrix, though another routine may multiply it"; "a: f32[1,6,5] b: f32[1,5,4]";
    "product-of-stacked-rows"
        "(reshape (matmul (reshape ?a ?s) ?b) ?t)" => "(matmul ?a ?b)" Reassociates
        if "flattens-rows ?a ?s", "is-matrix ?b", "is-product-shape ?a ?b ?t";
        "each row of a product depends on its own row of the left factor"; "a: f32[3,2,5] s: [6,5] b: f32[5,4] t: [3,2,4]";
    "rows-of-matmul-need-just-those-rows"
        "(slice (matmul ?a ?b) ?d ?i ?j ?k)" => "(matmul (slice ?a {row-axis ?a} ?i ?j ?k) ?b)" Reassociates
        if "is-row-axis ?d ?a ?b";
        "row i of AB is row i of A, times B"; "a: f32[6,5] b: f32[5,4] d: 0 i: 2 j: 3 k: 1";
    "columns-of-matmul-need-just-those-columns"
        "(slice (matmul ?a ?b) ?d ?i ?j ?k)" => "(matmul ?a (slice ?b {column-axis ?b} ?i ?j ?k))" Reassociates
        if "is-column-axis ?d ?a ?b";
        "column j of AB is A times column j of B"; "a: f32[6,5] b: f32[5,4] d: 1 i: 2 j: 3 k: 1";
    "columns-of-addmm-need-just-those-columns"
        "(slice (addmm ?c ?a ?b) ?d ?i ?j ?k)"
        => "(addmm (slice ?c int:0 ?i ?j ?k) ?a (slice ?b {column-axis ?b} ?i ?j ?k))" Reassociates
        if "is-column-axis ?d ?a ?b", "is-vector ?c";
        "column j of 1cᵀ + AB is cⱼ, and A times column j of B";
        "c: f32[4] a: f32[6,5] b: f32[5,4] d: 1 i: 2 j: 3 k: 1";
    "selected-rows-of-matmul-need-just-those-rows"
        "(select_rows (matmul ?a ?b) ?i ?d ?k)" => "(matmul (select_rows ?a ?i {row-axis ?a} ?k) ?b)" Reassociates
        if "is-row-axis ?d ?a ?b";
        "row i of AB is row i of A, times B"; "a: f32[6,5] b: f32[5,4] i: i64[3] d: 0 k: 'index";
    "selected-columns-of-matmul-need-just-those-columns"
        "(select_rows (matmul ?a ?b) ?i ?d ?k)" => "(matmul ?a (select_rows ?b ?i {column-axis ?b} ?k))" Reassociates
        if "is-column-axis ?d ?a ?b";
        "column j of AB is A times column j of B"; "a: f32[6,5] b: f32[5,4] i: i64[3] d: 1 k: 'index";
    "selected-columns-of-addmm-need-just-those-columns"
        "(select_rows (addmm ?c ?a ?b) ?i ?d ?k)"
        => "(addmm (select_rows ?c ?i int:0 ?k) ?a (select_rows ?b ?i {column-axis ?b} ?k))" Reassociates
        if "is-column-axis ?d ?a ?b", "is-line ?c";
        "column j of 1cᵀ + AB is cⱼ, and A times column j of B";
        "c: f32[4] a: f32[6,5] b: f32[5,4] i: i64[3] d: 1 k: 'index";
    "a-matrix-repeated-over-a-stack-broadcasts"
        "(matmul ?a (expand ?b ?s))" => "(matmul ?a ?b)" Reassociates if "is-matrix ?b";
        "each product of the stack is by the same matrix"; "a: f32[3,6,5] b: f32[5,4] s: [3,5,4]";
    "quotient-passes-into-the-left-factor"
        "(div (matmul ?a ?b) ?c)" => "(matmul (div ?a ?c) ?b)" Reassociates if "is-scalar ?c";
        "(AB)/c = (A/c)B"; "a: f32[6,5] b: f32[5,4] c: f32[]";
    "diagonal-of-matmul"
        "(diagonal (matmul ?a ?b))"
        => "(reshape (sum (mul ?a (permute ?b {swap ?b})) ends:[1] true) {shape (diagonal (matmul ?a ?b))})"
        Reassociates;
        "(AB)ᵢᵢ = Σₖ aᵢₖ bₖᵢ"; "a: f32[4,5] b: f32[5,4]";
}
