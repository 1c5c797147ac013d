//! Convolutions of each channel with a filter of its own, over images whose channels lie together.

use crate::error::{Error, Result};
use crate::linear::Activation;
use crate::registers::{Job, dispatch};
use crate::team;

/// Below so many multiplications a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 15;
/// So many tasks for each thread, where there are rows enough: one may begin late.
const TASKS: usize = 8;
/// Channels that are summed at a time, in registers.
const WIDE: usize = 32;
/// The same of what is left.
const NARROW: usize = 8;

/// How a filter moves along one axis.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// Pixels of the image.
    pub size: usize,
    /// Taps of the filter.
    pub taps: usize,
    /// Pixels from one position to the next.
    pub stride: usize,
    /// Zeros before the first pixel, and after the last.
    pub padding: usize,
    /// Pixels from one tap to the next.
    pub dilation: usize,
}

impl Axis {
    /// Positions of the filter.
    pub fn positions(&self) -> usize {
        if self.taps * self.stride * self.dilation == 0 {
            return 0;
        }
        let covered = self.dilation * (self.taps - 1) + 1;
        (self.size + 2 * self.padding)
            .checked_sub(covered)
            .map_or(0, |room| room / self.stride + 1)
    }

    /// The taps that fall on pixels at a position, and the pixel of tap 0, which may lie before the first.
    fn taps_at(&self, position: usize) -> (std::ops::Range<usize>, isize) {
        let start = (position * self.stride) as isize - self.padding as isize;
        let first = (-start).max(0) as usize;
        let end = (self.size as isize - start).max(0) as usize;
        let from = first.div_ceil(self.dilation).min(self.taps);
        let to = end.div_ceil(self.dilation).min(self.taps);
        (from..to.max(from), start)
    }

    /// Positions at which all taps fall on pixels.
    fn inner(&self) -> std::ops::Range<usize> {
        let covered = self.dilation * (self.taps - 1) + 1;
        let first = self.padding.div_ceil(self.stride);
        let end = (self.size + self.padding)
            .checked_sub(covered)
            .map_or(0, |last| last / self.stride + 1);
        first..end.min(self.positions()).max(first)
    }
}

/// Images (batch, height, width, channels), filters (taps down, taps across, channels), and what follows.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// The images.
    pub x: &'a [f32],
    /// The filters.
    pub filters: &'a [f32],
    /// A number for each channel.
    pub bias: Option<&'a [f32]>,
    /// What is applied in the end.
    pub activation: Activation,
    /// Images, and channels of each.
    pub batch: usize,
    pub channels: usize,
    /// Down and across.
    pub axes: [Axis; 2],
}

/// One row of one image, and where it is written.
struct Row<'a> {
    of: &'a Depthwise<'a>,
    row: usize,
    to: &'a mut [f32],
}

impl Job for Row<'_> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        self.of.row::<BITS>(self.row, self.to);
    }
}

