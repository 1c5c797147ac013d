//! Points at which expressions are compared: special values first, then a fixed sequence of mixtures.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_rational::BigRational;
use rustc_hash::FxHashSet;

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

/// Points over these variables that respect their assumed signs, always the same ones.
pub fn points(
    names: &[Arc<str>],
    assumptions: &BTreeMap<Arc<str>, SignSet>,
    mixtures: usize,
) -> Vec<Point> {
    let value = |&(n, d): &(i64, i64)| BigRational::new(n.into(), d.into());
    let allowed: Vec<Vec<BigRational>> = names
        .iter()
        .map(|name| {
            let signs = assumptions.get(name).copied().unwrap_or(SignSet::ANY);
            VALUES
                .iter()
                .map(value)
                .filter(|value| SignSet::of(value).within(signs))
                .collect()
        })
        .collect();
    if names.is_empty() {
        return vec![Point::new()];
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
    let mut push = |point: Point| {
        if seen.insert(point.clone()) {
            found.push(point);
        }
    };
    for index in 0..VALUES.len() {
        // One variable: each value once. Several: each at its own place in the table, and all equal.
        let at = |offset: usize, values: &Vec<BigRational>| {
            values[(index + offset) % values.len()].clone()
        };
        push(
            names
                .iter()
                .zip(&allowed)
                .enumerate()
                .map(|(i, (n, v))| (n.clone(), at(3 * i, v)))
                .collect(),
        );
        if names.len() > 1 {
            push(
                names
                    .iter()
                    .zip(&allowed)
                    .map(|(n, v)| (n.clone(), at(0, v)))
                    .collect(),
            );
        }
    }
    for _ in 0..mixtures {
        let mut point = Point::new();
        for (name, values) in names.iter().zip(&allowed) {
            let mut value = values[next(values.len())].clone();
            if next(3) == 0 {
                // A dyadic number with no special place.
                let factor = BigRational::new((65 + next(64) as i64).into(), 64.into());
                value *= factor;
            }
            point.insert(name.clone(), value);
        }
        push(point);
    }
    found
}
