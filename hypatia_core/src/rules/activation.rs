//! Activations as users spell them, given to the operation that computes them in one pass.

use super::rules;

rules! {
    "reciprocal-of-one-plus-exp-is-sigmoid"
        "(reciprocal (add (exp (neg ?x)) 1))" => "(sigmoid ?x)" Accurate;
        "the definition of the logistic function"; "x: f32[3,4]";
    "quotient-by-one-plus-exp-is-sigmoid"
        "(div 1 (add (exp (neg ?x)) 1))" => "(sigmoid ?x)" Accurate;
        "the definition of the logistic function"; "x: f32[3,4]";
    "exp-over-one-plus-exp-is-sigmoid"
        "(div (exp ?x) (add (exp ?x) 1))" => "(sigmoid ?x)" Accurate;
        "eˣ / (1 + eˣ) = 1 / (1 + e⁻ˣ), where eˣ may overflow"; "x: f32[3,4]";
    "times-sigmoid-is-silu"
        "(mul ?x (sigmoid ?x))" => "(silu ?x)" Accurate;
        "the definition of silu (Elfwing, Uchibe and Doya, 2018)"; "x: f32[3,4]";
    "over-one-plus-exp-is-silu"
        "(div ?x (add (exp (neg ?x)) 1))" => "(silu ?x)" Accurate;
        "the definition of silu (Elfwing, Uchibe and Doya, 2018)"; "x: f32[3,4]";
    "half-times-one-plus-erf-is-gelu"
        "(mul 0.5 ?x (add (erf (div ?x 1.4142135623730951)) 1))" => "(gelu ?x 'none)" Accurate;
        "the definition of gelu (Hendrycks and Gimpel, 2016)"; "x: f32[3,4]";
    "half-times-one-plus-erf-of-product-is-gelu"
        "(mul 0.5 ?x (add (erf (mul ?x 0.7071067811865476)) 1))" => "(gelu ?x 'none)" Accurate;
        "the definition of gelu (Hendrycks and Gimpel, 2016)"; "x: f32[3,4]";
    "half-times-one-plus-tanh-is-gelu"
        "(mul 0.5 ?x (add (tanh (mul 0.7978845608028654 (add ?x (mul 0.044715 (pow_scalar ?x float:3))))) 1))"
        => "(gelu ?x 'tanh)" Accurate;
        "the definition of gelu's approximation (Hendrycks and Gimpel, 2016)"; "x: f32[3,4]";
    "half-times-one-plus-tanh-of-product-is-gelu"
        "(mul 0.5 ?x (add (tanh (mul 0.7978845608028654 (add ?x (mul 0.044715 ?x ?x ?x)))) 1))"
        => "(gelu ?x 'tanh)" Accurate;
        "the definition of gelu's approximation (Hendrycks and Gimpel, 2016)"; "x: f32[3,4]";
    "maximum-with-zero-is-relu"
        "(maximum ?x 0)" => "(relu ?x)" Accurate;
        "the definition of relu; of two zeros either is right"; "x: f32[3,4]";
    "selected-rows-of-relu-are-relu-of-selected-rows"
        "(select_rows (relu ?x) ?i ?d ?k)" => "(relu (select_rows ?x ?i ?d ?k))" Reassociates;
        "each element for itself"; "x: f32[4,3] i: i64[2] d: 0 k: 'index";
    "selected-rows-of-gelu-are-gelu-of-selected-rows"
        "(select_rows (gelu ?x ?f) ?i ?d ?k)" => "(gelu (select_rows ?x ?i ?d ?k) ?f)" Reassociates;
        "each element for itself"; "x: f32[4,3] f: 'none i: i64[2] d: 0 k: 'index";
    "selected-rows-of-silu-are-silu-of-selected-rows"
        "(select_rows (silu ?x) ?i ?d ?k)" => "(silu (select_rows ?x ?i ?d ?k))" Reassociates;
        "each element for itself"; "x: f32[4,3] i: i64[2] d: 0 k: 'index";
}
