//! Normalization: recognised where it is spelled out, taken apart where what is left is part of a weight.

use super::rules;

rules! {
    "deviation-by-rsqrt-is-standardized"
        "(mul (sub ?x (mean ?x ?a true)) (rsqrt (add (variance ?x ?a true) ?e)))" => "(standardize ?x {constant ?e})"
        Reassociates if "is-just-last ?a ?x";
        "the definition of layer normalization without gain (Ba, Kiros and Hinton, 2016)";
        "x: f32[3,4] a: [1] e: (expand 0.001 ?z) z: []";
    "deviation-over-root-is-standardized"
        "(div (sub ?x (mean ?x ?a true)) (sqrt (add (variance ?x ?a true) ?e)))" => "(standardize ?x {constant ?e})"
        Reassociates if "is-just-last ?a ?x";
        "the definition of layer normalization without gain (Ba, Kiros and Hinton, 2016)";
        "x: f32[3,4] a: [1] e: (expand 0.001 ?z) z: []";
    "times-rsqrt-of-mean-square-is-rms-standardized"
        "(mul ?x (rsqrt (add (mean (mul ?x ?x) ?a true) ?e)))" => "(rms_standardize ?x {constant ?e})" Reassociates
        if "is-just-last ?a ?x";
        "the definition of root mean square normalization without gain (Zhang and Sennrich, 2019)";
        "x: f32[3,4] a: [1] e: (expand 0.001 ?z) z: []";
    "over-root-of-mean-square-is-rms-standardized"
        "(div ?x (sqrt (add (mean (mul ?x ?x) ?a true) ?e)))" => "(rms_standardize ?x {constant ?e})" Reassociates
        if "is-just-last ?a ?x";
        "the definition of root mean square normalization without gain (Zhang and Sennrich, 2019)";
        "x: f32[3,4] a: [1] e: (expand 0.001 ?z) z: []";
    "layer-norm-is-gain-and-bias"
        "(layer_norm ?x ?w ?b ?e)" == "(add (mul (standardize ?x ?e) ?w) ?b)" Reassociates;
        "the definition of layer normalization (Ba, Kiros and Hinton, 2016)"; "x: f32[3,4] w: f32[4] b: f32[4] e: 0.001";
    "batch-norm-is-scale-and-shift"
        "(batch_norm ?x ?w ?b ?m ?v ?e)"
        => "(add (mul ?x (reshape (batch_scale ?w ?v ?e) {channel-shape ?x}))
            (reshape (sub ?b (mul ?m (batch_scale ?w ?v ?e))) {channel-shape ?x}))" Reassociates;
        "(x − m)s + b = xs + (b − ms) with s = w / √(v + ε) (Ioffe and Szegedy, 2015)";
        "x: f32[2,3,4] w: f32[3] b: f32[3] m: f32[3] v: f32[3] e: 0.001";
    "slice-of-layer-norm-norms-those-rows"
        "(slice (layer_norm ?x ?w ?b ?e) ?d ?i ?j ?k)" => "(layer_norm (slice ?x ?d ?i ?j ?k) ?w ?b ?e)" Reassociates
        if "is-below-last ?d ?x";
        "each row is normed by itself"; "x: f32[4,3] w: f32[3] b: f32[3] e: 0.001 d: 0 i: 1 j: 2 k: 1";
    "selected-rows-of-layer-norm-norm-those-rows"
        "(select_rows (layer_norm ?x ?w ?b ?e) ?i ?d ?k)" => "(layer_norm (select_rows ?x ?i ?d ?k) ?w ?b ?e)" Reassociates
        if "is-below-last ?d ?x";
        "each row is normed by itself"; "x: f32[4,3] w: f32[3] b: f32[3] e: 0.001 i: i64[2] d: 0 k: 'index";
    "slice-of-standardize-norms-those-rows"
        "(slice (standardize ?x ?e) ?d ?i ?j ?k)" => "(standardize (slice ?x ?d ?i ?j ?k) ?e)" Reassociates
        if "is-below-last ?d ?x";
        "each row is normed by itself"; "x: f32[4,3] e: 0.001 d: 0 i: 1 j: 2 k: 1";
    "selected-rows-of-standardize-norm-those-rows"
        "(select_rows (standardize ?x ?e) ?i ?d ?k)" => "(standardize (select_rows ?x ?i ?d ?k) ?e)" Reassociates
        if "is-below-last ?d ?x";
        "each row is normed by itself"; "x: f32[4,3] e: 0.001 i: i64[2] d: 0 k: 'index";
    "slice-of-rms-standardize-norms-those-rows"
        "(slice (rms_standardize ?x ?e) ?d ?i ?j ?k)" => "(rms_standardize (slice ?x ?d ?i ?j ?k) ?e)" Reassociates
        if "is-below-last ?d ?x";
        "each row is normed by itself"; "x: f32[4,3] e: 0.001 d: 0 i: 1 j: 2 k: 1";
    "selected-rows-of-rms-standardize-norm-those-rows"
        "(select_rows (rms_standardize ?x ?e) ?i ?d ?k)" => "(rms_standardize (select_rows ?x ?i ?d ?k) ?e)" Reassociates
        if "is-below-last ?d ?x";
        "each row is normed by itself"; "x: f32[4,3] e: 0.001 i: i64[2] d: 0 k: 'index";
    "gain-passes-into-the-right-factor"
        "(matmul (mul ?a ?w) ?b)" => "(matmul ?a (mul (reshape ?w {column-shape ?w}) ?b))" Reassociates if "is-vector ?w";
        "(AD)B = A(DB) for a diagonal D, kept as a vector"; "a: f32[6,5] w: f32[5] b: f32[5,4]";
    "bias-passes-through-matmul"
        "(matmul (add ?a ?v) ?b)" => "(add (matmul ?a ?b) (matmul (reshape ?v {row-shape ?v}) ?b))" Reassociates
        if "is-vector ?v";
        "(A + 1vᵀ)B = AB + 1(vᵀB)"; "a: f32[6,5] v: f32[5] b: f32[5,4]";
}
