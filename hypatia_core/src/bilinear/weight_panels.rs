//! The weights of a channel map as its tiles take them.

use super::aligned::Aligned;
use super::mixing::{ChannelMap, MOST_LANES, Places, TILE, Weight};
use super::real::Real;
use super::threads;
use crate::registers::{Job, dispatch};

/// About how many terms take as long as a weight that is put into its panel.
const FACTOR: usize = 4;

impl ChannelMap {
    /// The weights as the tiles take them: for each pattern and tile, channel by channel, `TILE[1]` registers.
    pub(super) fn panels<T: Real>(
        &self,
        weight: Weight<'_, T>,
        places: &Places,
        threads: usize,
    ) -> Aligned<T> {
        let ([outs, ins], depth) = (weight.channels, weight.channels[1] * self.layers.len());
        let tiles = places.registers(outs).div_ceil(TILE[1]);
        let (panel, count) = (depth * TILE[1] * places.lanes, places.patterns * tiles);
        let mut panels = Aligned::zeros(count * panel);
        if ins == 0 {
            return panels;
        }
        let share = threads::rows_of_one(count, panels.len() * FACTOR, 1, threads);
        threads::each(panels.chunks_mut(share * panel), |number, part| {
            dispatch(Pack {
                map: self,
                places,
                weight,
                tiles,
                first: number * share,
                panels: part,
            });
        });
        panels
    }

    /// The factors of one channel of the result and some places of a layer, `apart` elements from one channel of x to
    /// the next.
    #[inline(always)]
    fn pack<T: Real>(
        &self,
        weight: Weight<'_, T>,
        o: usize,
        layer: &[(usize, usize, f64)],
        spread: T,
        to: &mut [T],
        apart: usize,
    ) {
        let mut from = [(0, T::ZERO); MOST_LANES];
        for (from, &(_, a, c)) in from.iter_mut().zip(layer) {
            *from = (a * weight.strides[2], T::from_f64(c));
        }
        let from = &from[..layer.len()];
        // Zero by what is not finite is no number, which the spread is then too; where zeros do not count, what no
        // term has stays zero whatever the weight.
        let mut all = true;
        for &(_, _, c) in layer {
            all &= self.zeros_count || c != 0.0;
        }
        for c in 0..weight.channels[1] {
            let pair = &weight.values[o * weight.strides[0] + c * weight.strides[1]..];
            let to = to[c * apart..][..from.len()].iter_mut().zip(from);
            if all {
                for (to, &(at, factor)) in to {
                    *to = factor * pair[at] + spread;
                }
            } else {
                for ((to, &(at, factor)), &(_, _, coefficient)) in to.zip(layer) {
                    if coefficient != 0.0 {
                        *to = factor * pair[at];
                    }
                }
            }
        }
    }
}

impl<T: Real> Weight<'_, T> {
    /// Zero, or NaN where a weight of this channel of the result is not finite.
    #[inline(always)]
    fn zeros(&self, o: usize, weights: usize) -> T {
        let mut sum = T::ZERO;
        for c in 0..self.channels[1] {
            for a in 0..weights {
                sum += T::ZERO * self.at(o, c, a);
            }
        }
        sum
    }
}

/// Some panels of weights, one after another.
struct Pack<'a, T> {
    map: &'a ChannelMap,
    places: &'a Places,
    weight: Weight<'a, T>,
    /// Of each pattern; and which of all is the first here.
    tiles: usize,
    first: usize,
    panels: &'a mut [T],
}

impl<T: Real> Job for Pack<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        let (places, weight, layers) = (self.places, self.weight, self.map.layers.len());
        let ([outs, ins], step) = (weight.channels, TILE[1] * places.lanes);
        for (number, panel) in self.panels.chunks_mut(ins * layers * step).enumerate() {
            let (pattern, tile) = (
                (self.first + number) / self.tiles,
                (self.first + number) % self.tiles,
            );
            for m in 0..TILE[1] {
                let channels = places.channels(tile * TILE[1] + m);
                for (n, o) in channels.enumerate() {
                    if o >= outs {
                        break;
                    }
                    let spread = if self.map.zeros_count {
                        weight.zeros(o, self.map.widths[0])
                    } else {
                        T::ZERO
                    };
                    for (l, layer) in self.map.layers.iter().enumerate() {
                        let begin = pattern * places.lanes;
                        let layer = &layer[begin..places.width.min(begin + places.lanes)];
                        let at = l * step + m * places.lanes + n * places.padded;
                        self.map
                            .pack(weight, o, layer, spread, &mut panel[at..], layers * step);
                    }
                }
            }
        }
    }
}
