//! `PyMultiVector`: a multivector of any algebra, with every operation; the classes of the plane and of
//! space extend it by their constructors and accessors.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use pyo3::exceptions::{PyIndexError, PyTypeError, PyZeroDivisionError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyIterator, PyString, PyTuple};

use super::algebra::PyAlgebra;
use super::operand::{Operand, Value, numbers, real};
use crate::clifford::{Multivector, Product};
use crate::error::Result;

/// A multivector with float64 coefficients over an algebra of any signature. It does not change.
///
/// Operators, with real numbers on either side: `*` geometric, `^` outer, `|` inner (grade |r - s|,
/// scalars included), `<<` and `>>` left and right contraction, `&` regressive, `~` reverse, `/` by the
/// inverse, `**` powers. Conventions: docs/geometric.md.
///
/// `numpy.asarray` sees the coefficients without a copy, read-only.
///
/// Raises HypatiaError if the number of coefficients is not that of the blades.
///
/// >>> from hypatia_core import PyAlgebra, PyMultiVector
/// >>> pga = PyAlgebra.named("PGA2D")
/// >>> print(pga.blade("e1") ^ pga.blade("e2"))
/// e12
#[pyclass(name = "PyMultiVector", module = "hypatia_core", frozen, subclass)]
pub(super) struct PyMultiVector {
    pub(super) value: Multivector,
}

impl PyMultiVector {
    fn product(&self, product: Product, other: &Operand) -> Result<Value> {
        Ok(Value(
            self.value.product(product, &other.beside(&self.value))?,
        ))
    }

    fn product_from(&self, product: Product, other: &Operand) -> Result<Value> {
        Ok(Value(
            other.beside(&self.value).product(product, &self.value)?,
        ))
    }

    /// The algebra, where the class alone does not tell it.
    fn class_tells_algebra(&self) -> bool {
        matches!(self.value.algebra().signature().counts(), (2 | 3, 0, 0))
    }
}

#[pymethods]
impl PyMultiVector {
    #[classattr]
    #[pyo3(name = "__array_ufunc__")]
    const ARRAY_UFUNC: Option<bool> = None;

