//! `PyMultiVector2D` and `PyMultiVector3D`: multivectors of the Euclidean plane and of space.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::multivector::PyMultiVector;
use super::operand::{Value, coefficients, numbers};
use crate::clifford::{Algebra, Grades, Multivector};
use crate::error::{Error, Result};

/// What both classes have, from the model's name and its accessors: name, place, sign, what it says.
macro_rules! euclidean {
    ($(#[$attribute:meta])* $class:ident, $model:literal,
     $($accessor:ident $place:literal $sign:literal $meaning:literal)*) => {
        $(#[$attribute])*
        #[pyclass(module = "hypatia_core", extends = PyMultiVector, frozen)]
        pub(super) struct $class;

        impl $class {
            fn algebra() -> Result<&'static Algebra> {
                Algebra::named($model)
            }
        }

        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (*values))]
            fn new(values: &Bound<'_, PyTuple>) -> PyResult<PyClassInitializer<Self>> {
                let value = Multivector::new(Self::algebra()?, coefficients(values)?)?;
                Ok(PyClassInitializer::from(PyMultiVector { value }).add_subclass(Self))
            }

            /// A scalar.
            #[staticmethod]
            fn scalar(s: f64) -> Result<Value> {
                Ok(Value(Multivector::scalar(Self::algebra()?, s)))
            }

            /// The rotor that turns the direction of one vector to that of another by the shorter way.
            #[staticmethod]
            fn rotor_between(a: &PyMultiVector, b: &PyMultiVector) -> Result<Value> {
                let algebra = a.value.algebra();
                if algebra != Self::algebra()? {
                    let model = $model;
                    return Err(Error::new(format!("expected a vector of {model}, got one of {algebra}")));
                }
                Ok(Value(Multivector::rotor_between(&a.value, &b.value)?))
            }

            /// The rotor of a rotation matrix, given by rows. Raises HypatiaError if it is none.
            #[staticmethod]
            fn from_matrix(rows: &Bound<'_, PyAny>) -> PyResult<Value> {
                let rows: Vec<Vec<f64>> =
                    rows.try_iter()?.map(|row| numbers(&row?)).collect::<PyResult<_>>()?;
                Ok(Value(Multivector::from_matrix(Self::algebra()?, &rows)?))
            }

            /// The vector R v ~R.
            ///
            /// Raises HypatiaError if v is not a vector, or of another algebra.
            fn rotate_vector(slf: PyRef<'_, Self>, v: &PyMultiVector) -> Result<Value> {
                let v = &v.value;
                if v.grades().0 & !Grades::only(1).0 != 0 {
                    return Err(Error::new(format!(
                        "rotate_vector takes a vector, but got {v}; sandwich takes any multivector"
                    )));
                }
                Ok(Value(slf.as_super().value.sandwich(v)?.grade(1)))
            }

            $(
                #[doc = $meaning]
                fn $accessor(slf: PyRef<'_, Self>) -> f64 {
                    f64::from($sign) * slf.as_super().value.coefficients()[$place]
                }
            )*
        }
    };
}

euclidean! {
    /// A multivector of the Euclidean plane: coefficients [s, e1, e2, e12]. It does not change.
    ///
    /// Takes four numbers or one iterable of four. Raises HypatiaError for another number of them.
    ///
    /// >>> from math import pi
    /// >>> from hypatia_core import PyMultiVector2D
    /// >>> v = PyMultiVector2D.rotor(pi / 2).rotate_vector(PyMultiVector2D.vector(1.0, 0.0))
    /// >>> v.isclose(PyMultiVector2D.vector(0.0, 1.0))
    /// True
    PyMultiVector2D, "VGA2D",
    s   0 1 "The scalar coefficient."
    e1  1 1 "The coefficient of e1."
    e2  2 1 "The coefficient of e2."
    e12 3 1 "The coefficient of e12."
}

#[pymethods]
impl PyMultiVector2D {
    /// The vector x e1 + y e2.
    #[staticmethod]
    fn vector(x: f64, y: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(Self::algebra()?, 1, &[x, y])?))
    }

    /// The bivector e12 times a number.
    #[staticmethod]
    fn bivector(e12: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(Self::algebra()?, 2, &[e12])?))
    }

    /// The rotor cos(theta/2) - sin(theta/2) e12, which turns counter-clockwise by theta radians.
    ///
    /// Raises HypatiaError if theta is not finite.
    #[staticmethod]
    fn rotor(theta: f64) -> Result<Value> {
        let plane = Multivector::pseudoscalar(Self::algebra()?);
        Ok(Value(Multivector::rotor(&plane, theta)?))
    }
}

euclidean! {
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
    PyMultiVector3D, "VGA3D",
    s    0 1 "The scalar coefficient."
    e1   1 1 "The coefficient of e1."
    e2   2 1 "The coefficient of e2."
    e3   3 1 "The coefficient of e3."
    e12  4 1 "The coefficient of e12."
    e23  5 1 "The coefficient of e23."
    e31  6 1 "The coefficient of e31."
    e13  6 -1 "The coefficient of e13 = -e31."
    e123 7 1 "The coefficient of e123."
}

#[pymethods]
impl PyMultiVector3D {
    /// The vector x e1 + y e2 + z e3.
    #[staticmethod]
    fn vector(x: f64, y: f64, z: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(
            Self::algebra()?,
            1,
            &[x, y, z],
        )?))
    }

    /// The bivector with these coefficients of e12, e23 and e31.
    #[staticmethod]
    fn bivector(e12: f64, e23: f64, e31: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(
            Self::algebra()?,
            2,
            &[e12, e23, e31],
        )?))
    }

    /// The trivector e123 times a number.
    #[staticmethod]
    fn trivector(e123: f64) -> Result<Value> {
        Ok(Value(Multivector::of_grade(Self::algebra()?, 3, &[e123])?))
    }

    /// The rotor cos(theta/2) - sin(theta/2) B by theta radians, counter-clockwise about the axis
    /// (ax, ay, az), whose length does not matter: B is the plane orthogonal to it.
    ///
    /// Raises HypatiaError if theta or the axis is not finite, or the axis is zero.
    #[staticmethod]
    fn rotor(theta: f64, ax: f64, ay: f64, az: f64) -> Result<Value> {
        Ok(Value(Multivector::rotor_about(
            Self::algebra()?,
            theta,
            [ax, ay, az],
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
        Ok(Value(Multivector::from_quaternion(
            Self::algebra()?,
            parts,
        )?))
    }

    /// The unit quaternion (x, y, z, w), scalar last. Raises HypatiaError if this is not a rotor.
    fn to_quaternion(slf: PyRef<'_, Self>) -> Result<[f64; 4]> {
        slf.as_super().value.to_quaternion()
    }

    /// The rotor of a scipy.spatial.transform.Rotation that holds one rotation.
    #[staticmethod]
    fn from_rotation(rotation: &Bound<'_, PyAny>) -> PyResult<Value> {
        let quaternion = rotation.call_method0("as_quat")?;
        if quaternion.getattr("ndim")?.extract::<usize>()? != 1 {
            let count = quaternion.len()?;
            return Err(Error::new(format!(
                "from_rotation takes one rotation, but {count} were given"
            ))
            .into());
        }
        Self::from_quaternion(&quaternion)
    }

    /// A scipy.spatial.transform.Rotation of the same rotation; needs SciPy.
    fn to_rotation<'py>(slf: PyRef<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let rotation = py.import("scipy.spatial.transform")?.getattr("Rotation")?;
        rotation.call_method1("from_quat", (slf.as_super().value.to_quaternion()?,))
    }
}
