//! What is known of a tensor before it exists: its element type, its shape, its device.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The element types of torch that the engine reasons about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    F64,
    F32,
    F16,
    BF16,
    C64,
    C128,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    /// An element type on which no rule fires; two such types are told apart by their number.
    Other(u32),
}

impl DType {
    /// Whether arithmetic on this type is floating point over the reals.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::C128 => 16,
            Self::F64 | Self::C64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool | Self::Other(_) => 1,
        }
    }
}

/// One extent of a shape: a number, or a symbol whose value is a guess until the program runs.
#[derive(Debug, Clone, Copy, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    Known(i64),
    Symbol { symbol: u32, hint: i64 },
}

impl PartialEq for Dim {
    /// Equal only when surely equal: a symbol equals itself, never a number.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => a == b,
            (Self::Symbol { symbol: a, .. }, Self::Symbol { symbol: b, .. }) => a == b,
            _ => false,
        }
    }
}

impl std::hash::Hash for Dim {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Known(n) => (0u8, *n).hash(state),
            Self::Symbol { symbol, .. } => (1u8, i64::from(*symbol)).hash(state),
        }
    }
}

impl Dim {
    /// The extent to use in a cost: exact, or the value seen while tracing.
    pub fn hint(self) -> i64 {
        match self {
            Self::Known(n) => n,
            Self::Symbol { hint, .. } => hint,
        }
    }

    /// The extent, where it is known for every run.
    pub fn known(self) -> Option<i64> {
        match self {
            Self::Known(n) => Some(n),
            Self::Symbol { .. } => None,
        }
    }

    /// Whether the extent is surely `n`.
    pub fn is(self, n: i64) -> bool {
        self == Self::Known(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Symbol { symbol, .. } => write!(f, "s{symbol}"),
        }
    }
}

/// A shape, outermost dimension first.
pub type Shape = Vec<Dim>;

/// The type of one tensor value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    pub dtype: DType,
    pub shape: Shape,
    /// Index into the caller's list of devices; values on different devices never meet in a rule.
    #[serde(default)]
    pub device: u32,
}

impl TensorType {
    /// A type on device 0 with a known shape.
    pub fn new(dtype: DType, shape: &[i64]) -> Self {
        Self {
            dtype,
            shape: shape.iter().map(|&n| Dim::Known(n)).collect(),
            device: 0,
        }
    }

    /// This type with another shape.
    pub fn with_shape(&self, shape: Shape) -> Self {
        Self {
            dtype: self.dtype,
            shape,
            device: self.device,
        }
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements, by hints where extents are symbols.
    pub fn numel(&self) -> u64 {
        self.shape.iter().map(|d| d.hint().max(0) as u64).product()
    }

    /// Number of elements, where known for every run.
    pub fn known_numel(&self) -> Option<i64> {
        self.shape
            .iter()
            .try_fold(1i64, |n, d| d.known().and_then(|d| n.checked_mul(d)))
    }

    /// Size in memory, by hints where extents are symbols.
    pub fn bytes(&self) -> u64 {
        self.numel() * self.dtype.bytes()
    }

    /// Whether each extent is surely one: a scalar spread over some rank.
    pub fn is_scalar_like(&self) -> bool {
        self.shape.iter().all(|d| d.is(1))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[", self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { "," } else { "" })?;
        }
        write!(f, "]")
    }
}

/// The shape that two shapes broadcast to, where that is sure for every run.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| {
        let missing = rank - s.len();
        if i < missing {
            Dim::Known(1)
        } else {
            s[i - missing]
        }
    };
    (0..rank)
        .map(|i| {
            let (x, y) = (at(a, i), at(b, i));
            if x == y || y.is(1) {
                Some(x)
            } else if x.is(1) {
                Some(y)
            } else {
                None
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(s: &[i64]) -> Shape {
        s.iter().map(|&n| Dim::Known(n)).collect()
    }

    #[test]
    fn broadcasting_aligns_on_the_right() {
        assert_eq!(
            broadcast(&shape(&[4, 1]), &shape(&[3])),
            Some(shape(&[4, 3]))
        );
        assert_eq!(broadcast(&shape(&[0]), &shape(&[1])), Some(shape(&[0])));
        assert_eq!(broadcast(&shape(&[2]), &shape(&[3])), None);
    }

    #[test]
    fn a_symbol_equals_only_itself() {
        let s = Dim::Symbol { symbol: 0, hint: 4 };
        assert_ne!(s, Dim::Known(4));
        assert_eq!(s, Dim::Symbol { symbol: 0, hint: 9 });
        assert_eq!(broadcast(&[s], &shape(&[4])), None);
    }
}
