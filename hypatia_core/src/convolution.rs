//! Convolutions of images whose channels lie together, as products of windows with a weight in panels.
//!
//! What a filter sees of an image at a position, its window, is a row of a product. The windows of a block of positions
//! are copied, a slice of their columns at a time, to where they stay in the second cache while the panels pass: the
//! whole matrix of windows, many times the image, is never written.

use std::ops::Range;

use crate::depthwise::Axis;
use crate::error::{Error, Result};
use crate::linear::{Linear, Rows};
use crate::registers::copy;

/// Images (batch, height, width, channels) by filters, and what follows.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a> {
    /// The images as `x`, and as the weight one row for each filter, (taps down, taps across, channels), in panels. What
    /// is added is of the result's shape.
    pub linear: Linear<'a>,
    /// Images, and channels of each.
    pub batch: usize,
    pub channels: usize,
    /// Down and across.
    pub axes: [Axis; 2],
}

impl Convolution<'_> {
    /// Positions of the filters in all images.
    pub fn positions(&self) -> usize {
        self.batch * self.axes[0].positions() * self.axes[1].positions()
    }

    /// Writes the images that come of it, (batch, positions down, positions across, filters), with so many threads at
    /// most.
    ///
    /// # Errors
    /// The slices are not of these sizes, or an axis has no taps or moves nowhere.
    pub fn apply(&self, result: &mut [f32], threads: usize) -> Result<()> {
        let [down, across] = self.axes;
        if self
            .axes
            .iter()
            .any(|a| a.taps * a.stride * a.dilation == 0)
        {
            return Err(Error::new(
                "convolution: taps, strides and dilations are at least 1",
            ));
        }
        let (rows, depth) = (self.positions(), down.taps * across.taps * self.channels);
        let pixels = self.batch * down.size * across.size;
        if self.linear.x.len() != pixels * self.channels || self.linear.depth != depth {
            return Err(Error::new(format!(
                "convolution: {} images of {} channels and axes {:?}: the lengths do not fit",
                self.batch, self.channels, self.axes
            )));
        }
        self.linear
            .apply_from(&self.windows(), result, rows, threads)
    }

    fn windows(&self) -> Windows<'_> {
        let [down, across] = self.axes;
        // Taps that lie side by side are one piece of memory.
        let side_by_side = across.dilation == 1;
        Windows {
            of: self,
            positions: [down, across].map(|axis| axis.positions()),
            piece: if side_by_side { across.taps } else { 1 },
        }
    }
}

/// The windows of all positions.
struct Windows<'a> {
    of: &'a Convolution<'a>,
    positions: [usize; 2],
    /// Taps of one piece of memory.
    piece: usize,
}

impl Rows for Windows<'_> {
    #[inline(always)]
    fn columns<'a>(
        &'a self,
        rows: Range<usize>,
        columns: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> (&'a [f32], usize) {
        let step = columns.len();
        scratch.resize(rows.len() * step, 0.0);
        if step > 0 {
            let [high, wide] = self.positions;
            let (mut image, mut y, mut x) = (
                rows.start / wide / high,
                rows.start / wide % high,
                rows.start % wide,
            );
            let first = self.place(columns.start);
            for window in scratch.chunks_exact_mut(step) {
                self.copy([image, y, x], first, window);
                x += 1;
                if x == wide {
                    (x, y) = (0, y + 1);
                }
                if y == high {
                    (y, image) = (0, image + 1);
                }
            }
        }
        (scratch, step)
    }
}

/// A column of a window: its tap down, the first tap across of its piece, and its place in the piece.
#[derive(Clone, Copy)]
struct Place {
    down: usize,
    across: usize,
    column: usize,
}

