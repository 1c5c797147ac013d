//! Channels mixed by weights, and blades by a table: r[b, o, i] = Σ c·w[o, c, a]·x[b, c, j] over the terms (a, j, i, c)
//! of a table and over all channels; the linear layers of Clifford networks, with rows read as they lie in memory.
//!
//! Terms of one place of the result beyond the first are further channels with their places in another order, so that
//! one kernel serves all: a register holds places of one channel, and each weight is a register of weights.

use super::aligned::Aligned;
use super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::real::Registers;
use super::threads;
use crate::error::{Error, Result};
use crate::registers::{Job, bits, dispatch};

/// Rows and registers of the tile that is summed in registers: twelve sums, three weights, one operand.
pub(super) const TILE: [usize; 2] = [4, 3];

/// Which places of x and which weight each place of the result takes.
#[derive(Debug, Clone)]
pub struct ChannelMap {
    /// Weights of a pair of channels, places of x, places of the result.
    pub(super) widths: [usize; 3],
    /// For each layer and place of the result: the place of x, the weight, the coefficient.
    pub(super) layers: Vec<Vec<(usize, usize, f64)>>,
    /// Whether the table's zeros are factors too, so that what is not finite reaches all places.
    pub(super) zeros_count: bool,
}

/// A weight (o, c, a) as it lies in memory.
#[derive(Debug, Clone, Copy)]
pub struct Weight<'a, T> {
    /// Memory that holds all of it.
    pub values: &'a [T],
    /// Channels of the result, channels of x.
    pub channels: [usize; 2],
    /// Elements between neighbours along each axis.
    pub strides: [usize; 3],
}

impl<T: Real> Weight<'_, T> {
    pub(super) fn at(&self, o: usize, c: usize, a: usize) -> T {
        let [along_o, along_c, along_a] = self.strides;
        self.values[o * along_o + c * along_c + a * along_a]
    }
}

impl ChannelMap {
    /// The map of these terms (a, j, i, c).
    ///
    /// # Errors
    /// A term stands outside the widths.
    pub fn new(
        widths: [usize; 3],
        terms: impl IntoIterator<Item = (usize, usize, usize, f64)>,
        zeros_count: bool,
    ) -> Result<Self> {
        let mut layers: Vec<Vec<(usize, usize, f64)>> = vec![vec![(0, 0, 0.0); widths[2]]];
        let mut filled = vec![0; widths[2]];
        for (a, j, i, coefficient) in terms {
            if a >= widths[0] || j >= widths[1] || i >= widths[2] {
                return Err(Error::new(format!(
                    "channel map: the term ({a}, {j}, {i}) is outside {widths:?}"
                )));
            }
            if filled[i] == layers.len() {
                layers.push(vec![(0, 0, 0.0); widths[2]]);
            }
            layers[filled[i]][i] = (j, a, coefficient);
            filled[i] += 1;
        }
        Ok(Self {
            widths,
            layers,
            zeros_count,
        })
    }

    /// Weights of a pair of channels, places of x, places of the result.
    pub fn widths(&self) -> [usize; 3] {
        self.widths
    }

    /// Writes the result's rows (o, i), with so many threads at most.
    ///
    /// # Errors
    /// The slices are not so many rows, or the weight has no element that is asked for.
    pub fn apply<T: Real>(
        &self,
        x: &[T],
        weight: Weight<'_, T>,
        result: &mut [T],
        rows: usize,
        threads: usize,
    ) -> Result<()> {
        let [_, j, i] = self.widths;
        let [outs, ins] = weight.channels;
        self.check(weight)?;
        if x.len() != rows * ins * j || result.len() != rows * outs * i {
            return Err(Error::new(format!(
                "channel map: {rows} rows of {ins} and {outs} channels are not {} and {} elements",
                x.len(),
                result.len()
            )));
        }
        if result.is_empty() {
            return Ok(());
        }
        if x.is_empty() || j == 0 {
            result.fill(T::ZERO);
            return Ok(());
        }
        let places = Places::new(i, T::lanes(bits()));
        let panels = self.panels(weight, &places, threads);
        let work = rows * outs * i * ins * self.layers.len() / T::LANES;
        let share = threads::rows_of_one(rows, work, TILE[0], threads);
        threads::each(result.chunks_mut(share * outs * i), |number, part| {
            let count = part.len() / (outs * i);
            dispatch(Mix {
                map: self,
                places: &places,
                panels: &panels,
                x: &x[number * share * ins * j..][..count * ins * j],
                channels: weight.channels,
                result: part,
            });
        });
        Ok(())
    }

