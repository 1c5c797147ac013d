//! Python binding of recurrent layers, on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::linear::packed_length;
use crate::python::memory::{slice, slice_mut};
use crate::recurrence::{Cell, Extents, Recurrence};

/// Writes the states of all steps of a recurrent layer, and after them the memory that is left. Addresses as in
/// `linear_on_panels`, bias and memory may be 0; `extents` are steps, batch and units.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "six pieces of memory, their sizes, and a cell"
)]
fn recurrence(
    py: Python<'_>,
    inputs: usize,
    panels: usize,
    bias: usize,
    state: usize,
    memory: usize,
    result: usize,
    extents: (usize, usize, usize),
    cell: &str,
    reverse: bool,
    threads: usize,
) -> PyResult<()> {
    let cell = Cell::named(cell)?;
    let (steps, batch, units) = extents;
    let extents = Extents {
        steps,
        batch,
        units,
    };
    py.detach(|| -> Result<()> {
        let most = || Error::new("a recurrence of more elements than there can be");
        let columns = extents.columns(cell).ok_or_else(most)?;
        let rows = steps.checked_mul(batch).ok_or_else(most)?;
        let results = extents.results(cell).ok_or_else(most)?;
        columns.checked_mul(units).ok_or_else(most)?;
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (layer, to) = unsafe {
            let layer = Recurrence {
                cell,
                inputs: slice::<f32>(inputs, rows, columns)?,
                panels: slice::<f32>(panels, packed_length(columns, units), 1)?,
                bias: (bias != 0)
                    .then(|| slice::<f32>(bias, 1, columns))
                    .transpose()?,
                state: slice::<f32>(state, batch, units)?,
                memory: (memory != 0)
                    .then(|| slice::<f32>(memory, batch, units))
                    .transpose()?,
                extents,
                reverse,
            };
            (layer, slice_mut::<f32>(result, results, 1)?)
        };
        layer.apply(to, threads)
    })?;
    Ok(())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(recurrence, module)?)
}
