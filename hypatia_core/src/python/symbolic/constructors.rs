//! The constructors of `Symbol`: leaves and functions.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::error::Error;
use crate::symbolic::expression::{Expression, Operator};
use crate::symbolic::function::Function;
use crate::symbolic::parse;
use crate::symbolic::prove::Assumptions;
use crate::symbolic::sign::SignSet;

use super::conversion::{expression_or_text, number, type_name};
use super::symbol::PySymbol;

/// A constructor of one argument, by function.
fn apply(function: Function, argument: &Bound<'_, PyAny>) -> PyResult<PySymbol> {
    let argument = expression_or_text(argument)?;
    Ok(argument.with(Expression::call(function, argument.expression.clone())))
}

fn apply2(function: Function, a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<PySymbol> {
    let (a, b) = (expression_or_text(a)?, expression_or_text(b)?);
    let assumptions = a.joined_assumptions(&b)?;
    Ok(PySymbol {
        expression: Expression::call2(function, a.expression, b.expression),
        assumptions,
    })
}

fn of_vectors(name: &str) -> PyErr {
    Error::new(format!(
        "'{name}' acts on vectors and a Symbol is one real number; as a tensor operator it is read in text, ({name} a)"
    ))
    .into()
}

macro_rules! constructors {
    ($($name:ident $function:ident,)*) => {
        #[pymethods]
        impl PySymbol {
            /// The variable of this name, with what is assumed of its sign.
            #[staticmethod]
            #[pyo3(signature = (name, *, positive=false, negative=false, nonnegative=false, nonpositive=false, nonzero=false, real=true))]
            #[allow(clippy::fn_params_excessive_bools, clippy::too_many_arguments)]
            fn variable(
                name: &str, positive: bool, negative: bool, nonnegative: bool, nonpositive: bool, nonzero: bool, real: bool,
            ) -> PyResult<Self> {
                if !parse::is_name(name) {
                    return Err(Error::new(format!(
                        "'{}' cannot name a variable: a letter or '_' comes first, then letters, digits, '_', '.' or \"'\"; pi is a number",
                        parse::clip(name).escape_debug()
                    )).into());
                }
                if !real {
                    return Err(Error::new("variables are real").into());
                }
                let given = [
                    (positive, SignSet::POSITIVE), (negative, SignSet::NEGATIVE), (nonnegative, SignSet::NON_NEGATIVE),
                    (nonpositive, SignSet::NON_POSITIVE), (nonzero, SignSet::NON_ZERO),
                ];
                let signs = given.iter().filter(|(given, _)| *given).fold(SignSet::ANY, |all, (_, signs)| all.and(*signs));
                if signs.within(SignSet::POSITIVE) && signs.within(SignSet::NEGATIVE) {
                    return Err(Error::new(format!("no number has all the signs assumed of '{name}'")).into());
                }
                let mut assumptions = Assumptions::new();
                if signs != SignSet::ANY {
                    assumptions.insert(name.into(), signs);
                }
                Ok(Self::new(Expression::variable(name), assumptions))
            }

            /// The number: exact for integers and fractions, inexact for floats.
            #[staticmethod]
            #[pyo3(name = "const")]
            fn constant(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                match number(value)? {
                    Some(expression) => Ok(Self::new(expression, Assumptions::new())),
                    None => Err(PyTypeError::new_err(format!("expected a number, found {}", type_name(value)))),
                }
            }

            /// The number π.
            #[staticmethod]
            fn pi() -> Self {
                Self::new(Expression::pi(), Assumptions::new())
            }

            $(
                #[staticmethod]
                fn $name(argument: &Bound<'_, PyAny>) -> PyResult<Self> {
                    apply(Function::$function, argument)
                }
            )*

            #[staticmethod]
            fn max(first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> PyResult<Self> {
                apply2(Function::Max, first, second)
            }

            #[staticmethod]
            fn min(first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> PyResult<Self> {
                apply2(Function::Min, first, second)
            }

            #[staticmethod]
            fn hypot(first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> PyResult<Self> {
                apply2(Function::Hypot, first, second)
            }

            #[staticmethod]
            fn pow(base: &Bound<'_, PyAny>, exponent: &Bound<'_, PyAny>) -> PyResult<Self> {
                let (base, exponent) = (expression_or_text(base)?, expression_or_text(exponent)?);
                let assumptions = base.joined_assumptions(&exponent)?;
                let expression = Expression::binary(Operator::Pow, base.expression, exponent.expression);
                Ok(Self { expression, assumptions })
            }

            /// Raises: a softmax of one number is not a scalar function.
            #[staticmethod]
            fn softmax(_argument: &Bound<'_, PyAny>) -> PyResult<Self> {
                Err(of_vectors("softmax"))
            }

            /// Raises: a mean of one number is not a scalar function.
            #[staticmethod]
            fn mean(_argument: &Bound<'_, PyAny>) -> PyResult<Self> {
                Err(of_vectors("mean"))
            }

            /// Raises: a variance of one number is not a scalar function.
            #[staticmethod]
            fn variance(_argument: &Bound<'_, PyAny>) -> PyResult<Self> {
                Err(of_vectors("variance"))
            }
        }
    };
}

constructors! {
    exp Exp, log Log, sqrt Sqrt, sin Sin, cos Cos, tan Tan, asin Asin, acos Acos, atan Atan,
    sinh Sinh, cosh Cosh, tanh Tanh, asinh Asinh, acosh Acosh, atanh Atanh,
    abs Abs, sign Sign, floor Floor, relu Relu, relu_grad ReluGrad, sigmoid Sigmoid, softplus Softplus,
    gelu Gelu, silu Silu, erf Erf, expm1 Expm1, log1p Log1p,
}
