//! Python binding of sparse bilinear maps: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::bilinear::{Bilinear, Real};
use crate::error::{Error, Result};

/// A sparse bilinear map over rows: terms (i, j, k, c) say that c·xᵢ·yⱼ is part of place k of the result.
#[pyclass(frozen, module = "hypatia_core._hypatia_core")]
struct BilinearMap {
    map: Bilinear,
}

#[pymethods]
impl BilinearMap {
    #[new]
    fn new(
        widths: (usize, usize, usize),
        terms: Vec<(usize, usize, usize, f64)>,
    ) -> PyResult<Self> {
        let map = Bilinear::new(widths.into(), terms)?;
        Ok(Self { map })
    }

    /// Writes the result's rows. The three addresses are of so many rows each, dense and row after row, of float64 or
    /// float32; the caller keeps the memory alive meanwhile, and nobody else writes to it.
    #[expect(
        clippy::too_many_arguments,
        reason = "three pieces of memory, and how to read them"
    )]
    fn run(
        &self,
        py: Python<'_>,
        double: bool,
        x: usize,
        y: usize,
        result: usize,
        rows: usize,
        threads: usize,
    ) -> PyResult<()> {
        py.detach(|| {
            if double {
                on_memory::<f64>(&self.map, x, y, result, rows, threads)
            } else {
                on_memory::<f32>(&self.map, x, y, result, rows, threads)
            }
        })?;
        Ok(())
    }
}

fn on_memory<T: Real>(
    map: &Bilinear,
    x: usize,
    y: usize,
    result: usize,
    rows: usize,
    threads: usize,
) -> Result<()> {
    let lengths = map.widths().map(|width| rows.checked_mul(width));
    let [Some(n), Some(m), Some(p)] = lengths else {
        return Err(Error::new("bilinear: more elements than there can be"));
    };
    let fits = |address: usize, length: usize| {
        length == 0 || (address != 0 && address.is_multiple_of(align_of::<T>()))
    };
    if !fits(x, n) || !fits(y, m) || !fits(result, p) {
        return Err(Error::new(
            "bilinear: an address that holds no such numbers",
        ));
    }
    // SAFETY: the caller vouches for so many elements of this type at each address, alive until the call returns, the
    // result's memory apart from the others and written by nobody else; addresses of nothing are replaced.
    let (x, y, result) = unsafe {
        (
            if n == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(x as *const T, n)
            },
            if m == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(y as *const T, m)
            },
            if p == 0 {
                &mut []
            } else {
                std::slice::from_raw_parts_mut(result as *mut T, p)
            },
        )
    };
    map.apply(x, y, result, rows, threads)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BilinearMap>()
}
