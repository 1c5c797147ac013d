//! Convolutions of 3×3 taps with fewer multiplications than taps (Winograd's minimal filtering: Lavin and Gray, Fast
//! Algorithms for Convolutional Neural Networks, 2016).
//!
//! A filter over a line is a product of polynomials, and that is a product of their values at some points: M positions of
//! three taps take M + 2 points, of a tile M × M as many down as across. What the values of pixels are at a point is a few
//! sums; those of filters are taken once. At each point all channels of all tiles meet all filters in one product of
//! matrices. Tiles of 2 × 2 positions multiply 16 times where taps would 36 times, those of 4 × 4 take 36 for 144.
//!
//! Sums of the reals: what is no number or infinite at one pixel is so at all positions of its tiles. Points are 0, ±1 and
//! infinity for two positions, 0, ±√½, ±√2 and infinity for four: of powers of these sums err less than of whole numbers.

mod vector;

use std::cell::Cell;
use std::ops::Range;

use crate::convolution::Convolution;
use crate::error::{Error, Result};
use crate::linear::tile::{MOST_PANELS, ROWS};
use crate::linear::{Activation, COLUMNS, Linear, packed_length};
use crate::registers::{Job, dispatch};
use crate::team::{self, Parts};
use vector::{Vector, at_points, at_positions};

/// Taps of a filter along each axis.
pub const TAPS: usize = 3;
/// Elements that stay in the second cache: tiles of a task at all points, and their products with four panels.
const HELD: usize = 1 << 18;
/// A task has so many tiles at least, where there are as many: fewer would read the filters once more for too little.
const LOW: usize = 2 * ROWS;
/// So many tasks for each thread, where there are tiles and panels enough: one may begin late.
const TASKS: usize = 4;
/// Below so many multiplications a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 15;

/// Channels that are summed at a time.
type Lanes = [f32; COLUMNS];

/// A line of the caches.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read and written by address")] Lanes);

thread_local! {
    /// What a task's tiles are at the points, and its products.
    static SCRATCH: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Points of tiles of 2 and of 4 positions down and across.
///
/// # Errors
/// Tiles are of another size.
pub fn points(side: usize) -> Result<usize> {
    match side {
        2 | 4 => Ok((side + TAPS - 1) * (side + TAPS - 1)),
        _ => Err(Error::new(format!(
            "Winograd's tiles have 2 or 4 positions a side, not {side}"
        ))),
    }
}

/// Values of a filter along one axis: a row of three factors for each point.
fn values(side: usize) -> Vec<[f64; TAPS]> {
    let at = |point: f64, over: f64| [1.0 / over, point / over, point * point / over];
    let root = std::f64::consts::SQRT_2;
    let mut rows = match side {
        2 => vec![at(0.0, 1.0), at(1.0, 2.0), at(-1.0, 2.0)],
        _ => vec![
            at(0.0, 1.0),
            at(root / 2.0, -1.5),
            at(-root / 2.0, -1.5),
            at(root, 6.0),
            at(-root, 6.0),
        ],
    };
    rows.push([0.0, 0.0, 1.0]);
    rows
}

/// Writes filters (filters, channels, 3, 3) as their values at the points, for each a weight (filters, channels) in panels;
/// filters that there are not are zeros.
///
/// # Errors
/// The slices are not of these sizes, or tiles have neither 2 nor 4 positions a side.
pub fn pack(
    weight: &[f32],
    filters: usize,
    channels: usize,
    side: usize,
    panels: &mut [f32],
) -> Result<()> {
    let depth = points(side)? * channels;
    if weight.len() != filters * channels * TAPS * TAPS
        || panels.len() != packed_length(filters, depth)
    {
        return Err(Error::new(format!(
            "packing {filters} filters of {channels} channels: the lengths do not fit"
        )));
    }
    panels.fill(0.0);
    let (rows, all) = (values(side), filters.div_ceil(COLUMNS));
    for (number, taps) in weight.chunks_exact(TAPS * TAPS).enumerate() {
        let (filter, channel) = (number / channels, number % channels);
        for (p, down) in rows.iter().enumerate() {
            let mut across = [0.0; TAPS];
            for (taps, factor) in taps.chunks_exact(TAPS).zip(down) {
                for (sum, &tap) in across.iter_mut().zip(taps) {
                    *sum += factor * f64::from(tap);
                }
            }
            for (q, row) in rows.iter().enumerate() {
                let value: f64 = row.iter().zip(across).map(|(a, b)| a * b).sum();
                let panel = (p * rows.len() + q) * all + filter / COLUMNS;
                panels[(panel * channels + channel) * COLUMNS + filter % COLUMNS] = value as f32;
            }
        }
    }
    Ok(())
}

/// A convolution of 3×3 taps that lie side by side, at every position.
#[derive(Debug, Clone, Copy)]
pub struct Winograd<'a> {
    /// Of which the panels are as [`pack`] writes them, and the depth is channels times points.
    pub convolution: Convolution<'a>,
    /// Positions down and across of a tile: 2 or 4.
    pub side: usize,
}

