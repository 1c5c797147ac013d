//! Pieces of memory that a program reads and writes.

use std::fmt;

use serde::Deserialize;

/// What a buffer's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Float32,
    Int64,
    Bool,
}

impl Kind {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Int64 => 8,
            Self::Bool => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
        })
    }
}

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// The caller's; only read.
    Argument,
    /// The caller's; written whole.
    Result,
    /// The program's own.
    Scratch,
}

/// A piece of memory.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Buffer {
    pub elements: usize,
    pub kind: Kind,
    pub place: Place,
}
