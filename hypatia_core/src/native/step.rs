//! What a program does one after another. A further kind of step is one file and one row here.

use std::fmt::{Debug, Display};

use serde_json::Value;

use super::buffer::{Buffer, Kind, Place};
use super::memory::Memory;
use super::view::{Region, View, count};
use super::{
    attention, bilinear, channel_map, convolution, depthwise, gather, inner_product, linear,
    matmul, recurrence, rows, rows_by_matrix, signed_sums, winograd,
};
use crate::error::{Error, Result};

/// A step, checked by itself: each region lies in its buffer.
pub(super) trait Step: Debug + Display + Send + Sync {
    /// What the text calls it.
    fn kind(&self) -> &'static str;

    /// What it reads and what it writes, all of it.
    fn reads(&self) -> &[Region];
    fn writes(&self) -> &[Region];

    /// Whether an element may be written where the same one is read.
    fn in_place(&self) -> bool {
        false
    }

    /// About how many picoseconds it takes one thread.
    fn work(&self) -> usize;

    /// Runs it.
    ///
    /// # Errors
    /// What the memory holds is not what the step can take.
    fn run(&self, memory: &Memory, threads: usize) -> Result<()>;
}

/// The steps that a text comes to, and the buffers of the program, to which it may add.
pub(super) struct Making<'a> {
    pub buffers: &'a mut Vec<Buffer>,
    pub steps: Vec<Box<dyn Step>>,
    /// What is to run after the step at hand.
    after: Vec<Box<dyn Step>>,
}

impl<'a> Making<'a> {
    pub fn new(buffers: &'a mut Vec<Buffer>) -> Self {
        Self {
            buffers,
            steps: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Elements of float32 at this view.
    pub fn floats(&self, view: View, sizes: &[usize], what: &str) -> Result<Region> {
        view.over(sizes, &[Kind::Float32], what, self.buffers)
    }

    /// All of a buffer, which has to have so many elements.
    pub fn all_of(&self, buffer: usize, elements: usize, what: &str) -> Result<Region> {
        let given = self.buffers.get(buffer).map(|one| one.elements);
        match given.filter(|&given| given != elements) {
            Some(given) => Err(Error::new(format!(
                "{what}: buffer {buffer} has {given} elements, not {elements}"
            ))),
            None => self.floats(View::whole(buffer), &[elements], what),
        }
    }

    /// Elements that the step reads, in memory where they lie as these strides say: where they do not, a copy.
    pub fn read_as(&mut self, region: Region, strides: &[Option<usize>]) -> Result<Region> {
        if region.lies_as(strides) {
            return Ok(region);
        }
        let own = self.scratch(&region.sizes)?;
        self.steps.push(Box::new(rows::Rows::copy(
            region,
            own.clone(),
            self.buffers,
        )));
        Ok(own)
    }

    /// The same of what it writes.
    pub fn written_as(
        &mut self,
        region: Region,
        strides: &[Option<usize>],
        what: &str,
    ) -> Result<Region> {
        if !region.is_injective() {
            return Err(Error::new(format!(
                "{what}: strides {:?} over sizes {:?} put two elements in one place",
                region.view.strides, region.sizes
            )));
        }
        if region.lies_as(strides) {
            return Ok(region);
        }
        let own = self.scratch(&region.sizes)?;
        self.after.push(Box::new(rows::Rows::copy(
            own.clone(),
            region,
            self.buffers,
        )));
        Ok(own)
    }

    /// Elements of float32 that the step reads one after another in the order of these sizes, by a copy where they lie
    /// otherwise.
    pub fn read_dense(&mut self, view: View, sizes: &[usize], what: &str) -> Result<Region> {
        let region = self.floats(view, sizes, what)?;
        self.read_as(region, &dense(sizes))
    }

    /// The same of what it writes.
    pub fn written_dense(&mut self, view: View, sizes: &[usize], what: &str) -> Result<Region> {
        let region = self.floats(view, sizes, what)?;
        self.written_as(region, &dense(sizes), what)
    }

    fn scratch(&mut self, sizes: &[usize]) -> Result<Region> {
        self.buffers.push(Buffer {
            elements: count(sizes)?,
            kind: Kind::Float32,
            place: Place::Scratch,
        });
        Ok(Region::dense(self.buffers.len() - 1, sizes))
    }
}

/// The strides of elements one after another, in the order of these sizes.
pub(super) fn dense(sizes: &[usize]) -> Vec<Option<usize>> {
    let strides = Region::dense(0, sizes).view.strides;
    strides.into_iter().map(Some).collect()
}

macro_rules! steps {
    ($($name:literal $kind:path),* $(,)?) => {
        /// Reads what a text comes to: a step, with copies around it where views lie as it cannot take them.
        pub(super) fn read(mut text: Value, buffers: &mut Vec<Buffer>) -> Result<Vec<Box<dyn Step>>> {
            let name = text.as_object_mut().and_then(|fields| fields.remove("step"));
            let Some(Value::String(name)) = name else {
                return Err(Error::new("a step says its kind: {\"step\": \"rows\", …}"));
            };
            fn written(error: serde_json::Error) -> Error {
                Error::new(error.to_string())
            }
            let mut making = Making::new(buffers);
            match name.as_str() {
                $($name => {
                    let text: $kind = serde_json::from_value(text).map_err(written)?;
                    let step = text.checked(&mut making)?;
                    making.steps.push(Box::new(step));
                })*
                _ => {
                    let known = [$($name),*].join(", ");
                    return Err(Error::new(format!("there is no step {name:?}; there are {known}")));
                }
            }
            let Making { mut steps, after, .. } = making;
            steps.extend(after);
            Ok(steps)
        }
    };
}

steps! {
    "rows" rows::Text,
    "linear" linear::Text,
    "pixels" linear::PixelsText,
    "depthwise" depthwise::Text,
    "convolution" convolution::Text,
    "winograd" winograd::Text,
    "attention" attention::Text,
    "recurrence" recurrence::Text,
    "matmul" matmul::Text,
    "gather" gather::Text,
    "rows_by_matrix" rows_by_matrix::Text,
    "inner_product" inner_product::Text,
    "bilinear" bilinear::Text,
    "bilinear_weights" bilinear::WeightsText,
    "channel_map" channel_map::Text,
    "channel_map_weights" channel_map::WeightsText,
    "signed_sums" signed_sums::Text,
}
