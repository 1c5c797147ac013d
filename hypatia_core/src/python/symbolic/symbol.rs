//! The Python class of expressions.

use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::symbolic::columns::Column;
use crate::symbolic::cost::Cost;
use crate::symbolic::derivative::nth_derivative;
use crate::symbolic::evaluate::{Program, evaluate};
use crate::symbolic::expression::{Expression, Operator};
use crate::symbolic::function::Function;
use crate::symbolic::parse::parse;
use crate::symbolic::print::to_text;
use crate::symbolic::prove::Assumptions;
use crate::symbolic::simplify::simplify;
use crate::symbolic::substitute::substitute;

use super::conversion::{expression_or_text, number_or_symbol, type_name};
use super::doubles::Doubles;
use super::without_lock;

/// A symbolic expression over the reals. Immutable; ``==`` compares structure, ``is_equivalent`` mathematics.
///
/// ``Symbol(text)`` parses, as ``parse_expr`` does; ``Symbol.variable`` and ``Symbol.const`` make leaves.
#[pyclass(
    frozen,
    name = "Symbol",
    module = "hypatia_core._hypatia_core",
    from_py_object
)]
#[derive(Clone)]
pub(crate) struct PySymbol {
    pub(super) expression: Expression,
    pub(super) assumptions: Assumptions,
}

impl PySymbol {
    pub(super) fn new(expression: Expression, assumptions: Assumptions) -> Self {
        Self {
            expression,
            assumptions,
        }
    }

    /// The assumptions of both; a variable assumed differently in each is an error.
    pub(super) fn joined_assumptions(&self, other: &Self) -> Result<Assumptions> {
        let mut joined = self.assumptions.clone();
        for (name, signs) in &other.assumptions {
            if let Some(known) = joined.insert(name.clone(), *signs)
                && known != *signs
            {
                joined.insert(name.clone(), known.and(*signs));
            }
        }
        Ok(joined)
    }

    pub(super) fn with(&self, expression: Expression) -> Self {
        Self {
            expression,
            assumptions: self.assumptions.clone(),
        }
    }

    fn combined(
        &self,
        other: &Bound<'_, PyAny>,
        operator: Operator,
        swapped: bool,
    ) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Some(other) = number_or_symbol(other)? else {
            return Ok(py.NotImplemented());
        };
        let (left, right) = if swapped {
            (&other, self)
        } else {
            (self, &other)
        };
        let assumptions = self.joined_assumptions(&other)?;
        let expression =
            Expression::binary(operator, left.expression.clone(), right.expression.clone());
        Ok(Self {
            expression,
            assumptions,
        }
        .into_pyobject(py)?
        .into_any()
        .unbind())
    }
}

#[pymethods]
impl PySymbol {
    #[new]
    fn from_text(py: Python<'_>, text: &str) -> PyResult<Self> {
        Ok(Self::new(
            without_lock(py, || parse(text))?,
            Assumptions::new(),
        ))
    }

    /// The n-th derivative with respect to the variable.
    #[pyo3(signature = (name, n=1))]
    fn derivative(&self, py: Python<'_>, name: &Bound<'_, PyAny>, n: u32) -> PyResult<Self> {
        let name = variable_name(name)?;
        let expression = self.expression.clone();
        Ok(self.with(without_lock(py, move || {
            nth_derivative(&expression, &name, n)
        })?))
    }

    /// Replaces variables by numbers, Symbols or text, all at once.
    fn subs(&self, py: Python<'_>, values: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut replacements = FxHashMap::default();
        let mut assumptions = self.assumptions.clone();
        for (name, value) in values {
            let name = variable_name(&name)?;
            assumptions.remove(name.as_str());
            replacements.insert(name, expression_or_text(&value)?);
        }
        for replacement in replacements.values() {
            for (name, signs) in &replacement.assumptions {
                assumptions.insert(name.clone(), *signs);
            }
        }
        let replacements = replacements
            .into_iter()
            .map(|(name, value)| (name, value.expression))
            .collect();
        let expression = without_lock(py, || Ok(substitute(&self.expression, &replacements)))?;
        Ok(Self {
            expression,
            assumptions,
        })
    }

