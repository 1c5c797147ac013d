//! Tempting identities that do not hold, each with a point that shows it. The checker must catch every one.

/// A false identity.
#[derive(Debug)]
pub struct Rejected {
    pub name: &'static str,
    pub left: &'static str,
    pub right: &'static str,
    /// Where it fails, in words.
    pub counter_example: &'static str,
    /// Whether it is false as an equation too; otherwise only the right side is undefined where the left is not.
    pub refuted: bool,
}

macro_rules! rejected {
    ($($name:literal $left:literal => $right:literal at $point:literal $($undefined:ident)?;)*) => {
        /// The rejected identities.
        pub const REJECTED: &[Rejected] = &[$(Rejected {
            name: $name, left: $left, right: $right, counter_example: $point,
            refuted: stringify!($($undefined)?).is_empty(),
        }),*];
    };
}

rejected! {
    "square-root-of-square"      "(sqrt (pow ?a 2))"       => "?a"                               at "a = -1";
    "logarithm-of-square"        "(log (pow ?a 2))"        => "(mul 2 (log ?a))"                 at "a = -1: the right side is not defined" undefined;
    "logarithm-of-product-splits" "(log (mul ?a ?b))"      => "(add (log ?a) (log ?b))"          at "a = b = -1: the right side is not defined" undefined;
    "logarithm-of-sum"           "(log (add ?a ?b))"       => "(add (log ?a) (log ?b))"          at "a = b = 1";
    "root-of-product-splits"     "(sqrt (mul ?a ?b))"      => "(mul (sqrt ?a) (sqrt ?b))"        at "a = b = -1: the right side is not defined" undefined;
    "root-of-sum"                "(sqrt (add ?a ?b))"      => "(add (sqrt ?a) (sqrt ?b))"        at "a = b = 1";
    "inverse-sine-of-sine"       "(asin (sin ?a))"         => "?a"                               at "a = 2";
    "inverse-cosine-of-cosine"   "(acos (cos ?a))"         => "?a"                               at "a = -1";
    "inverse-tangent-of-tangent" "(atan (tan ?a))"         => "?a"                               at "a = 2";
    "magnitude-of-sum"           "(abs (add ?a ?b))"       => "(add (abs ?a) (abs ?b))"          at "a = 1, b = -1";
    "floor-of-double"            "(floor (mul 2 ?a))"      => "(mul 2 (floor ?a))"               at "a = 1/2";
    "floor-of-negative"          "(floor (neg ?a))"        => "(neg (floor ?a))"                 at "a = 1/2";
    "sign-of-square"             "(pow (sign ?a) 2)"       => "1"                                at "a = 0";
    "product-over-factor"        "?a"                      => "(div (mul ?a ?a) ?a)"             at "a = 0: the right side is not defined" undefined;
    "relu-is-gelu"               "(relu ?a)"               => "(gelu ?a)"                        at "a = -1";
    "cube-root-of-cube"          "?a"                      => "(pow (pow ?a 3) 1/3)"             at "a = -1: the right side is not defined" undefined;
    "power-of-power"             "(pow (pow ?a 2) 1/2)"    => "(pow ?a 1)"                       at "a = -1";
    "inverse-tangent-of-inverse" "(atan (div 1 ?a))"       => "(sub (div pi 2) (atan ?a))"       at "a = -1";
    "zero-to-any-power"          "(pow 0 (abs ?a))"        => "0"                                at "a = 0";
    "difference-of-squares-root" "(sqrt (sub (pow ?a 2) 1))" => "(mul (sqrt (sub ?a 1)) (sqrt (add ?a 1)))" at "a = -2: the right side is not defined" undefined;
    "pythagoras-with-a-minus"    "(sub (pow (sin ?a) 2) (pow (cos ?a) 2))" => "1"                at "a = 0";
    "sigmoid-is-even"            "(sigmoid (neg ?a))"      => "(sigmoid ?a)"                     at "a = 1";
    "maximum-of-products"        "(max (mul ?a ?c) (mul ?b ?c))" => "(mul (max ?a ?b) ?c)"       at "a = 1, b = 2, c = -1";
}
