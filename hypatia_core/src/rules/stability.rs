//! The same functions computed so that nothing overflows, cancels or is lost beside one.

use super::rules;

rules! {
    "log-of-one-plus"
        "(log (add ?x 1))" => "(log1p ?x)" Accurate;
        "1 + x forgets what of x is below its last place (IEEE 754-2019, 9.2: logp1)"; "x: f32[3,4]";
    "exp-less-one"
        "(sub (exp ?x) 1)" => "(expm1 ?x)" Accurate;
        "near zero exp x − 1 cancels (IEEE 754-2019, 9.2: expm1)"; "x: f32[3,4]";
    "log1p-of-exp-is-softplus"
        "(log1p (exp ?x))" => "(softplus ?x)" Accurate;
        "log(1 + exp x) = x + log(1 + exp −x), and one of the two does not overflow (Mächler, 2012)"; "x: f32[3,4]";
    "log-of-one-plus-exp-is-softplus"
        "(log (add (exp ?x) 1))" => "(softplus ?x)" Accurate;
        "log(1 + exp x) = x + log(1 + exp −x), and one of the two does not overflow (Mächler, 2012)"; "x: f32[3,4]";
    "log-of-sigmoid-is-one-function"
        "(log (sigmoid ?x))" => "(log_sigmoid ?x)" Accurate;
        "log(1 / (1 + exp −x)) = −log(1 + exp −x), where the sigmoid underflows too"; "x: f32[3,4]";
    "negative-softplus-of-negative-is-log-sigmoid"
        "(neg (softplus (neg ?x)))" => "(log_sigmoid ?x)" Accurate;
        "log(1 / (1 + exp −x)) = −log(1 + exp −x)"; "x: f32[3,4]";
    "log-of-softmax-is-log-softmax"
        "(log (softmax ?x ?d))" => "(log_softmax ?x ?d)" Accurate;
        "log(eˣ / Σ eˣ) = x − log Σ eˣ, where the softmax underflows too"; "x: f32[3,4] d: 1";
    "log-of-sum-of-exp-is-logsumexp"
        "(log (sum (exp ?x) ?axes true))" => "(logsumexp ?x ?axes true)" Accurate;
        "log Σ eˣ = m + log Σ eˣ⁻ᵐ with m the largest x (Blanchard, Higham and Higham, 2021)"; "x: f32[3,4] axes: [1]";
    "shifted-log-of-sum-of-exp-is-logsumexp"
        "(add (log (sum (exp (sub ?x (amax ?x ?axes true))) ?axes true)) (amax ?x ?axes true))"
        => "(logsumexp ?x ?axes true)" Accurate;
        "log Σ eˣ = m + log Σ eˣ⁻ᵐ with m the largest x (Blanchard, Higham and Higham, 2021)"; "x: f32[3,4] axes: [1]";
    "less-logsumexp-is-log-softmax"
        "(sub ?x (logsumexp ?x ?axes true))" => "(log_softmax ?x {only-axis ?axes})" Reassociates;
        "log(eˣ / Σ eˣ) = x − log Σ eˣ"; "x: f32[3,4] axes: [1]";
    "exp-over-its-sum-is-softmax"
        "(div (exp ?x) (sum (exp ?x) ?axes true))" => "(softmax ?x {only-axis ?axes})" Reassociates;
        "softmax shifts by the largest x, so that no exponential overflows"; "x: f32[3,4] axes: [1]";
    "shifted-exp-over-its-sum-is-softmax"
        "(div (exp (sub ?x (amax ?x ?axes true))) (sum (exp (sub ?x (amax ?x ?axes true))) ?axes true))"
        => "(softmax ?x {only-axis ?axes})" Accurate;
        "a shift of each x by the same number cancels in eˣ / Σ eˣ"; "x: f32[3,4] axes: [1]";
    "root-of-squares-is-hypot"
        "(sqrt (add (mul ?x ?x) (mul ?y ?y)))" => "(hypot ?x ?y)" Accurate;
        "x² overflows and underflows where √(x² + y²) does neither (IEEE 754-2019, 9.2: hypot)"; "x: f32[3,4] y: f32[3,4]";
    "mean-square-less-square-mean-is-variance"
        "(sub (mean (mul ?x ?x) ?axes true) (mul (mean ?x ?axes true) (mean ?x ?axes true)))"
        => "(variance ?x ?axes true)" Accurate;
        "E[x²] − E[x]² cancels; E[(x − E[x])²] does not (Chan, Golub and LeVeque, 1983)"; "x: f32[3,4] axes: [1]";
    "mean-of-squared-deviation-is-variance"
        "(mean (mul (sub ?x (mean ?x ?axes true)) (sub ?x (mean ?x ?axes true))) ?axes true)"
        => "(variance ?x ?axes true)" Accurate;
        "the definition of the variance"; "x: f32[3,4] axes: [1]";
    "log-passes-through-reshape"
        "(log (reshape ?x ?s))" => "(reshape (log ?x) ?s)" BitExact;
        "each element for itself"; "x: f32[3,1] s: [3]";
    "units-pass-through-difference"
        "(sub (reshape ?a ?s) (reshape ?b ?s))" => "(reshape (sub ?a ?b) ?s)" BitExact if "same-shape ?a ?b";
        "each element for itself"; "a: f32[4,1] b: f32[4,1] s: [4]";
    "units-pass-through-square"
        "(mul (reshape ?a ?s) (reshape ?a ?s))" => "(reshape (mul ?a ?a) ?s)" BitExact;
        "each element for itself"; "a: f32[4,1] s: [4]";
}
