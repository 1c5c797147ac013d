//! Identities as rows: what holds, under which conditions, why; and tempting ones that do not hold.
//!
//! A row rewrites its left side to its right side. It is sound when, at every point where the left side is
//! defined and the conditions hold, the right side is defined too and has the same value. Such steps compose:
//! every term in a search that starts from expressions defined on a set D is defined on all of D.

mod rejected;
mod table;

pub use rejected::{REJECTED, Rejected};
pub use table::IDENTITIES;

use super::sign::SignSet;

/// The families, by which tactics choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Arithmetic,
    Power,
    Logarithm,
    Trigonometry,
    Hyperbolic,
    Magnitude,
    Activation,
    Stability,
    /// Forms with less rounding error; for `accuracy`, not for proofs.
    Accuracy,
}

/// One identity.
#[derive(Debug)]
pub struct Identity {
    /// A fact, in kebab-case.
    pub name: &'static str,
    pub family: Family,
    pub left: &'static str,
    pub right: &'static str,
    /// Whether the right side may be rewritten to the left one as well: both are defined at the same points.
    pub both_ways: bool,
    /// Signs that pattern variables must be known to have.
    pub conditions: &'static [(&'static str, SignSet)],
    /// Why it holds.
    pub why: &'static str,
    /// An instance, as infix text of the left side.
    pub example: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::enclosure::{Point, enclose};
    use super::super::expression::Expression;
    use super::super::interval::{Arithmetic, Missing};
    use super::super::parse::parse;
    use super::super::prove::{Status, prove};
    use super::super::sample::points;
    use super::*;

    fn side(text: &str) -> Expression {
        parse(&text.replace('?', "")).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Points checked and the first one at which the row fails, in rigorous arithmetic at 200 bits.
    fn check(left: &str, right: &str, conditions: &[(&str, SignSet)]) -> (usize, Option<Point>) {
        let (left, right) = (side(left), side(right));
        let assumptions: BTreeMap<Arc<str>, SignSet> = conditions
            .iter()
            .map(|(name, signs)| (name.replace('?', "").into(), *signs))
            .collect();
        let names: Vec<Arc<str>> = left.variables().into_iter().collect();
        let mut arithmetic = Arithmetic::new(200).expect("constants");
        let mut checked = 0;
        for point in points(&names, &assumptions, 60) {
            let Ok(a) = enclose(&mut arithmetic, &left, &point) else {
                continue;
            };
            match enclose(&mut arithmetic, &right, &point) {
                Ok(b) if a.disjoint(&b) => return (checked, Some(point)),
                Ok(_) => checked += 1,
                // The right side must be defined where the left one is.
                Err(Missing::Undefined) => return (checked, Some(point)),
                Err(Missing::Unsure) => {}
            }
        }
        (checked, None)
    }

    #[test]
    fn every_identity_holds_where_its_left_side_is_defined() {
        for row in IDENTITIES {
            let (checked, failure) = check(row.left, row.right, row.conditions);
            assert!(failure.is_none(), "{} fails at {failure:?}", row.name);
            assert!(
                checked >= if row.left.contains('?') { 8 } else { 1 },
                "{}: only {checked} points",
                row.name
            );
            if row.both_ways {
                let (checked, failure) = check(row.right, row.left, row.conditions);
                assert!(
                    failure.is_none(),
                    "{} backwards fails at {failure:?}",
                    row.name
                );
                assert!(checked >= 1, "{} backwards: no points", row.name);
            }
        }
    }

    #[test]
    fn every_rejected_identity_is_caught_and_refuted() {
        for row in REJECTED {
            let (_, failure) = check(row.left, row.right, &[]);
            assert!(failure.is_some(), "{} was not caught", row.name);
            if row.refuted {
                let answer = prove(&side(row.left), &side(row.right), &BTreeMap::new(), 100_000);
                assert_eq!(answer.status, Status::Refuted, "{}", row.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_examples_are_read() {
        let mut names: Vec<&str> = IDENTITIES.iter().map(|row| row.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for row in IDENTITIES {
            side(row.example);
            assert!(!row.why.is_empty());
        }
    }
}
