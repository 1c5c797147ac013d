//! Python binding of products with a packed weight: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::convolution::Convolution;
use crate::depthwise::{Axis, Depthwise};
use crate::error::Result;
use crate::linear::{Activation, Linear, pack, packed_length};
use crate::python::memory::{slice, slice_mut};
use crate::winograd::{self, Winograd};

/// Below so many multiplications other threads of Python wait: letting them run would take as long.
const SHORT: usize = 1 << 18;

/// Writes a weight (n, k) of float32 as panels. Addresses are of dense memory, which the caller keeps alive meanwhile;
/// nobody else writes to it.
#[pyfunction]
fn pack_linear(
    py: Python<'_>,
    weight: usize,
    panels: usize,
    columns: usize,
    depth: usize,
) -> PyResult<()> {
    py.detach(|| -> Result<()> {
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (from, to) = unsafe {
            (
                slice::<f32>(weight, columns, depth)?,
                slice_mut::<f32>(panels, packed_length(columns, depth), 1)?,
            )
        };
        pack(from, columns, depth, to)
    })?;
    Ok(())
}

/// Writes act(x Wᵀ + b + z) for rows x of width k and a weight (n, k) in panels; b and z may be 0. Addresses as in
/// `pack_linear`; the activation as oneDNN calls it.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "five pieces of memory, their sizes, and an activation"
)]
fn linear_on_panels(
    py: Python<'_>,
    x: usize,
    panels: usize,
    bias: usize,
    other: usize,
    result: usize,
    rows: usize,
    columns: usize,
    depth: usize,
    activation: &str,
    low: f32,
    high: f32,
    algorithm: &str,
    threads: usize,
) -> PyResult<()> {
    let activation = Activation::named(activation, low, high, algorithm)?;
    let run = || -> Result<()> {
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (linear, to) = unsafe {
            let linear = Linear {
                x: slice::<f32>(x, rows, depth)?,
                panels: slice::<f32>(panels, packed_length(columns, depth), 1)?,
                bias: (bias != 0)
                    .then(|| slice::<f32>(bias, 1, columns))
                    .transpose()?,
                other: (other != 0)
                    .then(|| slice::<f32>(other, rows, columns))
                    .transpose()?,
                activation,
                columns,
                depth,
            };
            (linear, slice_mut::<f32>(result, rows, columns)?)
        };
        linear.apply(to, rows, threads)
    };
    if rows.saturating_mul(columns).saturating_mul(depth) < SHORT {
        run()?;
    } else {
        py.detach(run)?;
    }
    Ok(())
}

/// An axis as `Axis` has it: pixels, taps, stride, padding, dilation.
type AxisNumbers = (usize, usize, usize, usize, usize);

fn axis((size, taps, stride, padding, dilation): AxisNumbers) -> Axis {
    Axis {
        size,
        taps,
        stride,
        padding,
        dilation,
    }
}

/// Writes the convolution of images (batch, height, width, channels) with a filter for each channel, filters (taps
/// down, taps across, channels). Addresses and activation as in `linear_on_panels`; `extents` are batch and channels.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "four pieces of memory, their sizes, and an activation"
)]
fn depthwise_convolution(
    py: Python<'_>,
    x: usize,
    filters: usize,
    bias: usize,
    result: usize,
    extents: (usize, usize),
    down: AxisNumbers,
    across: AxisNumbers,
    activation: &str,
    low: f32,
    high: f32,
    algorithm: &str,
    threads: usize,
) -> PyResult<()> {
    let activation = Activation::named(activation, low, high, algorithm)?;
    let axes = [axis(down), axis(across)];
    let (batch, channels) = extents;
    py.detach(|| -> Result<()> {
        let [height, width] = axes.map(|axis| axis.size);
        let [rows, columns] = axes.map(|axis| axis.positions());
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (depthwise, to) = unsafe {
            let depthwise = Depthwise {
                x: slice::<f32>(x, batch * height * width, channels)?,
                filters: slice::<f32>(filters, axes[0].taps * axes[1].taps, channels)?,
                bias: (bias != 0)
                    .then(|| slice::<f32>(bias, 1, channels))
                    .transpose()?,
                activation,
                batch,
                channels,
                axes,
            };
            (
                depthwise,
                slice_mut::<f32>(result, batch * rows * columns, channels)?,
            )
        };
        depthwise.apply(to, threads)
    })?;
    Ok(())
}

