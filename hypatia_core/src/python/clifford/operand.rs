//! What may stand beside a multivector in Python, and what comes back.

use std::borrow::Cow;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFloat, PyInt, PyType};

use super::euclidean::{PyMultiVector2D, PyMultiVector3D};
use super::multivector::PyMultiVector;
use crate::clifford::Multivector;

/// A multivector or a real number; anything else is left to the other operand's class.
pub(super) enum Operand<'py> {
    Multivector(PyRef<'py, PyMultiVector>),
    Scalar(f64),
}

static REAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();

impl<'a, 'py> FromPyObject<'a, 'py> for Operand<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(value) = object.cast::<PyMultiVector>() {
            return Ok(Self::Multivector(value.to_owned().borrow()));
        }
        real(&object).map(Self::Scalar)
    }
}

/// A real number. One-element arrays and tensors are refused: they would lose their shape and gradient.
pub(super) fn real(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    let known = object.is_instance_of::<PyFloat>() || object.is_instance_of::<PyInt>();
    if known || object.is_instance(REAL.import(object.py(), "numbers", "Real")?)? {
        return object.extract();
    }
    let kind = object.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "expected a real number or a multivector, not {kind}"
    )))
}

impl Operand<'_> {
    /// As a multivector of the algebra of `like`.
    pub(super) fn beside(&self, like: &Multivector) -> Cow<'_, Multivector> {
        match self {
            Self::Multivector(value) => Cow::Borrowed(&value.value),
            Self::Scalar(value) => Cow::Owned(Multivector::scalar(like.algebra(), *value)),
        }
    }
}

/// A result: in Python an instance of the class of its algebra.
pub(super) struct Value(pub(super) Multivector);

impl<'py> IntoPyObject<'py> for Value {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counts = self.0.algebra().signature().counts();
        let base = PyClassInitializer::from(PyMultiVector { value: self.0 });
        Ok(match counts {
            (2, 0, 0) => Bound::new(py, base.add_subclass(PyMultiVector2D))?.into_any(),
            (3, 0, 0) => Bound::new(py, base.add_subclass(PyMultiVector3D))?.into_any(),
            _ => Bound::new(py, base)?.into_any(),
        })
    }
}

/// The numbers of one iterable.
pub(super) fn numbers(iterable: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    iterable.try_iter()?.map(|item| item?.extract()).collect()
}

/// The coefficients given either as separate numbers or as one iterable of them.
pub(super) fn coefficients(arguments: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<Vec<f64>> {
    match arguments.len() {
        1 => {
            let only = arguments.get_item(0)?;
            if only.extract::<f64>().is_ok() && only.try_iter().is_err() {
                return Ok(vec![only.extract()?]);
            }
            numbers(&only)
        }
        _ => numbers(arguments.as_any()),
    }
}
