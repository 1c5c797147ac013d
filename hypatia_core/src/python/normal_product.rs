//! Python binding of products of normal equations: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::bilinear::Real;
use crate::error::Result;
use crate::normal_product::{MOST_COLUMNS, NormalProduct};
use crate::python::memory::{slice, slice_mut};

/// Writes aᵀ(α·a x + β·b), with x, b and the result of so many columns.
///
/// Addresses are of dense rows of float64 or float32: a of `extents`, x of as many rows as a has columns, b, if there is
/// one, of as many as a has rows. The caller keeps the memory alive meanwhile, and nobody else writes to the result.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "four pieces of memory, and how to read them"
)]
fn normal_product(
    py: Python<'_>,
    double: bool,
    a: usize,
    extents: (usize, usize),
    x: usize,
    columns: usize,
    shift: Option<usize>,
    factors: (f64, f64),
    result: usize,
    threads: usize,
) -> PyResult<()> {
    let addresses = Addresses {
        a,
        x,
        shift,
        result,
    };
    py.detach(|| {
        if double {
            addresses.write::<f64>(extents, columns, factors, threads)
        } else {
            addresses.write::<f32>(extents, columns, factors, threads)
        }
    })?;
    Ok(())
}

struct Addresses {
    a: usize,
    x: usize,
    shift: Option<usize>,
    result: usize,
}

impl Addresses {
    fn write<T: Real>(
        &self,
        extents: (usize, usize),
        columns: usize,
        factors: (f64, f64),
        threads: usize,
    ) -> Result<()> {
        let (m, n) = extents;
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (a, x, shift, result) = unsafe {
            (
                slice::<T>(self.a, m, n)?,
                slice::<T>(self.x, n, columns)?,
                self.shift
                    .map(|at| slice::<T>(at, m, columns))
                    .transpose()?,
                slice_mut::<T>(self.result, n, columns)?,
            )
        };
        let product = NormalProduct {
            a,
            extents,
            x,
            columns,
            shift: shift.map(|b| (b, factors.1)),
            factor: factors.0,
        };
        product.write(result, threads)
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("NORMAL_PRODUCT_COLUMNS", MOST_COLUMNS)?;
    module.add_function(wrap_pyfunction!(normal_product, module)?)
}