    #[new]
    fn new(algebra: &PyAlgebra, coefficients: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            value: Multivector::new(algebra.algebra, numbers(coefficients)?)?,
        })
    }

    /// Its algebra.
    #[getter]
    fn algebra(&self) -> PyAlgebra {
        PyAlgebra {
            algebra: self.value.algebra(),
        }
    }

    /// The coefficients in the order of the algebra's blades.
    fn coefficients(&self) -> Vec<f64> {
        self.value.coefficients().to_vec()
    }

    /// A NumPy array of the coefficients, a copy.
    fn to_numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("numpy")?
            .call_method1("array", (self.coefficients(),))
    }

    /// The grades with a coefficient other than zero.
    fn grades(&self) -> Vec<usize> {
        self.value.grades().iter().collect()
    }

    /// The part of grade k; zero above the dimension.
    fn grade(&self, k: usize) -> Value {
        Value(self.value.grade(k))
    }

    /// The scalar coefficient.
    fn scalar_part(&self) -> f64 {
        self.value.scalar_part()
    }

    /// The part of even grades.
    fn even(&self) -> Value {
        Value(self.value.even())
    }

    /// The part of odd grades.
    fn odd(&self) -> Value {
        Value(self.value.odd())
    }

    /// The reverse, `~a`: the factors of every blade in the opposite order.
    fn reverse(&self) -> Value {
        Value(self.value.reverse())
    }

    /// The grade involution: every vector negated.
    fn involute(&self) -> Value {
        Value(self.value.involute())
    }

    /// The Clifford conjugate: reversed and involuted.
    fn conjugate(&self) -> Value {
        Value(self.value.conjugate())
    }

    /// The dual, the right complement: b ^ b.dual() is the pseudoscalar for a basis blade b. It needs no
    /// metric.
    fn dual(&self) -> Value {
        Value(self.value.dual())
    }

    /// The inverse of `dual`.
    fn undual(&self) -> Value {
        Value(self.value.undual())
    }

    /// The metric dual a * I**-1. Raises HypatiaError where the pseudoscalar has no inverse.
    fn polarity(&self) -> Result<Value> {
        Ok(Value(self.value.polarity()?))
    }

    /// The inverse. Raises HypatiaError where there is none.
    fn inverse(&self) -> Result<Value> {
        Ok(Value(self.value.inverse()?))
    }

    /// The scalar part of a * ~a; negative where the metric makes it so.
    fn norm_squared(&self) -> f64 {
        self.value.norm_squared()
    }

    /// The root of the absolute value of `norm_squared`.
    fn norm(&self) -> f64 {
        self.value.norm()
    }

    /// Divided by its norm. Raises HypatiaError where that is zero or not finite.
    fn normalized(&self) -> Result<Value> {
        Ok(Value(self.value.normalized()?))
    }

    /// As `normalized`.
    fn normalize(&self) -> Result<Value> {
        self.normalized()
    }

    /// The exponential. Raises HypatiaError where it is not finite.
    fn exp(&self) -> Result<Value> {
        Ok(Value(self.value.exp()?))
    }

    /// The principal logarithm. Raises HypatiaError where there is none, as for the rotor -1 of a full turn.
    fn log(&self) -> Result<Value> {
        Ok(Value(self.value.log()?))
    }

    /// The principal square root. Raises HypatiaError where there is none.
    fn sqrt(&self) -> Result<Value> {
        Ok(Value(self.value.sqrt()?))
    }

    /// (ab - ba) / 2.
    fn commutator(&self, other: Operand) -> Result<Value> {
        Ok(Value(self.value.commutator(&other.beside(&self.value))?))
    }

    /// (ab + ba) / 2.
    fn anticommutator(&self, other: Operand) -> Result<Value> {
        Ok(Value(
            self.value.anticommutator(&other.beside(&self.value))?,
        ))
    }

    /// The scalar part of the product with another.
    fn scalar_product(&self, other: Operand) -> Result<f64> {
        Ok(self
            .value
            .product(Product::Scalar, &other.beside(&self.value))?
            .scalar_part())
    }

    /// The projection on the subspace of a blade.
    fn project(&self, blade: &Self) -> Result<Value> {
        Ok(Value(self.value.project(&blade.value)?))
    }

    /// What the projection leaves.
    fn reject(&self, blade: &Self) -> Result<Value> {
        Ok(Value(self.value.reject(&blade.value)?))
    }

    /// The mirror image in the hyperplane orthogonal to a vector: -n v n**-1 for a vector v.
    fn reflect(&self, normal: &Self) -> Result<Value> {
        Ok(Value(self.value.reflect(&normal.value)?))
    }

    /// The largest blade contained in both blades; in plane-based models (PGA) read it as their join.
    fn meet(&self, other: &Self) -> Result<Value> {
        Ok(Value(self.value.meet(&other.value)?))
    }

    /// The smallest blade that contains both blades; in plane-based models (PGA) read it as their meet.
    fn join(&self, other: &Self) -> Result<Value> {
        Ok(Value(self.value.join(&other.value)?))
    }

    /// self * x * ~self.
    fn sandwich(&self, x: Operand) -> Result<Value> {
        Ok(Value(self.value.sandwich(&x.beside(&self.value))?))
    }

    /// Between two rotors or motors at constant speed by the shorter way, t from 0 to 1.
    fn slerp(&self, other: &Self, t: f64) -> Result<Value> {
        Ok(Value(self.value.slerp(&other.value, t)?))
    }

    /// The rotation matrix of a rotor of a Euclidean space, as rows.
    fn to_matrix(&self) -> Result<Vec<Vec<f64>>> {
        self.value.to_matrix()
    }

    /// Whether every coefficient differs by at most atol + rtol * the largest coefficient of the two.
    #[pyo3(signature = (other, rtol=1e-9, atol=1e-12))]
    fn isclose(&self, other: Operand, rtol: f64, atol: f64) -> Result<bool> {
        self.value.is_close(&other.beside(&self.value), rtol, atol)
    }

    /// In LaTeX.
    fn latex(&self) -> String {
        self.value.latex()
    }

    fn _repr_latex_(&self) -> String {
        format!("${}$", self.value.latex())
    }

    fn __mul__(&self, other: Operand) -> Result<Value> {
        match other {
            Operand::Scalar(factor) => Ok(Value(self.value.scale(factor))),
            Operand::Multivector(_) => self.product(Product::Geometric, &other),
        }
    }

    fn __rmul__(&self, other: Operand) -> Result<Value> {
        self.product_from(Product::Geometric, &other)
    }

    fn __xor__(&self, other: Operand) -> Result<Value> {
        self.product(Product::Outer, &other)
    }

    fn __rxor__(&self, other: Operand) -> Result<Value> {
        self.product_from(Product::Outer, &other)
    }

    fn __or__(&self, other: Operand) -> Result<Value> {
        self.product(Product::Inner, &other)
    }

    fn __ror__(&self, other: Operand) -> Result<Value> {
        self.product_from(Product::Inner, &other)
    }

    fn __and__(&self, other: Operand) -> Result<Value> {
        self.product(Product::Regressive, &other)
    }

    fn __rand__(&self, other: Operand) -> Result<Value> {
        self.product_from(Product::Regressive, &other)
    }

    fn __lshift__(&self, other: Operand) -> Result<Value> {
        self.product(Product::LeftContraction, &other)
    }

    fn __rlshift__(&self, other: Operand) -> Result<Value> {
        self.product_from(Product::LeftContraction, &other)
    }

    fn __rshift__(&self, other: Operand) -> Result<Value> {
        self.product(Product::RightContraction, &other)
    }

    fn __rrshift__(&self, other: Operand) -> Result<Value> {
        self.product_from(Product::RightContraction, &other)
    }

    fn __add__(&self, other: Operand) -> Result<Value> {
        Ok(Value(match &other {
            Operand::Scalar(value) => self.value.add_scalar(*value),
            Operand::Multivector(other) => self.value.add(&other.value)?,
        }))
    }

    fn __radd__(&self, other: Operand) -> Result<Value> {
        self.__add__(other)
    }

    fn __sub__(&self, other: Operand) -> Result<Value> {
        Ok(Value(match &other {
            Operand::Scalar(value) => self.value.add_scalar(-value),
            Operand::Multivector(other) => self.value.sub(&other.value)?,
        }))
    }

    fn __rsub__(&self, other: Operand) -> Result<Value> {
        Ok(Value(other.beside(&self.value).sub(&self.value)?))
    }

    fn __truediv__(&self, other: Operand) -> PyResult<Value> {
        match other {
            Operand::Scalar(0.0) => Err(PyZeroDivisionError::new_err(
                "division of a multivector by zero",
            )),
            Operand::Scalar(divisor) => Ok(Value(self.value.unscale(divisor))),
            Operand::Multivector(other) => Ok(Value(
                self.value
                    .product(Product::Geometric, &other.value.inverse()?)?,
            )),
        }
    }

    fn __rtruediv__(&self, other: Operand) -> Result<Value> {
        Ok(Value(
            other
                .beside(&self.value)
                .product(Product::Geometric, &self.value.inverse()?)?,
        ))
    }

    /// An integer power; a real one is exp(t log a), and 0.5 the square root.
    fn __pow__(
        &self,
        exponent: &Bound<'_, PyAny>,
        modulo: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Value> {
        if modulo.is_some() {
            return Err(PyTypeError::new_err(
                "a power of a multivector takes no modulus",
            ));
        }
        if exponent.is_instance_of::<PyInt>() {
            return Ok(Value(self.value.powi(exponent.extract()?)?));
        }
        let exponent = real(exponent)?;
        if exponent == 0.5 {
            return Ok(Value(self.value.sqrt()?));
        }
        if exponent.fract() == 0.0 && exponent.abs() < 1e15 {
            return Ok(Value(self.value.powi(exponent as i64)?));
        }
        Ok(Value(self.value.log()?.scale(exponent).exp()?))
    }

    fn __neg__(&self) -> Value {
        Value(self.value.neg())
    }

    fn __pos__(&self) -> Value {
        Value(self.value.clone())
    }

    fn __invert__(&self) -> Value {
        self.reverse()
    }

    fn __abs__(&self) -> f64 {
        self.norm()
    }

    fn __bool__(&self) -> bool {
        self.value.coefficients().iter().any(|c| *c != 0.0)
    }

    fn __len__(&self) -> usize {
        self.value.coefficients().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.coefficients().into_pyobject(py)?.try_iter()
    }

    /// The coefficient of a blade by position or by name: `a["e31"]` is -`a["e13"]`.
    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<f64> {
        if let Ok(name) = key.cast::<PyString>() {
            return Ok(self.value.coefficient(name.extract()?)?);
        }
        let index: isize = key.extract()?;
        let n = self.value.coefficients().len();
        let position = if index < 0 { index + n as isize } else { index };
        let found = usize::try_from(position)
            .ok()
            .and_then(|k| self.value.coefficients().get(k));
        found
            .copied()
            .ok_or_else(|| PyIndexError::new_err(format!("{n} blades have no index {index}")))
    }

    fn __eq__(&self, other: Operand) -> bool {
        self.value == *other.beside(&self.value)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        let value = &slf.get().value;
        if value.grades().iter().all(|g| g == 0) {
            // Equal to a number, so hashed as that number.
            return PyFloat::new(slf.py(), value.scalar_part()).hash();
        }
        let mut hasher = DefaultHasher::new();
        value.algebra().signature().hash(&mut hasher);
        for c in value.coefficients() {
            (c + 0.0).to_bits().hash(&mut hasher); // −0.0 equals 0.0
        }
        Ok(hasher.finish() as isize)
    }

    /// The coefficients as the array interface of NumPy describes them: read-only, not copied.
    #[getter]
    fn __array_interface__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let coefficients = slf.get().value.coefficients();
        let description = PyDict::new(slf.py());
        description.set_item("shape", (coefficients.len(),))?;
        description.set_item(
            "typestr",
            if cfg!(target_endian = "little") {
                "<f8"
            } else {
                ">f8"
            },
        )?;
        description.set_item("data", (coefficients.as_ptr() as usize, true))?;
        description.set_item("version", 3)?;
        Ok(description)
    }

    /// The coefficients as native float64 bytes: `memoryview(bytes(a)).cast("d")`.
    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes: Vec<u8> = self
            .value
            .coefficients()
            .iter()
            .flat_map(|c| c.to_ne_bytes())
            .collect();
        PyBytes::new(py, &bytes)
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let arguments = if this.class_tells_algebra() {
            (this.coefficients(),).into_pyobject(py)?
        } else {
            (this.algebra(), this.coefficients()).into_pyobject(py)?
        };
        let class = Value(this.value.clone()).into_pyobject(py)?.get_type();
        Ok((class.into_any(), arguments))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let numbers = this
            .value
            .coefficients()
            .iter()
            .map(|c| PyFloat::new(slf.py(), *c).repr()?.extract::<String>())
            .collect::<PyResult<Vec<_>>>()?
            .join(", ");
        let (p, q, r) = this.value.algebra().signature().counts();
        Ok(if this.class_tells_algebra() {
            format!("PyMultiVector{p}D({numbers})")
        } else {
            format!("PyMultiVector(PyAlgebra({p}, {q}, {r}), [{numbers}])")
        })
    }

    fn __str__(&self) -> String {
        self.value.to_string()
    }
}
