//! Sums and products of elements.

use super::rules;

rules! {
    "reciprocal-of-root-is-one-function"
        "(reciprocal (sqrt ?x))" => "(rsqrt ?x)" Reassociates;
        "1 / √x = x^(−1/2)"; "x: f32[3,4]";
    "sub-adds-the-negative"
        "(sub ?a ?b)" == "(add ?a (mul -1 ?b))" BitExact if "is-real ?b";
        "IEEE 754: a − b is a + (−b), and −1·b is exact"; "a: f32[3,4] b: f32[4]";
    "neg-is-times-minus-one"
        "(neg ?a)" == "(mul -1 ?a)" BitExact if "is-real ?a";
        "IEEE 754: the sign is flipped and nothing rounded"; "a: f32[3,4]";
    "neg-of-neg-is-nothing"
        "(neg (neg ?a))" => "?a" BitExact;
        "the sign is flipped twice"; "a: f32[3,4]";
    "add-zero-is-nothing"
        "(add ?a 0)" => "?a" Accurate;
        "a + 0 = a, but for −0 + 0 = 0, which is no further from the exact value"; "a: f32[3,4]";
    "mul-one-is-nothing"
        "(mul ?a 1)" => "?a" BitExact if "is-real ?a";
        "IEEE 754: multiplying by one is exact"; "a: f32[3,4]";
    "div-one-is-nothing"
        "(div ?a 1)" => "?a" BitExact;
        "IEEE 754: dividing by one is exact"; "a: f32[3,4]";
    "halving-is-a-product"
        "(div ?a 2)" => "(mul ?a 0.5)" BitExact;
        "both are the number nearest to a/2"; "a: f32[3,4]";
    "add-flattens"
        "(add (add ?a) ?b)" => "(add ?a ?b)" Reassociates;
        "addition is associative over the reals"; "a: f32[3,4] b: f32[4]";
    "mul-flattens"
        "(mul (mul ?a) ?b)" => "(mul ?a ?b)" Reassociates;
        "multiplication is associative over the reals"; "a: f32[3,4] b: f32[4]";
    "common-factor-goes-out"
        "(add (mul ?a ?b) (mul ?a ?c))" == "(mul ?a (add ?b ?c))" Reassociates;
        "multiplication distributes over addition"; "a: f32[3,4] b: f32[3,4] c: f32[3,4]";
    "relu-of-relu-is-one"
        "(relu (relu ?a))" => "(relu ?a)" BitExact;
        "relu leaves what is not negative alone"; "a: f32[3,4]";
    "clamp-within-its-bounds-is-nothing"
        "(clamp ?x ?l ?h)" => "?x" Accurate if "is-within ?x ?l ?h";
        "nothing is cut off; of two zeros either is right"; "x: (sigmoid ?z) z: f32[3,4] l: 0.0 h: 1.0";
    "magnitude-of-what-is-not-negative"
        "(abs ?x)" => "?x" Accurate if "is-never-negative ?x";
        "|x| = x for x ≥ 0, and NaN stays NaN; of two zeros either is right"; "x: (exp ?z) z: f32[3,4]";
    "magnitude-of-what-is-not-positive"
        "(abs ?x)" => "(neg ?x)" Accurate if "is-never-positive ?x";
        "|x| = −x for x ≤ 0, and NaN stays NaN; of two zeros either is right"; "x: (log_sigmoid ?z) z: f32[3,4]";
    "relu-of-what-is-not-negative"
        "(relu ?x)" => "?x" Accurate if "is-never-negative ?x";
        "max(x, 0) = x for x ≥ 0, and NaN stays NaN; of two zeros either is right"; "x: (sigmoid ?z) z: f32[3,4]";
    "the-larger-is-known"
        "(maximum ?a ?b)" => "?a" Accurate if "is-never-below ?a ?b";
        "max(a, b) = a for a ≥ b; NaN of a stays, and b has none"; "a: (sigmoid ?z) z: f32[3,4] b: (expand 0 ?s) s: [3,4]";
    "the-larger-is-known-to-be-the-second"
        "(maximum ?b ?a)" => "?a" Accurate if "is-never-below ?a ?b";
        "max(b, a) = a for a ≥ b; NaN of a stays, and b has none"; "a: (sigmoid ?z) z: f32[3,4] b: (expand 0 ?s) s: [3,4]";
    "the-smaller-is-known"
        "(minimum ?a ?b)" => "?a" Accurate if "is-never-above ?a ?b";
        "min(a, b) = a for a ≤ b; NaN of a stays, and b has none"; "a: (sigmoid ?z) z: f32[3,4] b: (expand 1 ?s) s: [3,4]";
    "the-smaller-is-known-to-be-the-second"
        "(minimum ?b ?a)" => "?a" Accurate if "is-never-above ?a ?b";
        "min(b, a) = a for a ≤ b; NaN of a stays, and b has none"; "a: (sigmoid ?z) z: f32[3,4] b: (expand 1 ?s) s: [3,4]";
    "root-of-a-square-is-the-magnitude"
        "(sqrt (mul ?x ?x))" => "(abs ?x)" Accurate;
        "√x² = |x|, where x² overflows and underflows too"; "x: f32[3,4]";
    "square-of-a-root-is-nothing"
        "(mul (sqrt ?x) (sqrt ?x))" => "?x" Accurate if "is-never-negative ?x";
        "(√x)² = x for x ≥ 0"; "x: (exp ?z) z: f32[3,4]";
    "exp-of-log-is-nothing"
        "(exp (log ?x))" => "?x" Accurate if "is-never-negative ?x";
        "exp log x = x for x ≥ 0"; "x: (sigmoid ?z) z: f32[3,4]";
    "log-of-exp-is-nothing"
        "(log (exp ?x))" => "?x" Accurate;
        "log exp x = x, where exp x overflows and underflows too"; "x: f32[3,4]";
    "nothing-of-what-is-finite-is-zero"
        "(mul ?a 0)" => "0" Accurate if "is-finite ?a";
        "0·a = 0 for finite a; of two zeros either is right"; "a: (expand 2 ?t) t: [3,4]";
    "what-is-finite-less-itself-is-zero"
        "(sub ?a ?a)" => "0" Accurate if "is-finite ?a";
        "a − a = 0 for finite a"; "a: (cast ?m dtype:f32) m: bool[3,4]";
    "mul-zero-is-zero"
        "(mul ?a 0)" => "0" RealsOnly;
        "0·a = 0 for finite a"; "a: f32[3,4]";
    "sub-self-is-zero"
        "(sub ?a ?a)" => "0" RealsOnly;
        "a − a = 0 for finite a"; "a: f32[3,4]";
    "div-self-is-one"
        "(div ?a ?a)" => "1" RealsOnly;
        "a / a = 1 wherever a / a is defined"; "a: f32[3,4]";
}
