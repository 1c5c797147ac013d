//! The scalar functions: one row each, from which parsing, printing and the documentation are derived.

/// A scalar function of one or two real arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    Exp,
    Log,
    Sqrt,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Abs,
    Sign,
    Floor,
    Relu,
    ReluGrad,
    Sigmoid,
    Softplus,
    Gelu,
    Silu,
    Erf,
    Expm1,
    Log1p,
    Hypot,
    Max,
    Min,
}

/// What is known of a function by its name.
pub struct Row {
    pub function: Function,
    /// The name that is printed.
    pub name: &'static str,
    /// Further names that are read.
    pub aliases: &'static [&'static str],
    pub arity: usize,
    /// The LaTeX command or operator name.
    pub latex: &'static str,
    /// Where the function is defined over the reals, in words; empty where it is everywhere.
    pub domain: &'static str,
    pub meaning: &'static str,
}

macro_rules! functions {
    ($($variant:ident $name:literal [$($alias:literal),*] $arity:literal $latex:literal $domain:literal $meaning:literal;)*) => {
        /// Every function, in the order of the enumeration.
        pub const FUNCTIONS: &[Row] = &[$(Row {
            function: Function::$variant, name: $name, aliases: &[$($alias),*], arity: $arity,
            latex: $latex, domain: $domain, meaning: $meaning,
        }),*];
    };
}

functions! {
    Exp      "exp"       []                1 r"\exp"                    ""            "e to the power u";
    Log      "log"       ["ln"]            1 r"\log"                    "u > 0"       "the natural logarithm";
    Sqrt     "sqrt"      []                1 r"\sqrt"                   "u >= 0"      "the non-negative square root";
    Sin      "sin"       []                1 r"\sin"                    ""            "the sine of u radians";
    Cos      "cos"       []                1 r"\cos"                    ""            "the cosine of u radians";
    Tan      "tan"       []                1 r"\tan"                    "cos(u) != 0" "the tangent of u radians";
    Asin     "asin"      ["arcsin"]        1 r"\arcsin"                 "-1 <= u <= 1" "the inverse sine, in [-pi/2, pi/2]";
    Acos     "acos"      ["arccos"]        1 r"\arccos"                 "-1 <= u <= 1" "the inverse cosine, in [0, pi]";
    Atan     "atan"      ["arctan"]        1 r"\arctan"                 ""            "the inverse tangent, in (-pi/2, pi/2)";
    Sinh     "sinh"      []                1 r"\sinh"                   ""            "(exp(u) - exp(-u))/2";
    Cosh     "cosh"      []                1 r"\cosh"                   ""            "(exp(u) + exp(-u))/2";
    Tanh     "tanh"      []                1 r"\tanh"                   ""            "sinh(u)/cosh(u)";
    Asinh    "asinh"     ["arcsinh"]       1 r"\operatorname{arsinh}"   ""            "the inverse of sinh";
    Acosh    "acosh"     ["arccosh"]       1 r"\operatorname{arcosh}"   "u >= 1"      "the non-negative inverse of cosh";
    Atanh    "atanh"     ["arctanh"]       1 r"\operatorname{artanh}"   "-1 < u < 1"  "the inverse of tanh";
    Abs      "abs"       ["Abs"]           1 r"\left|"                  ""            "the magnitude";
    Sign     "sign"      ["sgn"]           1 r"\operatorname{sign}"     ""            "-1, 0 or 1";
    Floor    "floor"     []                1 r"\operatorname{floor}"    ""            "the largest integer not above u";
    Relu     "relu"      []                1 r"\operatorname{relu}"     ""            "max(u, 0)";
    ReluGrad "relu_grad" []                1 r"\operatorname{relu}'"    ""            "1 where u > 0, else 0";
    Sigmoid  "sigmoid"   []                1 r"\sigma"                  ""            "1/(1 + exp(-u))";
    Softplus "softplus"  []                1 r"\operatorname{softplus}" ""            "log(1 + exp(u))";
    Gelu     "gelu"      []                1 r"\operatorname{gelu}"     ""            "u (1 + erf(u/sqrt(2)))/2, the exact form";
    Silu     "silu"      ["swish"]         1 r"\operatorname{silu}"     ""            "u sigmoid(u)";
    Erf      "erf"       []                1 r"\operatorname{erf}"      ""            "the error function";
    Expm1    "expm1"     []                1 r"\operatorname{expm1}"    ""            "exp(u) - 1, without cancellation";
    Log1p    "log1p"     []                1 r"\operatorname{log1p}"    "u > -1"      "log(1 + u), without cancellation";
    Hypot    "hypot"     []                2 r"\operatorname{hypot}"    ""            "sqrt(u^2 + v^2), without overflow";
    Max      "max"       ["maximum", "Max"] 2 r"\max"                   ""            "the larger of u and v";
    Min      "min"       ["minimum", "Min"] 2 r"\min"                   ""            "the smaller of u and v";
}

impl Function {
    /// The row of this function.
    pub fn row(self) -> &'static Row {
        &FUNCTIONS[self as usize]
    }

    /// The name that is printed.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The function of this name or alias.
    pub fn by_name(name: &str) -> Option<Self> {
        FUNCTIONS
            .iter()
            .find(|row| row.name == name || row.aliases.contains(&name))
            .map(|row| row.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enumeration() {
        for row in FUNCTIONS {
            assert_eq!(row.function.row().name, row.name);
            assert_eq!(Function::by_name(row.name), Some(row.function));
        }
    }
}
