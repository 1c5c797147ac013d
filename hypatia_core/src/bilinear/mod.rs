//! Sparse bilinear maps over many rows: rₖ = Σ c·xᵢ·yⱼ over a list of terms, the products of an algebra for instance.
//!
//! Terms may have weights too, one for each of their groups and each channel, the channels taking turns row by row:
//! rₖ = Σ w[row mod channels, group]·c·xᵢ·yⱼ, the layers of Clifford networks. Channels are mixed in `mixing`, the gradient of whose
//! weights is in `mixing_gradient`.
//!
//! Rows are taken in blocks that stay in the first cache (`block`), blocks are shared among threads (`threads`).

mod aligned;
pub(crate) mod block;
mod linear;
mod long_rows;
mod mixing;
mod mixing_gradient;
mod real;
mod signed_sums;
pub mod threads;
mod weight_panels;

use aligned::Aligned;
use block::{Scratch, Weights};
pub use linear::Matrix;
pub use mixing::{ChannelMap, Weight};
pub use real::Real;
#[cfg(target_arch = "x86_64")]
pub(crate) use real::Registers;
pub use signed_sums::{Lines, SignedSums, elements};
pub use threads::prefer_large_pages;

use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// Elements from one line of weights, or of their sums, to the next: what a block reads from its last channel on, in
/// whole registers, so that where the first line is aligned all are.
fn weight_stride<T: Real>(channels: usize) -> usize {
    (channels + block::rows::<T>()).next_multiple_of(T::lanes(512))
}

/// Terms (i, j, c).
type Terms = Vec<(usize, usize, f64)>;

/// The terms of one place of the result that share a weight, by their coefficients.
#[derive(Debug, Clone, Default)]
struct Group {
    weight: usize,
    /// The weight's place among those that are used.
    slot: usize,
    plus: Terms,
    minus: Terms,
    others: Terms,
}

/// A bilinear map with few terms.
#[derive(Debug, Clone)]
pub struct Bilinear {
    widths: [usize; 3],
    /// The groups of each place of the result.
    places: Vec<Vec<Group>>,
    terms: usize,
    /// How many weights a channel has; 0 without weights.
    weights: usize,
    /// The weights of groups, by slot.
    used: Vec<usize>,
    /// For each place of the result the weights that it meets with coefficient zero: one that is not finite reaches it.
    zeros: Vec<Vec<usize>>,
}

/// Weights of shape (channels, groups).
#[derive(Debug, Clone, Copy)]
pub struct ChannelWeights<'a, T> {
    /// Row by row.
    pub values: &'a [T],
    /// How many channels take turns.
    pub channels: usize,
}

impl Bilinear {
    /// The map of these terms (i, j, k, c) from rows of two widths to rows of the third.
    ///
    /// # Errors
    /// A term stands outside the widths.
    pub fn new(
        widths: [usize; 3],
        terms: impl IntoIterator<Item = (usize, usize, usize, f64)>,
    ) -> Result<Self> {
        let mut map = Self::weighted(
            widths,
            1,
            terms.into_iter().map(|(i, j, k, c)| (i, j, k, c, 0)),
        )?;
        map.weights = 0;
        map.zeros.iter_mut().for_each(Vec::clear);
        Ok(map)
    }

    /// The map of these terms (i, j, k, c, w), the last of which numbers the weight that the term is multiplied by.
    ///
    /// Terms with coefficient zero say that what is not finite reaches place k; they are computed as far as that takes.
    ///
    /// # Errors
    /// A term stands outside the widths or the number of weights.
    pub fn weighted(
        widths: [usize; 3],
        weights: usize,
        terms: impl IntoIterator<Item = (usize, usize, usize, f64, usize)>,
    ) -> Result<Self> {
        let mut map = Self {
            widths,
            places: vec![Vec::new(); widths[2]],
            terms: 0,
            weights,
            used: Vec::new(),
            zeros: vec![Vec::new(); widths[2]],
        };
        let mut seen = vec![[vec![false; widths[0]], vec![false; widths[1]]]; widths[2]];
        let mut nothing = Vec::new();
        for (left, right, result, coefficient, weight) in terms {
            if left >= widths[0] || right >= widths[1] || result >= widths[2] || weight >= weights {
                return Err(Error::new(format!(
                    "bilinear: the term ({left}, {right}, {result}) of weight {weight} is outside {widths:?} and \
                     {weights} weights"
                )));
            }
            if coefficient == 0.0 {
                nothing.push((left, right, result, weight));
                continue;
            }
            (seen[result][0][left], seen[result][1][right]) = (true, true);
            map.insert(result, weight, (left, right, coefficient));
        }
        for (left, right, result, weight) in nothing {
            let [lefts, rights] = &mut seen[result];
            if lefts[left] && rights[right] {
                map.zeros[result].push(weight);
                continue;
            }
            (lefts[left], rights[right]) = (true, true);
            map.insert(result, weight, (left, right, 0.0));
        }
        Ok(map)
    }

