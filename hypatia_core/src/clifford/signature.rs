//! The metric of an algebra: how many basis vectors square to +1, to −1 and to 0.

use crate::error::{Error, Result};

/// At most this many basis vectors: each is named by one digit, and a table has 4ⁿ entries.
pub const MAX_DIMENSION: usize = 9;

/// `p` basis vectors that square to +1, `q` that square to −1, `r` that square to 0.
///
/// With exactly one null vector that vector is `e0` and comes first, as projective geometric
/// algebra writes it; the space-time algebra (1, 3, 0) counts from `e0` too. Every other signature
/// counts from `e1`: the positive vectors, then the negative, then the null ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature {
    p: u8,
    q: u8,
    r: u8,
}

/// A signature that has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// The name, as users write it.
    pub name: &'static str,
    /// What it models.
    pub meaning: &'static str,
    /// `(p, q, r)`.
    pub signature: (usize, usize, usize),
}

/// The named models.
pub const MODELS: [Model; 7] = [
    Model {
        name: "VGA2D",
        meaning: "vectors of the plane",
        signature: (2, 0, 0),
    },
    Model {
        name: "VGA3D",
        meaning: "vectors of space",
        signature: (3, 0, 0),
    },
    Model {
        name: "PGA2D",
        meaning: "points and lines of the plane, rigid motions",
        signature: (2, 0, 1),
    },
    Model {
        name: "PGA3D",
        meaning: "points, lines and planes of space, rigid motions",
        signature: (3, 0, 1),
    },
    Model {
        name: "CGA2D",
        meaning: "circles and lines of the plane, conformal maps",
        signature: (3, 1, 0),
    },
    Model {
        name: "CGA3D",
        meaning: "spheres, circles and flats of space, conformal maps",
        signature: (4, 1, 0),
    },
    Model {
        name: "STA",
        meaning: "space-time, Lorentz transformations",
        signature: (1, 3, 0),
    },
];

impl Signature {
    /// The signature (p, q, r).
    ///
    /// # Errors
    /// If it has no basis vector or more than [`MAX_DIMENSION`].
    pub fn new(p: usize, q: usize, r: usize) -> Result<Self> {
        let dimension = p.saturating_add(q).saturating_add(r);
        if dimension == 0 || dimension > MAX_DIMENSION {
            return Err(Error::new(format!(
                "the signature ({p}, {q}, {r}) has {dimension} basis vectors; 1 to {MAX_DIMENSION} are accepted"
            )));
        }
        Ok(Self {
            p: p as u8,
            q: q as u8,
            r: r as u8,
        })
    }

    /// The signature of the model with this name.
    ///
    /// # Errors
    /// If no model has this name; the message lists those there are.
    pub fn named(name: &str) -> Result<Self> {
        let model = MODELS
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
                Error::new(format!(
                    "unknown model '{name}'. Models: {}.",
                    names.join(", ")
                ))
            })?;
        let (p, q, r) = model.signature;
        Self::new(p, q, r)
    }

    /// `(p, q, r)`.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.p.into(), self.q.into(), self.r.into())
    }

    /// The model that has this signature, if one has.
    pub fn model(&self) -> Option<&'static Model> {
        MODELS.iter().find(|model| model.signature == self.counts())
    }

    /// The number of basis vectors.
    pub fn dimension(&self) -> usize {
        usize::from(self.p + self.q + self.r)
    }

    /// Whether every basis vector squares to +1.
    pub fn is_euclidean(&self) -> bool {
        self.q == 0 && self.r == 0
    }

    /// The square of basis vector `k` (counted from 0): +1, −1 or 0.
    pub fn square(&self, k: usize) -> i8 {
        let k = k as u8;
        if self.r == 1 {
            return if k == 0 {
                0
            } else if k <= self.p {
                1
            } else {
                -1
            };
        }
        if k < self.p {
            1
        } else if k < self.p + self.q {
            -1
        } else {
            0
        }
    }

    /// The digit that names basis vector 0.
    pub fn first_digit(&self) -> usize {
        usize::from(!(self.r == 1 || self.counts() == (1, 3, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_have_the_counts_of_the_signature() {
        for (p, q, r) in [
            (2, 0, 0),
            (3, 0, 1),
            (4, 1, 0),
            (1, 3, 0),
            (2, 1, 2),
            (0, 2, 1),
        ] {
            let signature = Signature::new(p, q, r).unwrap();
            let count = |s| (0..p + q + r).filter(|&k| signature.square(k) == s).count();
            assert_eq!((count(1), count(-1), count(0)), (p, q, r));
        }
    }

    #[test]
    fn bad_signatures_are_named() {
        assert!(Signature::new(0, 0, 0).unwrap_err().0.contains("(0, 0, 0)"));
        assert!(Signature::new(10, 0, 0).unwrap_err().0.contains("1 to 9"));
        assert!(Signature::new(usize::MAX, 1, 0).is_err());
        assert!(Signature::named("PGA4D").unwrap_err().0.contains("PGA3D"));
    }
}
