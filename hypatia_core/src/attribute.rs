//! The static arguments of an operation: axes, shapes, flags, numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tensor_type::{DType, Dim, Shape};

/// One static argument. Attributes are leaves of the e-graph, so that patterns can bind them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attribute {
    /// Axes, or a permutation; never negative.
    Axes(Vec<usize>),
    Shape(Shape),
    Int(i64),
    /// A floating constant; compared by bits, so that −0.0 is not 0.0 and NaN is itself.
    #[serde(with = "float_text")]
    Float(f64),
    Bool(bool),
    DType(DType),
    Word(String),
    /// The elements of a small constant tensor.
    Elements(Elements),
}

/// A small tensor whose values are known: its shape, and its elements in row-major order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Elements {
    pub shape: Shape,
    #[serde(with = "float_texts")]
    pub values: Vec<f64>,
}

impl Elements {
    /// Elements of this shape; `None` where their number is not the shape's, or one is not finite.
    pub fn new(shape: Shape, values: Vec<f64>) -> Option<Self> {
        let elements = Self { shape, values };
        elements.extents().is_some().then_some(elements)
    }

    /// The extents; `None` where one is a symbol or the elements are not as many as they say.
    pub fn extents(&self) -> Option<Vec<usize>> {
        let known = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok());
        let extents = self.shape.iter().map(known).collect::<Option<Vec<_>>>()?;
        let count = extents.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (count == self.values.len() && self.values.iter().all(|v| v.is_finite())).then_some(extents)
    }

    /// The elements with their axes in this order; `None` where it is no permutation.
    pub fn permuted(&self, axes: &[usize]) -> Option<Self> {
        let extents = self.extents()?;
        let mut strides = vec![1; extents.len()];
        for axis in (1..extents.len()).rev() {
            strides[axis - 1] = strides[axis] * extents[axis];
        }
        if axes.len() != extents.len() || !(0..extents.len()).all(|axis| axes.contains(&axis)) {
            return None;
        }
        let mut places = vec![0];
        for &axis in axes {
            let steps = |&place: &usize| {
                let stride = strides[axis];
                (0..extents[axis]).map(move |i| place + i * stride)
            };
            places = places.iter().flat_map(steps).collect();
        }
        Some(Self {
            shape: axes.iter().map(|&axis| self.shape[axis]).collect(),
            values: places.into_iter().map(|place| self.values[place]).collect(),
        })
    }

    /// How many elements are not zero.
    pub fn terms(&self) -> usize {
        self.values.iter().filter(|v| **v != 0.0).count()
    }
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Axes(a), Self::Axes(b)) => a == b,
            (Self::Shape(a), Self::Shape(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::DType(a), Self::DType(b)) => a == b,
            (Self::Word(a), Self::Word(b)) => a == b,
            (Self::Elements(a), Self::Elements(b)) => {
                let bits = |e: &Elements| e.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                a.shape == b.shape && bits(a) == bits(b)
            }
            _ => false,
        }
    }
}

impl Eq for Attribute {}

impl std::hash::Hash for Attribute {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Axes(v) => v.hash(state),
            Self::Shape(v) => v.hash(state),
            Self::Int(v) => v.hash(state),
            Self::Float(v) => v.to_bits().hash(state),
            Self::Bool(v) => v.hash(state),
            Self::DType(v) => v.hash(state),
            Self::Word(v) => v.hash(state),
            Self::Elements(v) => {
                v.shape.hash(state);
                v.values.iter().for_each(|x| x.to_bits().hash(state));
            }
        }
    }
}

impl Attribute {
    pub fn axes(&self) -> Option<&[usize]> {
        if let Self::Axes(v) = self {
            Some(v)
        } else {
            None
        }
    }

    pub fn shape(&self) -> Option<&[Dim]> {
        if let Self::Shape(v) = self {
            Some(v)
        } else {
            None
        }
    }

    pub fn int(&self) -> Option<i64> {
        if let Self::Int(v) = self {
            Some(*v)
        } else {
            None
        }
    }

    pub fn float(&self) -> Option<f64> {
        if let Self::Float(v) = self {
            Some(*v)
        } else {
            None
        }
    }

    pub fn bool(&self) -> Option<bool> {
        if let Self::Bool(v) = self {
            Some(*v)
        } else {
            None
        }
    }

    pub fn elements(&self) -> Option<&Elements> {
        if let Self::Elements(v) = self {
            Some(v)
        } else {
            None
        }
    }

    pub fn dtype(&self) -> Option<DType> {
        if let Self::DType(v) = self {
            Some(*v)
        } else {
            None
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Axes(v) => write!(f, "{v:?}"),
            Self::Shape(v) => {
                write!(f, "[")?;
                for (i, d) in v.iter().enumerate() {
                    write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
                }
                write!(f, "]")
            }
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::DType(v) => write!(f, "{v:?}"),
            Self::Word(v) => write!(f, "'{v}'"),
            Self::Elements(v) => write!(f, "{:?} as {}", v.values, Self::Shape(v.shape.clone())),
        }
    }
}

/// JSON has no infinities and no NaN: floats travel as their shortest round-trip text.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{value:?}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        let text = String::deserialize(d)?;
        text.parse()
            .map_err(|_| D::Error::custom(format!("'{text}' is not a number")))
    }
}

/// The same for a list.
mod float_texts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(values: &[f64], s: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        texts.serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        let read = |text: String| {
            text.parse()
                .map_err(|_| D::Error::custom(format!("'{text}' is not a number")))
        };
        Vec::<String>::deserialize(d)?
            .into_iter()
            .map(read)
            .collect()
    }
}
