//! Sums and products of elements.

use super::rules;

rules! {
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
