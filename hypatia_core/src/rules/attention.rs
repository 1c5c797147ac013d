//! Attention in the spellings of users, given to the operation that never holds all scores at once.

use super::rules;

rules! {
    "softmax-along-rows-passes-through-reshape"
        "(softmax (reshape ?x ?s) ?d)" => "(reshape (softmax ?x {column-axis ?x}) ?s)" Reassociates
        if "keeps-last ?x ?s", "is-last-of ?d ?s";
        "rows stay rows, each with its own softmax"; "x: f32[2,3,4] s: [6,4] d: 1";
    "exp-over-its-sum-after-the-product"
        "(div (matmul (exp ?x) ?v) (sum (exp ?x) ?axes true))" => "(matmul (softmax ?x {only-axis ?axes}) ?v)" Reassociates
        if "is-just-last ?axes ?x";
        "a row of weights may be divided by its sum before it meets the values or after";
        "x: f32[3,5] v: f32[5,4] axes: [1]";
    "exp-over-its-sum-after-the-product-of-stacks"
        "(div (reshape (matmul (reshape (exp ?x) ?s) ?v) ?t) (sum (exp ?x) ?axes true))"
        => "(reshape (matmul (reshape (softmax ?x {only-axis ?axes}) ?s) ?v) ?t)" Reassociates
        if "is-just-last ?axes ?x", "keeps-last ?x ?s", "has-rows-of ?t ?x", "adds-no-stack ?v ?s";
        "a row of weights may be divided by its sum before it meets the values or after";
        "x: f32[2,3,5] s: [6,5] v: f32[5,2] t: [2,3,2] axes: [2]";
    "shifted-exp-over-its-sum-after-the-product"
        "(div (matmul (exp (sub ?x (amax ?x ?axes true))) ?v) (sum (exp (sub ?x (amax ?x ?axes true))) ?axes true))"
        => "(matmul (softmax ?x {only-axis ?axes}) ?v)" Reassociates if "is-just-last ?axes ?x";
        "a row of weights may be divided by its sum before it meets the values or after, and a shift of the row cancels";
        "x: f32[3,5] v: f32[5,4] axes: [1]";
    "shifted-exp-over-its-sum-after-the-product-of-stacks"
        "(div (reshape (matmul (reshape (exp (sub ?x (amax ?x ?axes true))) ?s) ?v) ?t)
            (sum (exp (sub ?x (amax ?x ?axes true))) ?axes true))"
        => "(reshape (matmul (reshape (softmax ?x {only-axis ?axes}) ?s) ?v) ?t)" Reassociates
        if "is-just-last ?axes ?x", "keeps-last ?x ?s", "has-rows-of ?t ?x", "adds-no-stack ?v ?s";
        "a row of weights may be divided by its sum before it meets the values or after, and a shift of the row cancels";
        "x: f32[3,5] s: [3,5] v: f32[5,2] t: [3,2] axes: [1]";
    "transposed-softmax-is-of-the-transposed"
        "(permute (softmax ?x ?d) ?p)" => "(softmax (permute ?x ?p) {move-axis ?d ?p})" Reassociates
        if "swaps-last-two ?p";
        "columns become rows, each with its own softmax; a permutation that swaps undoes itself";
        "x: f32[2,3,4] d: 1 p: [0,2,1]";
    "reshape-passes-through-quotient"
        "(div (reshape ?a ?s) ?c)" => "(reshape (div ?a ?c) ?s)" BitExact if "is-scalar ?c", "is-vector ?c";
        "each element is divided alike"; "a: f32[4,3] s: [12] c: f32[]";
    "attention-without-scale"
        "(matmul (softmax (matmul ?q ?k) ?d) ?v)" => "(attention ?q ?k ?v float:1)" Reassociates
        if "is-column-axis ?d ?q ?k";
        "softmax(QKᵀ) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] d: 2";
    "attention-with-scale"
        "(matmul (softmax (mul ?c (matmul ?q ?k)) ?d) ?v)" => "(attention ?q ?k ?v {constant ?c})" Reassociates
        if "is-vector ?c", "is-column-axis ?d ?q ?k";
        "softmax(c QKᵀ) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "c: (expand 0.5 ?z) z: [] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] d: 2";
    "attention-with-quotient"
        "(matmul (softmax (div (matmul ?q ?k) ?c) ?d) ?v)" => "(attention ?q ?k ?v {reciprocal-constant ?c})" Reassociates
        if "is-vector ?c", "is-column-axis ?d ?q ?k";
        "softmax(QKᵀ / c) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "c: (expand 0.5 ?z) z: [] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] d: 2";
    "masked-attention-without-scale"
        "(matmul (reshape (softmax (add (reshape (matmul ?q ?k) ?s) ?m) ?d) ?t) ?v)"
        => "(reshape (masked_attention ?m (reshape ?q {stacked-as ?q ?s}) (reshape ?k {stacked-as ?k ?s})
            (reshape ?v {stacked-as ?v ?s}) float:1)
            {shape (matmul (reshape (softmax (add (reshape (matmul ?q ?k) ?s) ?m) ?d) ?t) ?v)})" Reassociates
        if "is-last-of ?d ?s", "same-matrices ?s ?t";
        "softmax(QKᵀ + M) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "q: f32[4,3,2] k: f32[4,2,5] s: [2,2,3,5] m: f32[3,5] d: 3 t: [4,3,5] v: f32[4,5,2]";
    "masked-attention-with-scale"
        "(matmul (reshape (softmax (add (reshape (mul ?c (matmul ?q ?k)) ?s) ?m) ?d) ?t) ?v)"
        => "(reshape (masked_attention ?m (reshape ?q {stacked-as ?q ?s}) (reshape ?k {stacked-as ?k ?s})
            (reshape ?v {stacked-as ?v ?s}) {constant ?c})
            {shape (matmul (reshape (softmax (add (reshape (mul ?c (matmul ?q ?k)) ?s) ?m) ?d) ?t) ?v)})" Reassociates
        if "is-last-of ?d ?s", "same-matrices ?s ?t";
        "softmax(c QKᵀ + M) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "c: (expand 0.5 ?z) z: [] q: f32[4,3,2] k: f32[4,2,5] s: [2,2,3,5] m: f32[3,5] d: 3 t: [4,3,5] v: f32[4,5,2]";
    "masked-attention-with-quotient"
        "(matmul (reshape (softmax (add (reshape (div (matmul ?q ?k) ?c) ?s) ?m) ?d) ?t) ?v)"
        => "(reshape (masked_attention ?m (reshape ?q {stacked-as ?q ?s}) (reshape ?k {stacked-as ?k ?s})
            (reshape ?v {stacked-as ?v ?s}) {reciprocal-constant ?c})
            {shape (matmul (reshape (softmax (add (reshape (div (matmul ?q ?k) ?c) ?s) ?m) ?d) ?t) ?v)})" Reassociates
        if "is-last-of ?d ?s", "same-matrices ?s ?t";
        "softmax(QKᵀ / c + M) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "c: (expand 0.5 ?z) z: [] q: f32[4,3,2] k: f32[4,2,5] s: [2,2,3,5] m: f32[3,5] d: 3 t: [4,3,5] v: f32[4,5,2]";
    "masked-attention-of-one-head"
        "(matmul (softmax (add (matmul ?q ?k) ?m) ?d) ?v)" => "(masked_attention ?m ?q ?k ?v float:1)" Reassociates
        if "is-column-axis ?d ?q ?k";
        "softmax(QKᵀ + M) V (Vaswani and others, 2017), row by row (Dao and others, 2022)";
        "q: f32[2,3,4] k: f32[2,4,5] m: f32[3,5] v: f32[2,5,4] d: 2";
    "what-is-masked-is-what-is-not-kept"
        "(where ?m -inf ?x)" => "(where (not ?m) ?x -inf)" BitExact;
        "a choice turns with its condition"; "m: bool[3,4] x: f32[3,4]";
    "what-is-not-dropped-is-kept"
        "(where (not ?m) ?x ?y)" => "(where ?m ?y ?x)" BitExact;
        "a choice turns with its condition"; "m: bool[3,4] x: f32[3,4] y: f32[3,4]";
    "attention-of-one-head-with-a-mask"
        "(matmul (softmax (where ?m (matmul ?q ?k) ?h) ?d) ?v)" => "(boolean_attention ?m ?q ?k ?v float:1)" RealsOnly
        if "is-column-axis ?d ?q ?k", "hides-in-product ?h ?q ?k";
        "a score of −∞ has the weight 0; a NaN in a key that is masked, or in its value, may spread otherwise";
        "m: bool[3,5] q: f32[2,3,4] k: f32[2,4,5] h: (expand -inf ?e) e: [] v: f32[2,5,4] d: 2";
    "attention-with-a-mask"
        "(matmul (reshape (softmax (where ?m (reshape (matmul ?q ?k) ?s) ?h) ?d) ?t) ?v)"
        => "(reshape (boolean_attention ?m (reshape ?q {stacked-as ?q ?s}) (reshape ?k {stacked-as ?k ?s})
            (reshape ?v {stacked-as ?v ?s}) float:1)
            {shape (matmul (reshape (softmax (where ?m (reshape (matmul ?q ?k) ?s) ?h) ?d) ?t) ?v)})" RealsOnly
        if "is-last-of ?d ?s", "same-matrices ?s ?t", "hides-in-shape ?h ?s";
        "a score of −∞ has the weight 0; a NaN in a key that is masked, or in its value, may spread otherwise";
        "m: bool[3,5] q: f32[4,3,2] k: f32[4,2,5] s: [2,2,3,5] h: (expand -inf ?e) e: [] d: 3 t: [4,3,5] v: f32[4,5,2]";
    "leading-units-of-a-mask-are-nothing"
        "(boolean_attention (reshape ?m ?t) ?q ?k ?v ?c)" => "(boolean_attention ?m ?q ?k ?v ?c)" Reassociates
        if "adds-leading-units ?m ?t";
        "a mask is repeated along the axes that it does not have";
        "m: bool[3,5] t: [1,3,5] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] c: 0.5";
    "leading-units-of-a-summand-are-nothing"
        "(masked_attention (reshape ?m ?t) ?q ?k ?v ?c)" => "(masked_attention ?m ?q ?k ?v ?c)" Reassociates
        if "adds-leading-units ?m ?t";
        "a summand is repeated along the axes that it does not have";
        "m: f32[3,5] t: [1,3,5] q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] c: 0.5";
    "a-triangle-is-the-causal-mask"
        "(boolean_attention (band ?s int:0 ?b) ?q ?k ?v ?c)" => "(causal_attention ?q ?k ?v ?c)" RealsOnly
        if "is-shape-of-scores ?s ?q ?k";
        "query i sees the keys j ≤ i (Vaswani and others, 2017, 3.2.3); a NaN in a key that is masked may spread otherwise";
        "s: [3,5] b: 0 q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] c: 0.5";
    "a-triangle-of-infinities-is-the-causal-mask"
        "(masked_attention (where (band ?s int:0 ?b) 0 -inf) ?q ?k ?v ?c)" => "(causal_attention ?q ?k ?v ?c)" RealsOnly
        if "is-shape-of-scores ?s ?q ?k";
        "query i sees the keys j ≤ i (Vaswani and others, 2017, 3.2.3); a NaN in a key that is masked may spread otherwise";
        "s: [3,5] b: 0 q: f32[2,3,4] k: f32[2,4,5] v: f32[2,5,4] c: 0.5";
}
