//! The step "attention": softmax(q kᵀ·scale + mask) v of each head.

use std::fmt;

use serde::Deserialize;

use super::memory::Memory;
use super::number::Number;
use super::step::{Making, Step};
use super::view::{Region, View};
use crate::attention::{Attention as Product, Heads};
use crate::error::Result;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    q: View,
    k: View,
    v: View,
    mask: Option<View>,
    causal: bool,
    scale: Number,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys, values, and the mask if there is one.
    reads: Vec<Region>,
    writes: [Region; 1],
    causal: bool,
    scale: f32,
    /// Examples, heads, queries, keys, elements of a vector.
    sizes: [usize; 5],
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Attention> {
        let (b, h, w) = (self.batch, self.heads, self.width);
        let (asking, asked) = ([b, h, self.queries, w], [b, h, self.keys, w]);
        let rows = [None, None, None, Some(1)];
        let mut reads = Vec::with_capacity(4);
        for (view, sizes, what) in [
            (self.q, asking, "q"),
            (self.k, asked, "k"),
            (self.v, asked, "v"),
        ] {
            let region = making.floats(view, &sizes, what)?;
            reads.push(making.read_as(region, &rows)?);
        }
        if let Some(mask) = self.mask {
            let region = making.floats(mask, &[b, h, self.queries, self.keys], "mask")?;
            reads.push(making.read_as(region, &rows)?);
        }
        // Position by position, all heads of one together: sizes in this order are dense.
        let result = making.floats(self.result, &asking, "result")?;
        let result = result.permuted(&[0, 2, 1, 3]);
        let strides = super::step::dense(&[b, self.queries, h, w]);
        Ok(Attention {
            reads,
            writes: [making.written_as(result, &strides, "result")?],
            causal: self.causal,
            scale: self.scale.0,
            sizes: [b, h, self.queries, self.keys, w],
        })
    }
}

impl Step for Attention {
    fn kind(&self) -> &'static str {
        "attention"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let all = self
            .sizes
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        all.unwrap_or(usize::MAX).saturating_mul(60)
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        let [batch, heads, queries, keys, width] = self.sizes;
        let of = |region: &Region| {
            let strides = &region.view.strides;
            Heads {
                // SAFETY: the region lies in its buffer, and nobody writes there meanwhile.
                elements: unsafe { memory.reach(region) },
                steps: [strides[0], strides[1], strides[2]],
            }
        };
        let product = Product {
            q: of(&self.reads[0]),
            k: of(&self.reads[1]),
            v: of(&self.reads[2]),
            mask: self.reads.get(3).map(of),
            causal: self.causal,
            scale: self.scale,
            batch,
            heads,
            queries,
            keys,
            width,
        };
        // SAFETY: the region lies in its buffer, and meets none that is read.
        product.apply(unsafe { memory.reach_mut(&self.writes[0]) }, threads)
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [batch, heads, queries, keys, width] = self.sizes;
        let causal = if self.causal { ", causal" } else { "" };
        write!(
            f,
            "attention of {batch}×{heads} heads, {queries} to {keys} of {width}{causal}"
        )
    }
}