    /// The value at a point, in double precision; elementwise where NumPy arrays are given.
    #[pyo3(signature = (values=None))]
    fn eval<'py>(
        slf: &Bound<'py, Self>,
        values: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let mut point = FxHashMap::default();
        if let Some(values) = values {
            for (name, value) in values {
                let name = variable_name(&name)?;
                if value.hasattr("shape")? && value.getattr("shape")?.len()? > 0 {
                    return py
                        .import("hypatia_core.symbolic.arrays")?
                        .call_method1("evaluate", (slf, values));
                }
                let number = match value.extract::<f64>() {
                    Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
                        return Err(Error::new(format!(
                            "the value of '{name}' is beyond the range of a double"
                        ))
                        .into());
                    }
                    Err(_) => {
                        return Err(PyTypeError::new_err(format!(
                            "the value of '{name}' is a {}, not a number",
                            type_name(&value)
                        )));
                    }
                    Ok(number) => number,
                };
                point.insert(name, number);
            }
        }
        let expression = slf.get().expression.clone();
        let value = without_lock(py, move || evaluate(&expression, &point))?;
        Ok(value.into_pyobject(py)?.into_any())
    }

    /// The values over arrays of doubles, written to another; NaN where undefined. See `hypatia_core.symbolic.arrays`.
    fn _eval_columns(
        &self,
        py: Python<'_>,
        columns: Vec<Bound<'_, PyAny>>,
        result: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let program = Program::new(&self.expression)?;
        if columns.len() != program.names().len() {
            return Err(Error::new("one column a variable is needed").into());
        }
        let result = Doubles::of(result, true)?;
        let columns = columns
            .iter()
            .map(|column| Doubles::of(column, false))
            .collect::<PyResult<Vec<_>>>()?;
        if columns
            .iter()
            .any(|column| column.count != result.count && !column.is_scalar)
        {
            return Err(Error::new("columns of unequal length").into());
        }
        if columns.iter().any(|column| column.overlaps(&result)) {
            return Err(Error::new("a column lies in the result's memory").into());
        }
        without_lock(py, || {
            // SAFETY: the arrays are held by the caller until this returns, NumPy's memory does not move while it is
            // referred to, and no column lies in the result's.
            unsafe {
                let columns: Vec<Column<'_>> = columns
                    .iter()
                    .map(|column| match (column.is_scalar, column.slice()) {
                        (true, [value]) => Column::One(*value),
                        (_, values) => Column::Each(values),
                    })
                    .collect();
                program.run_columns(&columns, result.slice_mut());
            }
            Ok(())
        })
    }

    /// An expression of the same value and domain that is not larger.
    fn simplify(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(self.with(without_lock(py, || {
            Ok(simplify(&self.expression, &self.assumptions, Cost::Nodes))
        })?))
    }

    /// The variables that occur, by name.
    #[getter]
    fn free_symbols(&self) -> std::collections::BTreeSet<String> {
        self.expression
            .variables()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// The arguments of the outermost operator.
    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(
            py,
            self.expression
                .arguments()
                .iter()
                .map(|argument| self.with(argument.clone())),
        )
    }

    /// The outermost operator's name; `"number"`, `"float"`, `"variable"` or `"pi"` for leaves.
    #[getter]
    fn func(&self) -> &'static str {
        match self.expression.operator() {
            Operator::Rational(_) => "number",
            Operator::Float(_) => "float",
            Operator::Variable(_) => "variable",
            Operator::Pi => "pi",
            other => other.name().unwrap_or("unknown"),
        }
    }

    /// Nodes of the expression as a tree.
    #[getter]
    fn size(&self) -> u64 {
        self.expression.size()
    }

    fn __add__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Add, false)
    }

    fn __radd__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Add, true)
    }

    fn __sub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Sub, false)
    }

    fn __rsub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Sub, true)
    }

    fn __mul__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Mul, false)
    }

    fn __rmul__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Mul, true)
    }

    fn __truediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Div, false)
    }

    fn __rtruediv__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.combined(other, Operator::Div, true)
    }

    fn __pow__(
        &self,
        other: &Bound<'_, PyAny>,
        modulus: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if modulus.is_some() {
            return Err(PyTypeError::new_err("a power of a Symbol takes no modulus"));
        }
        self.combined(other, Operator::Pow, false)
    }

    fn __rpow__(
        &self,
        other: &Bound<'_, PyAny>,
        modulus: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if modulus.is_some() {
            return Err(PyTypeError::new_err("a power of a Symbol takes no modulus"));
        }
        self.combined(other, Operator::Pow, true)
    }

    fn __neg__(&self) -> Self {
        self.with(Expression::new(
            Operator::Neg,
            vec![self.expression.clone()],
        ))
    }

    fn __pos__(&self) -> Self {
        self.clone()
    }

    fn __abs__(&self) -> Self {
        self.with(Expression::call(Function::Abs, self.expression.clone()))
    }

    fn __floor__(&self) -> Self {
        self.with(Expression::call(Function::Floor, self.expression.clone()))
    }

    fn __richcmp__(
        &self,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        operation: CompareOp,
    ) -> PyResult<Py<PyAny>> {
        let equal = other
            .cast::<Self>()
            .ok()
            .map(|other| self.expression == other.get().expression);
        match (operation, equal) {
            (CompareOp::Eq, Some(equal)) => {
                Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
            }
            (CompareOp::Ne, Some(equal)) => {
                Ok((!equal).into_pyobject(py)?.to_owned().into_any().unbind())
            }
            (CompareOp::Eq | CompareOp::Ne, None) => Ok(py.NotImplemented()),
            _ => Err(PyTypeError::new_err(
                "Symbols have no order; compare their values with eval",
            )),
        }
    }

    fn __hash__(&self) -> u64 {
        self.expression.hash_code()
    }

    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(
            "a Symbol is neither true nor false; ask == or is_equivalent",
        ))
    }

    fn __str__(&self) -> PyResult<String> {
        Ok(to_text(&self.expression)?)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!(
            "Symbol('{}')",
            to_text(&self.expression)?
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
        ))
    }
}

/// The name given as text or as a variable.
pub(super) fn variable_name(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(symbol) = value.cast::<PySymbol>() {
        return match symbol.get().expression.operator() {
            Operator::Variable(name) => Ok(name.to_string()),
            _ => Err(PyTypeError::new_err(
                "expected a variable or its name, found an expression",
            )),
        };
    }
    value.extract::<String>().map_err(|_| {
        PyTypeError::new_err(format!(
            "expected a variable or its name, found {}",
            type_name(value)
        ))
    })
}
