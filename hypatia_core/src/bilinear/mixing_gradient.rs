//! The gradient of a channel map's weight: Σ c·g[b, o, i]·x[b, c, j] over rows and over the terms of each weight.
//!
//! Rows are taken in parts that stay in the first cache. There x is turned so that the channels of one place lie
//! together: a register then holds the sums of neighbouring weights, and rows and terms are one long sum.

use super::aligned::Aligned;
use super::block;
use super::mixing::ChannelMap;
use super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::real::Registers;
use super::threads;
use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// Bytes of x that are turned at a time: the gradients that they meet fit into the first cache beside them.
const TURNED: usize = 16 << 10;
/// After so many rows sums go on in float64, so that they lose nothing over many rows.
const ROWS_OF_A_SUM: usize = 64;
/// Registers of weights that are summed at once.
#[cfg(target_arch = "x86_64")]
const COLUMNS: usize = 2;

/// Terms that share weight and coefficient, by their places (j, i).
struct Group {
    weight: usize,
    coefficient: f64,
    pairs: Vec<(usize, usize)>,
}

impl ChannelMap {
    /// The gradient of the weight, (o, c, a) row by row, where `gradient` is that of the result's rows.
    ///
    /// # Errors
    /// The slices are not so many rows.
    pub fn weight_gradient<T: Real>(
        &self,
        x: &[T],
        gradient: &[T],
        channels: [usize; 2],
        rows: usize,
        threads: usize,
    ) -> Result<Vec<f64>> {
        let ([weights, j, i], [outs, ins]) = (self.widths(), channels);
        if x.len() != rows * ins * j || gradient.len() != rows * outs * i {
            return Err(Error::new(format!(
                "channel map: {rows} rows of {ins} and {outs} channels are not {} and {} elements",
                x.len(),
                gradient.len()
            )));
        }
        let mut out = vec![0.0; outs * ins * weights];
        if x.is_empty() || gradient.is_empty() {
            return Ok(out);
        }
        let groups = self.groups();
        let terms: usize = groups.iter().map(|group| group.pairs.len()).sum();
        let work = rows * terms * outs * ins / T::LANES;
        let share = threads::rows_of_one(rows, work, 1, threads);
        let mut sums = vec![Vec::new(); rows.div_ceil(share)];
        threads::each(sums.iter_mut(), |number, total| {
            let start = number * share;
            let count = share.min(rows - start);
            *total = vec![0.0; outs * ins * weights];
            dispatch(Gradient {
                widths: self.widths(),
                groups: &groups,
                x: &x[start * ins * j..][..count * ins * j],
                gradient: &gradient[start * outs * i..][..count * outs * i],
                channels,
                total,
            });
        });
        for total in sums {
            out.iter_mut().zip(total).for_each(|(to, sum)| *to += sum);
        }
        if self.zeros_count {
            let of = |values: &[T], count: usize, width: usize| -> Vec<f64> {
                let mut sums = vec![0.0; count];
                for (at, line) in values.chunks_exact(width).enumerate() {
                    sums[at % count] += super::mixing::zeros(line).into();
                }
                sums
            };
            let (by_out, by_in) = (of(gradient, outs, i), of(x, ins, j));
            for (at, value) in out.iter_mut().enumerate() {
                *value += by_out[at / (ins * weights)] + by_in[at / weights % ins];
            }
        }
        Ok(out)
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for layer in &self.layers {
            for (i, &(j, weight, coefficient)) in layer.iter().enumerate() {
                if coefficient == 0.0 {
                    continue;
                }
                let known = groups
                    .iter_mut()
                    .find(|group| group.weight == weight && group.coefficient == coefficient);
                match known {
                    Some(group) => group.pairs.push((j, i)),
                    None => groups.push(Group {
                        weight,
                        coefficient,
                        pairs: vec![(j, i)],
                    }),
                }
            }
        }
        groups
    }
}

struct Gradient<'a, T> {
    widths: [usize; 3],
    groups: &'a [Group],
    x: &'a [T],
    gradient: &'a [T],
    channels: [usize; 2],
    total: &'a mut Vec<f64>,
}

impl<T: Real> Job for Gradient<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        let ([weights, j, i], [outs, ins]) = (self.widths, self.channels);
        let wide = ins.next_multiple_of(T::lanes(BITS));
        let most = (TURNED / (j * wide * size_of::<T>())).clamp(1, ROWS_OF_A_SUM);
        // What fills up the last register of a place stays zero.
        let mut turned = Aligned::zeros(most * j * wide);
        let mut sums = Aligned::zeros(self.groups.len() * outs * wide);
        let parts = self.x.chunks(most * ins * j);
        let last = parts.len() - 1;
        let mut summed = 0;
        for (number, (x, g)) in parts.zip(self.gradient.chunks(most * outs * i)).enumerate() {
            for (row, to) in x
                .chunks_exact(ins * j)
                .zip(turned.chunks_exact_mut(j * wide))
            {
                block::transpose::<T, BITS>(row, j, to, wide, [ins, j]);
            }
            let part = Part {
                count: x.len() / (ins * j),
                turned: &turned,
                places: j,
                wide,
                gradient: g,
                results: i,
                outs,
            };
            part.add::<BITS>(self.groups, &mut sums);
            summed += part.count;
            if summed < ROWS_OF_A_SUM && number < last {
                continue;
            }
            summed = 0;
            for (group, sums) in self.groups.iter().zip(sums.chunks_exact(outs * wide)) {
                for (o, sums) in sums.chunks_exact(wide).enumerate() {
                    let to = &mut self.total[o * ins * weights..][..ins * weights];
                    for (to, &sum) in to.chunks_exact_mut(weights).zip(sums) {
                        to[group.weight] += group.coefficient * sum.into();
                    }
                }
            }
            sums.fill(T::ZERO);
        }
    }
}