impl Depthwise<'_> {
    /// Writes the images that come of it, (batch, positions down, positions across, channels), with so many threads at
    /// most.
    ///
    /// # Errors
    /// The slices are not of these sizes, or an axis has no taps or moves nowhere.
    pub fn apply(&self, result: &mut [f32], threads: usize) -> Result<()> {
        if self
            .axes
            .iter()
            .any(|a| a.taps * a.stride * a.dilation == 0)
        {
            return Err(Error::new(
                "depthwise: taps, strides and dilations are at least 1",
            ));
        }
        let [down, across] = self.axes;
        let (rows, width) = (down.positions(), across.positions() * self.channels);
        let fits = self.x.len() == self.batch * down.size * across.size * self.channels
            && self.filters.len() == down.taps * across.taps * self.channels
            && self.bias.is_none_or(|bias| bias.len() == self.channels)
            && result.len() == self.batch * rows * width;
        if !fits {
            return Err(Error::new(format!(
                "depthwise: {} images of {} channels and axes {:?}: the lengths do not fit",
                self.batch, self.channels, self.axes
            )));
        }
        if result.is_empty() {
            return Ok(());
        }
        let all = self.batch * rows;
        let work = result.len() * down.taps * across.taps;
        let threads = threads.min(work / WORTH_A_THREAD).max(1);
        let share = if threads == 1 {
            all
        } else {
            all.div_ceil(threads * TASKS)
        };
        let parts: Vec<_> = result
            .chunks_mut(share * width)
            .map(std::sync::Mutex::new)
            .collect();
        team::each(parts.len(), threads, |task| {
            // Each is taken once.
            if let Ok(mut part) = parts[task].try_lock() {
                for (row, to) in part.chunks_exact_mut(width).enumerate() {
                    let row = task * share + row;
                    dispatch(Row { of: self, row, to });
                }
            }
        });
        Ok(())
    }

    /// One row of one image.
    #[inline(always)]
    fn row<const BITS: usize>(&self, row: usize, to: &mut [f32]) {
        let [down, across] = self.axes;
        let (image, row) = (row / down.positions(), row % down.positions());
        let (taps_down, top) = down.taps_at(row);
        let inner = if BITS >= 256 && !taps_down.is_empty() {
            across.inner()
        } else {
            0..0
        };
        for (position, pixel) in to.chunks_exact_mut(self.channels).enumerate() {
            if inner.contains(&position) {
                continue;
            }
            let (taps_across, left) = across.taps_at(position);
            if taps_down.is_empty() || taps_across.is_empty() {
                match self.bias {
                    Some(bias) => pixel.copy_from_slice(bias),
                    None => pixel.fill(0.0),
                }
                continue;
            }
            let taps = self.taps(image, [taps_down.clone(), taps_across], [top, left]);
            self.pixel::<BITS>(&taps, 0, pixel);
        }
        #[cfg(target_arch = "x86_64")]
        if !inner.is_empty() {
            let left = (inner.start * across.stride) as isize - across.padding as isize;
            let taps = self.taps(image, [taps_down, 0..across.taps], [top, left]);
            let to = &mut to[inner.start * self.channels..inner.end * self.channels];
            // SAFETY: `BITS` is 256 or more, and all taps of these positions fall on pixels.
            unsafe { self.run::<BITS>(&taps, to) };
        }
        self.activation.apply::<BITS>(to);
    }

    /// These taps, where those of tap 0 would fall on this pixel.
    fn taps(&self, image: usize, taps: [std::ops::Range<usize>; 2], zero: [isize; 2]) -> Taps<'_> {
        let [down, across] = self.axes;
        let y = (zero[0] + (taps[0].start * down.dilation) as isize) as usize;
        let x = (zero[1] + (taps[1].start * across.dilation) as isize) as usize;
        let first = taps[0].start * across.taps + taps[1].start;
        Taps {
            x: &self.x[((image * down.size + y) * across.size + x) * self.channels..],
            filters: &self.filters[first * self.channels..],
            counts: taps.map(|taps| taps.len()),
        }
    }

    /// All channels of a pixel from this one on.
    #[inline(always)]
    fn pixel<const BITS: usize>(&self, taps: &Taps<'_>, mut channel: usize, pixel: &mut [f32]) {
        while channel + WIDE <= self.channels {
            self.sums::<BITS, WIDE, 4>(taps, channel, pixel);
            channel += WIDE;
        }
        while channel + NARROW <= self.channels {
            self.sums::<BITS, NARROW, 1>(taps, channel, pixel);
            channel += NARROW;
        }
        while channel < self.channels {
            self.sums::<0, 1, 0>(taps, channel, pixel);
            channel += 1;
        }
    }

    /// Pixels side by side, so that what is read of a filter serves several of them.
    ///
    /// # Safety
    /// The taps are those of the first pixel, and all of them fall on pixels for every one; the processor has registers
    /// of `BITS`, at least 256.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn run<const BITS: usize>(&self, taps: &Taps<'_>, to: &mut [f32]) {
        let (step, count) = (
            self.axes[1].stride * self.channels,
            to.len() / self.channels,
        );
        let whole = self.channels / NARROW * NARROW;
        let mut channel = 0;
        while channel < whole {
            // Elements of a register, and how many of these are summed at a time.
            let (lanes, wide) = match whole - channel {
                32.. if BITS >= 512 => (16, true),
                16.. if BITS >= 512 => (16, false),
                16.. => (8, true),
                _ => (8, false),
            };
            let mut position = 0;
            while position < count {
                let side = Side {
                    of: self,
                    counts: taps.counts,
                    x: taps.x[position * step + channel..].as_ptr(),
                    filters: taps.filters[channel..].as_ptr(),
                    bias: self.bias.map(|bias| bias[channel..].as_ptr()),
                    to: to[position * self.channels + channel..].as_mut_ptr(),
                };
                // SAFETY: so many pixels and channels are left, as the caller vouches.
                position += unsafe {
                    match (lanes, wide, count - position) {
                        (16, true, 6..) => side.whole_sums::<6, 2>(),
                        (16, true, 4..) => side.whole_sums::<4, 2>(),
                        (16, true, 2..) => side.whole_sums::<2, 2>(),
                        (16, true, _) => side.whole_sums::<1, 2>(),
                        (16, false, 6..) => side.whole_sums::<6, 1>(),
                        (16, false, 2..) => side.whole_sums::<2, 1>(),
                        (16, false, _) => side.whole_sums::<1, 1>(),
                        (_, true, 6..) => side.half_sums::<6, 2>(),
                        (_, true, 4..) => side.half_sums::<4, 2>(),
                        (_, true, 2..) => side.half_sums::<2, 2>(),
                        (_, true, _) => side.half_sums::<1, 2>(),
                        (_, false, 6..) => side.half_sums::<6, 1>(),
                        (_, false, 2..) => side.half_sums::<2, 1>(),
                        (_, false, _) => side.half_sums::<1, 1>(),
                    }
                };
            }
            channel += if wide { 2 * lanes } else { lanes };
        }
        if whole < self.channels {
            for (position, pixel) in to.chunks_exact_mut(self.channels).enumerate() {
                let taps = Taps {
                    x: &taps.x[position * step..],
                    ..*taps
                };
                self.pixel::<BITS>(&taps, whole, pixel);
            }
        }
    }

    /// So many channels of a pixel, in so many registers where there are any.
    #[inline(always)]
    fn sums<const BITS: usize, const N: usize, const VECTORS: usize>(
        &self,
        taps: &Taps<'_>,
        channel: usize,
        pixel: &mut [f32],
    ) {
        let to = &mut pixel[channel..channel + N];
        match self.bias {
            Some(bias) => to.copy_from_slice(&bias[channel..channel + N]),
            None => to.fill(0.0),
        }
        let [down, across] = self.axes;
        let across_image = across.dilation * self.channels;
        let down_image = down.dilation * across.size * self.channels;
        let down_filter = across.taps * self.channels;
        let [rows, columns] = taps.counts;
        // What the last tap reads is there.
        let last = (rows - 1) * down_image + (columns - 1) * across_image + channel + N;
        let last_filter = (rows - 1) * down_filter + (columns - 1) * self.channels + channel + N;
        let (x, filters) = (&taps.x[channel..last], &taps.filters[channel..last_filter]);
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256 {
            use std::arch::x86_64::*;
            // SAFETY: the processor has the instructions, `to` has 8·VECTORS elements, and the slices reach to the last tap.
            unsafe {
                let mut sums = [_mm256_setzero_ps(); VECTORS];
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm256_loadu_ps(to.as_ptr().add(8 * v));
                }
                for i in 0..rows {
                    for j in 0..columns {
                        let x = x.as_ptr().add(i * down_image + j * across_image);
                        let w = filters.as_ptr().add(i * down_filter + j * self.channels);
                        for (v, sum) in sums.iter_mut().enumerate() {
                            let (x, w) =
                                (_mm256_loadu_ps(x.add(8 * v)), _mm256_loadu_ps(w.add(8 * v)));
                            *sum = _mm256_fmadd_ps(x, w, *sum);
                        }
                    }
                }
                for (v, sum) in sums.iter().enumerate() {
                    _mm256_storeu_ps(to.as_mut_ptr().add(8 * v), *sum);
                }
            }
            return;
        }
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            let x = &x[i * down_image + j * across_image..][..N];
            let w = &filters[i * down_filter + j * self.channels..][..N];
            for ((sum, &x), &w) in to.iter_mut().zip(x).zip(w) {
                *sum += x * w;
            }
        }
    }
}

