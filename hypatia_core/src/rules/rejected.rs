//! Tempting rules that are false, or truer in a weaker class than they claim: the checker must refute each one.

use super::rules;

rules! {
    // Elementwise.
    "sqrt-of-square-is-the-number"
        "(sqrt (pow_scalar ?a ?n))" => "?a" RealsOnly;
        "√(x²) = |x|: x = −1 gives 1"; "a: f32[3] n: 2.0";
    "square-of-sqrt-is-the-number-bit-by-bit"
        "(mul (sqrt ?a) (sqrt ?a))" => "?a" BitExact;
        "√2 is rounded, and its square is not 2"; "a: f32[3]";
    "relu-is-gelu"
        "(relu ?a)" => "(gelu ?a 'none)" RealsOnly;
        "near each other far from zero, apart near it"; "a: f32[3]";
    "zero-times-anything-is-zero"
        "(mul ?a 0)" => "0" Reassociates;
        "0 · NaN and 0 · ∞ are NaN"; "a: f32[3]";
    "a-number-over-itself-is-one"
        "(div ?a ?a)" => "1" Reassociates;
        "0 / 0 is NaN"; "a: f32[3]";
    "a-number-less-itself-is-zero"
        "(sub ?a ?a)" => "0" BitExact;
        "∞ − ∞ is NaN"; "a: f32[3]";
    "addition-is-associative-bit-by-bit"
        "(add (add ?a ?b) ?c)" => "(add ?a (add ?b ?c))" BitExact;
        "(10³⁰ − 10³⁰) + 1 = 1, 10³⁰ + (−10³⁰ + 1) = 0"; "a: f32[3] b: f32[3] c: f32[3]";
    "a-plus-zero-keeps-every-bit"
        "(add ?a 0)" => "?a" BitExact;
        "−0 + 0 is +0, and 1 / −0 is −∞"; "a: f32[3]";
    "subtraction-commutes"
        "(sub ?a ?b)" => "(sub ?b ?a)" RealsOnly;
        "1 − 2 = −1, 2 − 1 = 1"; "a: f32[3] b: f32[3]";
    "division-is-a-product-with-the-reciprocal-bit-by-bit"
        "(div ?a ?b)" => "(mul ?a (reciprocal ?b))" BitExact;
        "two roundings instead of one: 3 / 5"; "a: f32[3] b: f32[3]";
    "division-distributes-over-its-divisor"
        "(div ?a (add ?b ?c))" => "(add (div ?a ?b) (div ?a ?c))" RealsOnly;
        "1 / (1 + 1) = ½, 1/1 + 1/1 = 2"; "a: f32[3] b: f32[3] c: f32[3]";
    "exp-of-product-is-product-of-exps"
        "(exp (mul ?a ?b))" => "(mul (exp ?a) (exp ?b))" RealsOnly;
        "exp turns sums, not products, into products"; "a: f32[3] b: f32[3]";
    "log-of-sum-is-sum-of-logs"
        "(log (add ?a ?b))" => "(add (log ?a) (log ?b))" RealsOnly;
        "log turns products, not sums, into sums"; "a: f32[3] b: f32[3]";
    "exp-of-log-is-the-number-everywhere"
        "(exp (log ?a))" => "?a" Reassociates;
        "log of a negative number is NaN"; "a: f32[3]";
    "log1p-is-log-of-one-plus"
        "(log1p ?a)" => "(log (add ?a 1))" Accurate;
        "1 + 10⁻⁹ is 1 in float32, and its log is 0"; "a: f32[3]";
    "expm1-is-exp-less-one"
        "(expm1 ?a)" => "(sub (exp ?a) 1)" Accurate;
        "exp 10⁻⁹ is 1 in float32"; "a: f32[3]";
    "softmax-of-a-sum-is-a-sum-of-softmaxes"
        "(softmax (add ?a ?b) ?d)" => "(add (softmax ?a ?d) (softmax ?b ?d))" RealsOnly;
        "the right side sums to 2"; "a: f32[3] b: f32[3] d: 0";
    "softmax-forgets-a-scale"
        "(softmax (mul ?a 2) ?d)" => "(softmax ?a ?d)" RealsOnly;
        "softmax forgets a shift; a scale sharpens it"; "a: f32[3] d: 0";
    "softmax-forgets-any-summand"
        "(softmax (add ?a ?b) ?d)" => "(softmax ?a ?d)" RealsOnly;
        "only a summand that is constant along the axis is forgotten"; "a: f32[3] b: f32[3] d: 0";
    "softmax-by-its-definition-as-accurate"
        "(softmax ?a ?d)" => "(mul (exp ?a) (reciprocal (sum (exp ?a) {last-axis ?a} true)))" Accurate;
        "exp 300 overflows, and the quotient is NaN"; "a: f32[3] d: 0";
    "relu-distributes-over-addition"
        "(relu (add ?a ?b))" => "(add (relu ?a) (relu ?b))" RealsOnly;
        "relu(1 − 1) = 0, relu(1) + relu(−1) = 1"; "a: f32[3] b: f32[3]";
    "relu-lets-any-factor-out"
        "(relu (mul ?s ?a))" => "(mul ?s (relu ?a))" RealsOnly if "is-scalar ?s";
        "a negative factor turns the kink around"; "s: f32[] a: f32[3]";
    "abs-distributes-over-addition"
        "(abs (add ?a ?b))" => "(add (abs ?a) (abs ?b))" RealsOnly;
        "|1 − 1| = 0, |1| + |−1| = 2"; "a: f32[3] b: f32[3]";

    // Matrix products.
    "matmul-commutes"
        "(matmul ?a ?b)" => "(matmul ?b ?a)" RealsOnly;
        "matrices do not"; "a: f32[3,3] b: f32[3,3]";
    "transpose-of-matmul-does-not-swap"
        "(permute (matmul ?a ?b) ?p)" => "(matmul (permute ?a ?p) (permute ?b ?p))" RealsOnly;
        "(AB)ᵀ = BᵀAᵀ, not AᵀBᵀ"; "a: f32[3,3] b: f32[3,3] p: [1,0]";
    "matmul-associates-bit-by-bit"
        "(matmul (matmul ?a ?b) ?c)" => "(matmul ?a (matmul ?b ?c))" BitExact;
        "other sums are rounded"; "a: f32[3,3] b: f32[3,3] c: f32[3,3]";
    "row-scaling-passes-through-matmul-from-the-right-factor"
        "(matmul ?a (mul ?d ?b))" => "(mul ?d (matmul ?a ?b))" RealsOnly if "is-column ?d";
        "A(DB) is not D(AB)"; "a: f32[3,3] d: f32[3,1] b: f32[3,3]";
    "matmul-distributes-over-an-elementwise-product"
        "(matmul ?x (mul ?a ?b))" => "(mul (matmul ?x ?a) (matmul ?x ?b))" RealsOnly;
        "a sum of products is no product of sums"; "x: f32[3,3] a: f32[3,3] b: f32[3,3]";
    "rows-of-matmul-are-rows-of-the-second-factor"
        "(slice (matmul ?a ?b) ?d ?i ?j ?s)" => "(matmul ?a (slice ?b ?d ?i ?j ?s))" RealsOnly;
        "rows of AB are rows of A, times B"; "a: f32[3,3] b: f32[3,3] d: 1 i: 0 j: 3 s: 1";
    "slice-of-matmul-by-the-same-number-from-the-front"
        "(slice (matmul ?a ?b) ?d ?i ?j ?s)" => "(matmul (slice ?a ?d ?i ?j ?s) ?b)" RealsOnly if "is-row-axis ?d ?a ?a";
        "where the batch of a is broadcast, axis d of the product is not axis d of a";
        "a: f32[2,3] b: f32[3,2] d: 0 i: 0 j: 1 s: 1";
    "addmm-scales-nothing"
        "(addmm ?c ?a ?b)" => "(matmul (add ?c ?a) ?b)" RealsOnly;
        "c joins the product, not the factor"; "c: f32[3,3] a: f32[3,3] b: f32[3,3]";

    // Layout.
    "permutes-compose-in-the-other-order"
        "(permute (permute ?x ?q) ?p)" => "(permute ?x {compose ?q ?p})" BitExact;
        "axis i of the result is axis q[p[i]] of x, not p[q[i]]"; "x: f32[2,2,2] q: [1,0,2] p: [1,2,0]";
    "reshape-and-permute-commute"
        "(reshape (permute ?x ?p) ?s)" => "(permute (reshape ?x ?s) ?p)" BitExact;
        "reshape reads in row-major order, which permute changes"; "x: f32[3,3] p: [1,0] s: [3,3]";
    "reshape-undoes-permute"
        "(reshape (permute ?x ?p) ?s)" => "?x" BitExact if "has-shape ?x ?s";
        "the shape is back, the order of the elements is not"; "x: f32[3,2] p: [1,0] s: [3,2]";
    "transpose-is-a-reshape"
        "(permute ?x ?p)" => "(reshape ?x {shape ?x})" BitExact if "swaps-last-two ?p";
        "for a square matrix even the types agree"; "x: f32[3,3] p: [1,0]";
    "slices-of-one-axis-commute"
        "(slice (slice ?x ?d ?a ?b ?s) ?d ?a ?c ?s)" => "(slice ?x ?d ?a ?c ?s)" BitExact;
        "the second start counts from the first"; "x: f32[6] d: 0 a: 0 b: 4 c: 2 s: 1";
    "cat-commutes"
        "(cat ?a ?b ?d)" => "(cat ?b ?a ?d)" BitExact;
        "the order is what cat makes"; "a: f32[3] b: f32[3] d: 0";

    // Reductions.
    "sum-over-the-wrong-axis"
        "(sum (matmul ?a ?b) ?axes true)" => "(matmul ?a (sum ?b {inner-axes ?b} true))" RealsOnly
        if "reduces-rows ?axes ?a ?b";
        "rows of AB are summed in A"; "a: f32[1,1] b: f32[1,1] axes: [0]";
    "mean-of-products-is-product-of-means"
        "(mean (mul ?a ?b) ?d ?k)" => "(mul (mean ?a ?d ?k) (mean ?b ?d ?k))" RealsOnly;
        "that is independence, not algebra"; "a: f32[3] b: f32[3] d: [0] k: true";
    "sum-of-products-is-product-of-sums"
        "(sum (mul ?a ?b) ?d ?k)" => "(mul (sum ?a ?d ?k) (sum ?b ?d ?k))" RealsOnly;
        "1·1 + 1·1 = 2, (1+1)(1+1) = 4"; "a: f32[3] b: f32[3] d: [0] k: true";
    "sum-lets-any-factor-out"
        "(sum (mul ?a ?b) ?d ?k)" => "(mul ?a (sum ?b ?d ?k))" RealsOnly;
        "only a factor that is constant along the axis"; "a: f32[1] b: f32[1] d: [0] k: true";
    "sum-of-a-broadcast-sum-splits"
        "(sum (add ?a ?b) ?d ?k)" => "(add (sum ?a ?d ?k) (sum ?b ?d ?k))" RealsOnly;
        "a summand of extent one counts once for each element of the other"; "a: f32[3] b: f32[3] d: [0] k: true";
    "max-of-sums-is-sum-of-maxima"
        "(amax (add ?a ?b) ?d ?k)" => "(add (amax ?a ?d ?k) (amax ?b ?d ?k))" RealsOnly;
        "the maxima stand at different places"; "a: f32[3] b: f32[3] d: [0] k: true";
    "mean-is-sum-bit-by-bit"
        "(mean ?a ?d ?k)" => "(sum ?a ?d ?k)" RealsOnly;
        "they agree on one element"; "a: f32[1] d: [0] k: true";
    "sum-and-exp-commute"
        "(sum (exp ?a) ?d ?k)" => "(exp (sum ?a ?d ?k))" RealsOnly;
        "log-sum-exp is no sum"; "a: f32[3] d: [0] k: true";

    // Structure.
    "constant-table-with-its-axes-swapped"
        "(matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table-from-the-left ?v ?s})
            {shape (matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)})" RealsOnly;
        "eᵢₖⱼ stands where eᵢⱼₖ is asked for"; "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,2,1]";
    "constant-table-drops-its-zeros-for-any-operand"
        "(matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)"
        => "(reshape (bilinear (reshape ?x {rows-of ?x ?s}) (reshape ?y {without-column ?y}) {table ?v ?s})
            {shape (matmul (reshape (matmul ?x (literal ?v ?t ?d)) ?s) ?y)})" Reassociates;
        "0 · NaN is NaN, and nothing where the term is dropped";
        "x: f32[3,2] v: elements[2,4] t: f32 d: 0 s: [3,2,2] y: f32[3,2,1]";
    "permute-of-literal-in-the-other-order"
        "(permute (literal ?v ?t ?d) ?p)" => "(literal {reshaped-elements ?v {permuted-shape (literal ?v ?t ?d) ?p}} ?t ?d)"
        BitExact;
        "the shape is right, the order of the elements is not"; "v: elements[2,3] t: f32 d: 0 p: [1,0]";

    // Stability and activations.
    "softplus-is-relu"
        "(softplus ?x)" => "(relu ?x)" RealsOnly;
        "log(1 + 1) = 0.69 at 0"; "x: f32[3]";
    "logsumexp-is-the-largest"
        "(logsumexp ?x ?axes true)" => "(amax ?x ?axes true)" RealsOnly;
        "they agree on one element"; "x: f32[1] axes: [0]";
    "exp-over-its-mean-is-softmax"
        "(div (exp ?x) (mean (exp ?x) ?axes true))" => "(softmax ?x {only-axis ?axes})" RealsOnly;
        "off by the count"; "x: f32[1] axes: [0]";
    "mean-square-is-variance"
        "(mean (mul ?x ?x) ?axes true)" => "(variance ?x ?axes true)" RealsOnly;
        "only where the mean is zero"; "x: f32[3] axes: [0]";
    "variance-is-mean-square-less-square-mean-as-accurate"
        "(variance ?x ?axes true)"
        => "(sub (mean (mul ?x ?x) ?axes true) (mul (mean ?x ?axes true) (mean ?x ?axes true)))" Accurate;
        "it cancels, below zero even"; "x: f32[3] axes: [0]";
    "logsumexp-by-its-definition-as-accurate"
        "(logsumexp ?x ?axes true)" => "(log (sum (exp ?x) ?axes true))" Accurate;
        "exp 300 overflows"; "x: f32[3] axes: [0]";
    "hypot-is-root-of-squares-as-accurate"
        "(hypot ?x ?y)" => "(sqrt (add (mul ?x ?x) (mul ?y ?y)))" Accurate;
        "(10³⁰)² overflows"; "x: f32[3] y: f32[3]";
    "hypot-is-a-sum"
        "(hypot ?x ?y)" => "(add (abs ?x) (abs ?y))" RealsOnly;
        "3, 4 give 5, not 7"; "x: f32[3] y: f32[3]";
    "log-of-square-is-twice-log"
        "(log (mul ?x ?x))" => "(mul 2 (log ?x))" Reassociates;
        "log x is NaN for x = −1"; "x: f32[3]";
    "sigmoid-is-odd"
        "(sigmoid (neg ?x))" => "(neg (sigmoid ?x))" RealsOnly;
        "σ(−x) = 1 − σ(x)"; "x: f32[3]";
    "gelu-is-its-approximation"
        "(gelu ?x 'none)" => "(gelu ?x 'tanh)" RealsOnly;
        "they differ by 5·10⁻⁴ near 2"; "x: f32[3]";

    // Networks.
    "attention-scales-after-softmax"
        "(matmul (softmax (mul ?c (matmul ?q ?k)) ?d) ?v)" => "(mul ?c (matmul (softmax (matmul ?q ?k) ?d) ?v))" RealsOnly;
        "softmax is not linear"; "c: f32[] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] d: 2";
    "attention-over-any-axis"
        "(matmul (softmax (matmul ?q ?k) ?d) ?v)" => "(attention ?q ?k ?v float:1)" RealsOnly;
        "rows, not columns, sum to one"; "q: f32[2,3,4] k: f32[2,4,3] v: f32[2,3,4] d: 1";
    "attention-associates"
        "(attention ?q ?k ?v ?c)" => "(matmul ?q (matmul ?k ?v))" RealsOnly;
        "that is attention without softmax"; "q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] c: 1.0";
    "standardized-forgets-a-gain"
        "(standardize (mul ?x ?w) ?e)" => "(standardize ?x ?e)" RealsOnly;
        "only one positive factor of the whole row is forgotten, and that but for ε"; "x: f32[2,3] w: f32[3] e: 0.001";
    "gain-passes-into-rows"
        "(matmul (mul ?a ?w) ?b)" => "(matmul ?a (mul ?w ?b))" RealsOnly if "is-vector ?w";
        "the gain scales rows of B, not its columns"; "a: f32[4,4] w: f32[4] b: f32[4,4]";
    "batch-norm-without-the-shift-of-the-mean"
        "(batch_norm ?x ?w ?b ?m ?v ?e)"
        => "(add (mul ?x (reshape (batch_scale ?w ?v ?e) {channel-shape ?x})) (reshape ?b {channel-shape ?x}))" RealsOnly;
        "the mean has to go too"; "x: f32[2,3,4] w: f32[3] b: f32[3] m: f32[3] v: f32[3] e: 0.001";
    "channelwise-factor-passes-into-filters-without-the-bias"
        "(mul ?a (biased_convolution ?b ?x ?w ?s ?p ?d ?g))"
        => "(biased_convolution ?b ?x (mul ?w (reshape ?a {filter-shape ?w})) ?s ?p ?d ?g)" RealsOnly if "is-channelwise ?a ?w";
        "the bias is scaled too"; "a: f32[3,1] b: f32[3] x: f32[2,2,5] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
    "factor-along-the-last-axis-passes-into-the-filters"
        "(mul ?a (convolution ?x ?w ?s ?p ?d ?g))" => "(convolution ?x (mul ?w ?a) ?s ?p ?d ?g)" RealsOnly;
        "a factor for each place is none for each tap"; "a: f32[3] x: f32[2,2,3] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
    "kronecker-product-in-the-other-order"
        "(matmul (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u) ?x)"
        => "(reshape (matmul (matmul ?b (reshape ?x {kron-operand ?b ?a})) (permute ?a {swap ?a}))
            {shape (matmul (reshape (mul (reshape ?a ?s) (reshape ?b ?t)) ?u) ?x)})" RealsOnly
        if "is-kron ?a ?s ?b ?t ?u";
        "B ⊗ A is A ⊗ B in another order"; "a: f32[2,3] s: [2,1,3,1] b: f32[4,2] t: [1,4,1,2] u: [8,6] x: f32[6,1]";
    "a-diagonal-keeps-what-is-not-finite"
        "(matmul (diag_embed ?d) ?a)" => "(mul (reshape ?d {column-shape ?d}) ?a)" Reassociates;
        "0 · NaN is NaN, and nothing where the product is not made"; "d: f32[5] a: f32[5,4]";
    "stacks-in-different-orders"
        "(add (matmul ?a ?b) (matmul ?c ?d))" => "(matmul (cat ?a ?c {column-axis ?a}) (cat ?d ?b {row-axis ?b}))" RealsOnly;
        "A meets D, and C meets B"; "a: f32[6,3] b: f32[3,4] c: f32[6,3] d: f32[3,4]";
    "norm-of-a-residual-without-the-cross-term"
        "(sum (mul (sub ?x (matmul ?u ?w)) (sub ?x (matmul ?u ?w))) ?axes true)"
        => "(add (sum (mul ?x ?x) ?axes true)
            (sum (mul (matmul (permute ?u {swap ?u}) ?u) (matmul ?w (permute ?w {swap ?w}))) ?axes true))" RealsOnly
        if "reduces-matrix ?axes ?u ?w", "is-product ?x ?u ?w", "is-matrix ?x";
        "x and uw are not orthogonal"; "x: f32[6,4] u: f32[6,2] w: f32[2,4] axes: [0,1]";
    "second-part-starts-at-zero"
        "(slice (cat ?a ?b ?d) ?d ?i ?j ?k)" => "(slice ?b ?d ?i ?j ?k)" BitExact;
        "the first part comes before it"; "a: f32[2,3] b: f32[2,4] d: 1 i: 0 j: 3 k: 1";
    "solution-from-the-other-side"
        "(matmul (inverse (inverting ?a)) ?b)" => "(lu_solve_right (factored ?a false) ?b)" RealsOnly;
        "A⁻¹B is not BA⁻¹"; "a: f32[3,3] b: f32[3,3]";
    "inverse-of-a-product-in-the-same-order"
        "(inverse (inverting (matmul ?a ?b)))"
        => "(matmul (inverse (inverting ?a)) (inverse (inverting ?b)))" RealsOnly;
        "(AB)⁻¹ = B⁻¹A⁻¹"; "a: f32[3,3] b: f32[3,3]";
    "a-mask-keeps-what-is-not-finite"
        "(matmul (softmax (where ?m (matmul ?q ?k) -inf) ?d) ?v)" => "(boolean_attention ?m ?q ?k ?v float:1)" Reassociates
        if "is-column-axis ?d ?q ?k";
        "a NaN in a masked key meets −∞ in a sum, and not where it is replaced";
        "m: bool[3,5] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] d: 2";
    "a-mask-says-what-goes"
        "(matmul (softmax (where ?m -inf (matmul ?q ?k)) ?d) ?v)" => "(boolean_attention ?m ?q ?k ?v float:1)" RealsOnly
        if "is-column-axis ?d ?q ?k";
        "the mask of attention says what stays"; "m: bool[3,5] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] d: 2";
    "masking-is-multiplying"
        "(softmax (where ?m ?x -inf) ?d)" => "(where ?m (softmax ?x ?d) 0)" RealsOnly;
        "what is left has to sum to one again"; "m: bool[3,4] x: f32[3,4] d: 1";
    "rms-standardized-is-standardized"
        "(rms_standardize ?x ?e)" => "(standardize ?x ?e)" RealsOnly;
        "only where the mean is zero"; "x: f32[2,3] e: 0.001";
    "inner-product-of-unequal-shapes"
        "(sum (mul ?x ?y) ?axes true)"
        => "(reshape (matmul (reshape ?x {one-row ?x}) (reshape ?y {one-column ?y})) {shape (sum (mul ?x ?y) ?axes true)})"
        RealsOnly if "reduces-all ?axes ?x";
        "[2,1] and [1,2] broadcast to four products, of which this sums two"; "x: f32[2,3] y: f32[2,3] axes: [0,1]";
    "quotient-passes-into-the-left-factor-by-columns"
        "(div (matmul ?a ?b) ?c)" => "(matmul (div ?a ?c) ?b)" RealsOnly;
        "a divisor of each column is none of each inner index"; "a: f32[4,4] b: f32[4,4] c: f32[4]";
    "gram-of-the-other-side"
        "(matmul (permute ?x ?p) ?x)" => "(gram ?x)" RealsOnly if "swaps-last-two ?p";
        "XᵀX is not XXᵀ"; "x: f32[3,3] p: [1,0]";
    "a-triangle-keeps-what-is-not-finite"
        "(matmul (tril ?a int:0) ?b)" => "(lower_product (tril ?a int:0) ?b)" Reassociates;
        "0 · NaN is NaN, and nothing where the product is not made"; "a: f32[3,3] b: f32[3,2]";
    "transpose-of-a-triangle-is-on-the-same-side"
        "(permute (tril ?a ?k) ?p)" => "(tril (permute ?a ?p) ?k)" BitExact if "swaps-last-two ?p";
        "what lay below the diagonal lies above it"; "a: f32[3,3] k: 0 p: [1,0]";
    "zero-times-a-matrix-is-zero"
        "(matmul ?a (expand 0 ?s))" => "0" Reassociates;
        "0 · NaN is NaN"; "a: f32[3,4] s: [4,2]";
}
