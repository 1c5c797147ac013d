//! The identities.

use super::super::sign::SignSet;
use super::{Family, Identity};

const POSITIVE: SignSet = SignSet::POSITIVE;
const NON_NEGATIVE: SignSet = SignSet::NON_NEGATIVE;
const NON_POSITIVE: SignSet = SignSet::NON_POSITIVE;
const NON_ZERO: SignSet = SignSet::NON_ZERO;

macro_rules! both_ways {
    (==) => {
        true
    };
    (=>) => {
        false
    };
}

macro_rules! identities {
    ($($family:ident $name:literal $left:literal $arrow:tt $right:literal
        $(if $variable:literal $sign:ident)*; $why:literal, $example:literal)*) => {
        /// Every identity the search may use.
        pub const IDENTITIES: &[Identity] = &[$(Identity {
            name: $name, family: Family::$family, left: $left, right: $right, both_ways: both_ways!($arrow),
            conditions: &[$(($variable, $sign)),*], why: $why, example: $example,
        }),*];
    };
}

#[rustfmt::skip]
identities! {
    Arithmetic "addition-commutes" "(add ?a ?b)" => "(add ?b ?a)"; "the reals are a commutative group under addition", "x + y"
    Arithmetic "multiplication-commutes" "(mul ?a ?b)" => "(mul ?b ?a)"; "multiplication of reals commutes", "x * y"
    Arithmetic "addition-associates" "(add (add ?a ?b) ?c)" == "(add ?a (add ?b ?c))"; "addition of reals associates", "x + y + z"
    Arithmetic "multiplication-associates" "(mul (mul ?a ?b) ?c)" == "(mul ?a (mul ?b ?c))"; "multiplication of reals associates", "x * y * z"
    Arithmetic "multiplication-distributes" "(mul ?a (add ?b ?c))" == "(add (mul ?a ?b) (mul ?a ?c))"; "the distributive law", "x * (y + z)"
    Arithmetic "difference-is-sum-with-negative" "(sub ?a ?b)" == "(add ?a (neg ?b))"; "the definition of subtraction", "x - y"
    Arithmetic "negative-is-product" "(neg ?a)" == "(mul -1 ?a)"; "−1·a + a = 0", "-x"
    Arithmetic "negatives-cancel" "(neg (neg ?a))" => "?a"; "the inverse of the inverse", "-(-x)"
    Arithmetic "zero-is-neutral" "(add ?a 0)" => "?a"; "zero is neutral", "x + 0"
    Arithmetic "one-is-neutral" "(mul ?a 1)" => "?a"; "one is neutral", "x * 1"
    Arithmetic "product-with-zero" "(mul ?a 0)" => "0"; "0·a = 0 for every real a", "x * 0"
    Arithmetic "difference-with-itself" "(sub ?a ?a)" => "0"; "a − a = 0", "x - x"
    Arithmetic "double" "(add ?a ?a)" => "(mul 2 ?a)"; "1 + 1 = 2", "x + x"
    Arithmetic "quotient-of-itself" "(div ?a ?a)" => "1"; "a/a = 1 where a ≠ 0, which is where the left side is defined", "x / x"
    Arithmetic "quotient-is-product" "(div ?a ?b)" == "(mul ?a (div 1 ?b))"; "the definition of division", "x / y"
    Arithmetic "quotient-of-product" "(div (mul ?a ?b) ?b)" => "?a"; "cancelling a factor that is not zero", "x * y / y"
    Arithmetic "quotient-of-quotient" "(div (div ?a ?b) ?c)" == "(div ?a (mul ?b ?c))"; "(a/b)/c = a/(bc)", "x / y / z"
    Arithmetic "quotient-of-sum" "(div (add ?a ?b) ?c)" == "(add (div ?a ?c) (div ?b ?c))"; "the distributive law", "(x + y) / z"
    Arithmetic "over-one" "(div ?a 1)" => "?a"; "one is its own inverse", "x / 1"
    Power "square-is-product" "(pow ?a 2)" == "(mul ?a ?a)"; "the definition of the square", "x**2"
    Power "first-power" "(pow ?a 1)" => "?a"; "the definition of the power", "x**1"
    Power "power-zero" "(pow ?a 0)" => "1"; "the empty product, also of zero", "x**0"
    Power "powers-add" "(mul (pow ?a ?m) (pow ?a ?n))" == "(pow ?a (add ?m ?n))" if "?a" POSITIVE; "aᵐaⁿ = aᵐ⁺ⁿ for a > 0", "x**y * x**z"
    Power "powers-multiply" "(pow (pow ?a ?m) ?n)" == "(pow ?a (mul ?m ?n))" if "?a" POSITIVE; "(aᵐ)ⁿ = aᵐⁿ for a > 0", "(x**y)**z"
    Power "power-of-product" "(pow (mul ?a ?b) ?n)" == "(mul (pow ?a ?n) (pow ?b ?n))" if "?a" POSITIVE if "?b" POSITIVE; "(ab)ⁿ = aⁿbⁿ for a, b > 0", "(x*y)**z"
    Power "one-to-any-power" "(pow 1 ?n)" => "1"; "log 1 = 0", "1**x"
    Power "power-through-exponential" "(pow ?a ?n)" == "(exp (mul ?n (log ?a)))" if "?a" POSITIVE; "the definition of the real power", "x**y"
    Power "exponentials-add" "(mul (exp ?a) (exp ?b))" == "(exp (add ?a ?b))"; "the functional equation of exp", "exp(x)*exp(y)"
    Power "exponentials-subtract" "(div (exp ?a) (exp ?b))" == "(exp (sub ?a ?b))"; "the functional equation of exp", "exp(x)/exp(y)"
    Power "inverse-of-exponential" "(div 1 (exp ?a))" == "(exp (neg ?a))"; "exp(a)·exp(−a) = 1", "1/exp(x)"
    Power "exponential-of-zero" "(exp 0)" => "1"; "the empty product", "exp(0)"
    Power "power-of-exponential" "(pow (exp ?a) ?n)" == "(exp (mul ?a ?n))"; "exp(a) > 0", "exp(x)**y"
    Power "root-is-half-power" "(sqrt ?a)" == "(pow ?a 1/2)"; "the definition of the root; both need a ≥ 0", "sqrt(x)"
    Power "square-of-root" "(pow (sqrt ?a) 2)" => "?a"; "the definition of the root, where a ≥ 0", "sqrt(x)**2"
    Power "root-times-itself" "(mul (sqrt ?a) (sqrt ?a))" => "?a"; "the definition of the root, where a ≥ 0", "sqrt(x)*sqrt(x)"
    Power "roots-multiply" "(mul (sqrt ?a) (sqrt ?b))" => "(sqrt (mul ?a ?b))"; "both sides are not negative and have the same square", "sqrt(x)*sqrt(y)"
    Power "roots-divide" "(div (sqrt ?a) (sqrt ?b))" => "(sqrt (div ?a ?b))"; "both sides are not negative and have the same square", "sqrt(x)/sqrt(y)"
    Power "root-splits" "(sqrt (mul ?a ?b))" => "(mul (sqrt ?a) (sqrt ?b))" if "?a" NON_NEGATIVE if "?b" NON_NEGATIVE; "both sides are not negative and have the same square", "sqrt(x*y)"
    Power "root-of-square" "(sqrt (pow ?a 2))" == "(abs ?a)"; "both sides are not negative and have the same square", "sqrt(x**2)"
    Logarithm "logarithm-of-exponential" "(log (exp ?a))" => "?a"; "log inverts exp on all reals", "log(exp(x))"
    Logarithm "exponential-of-logarithm" "(exp (log ?a))" => "?a"; "exp inverts log where a > 0", "exp(log(x))"
    Logarithm "logarithms-add" "(add (log ?a) (log ?b))" => "(log (mul ?a ?b))"; "the functional equation of log; a, b > 0 on the left", "log(x) + log(y)"
    Logarithm "logarithms-subtract" "(sub (log ?a) (log ?b))" => "(log (div ?a ?b))"; "the functional equation of log; a, b > 0 on the left", "log(x) - log(y)"
    Logarithm "multiple-of-logarithm" "(mul ?n (log ?a))" => "(log (pow ?a ?n))"; "log aⁿ = n log a where a > 0", "y*log(x)"
    Logarithm "logarithm-splits" "(log (mul ?a ?b))" => "(add (log ?a) (log ?b))" if "?a" POSITIVE if "?b" POSITIVE; "the functional equation of log", "log(x*y)"
    Logarithm "logarithm-of-quotient" "(log (div ?a ?b))" => "(sub (log ?a) (log ?b))" if "?a" POSITIVE if "?b" POSITIVE; "the functional equation of log", "log(x/y)"
    Logarithm "logarithm-of-power" "(log (pow ?a ?n))" => "(mul ?n (log ?a))" if "?a" POSITIVE; "log aⁿ = n log a for a > 0", "log(x**y)"
    Logarithm "logarithm-of-square" "(log (pow ?a 2))" == "(mul 2 (log (abs ?a)))"; "a² = |a|²; both need a ≠ 0", "log(x**2)"
    Logarithm "logarithm-of-root" "(log (sqrt ?a))" == "(div (log ?a) 2)"; "log a^(1/2); both need a > 0", "log(sqrt(x))"
    Logarithm "negative-logarithm" "(neg (log ?a))" => "(log (div 1 ?a))"; "log 1/a = −log a where a > 0", "-log(x)"
    Logarithm "logarithm-of-one" "(log 1)" => "0"; "exp 0 = 1", "log(1)"
    Trigonometry "pythagoras" "(add (pow (sin ?a) 2) (pow (cos ?a) 2))" => "1"; "the point (cos a, sin a) lies on the unit circle", "sin(x)**2 + cos(x)**2"
    Trigonometry "sine-squared" "(sub 1 (pow (cos ?a) 2))" == "(pow (sin ?a) 2)"; "the unit circle", "1 - cos(x)**2"
    Trigonometry "cosine-squared" "(sub 1 (pow (sin ?a) 2))" == "(pow (cos ?a) 2)"; "the unit circle", "1 - sin(x)**2"
    Trigonometry "sine-is-odd" "(sin (neg ?a))" == "(neg (sin ?a))"; "reflection of the circle", "sin(-x)"
    Trigonometry "cosine-is-even" "(cos (neg ?a))" == "(cos ?a)"; "reflection of the circle", "cos(-x)"
    Trigonometry "sine-of-double" "(mul 2 (mul (sin ?a) (cos ?a)))" == "(sin (mul 2 ?a))"; "the addition theorem", "2*(sin(x)*cos(x))"
    Trigonometry "cosine-of-double" "(sub (pow (cos ?a) 2) (pow (sin ?a) 2))" == "(cos (mul 2 ?a))"; "the addition theorem", "cos(x)**2 - sin(x)**2"
    Trigonometry "sine-of-sum" "(sin (add ?a ?b))" == "(add (mul (sin ?a) (cos ?b)) (mul (cos ?a) (sin ?b)))"; "the addition theorem", "sin(x + y)"
    Trigonometry "cosine-of-sum" "(cos (add ?a ?b))" == "(sub (mul (cos ?a) (cos ?b)) (mul (sin ?a) (sin ?b)))"; "the addition theorem", "cos(x + y)"
    Trigonometry "tangent-is-quotient" "(div (sin ?a) (cos ?a))" == "(tan ?a)"; "the definition; both need cos a ≠ 0", "sin(x)/cos(x)"
    Trigonometry "tangent-is-odd" "(tan (neg ?a))" == "(neg (tan ?a))"; "sine is odd, cosine even", "tan(-x)"
    Trigonometry "sine-of-inverse" "(sin (asin ?a))" => "?a"; "asin is a right inverse, where |a| ≤ 1", "sin(asin(x))"
    Trigonometry "cosine-of-inverse" "(cos (acos ?a))" => "?a"; "acos is a right inverse, where |a| ≤ 1", "cos(acos(x))"
    Trigonometry "tangent-of-inverse" "(tan (atan ?a))" => "?a"; "atan is a right inverse", "tan(atan(x))"
    Trigonometry "inverse-sine-is-odd" "(asin (neg ?a))" == "(neg (asin ?a))"; "the inverse of an odd function", "asin(-x)"
    Trigonometry "inverse-tangent-is-odd" "(atan (neg ?a))" == "(neg (atan ?a))"; "the inverse of an odd function", "atan(-x)"
    Trigonometry "inverses-are-complementary" "(add (asin ?a) (acos ?a))" => "(div pi 2)"; "the angles of a right triangle", "asin(x) + acos(x)"
    Hyperbolic "hyperbola" "(sub (pow (cosh ?a) 2) (pow (sinh ?a) 2))" => "1"; "the point (cosh a, sinh a) lies on the unit hyperbola", "cosh(x)**2 - sinh(x)**2"
    Hyperbolic "sine-by-exponentials" "(sinh ?a)" == "(div (sub (exp ?a) (exp (neg ?a))) 2)"; "the definition", "sinh(x)"
    Hyperbolic "cosine-by-exponentials" "(cosh ?a)" == "(div (add (exp ?a) (exp (neg ?a))) 2)"; "the definition", "cosh(x)"
    Hyperbolic "exponential-by-both" "(add (cosh ?a) (sinh ?a))" == "(exp ?a)"; "the definitions", "cosh(x) + sinh(x)"
    Hyperbolic "tangent-is-quotient-of-both" "(div (sinh ?a) (cosh ?a))" == "(tanh ?a)"; "the definition; cosh a ≥ 1", "sinh(x)/cosh(x)"
    Hyperbolic "hyperbolic-tangent-is-odd" "(tanh (neg ?a))" == "(neg (tanh ?a))"; "sinh is odd, cosh even", "tanh(-x)"
    Magnitude "magnitude-of-positive" "(abs ?a)" => "?a" if "?a" NON_NEGATIVE; "the definition", "abs(x)"
    Magnitude "magnitude-of-negative" "(abs ?a)" => "(neg ?a)" if "?a" NON_POSITIVE; "the definition", "abs(x)"
    Magnitude "magnitude-of-opposite" "(abs (neg ?a))" => "(abs ?a)"; "the definition", "abs(-x)"
    Magnitude "magnitude-of-product" "(abs (mul ?a ?b))" == "(mul (abs ?a) (abs ?b))"; "signs multiply", "abs(x*y)"
    Magnitude "magnitude-of-quotient" "(abs (div ?a ?b))" == "(div (abs ?a) (abs ?b))"; "signs multiply; both need b ≠ 0", "abs(x/y)"
    Magnitude "magnitude-squared" "(pow (abs ?a) 2)" => "(pow ?a 2)"; "the square forgets the sign", "abs(x)**2"
    Magnitude "magnitude-of-magnitude" "(abs (abs ?a))" => "(abs ?a)"; "a magnitude is not negative", "abs(abs(x))"
    Magnitude "sign-times-magnitude" "(mul (sign ?a) (abs ?a))" => "?a"; "the definitions, also at zero", "sign(x)*abs(x)"
    Magnitude "sign-times-itself" "(mul ?a (sign ?a))" => "(abs ?a)"; "the definitions, also at zero", "x*sign(x)"
    Magnitude "sign-of-nonzero" "(pow (sign ?a) 2)" => "1" if "?a" NON_ZERO; "a sign that is not zero is ±1", "sign(x)**2"
    Magnitude "maximum-commutes" "(max ?a ?b)" => "(max ?b ?a)"; "the definition", "max(x, y)"
    Magnitude "minimum-commutes" "(min ?a ?b)" => "(min ?b ?a)"; "the definition", "min(x, y)"
    Magnitude "maximum-of-itself" "(max ?a ?a)" => "?a"; "the definition", "max(x, x)"
    Magnitude "minimum-of-itself" "(min ?a ?a)" => "?a"; "the definition", "min(x, x)"
    Magnitude "maximum-of-opposites" "(max ?a (neg ?a))" == "(abs ?a)"; "the definition of the magnitude", "max(x, -x)"
    Magnitude "minimum-by-maximum" "(min (neg ?a) (neg ?b))" == "(neg (max ?a ?b))"; "negation turns the order", "min(-x, -y)"
    Magnitude "maximum-associates" "(max (max ?a ?b) ?c)" == "(max ?a (max ?b ?c))"; "the largest of three", "max(max(x, y), z)"
    Magnitude "maximum-and-minimum" "(add (max ?a ?b) (min ?a ?b))" => "(add ?a ?b)"; "one of them is each", "max(x, y) + min(x, y)"
    Activation "relu-is-maximum" "(max ?a 0)" == "(relu ?a)"; "the definition", "max(x, 0)"
    Activation "relu-of-positive" "(relu ?a)" => "?a" if "?a" NON_NEGATIVE; "the definition", "relu(x)"
    Activation "relu-of-relu" "(relu (relu ?a))" => "(relu ?a)"; "relu is not negative", "relu(relu(x))"
    Activation "relu-difference" "(sub (relu ?a) (relu (neg ?a)))" => "?a"; "positive part less negative part", "relu(x) - relu(-x)"
    Activation "relu-sum" "(add (relu ?a) (relu (neg ?a)))" => "(abs ?a)"; "positive part plus negative part", "relu(x) + relu(-x)"
    Activation "sigmoid-by-exponential" "(div 1 (add 1 (exp (neg ?a))))" == "(sigmoid ?a)"; "the definition", "1/(1 + exp(-x))"
    Activation "sigmoid-of-opposite" "(sub 1 (sigmoid ?a))" == "(sigmoid (neg ?a))"; "1 − 1/(1 + e⁻ᵃ) = e⁻ᵃ/(1 + e⁻ᵃ)", "1 - sigmoid(x)"
    Activation "silu-is-product" "(mul ?a (sigmoid ?a))" == "(silu ?a)"; "the definition", "x*sigmoid(x)"
    Activation "softplus-by-logarithm" "(log (add 1 (exp ?a)))" == "(softplus ?a)"; "the definition", "log(1 + exp(x))"
    Activation "softplus-difference" "(sub (softplus ?a) (softplus (neg ?a)))" => "?a"; "log((1 + eᵃ)/(1 + e⁻ᵃ)) = a", "softplus(x) - softplus(-x)"
    Activation "tangent-by-sigmoid" "(sub (mul 2 (sigmoid (mul 2 ?a))) 1)" == "(tanh ?a)"; "both are (e²ᵃ − 1)/(e²ᵃ + 1)", "2*sigmoid(2*x) - 1"
    Activation "error-function-is-odd" "(erf (neg ?a))" == "(neg (erf ?a))"; "the integral of an even function", "erf(-x)"
    Stability "exponential-less-one" "(sub (exp ?a) 1)" == "(expm1 ?a)"; "the definition", "exp(x) - 1"
    Stability "logarithm-of-one-plus" "(log (add 1 ?a))" == "(log1p ?a)"; "the definition; both need a > −1", "log(1 + x)"
    Stability "hypotenuse" "(sqrt (add (pow ?a 2) (pow ?b 2)))" == "(hypot ?a ?b)"; "the definition", "sqrt(x**2 + y**2)"
    Stability "one-less-cosine" "(sub 1 (cos ?a))" == "(mul 2 (pow (sin (div ?a 2)) 2))"; "the half-angle theorem", "1 - cos(x)"
    Stability "conjugate-of-roots" "(sub (sqrt ?a) (sqrt ?b))" => "(div (sub ?a ?b) (add (sqrt ?a) (sqrt ?b)))" if "?a" POSITIVE; "(√a − √b)(√a + √b) = a − b", "sqrt(x + 1) - sqrt(x)"
}