/// Writes the convolution of images (batch, height, width, channels) with filters in panels, each a row (taps down, taps
/// across, channels) of the weight. Addresses and activation as in `linear_on_panels`; `extents` are batch, channels and
/// filters.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "five pieces of memory, their sizes, and an activation"
)]
fn convolution_on_panels(
    py: Python<'_>,
    x: usize,
    panels: usize,
    bias: usize,
    other: usize,
    result: usize,
    extents: (usize, usize, usize),
    down: AxisNumbers,
    across: AxisNumbers,
    activation: &str,
    low: f32,
    high: f32,
    algorithm: &str,
    threads: usize,
) -> PyResult<()> {
    let activation = Activation::named(activation, low, high, algorithm)?;
    let axes = [axis(down), axis(across)];
    let (batch, channels, filters) = extents;
    py.detach(|| -> Result<()> {
        let [height, width] = axes.map(|axis| axis.size);
        let [rows, columns] = axes.map(|axis| axis.positions());
        let positions = batch * rows * columns;
        let depth = axes[0].taps * axes[1].taps * channels;
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (convolution, to) = unsafe {
            let linear = Linear {
                x: slice::<f32>(x, batch * height * width, channels)?,
                panels: slice::<f32>(panels, packed_length(filters, depth), 1)?,
                bias: (bias != 0)
                    .then(|| slice::<f32>(bias, 1, filters))
                    .transpose()?,
                other: (other != 0)
                    .then(|| slice::<f32>(other, positions, filters))
                    .transpose()?,
                activation,
                columns: filters,
                depth,
            };
            let convolution = Convolution {
                linear,
                batch,
                channels,
                axes,
            };
            (convolution, slice_mut::<f32>(result, positions, filters)?)
        };
        convolution.apply(to, threads)
    })?;
    Ok(())
}

/// Writes filters (filters, channels, 3, 3) of float32 as Winograd's tiles of so many positions a side meet them. Addresses
/// as in `pack_linear`.
#[pyfunction]
fn pack_winograd(
    py: Python<'_>,
    weight: usize,
    panels: usize,
    filters: usize,
    channels: usize,
    side: usize,
) -> PyResult<()> {
    py.detach(|| -> Result<()> {
        let depth = winograd::points(side)? * channels;
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (from, to) = unsafe {
            (
                slice::<f32>(weight, filters * channels, winograd::TAPS * winograd::TAPS)?,
                slice_mut::<f32>(panels, packed_length(filters, depth), 1)?,
            )
        };
        winograd::pack(from, filters, channels, side, to)
    })?;
    Ok(())
}

/// Writes the convolution of images (batch, height, width, channels) with filters as `pack_winograd` writes them. Addresses
/// and activation as in `linear_on_panels`; `extents` are batch, channels and filters, `sizes` and `padding` down and
/// across.
#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "five pieces of memory, their sizes, and an activation"
)]
fn winograd_on_panels(
    py: Python<'_>,
    x: usize,
    panels: usize,
    bias: usize,
    other: usize,
    result: usize,
    extents: (usize, usize, usize),
    sizes: (usize, usize),
    padding: (usize, usize),
    side: usize,
    activation: &str,
    low: f32,
    high: f32,
    algorithm: &str,
    threads: usize,
) -> PyResult<()> {
    let activation = Activation::named(activation, low, high, algorithm)?;
    let axes = [(sizes.0, padding.0), (sizes.1, padding.1)]
        .map(|(size, padding)| axis((size, winograd::TAPS, 1, padding, 1)));
    let (batch, channels, filters) = extents;
    py.detach(|| -> Result<()> {
        let positions = batch * axes[0].positions() * axes[1].positions();
        let depth = winograd::points(side)? * channels;
        // SAFETY: the function's documentation asks its caller for what `slice` and `slice_mut` ask for.
        let (convolution, to) = unsafe {
            let linear = Linear {
                x: slice::<f32>(x, batch * sizes.0 * sizes.1, channels)?,
                panels: slice::<f32>(panels, packed_length(filters, depth), 1)?,
                bias: (bias != 0)
                    .then(|| slice::<f32>(bias, 1, filters))
                    .transpose()?,
                other: (other != 0)
                    .then(|| slice::<f32>(other, positions, filters))
                    .transpose()?,
                activation,
                columns: filters,
                depth,
            };
            let convolution = Convolution {
                linear,
                batch,
                channels,
                axes,
            };
            (convolution, slice_mut::<f32>(result, positions, filters)?)
        };
        Winograd { convolution, side }.apply(to, threads)
    })?;
    Ok(())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pack_linear, module)?)?;
    module.add_function(wrap_pyfunction!(convolution_on_panels, module)?)?;
    module.add_function(wrap_pyfunction!(depthwise_convolution, module)?)?;
    module.add_function(wrap_pyfunction!(pack_winograd, module)?)?;
    module.add_function(wrap_pyfunction!(winograd_on_panels, module)?)?;
    module.add_function(wrap_pyfunction!(linear_on_panels, module)?)
}