/// Some rows: those of x turned, each a line of `wide` channels for each of its places; gradients as they lie.
struct Part<'a, T> {
    count: usize,
    turned: &'a [T],
    places: usize,
    wide: usize,
    gradient: &'a [T],
    results: usize,
    outs: usize,
}

impl<T: Real> Part<'_, T> {
    /// Adds to the sums, `outs` lines of `wide` for each group.
    #[inline(always)]
    fn add<const BITS: usize>(&self, groups: &[Group], sums: &mut [T]) {
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256 {
            if BITS >= 512 {
                self.add_in_registers::<T::Whole>(groups, sums);
            } else {
                self.add_in_registers::<T::Half>(groups, sums);
            }
            return;
        }
        for (group, sums) in groups
            .iter()
            .zip(sums.chunks_exact_mut(self.outs * self.wide))
        {
            for &(j, i) in &group.pairs {
                for row in 0..self.count {
                    let x = &self.turned[(row * self.places + j) * self.wide..][..self.wide];
                    let g = &self.gradient[row * self.outs * self.results..];
                    for (o, sums) in sums.chunks_exact_mut(self.wide).enumerate() {
                        let factor = g[o * self.results + i];
                        sums.iter_mut()
                            .zip(x)
                            .for_each(|(sum, &x)| *sum += factor * x);
                    }
                }
            }
        }
    }

    /// The same, tile by tile.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn add_in_registers<R: Registers<Element = T>>(&self, groups: &[Group], sums: &mut [T]) {
        let registers = self.wide / R::LANES;
        for column in (0..registers).step_by(COLUMNS) {
            let mut o = 0;
            while o < self.outs {
                let tall = match self.outs - o {
                    6.. => 6,
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
                for (number, group) in groups.iter().enumerate() {
                    let sums = &mut sums[(number * self.outs + o) * self.wide..];
                    let corner = [o, column * R::LANES];
                    if registers - column == 1 {
                        self.tile::<R, 1>(tall, group, corner, sums);
                    } else {
                        self.tile::<R, COLUMNS>(tall, group, corner, sums);
                    }
                }
                o += tall;
            }
        }
    }

    /// One tile: so many channels of the result, from the first on, by so many registers of channels of x.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn tile<R: Registers<Element = T>, const WIDE: usize>(
        &self,
        tall: usize,
        group: &Group,
        [o, c]: [usize; 2],
        sums: &mut [T],
    ) {
        let end = c + WIDE * R::LANES;
        assert!(
            o + tall <= self.outs
                && end <= self.wide
                && self.count * self.places * self.wide <= self.turned.len()
                && self.count * self.outs * self.results <= self.gradient.len()
                && (tall - 1) * self.wide + end <= sums.len()
        );
        // SAFETY: this is called where the processor has the registers; all rows of the tile were just asserted to lie
        // within the memory, and a map's terms stand within its places.
        unsafe {
            match tall {
                6 => self.sum::<R, 6, WIDE>(group, [o, c], sums.as_mut_ptr()),
                4 => self.sum::<R, 4, WIDE>(group, [o, c], sums.as_mut_ptr()),
                2 => self.sum::<R, 2, WIDE>(group, [o, c], sums.as_mut_ptr()),
                _ => self.sum::<R, 1, WIDE>(group, [o, c], sums.as_mut_ptr()),
            }
        }
    }

    /// Adds to `TALL` lines of sums.
    ///
    /// # Safety
    /// The processor must have the registers; the tile must lie within the sums, the channels and the rows.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "arrays that iterators take by value go through memory"
    )]
    unsafe fn sum<R: Registers<Element = T>, const TALL: usize, const WIDE: usize>(
        &self,
        group: &Group,
        [o, c]: [usize; 2],
        sums: *mut T,
    ) {
        // SAFETY: as the function asks.
        unsafe {
            let mut total = [[R::splat(T::ZERO); WIDE]; TALL];
            for n in 0..TALL {
                for m in 0..WIDE {
                    total[n][m] = R::load(sums.add(n * self.wide + c + m * R::LANES));
                }
            }
            for &(j, i) in &group.pairs {
                let x = self.turned.as_ptr().add(j * self.wide + c);
                let g = self.gradient.as_ptr().add(o * self.results + i);
                for row in 0..self.count {
                    let x = x.add(row * self.places * self.wide);
                    let g = g.add(row * self.outs * self.results);
                    let mut columns = [R::splat(T::ZERO); WIDE];
                    for m in 0..WIDE {
                        columns[m] = R::load(x.add(m * R::LANES));
                    }
                    for n in 0..TALL {
                        let factor = R::splat(*g.add(n * self.results));
                        for m in 0..WIDE {
                            total[n][m] = R::plus(total[n][m], factor, columns[m]);
                        }
                    }
                }
            }
            for n in 0..TALL {
                for m in 0..WIDE {
                    R::store(sums.add(n * self.wide + c + m * R::LANES), total[n][m]);
                }
            }
        }
    }
}
