//! Methods of `Symbol` that transform: tactics, integrals, series, limits, solutions, printing, pickling.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};

use crate::error::Error;
use crate::symbolic::expression::{Expression, Operator};
use crate::symbolic::integrate::integrate;
use crate::symbolic::latex::{to_infix, to_latex};
use crate::symbolic::limit::{Tendency, at_infinity};
use crate::symbolic::print::to_text;
use crate::symbolic::series::{Side, limit, series};
use crate::symbolic::solve::solve;
use crate::symbolic::tactic::{Tactic, apply};

use super::conversion::{assumptions_from, expression_or_text, sign_name};
use super::symbol::{PySymbol, variable_name};
use super::without_lock;

impl PySymbol {
    fn by(&self, py: Python<'_>, tactic: Tactic) -> PyResult<Self> {
        Ok(self.with(without_lock(py, || {
            apply(tactic, &self.expression, &self.assumptions)
        })?))
    }
}

#[pymethods]
impl PySymbol {
    /// Products and whole powers of sums multiplied out.
    fn expand(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Expand)
    }

    /// A product of factors over the rationals.
    fn factor(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Factor)
    }

    /// One fraction in lowest terms; defined also where a common factor vanished.
    fn cancel(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Cancel)
    }

    /// One fraction in lowest terms with both sides in factors.
    fn together(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Together)
    }

    /// The smallest form that trigonometric and hyperbolic identities lead to.
    fn trigsimp(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Trigsimp)
    }

    /// The smallest form that identities of powers and exponentials lead to.
    fn powsimp(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Powsimp)
    }

    /// The smallest form that identities of logarithms lead to.
    fn logcombine(&self, py: Python<'_>) -> PyResult<Self> {
        self.by(py, Tactic::Logcombine)
    }

    /// An antiderivative, proved by differentiation before it is returned.
    fn integrate(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Self> {
        let name = variable_name(name)?;
        Ok(self.with(without_lock(py, || {
            integrate(&self.expression, &name, &self.assumptions)
        })?))
    }

    /// The Taylor polynomial of degree below `order` about a point.
    #[pyo3(signature = (name, at=None, order=6))]
    fn series(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        at: Option<&Bound<'_, PyAny>>,
        order: u32,
    ) -> PyResult<Self> {
        let name = variable_name(name)?;
        let at = match at {
            Some(at) => expression_or_text(at)?.expression,
            None => Expression::integer(0),
        };
        Ok(self.with(without_lock(py, || {
            series(&self.expression, &name, &at, order, &self.assumptions)
        })?))
    }

    /// The limit at a point, by continuity, l'Hôpital's rule, or growth: from both sides, or from the `side` "left" or
    /// "right" alone; at `"oo"` or `"-oo"` (or infinite floats) by the laws of limits, by series and by growth.
    #[pyo3(signature = (name, at, side=None))]
    fn limit(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        at: &Bound<'_, PyAny>,
        side: Option<&str>,
    ) -> PyResult<Self> {
        let name = variable_name(name)?;
        let from = match side {
            None => Side::Both,
            Some("left") => Side::Left,
            Some("right") => Side::Right,
            Some(other) => {
                let message =
                    format!("unknown side '{other}': \"left\", \"right\", or None for both");
                return Err(Error::new(message).into());
            }
        };
        if let Some(positive) = infinite(at) {
            if from != Side::Both {
                return Err(
                    Error::new("an infinite place has one side only: leave `side` out").into(),
                );
            }
            let found = without_lock(py, || at_infinity(&self.expression, &name, positive))?;
            return match found {
                Tendency::Finite(limit) => Ok(self.with(limit)),
                _ => Err(Error::new("the limit is not finite").into()),
            };
        }
        let at = expression_or_text(at)?.expression;
        Ok(self.with(without_lock(py, || {
            limit(&self.expression, &name, &at, from, &self.assumptions)
        })?))
    }

    /// The real solutions of `self = 0`, each proved by substitution.
    fn solve(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Vec<Self>> {
        let name = variable_name(name)?;
        let found = without_lock(py, || solve(&self.expression, &name, &self.assumptions))?;
        Ok(found
            .into_iter()
            .map(|solution| self.with(solution))
            .collect())
    }

    /// LaTeX, without dollar signs.
    fn latex(&self) -> PyResult<String> {
        Ok(to_latex(&self.expression)?)
    }

    fn _repr_latex_(&self) -> PyResult<String> {
        Ok(format!("${}$", to_latex(&self.expression)?))
    }

    /// Infix text with Python's operators, which parses back.
    fn infix(&self) -> PyResult<String> {
        Ok(to_infix(&self.expression)?)
    }

    /// What is assumed of variables, by name.
    #[getter]
    fn assumptions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(py);
        for (name, signs) in &self.assumptions {
            found.set_item(&**name, sign_name(*signs))?;
        }
        Ok(found)
    }

    /// The exact value of a number as a fraction, of a float as a float; None for other expressions.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match self.expression.operator() {
            Operator::Rational(value) => {
                let parts: (num_bigint::BigInt, num_bigint::BigInt) =
                    (value.numer().clone(), value.denom().clone());
                Some(py.import("fractions")?.getattr("Fraction")?.call1(parts)?)
            }
            Operator::Float(bits) => Some(f64::from_bits(*bits).into_pyobject(py)?.into_any()),
            _ => None,
        })
    }

    /// This operator or function over other arguments: `node._with(args)`.
    fn _with(&self, arguments: Vec<PySymbol>) -> PyResult<Self> {
        if arguments.len() != self.expression.arguments().len() {
            return Err(PyTypeError::new_err(
                "as many arguments as before are needed",
            ));
        }
        let arguments: Vec<Expression> = arguments
            .into_iter()
            .map(|argument| argument.expression)
            .collect();
        Ok(self.with(Expression::new(
            self.expression.operator().clone(),
            arguments,
        )))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rebuild = py
            .import("hypatia_core._hypatia_core")?
            .getattr("_symbol_from")?;
        let text = to_text(&self.expression)?;
        PyTuple::new(
            py,
            [
                rebuild,
                (text, self.assumptions(py)?).into_pyobject(py)?.into_any(),
            ],
        )
    }

    /// A function of arrays or numbers: see `hypatia_core.symbolic.callables.to_callable`.
    #[pyo3(signature = (names=None, *, backend="numpy"))]
    fn to_callable<'py>(
        slf: &Bound<'py, Self>,
        names: Option<Bound<'py, PyAny>>,
        backend: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("hypatia_core.symbolic.callables")?
            .call_method1("to_callable", (slf, names, backend))
    }

    /// Shared parts by name, and the expression over them: see `hypatia_core.symbolic.callables.cse`.
    fn cse<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("hypatia_core.symbolic.callables")?
            .call_method1("cse", (slf,))
    }

    /// A C function: see `hypatia_core.symbolic.callables.to_c`.
    #[pyo3(signature = (name="f"))]
    fn to_c<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("hypatia_core.symbolic.callables")?
            .call_method1("to_c", (slf, name))
    }

    /// The expression as SymPy has it: see `hypatia_core.symbolic.sympy_bridge`.
    fn _sympy_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("hypatia_core.symbolic.sympy_bridge")?
            .call_method1("to_sympy", (slf,))
    }

    /// The Symbol of a SymPy expression.
    #[staticmethod]
    fn from_sympy<'py>(expression: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        expression
            .py()
            .import("hypatia_core.symbolic.sympy_bridge")?
            .call_method1("from_sympy", (expression,))
    }
}

/// Whether the place of a limit is infinite, and on which side.
fn infinite(at: &Bound<'_, PyAny>) -> Option<bool> {
    if let Ok(text) = at.extract::<String>() {
        return match text.trim().trim_start_matches('+') {
            "oo" | "inf" => Some(true),
            "-oo" | "-inf" => Some(false),
            _ => None,
        };
    }
    let value = at.cast::<PyFloat>().ok()?.value();
    value.is_infinite().then_some(value > 0.0)
}

/// What pickling rebuilds a Symbol from.
#[pyfunction]
pub(super) fn _symbol_from(text: &str, assumptions: &Bound<'_, PyDict>) -> PyResult<PySymbol> {
    let expression = crate::symbolic::parse::parse(text)?;
    Ok(PySymbol::new(expression, assumptions_from(assumptions)?))
}
