//! Coefficients over the blades of an algebra.

use std::ops::{Deref, DerefMut};

/// Blades up to which coefficients are kept in place, without memory of their own.
pub(super) const IN_PLACE: usize = 32;

/// Numbers, one for each blade. In place they are copied whole, however many there are: that is a few instructions.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "in place is what nearly all are")]
pub(super) enum Coefficients {
    /// The first so many of them.
    InPlace([f64; IN_PLACE], usize),
    /// In memory of their own.
    Apart(Vec<f64>),
}

impl Coefficients {
    /// So many zeros.
    pub(super) fn zeros(count: usize) -> Self {
        if count <= IN_PLACE {
            Self::InPlace([0.0; IN_PLACE], count)
        } else {
            Self::Apart(vec![0.0; count])
        }
    }
}

impl From<Vec<f64>> for Coefficients {
    fn from(values: Vec<f64>) -> Self {
        if values.len() > IN_PLACE {
            return Self::Apart(values);
        }
        let mut all = [0.0; IN_PLACE];
        all[..values.len()].copy_from_slice(&values);
        Self::InPlace(all, values.len())
    }
}

impl Deref for Coefficients {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        match self {
            Self::InPlace(values, count) => &values[..*count],
            Self::Apart(values) => values,
        }
    }
}

impl DerefMut for Coefficients {
    fn deref_mut(&mut self) -> &mut [f64] {
        match self {
            Self::InPlace(values, count) => &mut values[..*count],
            Self::Apart(values) => values,
        }
    }
}