    fn check<T: Real>(&self, weight: Weight<'_, T>) -> Result<()> {
        let extents = [weight.channels[0], weight.channels[1], self.widths[0]];
        if extents.contains(&0) {
            return Ok(());
        }
        let last = extents
            .iter()
            .zip(weight.strides)
            .try_fold(0usize, |sum, (&n, stride)| {
                sum.checked_add((n - 1).checked_mul(stride)?)
            });
        match last {
            Some(last) if last < weight.values.len() => Ok(()),
            _ => Err(Error::new(format!(
                "channel map: a weight of {extents:?} with strides {:?} is not within {} elements",
                weight.strides,
                weight.values.len()
            ))),
        }
    }

    /// Whether each place of the result takes the same place of x, and that one alone.
    fn is_diagonal(&self) -> bool {
        self.layers.len() == 1
            && self.widths[1] == self.widths[2]
            && (self.layers[0].iter().enumerate()).all(|(i, &(j, _, _))| i == j)
    }
}

/// Zero, or NaN where one of these is not finite.
#[inline(always)]
pub(super) fn zeros<T: Real>(values: &[T]) -> T {
    let mut sum = T::ZERO;
    values.iter().for_each(|&v| sum += T::ZERO * v);
    sum
}

/// How the places of a channel lie in registers.
pub(super) struct Places {
    pub width: usize,
    /// The same, with what fills up a register or a part of one.
    pub padded: usize,
    /// Places that one channel of x takes in registers: whole ones.
    line: usize,
    /// Registers of a line.
    pub patterns: usize,
    pub lanes: usize,
}

impl Places {
    fn new(width: usize, lanes: usize) -> Self {
        let padded = if width < lanes {
            width.next_power_of_two()
        } else {
            width.next_multiple_of(lanes)
        };
        let line = padded.max(lanes);
        Self {
            width,
            padded,
            line,
            patterns: line / lanes,
            lanes,
        }
    }

    /// Registers of one pattern that so many channels of the result take.
    pub fn registers(&self, channels: usize) -> usize {
        (channels * self.padded).div_ceil(self.line)
    }

    /// Where a register's sums begin in a row of the result, where that has no gaps.
    fn begin(&self, pattern: usize, register: usize) -> usize {
        if self.padded < self.lanes {
            register * self.lanes
        } else {
            register * self.padded + pattern * self.lanes
        }
    }

    /// Which channels of the result a register holds places of, one after another.
    pub fn channels(&self, register: usize) -> std::ops::Range<usize> {
        let held = (self.lanes / self.padded).max(1);
        register * held..(register + 1) * held
    }
}

/// A row of x as its channels and layers, each a line of places in the result's order.
#[inline(always)]
fn gather<T: Real>(map: &ChannelMap, places: &Places, row: &[T], lines: &mut [T]) {
    let channels = row.chunks_exact(map.widths[1]);
    for (channel, lines) in channels.zip(lines.chunks_exact_mut(places.line * map.layers.len())) {
        for (layer, line) in map.layers.iter().zip(lines.chunks_exact_mut(places.line)) {
            for copy in line.chunks_exact_mut(places.padded) {
                for (to, &(j, _, coefficient)) in copy.iter_mut().zip(layer) {
                    *to = if coefficient == 0.0 {
                        T::ZERO
                    } else {
                        channel[j]
                    };
                }
            }
        }
    }
}

struct Mix<'a, T> {
    map: &'a ChannelMap,
    places: &'a Places,
    panels: &'a [T],
    x: &'a [T],
    channels: [usize; 2],
    result: &'a mut [T],
}