/// The taps that fall on pixels.
struct Taps<'a> {
    /// The image from the pixel under the first of them.
    x: &'a [f32],
    /// The filters from the first of them.
    filters: &'a [f32],
    /// How many down and across; at least one of each.
    counts: [usize; 2],
}

/// Pixels side by side of a row, from one channel on.
#[cfg(target_arch = "x86_64")]
struct Side<'a> {
    of: &'a Depthwise<'a>,
    counts: [usize; 2],
    x: *const f32,
    filters: *const f32,
    bias: Option<*const f32>,
    to: *mut f32,
}

#[cfg(target_arch = "x86_64")]
macro_rules! sums_of_registers {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $plus:ident, $store:ident) => {
        /// So many pixels by so many registers of channels; how many pixels.
        ///
        /// # Safety
        /// All taps fall on pixels, there are as many channels, and the processor has the instructions.
        #[target_feature(enable = $features)]
        #[inline(never)]
        unsafe fn $name<const PIXELS: usize, const VECTORS: usize>(self) -> usize {
            use std::arch::x86_64::*;

            let channels = self.of.channels;
            let [down, across] = self.of.axes;
            let step = across.stride * channels;
            // SAFETY: as the caller vouches.
            unsafe {
                let mut sums = [[$zero(); VECTORS]; PIXELS];
                if let Some(bias) = self.bias {
                    for pixel in &mut sums {
                        for (v, sum) in pixel.iter_mut().enumerate() {
                            *sum = $load(bias.add($lanes * v));
                        }
                    }
                }
                for i in 0..self.counts[0] {
                    let mut x = self.x.add(i * down.dilation * across.size * channels);
                    let mut filter = self.filters.add(i * across.taps * channels);
                    for _ in 0..self.counts[1] {
                        for v in 0..VECTORS {
                            let weight = $load(filter.add($lanes * v));
                            for (p, pixel) in sums.iter_mut().enumerate() {
                                let value = $load(x.add(p * step + $lanes * v));
                                pixel[v] = $plus(value, weight, pixel[v]);
                            }
                        }
                        x = x.wrapping_add(across.dilation * channels);
                        filter = filter.wrapping_add(channels);
                    }
                }
                for (p, pixel) in sums.iter().enumerate() {
                    for (v, sum) in pixel.iter().enumerate() {
                        $store(self.to.add(p * channels + $lanes * v), *sum);
                    }
                }
            }
            PIXELS
        }
    };
}

