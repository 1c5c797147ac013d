//! Python values to expressions and back.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

use crate::error::Error;
use crate::symbolic::expression::Expression;
use crate::symbolic::parse::parse;
use crate::symbolic::prove::Assumptions;
use crate::symbolic::sign::SignSet;

use super::symbol::PySymbol;

/// A Symbol, or a number as an expression; none for other types.
pub(super) fn number_or_symbol(value: &Bound<'_, PyAny>) -> PyResult<Option<PySymbol>> {
    if let Ok(symbol) = value.cast::<PySymbol>() {
        return Ok(Some(symbol.get().clone()));
    }
    Ok(number(value)?.map(|expression| PySymbol::new(expression, Assumptions::new())))
}

/// The exact or inexact number a Python value is; none for other types.
pub(super) fn number(value: &Bound<'_, PyAny>) -> PyResult<Option<Expression>> {
    if value.is_instance_of::<PyBool>() {
        return Ok(None);
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Some(Expression::integer(value.extract::<BigInt>()?)));
    }
    if value.is_instance_of::<PyFloat>() {
        return finite(value.extract()?).map(Some);
    }
    // Fractions, and NumPy's scalars: exact where they are.
    if value.hasattr("numerator")? && value.hasattr("denominator")? {
        let part = |name: &str| -> PyResult<BigInt> {
            value.getattr(name)?.call_method0("__index__")?.extract()
        };
        let (top, bottom) = (part("numerator")?, part("denominator")?);
        if bottom.is_zero() {
            return Err(Error::new("a fraction with denominator zero").into());
        }
        return Ok(Some(Expression::rational(BigRational::new(top, bottom))));
    }
    let is_scalar = !value.hasattr("__len__")?
        && value.hasattr("__float__")?
        && !value.is_instance_of::<PyString>();
    let is_array =
        value.hasattr("shape")? && value.getattr("shape")?.len().is_ok_and(|length| length > 0);
    if is_scalar || (value.hasattr("shape")? && !is_array && value.hasattr("__float__")?) {
        return finite(value.call_method0("__float__")?.extract()?).map(Some);
    }
    Ok(None)
}

fn finite(value: f64) -> PyResult<Expression> {
    if value.is_finite() {
        Ok(Expression::float(value))
    } else {
        Err(Error::new(format!("{value} is not a number an expression can hold")).into())
    }
}

/// A Symbol, a number, or text that is parsed.
pub(super) fn expression_or_text(value: &Bound<'_, PyAny>) -> PyResult<PySymbol> {
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_str()?;
        return Ok(PySymbol::new(
            super::without_lock(value.py(), || parse(text))?,
            Assumptions::new(),
        ));
    }
    number_or_symbol(value)?.ok_or_else(|| {
        PyTypeError::new_err(format!(
            "expected a Symbol, a number or text, found {}",
            type_name(value)
        ))
    })
}

/// The name of a value's type.
pub(super) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value
        .get_type()
        .name()
        .map_or_else(|_| "another type".to_string(), |name| name.to_string())
}

/// Assumptions given as `{"x": "positive"}`.
pub(super) fn assumptions_from(values: &Bound<'_, PyDict>) -> PyResult<Assumptions> {
    let mut found = Assumptions::new();
    for (name, sign) in values {
        let (name, sign): (String, String) = (name.to_string(), sign.to_string());
        found.insert(name.into(), sign_of(&sign)?);
    }
    Ok(found)
}

/// The signs of an assumption's name.
pub(super) fn sign_of(name: &str) -> PyResult<SignSet> {
    Ok(match name {
        "positive" => SignSet::POSITIVE,
        "negative" => SignSet::NEGATIVE,
        "nonnegative" => SignSet::NON_NEGATIVE,
        "nonpositive" => SignSet::NON_POSITIVE,
        "nonzero" => SignSet::NON_ZERO,
        "real" => SignSet::ANY,
        _ => {
            return Err(Error::new(format!(
                "unknown assumption '{name}'. Assumptions: positive, negative, nonnegative, nonpositive, nonzero, real"
            ))
            .into());
        }
    })
}

/// The name of an assumption.
pub(super) fn sign_name(signs: SignSet) -> &'static str {
    match signs {
        SignSet::POSITIVE => "positive",
        SignSet::NEGATIVE => "negative",
        SignSet::NON_NEGATIVE => "nonnegative",
        SignSet::NON_POSITIVE => "nonpositive",
        SignSet::NON_ZERO => "nonzero",
        _ => "real",
    }
}
