//! Refutation: a point at which rigorous enclosures of two expressions lie apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use num_traits::ToPrimitive;

use super::budget::interrupted;
use super::enclosure::{Point, enclose};
use super::evaluate::Program;
use super::expression::Expression;
use super::interval::{Arithmetic, Interval, Missing};
use super::sample::points;
use super::sign::SignSet;

/// A point where both expressions are defined and differ, with enclosures of their values.
#[derive(Debug, Clone)]
pub struct Witness {
    pub point: Point,
    pub left: Interval,
    pub right: Interval,
}

/// What comparing at points shows.
#[derive(Debug)]
pub struct Comparison {
    pub witness: Option<Witness>,
    /// A point at which both are certainly defined.
    pub common: Option<Point>,
}

/// What one point counts for when it is asked whether to stop.
const POINT_STEPS: usize = 1 << 13;
/// The precisions that are tried, in bits.
const PRECISIONS: &[usize] = &[128, 384, 1024];
/// The precisions when doubles show no difference and all else has failed.
const THOROUGH: &[usize] = &[384, 1024];

/// Points that are looked at rigorously before a proof was tried; cancellation makes many look suspicious.
const SUSPECTS: usize = 8;

/// A relative difference of doubles that rounding does not explain.
const LIKELY: f64 = 1e-9;

/// Compares two expressions at points: doubles suggest where to look, intervals decide.
pub fn compare(
    left: &Expression,
    right: &Expression,
    assumptions: &BTreeMap<Arc<str>, SignSet>,
    thorough: bool,
) -> Comparison {
    let mut nothing = Comparison {
        witness: None,
        common: None,
    };
    let (Ok(left_program), Ok(right_program)) = (Program::new(left), Program::new(right)) else {
        return nothing;
    };
    let mut names: Vec<Arc<str>> = left
        .variables()
        .into_iter()
        .chain(right.variables())
        .collect();
    names.sort();
    names.dedup();
    // What a point costs grows with the expressions.
    let size = left.shared_size() + right.shared_size();
    let (mixtures, checks) = match size {
        ..500 => (160, if thorough { 60 } else { 6 }),
        500..5_000 => (40, if thorough { 12 } else { 3 }),
        _ => (10, 2),
    };
    let mut suspects: Vec<(f64, Point)> = Vec::new();
    for point in points(&names, assumptions, mixtures) {
        let value = |program: &Program| {
            let values: Vec<f64> = program
                .names()
                .iter()
                .map(|name| point[&**name].to_f64().unwrap_or(f64::NAN))
                .collect();
            program.run(&values)
        };
        let suspicion = match (value(&left_program), value(&right_program)) {
            (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() => {
                (a - b).abs() / (1e-300 + a.abs().max(b.abs()))
            }
            // Doubles cannot tell here: rounding may have left the domain, or the range.
            _ => -1.0,
        };
        suspects.push((suspicion, point));
    }
    // Clear differences first; among the others the order of the table, in which easy points come first.
    let rank = |suspicion: f64| if suspicion > LIKELY { suspicion } else { 0.0 };
    suspects.sort_by(|a, b| rank(b.0).total_cmp(&rank(a.0)));
    for (checked, (suspicion, point)) in suspects.iter().enumerate() {
        let likely = *suspicion > LIKELY;
        if !likely && nothing.common.is_some() && (!thorough || checked >= checks) {
            break;
        }
        if checked
            >= if thorough {
                checks.max(6) * 4
            } else {
                SUSPECTS
            }
        {
            break;
        }
        let precisions = match (likely, thorough) {
            (true, _) => PRECISIONS,
            (false, true) => THOROUGH,
            (false, false) => &PRECISIONS[..1],
        };
        if interrupted(POINT_STEPS) {
            break;
        }
        for &bits in precisions {
            let Some(mut arithmetic) = Arithmetic::new(bits) else {
                break;
            };
            let a = enclose(&mut arithmetic, left, point);
            let b = match &a {
                Err(Missing::Undefined) => break,
                _ => enclose(&mut arithmetic, right, point),
            };
            match (a, b) {
                (Ok(a), Ok(b)) => {
                    nothing.common.get_or_insert_with(|| point.clone());
                    if a.disjoint(&b) {
                        nothing.witness = Some(Witness {
                            point: point.clone(),
                            left: a,
                            right: b,
                        });
                        return nothing;
                    }
                    // Agreement to many bits is not worth a second look, whatever doubles say.
                    if !likely || (a.is_tight() && b.is_tight()) {
                        break;
                    }
                }
                (_, Err(Missing::Undefined)) => break,
                _ => {}
            }
        }
    }
    nothing
}

/// Whether the enclosure of the expression at the point lies within ±1.
pub fn is_small(expression: &Expression) -> bool {
    let Some(mut arithmetic) = Arithmetic::new(192) else {
        return false;
    };
    match enclose(&mut arithmetic, expression, &Point::new()) {
        Ok(value) => {
            value.disjoint(&Interval::integer(1))
                && value.disjoint(&Interval::integer(-1))
                && value.to_f64().abs() < 0.9
        }
        Err(_) => false,
    }
}
