//! Python binding of sparse bilinear maps: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::bilinear::{Bilinear, ChannelWeights, Matrix, Real, prefer_large_pages};
use crate::error::Result;
use crate::python::memory::{slice, slice_mut};

/// A sparse bilinear map over rows: terms (i, j, k, c) say that c·xᵢ·yⱼ is part of place k of the result; with weights
/// a term (i, j, k, c, w) is multiplied by weight w of the row's channel, the channels taking turns.
///
/// Addresses are of rows of float64 or float32, dense and row after row; the caller keeps the memory alive meanwhile,
/// and nobody else writes to the result.
#[pyclass(frozen, module = "hypatia_core._hypatia_core")]
struct BilinearMap {
    map: Bilinear,
}

/// A term, and the number of its weight.
type Term = (usize, usize, usize, f64, usize);

#[pymethods]
impl BilinearMap {
    #[new]
    #[pyo3(signature = (widths, terms, weights=0))]
    fn new(widths: (usize, usize, usize), terms: Vec<Term>, weights: usize) -> PyResult<Self> {
        let map = if weights == 0 {
            Bilinear::new(
                widths.into(),
                terms.into_iter().map(|(i, j, k, c, _)| (i, j, k, c)),
            )?
        } else {
            Bilinear::weighted(widths.into(), weights, terms)?
        };
        Ok(Self { map })
    }

    /// Writes the result's rows. `weights` is the address of (channels, weights) numbers where the map has weights.
    #[expect(
        clippy::too_many_arguments,
        reason = "four pieces of memory, and how to read them"
    )]
    fn run(
        &self,
        py: Python<'_>,
        double: bool,
        x: usize,
        y: usize,
        weights: usize,
        channels: usize,
        result: usize,
        rows: usize,
        threads: usize,
    ) -> PyResult<()> {
        let at = Addresses {
            x,
            y,
            weights,
            channels,
            result,
            rows,
            threads,
        };
        py.detach(|| {
            if double {
                at.run::<f64>(&self.map)
            } else {
                at.run::<f32>(&self.map)
            }
        })?;
        Ok(())
    }

    /// Writes the gradient of the weights, (channels, weights), where `gradient` is the address of the result's.
    #[expect(
        clippy::too_many_arguments,
        reason = "four pieces of memory, and how to read them"
    )]
    fn weight_gradient(
        &self,
        py: Python<'_>,
        double: bool,
        x: usize,
        y: usize,
        weights: usize,
        channels: usize,
        gradient: usize,
        rows: usize,
        threads: usize,
    ) -> PyResult<()> {
        let at = Addresses {
            x,
            y,
            weights,
            channels,
            result: gradient,
            rows,
            threads,
        };
        py.detach(|| {
            if double {
                at.weight_gradient::<f64>(&self.map)
            } else {
                at.weight_gradient::<f32>(&self.map)
            }
        })?;
        Ok(())
    }
}

/// Where the numbers lie.
struct Addresses {
    x: usize,
    y: usize,
    weights: usize,
    channels: usize,
    result: usize,
    rows: usize,
    threads: usize,
}

impl Addresses {
    fn run<T: Real>(&self, map: &Bilinear) -> Result<()> {
        let [n, m, p] = map.widths();
        // SAFETY: the class's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (x, y, values, result) = unsafe {
            (
                slice::<T>(self.x, self.rows, n)?,
                slice::<T>(self.y, self.rows, m)?,
                slice::<T>(self.weights, self.channels, map.weights())?,
                slice_mut::<T>(self.result, self.rows, p)?,
            )
        };
        let weights = (map.weights() > 0).then_some(ChannelWeights {
            values,
            channels: self.channels,
        });
        prefer_large_pages(result);
        map.apply(x, y, weights, result, self.rows, self.threads)
    }

    fn weight_gradient<T: Real>(&self, map: &Bilinear) -> Result<()> {
        let [n, m, p] = map.widths();
        // SAFETY: as in `run`.
        let (x, y, gradient, out) = unsafe {
            (
                slice::<T>(self.x, self.rows, n)?,
                slice::<T>(self.y, self.rows, m)?,
                slice::<T>(self.result, self.rows, p)?,
                slice_mut::<T>(self.weights, self.channels, map.weights())?,
            )
        };
        let found = map.weight_gradient(x, y, gradient, self.rows, self.channels, self.threads)?;
        out.iter_mut()
            .zip(found)
            .for_each(|(to, value)| *to = T::from_f64(value));
        Ok(())
    }
}

/// Writes rows of width n times a matrix (n, p), by addresses as in `BilinearMap`.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "three pieces of memory, and how to read them"
)]
fn rows_by_matrix(
    py: Python<'_>,
    double: bool,
    x: usize,
    matrix: usize,
    result: usize,
    rows: usize,
    extents: (usize, usize),
    threads: usize,
) -> PyResult<()> {
    py.detach(|| {
        let at = [x, matrix, result];
        if double {
            by_matrix::<f64>(at, rows, extents, threads)
        } else {
            by_matrix::<f32>(at, rows, extents, threads)
        }
    })?;
    Ok(())
}

fn by_matrix<T: Real>(
    at: [usize; 3],
    rows: usize,
    (n, p): (usize, usize),
    threads: usize,
) -> Result<()> {
    // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
    let (x, elements, result) = unsafe {
        (
            slice::<T>(at[0], rows, n)?,
            slice::<T>(at[1], n, p)?,
            slice_mut::<T>(at[2], rows, p)?,
        )
    };
    prefer_large_pages(result);
    Matrix {
        elements,
        rows: n,
        columns: p,
    }
    .apply(x, result, rows, threads)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(rows_by_matrix, module)?)?;
    module.add_class::<BilinearMap>()
}
