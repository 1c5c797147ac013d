//! Forms with less rounding error over given ranges, in the manner of Herbie.
//!
//! Errors are bits: the logarithm of the doubles between what an expression computes and its real value rounded
//! once. Equal forms come from one e-graph (`forms`), approximations from series at zero and infinity (`laurent`),
//! branches from the points where one form takes over from another (`regimes`). Points are a fixed sequence and
//! limits are counts, so the answer is the same everywhere.
//!
//! Source: P. Panchekha, A. Sanchez-Stern, J. Wilcox, Z. Tatlock, "Automatically improving accuracy for floating
//! point expressions", PLDI 2015.

mod floating;
mod forms;
pub(super) mod laurent;
mod regimes;
mod sampling;
mod truth;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::interrupted;
use super::cost::operations;
use super::evaluate::Program;
use super::expression::Expression;
use super::prove::Assumptions;
use super::sign::SignSet;
use crate::error::{Error, Result};
use floating::{WORST, bits_of_error};
use forms::{Points, forms};
use laurent::{Center, Laurent};
use regimes::{Choice, Segment, boundary, divide, within_allowed};
use sampling::Sequence;
use truth::{Evaluator, Truth};

pub use sampling::Range;

/// Points by which forms are chosen, by which the search is led, and by which the answer is judged.
const CHOOSING: usize = 200;
const LEADING: usize = 36;
const JUDGING: usize = 400;
/// Points tried for each that is wanted: some lie where the expression is not defined.
const TRIES: usize = 12;
/// What one point counts for when it is asked whether to stop.
const POINT_STEPS: usize = 1 << 12;
/// Fewest points that tell anything.
const FEWEST: usize = 16;
/// Nodes of the largest expression that is improved.
const LARGEST: u64 = 120;
/// A gain in mean bits below which the expression stays as it is.
const WORTHWHILE: f64 = 0.1;
/// Forms that take part in branches.
const MOST_FORMS: usize = 24;
/// Bits of error that one floating operation is worth, where forms are about as good as each other.
const OPERATION: f64 = 0.002;
/// Bits of error that being equal over the reals is worth.
const EXACTNESS: f64 = 0.5;
/// Bits of error up to which a truncated series counts as accurate.
const SERIES_ERROR: f64 = 2.0;
/// Terms of the series that are tried.
const SERIES: &[usize] = &[1, 2, 3, 5, 7];

/// A form and where it is used.
#[derive(Debug, Clone)]
pub struct Regime {
    /// The least and the greatest value of the branching variable.
    pub low: f64,
    pub high: f64,
    pub expression: Expression,
    /// Whether the form is equal over the reals; otherwise it is a truncated series.
    pub exact: bool,
}

/// The more accurate form.
#[derive(Debug, Clone)]
pub struct Improvement {
    /// The variable that decides between several regimes; none where there is one.
    pub variable: Option<Arc<str>>,
    /// In rising order, without gaps.
    pub regimes: Vec<Regime>,
    /// Mean bits of error of the given expression and of this form, over the same points, unused before.
    pub error_before: f64,
    pub error_after: f64,
    /// How many points these are.
    pub points: usize,
}

/// A form with where it may stand.
struct Candidate {
    expression: Expression,
    program: Program,
    exact: bool,
    /// The values of a variable between which the form may stand; none where it may stand everywhere.
    needs: Option<(usize, (f64, f64))>,
}

/// What an improvement may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Equal forms and truncated series, by branches of one variable.
    Branches,
    /// One form, equal over the reals.
    OneForm,
}

/// Finds a form of the expression with less rounding error over the ranges of its variables.
///
/// A variable without a range takes every finite double.
///
/// # Errors
/// When a range names no variable, the expression is too large or acts on tensors, or too few points of the
/// ranges have a real value within the range of doubles.
pub fn improve(
    expression: &Expression,
    ranges: &BTreeMap<Arc<str>, Range>,
    assumptions: &Assumptions,
    kind: Kind,
) -> Result<Improvement> {
    Search::new(expression, ranges, assumptions, kind)?.run()
}

