//! Points at which expressions are compared: special values first, then a fixed sequence of mixtures.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_integer::Integer;
use num_rational::BigRational;
use rustc_hash::FxHashSet;
use smallvec::SmallVec;

use super::enclosure::Point;
use super::sign::SignSet;

/// Numerators and denominators of the values tried: special ones, fractions, large and small ones.
const VALUES: &[(i64, i64)] = &[
    (2, 1),
    (-2, 1),
    (1, 2),
    (-1, 2),
    (0, 1),
    (1, 1),
    (-1, 1),
    (3, 4),
    (-3, 4),
    (5, 4),
    (-5, 2),
    (3, 1),
    (1, 3),
    (-1, 3),
    (7, 2),
    (-7, 2),
    (1, 8),
    (-1, 8),
    (15, 16),
    (-15, 16),
    (10, 1),
    (-10, 1),
    (4, 1),
    (-4, 1),
    (9, 2),
    (-6, 1),
    (13, 2),
    (25, 1),
    (-25, 1),
    (1, 100),
    (-1, 100),
    (100, 1),
    (-100, 1),
    (1, 4096),
    (1000, 1),
    (-1000, 1),
];

/// A point whose coordinates are fractions of small numbers, by numerator and denominator.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sample(SmallVec<[(i64, i64); 4]>);

impl Sample {
    /// The nearest doubles, in the order of the variables.
    pub fn doubles(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|&(n, d)| n as f64 / d as f64)
    }

    /// The point, exactly.
    pub fn point(&self, names: &[Arc<str>]) -> Point {
        let coordinates = self.0.iter();
        let value = |&(n, d): &(i64, i64)| BigRational::new(n.into(), d.into());
        names.iter().cloned().zip(coordinates.map(value)).collect()
    }
}

/// Points over these variables that respect their assumed signs, always the same ones.
pub fn points(
    names: &[Arc<str>],
    assumptions: &BTreeMap<Arc<str>, SignSet>,
    mixtures: usize,
) -> Vec<Point> {
    samples(names, assumptions, mixtures)
        .iter()
        .map(|sample| sample.point(names))
        .collect()
}

/// The same points, as samples.
pub fn samples(
    names: &[Arc<str>],
    assumptions: &BTreeMap<Arc<str>, SignSet>,
    mixtures: usize,
) -> Vec<Sample> {
    let allowed: Vec<Vec<(i64, i64)>> = names
        .iter()
        .map(|name| {
            let signs = assumptions.get(name).copied().unwrap_or(SignSet::ANY);
            let of_number = |n: i64| match n {
                0 => SignSet::ZERO,
                1.. => SignSet::POSITIVE,
                _ => SignSet::NEGATIVE,
            };
            let values = VALUES.iter().copied();
            values
                .filter(|(n, _)| of_number(*n).within(signs))
                .collect()
        })
        .collect();
    if names.is_empty() {
        return vec![Sample(SmallVec::new())];
    }
    if allowed.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut seen = FxHashSet::default();
    let mut push = |sample: Sample| {
        if seen.insert(sample.clone()) {
            found.push(sample);
        }
    };
    for index in 0..VALUES.len() {
        // One variable: each value once. Several: each at its own place in the table, and all equal.
        let at = |offset: usize, values: &[(i64, i64)]| values[(index + offset) % values.len()];
        let apart = allowed.iter().enumerate().map(|(i, v)| at(3 * i, v));
        push(Sample(apart.collect()));
        if names.len() > 1 {
            push(Sample(allowed.iter().map(|values| at(0, values)).collect()));
        }
    }
    for _ in 0..mixtures {
        let mixture = allowed.iter().map(|values| {
            let (n, d) = values[next(values.len())];
            if next(3) == 0 {
                // A dyadic number with no special place.
                let (n, d) = (n * (65 + next(64) as i64), d * 64);
                let common = n.gcd(&d);
                (n / common, d / common)
            } else {
                (n, d)
            }
        });
        push(Sample(mixture.collect()));
    }
    found
}
