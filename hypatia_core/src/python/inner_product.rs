//! Python binding of inner products: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::bilinear::Real;
use crate::error::Result;
use crate::inner_product::inner_product as of_slices;
use crate::python::memory::slice;

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
    // SAFETY: the function's documentation asks its caller for what `slice` asks for.
    let (x, y) = unsafe { (slice::<T>(x, count, 1)?, slice::<T>(y, count, 1)?) };
    of_slices(x, y, threads)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(inner_product, module)?)
}