impl<T: Real> Job for Mix<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        let Self {
            map,
            places,
            panels,
            x,
            channels: [outs, ins],
            result,
        } = self;
        let (width, depth) = (ins * map.widths[1], ins * map.layers.len());
        // The weights were laid out for registers of this width.
        assert_eq!(places.lanes, T::lanes(BITS));
        let copies = places.line / places.width;
        let fits = if BITS >= 256 {
            matches!(copies, 1 | 2 | 4)
        } else {
            copies == 1
        };
        let as_it_lies = map.is_diagonal() && places.width == places.padded && fits;
        let (line, copies) = if as_it_lies {
            (places.width, copies)
        } else {
            (places.line, 1)
        };
        let taken = depth * line;
        let mut scratch = Aligned::zeros(if as_it_lies { 0 } else { TILE[0] * taken });
        let block = TILE[0] * outs * places.width;
        for (x, result) in x.chunks(TILE[0] * width).zip(result.chunks_mut(block)) {
            let count = x.len() / width;
            let mut start = [T::ZERO; TILE[0]];
            if map.zeros_count {
                for (to, row) in start.iter_mut().zip(x.chunks_exact(width)) {
                    *to = zeros(row);
                }
            }
            let lines = if as_it_lies {
                x
            } else {
                for (row, lines) in x.chunks_exact(width).zip(scratch.chunks_exact_mut(taken)) {
                    gather(map, places, row, lines);
                }
                &scratch[..count * taken]
            };
            let lines_of = |values| Lines {
                values,
                line,
                depth,
                copies,
            };
            if count == TILE[0] {
                let lines = lines_of(lines);
                tiles::<T, BITS, { TILE[0] }>(places, panels, lines, start, result);
            } else {
                let rows = lines.chunks_exact(taken).zip(start);
                for ((row, start), to) in rows.zip(result.chunks_exact_mut(outs * places.width)) {
                    tiles::<T, BITS, 1>(places, panels, lines_of(row), [start], to);
                }
            }
        }
    }
}

/// Rows of x as channels and layers, and how far apart these stand.
#[derive(Clone, Copy)]
struct Lines<'a, T> {
    values: &'a [T],
    line: usize,
    depth: usize,
    /// How often a line is repeated in a register.
    copies: usize,
}

/// All sums of so many rows.
#[inline(always)]
fn tiles<T: Real, const BITS: usize, const ROWS: usize>(
    places: &Places,
    panels: &[T],
    lines: Lines<'_, T>,
    start: [T; ROWS],
    result: &mut [T],
) {
    #[cfg(target_arch = "x86_64")]
    if BITS >= 512 {
        return tiles_in_registers::<T::Whole, ROWS>(places, panels, lines, start, result);
    } else if BITS >= 256 {
        return tiles_in_registers::<T::Half, ROWS>(places, panels, lines, start, result);
    }
    let (lanes, depth) = (places.lanes, lines.depth);
    let registers = places.registers(result.len() / (ROWS * places.width));
    let tiles = registers.div_ceil(TILE[1]);
    let step = TILE[1] * lanes;
    for (number, panel) in panels.chunks_exact(depth * step).enumerate() {
        let (pattern, first) = (number / tiles, number % tiles * TILE[1]);
        let row = result.len() / ROWS;
        for (b, row) in result.chunks_exact_mut(row).enumerate() {
            let mut sums = [[start[b]; MOST_LANES]; TILE[1]];
            for (k, weights) in panel.chunks_exact(step).enumerate() {
                let at = (b * depth + k) * lines.line + pattern * lanes;
                let x = &lines.values[at..][..lanes];
                for (sums, weights) in sums.iter_mut().zip(weights.chunks_exact(lanes)) {
                    for ((sum, &w), &x) in sums.iter_mut().zip(weights).zip(x) {
                        *sum += w * x;
                    }
                }
            }
            for (register, sums) in (first..registers).zip(&sums) {
                store(places, row, [pattern, register], &sums[..lanes]);
            }
        }
    }
}

/// The same, in registers; to be called only where the processor has them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tiles_in_registers<R: Registers, const ROWS: usize>(
    places: &Places,
    panels: &[R::Element],
    lines: Lines<'_, R::Element>,
    start: [R::Element; ROWS],
    result: &mut [R::Element],
) {
    let row = result.len() / ROWS;
    let registers = places.registers(row / places.width);
    let tiles = registers.div_ceil(TILE[1]);
    let step = TILE[1] * R::LANES;
    assert!(lines.copies * places.width >= R::LANES || lines.copies == 1);
    let read = R::LANES / lines.copies;
    for (number, panel) in panels.chunks_exact(lines.depth * step).enumerate() {
        let (pattern, first) = (number / tiles, number % tiles * TILE[1]);
        let from = &lines.values[pattern * R::LANES..];
        assert!(from.len() >= (ROWS * lines.depth - 1) * lines.line + read);
        let sums = Sums::<R> {
            panel: panel.as_ptr(),
            lines: from.as_ptr(),
            line: lines.line,
            depth: lines.depth,
            copies: lines.copies,
        };
        let (count, begin) = (TILE[1].min(registers - first), places.begin(pattern, first));
        let apart = places.begin(pattern, first + 1) - begin;
        if places.width == places.padded && begin + (count - 1) * apart + R::LANES <= row {
            // SAFETY: there are registers; `panel` holds `depth` times three of them, and `from` what is read of each
            // row and channel, as was just asserted; so many registers of the row lie within it.
            unsafe { sums.write(start, result.as_mut_ptr().add(begin), row, apart, count) };
            continue;
        }
        let mut spilt = [[[R::Element::ZERO; MOST_LANES]; TILE[1]]; ROWS];
        // SAFETY: as above, and each row of the memory here holds three registers, so far apart.
        unsafe {
            sums.write(
                start,
                spilt.as_mut_ptr().cast(),
                TILE[1] * MOST_LANES,
                MOST_LANES,
                count,
            );
        }
        for (row, sums) in result.chunks_exact_mut(row).zip(&spilt) {
            for (register, sums) in (first..registers).zip(sums) {
                store(places, row, [pattern, register], &sums[..R::LANES]);
            }
        }
    }
}