    fn insert(&mut self, result: usize, weight: usize, term: (usize, usize, f64)) {
        let slot = (self.used.iter().position(|&w| w == weight)).unwrap_or_else(|| {
            self.used.push(weight);
            self.used.len() - 1
        });
        let groups = &mut self.places[result];
        let known = groups.iter().position(|group| group.weight == weight);
        let place = known.unwrap_or_else(|| {
            groups.push(Group {
                weight,
                slot,
                ..Group::default()
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        let terms = if term.2 == 1.0 {
            &mut group.plus
        } else if term.2 == -1.0 {
            &mut group.minus
        } else {
            &mut group.others
        };
        terms.push(term);
        self.terms += 1;
    }

    /// Whether a weight that is not finite reaches places that no term of it does.
    fn zeros_count(&self) -> bool {
        self.zeros.iter().any(|weights| !weights.is_empty())
    }

    /// The widths of both operands' rows and of the result's.
    pub fn widths(&self) -> [usize; 3] {
        self.widths
    }

    /// How many terms it has.
    pub fn terms(&self) -> usize {
        self.terms
    }

    /// How many weights a channel has; 0 without weights.
    pub fn weights(&self) -> usize {
        self.weights
    }

    /// Writes the result's rows, with so many threads at most.
    ///
    /// # Errors
    /// The slices are not so many rows of their widths, or the weights are not those that the terms ask for.
    pub fn apply<T: Real>(
        &self,
        x: &[T],
        y: &[T],
        weights: Option<ChannelWeights<'_, T>>,
        result: &mut [T],
        rows: usize,
        threads: usize,
    ) -> Result<()> {
        let [n, m, p] = self.widths;
        self.check(rows, [x.len(), y.len(), result.len()])?;
        self.check_weights(weights.map_or((0, 1), |w| (w.values.len(), w.channels)))?;
        if rows * p == 0 {
            return Ok(());
        }
        let turned = weights.map(|w| Turned::new(w, self));
        let share = threads::rows_of_one(rows, rows * self.terms, block::rows::<T>(), threads);
        threads::each(result.chunks_mut(share * p), |number, part| {
            let (start, count) = (number * share, part.len() / p);
            let (x, y) = (&x[start * n..][..count * n], &y[start * m..][..count * m]);
            let job = Rows {
                map: self,
                start,
                x,
                y,
                count,
            };
            dispatch(Product {
                rows: job,
                weights: turned.as_ref(),
                result: part,
            });
        });
        Ok(())
    }

    /// The gradient of the weights, (channels, groups) row by row, where `gradient` is that of the result's rows.
    ///
    /// # Errors
    /// The slices are not so many rows of their widths, or there are no weights.
    pub fn weight_gradient<T: Real>(
        &self,
        x: &[T],
        y: &[T],
        gradient: &[T],
        rows: usize,
        channels: usize,
        threads: usize,
    ) -> Result<Vec<f64>> {
        let [n, m, p] = self.widths;
        self.check(rows, [x.len(), y.len(), gradient.len()])?;
        self.check_weights((channels * self.weights, channels))?;
        let share = threads::rows_of_one(rows, rows * self.terms, block::rows::<T>(), threads);
        let length = channels * self.weights;
        let mut sums = vec![vec![0.0; length]; rows.div_ceil(share.max(1))];
        threads::each(sums.iter_mut(), |number, total| {
            let start = number * share;
            let count = share.min(rows - start);
            let (x, y) = (&x[start * n..][..count * n], &y[start * m..][..count * m]);
            let job = Rows {
                map: self,
                start,
                x,
                y,
                count,
            };
            dispatch(Gradient {
                rows: job,
                gradient: &gradient[start * p..][..count * p],
                channels,
                total,
            });
        });
        let add = |mut total: Vec<f64>, part: Vec<f64>| {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
            total
        };
        Ok(sums.into_iter().fold(vec![0.0; length], add))
    }

    fn check(&self, rows: usize, lengths: [usize; 3]) -> Result<()> {
        let [n, m, p] = self.widths;
        if lengths == [rows * n, rows * m, rows * p] {
            return Ok(());
        }
        let widths = self.widths;
        Err(Error::new(format!(
            "bilinear: {rows} rows of widths {widths:?} are not {lengths:?} elements"
        )))
    }

    fn check_weights(&self, (length, channels): (usize, usize)) -> Result<()> {
        if channels > 0 && length == channels * self.weights {
            return Ok(());
        }
        Err(Error::new(format!(
            "bilinear: {length} weights are not {} for each of {channels} channels",
            self.weights
        )))
    }
}

/// Rows of both operands, the first of them with this number among all.
struct Rows<'a, T> {
    map: &'a Bilinear,
    start: usize,
    x: &'a [T],
    y: &'a [T],
    count: usize,
}

impl<T: Real> Rows<'_, T> {
    /// Where each block begins and ends.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let (count, block) = (self.count, block::rows::<T>());
        (0..count)
            .step_by(block)
            .map(move |from| (from, count.min(from + block)))
    }

    /// Turns one block's operands into the scratch memory.
    #[inline(always)]
    fn turn_in<const BITS: usize>(&self, scratch: &mut Scratch<T>, from: usize, to: usize) {
        let [n, m, _] = self.map.widths;
        block::turn_in::<T, BITS>(&self.x[from * n..to * n], n, &mut scratch.x);
        block::turn_in::<T, BITS>(&self.y[from * m..to * m], m, &mut scratch.y);
    }
}

/// Weights turned so that those of a group lie together, and go on beyond the last channel for a block.
struct Turned<T> {
    values: Aligned<T>,
    channels: usize,
    stride: usize,
}

impl<T: Real> Turned<T> {
    fn new(weights: ChannelWeights<'_, T>, map: &Bilinear) -> Self {
        let ChannelWeights { values, channels } = weights;
        let stride = weight_stride::<T>(channels);
        let mut turned = Aligned::zeros((map.used.len() + map.zeros.len()) * stride);
        let mut lines = turned.chunks_exact_mut(stride);
        for (&weight, line) in map.used.iter().zip(&mut lines) {
            let of_weight = values.iter().skip(weight).step_by(map.weights);
            (line.iter_mut().zip(of_weight.cycle())).for_each(|(to, &value)| *to = value);
        }
        // After them, for each place, zeros; NaN where a weight that is not finite meets it.
        if map.zeros_count() {
            for (weights, line) in map.zeros.iter().zip(lines) {
                let of_channel = values.chunks_exact(map.weights).map(|values| {
                    let mut sum = T::ZERO;
                    weights.iter().for_each(|&w| sum += T::ZERO * values[w]);
                    sum
                });
                let sums: Vec<T> = of_channel.collect();
                (line.iter_mut().zip(sums.iter().cycle())).for_each(|(to, &sum)| *to = sum);
            }
        }
        Self {
            values: turned,
            channels,
            stride,
        }
    }

