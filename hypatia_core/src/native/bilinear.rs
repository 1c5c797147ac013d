//! The steps "bilinear", Σ c·xᵢ·yⱼ over the terms of a table for each row, and "bilinear_weights", the gradient of the
//! weights that its terms may have.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View};
use crate::bilinear::{Bilinear as Map, ChannelWeights};
use crate::error::{Error, Result};

/// A table as it is written: the widths of both operands' rows and of the result's, and terms (i, j, k, c, w).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    widths: [usize; 3],
    /// How many weights a channel has; 0 without weights.
    weights: usize,
    terms: Vec<(usize, usize, usize, f64, usize)>,
}

impl Table {
    fn map(self) -> Result<Map> {
        let Self {
            widths,
            weights,
            terms,
        } = self;
        if weights == 0 {
            let plain = terms.into_iter().map(|(i, j, k, c, _)| (i, j, k, c));
            return Map::new(widths, plain);
        }
        Map::weighted(widths, weights, terms)
    }
}

/// Picoseconds of one term, and of an element that is turned.
const TERM: usize = 40;
const TURNED: usize = 150;

fn work(map: &Map, rows: usize) -> usize {
    let turned = map.widths().iter().sum::<usize>().saturating_mul(TURNED);
    rows.saturating_mul(map.terms().saturating_mul(TERM).saturating_add(turned))
}

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    table: Table,
    rows: usize,
    /// How many channels take turns row by row.
    channels: usize,
    x: View,
    y: View,
    weight: Option<View>,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Bilinear {
    map: Map,
    /// x, y, and the weights (channels, weights) if there are any; all dense.
    reads: Vec<Region>,
    writes: [Region; 1],
    rows: usize,
    channels: usize,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Bilinear> {
        let (map, rows, channels) = (self.table.map()?, self.rows, self.channels);
        let [n, m, p] = map.widths();
        if self.weight.is_some() != (map.weights() > 0) {
            return Err(Error::new(
                "bilinear: a weight where the table has none, or none where it has",
            ));
        }
        let mut reads = vec![
            making.read_dense(self.x, &[rows, n], "x")?,
            making.read_dense(self.y, &[rows, m], "y")?,
        ];
        if let Some(weight) = self.weight {
            reads.push(making.read_dense(weight, &[channels, map.weights()], "weight")?);
        }
        let writes = [making.written_dense(self.result, &[rows, p], "result")?];
        Ok(Bilinear {
            map,
            reads,
            writes,
            rows,
            channels,
        })
    }
}

impl Step for Bilinear {
    fn kind(&self) -> &'static str {
        "bilinear"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        work(&self.map, self.rows)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let of = |region: &Region| unsafe { memory.reach::<f32>(region) };
        let weights = self.reads.get(2).map(|region| ChannelWeights {
            values: of(region),
            channels: self.channels,
        });
        // SAFETY: the region lies in its buffer, and meets none that is read.
        let result = unsafe { memory.reach_mut(&self.writes[0]) };
        let [x, y] = [&self.reads[0], &self.reads[1]].map(of);
        self.map.apply(x, y, weights, result, self.rows, threads)
    }
}

impl fmt::Display for Bilinear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [n, m, p] = self.map.widths();
        let (rows, terms, weights) = (self.rows, self.map.terms(), self.map.weights());
        write!(
            f,
            "bilinear {rows} rows of {n} and {m} to {p}, {terms} terms"
        )?;
        if weights > 0 {
            write!(f, " of {weights} weights, {} channels", self.channels)?;
        }
        Ok(())
    }
}

/// The gradient of the weights, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightsText {
    table: Table,
    rows: usize,
    channels: usize,
    x: View,
    y: View,
    gradient: View,
    result: View,
}

/// The same, ready to run.
#[derive(Debug)]
pub(super) struct Weights {
    map: Map,
    /// x, y and the gradient of the result, all dense.
    reads: [Region; 3],
    writes: [Region; 1],
    rows: usize,
    channels: usize,
}

impl WeightsText {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Weights> {
        let (map, rows, channels) = (self.table.map()?, self.rows, self.channels);
        let [n, m, p] = map.widths();
        let reads = [
            making.read_dense(self.x, &[rows, n], "x")?,
            making.read_dense(self.y, &[rows, m], "y")?,
            making.read_dense(self.gradient, &[rows, p], "gradient")?,
        ];
        let sizes = [channels, map.weights()];
        let writes = [making.written_dense(self.result, &sizes, "result")?];
        Ok(Weights {
            map,
            reads,
            writes,
            rows,
            channels,
        })
    }
}

impl Step for Weights {
    fn kind(&self) -> &'static str {
        "bilinear_weights"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        work(&self.map, self.rows)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        // SAFETY: the regions lie in their buffers, and nobody writes there meanwhile.
        let [x, y, gradient] = [0, 1, 2].map(|i| unsafe { memory.reach::<f32>(&self.reads[i]) });
        let found = self
            .map
            .weight_gradient(x, y, gradient, self.rows, self.channels, threads)?;
        // SAFETY: the region lies in its buffer, and meets none that is read.
        let result = unsafe { memory.reach_mut::<f32>(&self.writes[0]) };
        (result.iter_mut().zip(found)).for_each(|(to, sum)| *to = sum as f32);
        Ok(())
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, weights) = (self.rows, self.map.weights());
        write!(
            f,
            "bilinear weights, {weights} of {} channels from {rows} rows",
            self.channels
        )
    }
}
