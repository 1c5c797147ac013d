//! Python binding of attention: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::attention::{Attention, Heads};
use crate::error::{Error, Result};
use crate::python::memory::{slice, slice_mut};

/// An address, and the steps from one example, head and position to the next.
type Place = (usize, usize, usize, usize);

/// # Safety
/// As `slice`, of all elements that the steps lead to.
unsafe fn heads<'a>(place: Place, sizes: [usize; 3], width: usize) -> Result<Heads<'a>> {
    let (address, example, head, position) = place;
    let steps = [example, head, position];
    let extent = Heads::extent(sizes, width, steps)
        .ok_or_else(|| Error::new("attention: more elements than there can be"))?;
    // SAFETY: as the function asks.
    let elements = unsafe { slice::<f32>(address, extent, 1)? };
    Ok(Heads { elements, steps })
}

/// Writes softmax(q kᵀ·scale + mask) v, (batch, queries, heads, width), of float32. Places are addresses, of which that of
/// the mask may be 0, and steps; `sizes` are batch, heads, queries, keys and width. The caller keeps the memory alive
/// meanwhile, and nobody else writes to the result.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "five pieces of memory, and how to read them"
)]
fn attention(
    py: Python<'_>,
    q: Place,
    k: Place,
    v: Place,
    mask: Place,
    result: usize,
    sizes: (usize, usize, usize, usize, usize),
    causal: bool,
    scale: f32,
    threads: usize,
) -> PyResult<()> {
    let (batch, count, queries, keys, width) = sizes;
    py.detach(|| -> Result<()> {
        let (asking, asked) = ([batch, count, queries], [batch, count, keys]);
        // SAFETY: the function's documentation asks its caller for what `heads` and `slice_mut` ask for.
        let (attention, to) = unsafe {
            let attention = Attention {
                q: heads(q, asking, width)?,
                k: heads(k, asked, width)?,
                v: heads(v, asked, width)?,
                mask: (mask.0 != 0)
                    .then(|| heads(mask, asking, keys))
                    .transpose()?,
                causal,
                scale,
                batch,
                heads: count,
                queries,
                keys,
                width,
            };
            (
                attention,
                slice_mut::<f32>(result, batch * count * queries, width)?,
            )
        };
        attention.apply(to, threads)
    })?;
    Ok(())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(attention, module)?)
}