impl Windows<'_> {
    fn place(&self, column: usize) -> Place {
        let row = self.of.axes[1].taps * self.of.channels;
        let width = self.piece * self.of.channels;
        Place {
            down: column / row,
            across: column % row / width * self.piece,
            column: column % width,
        }
    }

    /// Copies the columns of a window from this one on; what lies outside of the image is zeros.
    #[inline(always)]
    fn copy(&self, [image, y, x]: [usize; 3], mut place: Place, window: &mut [f32]) {
        let Convolution {
            linear,
            channels,
            axes: [down, across],
            ..
        } = *self.of;
        let top = (y * down.stride) as isize - down.padding as isize;
        let left = (x * across.stride) as isize - across.padding as isize;
        let (width, end) = (self.piece * channels, across.size * channels);
        let mut rest = window;
        while !rest.is_empty() {
            // Of this piece the columns `from` to `to`.
            let from = place.column;
            let to = width.min(from + rest.len());
            let (part, after) = rest.split_at_mut(to - from);
            rest = after;
            let row = top + (place.down * down.dilation) as isize;
            // In elements from the line's first: where the columns lie, which may be outside of it.
            let shift = (left + (place.across * across.dilation) as isize) * channels as isize;
            let (begin, beyond) = (shift + from as isize, shift + to as isize);
            if row < 0 || row >= down.size as isize {
                part.fill(0.0);
            } else {
                let line = &linear.x[(image * down.size + row as usize) * end..][..end];
                if begin >= 0 && beyond <= end as isize {
                    copy(&line[begin as usize..beyond as usize], part);
                } else {
                    part.fill(0.0);
                    let inside = begin.max(0)..beyond.min(end as isize);
                    if inside.start < inside.end {
                        let at = (inside.start - begin) as usize;
                        let pixels = &line[inside.start as usize..inside.end as usize];
                        part[at..][..pixels.len()].copy_from_slice(pixels);
                    }
                }
            }
            place.column = 0;
            place.across += self.piece;
            if place.across == across.taps {
                (place.across, place.down) = (0, place.down + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::{Activation, pack, packed_length};

    /// By definition; whole numbers, so that sums are exact in any order.
    #[test]
    fn images_of_every_shape() {
        let mut draw = fastrand::Rng::with_seed(7);
        for (batch, channels, filters, sizes, taps, strides, padding, dilations) in [
            (1, 3, 20, [17, 15], [3, 3], [2, 2], [1, 1], [1, 1]),
            (2, 64, 33, [9, 7], [3, 3], [1, 1], [1, 1], [1, 1]),
            (1, 5, 16, [9, 12], [3, 2], [1, 2], [2, 0], [2, 3]),
            (1, 130, 10, [6, 5], [1, 5], [1, 1], [0, 2], [1, 1]),
            (1, 3, 7, [20, 23], [7, 7], [2, 3], [3, 3], [1, 1]),
            (3, 1, 1, [4, 4], [2, 2], [2, 2], [0, 0], [1, 1]),
            (1, 8, 8, [1, 1], [3, 3], [1, 1], [1, 1], [1, 1]),
            (1, 4, 4, [2, 40], [3, 3], [1, 1], [4, 4], [3, 3]),
            (1, 2, 3, [2, 2], [3, 3], [1, 1], [0, 0], [1, 1]),
        ] {
            let mut whole =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.i32(-3..4) as f32).collect() };
            let axes = [0, 1].map(|a| Axis {
                size: sizes[a],
                taps: taps[a],
                stride: strides[a],
                padding: padding[a],
                dilation: dilations[a],
            });
            let depth = taps[0] * taps[1] * channels;
            let (x, weight) = (
                whole(batch * sizes[0] * sizes[1] * channels),
                whole(filters * depth),
            );
            let [rows, columns] = axes.map(|axis| axis.positions());
            let (bias, other) = (whole(filters), whole(batch * rows * columns * filters));
            let mut panels = vec![f32::NAN; packed_length(filters, depth)];
            pack(&weight, filters, depth, &mut panels).unwrap();
            let convolution = Convolution {
                linear: Linear {
                    x: &x,
                    panels: &panels,
                    bias: Some(&bias),
                    other: Some(&other),
                    activation: Activation::Relu,
                    columns: filters,
                    depth,
                },
                batch,
                channels,
                axes,
            };
            let mut result = vec![f32::NAN; other.len()];
            convolution.apply(&mut result, 2).unwrap();
            for (at, &value) in result.iter().enumerate() {
                let (f, at) = (at % filters, at / filters);
                let (b, r, q) = (at / columns / rows, at / columns % rows, at % columns);
                let mut sum = bias[f] + other[at * filters + f];
                for (i, j) in (0..taps[0]).flat_map(|i| (0..taps[1]).map(move |j| (i, j))) {
                    let y = (r * strides[0] + i * dilations[0]).wrapping_sub(padding[0]);
                    let z = (q * strides[1] + j * dilations[1]).wrapping_sub(padding[1]);
                    if y < sizes[0] && z < sizes[1] {
                        for c in 0..channels {
                            let pixel = ((b * sizes[0] + y) * sizes[1] + z) * channels + c;
                            let tap = f * depth + (i * taps[1] + j) * channels + c;
                            sum += x[pixel] * weight[tap];
                        }
                    }
                }
                assert_eq!(
                    value,
                    sum.max(0.0),
                    "{channels} {filters} {sizes:?} {taps:?}"
                );
            }
            assert!(
                convolution
                    .apply(&mut vec![0.0; other.len() + 1], 1)
                    .is_err()
            );
        }
    }
}
