//! `PyMultiVector2D`: multivectors of the Euclidean plane.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::multivector::PyMultiVector;
use super::operand::{Value, coefficients};
use crate::clifford::{Algebra, Multivector, Signature};
use crate::error::{Error, Result};

/// A multivector of the Euclidean plane: coefficients [s, e1, e2, e12]. It does not change.
///
/// Takes four numbers or one iterable of four. Raises HypatiaError for another number of them.
///
/// >>> from math import pi
/// >>> from hypatia_core import PyMultiVector2D
/// >>> v = PyMultiVector2D.rotor(pi / 2).rotate_vector(PyMultiVector2D.vector(1.0, 0.0))
/// >>> v.isclose(PyMultiVector2D.vector(0.0, 1.0))
/// True
#[pyclass(name = "PyMultiVector2D", module = "hypatia_core", extends = PyMultiVector, frozen)]
pub(super) struct PyMultiVector2D;

fn algebra() -> Result<Arc<Algebra>> {
    Ok(Algebra::of(Signature::named("VGA2D")?))
}

#[pymethods]
impl PyMultiVector2D {
    #[new]
    #[pyo3(signature = (*values))]
    fn new(values: &Bound<'_, PyTuple>) -> PyResult<PyClassInitializer<Self>> {
        let value = Multivector::new(&algebra()?, coefficients(values)?)?;
        Ok(PyClassInitializer::from(PyMultiVector { value }).add_subclass(Self))
    }

    /// The vector x e1 + y e2.
    #[staticmethod]
    fn vector(x: f64, y: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(&algebra()?, 1, &[x, y])?))
    }

    /// A scalar.
    #[staticmethod]
    fn scalar(s: f64) -> Result<Value> {
        Ok(Value(Multivector::scalar(&algebra()?, s)))
    }

    /// The bivector e12 times a number.
    #[staticmethod]
    fn bivector(e12: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(&algebra()?, 2, &[e12])?))
    }

    /// The rotor cos(theta/2) - sin(theta/2) e12, which turns counter-clockwise by theta radians.
    ///
    /// Raises HypatiaError if theta is not finite.
    #[staticmethod]
    fn rotor(theta: f64) -> Result<Value> {
        Ok(Value(Multivector::rotor(
            &Multivector::pseudoscalar(&algebra()?),
            theta,
        )?))
    }

    /// The rotor that turns the direction of one vector to that of another by the shorter way.
    #[staticmethod]
    fn rotor_between(a: &PyMultiVector, b: &PyMultiVector) -> Result<Value> {
        in_plane(&a.value)?;
        Ok(Value(Multivector::rotor_between(&a.value, &b.value)?))
    }

    /// The rotor of a 2 x 2 rotation matrix, given by rows. Raises HypatiaError if it is none.
    #[staticmethod]
    fn from_matrix(rows: &Bound<'_, PyAny>) -> PyResult<Value> {
        Ok(Value(Multivector::from_matrix(
            &algebra()?,
            &super::space::matrix(rows)?,
        )?))
    }

    /// The vector R v ~R.
    ///
    /// Raises HypatiaError if v is not a vector of the plane.
    fn rotate_vector(slf: PyRef<'_, Self>, v: &PyMultiVector) -> Result<Value> {
        super::space::rotate_vector(&slf.as_super().value, &v.value)
    }

    /// The scalar coefficient.
    fn s(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[0]
    }

    /// The coefficient of e1.
    fn e1(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[1]
    }

    /// The coefficient of e2.
    fn e2(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[2]
    }

    /// The coefficient of e12.
    fn e12(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[3]
    }
}

fn in_plane(value: &Multivector) -> Result<()> {
    match value.algebra().signature().counts() {
        (2, 0, 0) => Ok(()),
        _ => Err(Error::new(format!(
            "expected a vector of VGA2D, got one of {}",
            value.algebra()
        ))),
    }
}
