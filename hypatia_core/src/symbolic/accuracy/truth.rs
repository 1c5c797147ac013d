//! The real value of an expression at doubles, rounded once.

use std::sync::Arc;

use num_rational::BigRational;

use super::super::enclosure::{Point, enclose};
use super::super::expression::Expression;
use super::super::interval::{Arithmetic, Interval, Missing, to_f64};

/// The precisions that are tried, in bits: the last one holds x − sin(x) at the smallest doubles.
const PRECISIONS: &[usize] = &[128, 384, 1152, 2400];

/// A value and the precision it took.
#[derive(Debug, Clone, Copy)]
pub struct Truth {
    pub value: f64,
    pub bits: usize,
}

/// Arithmetic at every precision that is tried.
pub struct Evaluator {
    names: Vec<Arc<str>>,
    arithmetic: Vec<Arithmetic>,
}

impl Evaluator {
    /// None when the constants of the multiple-precision library cannot be made.
    pub fn new(names: &[Arc<str>]) -> Option<Self> {
        let arithmetic = PRECISIONS.iter().map(|bits| Arithmetic::new(*bits));
        Some(Self {
            names: names.to_vec(),
            arithmetic: arithmetic.collect::<Option<_>>()?,
        })
    }

    /// The arithmetic of this many bits or more.
    pub fn at_precision(&mut self, bits: usize) -> &mut Arithmetic {
        let index = PRECISIONS.iter().position(|known| *known >= bits);
        let last = PRECISIONS.len() - 1;
        &mut self.arithmetic[index.unwrap_or(last)]
    }

    /// The double nearest to the real value at the point; none where the expression is not defined there, the
    /// value is beyond the range of doubles, or no precision tells.
    pub fn value(&mut self, expression: &Expression, point: &[f64]) -> Option<Truth> {
        let exact: Option<Point> = self
            .names
            .iter()
            .zip(point)
            .map(|(name, value)| Some((name.clone(), BigRational::from_float(*value)?)))
            .collect();
        let exact = exact?;
        for (arithmetic, bits) in self.arithmetic.iter_mut().zip(PRECISIONS) {
            match enclose(arithmetic, expression, &exact) {
                Ok(enclosed) => {
                    if let Some(value) = rounded(&enclosed) {
                        return value.is_finite().then_some(Truth { value, bits: *bits });
                    }
                }
                Err(Missing::Undefined) => return None,
                Err(Missing::Unsure) => {}
            }
        }
        None
    }
}

/// The double nearest to every number of the interval, where there is just one.
pub fn rounded(interval: &Interval) -> Option<f64> {
    let (low, high) = (to_f64(&interval.low), to_f64(&interval.high));
    (low == high).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::parse;
    use super::*;

    #[test]
    fn cancellation_costs_precision_and_no_digits() {
        let mut evaluator = Evaluator::new(&["x".into()]).expect("constants");
        let mut value = |text: &str, x: f64| {
            evaluator
                .value(&parse(text).expect(text), &[x])
                .map(|truth| truth.value)
        };
        assert_eq!(value("exp(x) - 1", 1e-200), Some(1e-200));
        assert_eq!(value("(x - sin(x))/x^3", 1e-300), Some(1.0 / 6.0));
        assert_eq!(value("x", 5e-324), Some(5e-324));
        assert_eq!(value("sin(x)", 1e300), Some(1e300f64.sin()));
        assert_eq!(value("sqrt(x)", -1.0), None);
        assert_eq!(value("exp(x)", 1000.0), None);
    }
}
