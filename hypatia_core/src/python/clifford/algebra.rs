//! `PyAlgebra`: a signature with its tables.

use pyo3::prelude::*;

use super::operand::{Value, numbers};
use crate::clifford::{Algebra, Grades, MODELS, Multivector, Product};
use crate::error::{Error, Result};

/// The Clifford algebra of a signature: `p` basis vectors square to +1, `q` to -1, `r` to 0.
///
/// Blades are ordered by grade, then by their factors; the algebra (3, 0, 0) has the cyclic bivectors
/// e12, e23, e31. With one null vector (`r == 1`) that vector is e0 and comes first.
///
/// Raises HypatiaError if there is no basis vector or more than nine.
///
/// >>> from hypatia_core import PyAlgebra
/// >>> PyAlgebra(3).blades
/// ['s', 'e1', 'e2', 'e3', 'e12', 'e23', 'e31', 'e123']
#[pyclass(name = "PyAlgebra", module = "hypatia_core", frozen)]
pub(super) struct PyAlgebra {
    pub(super) algebra: &'static Algebra,
}

/// (result, input, first, second, factor).
type SandwichTuple = (u16, u16, u16, u16, i32);

/// The grades of a list, checked against the algebra.
fn grades(algebra: &Algebra, list: &[usize]) -> Result<Grades> {
    match list.iter().find(|&&g| g > algebra.dimension()) {
        Some(g) => Err(Error::new(format!(
            "{algebra} has no grade {g}; its grades are 0 to {}",
            algebra.dimension()
        ))),
        None => Ok(list.iter().copied().collect()),
    }
}

#[pymethods]
impl PyAlgebra {
    #[new]
    #[pyo3(signature = (p, q=0, r=0))]
    fn new(p: usize, q: usize, r: usize) -> Result<Self> {
        Ok(Self {
            algebra: Algebra::new(p, q, r)?,
        })
    }

    /// The algebra of a named model.
    ///
    /// >>> from hypatia_core import PyAlgebra
    /// >>> PyAlgebra.named("PGA3D").signature
    /// (3, 0, 1)
    #[staticmethod]
    fn named(name: &str) -> Result<Self> {
        Ok(Self {
            algebra: Algebra::named(name)?,
        })
    }

    /// The named models: name, signature and what each models.
    #[staticmethod]
    fn models() -> Vec<(&'static str, (usize, usize, usize), &'static str)> {
        MODELS
            .iter()
            .map(|model| (model.name, model.signature, model.meaning))
            .collect()
    }