struct Search<'a> {
    expression: &'a Expression,
    names: Vec<Arc<str>>,
    ranges: Vec<Range>,
    assumptions: Assumptions,
    kind: Kind,
    evaluator: Evaluator,
    points: Vec<Vec<f64>>,
    truths: Vec<Truth>,
}

impl<'a> Search<'a> {
    fn new(
        expression: &'a Expression,
        ranges: &BTreeMap<Arc<str>, Range>,
        assumptions: &Assumptions,
        kind: Kind,
    ) -> Result<Self> {
        let names: Vec<Arc<str>> = expression.variables().into_iter().collect();
        if let Some(name) = ranges.keys().find(|name| !names.contains(name)) {
            let known = names.iter().map(|n| &**n).collect::<Vec<_>>().join(", ");
            return Err(Error::new(format!(
                "a range is given for '{name}', which does not occur; variables: {known}"
            )));
        }
        if expression.size() > LARGEST {
            return Err(Error::new(format!(
                "the expression has {} nodes; accuracy is improved up to {LARGEST}",
                expression.size()
            )));
        }
        Program::new(expression)?;
        let ranges: Vec<Range> = names
            .iter()
            .map(|name| ranges.get(name).copied().unwrap_or(Range::ALL))
            .collect();
        let mut known = assumptions.clone();
        for (name, range) in names.iter().zip(&ranges) {
            let given = known.get(name).copied().unwrap_or(SignSet::ANY);
            known.insert(name.clone(), given.and(signs_of(range)));
        }
        let evaluator = Evaluator::new(&names)
            .ok_or_else(|| Error::new("the constants of multiple precision cannot be made"))?;
        Ok(Self {
            expression,
            names,
            ranges,
            assumptions: known,
            kind,
            evaluator,
            points: Vec::new(),
            truths: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Improvement> {
        let mut sequence = Sequence::new(&self.ranges);
        (self.points, self.truths) = self.sample(&mut sequence, CHOOSING);
        if self.points.len() < FEWEST {
            return Err(Error::new(format!(
                "the expression has a real value within the range of doubles at {} of {} points of the ranges; \
                 {FEWEST} are needed",
                self.points.len(),
                CHOOSING * TRIES
            )));
        }
        let (judging, truths) = self.sample(&mut sequence, JUDGING);
        let candidates = self.candidates();
        if interrupted(0) {
            return Err(Error::new("interrupted"));
        }
        let (variable, segments) = self.branches(&candidates);
        let mean = |choice: &dyn Fn(&[f64]) -> usize| {
            let error = |(point, truth): (&Vec<f64>, &Truth)| {
                let program = &candidates[choice(point)].program;
                bits_of_error(self.value(program, point), truth.value)
            };
            judging.iter().zip(&truths).map(error).sum::<f64>() / judging.len().max(1) as f64
        };
        let before = mean(&|_| 0);
        let after = mean(&|point| {
            let holds = |segment: &&Segment| variable.is_none_or(|v| point[v] <= segment.high);
            segments
                .iter()
                .find(holds)
                .map_or(0, |segment| segment.choice)
        });
        let (variable, segments, after) = if after < before - WORTHWHILE {
            (variable, segments, after)
        } else {
            (
                None,
                vec![Segment {
                    low: f64::MIN,
                    high: f64::MAX,
                    choice: 0,
                }],
                before,
            )
        };
        let regime = |segment: &Segment| Regime {
            low: segment.low,
            high: segment.high,
            expression: candidates[segment.choice].expression.clone(),
            exact: candidates[segment.choice].exact,
        };
        Ok(Improvement {
            variable: variable.map(|index| self.names[index].clone()),
            regimes: segments.iter().map(regime).collect(),
            error_before: before,
            error_after: after,
            points: judging.len(),
        })
    }

    /// Points with a real value, from where the sequence stands.
    fn sample(&mut self, sequence: &mut Sequence, wanted: usize) -> (Vec<Vec<f64>>, Vec<Truth>) {
        let (mut points, mut truths) = (Vec::new(), Vec::new());
        for point in sequence.take(wanted * TRIES) {
            let meets = |(name, value): (&Arc<str>, &f64)| {
                let sign = if *value > 0.0 {
                    SignSet::POSITIVE
                } else if *value < 0.0 {
                    SignSet::NEGATIVE
                } else {
                    SignSet::ZERO
                };
                self.assumptions
                    .get(name)
                    .is_none_or(|signs| sign.within(*signs))
            };
            if !self.names.iter().zip(&point).all(meets) {
                continue;
            }
            if interrupted(POINT_STEPS) {
                break;
            }
            if let Some(truth) = self.evaluator.value(self.expression, &point) {
                points.push(point);
                truths.push(truth);
            }
            if points.len() == wanted {
                break;
            }
        }
        (points, truths)
    }

    /// The expression itself, its equal forms, also those that need a sign of a variable, and its series.
    fn candidates(&mut self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut add = |expression: Expression, exact, needs| {
            if found
                .iter()
                .any(|known: &Candidate| known.expression == expression)
            {
                return;
            }
            if let Ok(program) = Program::new(&expression) {
                found.push(Candidate {
                    expression,
                    program,
                    exact,
                    needs,
                });
            }
        };
        add(self.expression.clone(), true, None);
        for form in self.equal_forms(None) {
            add(form, true, None);
        }
        if self.kind == Kind::OneForm {
            return found;
        }
        for variable in 0..self.names.len() {
            let range = self.ranges[variable];
            let known = self.assumptions[&self.names[variable]];
            if !(range.low < 0.0 && range.high > 0.0 && known == SignSet::ANY) {
                continue;
            }
            for sign in [SignSet::NEGATIVE, SignSet::POSITIVE] {
                for form in self.equal_forms(Some((variable, sign))) {
                    add(form, true, Some((variable, half(sign))));
                }
            }
        }
        for (form, allowed) in self.series_forms() {
            add(form, false, Some((0, allowed)));
        }
        found
    }

    /// Truncated series of an expression in one variable, with the values for which they are accurate.
    fn series_forms(&mut self) -> Vec<(Expression, (f64, f64))> {
        let mut found = Vec::new();
        let [name] = &self.names[..] else {
            return found;
        };
        let variable = Expression::variable(name);
        for center in [Center::Zero, Center::Infinity] {
            let Some(series) = Laurent::of(self.expression, center) else {
                continue;
            };
            for count in SERIES {
                let Some(form) = series.truncated(&variable, center, *count) else {
                    break;
                };
                let Some(radius) = self.radius(&form, center) else {
                    continue;
                };
                match center {
                    Center::Zero => found.push((form, (-radius, radius))),
                    Center::Infinity => {
                        found.push((form.clone(), (f64::MIN, -radius)));
                        found.push((form, (radius, f64::MAX)));
                    }
                }
            }
        }
        found
    }

    /// How far from its centre a truncated series is accurate, by probes on both sides.
    fn radius(&mut self, form: &Expression, center: Center) -> Option<f64> {
        /// Steps of a quarter of a binade, from far away towards the centre.
        const STEPS: i32 = 160;
        let program = Program::new(form).ok()?;
        let mut accurate = |radius: f64| {
            [radius, -radius].into_iter().all(|x| {
                let truth = self.evaluator.value(self.expression, &[x]);
                // Where the expression has no value the form does no harm.
                truth.is_none_or(|truth| {
                    bits_of_error(program.run_ieee(&[x]), truth.value) <= SERIES_ERROR
                })
            })
        };
        let towards = if center == Center::Zero { -0.25 } else { 0.25 };
        let start = if center == Center::Zero { 6.0 } else { -1.0 };
        let radii: Vec<f64> = (0..STEPS)
            .map(|step| (start + towards * f64::from(step)).exp2())
            .collect();
        // The last ones first: the run of accurate probes next to the centre is what counts.
        let run = radii.iter().rev().take_while(|radius| accurate(**radius));
        run.last().copied()
    }

    fn equal_forms(&mut self, case: Option<(usize, SignSet)>) -> Vec<Expression> {
        let inside = |point: &[f64]| {
            case.is_none_or(|(variable, sign)| {
                let negative = sign == SignSet::NEGATIVE;
                point[variable] != 0.0 && (point[variable] < 0.0) == negative
            })
        };
        if interrupted(POINT_STEPS * LEADING) {
            return Vec::new();
        }
        let chosen: Vec<usize> = (0..self.points.len())
            .filter(|index| inside(&self.points[*index]))
            .take(LEADING)
            .collect();
        if chosen.is_empty() {
            return Vec::new();
        }
        let points: Vec<Vec<f64>> = chosen.iter().map(|i| self.points[*i].clone()).collect();
        let truths: Vec<Truth> = chosen.iter().map(|i| self.truths[*i]).collect();
        let mut assumptions = self.assumptions.clone();
        if let Some((variable, sign)) = case {
            assumptions.insert(self.names[variable].clone(), sign);
        }
        let points = Points {
            names: &self.names,
            points: &points,
            truths: &truths,
        };
        forms(self.expression, &assumptions, &mut self.evaluator, &points)
    }

    /// The best division of one variable's range among the candidates.
    fn branches(&mut self, candidates: &[Candidate]) -> (Option<usize>, Vec<Segment>) {
        let errors: Vec<Vec<f64>> = candidates
            .iter()
            .map(|candidate| {
                let cost = OPERATION * operations(&candidate.expression).min(1_000) as f64
                    + if candidate.exact { 0.0 } else { EXACTNESS };
                let error = |(point, truth): (&Vec<f64>, &Truth)| {
                    cost + bits_of_error(self.value(&candidate.program, point), truth.value)
                };
                self.points.iter().zip(&self.truths).map(error).collect()
            })
            .collect();
        let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|a, b| mean(&errors[*a]).total_cmp(&mean(&errors[*b])));
        // A form may be poor in the mean and good in its part of the range.
        let mut least = vec![WORST; self.points.len()];
        let mut useful = vec![0];
        useful.extend(
            order
                .iter()
                .copied()
                .find(|i| *i != 0 && candidates[*i].needs.is_none()),
        );
        while useful.len() < MOST_FORMS {
            let gain = |index: usize| -> f64 {
                errors[index]
                    .iter()
                    .zip(&least)
                    .map(|(e, l)| (l - e).max(0.0))
                    .sum()
            };
            let next = order.iter().copied().filter(|i| !useful.contains(i));
            let Some(next) = next.max_by(|a, b| gain(*a).total_cmp(&gain(*b))) else {
                break;
            };
            if gain(next) < 1e-9 {
                break;
            }
            for (l, e) in least.iter_mut().zip(&errors[next]) {
                *l = l.min(*e);
            }
            useful.push(next);
        }
        let free = useful
            .iter()
            .copied()
            .filter(|i| candidates[*i].needs.is_none());
        let alone = free.min_by(|a, b| mean(&errors[*a]).total_cmp(&mean(&errors[*b])));
        let alone = alone.unwrap_or(0);
        let mut best = (
            mean(&errors[alone]),
            None,
            vec![Segment {
                low: f64::MIN,
                high: f64::MAX,
                choice: alone,
            }],
        );
        let branching = match self.kind {
            Kind::Branches => 0..self.names.len(),
            Kind::OneForm => 0..0,
        };
        for variable in branching {
            let fits: Vec<usize> = useful
                .iter()
                .copied()
                .filter(|i| {
                    candidates[*i]
                        .needs
                        .is_none_or(|(needed, _)| needed == variable)
                })
                .collect();
            let choices: Vec<Choice> = fits
                .iter()
                .map(|index| Choice {
                    errors: errors[*index].clone(),
                    allowed: candidates[*index]
                        .needs
                        .map_or((f64::MIN, f64::MAX), |(_, ends)| ends),
                })
                .collect();
            let values: Vec<f64> = self.points.iter().map(|point| point[variable]).collect();
            let (cost, runs) = divide(&values, &choices);
            let divides = runs.len() > 1
                || runs
                    .iter()
                    .any(|(_, choice)| candidates[fits[*choice]].needs.is_some());
            if cost < best.0 - 1e-9 && divides {
                let programs: Vec<&Program> =
                    fits.iter().map(|i| &candidates[*i].program).collect();
                let segments = self.segments(variable, &values, &runs, &programs);
                // The expression itself is the first candidate, and stands where no other form may.
                let mut segments = within_allowed(&segments, &choices, 0);
                for segment in &mut segments {
                    segment.choice = fits[segment.choice];
                }
                best = (cost, Some(variable), segments);
            }
        }
        (best.1, best.2)
    }

    /// Runs of points as segments of the variable, their ends found by bisection.
    fn segments(
        &mut self,
        variable: usize,
        values: &[f64],
        runs: &[(usize, usize)],
        programs: &[&Program],
    ) -> Vec<Segment> {
        let mut sorted: Vec<f64> = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mut segments = Vec::new();
        let mut low = f64::MIN;
        for (index, (last, choice)) in runs.iter().enumerate() {
            let high = match runs.get(index + 1) {
                None => f64::MAX,
                Some((_, next)) => {
                    let from = values[*last];
                    let to = sorted
                        .iter()
                        .copied()
                        .find(|value| *value > from)
                        .unwrap_or(from);
                    let near = self.points[*last].clone();
                    let (left, right) = (programs[*choice], programs[*next]);
                    boundary(from, to, |middle| {
                        let mut point = near.clone();
                        point[variable] = middle;
                        let Some(truth) = self.evaluator.value(self.expression, &point) else {
                            return false;
                        };
                        let error = |program: &Program| {
                            bits_of_error(value_at(program, &self.names, &point), truth.value)
                        };
                        error(left) <= error(right)
                    })
                }
            };
            segments.push(Segment {
                low,
                high,
                choice: *choice,
            });
            low = floating::from_ordinal(floating::ordinal(high).saturating_add(1));
        }
        segments
    }

    fn value(&self, program: &Program, point: &[f64]) -> f64 {
        value_at(program, &self.names, point)
    }
}

/// The value by IEEE arithmetic at a point over all names.
fn value_at(program: &Program, names: &[Arc<str>], point: &[f64]) -> f64 {
    let of = |name: &String| {
        let place = names.iter().position(|known| **known == **name);
        place.map_or(f64::NAN, |place| point[place])
    };
    let values: Vec<f64> = program.names().iter().map(of).collect();
    program.run_ieee(&values)
}

fn signs_of(range: &Range) -> SignSet {
    match (range.low, range.high) {
        (low, _) if low > 0.0 => SignSet::POSITIVE,
        (_, high) if high < 0.0 => SignSet::NEGATIVE,
        (low, high) if low == 0.0 && high == 0.0 => SignSet::ZERO,
        (0.0, _) => SignSet::NON_NEGATIVE,
        (_, 0.0) => SignSet::NON_POSITIVE,
        _ => SignSet::ANY,
    }
}

/// The doubles of a sign.
fn half(sign: SignSet) -> (f64, f64) {
    let least = floating::from_ordinal(1);
    if sign == SignSet::NEGATIVE {
        (f64::MIN, -least)
    } else {
        (least, f64::MAX)
    }
}