impl Winograd<'_> {
    /// Writes the images that come of it, (batch, positions down, positions across, filters), with so many threads at
    /// most.
    ///
    /// # Errors
    /// The slices are not of these sizes, or the filters have other taps or move otherwise.
    pub fn apply(&self, result: &mut [f32], threads: usize) -> Result<()> {
        let Convolution {
            linear,
            batch,
            channels,
            axes,
        } = self.convolution;
        let depth = points(self.side)? * channels;
        if axes
            .iter()
            .any(|axis| [axis.taps, axis.stride, axis.dilation] != [TAPS, 1, 1])
        {
            return Err(Error::new(format!(
                "Winograd: 3×3 taps side by side at every position, not {axes:?}"
            )));
        }
        let (n, rows) = (linear.columns, self.convolution.positions());
        let fits = linear.x.len() == batch * axes[0].size * axes[1].size * channels
            && linear.depth == depth
            && linear.panels.len() == packed_length(n, depth)
            && linear.bias.is_none_or(|bias| bias.len() == n)
            && linear.other.is_none_or(|other| other.len() == rows * n)
            && result.len() == rows * n;
        if !fits {
            return Err(Error::new(format!(
                "Winograd: {batch} images of {channels} channels and axes {axes:?}: the lengths do not fit"
            )));
        }
        if !result.is_empty() {
            match self.side {
                2 => self.in_tiles::<2, 4>(result, threads),
                _ => self.in_tiles::<4, 6>(result, threads),
            }
        }
        Ok(())
    }

    fn in_tiles<const M: usize, const N: usize>(&self, result: &mut [f32], threads: usize) {
        let of = &self.convolution;
        let grid = of.axes.map(|axis| axis.positions().div_ceil(M));
        let tiles = of.batch * grid[0] * grid[1];
        let panels = of.linear.columns.div_ceil(COLUMNS);
        let work = tiles * of.linear.columns * of.linear.depth;
        let threads = threads.min(work / WORTH_A_THREAD).max(1);
        let (blocks, across) = self.division(tiles, panels, threads);
        let to = Parts::of(result);
        // Tasks one after another share their panels.
        team::each(blocks * across, threads, |task| {
            let (group, block) = (task / blocks, task % blocks);
            dispatch(Task::<M, N> {
                of,
                result: to.address(),
                grid,
                tiles: block * tiles / blocks..(block + 1) * tiles / blocks,
                panels: group * panels / across..(group + 1) * panels / across,
            });
        });
    }

    /// Into how many tasks tiles and panels are divided. Of filters that each thread's cache holds it is the tiles first;
    /// else the panels, so that no two threads read the same. Each task takes the values of its tiles itself.
    fn division(&self, tiles: usize, panels: usize, threads: usize) -> (usize, usize) {
        let Convolution {
            linear, channels, ..
        } = self.convolution;
        let of_one = linear.depth + linear.depth / channels.max(1) * MOST_PANELS * COLUMNS;
        let blocks = tiles.div_ceil((HELD / of_one.max(1)).max(LOW));
        if threads == 1 {
            return (blocks, 1);
        }
        let blocks = if linear.panels.len() <= HELD {
            blocks.max((threads * TASKS).min(tiles.div_ceil(LOW)))
        } else {
            blocks
        };
        let across = (threads * TASKS).div_ceil(blocks);
        (blocks, across.min(panels.div_ceil(MOST_PANELS)))
    }
}

/// Some tiles of M × M positions by some panels, at N × N points.
struct Task<'a, const M: usize, const N: usize> {
    of: &'a Convolution<'a>,
    result: *mut f32,
    /// Tiles down and across of one image.
    grid: [usize; 2],
    tiles: Range<usize>,
    panels: Range<usize>,
}

impl<const M: usize, const N: usize> Job for Task<'_, M, N> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // SAFETY: `apply`, which makes tasks, has checked the lengths and divides the result among them; the processor has
        // registers of `BITS`.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            match BITS {
                512 => return self.convolve::<std::arch::x86_64::__m512, BITS>(),
                256 => return self.convolve::<std::arch::x86_64::__m256, BITS>(),
                _ => {}
            }
            self.convolve::<f32, BITS>();
        }
    }
}

