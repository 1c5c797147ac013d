//! Branches: which form to use over which part of one variable's range.

use super::floating::{WORST, from_ordinal, ordinal};

/// A form that may be used, by its place in the list, with the signs it needs of the branching variable.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The error at each point, in bits.
    pub errors: Vec<f64>,
    /// Where the form may stand: every double of the variable from the first to the second.
    pub allowed: (f64, f64),
}

/// The form `choice` for values of the variable from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    pub low: f64,
    pub high: f64,
    pub choice: usize,
}

/// What one more branch costs, in bits of the mean error.
const PENALTY: f64 = 0.25;
const MOST_SEGMENTS: usize = 5;

/// The cheapest division of the points, sorted by `values`, into runs of one choice each; with its mean error.
///
/// Dynamic programming over the number of runs and the last point, as in Herbie's regime inference (Panchekha et
/// al., "Automatically improving accuracy for floating point expressions", PLDI 2015, section 4.8).
pub fn divide(values: &[f64], choices: &[Choice]) -> (f64, Vec<(usize, usize)>) {
    let count = values.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let error = |choice: &Choice, point: usize| {
        let (low, high) = choice.allowed;
        if (low..=high).contains(&values[point]) {
            choice.errors[point]
        } else {
            2.0 * WORST
        }
    };
    let sums: Vec<Vec<f64>> = choices
        .iter()
        .map(|choice| {
            let mut sum = vec![0.0];
            for point in &order {
                sum.push(sum[sum.len() - 1] + error(choice, *point));
            }
            sum
        })
        .collect();
    // best[end]: the least error of the points before `end`, with the run that ends there.
    let single = |end: usize| {
        (0..choices.len())
            .map(|choice| (sums[choice][end], choice))
            .fold((f64::INFINITY, 0), |a, b| if b.0 < a.0 { b } else { a })
    };
    let mut layers = vec![
        (0..=count)
            .map(|end| (single(end).0, 0, single(end).1))
            .collect::<Vec<_>>(),
    ];
    for _ in 1..MOST_SEGMENTS {
        let before = &layers[layers.len() - 1];
        let mut layer = before.clone();
        for (choice, sum) in sums.iter().enumerate() {
            // The best start of a run of this choice, kept while its end moves on.
            let mut start = 0;
            for end in 1..=count {
                let candidate = before[end - 1].0 - sum[end - 1];
                // Points of one value stay together.
                let apart = end >= 2 && values[order[end - 2]] < values[order[end - 1]];
                if apart && candidate < before[start].0 - sum[start] {
                    start = end - 1;
                }
                let total = before[start].0 + sum[end] - sum[start];
                if total < layer[end].0 - 1e-9 {
                    layer[end] = (total, start, choice);
                }
            }
        }
        layers.push(layer);
    }
    let scale = count.max(1) as f64;
    let cost = |layer: usize| layers[layer][count].0 / scale + PENALTY * layer as f64;
    let best = (0..layers.len()).fold(0, |best, layer| {
        if cost(layer) < cost(best) - 1e-9 {
            layer
        } else {
            best
        }
    });
    let mut runs = Vec::new();
    let (mut layer, mut end) = (best, count);
    while end > 0 {
        // A layer repeats the one before where one more run did not help.
        while layer > 0 && layers[layer - 1][end] == layers[layer][end] {
            layer -= 1;
        }
        let (_, start, choice) = layers[layer][end];
        runs.push((order[end - 1], choice));
        end = if layer == 0 { 0 } else { start };
        layer = layer.saturating_sub(1);
    }
    runs.reverse();
    (cost(best), runs)
}

/// The double between `low` and `high` up to which the left one of two forms is better, by bisection over the
/// doubles. `left_is_better` is asked at most 64 times.
pub fn boundary(low: f64, high: f64, mut left_is_better: impl FnMut(f64) -> bool) -> f64 {
    let (mut below, mut above) = (ordinal(low), ordinal(high));
    while above.abs_diff(below) > 1 {
        let middle = below.midpoint(above);
        if left_is_better(from_ordinal(middle)) {
            below = middle;
        } else {
            above = middle;
        }
    }
    from_ordinal(below)
}

/// Segments cut back to where their forms may stand; what that uncovers is left to `fallback`.
pub fn within_allowed(segments: &[Segment], choices: &[Choice], fallback: usize) -> Vec<Segment> {
    let mut found: Vec<Segment> = Vec::new();
    let mut push = |low: f64, high: f64, choice: usize| {
        if ordinal(low) > ordinal(high) {
            return;
        }
        match found.last_mut() {
            Some(last) if last.choice == choice => last.high = high,
            _ => found.push(Segment { low, high, choice }),
        }
    };
    for segment in segments {
        let (low, high) = choices[segment.choice].allowed;
        let (first, last) = (segment.low.max(low), segment.high.min(high));
        if first > last {
            push(segment.low, segment.high, fallback);
            continue;
        }
        if first > segment.low {
            push(segment.low, from_ordinal(ordinal(first) - 1), fallback);
        }
        push(first, last, segment.choice);
        if last < segment.high {
            push(from_ordinal(ordinal(last) + 1), segment.high, fallback);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_follow_the_better_form() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let errors =
            |good: fn(usize) -> bool| (0..100).map(|i| if good(i) { 0.0 } else { 40.0 }).collect();
        let all = (f64::MIN, f64::MAX);
        let choices = [
            Choice {
                errors: errors(|i| i < 30),
                allowed: all,
            },
            Choice {
                errors: errors(|i| i >= 30),
                allowed: all,
            },
        ];
        let (cost, runs) = divide(&values, &choices);
        assert_eq!(runs, [(29, 0), (99, 1)]);
        assert!((cost - PENALTY).abs() < 1e-9);
        assert_eq!(
            boundary(29.0, 30.0, |x| x < 29.5),
            from_ordinal(ordinal(29.5) - 1)
        );
    }

    #[test]
    fn a_form_stands_only_where_it_may() {
        let positive = Choice {
            errors: vec![0.0; 4],
            allowed: (5e-324, f64::MAX),
        };
        let always = Choice {
            errors: vec![9.0; 4],
            allowed: (f64::MIN, f64::MAX),
        };
        let choices = [always, positive];
        let (_, runs) = divide(&[-2.0, -1.0, 1.0, 2.0], &choices);
        assert_eq!(runs, [(1, 0), (3, 1)]);
        let segments = [Segment {
            low: -2.0,
            high: 2.0,
            choice: 1,
        }];
        let found = within_allowed(&segments, &choices, 0);
        assert_eq!(
            found[0],
            Segment {
                low: -2.0,
                high: 0.0,
                choice: 0
            }
        );
        assert_eq!(
            found[1],
            Segment {
                low: 5e-324,
                high: 2.0,
                choice: 1
            }
        );
    }
}
