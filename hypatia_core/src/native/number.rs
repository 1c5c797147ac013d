//! Numbers as text: finite ones as JSON has them, the others by name.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number that JSON may have no sign for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(pub f32);

impl Number {
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_f64().map(|number| Self(number as f32)),
            Value::String(name) => match name.as_str() {
                "inf" => Some(Self(f32::INFINITY)),
                "-inf" => Some(Self(f32::NEG_INFINITY)),
                "nan" => Some(Self(f32::NAN)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::of(&value).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{value} is no number; numbers are 1.5, \"inf\", \"-inf\", \"nan\""
            ))
        })
    }
}
