//! What a program does one after another. A further kind of step is one file and one row here.

use std::fmt::{Debug, Display};

use serde_json::Value;

use super::buffer::Buffer;
use super::memory::Memory;
use super::view::Region;
use super::{gather, linear, rows};
use crate::error::{Error, Result};

/// A step, checked by itself: each region lies in its buffer.
pub(super) trait Step: Debug + Display + Send + Sync {
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

macro_rules! steps {
    ($($name:literal $kind:path),* $(,)?) => {
        /// Reads a step from its text.
        pub(super) fn read(mut text: Value, buffers: &[Buffer]) -> Result<Box<dyn Step>> {
            let name = text.as_object_mut().and_then(|fields| fields.remove("step"));
            let Some(Value::String(name)) = name else {
                return Err(Error::new("a step says its kind: {\"step\": \"rows\", …}"));
            };
            fn written(error: serde_json::Error) -> Error {
                Error::new(error.to_string())
            }
            match name.as_str() {
                $($name => {
                    let text: $kind = serde_json::from_value(text).map_err(written)?;
                    Ok(Box::new(text.checked(buffers)?))
                })*
                _ => {
                    let known = [$($name),*].join(", ");
                    Err(Error::new(format!("there is no step {name:?}; there are {known}")))
                }
            }
        }
    };
}

steps! {
    "rows" rows::Text,
    "linear" linear::Text,
    "gather" gather::Text,
}