impl<const M: usize, const N: usize> Task<'_, M, N> {
    /// # Safety
    /// The convolution's slices and the result fit, nobody else uses these elements of it, and the processor has the
    /// vectors, and registers of `BITS`.
    #[inline(always)]
    unsafe fn convolve<V: Vector, const BITS: usize>(&self) {
        let Convolution {
            linear, channels, ..
        } = *self.of;
        let (count, panels) = (self.tiles.len(), linear.columns.div_ceil(COLUMNS));
        // Of each point all tiles; a line more, which the last one may write to, and lest all lie in one set of the cache.
        let plane = ((count * channels).div_ceil(COLUMNS) + 1) * COLUMNS;
        let product = (count * MOST_PANELS + 1) * COLUMNS;
        let all = channels.next_multiple_of(COLUMNS) + N * N * (plane + product);
        let mut lines = SCRATCH.take();
        if lines.len() * COLUMNS < all {
            lines.resize(all / COLUMNS, Line([0.0; COLUMNS]));
        }
        // SAFETY: lines are numbers, and nothing else.
        let scratch =
            unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), all) };
        let (zeros, scratch) = scratch.split_at_mut(channels.next_multiple_of(COLUMNS));
        let (tiles, products) = scratch.split_at_mut(N * N * plane);
        zeros.fill(0.0);
        for (number, tile) in self.tiles.clone().enumerate() {
            // SAFETY: there are lines for all tiles at all points.
            unsafe {
                let to = tiles.as_mut_ptr().add(number * channels);
                self.spread::<V>(tile, zeros, to, plane);
            }
        }
        let mut panel = self.panels.start;
        while panel < self.panels.end {
            let beside = MOST_PANELS.min(self.panels.end - panel);
            let width = beside * COLUMNS;
            for point in 0..N * N {
                let weight = (point * panels + panel) * channels * COLUMNS;
                let linear = Linear {
                    x: &tiles[point * plane..][..count * channels],
                    panels: &linear.panels[weight..][..width * channels],
                    bias: None,
                    other: None,
                    activation: Activation::None,
                    columns: width,
                    depth: channels,
                };
                let to = &mut products[point * product..][..count * width];
                // SAFETY: the slices are of these lengths, and the processor has the registers.
                unsafe { linear.tiles::<BITS>(to.as_mut_ptr(), count, 0..beside) };
            }
            for (number, tile) in self.tiles.clone().enumerate() {
                for column in 0..beside {
                    // SAFETY: as the caller vouches; there are lines of all tiles and panels at all points.
                    unsafe {
                        let from = products.as_ptr().add((number * beside + column) * COLUMNS);
                        self.gather::<V, BITS>(tile, panel + column, from, product);
                    }
                }
            }
            panel += beside;
        }
        SCRATCH.set(lines);
    }

    /// The image of a tile, and its first position down and across.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 3] {
        let [high, wide] = self.grid;
        let at = tile % (high * wide);
        [tile / (high * wide), at / wide * M, at % wide * M]
    }

    /// Writes what a tile's pixels are at the points, so many elements apart; beyond the last channel up to a line more.
    ///
    /// # Safety
    /// `to` has lines for all points, `zeros` one for all channels, and the processor has the vectors.
    #[inline(always)]
    unsafe fn spread<V: Vector>(&self, tile: usize, zeros: &[f32], to: *mut f32, apart: usize) {
        let Convolution {
            linear,
            channels,
            axes: [down, across],
            ..
        } = *self.of;
        let [image, top, left] = self.place(tile);
        let mut pixels = [[zeros.as_ptr(); N]; N];
        for (i, line) in pixels.iter_mut().enumerate() {
            let y = (top + i).wrapping_sub(down.padding);
            for (j, pixel) in line.iter_mut().enumerate() {
                let x = (left + j).wrapping_sub(across.padding);
                if y < down.size && x < across.size {
                    let first = ((image * down.size + y) * across.size + x) * channels;
                    *pixel = linear.x[first..][..channels].as_ptr();
                }
            }
        }
        let whole = channels / COLUMNS * COLUMNS;
        // SAFETY: each pixel has so many channels, and the rest is as the caller vouches.
        unsafe {
            for channel in (0..whole).step_by(V::LANES) {
                Self::line_at_points::<V>(&pixels, channel, to.add(channel), apart);
            }
            if whole < channels {
                let mut rest = [[[0.0; COLUMNS]; N]; N];
                for (line, rest) in pixels.iter_mut().zip(&mut rest) {
                    for (pixel, rest) in line.iter_mut().zip(rest) {
                        let from = pixel.add(whole);
                        std::ptr::copy_nonoverlapping(from, rest.as_mut_ptr(), channels - whole);
                        *pixel = rest.as_ptr();
                    }
                }
                for lane in (0..COLUMNS).step_by(V::LANES) {
                    Self::line_at_points::<V>(&pixels, lane, to.add(whole + lane), apart);
                }
            }
        }
    }

    /// Writes what so many channels of these pixels are at the points.
    ///
    /// # Safety
    /// As for `spread`; pixels have so many channels from this one on.
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "places of two arrays at once, known when it is compiled"
    )]
    unsafe fn line_at_points<V: Vector>(
        pixels: &[[*const f32; N]; N],
        channel: usize,
        to: *mut f32,
        apart: usize,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            let mut half = [[V::of(0.0); N]; N];
            for i in 0..N {
                let mut values = [V::of(0.0); N];
                for j in 0..N {
                    values[j] = V::load(pixels[i][j].add(channel));
                }
                half[i] = at_points(values);
            }
            for q in 0..N {
                let mut values = [V::of(0.0); N];
                for i in 0..N {
                    values[i] = half[i][q];
                }
                let found = at_points(values);
                for p in 0..N {
                    found[p].store(to.add((p * N + q) * apart));
                }
            }
        }
    }

    /// Writes a tile's positions for the filters of a panel, of products that lie so many elements apart.
    ///
    /// # Safety
    /// There is a line of products for all points, the result is as long as `apply` asks for, nobody else uses these elements
    /// of it, and the processor has the vectors.
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "places of two arrays at once, known when it is compiled"
    )]
    unsafe fn gather<V: Vector, const BITS: usize>(
        &self,
        tile: usize,
        panel: usize,
        products: *const f32,
        apart: usize,
    ) {
        let Convolution { linear, axes, .. } = *self.of;
        let n = linear.columns;
        let (first, width) = (panel * COLUMNS, COLUMNS.min(n - panel * COLUMNS));
        let mut begin = [0.0; COLUMNS];
        if let Some(bias) = linear.bias {
            begin[..width].copy_from_slice(&bias[first..first + width]);
        }
        let mut made = [[[0.0; COLUMNS]; M]; M];
        // SAFETY: as the caller vouches.
        unsafe {
            for lane in (0..COLUMNS).step_by(V::LANES) {
                let mut half = [[V::of(0.0); M]; N];
                for p in 0..N {
                    let mut values = [V::of(0.0); N];
                    for q in 0..N {
                        values[q] = V::load(products.add((p * N + q) * apart + lane));
                    }
                    half[p] = at_positions(values);
                }
                let shift = V::load(begin.as_ptr().add(lane));
                for column in 0..M {
                    let mut values = [V::of(0.0); N];
                    for p in 0..N {
                        values[p] = half[p][column];
                    }
                    let found: [V; M] = at_positions(values);
                    for row in 0..M {
                        let to = made[row][column].as_mut_ptr().add(lane);
                        found[row].plus(shift).store(to);
                    }
                }
            }
        }
        let [image, top, left] = self.place(tile);
        let [high, wide] = axes.map(|axis| axis.positions());
        let line = |row: usize| ((image * high + top + row) * wide + left) * n + first;
        if let Some(other) = linear.other {
            for (row, made) in made.iter_mut().take(high - top).enumerate() {
                for (column, made) in made.iter_mut().take(wide - left).enumerate() {
                    let terms = &other[line(row) + column * n..][..width];
                    if let Ok(terms) = <&Lanes>::try_from(terms) {
                        for (value, &term) in made.iter_mut().zip(terms) {
                            *value += term;
                        }
                    } else {
                        for (value, &term) in made.iter_mut().zip(terms) {
                            *value += term;
                        }
                    }
                }
            }
        }
        linear
            .activation
            .apply::<BITS>(made.as_flattened_mut().as_flattened_mut());
        for (row, made) in made.iter().take(high - top).enumerate() {
            for (column, made) in made.iter().take(wide - left).enumerate() {
                // SAFETY: as the caller vouches.
                unsafe {
                    let to = self.result.add(line(row) + column * n);
                    if width == COLUMNS {
                        to.cast::<Lanes>().write_unaligned(*made);
                    } else {
                        std::ptr::copy_nonoverlapping(made.as_ptr(), to, width);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depthwise::Axis;

    fn packed(weight: &[f32], filters: usize, channels: usize, side: usize) -> Vec<f32> {
        let depth = points(side).unwrap() * channels;
        let mut panels = vec![f32::NAN; packed_length(filters, depth)];
        pack(weight, filters, channels, side, &mut panels).unwrap();
        panels
    }

    fn axis(size: usize, padding: usize) -> Axis {
        Axis {
            size,
            taps: TAPS,
            stride: 1,
            padding,
            dilation: 1,
        }
    }

    /// By definition, in float64.
    #[test]
    fn images_of_every_shape() {
        let mut draw = fastrand::Rng::with_seed(11);
        for (batch, channels, filters, sizes, padding) in [
            (1, 3, 20, [17, 15], [1, 1]),
            (2, 64, 33, [9, 7], [1, 1]),
            (3, 16, 16, [1, 12], [1, 1]),
            (1, 5, 70, [3, 3], [0, 0]),
            (1, 130, 10, [6, 5], [0, 2]),
            (1, 300, 64, [14, 14], [1, 1]),
            (3, 1, 1, [4, 4], [2, 3]),
            (1, 8, 130, [40, 41], [1, 1]),
            (2, 2, 3, [1, 1], [1, 1]),
        ] {
            let mut drawn =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.f32() - 0.5).collect() };
            let axes = [0, 1].map(|a| axis(sizes[a], padding[a]));
            let [rows, columns] = axes.map(|axis| axis.positions());
            let x = drawn(batch * sizes[0] * sizes[1] * channels);
            let weight = drawn(filters * channels * TAPS * TAPS);
            let (bias, other) = (drawn(filters), drawn(batch * rows * columns * filters));
            let exact: Vec<f64> = (0..other.len())
                .map(|at| {
                    let (f, place) = (at % filters, at / filters);
                    let (b, r, q) = (
                        place / columns / rows,
                        place / columns % rows,
                        place % columns,
                    );
                    let mut sum = f64::from(bias[f]) + f64::from(other[at]);
                    for (i, j) in (0..TAPS).flat_map(|i| (0..TAPS).map(move |j| (i, j))) {
                        let y = (r + i).wrapping_sub(padding[0]);
                        let z = (q + j).wrapping_sub(padding[1]);
                        if y < sizes[0] && z < sizes[1] {
                            for c in 0..channels {
                                let pixel = ((b * sizes[0] + y) * sizes[1] + z) * channels + c;
                                let tap = ((f * channels + c) * TAPS + i) * TAPS + j;
                                sum += f64::from(x[pixel]) * f64::from(weight[tap]);
                            }
                        }
                    }
                    sum.max(0.0)
                })
                .collect();
            for (side, error) in [(2, 2e-6), (4, 6e-6)] {
                let panels = packed(&weight, filters, channels, side);
                let winograd = Winograd {
                    convolution: Convolution {
                        linear: Linear {
                            x: &x,
                            panels: &panels,
                            bias: Some(&bias),
                            other: Some(&other),
                            activation: Activation::Relu,
                            columns: filters,
                            depth: points(side).unwrap() * channels,
                        },
                        batch,
                        channels,
                        axes,
                    },
                    side,
                };
                // Beside the least that the sums of a few terms err.
                let scale = exact.iter().fold(1.0, |most: f64, &value| most.max(value));
                for threads in [1, 2] {
                    let mut result = vec![f32::NAN; other.len()];
                    winograd.apply(&mut result, threads).unwrap();
                    for (&value, &exact) in result.iter().zip(&exact) {
                        let found = (f64::from(value) - exact).abs() / scale;
                        assert!(
                            found < error,
                            "{channels} {filters} {sizes:?} {side}: {found:e}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(points(3).is_err());
        assert!(pack(&[0.0; 9], 1, 1, 2, &mut [0.0; 16]).is_err());
        let (x, panels) = ([0.0; 25], packed(&[1.0; 9], 1, 1, 2));
        let linear = Linear {
            x: &x,
            panels: &panels,
            bias: None,
            other: None,
            activation: Activation::None,
            columns: 1,
            depth: 16,
        };
        let fitting = Winograd {
            convolution: Convolution {
                linear,
                batch: 1,
                channels: 1,
                axes: [axis(5, 0); 2],
            },
            side: 2,
        };
        assert!(fitting.apply(&mut [0.0; 9], 1).is_ok());
        assert!(fitting.apply(&mut [0.0; 8], 1).is_err());
        let larger = Winograd { side: 4, ..fitting };
        assert!(larger.apply(&mut [0.0; 9], 1).is_err());
        let mut strided = fitting;
        strided.convolution.axes[0].stride = 2;
        assert!(strided.apply(&mut [0.0; 6], 1).is_err());
    }
}