/// At least as many elements as a register holds.
pub(super) const MOST_LANES: usize = 16;

/// One register of sums to its places.
#[inline(always)]
fn store<T: Real>(places: &Places, row: &mut [T], [pattern, register]: [usize; 2], sums: &[T]) {
    if places.padded >= places.lanes {
        let begin = pattern * places.lanes;
        let count = places.lanes.min(places.width - begin);
        row[register * places.width + begin..][..count].copy_from_slice(&sums[..count]);
        return;
    }
    let channels = places.lanes / places.padded;
    for (n, sums) in sums.chunks_exact(places.padded).enumerate() {
        let begin = (register * channels + n) * places.width;
        if let Some(to) = row.get_mut(begin..begin + places.width) {
            to.copy_from_slice(&sums[..places.width]);
        }
    }
}

/// Where one tile's operands lie.
#[cfg(target_arch = "x86_64")]
struct Sums<R: Registers> {
    panel: *const R::Element,
    lines: *const R::Element,
    line: usize,
    depth: usize,
    copies: usize,
}

#[cfg(target_arch = "x86_64")]
impl<R: Registers> Sums<R> {
    /// Writes the sums of one tile: so many registers of each row, `apart` elements from one to the next.
    ///
    /// # Safety
    /// The processor must have the registers; there must be `depth` times `TILE[1]` of weights, one, or the part that is
    /// copied, at each `line` elements of `lines` for each row and channel, and room where the sums are written.
    #[inline(always)]
    unsafe fn write<const ROWS: usize>(
        &self,
        start: [R::Element; ROWS],
        to: *mut R::Element,
        row: usize,
        apart: usize,
        count: usize,
    ) {
        // SAFETY: as the function asks.
        unsafe {
            match self.copies {
                1 => self.write_copies::<ROWS, 1>(start, to, row, apart, count),
                2 => self.write_copies::<ROWS, 2>(start, to, row, apart, count),
                _ => self.write_copies::<ROWS, 4>(start, to, row, apart, count),
            }
        }
    }

