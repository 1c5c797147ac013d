//! Python binding of inner products: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::bilinear::Real;
use crate::error::{Error, Result};
use crate::inner_product::inner_product as of_slices;

/// Σ xᵢ yᵢ over so many elements, dense, of float64 or float32, at two addresses; the caller keeps the memory alive
/// meanwhile, and nobody writes to it.
#[pyfunction]
fn inner_product(
    py: Python<'_>,
    double: bool,
    x: usize,
    y: usize,
    count: usize,
    threads: usize,
) -> PyResult<f64> {
    let sum = py.detach(|| {
        if double {
            on_memory::<f64>(x, y, count, threads)
        } else {
            on_memory::<f32>(x, y, count, threads)
        }
    })?;
    Ok(sum)
}

fn on_memory<T: Real + Into<f64>>(x: usize, y: usize, count: usize, threads: usize) -> Result<f64> {
    if count == 0 {
        return Ok(0.0);
    }
    let fits = |address: usize| address != 0 && address.is_multiple_of(align_of::<T>());
    if !fits(x) || !fits(y) {
        return Err(Error::new(
            "inner product: an address that holds no such numbers",
        ));
    }
    // SAFETY: the caller vouches for so many elements of this type at each address, alive until the call returns and
    // written by nobody.
    let (x, y) = unsafe {
        (
            std::slice::from_raw_parts(x as *const T, count),
            std::slice::from_raw_parts(y as *const T, count),
        )
    };
    of_slices(x, y, threads)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(inner_product, module)?)
}
