//! Python binding of sparse bilinear maps: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::bilinear::{
    Bilinear, ChannelMap, ChannelWeights, Matrix, Real, Weight, prefer_large_pages,
};
use crate::error::Result;
use crate::inner_product::product_and_squares;
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

/// Channels mixed by weights, and places by a table: terms (a, j, i, c) say that c·w[o, c, a]·x[b, c, j] is part of
/// r[b, o, i]. Addresses are as in `BilinearMap`.
#[pyclass(name = "ChannelMap", frozen, module = "hypatia_core._hypatia_core")]
struct Channels {
    map: ChannelMap,
}

#[pymethods]
impl Channels {
    #[new]
    fn new(
        widths: (usize, usize, usize),
        terms: Vec<(usize, usize, usize, f64)>,
        zeros_count: bool,
    ) -> PyResult<Self> {
        let map = ChannelMap::new(widths.into(), terms, zeros_count)?;
        Ok(Self { map })
    }

    /// Writes the result's rows; `weight` is an address, with the strides of its axes (o, c, a), in elements.
    #[expect(
        clippy::too_many_arguments,
        reason = "three pieces of memory, and how to read them"
    )]
    fn run(
        &self,
        py: Python<'_>,
        double: bool,
        x: usize,
        weight: usize,
        channels: (usize, usize),
        strides: (usize, usize, usize),
        result: usize,
        rows: usize,
        threads: usize,
    ) -> PyResult<()> {
        let at = [x, weight, result];
        py.detach(|| {
            if double {
                mixed::<f64>(&self.map, at, channels, strides, rows, threads)
            } else {
                mixed::<f32>(&self.map, at, channels, strides, rows, threads)
            }
        })?;
        Ok(())
    }

    /// Writes the gradient of the weight, (o, c, a) row by row, where `gradient` is the address of the result's.
    #[expect(
        clippy::too_many_arguments,
        reason = "three pieces of memory, and how to read them"
    )]
    fn weight_gradient(
        &self,
        py: Python<'_>,
        double: bool,
        x: usize,
        gradient: usize,
        channels: (usize, usize),
        weight: usize,
        rows: usize,
        threads: usize,
    ) -> PyResult<()> {
        let at = [x, gradient, weight];
        py.detach(|| {
            if double {
                mixed_gradient::<f64>(&self.map, at, channels, rows, threads)
            } else {
                mixed_gradient::<f32>(&self.map, at, channels, rows, threads)
            }
        })?;
        Ok(())
    }
}

fn mixed<T: Real>(
    map: &ChannelMap,
    at: [usize; 3],
    (outs, ins): (usize, usize),
    strides: (usize, usize, usize),
    rows: usize,
    threads: usize,
) -> Result<()> {
    let [weights, j, i] = map.widths();
    let strides: [usize; 3] = strides.into();
    let last = [outs, ins, weights].into_iter().zip(strides);
    let reached = last.fold(0usize, |sum, (n, stride)| {
        sum.saturating_add(n.saturating_sub(1).saturating_mul(stride))
    });
    let length = if outs * ins * weights == 0 {
        0
    } else {
        reached.saturating_add(1)
    };
    // SAFETY: the class's documentation asks its caller for what `slice` and `slice_mut` ask for.
    let (x, values, result) = unsafe {
        (
            slice::<T>(at[0], rows, ins.saturating_mul(j))?,
            slice::<T>(at[1], length, 1)?,
            slice_mut::<T>(at[2], rows, outs.saturating_mul(i))?,
        )
    };
    let weight = Weight {
        values,
        channels: [outs, ins],
        strides,
    };
    prefer_large_pages(result);
    map.apply(x, weight, result, rows, threads)
}

fn mixed_gradient<T: Real>(
    map: &ChannelMap,
    at: [usize; 3],
    (outs, ins): (usize, usize),
    rows: usize,
    threads: usize,
) -> Result<()> {
    let [weights, j, i] = map.widths();
    // SAFETY: as in `mixed`.
    let (x, gradient, out) = unsafe {
        (
            slice::<T>(at[0], rows, ins.saturating_mul(j))?,
            slice::<T>(at[1], rows, outs.saturating_mul(i))?,
            slice_mut::<T>(at[2], outs.saturating_mul(ins), weights)?,
        )
    };
    let found = map.weight_gradient(x, gradient, [outs, ins], rows, threads)?;
    out.iter_mut()
        .zip(found)
        .for_each(|(to, value)| *to = T::from_f64(value));
    Ok(())
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

/// The same, and gives the sum of the squares of the rows' elements.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "three pieces of memory, and how to read them"
)]
fn rows_by_matrix_and_squares(
    py: Python<'_>,
    double: bool,
    x: usize,
    matrix: usize,
    result: usize,
    rows: usize,
    extents: (usize, usize),
    threads: usize,
) -> PyResult<f64> {
    let squares = py.detach(|| {
        let at = [x, matrix, result];
        if double {
            by_matrix_and_squares::<f64>(at, rows, extents, threads)
        } else {
            by_matrix_and_squares::<f32>(at, rows, extents, threads)
        }
    })?;
    Ok(squares)
}

fn by_matrix<T: Real>(
    at: [usize; 3],
    rows: usize,
    extents: (usize, usize),
    threads: usize,
) -> Result<()> {
    // SAFETY: the function's documentation asks its caller for what `of_matrix` asks for.
    let (matrix, x, result) = unsafe { of_matrix::<T>(at, rows, extents)? };
    matrix.apply(x, result, rows, threads)
}

fn by_matrix_and_squares<T: Real>(
    at: [usize; 3],
    rows: usize,
    extents: (usize, usize),
    threads: usize,
) -> Result<f64> {
    // SAFETY: as in `by_matrix`.
    let (matrix, x, result) = unsafe { of_matrix::<T>(at, rows, extents)? };
    product_and_squares(&matrix, x, result, rows, threads)
}

/// The matrix, x and the result at these addresses.
///
/// # Safety
/// As for `slice` and `slice_mut`.
unsafe fn of_matrix<'a, T: Real>(
    at: [usize; 3],
    rows: usize,
    (n, p): (usize, usize),
) -> Result<(Matrix<'a, T>, &'a [T], &'a mut [T])> {
    // SAFETY: as the caller vouches.
    let (x, elements, result) = unsafe {
        (
            slice::<T>(at[0], rows, n)?,
            slice::<T>(at[1], n, p)?,
            slice_mut::<T>(at[2], rows, p)?,
        )
    };
    prefer_large_pages(result);
    let matrix = Matrix {
        elements,
        rows: n,
        columns: p,
    };
    Ok((matrix, x, result))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(rows_by_matrix, module)?)?;
    module.add_function(wrap_pyfunction!(rows_by_matrix_and_squares, module)?)?;
    module.add_class::<Channels>()?;
    module.add_class::<BilinearMap>()
}