#[cfg(target_arch = "x86_64")]
impl Side<'_> {
    sums_of_registers!(
        whole_sums,
        "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma",
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_fmadd_ps,
        _mm512_storeu_ps
    );
    sums_of_registers!(
        half_sums,
        "avx2,fma",
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_fmadd_ps,
        _mm256_storeu_ps
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition; whole numbers, so that sums are exact in any order.
    #[test]
    fn images_of_every_shape() {
        let mut draw = fastrand::Rng::with_seed(5);
        for (batch, channels, sizes, taps, stride, padding, dilation) in [
            (1, 32, [9, 7], [3, 3], 1, 1, 1),
            (2, 45, [8, 8], [3, 3], 2, 1, 1),
            (1, 3, [5, 6], [1, 3], 1, 0, 2),
            (1, 8, [4, 4], [7, 7], 1, 3, 1),
            (1, 8, [2, 2], [3, 3], 3, 2, 2),
            (2, 64, [30, 30], [5, 5], 1, 2, 1),
            (1, 57, [4, 31], [3, 3], 2, 1, 1),
            (1, 24, [9, 40], [3, 5], 3, 4, 3),
            (1, 29, [12, 12], [3, 3], 1, 0, 1),
        ] {
            let mut whole =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.i32(-3..4) as f32).collect() };
            let axes = [0, 1].map(|a| Axis {
                size: sizes[a],
                taps: taps[a],
                stride,
                padding,
                dilation,
            });
            let x = whole(batch * sizes[0] * sizes[1] * channels);
            let (filters, bias) = (whole(taps[0] * taps[1] * channels), whole(channels));
            let depthwise = Depthwise {
                x: &x,
                filters: &filters,
                bias: Some(&bias),
                activation: Activation::Clamp(0.0, 6.0),
                batch,
                channels,
                axes,
            };
            let [rows, columns] = axes.map(|axis| axis.positions());
            let mut result = vec![f32::NAN; batch * rows * columns * channels];
            depthwise.apply(&mut result, 2).unwrap();
            for (at, &value) in result.iter().enumerate() {
                let (c, at) = (at % channels, at / channels);
                let (b, r, q) = (at / columns / rows, at / columns % rows, at % columns);
                let mut sum = bias[c];
                for (i, j) in (0..taps[0]).flat_map(|i| (0..taps[1]).map(move |j| (i, j))) {
                    let y = (r * stride + i * dilation).wrapping_sub(padding);
                    let z = (q * stride + j * dilation).wrapping_sub(padding);
                    if y < sizes[0] && z < sizes[1] {
                        let pixel = ((b * sizes[0] + y) * sizes[1] + z) * channels + c;
                        sum += x[pixel] * filters[(i * taps[1] + j) * channels + c];
                    }
                }
                assert_eq!(value, sum.clamp(0.0, 6.0));
            }
            assert!(depthwise.apply(&mut result[1..], 1).is_err());
        }
    }
}
