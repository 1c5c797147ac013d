//! The steps "channel_map", channels mixed by weights and places by a table, and "channel_map_weights", the gradient of
//! its weight.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::bilinear::{ChannelMap as Map, Weight};
use crate::error::Result;

/// A table as it is written: weights of a pair of channels, places of x and of the result, and terms (a, j, i, c).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    widths: [usize; 3],
    /// Whether the table's zeros are factors too, so that what is not finite reaches all places.
    zeros_count: bool,
    terms: Vec<(usize, usize, usize, f64)>,
}

/// Picoseconds of one multiplication.
const PRODUCT: usize = 20;

/// What both steps are made of.
#[derive(Debug)]
struct Sizes {
    map: Map,
    rows: usize,
    /// Channels of the result, channels of x.
    channels: [usize; 2],
}

impl Sizes {
    fn new(table: Table, rows: usize, channels: [usize; 2]) -> Result<Self> {
        let map = Map::new(table.widths, table.terms, table.zeros_count)?;
        Ok(Self {
            map,
            rows,
            channels,
        })
    }

    /// Rows of x, and of the result.
    fn extents(&self) -> Result<[[usize; 2]; 2]> {
        let ([outs, ins], [_, j, i]) = (self.channels, self.map.widths());
        Ok([
            [self.rows, count(&[ins, j])?],
            [self.rows, count(&[outs, i])?],
        ])
    }

    fn weight(&self) -> [usize; 3] {
        let [outs, ins] = self.channels;
        [outs, ins, self.map.widths()[0]]
    }

    fn work(&self) -> usize {
        let [outs, ins] = self.channels;
        [outs, ins, self.map.widths()[2], PRODUCT]
            .iter()
            .fold(self.rows, |product, &n| product.saturating_mul(n))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([outs, ins], [a, j, i]) = (self.channels, self.map.widths());
        let rows = self.rows;
        write!(
            f,
            "{rows} rows of {ins}×{j} to {outs}×{i}, {a} weights a pair"
        )
    }
}

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    table: Table,
    rows: usize,
    channels: [usize; 2],
    x: View,
    weight: View,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct ChannelMap {
    sizes: Sizes,
    /// x, dense; the weight (channels of the result, channels of x, weights), however it lies.
    reads: [Region; 2],
    writes: [Region; 1],
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<ChannelMap> {
        let sizes = Sizes::new(self.table, self.rows, self.channels)?;
        let [taken, given] = sizes.extents()?;
        let x = making.read_dense(self.x, &taken, "x")?;
        let weight = making.floats(self.weight, &sizes.weight(), "weight")?;
        let writes = [making.written_dense(self.result, &given, "result")?];
        Ok(ChannelMap {
            sizes,
            reads: [x, weight],
            writes,
        })
    }
}

impl Step for ChannelMap {
    fn kind(&self) -> &'static str {
        "channel_map"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        self.sizes.work()
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let [x, values] = [0, 1].map(|i| unsafe { memory.reach::<f32>(&self.reads[i]) });
        let strides = &self.reads[1].view.strides;
        let weight = Weight {
            values,
            channels: self.sizes.channels,
            strides: [strides[0], strides[1], strides[2]],
        };
        // SAFETY: the region lies in its buffer, and meets none that is read.
        let result = unsafe { memory.reach_mut(&self.writes[0]) };
        let Sizes { map, rows, .. } = &self.sizes;
        map.apply(x, weight, result, *rows, threads)
    }
}

impl fmt::Display for ChannelMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel map {}", self.sizes)
    }
}

/// The gradient of the weight, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightsText {
    table: Table,
    rows: usize,
    channels: [usize; 2],
    x: View,
    gradient: View,
    result: View,
}

/// The same, ready to run.
#[derive(Debug)]
pub(super) struct Weights {
    sizes: Sizes,
    /// x and the gradient of the result, both dense.
    reads: [Region; 2],
    writes: [Region; 1],
}

impl WeightsText {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Weights> {
        let sizes = Sizes::new(self.table, self.rows, self.channels)?;
        let [taken, given] = sizes.extents()?;
        let x = making.read_dense(self.x, &taken, "x")?;
        let gradient = making.read_dense(self.gradient, &given, "gradient")?;
        let writes = [making.written_dense(self.result, &sizes.weight(), "result")?];
        Ok(Weights {
            sizes,
            reads: [x, gradient],
            writes,
        })
    }
}

impl Step for Weights {
    fn kind(&self) -> &'static str {
        "channel_map_weights"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        self.sizes.work()
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let [x, gradient] = [0, 1].map(|i| unsafe { memory.reach::<f32>(&self.reads[i]) });
        let Sizes {
            map,
            rows,
            channels,
        } = &self.sizes;
        let found = map.weight_gradient(x, gradient, *channels, *rows, threads)?;
        // SAFETY: the region lies in its buffer, and meets none that is read.
        let result = unsafe { memory.reach_mut::<f32>(&self.writes[0]) };
        (result.iter_mut().zip(found)).for_each(|(to, sum)| *to = sum as f32);
        Ok(())
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel map weights, {}", self.sizes)
    }
}
