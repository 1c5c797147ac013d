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