    /// Where each line is read so many times into a register.
    ///
    /// # Safety
    /// As [`Sums::write`].
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "arrays that iterators take by value go through memory"
    )]
    unsafe fn write_copies<const ROWS: usize, const COPIES: usize>(
        &self,
        start: [R::Element; ROWS],
        to: *mut R::Element,
        row: usize,
        apart: usize,
        count: usize,
    ) {
        // SAFETY: as the function asks.
        unsafe {
            let mut sums = [[R::splat(R::Element::ZERO); TILE[1]]; ROWS];
            for b in 0..ROWS {
                sums[b] = [R::splat(start[b]); TILE[1]];
            }
            for k in 0..self.depth {
                let mut weights = [R::splat(R::Element::ZERO); TILE[1]];
                for m in 0..TILE[1] {
                    weights[m] = R::load(self.panel.add((k * TILE[1] + m) * R::LANES));
                }
                for b in 0..ROWS {
                    let from = self.lines.add((b * self.depth + k) * self.line);
                    let x = match COPIES {
                        1 => R::load(from),
                        2 => R::load_half(from),
                        _ => R::load_quarter(from),
                    };
                    for m in 0..TILE[1] {
                        sums[b][m] = R::plus(sums[b][m], x, weights[m]);
                    }
                }
            }
            for b in 0..ROWS {
                for m in 0..TILE[1] {
                    if m < count {
                        R::store(to.add(b * row + m * apart), sums[b][m]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By definition; whole numbers, so that sums are exact in any order.
    fn check<T: Real + PartialEq + std::fmt::Debug>() {
        let mut draw = fastrand::Rng::with_seed(5);
        for (outs, ins, [weights, j, i], rows) in [
            (32, 32, [1, 8, 8], 9),
            (5, 3, [2, 16, 16], 70),
            (7, 4, [3, 4, 4], 6),
            (1, 2, [1, 3, 3], 5),
            (6, 5, [4, 3, 10], 41),
            (2, 1, [2, 1, 1], 33),
            (33, 40, [1, 8, 8], 300),
            // Of so many weights several threads make the panels.
            (130, 64, [1, 8, 8], 5),
            (70, 70, [2, 16, 16], 3),
        ] {
            let mut terms: Vec<_> = Vec::new();
            for place in 0..i {
                if weights == 1 && i == j {
                    terms.push((0, place, place, 1.0));
                    continue;
                }
                for _ in 0..draw.usize(..4) {
                    let c = [1.0, -1.0, 2.0][draw.usize(..3)];
                    terms.push((draw.usize(..weights), draw.usize(..j), place, c));
                }
            }
            let mut whole = |count: usize| -> Vec<T> {
                (0..count)
                    .map(|_| T::from_f64(f64::from(draw.i32(-3..4))))
                    .collect()
            };
            let (x, w, g) = (
                whole(rows * ins * j),
                whole(outs * ins * weights),
                whole(rows * outs * i),
            );
            let (mut wanted, mut slopes) = (vec![T::ZERO; rows * outs * i], vec![0.0; w.len()]);
            for b in 0..rows {
                for o in 0..outs {
                    for c in 0..ins {
                        for &(a, from, to, coefficient) in &terms {
                            let at = (b * outs + o) * i + to;
                            let x = x[(b * ins + c) * j + from] * T::from_f64(coefficient);
                            // The weight lies as (a, c, o).
                            wanted[at] += w[(a * ins + c) * outs + o] * x;
                            slopes[(o * ins + c) * weights + a] += (g[at] * x).into();
                        }
                    }
                }
            }
            for zeros_count in [false, true] {
                let map =
                    ChannelMap::new([weights, j, i], terms.iter().copied(), zeros_count).unwrap();
                let weight = Weight {
                    values: &w,
                    channels: [outs, ins],
                    strides: [1, outs, outs * ins],
                };
                let mut result = vec![T::from_f64(f64::NAN); rows * outs * i];
                map.apply(&x, weight, &mut result, rows, 2).unwrap();
                assert_eq!(result, wanted);
                let found = map.weight_gradient(&x, &g, [outs, ins], rows, 2);
                assert_eq!(found.unwrap(), slopes);
                assert!(map.apply(&x[1..], weight, &mut result, rows, 2).is_err());
                let short = Weight {
                    values: &w[1..],
                    ..weight
                };
                assert!(map.apply(&x, short, &mut result, rows, 2).is_err());
            }
        }
    }

    #[test]
    fn channel_maps_and_their_gradients_are_those_of_the_definition() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn what_is_not_finite_passes_the_zeros_of_a_table_where_they_count() {
        let terms = [(0, 0, 0, 1.0), (1, 1, 1, 1.0)];
        let holed = [1.0, f64::NAN, 1.0, 1.0];
        let weight = |values| Weight {
            values,
            channels: [2, 1],
            strides: [2, 2, 1],
        };
        for zeros_count in [false, true] {
            let map = ChannelMap::new([2, 2, 2], terms, zeros_count).unwrap();
            let mut result = [0.0; 8];
            let x = [f64::INFINITY, 1.0, 1.0, 1.0];
            map.apply(&x, weight(&[1.0; 4]), &mut result, 2, 1).unwrap();
            assert_eq!(result[1].is_nan(), zeros_count);
            assert_eq!(result[4..], [1.0; 4]);
            map.apply(&[1.0; 4], weight(&holed), &mut result, 2, 1)
                .unwrap();
            assert_eq!(result[0].is_nan(), zeros_count);
            assert!(result[1].is_nan());
            assert_eq!(result[2..4], [1.0; 2]);
            let slopes = map.weight_gradient(&x, &[1.0; 8], [2, 1], 2, 1).unwrap();
            assert_eq!(slopes[1].is_nan(), zeros_count);
        }
        assert!(ChannelMap::new([1, 1, 1], [(0, 1, 0, 1.0)], false).is_err());
    }
}
