//! `PyMultiVector3D`: multivectors of Euclidean space.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::multivector::PyMultiVector;
use super::operand::{Value, coefficients, numbers};
use crate::clifford::{Algebra, Grades, Multivector, Signature};
use crate::error::{Error, Result};

/// A multivector of Euclidean space: coefficients [s, e1, e2, e3, e12, e23, e31, e123], e31 = -e13.
/// It does not change.
///
/// Takes eight numbers or one iterable of eight. Raises HypatiaError for another number of them.
///
/// >>> from math import pi
/// >>> from hypatia_core import PyMultiVector3D
/// >>> r = PyMultiVector3D.rotor(pi / 2, 0.0, 0.0, 2.0)
/// >>> r.rotate_vector(PyMultiVector3D.vector(1.0, 0.0, 0.0)).isclose(PyMultiVector3D.vector(0.0, 1.0, 0.0))
/// True
#[pyclass(name = "PyMultiVector3D", module = "hypatia_core", extends = PyMultiVector, frozen)]
pub(super) struct PyMultiVector3D;

fn algebra() -> Result<Arc<Algebra>> {
    Ok(Algebra::of(Signature::named("VGA3D")?))
}

/// The rows of a matrix.
pub(super) fn matrix(rows: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<f64>>> {
    rows.try_iter()?.map(|row| numbers(&row?)).collect()
}

/// R v ~R for a vector v of the algebra of R.
pub(super) fn rotate_vector(rotor: &Multivector, v: &Multivector) -> Result<Value> {
    if v.grades().0 & !Grades::only(1).0 != 0 {
        return Err(Error::new(format!(
            "rotate_vector takes a vector, but got {v}; sandwich takes any multivector"
        )));
    }
    Ok(Value(rotor.sandwich(v)?.grade(1)))
}

#[pymethods]
impl PyMultiVector3D {
    #[new]
    #[pyo3(signature = (*values))]
    fn new(values: &Bound<'_, PyTuple>) -> PyResult<PyClassInitializer<Self>> {
        let value = Multivector::new(&algebra()?, coefficients(values)?)?;
        Ok(PyClassInitializer::from(PyMultiVector { value }).add_subclass(Self))
    }

    /// The vector x e1 + y e2 + z e3.
    #[staticmethod]
    fn vector(x: f64, y: f64, z: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(&algebra()?, 1, &[x, y, z])?))
    }

    /// A scalar.
    #[staticmethod]
    fn scalar(s: f64) -> Result<Value> {
        Ok(Value(Multivector::scalar(&algebra()?, s)))
    }

    /// The bivector with these coefficients of e12, e23 and e31.
    #[staticmethod]
    fn bivector(e12: f64, e23: f64, e31: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(
            &algebra()?,
            2,
            &[e12, e23, e31],
        )?))
    }

    /// The trivector e123 times a number.
    #[staticmethod]
    fn trivector(e123: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(&algebra()?, 3, &[e123])?))
    }

    /// The rotor cos(theta/2) - sin(theta/2) B by theta radians, counter-clockwise about the axis
    /// (ax, ay, az), whose length does not matter: B is the plane orthogonal to it.
    ///
    /// Raises HypatiaError if theta or the axis is not finite, or the axis is zero.
    #[staticmethod]
    fn rotor(theta: f64, ax: f64, ay: f64, az: f64) -> Result<Value> {
        Ok(Value(Multivector::rotor_about(
            &algebra()?,
            theta,
            [ax, ay, az],
        )?))
    }

    /// The rotor that turns the direction of one vector to that of another by the shorter way.
    #[staticmethod]
    fn rotor_between(a: &PyMultiVector, b: &PyMultiVector) -> Result<Value> {
        if a.value.algebra().signature().counts() != (3, 0, 0) {
            let other = a.value.algebra();
            return Err(Error::new(format!(
                "expected a vector of VGA3D, got one of {other}"
            )));
        }
        Ok(Value(Multivector::rotor_between(&a.value, &b.value)?))
    }

    /// The rotor of a 3 x 3 rotation matrix, given by rows. Raises HypatiaError if it is none.
    #[staticmethod]
    fn from_matrix(rows: &Bound<'_, PyAny>) -> PyResult<Value> {
        Ok(Value(Multivector::from_matrix(
            &algebra()?,
            &matrix(rows)?,
        )?))
    }

    /// The rotor of a quaternion (x, y, z, w), scalar last and active, of any length but zero.
    #[staticmethod]
    fn from_quaternion(quaternion: &Bound<'_, PyAny>) -> PyResult<Value> {
        let values = numbers(quaternion)?;
        let parts: [f64; 4] = values.try_into().map_err(|values: Vec<f64>| {
            Error::new(format!(
                "a quaternion has 4 components (x, y, z, w), but {} were given",
                values.len()
            ))
        })?;
        Ok(Value(Multivector::from_quaternion(&algebra()?, parts)?))
    }

    /// The unit quaternion (x, y, z, w), scalar last. Raises HypatiaError if this is not a rotor.
    fn to_quaternion(slf: PyRef<'_, Self>) -> Result<[f64; 4]> {
        slf.as_super().value.to_quaternion()
    }

    /// The rotor of a scipy.spatial.transform.Rotation that holds one rotation.
    #[staticmethod]
    fn from_rotation(rotation: &Bound<'_, PyAny>) -> PyResult<Value> {
        Self::from_quaternion(&rotation.call_method0("as_quat")?)
    }

    /// A scipy.spatial.transform.Rotation of the same rotation; needs SciPy.
    fn to_rotation<'py>(slf: PyRef<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let rotation = py.import("scipy.spatial.transform")?.getattr("Rotation")?;
        rotation.call_method1("from_quat", (slf.as_super().value.to_quaternion()?,))
    }

    /// The vector R v ~R.
    ///
    /// Raises HypatiaError if v is not a vector of space.
    fn rotate_vector(slf: PyRef<'_, Self>, v: &PyMultiVector) -> Result<Value> {
        rotate_vector(&slf.as_super().value, &v.value)
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

    /// The coefficient of e3.
    fn e3(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[3]
    }

    /// The coefficient of e12.
    fn e12(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[4]
    }

    /// The coefficient of e23.
    fn e23(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[5]
    }

    /// The coefficient of e31.
    fn e31(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[6]
    }

    /// The coefficient of e13 = -e31.
    fn e13(slf: PyRef<'_, Self>) -> f64 {
        -slf.as_super().value.coefficients()[6]
    }

    /// The coefficient of e123.
    fn e123(slf: PyRef<'_, Self>) -> f64 {
        slf.as_super().value.coefficients()[7]
    }
}
