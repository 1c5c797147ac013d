//! Refutation: a point at which rigorous enclosures of two expressions lie apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::budget::interrupted;
use super::enclosure::{Point, enclose};
use super::evaluate::Program;
use super::expression::Expression;
use super::interval::{Arithmetic, Interval, Missing};
use super::sample::{Sample, samples};
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
    // Where each side's variables are among all of them.
    let places = |program: &Program| -> Vec<usize> {
        let place = |name: &String| names.iter().position(|known| **known == **name);
        program.names().iter().filter_map(place).collect()
    };
    let (left_places, right_places) = (places(&left_program), places(&right_program));
    let mut suspects: Vec<(f64, Sample)> = Vec::new();
    for sample in samples(&names, assumptions, mixtures) {
        let doubles: SmallVec<[f64; 8]> = sample.doubles().collect();
        let value = |program: &Program, places: &[usize]| {
            let values: SmallVec<[f64; 8]> = places.iter().map(|place| doubles[*place]).collect();
            program.run(&values)
        };
        let sides = (
            value(&left_program, &left_places),
            value(&right_program, &right_places),
        );
        let suspicion = match sides {
            (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() => {
                (a - b).abs() / (1e-300 + a.abs().max(b.abs()))
            }
            // Doubles cannot tell here: rounding may have left the domain, or the range.
            _ => -1.0,
        };
        suspects.push((suspicion, sample));
    }
    // Clear differences first, in the order of the table, in which easy points come first: far out, differences
    // of doubles are often cancellation.
    suspects.sort_by_key(|(suspicion, _)| *suspicion <= LIKELY);
    for (checked, (suspicion, sample)) in suspects.iter().enumerate() {
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
            (true, true) => PRECISIONS,
            (false, true) => THOROUGH,
            // Whatever needs more is looked at once a proof was tried.
            (_, false) => &PRECISIONS[..1],
        };
        let point = &sample.point(&names);
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
