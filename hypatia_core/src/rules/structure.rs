//! Constants whose elements are known, and matrices whose structure is.

use super::rules;

rules! {
    "permute-of-literal"
        "(permute (literal ?v ?t ?d) ?p)" => "(literal {permuted-elements ?v ?p} ?t ?d)" BitExact;
        "the elements of a constant are known in any order"; "v: elements[2,3] t: f32 d: 0 p: [1,0]";
    "reshape-of-literal"
        "(reshape (literal ?v ?t ?d) ?s)" => "(literal {reshaped-elements ?v ?s} ?t ?d)" BitExact;
        "the elements of a constant are known in any shape"; "v: elements[2,3] t: f32 d: 0 s: [3,2]";
    "product-by-a-constant-table"
        "(matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table ?v ?s})
            {shape (matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)})" Reassociates
        if "is-sparse ?v", "depends-on-all ?v ?s";
        "Σⱼ (Σᵢ xᵢ eᵢⱼₖ) yⱼ, without the terms that are zero";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,2,1]";
    "product-by-a-constant-table-from-the-left"
        "(matmul ?y (reshape (matmul ?x (literal ?v ?t ?d)) ?s))"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-row ?y}) {table-from-the-left ?v ?s})
            {shape (matmul ?y (reshape (matmul ?x (literal ?v ?t ?d)) ?s))})" Reassociates
        if "is-sparse ?v", "depends-on-all-from-the-left ?v ?s";
        "Σⱼ yⱼ (Σᵢ xᵢ eᵢⱼₖ), without the terms that are zero";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,1,2]";
    "product-by-a-transposed-constant-table"
        "(matmul (permute (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?p) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table-from-the-left ?v ?s})
            {shape (matmul (permute (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?p) ?y)})" Reassociates
        if "is-sparse ?v", "depends-on-all-from-the-left ?v ?s", "swaps-last-two ?p";
        "Σⱼ yⱼ (Σᵢ xᵢ eᵢⱼₖ), without the terms that are zero";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] p: [0,2,1] y: f32[3,2,1]";
    "product-by-a-transposed-constant-table-from-the-left"
        "(matmul ?y (permute (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?p))"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-row ?y}) {table ?v ?s})
            {shape (matmul ?y (permute (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?p))})" Reassociates
        if "is-sparse ?v", "depends-on-all ?v ?s", "swaps-last-two ?p";
        "Σⱼ (Σᵢ xᵢ eᵢⱼₖ) yⱼ, without the terms that are zero";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] p: [0,2,1] y: f32[3,1,2]";
    "outer-product-by-a-constant-table"
        "(matmul (reshape (matmul ?x ?y) ?s) (literal ?v ?t ?d))"
        => "(reshape (bilinear (reshape ?x {without-column ?x}) (reshape ?y {without-row ?y}) {table-of-outer ?v ?x ?y})
            {shape (matmul (reshape (matmul ?x ?y) ?s) (literal ?v ?t ?d))})" Reassociates
        if "is-sparse ?v", "outer-depends-on-all ?v ?x ?y";
        "Σᵢⱼ (xᵢ yⱼ) eᵢⱼₖ, without the terms that are zero";
        "x: f32[3,2,1] y: f32[3,1,2] s: [3,4] v: elements[4,2] t: f32 d: 0";
    "broadcast-product-by-a-constant-table"
        "(matmul (reshape (mul ?x ?y) ?s) (literal ?v ?t ?d))"
        => "(reshape (bilinear (reshape ?x {without-column ?x}) (reshape ?y {without-row ?y}) {table-of-outer ?v ?x ?y})
            {shape (matmul (reshape (mul ?x ?y) ?s) (literal ?v ?t ?d))})" Reassociates
        if "is-sparse ?v", "outer-depends-on-all ?v ?x ?y";
        "Σᵢⱼ (xᵢ yⱼ) eᵢⱼₖ, without the terms that are zero";
        "x: f32[3,2,1] y: f32[3,1,2] s: [3,4] v: elements[4,2] t: f32 d: 0";
    "product-by-a-degenerate-table"
        "(matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table ?v ?s})
            {shape (matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)})" RealsOnly
        if "is-sparse ?v";
        "Σⱼ (Σᵢ xᵢ eᵢⱼₖ) yⱼ, without the terms that are zero for finite x and y";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,2,1]";
    "diagonal-on-the-left-of-what-is-finite-scales-rows"
        "(matmul (diag_embed ?d) ?a)" => "(mul (reshape ?d {column-shape ?d}) ?a)" Reassociates if "is-finite ?a";
        "(DA)ᵢⱼ = dᵢ aᵢⱼ, and the products with zero are zero"; "d: f32[5] a: (cast ?m dtype:f32) m: bool[5,4]";
    "diagonal-on-the-right-of-what-is-finite-scales-columns"
        "(matmul ?a (diag_embed ?d))" => "(mul ?a (reshape ?d {row-shape ?d}))" Reassociates if "is-finite ?a";
        "(AD)ᵢⱼ = aᵢⱼ dⱼ, and the products with zero are zero"; "d: f32[5] a: (cast ?m dtype:f32) m: bool[4,5]";
    "diagonal-on-the-left-scales-rows"
        "(matmul (diag_embed ?d) ?a)" => "(mul (reshape ?d {column-shape ?d}) ?a)" RealsOnly;
        "(DA)ᵢⱼ = dᵢ aᵢⱼ; the products with zero are lost"; "d: f32[5] a: f32[5,4]";
    "diagonal-on-the-right-scales-columns"
        "(matmul ?a (diag_embed ?d))" => "(mul ?a (reshape ?d {row-shape ?d}))" RealsOnly;
        "(AD)ᵢⱼ = aᵢⱼ dⱼ; the products with zero are lost"; "d: f32[5] a: f32[4,5]";
    "transpose-of-a-diagonal-is-itself"
        "(permute (diag_embed ?d) ?p)" => "(diag_embed ?d)" BitExact if "swaps-last-two ?p";
        "what is not on the diagonal is zero on both sides"; "d: f32[4] p: [1,0]";
    "inverse-times-matrix-is-a-solution"
        "(matmul (inverse (inverting ?a)) ?b)" => "(lu_solve (factored ?a false) ?b)" Reassociates;
        "X = A⁻¹B solves AX = B; the solution errs less than the product by the inverse (Higham, 2002, chapter 14)";
        "a: f32[3,3] b: f32[3,2]";
    "matrix-times-inverse-is-a-solution"
        "(matmul ?b (inverse (inverting ?a)))" => "(lu_solve_right (factored ?a false) ?b)" Reassociates;
        "X = BA⁻¹ solves XA = B (Higham, 2002, chapter 14)"; "a: f32[3,3] b: f32[2,3]";
    "transposed-inverse-times-matrix-is-a-transpose"
        "(matmul (permute (inverse ?a) ?p) ?b)"
        => "(permute (matmul (permute ?b {swap ?b}) (inverse ?a)) {swap (matmul (permute (inverse ?a) ?p) ?b)})" Reassociates
        if "swaps-last-two ?p";
        "A⁻ᵀB = (BᵀA⁻¹)ᵀ, whose right side is a solution"; "a: (inverting ?m) m: f32[3,3] p: [1,0] b: f32[3,2]";
    "matrix-times-transposed-inverse-is-a-transpose"
        "(matmul ?b (permute (inverse ?a) ?p))"
        => "(permute (matmul (inverse ?a) (permute ?b {swap ?b})) {swap (matmul ?b (permute (inverse ?a) ?p))})" Reassociates
        if "swaps-last-two ?p";
        "BA⁻ᵀ = (A⁻¹Bᵀ)ᵀ, whose right side is a solution"; "a: (inverting ?m) m: f32[3,3] p: [1,0] b: f32[2,3]";
    "an-inverse-fails-where-the-factors-do"
        "(inverse_info (inverting ?a))" => "(lu_info (factored ?a false))" BitExact;
        "an inverse is made of the same factors (LAPACK: getrf, then getri)"; "a: f32[3,3]";
    "matrix-times-its-transpose-is-symmetric"
        "(matmul ?x (permute ?x ?p))" => "(gram ?x)" Reassociates if "swaps-last-two ?p";
        "(XXᵀ)ᵢⱼ = (XXᵀ)ⱼᵢ: one half is computed"; "x: f32[3,4] p: [1,0]";
    "transpose-times-its-matrix-is-symmetric"
        "(matmul (permute ?x ?p) ?x)" => "(gram (permute ?x ?p))" Reassociates if "swaps-last-two ?p";
        "(XᵀX)ᵢⱼ = (XᵀX)ⱼᵢ: one half is computed"; "x: f32[3,4] p: [1,0]";
    "lower-triangle-needs-half-of-the-products"
        "(matmul (tril ?a int:0) ?b)" => "(lower_product (tril ?a int:0) ?b)" RealsOnly;
        "row i of LB is Σⱼ lᵢⱼ bⱼ over j ≤ i; the products with zero are lost"; "a: f32[3,3] b: f32[3,2]";
    "upper-triangle-needs-half-of-the-products"
        "(matmul (triu ?a int:0) ?b)" => "(upper_product (triu ?a int:0) ?b)" RealsOnly;
        "row i of UB is Σⱼ uᵢⱼ bⱼ over j ≥ i; the products with zero are lost"; "a: f32[3,3] b: f32[3,2]";
    "lower-triangle-on-the-right-needs-half-of-the-products"
        "(matmul ?b (tril ?a int:0))"
        => "(permute (upper_product (permute (tril ?a int:0) {swap ?a}) (permute ?b {swap ?b})) {swap ?b})" RealsOnly;
        "column j of BL is Σᵢ bᵢ lᵢⱼ over i ≥ j; the products with zero are lost"; "a: f32[3,3] b: f32[2,3]";
    "upper-triangle-on-the-right-needs-half-of-the-products"
        "(matmul ?b (triu ?a int:0))"
        => "(permute (lower_product (permute (triu ?a int:0) {swap ?a}) (permute ?b {swap ?b})) {swap ?b})" RealsOnly;
        "column j of BU is Σᵢ bᵢ uᵢⱼ over i ≤ j; the products with zero are lost"; "a: f32[3,3] b: f32[2,3]";
    "a-triangle-of-a-triangle-is-a-band"
        "(tril (triu ?a ?j) ?k)" => "(triu (tril ?a ?k) ?j)" BitExact;
        "what has j ≤ column − row ≤ k is left by both"; "a: f32[4,5] j: -1 k: 1";
    "a-narrow-band-needs-its-diagonals-alone"
        "(matmul (triu (tril ?a ?k) ?j) ?b)" => "(banded_product ?a ?b ?j ?k)" RealsOnly if "is-narrow-band ?j ?k";
        "row i is Σ aᵢₗ bₗ over j ≤ l − i ≤ k; the products with zero are lost"; "a: f32[4,4] j: -1 k: 1 b: f32[4,3]";
    "transpose-of-a-lower-triangle-is-upper"
        "(permute (tril ?a ?k) ?p)" => "(triu (permute ?a ?p) {opposite ?k})" BitExact if "swaps-last-two ?p";
        "j − i ≤ k where i − j ≥ −k"; "a: f32[3,4] k: 1 p: [1,0]";
    "transpose-of-an-upper-triangle-is-lower"
        "(permute (triu ?a ?k) ?p)" => "(tril (permute ?a ?p) {opposite ?k})" BitExact if "swaps-last-two ?p";
        "j − i ≥ k where i − j ≤ −k"; "a: f32[3,4] k: 1 p: [1,0]";
    "product-of-what-is-finite-with-zeros-is-zero"
        "(matmul ?a (expand 0 ?s))" => "0" Reassociates if "is-finite ?a";
        "Σ aᵢₖ · 0 = 0 for finite a"; "a: (expand 2 ?t) t: [3,4] s: [4,2]";
    "product-of-zeros-with-what-is-finite-is-zero"
        "(matmul (expand 0 ?s) ?b)" => "0" Reassociates if "is-finite ?b";
        "Σ 0 · bₖⱼ = 0 for finite b"; "s: [2,3] b: (expand 2 ?t) t: [3,4]";
    "product-with-zeros-on-the-right-is-zero"
        "(matmul ?a (expand 0 ?s))" => "0" RealsOnly;
        "Σ aᵢₖ · 0 = 0 for finite a"; "a: f32[3,4] s: [4,2]";
    "product-with-zeros-on-the-left-is-zero"
        "(matmul (expand 0 ?s) ?b)" => "0" RealsOnly;
        "Σ 0 · bₖⱼ = 0 for finite b"; "s: [2,3] b: f32[3,4]";
    "kronecker-product-by-a-vector"
        "(matmul (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u) ?x)"
        => "(reshape (matmul (matmul ?a (reshape ?x {kron-operand ?a ?b})) (permute ?b {swap ?b}))
            {shape (matmul (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u) ?x)})" Reassociates
        if "is-kron ?a ?s ?b ?t ?u", "is-column ?x";
        "(A ⊗ B) vec X = vec(A X Bᵀ), rows first (Van Loan, 2000)";
        "a: f32[2,3] s: [2,1,3,1] b: f32[4,2] t: [1,4,1,2] u: [8,6] x: f32[6,1]";
    "kronecker-product-by-a-matrix"
        "(matmul (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u) ?x)"
        => "(reshape (matmul ?b (reshape (matmul ?a (reshape ?x {kron-columns ?a ?b ?x})) {kron-stack ?a ?b ?x}))
            {shape (matmul (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u) ?x)})" Reassociates
        if "is-kron ?a ?s ?b ?t ?u", "is-matrix ?x";
        "(A ⊗ B)X = (I ⊗ B)((A ⊗ I)X), rows of X first (Van Loan, 2000)";
        "a: f32[2,3] s: [2,1,3,1] b: f32[4,2] t: [1,4,1,2] u: [8,6] x: f32[6,5]";
    "matrix-by-a-kronecker-product"
        "(matmul ?x (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u))"
        => "(reshape (matmul (permute ?a {swap ?a}) (matmul (reshape ?x {kron-rows ?a ?b ?x}) ?b))
            {shape (matmul ?x (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u))})" Reassociates
        if "is-kron ?a ?s ?b ?t ?u", "is-matrix ?x";
        "X(A ⊗ B) = (X(I ⊗ B))(A ⊗ I), each row of X a matrix that B meets from the right (Van Loan, 2000)";
        "a: f32[2,3] s: [2,1,3,1] b: f32[4,2] t: [1,4,1,2] u: [8,6] x: f32[5,8]";
    "sum-of-products-is-a-product-of-stacks"
        "(add (matmul ?a ?b) (matmul ?c ?d))" => "(matmul (cat ?a ?c {column-axis ?a}) (cat ?b ?d {row-axis ?b}))"
        Reassociates;
        "AB + CD = (A C) (B; D)"; "a: f32[6,5] b: f32[5,4] c: f32[6,3] d: f32[3,4]";
    "norm-of-a-residual-of-low-rank"
        "(sum (mul (sub ?x (matmul ?u ?w)) (sub ?x (matmul ?u ?w))) ?axes true)"
        => "(add (sum (mul ?x ?x) ?axes true) (mul -2 (sum (mul ?u (matmul ?x (permute ?w {swap ?w}))) ?axes true))
            (sum (mul (matmul (permute ?u {swap ?u}) ?u) (matmul ?w (permute ?w {swap ?w}))) ?axes true))" Reassociates
        if "reduces-matrix ?axes ?u ?w", "is-product ?x ?u ?w", "is-matrix ?x";
        "‖X − UW‖² = ‖X‖² − 2⟨U, XWᵀ⟩ + ⟨UᵀU, WWᵀ⟩"; "x: f32[6,4] u: f32[6,2] w: f32[2,4] axes: [0,1]";
}
