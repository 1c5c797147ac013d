//! Python binding of signed sums of places, and of the left ideals whose change of basis they are.

use pyo3::prelude::*;

use crate::bilinear::{Lines, Real, SignedSums as Sums, elements};
use crate::clifford::ideals;
use crate::error::Result;
use crate::python::memory::{slice, slice_mut};

/// Sums and differences of places: terms (j, k, ±1) say that place j of x is part of place k of the result, all of which
/// is multiplied by `scale`.
#[pyclass(frozen, module = "hypatia_core._hypatia_core")]
struct SignedSums {
    sums: Sums,
    results: usize,
}

#[pymethods]
impl SignedSums {
    #[new]
    fn new(
        places: usize,
        results: usize,
        scale: f64,
        terms: Vec<(usize, usize, i8)>,
    ) -> PyResult<Self> {
        let sums = Sums::new(places, results, scale, terms)?;
        Ok(Self { sums, results })
    }

    /// Writes the result, (rows, results, length), dense, of x by extents (rows, places, length) and their strides in
    /// elements. `constant` is the address of a row that is added to each, or 0. Numbers are float64 or float32, and the
    /// caller keeps all memory alive meanwhile.
    #[expect(
        clippy::too_many_arguments,
        reason = "three pieces of memory, and how to read them"
    )]
    fn run(
        &self,
        py: Python<'_>,
        double: bool,
        x: usize,
        extents: (usize, usize, usize),
        strides: (usize, usize, usize),
        constant: usize,
        result: usize,
        threads: usize,
    ) -> PyResult<()> {
        let at = [x, constant, result];
        py.detach(|| {
            if double {
                self.on_memory::<f64>(at, extents.into(), strides.into(), threads)
            } else {
                self.on_memory::<f32>(at, extents.into(), strides.into(), threads)
            }
        })?;
        Ok(())
    }
}

impl SignedSums {
    fn on_memory<T: Real>(
        &self,
        [x, constant, result]: [usize; 3],
        extents: [usize; 3],
        strides: [usize; 3],
        threads: usize,
    ) -> Result<()> {
        let [rows, _, length] = extents;
        let count = elements(extents, strides);
        let width = self.results.saturating_mul(length);
        // SAFETY: the method's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (values, constant, result) = unsafe {
            (
                slice::<T>(x, count, 1)?,
                (constant != 0)
                    .then(|| slice::<T>(constant, width, 1))
                    .transpose()?,
                slice_mut::<T>(result, rows, width)?,
            )
        };
        let lines = Lines {
            values,
            rows,
            length,
            strides,
        };
        self.sums.apply(lines, constant, result, threads)
    }
}

/// Takes the maps y = Σᵢ wᵢ Tᵢ x of n×n tables, each a list of (row, column, ±1), apart into copies of one of fewer
/// places: y = C (A ⊕ … ⊕ A) Bᵀ x / copies with A = Σᵢ wᵢ Aᵢ. Gives copies, the places of B and of C, and of each Aᵢ;
/// None where signed permutations that commute with all tables do not take them apart.
#[pyfunction]
#[pyo3(name = "left_ideals")]
fn of_tables(n: usize, tables: Vec<Vec<Place>>) -> Option<Found> {
    let found = ideals(n, &tables)?;
    Some((found.copies, found.input, found.output, found.reduced))
}

/// A row, a column and a sign.
type Place = (usize, usize, i8);
type Found = (usize, Vec<Place>, Vec<Place>, Vec<Vec<Place>>);

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(of_tables, module)?)?;
    module.add_class::<SignedSums>()
}