    fn from(&self, row: usize) -> Weights<'_, T> {
        Weights {
            values: &self.values[row % self.channels..],
            stride: self.stride,
        }
    }
}

struct Product<'a, T> {
    rows: Rows<'a, T>,
    weights: Option<&'a Turned<T>>,
    result: &'a mut [T],
}

impl<T: Real> Job for Product<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        let Self {
            rows,
            weights,
            result,
        } = self;
        let p = rows.map.widths[2];
        let mut scratch = Scratch::new(rows.map.widths);
        for (from, to) in rows.blocks() {
            rows.turn_in::<BITS>(&mut scratch, from, to);
            let weights = weights.map(|w| w.from(rows.start + from));
            block::places::<T, BITS>(rows.map, &mut scratch, weights);
            block::turn_out::<T, BITS>(&scratch.result, p, &mut result[from * p..to * p]);
        }
    }
}

struct Gradient<'a, T> {
    rows: Rows<'a, T>,
    gradient: &'a [T],
    channels: usize,
    total: &'a mut Vec<f64>,
}

/// After so many blocks sums go on in float64, so that they lose nothing over many rows.
const BLOCKS_OF_A_SUM: usize = 32;

impl<T: Real> Job for Gradient<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        let Self {
            rows,
            gradient,
            channels,
            total,
        } = self;
        let (map, p, weights) = (rows.map, rows.map.widths[2], rows.map.weights);
        let stride = weight_stride::<T>(channels);
        let spread = map.used.len();
        // One line of sums more for the weights that are met with coefficient zero alone.
        let lines = spread + usize::from(map.zeros_count());
        let mut sums = Aligned::zeros(lines * stride);
        let mut scratch = Scratch::new(map.widths);
        let last = rows.count.div_ceil(block::rows::<T>());
        for (number, (from, to)) in rows.blocks().enumerate() {
            rows.turn_in::<BITS>(&mut scratch, from, to);
            block::turn_in::<T, BITS>(&gradient[from * p..to * p], p, &mut scratch.result);
            let first = (rows.start + from) % channels;
            block::weight_sums::<T, BITS>(map, &scratch, &mut sums[first..], stride);
            if lines > spread {
                block::zero_sums(&scratch, &mut sums[spread * stride + first..]);
            }
            if !(number + 1).is_multiple_of(BLOCKS_OF_A_SUM) && number + 1 < last {
                continue;
            }
            for (slot, sums) in sums.chunks_exact_mut(stride).enumerate() {
                for sums in sums.chunks_mut(channels) {
                    for (to, sum) in total.chunks_exact_mut(weights).zip(&mut *sums) {
                        if let Some(&weight) = map.used.get(slot) {
                            to[weight] += (*sum).into();
                            continue;
                        }
                        let sum: f64 = (*sum).into();
                        if sum != 0.0 {
                            map.zeros.iter().flatten().for_each(|&w| to[w] += sum);
                        }
                    }
                    sums.fill(T::ZERO);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLEX: [(usize, usize, usize, f64); 4] =
        [(0, 0, 0, 1.), (1, 1, 0, -1.), (0, 1, 1, 1.), (1, 0, 1, 1.)];

    #[test]
    fn weights_that_are_not_finite_pass_terms_of_zero() {
        // r0 = w0·x0·y0 + 0·w1·x1·y1 + 0·w2·x0·y1, and the third term adds no new place.
        let terms = [(0, 0, 0, 1., 0), (1, 1, 0, 0., 1), (0, 1, 0, 0., 2)];
        let map = Bilinear::weighted([2, 2, 1], 3, terms).unwrap();
        for bad in 0..3 {
            let mut values = [1.0; 6];
            values[bad] = f64::INFINITY;
            let weights = Some(ChannelWeights {
                values: &values,
                channels: 2,
            });
            let mut result = [0.0; 80];
            map.apply(&[2.0; 160], &[3.0; 160], weights, &mut result, 80, 1)
                .unwrap();
            for (row, &value) in result.iter().enumerate() {
                match (row % 2, bad) {
                    (0, 0) => assert_eq!(value, f64::INFINITY),
                    (0, _) => assert!(value.is_nan()),
                    _ => assert_eq!(value, 6.0),
                }
            }
        }
        let mut x = [2.0; 160];
        let slopes = map
            .weight_gradient(&x, &[3.0; 160], &[1.0; 80], 80, 2, 1)
            .unwrap();
        assert_eq!(slopes, [240.0, 0.0, 0.0, 240.0, 0.0, 0.0]);
        x[3] = f64::NAN;
        let slopes = map
            .weight_gradient(&x, &[3.0; 160], &[1.0; 80], 80, 2, 1)
            .unwrap();
        assert_eq!(slopes[..3], [240.0, 0.0, 0.0]);
        assert!(slopes[4].is_nan() && slopes[5].is_nan());
    }

    #[test]
    fn complex_products_of_any_number_of_rows() {
        let map = Bilinear::new([2, 2, 2], COMPLEX).unwrap();
        for rows in [0, 1, 31, 32, 65, 300_000] {
            let x: Vec<f64> = (0..2 * rows).map(|i| i as f64).collect();
            let y: Vec<f64> = (0..2 * rows).map(|i| 3.0 - i as f64).collect();
            let mut result = vec![f64::NAN; 2 * rows];
            map.apply(&x, &y, None, &mut result, rows, 2).unwrap();
            for r in 0..rows {
                let (a, b, c, d) = (x[2 * r], x[2 * r + 1], y[2 * r], y[2 * r + 1]);
                assert_eq!(result[2 * r..2 * r + 2], [a * c - b * d, a * d + b * c]);
            }
        }
    }

    /// Every width around a tile's, by definition; whole numbers, so that sums are exact in any order.
    fn check<T: Real + PartialEq + std::fmt::Debug>() {
        let mut draw = fastrand::Rng::with_seed(7);
        for (n, m, p, channels, rows) in [
            (8, 8, 8, 3, 200),
            (9, 5, 17, 1, 70),
            (3, 16, 2, 40, 131),
            (1, 1, 1, 100, 99),
            (4, 4, 4, 7, 3000),
        ] {
            let weights = 3;
            let mut terms = Vec::new();
            for _ in 0..3 * p {
                let c = [1.0, -1.0, 2.0][draw.usize(..3)];
                terms.push((
                    draw.usize(..n),
                    draw.usize(..m),
                    draw.usize(..p),
                    c,
                    draw.usize(..weights),
                ));
            }
            let mut whole = |count: usize| -> Vec<T> {
                (0..count)
                    .map(|_| T::from_f64(f64::from(draw.i32(-3..4))))
                    .collect()
            };
            let (x, y, g) = (whole(rows * n), whole(rows * m), whole(rows * p));
            let w = whole(channels * weights);
            let map = Bilinear::weighted([n, m, p], weights, terms.iter().copied()).unwrap();
            let (mut wanted, mut slopes) = (vec![T::ZERO; rows * p], vec![0.0; w.len()]);
            for r in 0..rows {
                for &(i, j, k, c, group) in &terms {
                    let at = r % channels * weights + group;
                    let product = T::from_f64(c) * x[r * n + i] * y[r * m + j];
                    wanted[r * p + k] += w[at] * product;
                    slopes[at] += (g[r * p + k] * product).into();
                }
            }
            let mut result = vec![T::from_f64(f64::NAN); rows * p];
            let given = Some(ChannelWeights {
                values: &w,
                channels,
            });
            map.apply(&x, &y, given, &mut result, rows, 2).unwrap();
            assert_eq!(result, wanted);
            assert_eq!(
                map.weight_gradient(&x, &y, &g, rows, channels, 2).unwrap(),
                slopes
            );
        }
    }

    #[test]
    fn weighted_maps_and_their_gradients_are_those_of_the_definition() {
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Bilinear::new([2, 2, 2], [(2, 0, 0, 1.0)]).is_err());
        let map = Bilinear::new([1, 1, 1], []).unwrap();
        assert!(
            map.apply(&[1.0f32], &[1.0], None, &mut [0.0; 2], 1, 1)
                .is_err()
        );
        let empty = Bilinear::new([0, 1, 2], []).unwrap();
        let mut result = [1.0f32; 4];
        empty
            .apply(&[], &[1.0, 2.0], None, &mut result, 2, 1)
            .unwrap();
        assert_eq!(result, [0.0; 4]);
        let weighted = Bilinear::weighted([1, 1, 1], 2, [(0, 0, 0, 1.0, 1)]).unwrap();
        assert!(
            weighted
                .apply(&[1.0f32], &[1.0], None, &mut [0.0], 1, 1)
                .is_err()
        );
        let given = Some(ChannelWeights {
            values: &[1.0f32],
            channels: 1,
        });
        assert!(
            weighted
                .apply(&[1.0], &[1.0], given, &mut [0.0], 1, 1)
                .is_err()
        );
    }
}
