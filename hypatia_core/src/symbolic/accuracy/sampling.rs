//! Points of a box of doubles, evenly spread over the doubles, always the same ones.

use super::floating::{from_ordinal, ordinal};
use crate::error::{Error, Result};

/// The doubles from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    /// Every finite double.
    pub const ALL: Self = Self {
        low: f64::MIN,
        high: f64::MAX,
    };

    /// # Errors
    /// When an end is not finite, or the range is empty.
    pub fn new(low: f64, high: f64) -> Result<Self> {
        if !low.is_finite() || !high.is_finite() {
            return Err(Error::new(format!(
                "the range from {low} to {high} has an end that is not a finite double"
            )));
        }
        if low > high {
            return Err(Error::new(format!(
                "the range from {low} to {high} is empty: its low end lies above its high end"
            )));
        }
        Ok(Self { low, high })
    }
}

/// Roberts' additive sequence: point i has the coordinates i/φᵏ mod 1, where φ is the root of x^(d+1) = x + 1.
///
/// Source: M. Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018), after Weyl.
#[derive(Debug, Clone)]
pub struct Sequence {
    ranges: Vec<Range>,
    steps: Vec<u64>,
    index: u64,
}

impl Sequence {
    pub fn new(ranges: &[Range]) -> Self {
        let dimension = ranges.len() as i32;
        let mut root = 1.5f64;
        for _ in 0..60 {
            let power = root.powi(dimension + 1);
            let slope = f64::from(dimension + 1) * power / root - 1.0;
            root -= (power - root - 1.0) / slope;
        }
        let steps = (1..=dimension)
            .map(|k| (root.powi(-k) * 2f64.powi(64)) as u64 | 1)
            .collect();
        Self {
            ranges: ranges.to_vec(),
            steps,
            index: 0,
        }
    }
}

impl Iterator for Sequence {
    type Item = Vec<f64>;

    fn next(&mut self) -> Option<Vec<f64>> {
        self.index += 1;
        let coordinate = |(range, step): (&Range, &u64)| {
            let (low, high) = (ordinal(range.low), ordinal(range.high));
            let span = u128::from(high.abs_diff(low)) + 1;
            let part = u128::from(self.index.wrapping_mul(*step));
            from_ordinal(low.wrapping_add(((part * span) >> 64) as i64))
        };
        Some(
            self.ranges
                .iter()
                .zip(&self.steps)
                .map(coordinate)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_in_the_box_and_spread_over_its_doubles() {
        let ranges = [Range::ALL, Range::new(1.0, 2.0).expect("a range")];
        let points: Vec<Vec<f64>> = Sequence::new(&ranges).take(400).collect();
        for point in &points {
            assert!(point[0].is_finite() && (1.0..=2.0).contains(&point[1]));
        }
        let small = points.iter().filter(|point| point[0].abs() < 1.0).count();
        let negative = points.iter().filter(|point| point[0] < 0.0).count();
        assert!((180..220).contains(&small) && (180..220).contains(&negative));
    }
}
