//! Convolutions: what scales or shifts each filter's result is part of the filter.

use super::rules;

rules! {
    "convolution-with-bias-is-a-sum"
        "(biased_convolution ?b ?x ?w ?s ?p ?d ?g)"
        => "(add (reshape ?b {filters-as-channels ?w}) (convolution ?x ?w ?s ?p ?d ?g))" Reassociates;
        "the bias is added to each place of its filter's result";
        "b: f32[3] x: f32[2,2,5] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
    "channelwise-summand-is-a-bias"
        "(add (reshape ?b ?t) (convolution ?x ?w ?s ?p ?d ?g))" => "(biased_convolution ?b ?x ?w ?s ?p ?d ?g)" Reassociates
        if "has-channel-shape ?t ?w";
        "the bias is added to each place of its filter's result";
        "b: f32[3] t: [1,3,1] x: f32[2,2,5] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
    "channelwise-summand-joins-the-bias"
        "(add (reshape ?c ?t) (biased_convolution ?b ?x ?w ?s ?p ?d ?g))"
        => "(biased_convolution (add ?b ?c) ?x ?w ?s ?p ?d ?g)" Reassociates if "has-channel-shape ?t ?w";
        "addition is associative over the reals";
        "c: f32[3] b: f32[3] t: [1,3,1] x: f32[2,2,5] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
    "channelwise-factor-passes-into-the-filters"
        "(mul ?a (convolution ?x ?w ?s ?p ?d ?g))"
        => "(convolution ?x (mul ?w (reshape ?a {filter-shape ?w})) ?s ?p ?d ?g)" Reassociates
        if "is-channelwise ?a ?w", "windows-meet ?x ?w ?s ?p ?d";
        "convolution is linear in each filter";
        "a: f32[3,1] x: f32[2,2,5] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
    "channelwise-factor-passes-into-filters-and-bias"
        "(mul ?a (biased_convolution ?b ?x ?w ?s ?p ?d ?g))"
        => "(biased_convolution (mul ?b (reshape ?a {shape ?b})) ?x (mul ?w (reshape ?a {filter-shape ?w})) ?s ?p ?d ?g)"
        Reassociates if "is-channelwise ?a ?w";
        "convolution is linear in each filter";
        "a: f32[3,1] b: f32[3] x: f32[2,2,5] w: f32[3,2,3] s: axes[1] p: axes[1] d: axes[1] g: 1";
}