    /// The names of the products that `cayley` and `terms` take.
    #[staticmethod]
    fn products() -> Vec<&'static str> {
        Product::ALL.iter().map(|(_, name)| *name).collect()
    }

    /// (p, q, r).
    #[getter]
    fn signature(&self) -> (usize, usize, usize) {
        self.algebra.signature().counts()
    }

    /// The number of basis vectors.
    #[getter]
    fn dimension(&self) -> usize {
        self.algebra.dimension()
    }

    /// The names of the basis blades in order; the scalar is `s`.
    #[getter]
    fn blades(&self) -> Vec<String> {
        self.algebra
            .blades()
            .iter()
            .map(|b| b.name.clone())
            .collect()
    }

    /// The grade of each blade.
    #[getter]
    fn grades(&self) -> Vec<usize> {
        (0..self.algebra.len())
            .map(|k| self.algebra.grade(k))
            .collect()
    }

    /// What each basis vector squares to.
    #[getter]
    fn squares(&self) -> Vec<i8> {
        (0..self.algebra.dimension())
            .map(|k| self.algebra.signature().square(k))
            .collect()
    }

    /// The position and sign of a blade by name; factors in another order change the sign.
    ///
    /// >>> from hypatia_core import PyAlgebra
    /// >>> PyAlgebra(3).blade_index("e13")
    /// (6, -1)
    fn blade_index(&self, name: &str) -> Result<(usize, i8)> {
        self.algebra.require_blade(name)
    }

    /// The right complement of each blade, as (position, sign): b ^ complement(b) is the pseudoscalar.
    fn complements(&self) -> Vec<(usize, i8)> {
        (0..self.algebra.len())
            .map(|k| self.algebra.complement(k))
            .collect()
    }

    /// The Cayley table of a product: `table[i][j]` is (position, sign) of left blade i times right
    /// blade j; sign 0 is no term.
    fn cayley(&self, product: &str) -> Result<Vec<Vec<(u16, i8)>>> {
        let table = self.algebra.table(Product::named(product)?);
        Ok(table
            .chunks(self.algebra.len())
            .map(|row| row.iter().map(|e| (e.blade, e.sign)).collect())
            .collect())
    }

    /// The terms (result, left, right, sign) of a product of multivectors of these grades only.
    ///
    /// >>> from hypatia_core import PyAlgebra
    /// >>> len(PyAlgebra(3).terms("geometric", [0, 2], [1]))
    /// 12
    fn terms(
        &self,
        product: &str,
        left: Vec<usize>,
        right: Vec<usize>,
    ) -> Result<Vec<(u16, u16, u16, i8)>> {
        let (left, right) = (grades(self.algebra, &left)?, grades(self.algebra, &right)?);
        let terms = self.algebra.terms(Product::named(product)?, left, right);
        Ok(terms
            .iter()
            .map(|t| (t.result, t.left, t.right, t.sign))
            .collect())
    }

    /// The grades that a product of multivectors of these grades can have.
    fn grades_of(&self, product: &str, left: Vec<usize>, right: Vec<usize>) -> Result<Vec<usize>> {
        let (left, right) = (grades(self.algebra, &left)?, grades(self.algebra, &right)?);
        Ok(Product::named(product)?
            .grades_of(left, right, self.algebra.dimension())
            .iter()
            .collect())
    }

    /// The terms (result, input, first, second, factor) of A x ~A, like terms joined:
    /// `out[result] += factor * A[first] * A[second] * x[input]`.
    fn sandwich_terms(&self, versor: Vec<usize>, x: Vec<usize>) -> Result<Vec<SandwichTuple>> {
        let (versor, x) = (grades(self.algebra, &versor)?, grades(self.algebra, &x)?);
        let terms = self.algebra.sandwich_terms(versor, x);
        Ok(terms
            .iter()
            .map(|t| (t.result, t.input, t.first, t.second, t.factor))
            .collect())
    }

    /// The multivector with these coefficients, one for each blade.
    fn multivector(&self, coefficients: &Bound<'_, PyAny>) -> PyResult<Value> {
        Ok(Value(Multivector::new(
            self.algebra,
            numbers(coefficients)?,
        )?))
    }

    /// The multivector of one grade with these coefficients.
    fn of_grade(&self, grade: usize, coefficients: &Bound<'_, PyAny>) -> PyResult<Value> {
        Ok(Value(Multivector::of_grade(
            self.algebra,
            grade,
            &numbers(coefficients)?,
        )?))
    }

    /// A basis blade by name.
    ///
    /// >>> from hypatia_core import PyAlgebra
    /// >>> sta = PyAlgebra.named("STA")
    /// >>> print(sta.blade("e0") * sta.blade("e0"), sta.blade("e1") * sta.blade("e1"))
    /// 1 -1
    fn blade(&self, name: &str) -> Result<Value> {
        Ok(Value(Multivector::basis(self.algebra, name)?))
    }

    /// A scalar.
    fn scalar(&self, value: f64) -> Value {
        Value(Multivector::scalar(self.algebra, value))
    }

    /// A vector with these coefficients.
    fn vector(&self, coefficients: &Bound<'_, PyAny>) -> PyResult<Value> {
        self.of_grade(1, coefficients)
    }

    /// The pseudoscalar, the product of all basis vectors.
    fn pseudoscalar(&self) -> Value {
        Value(Multivector::pseudoscalar(self.algebra))
    }

    fn __len__(&self) -> usize {
        self.algebra.len()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.algebra == other.algebra
    }

    fn __hash__(&self) -> u64 {
        let (p, q, r) = self.algebra.signature().counts();
        ((p * 100 + q) * 100 + r) as u64
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (Bound<'py, pyo3::types::PyType>, (usize, usize, usize)) {
        (slf.get_type(), slf.get().signature())
    }

    fn __repr__(&self) -> String {
        let (p, q, r) = self.algebra.signature().counts();
        format!("PyAlgebra({p}, {q}, {r})")
    }
}
