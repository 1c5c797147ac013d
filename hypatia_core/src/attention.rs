//! Attention: softmax(q kᵀ·scale + mask) v of each head, without its scores ever leaving the caches.

use crate::bilinear::block::transpose;
use crate::error::{Error, Result};
use crate::linear::COLUMNS;
use crate::linear::activation::exp_of_negative;
use crate::linear::tile::{self, Ahead, MOST_PANELS, ROWS, Tile};
use crate::registers::{Job, dispatch};
use crate::team::{self, Parts};

/// Below so many multiplications a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 15;
/// So many tasks for each thread at least: one may begin late.
const TASKS: usize = 4;

/// Vectors of each position of each head of each example, elements of one lying together.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// From the first element to the last.
    pub elements: &'a [f32],
    /// Elements from one example, head and position to the next.
    pub steps: [usize; 3],
}

impl Heads<'_> {
    /// Elements from the first to the last.
    pub fn extent(sizes: [usize; 3], width: usize, steps: [usize; 3]) -> Option<usize> {
        if sizes.contains(&0) || width == 0 {
            return Some(0);
        }
        let reach = sizes
            .iter()
            .zip(steps)
            .try_fold(0usize, |sum, (size, step)| {
                sum.checked_add((size - 1).checked_mul(step)?)
            });
        reach?.checked_add(width)
    }

    fn fits(&self, sizes: [usize; 3], width: usize) -> bool {
        Self::extent(sizes, width, self.steps).is_some_and(|extent| extent <= self.elements.len())
    }

    fn at(&self, place: [usize; 3]) -> usize {
        place.iter().zip(self.steps).map(|(i, step)| i * step).sum()
    }
}

/// An attention over so many examples and heads.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Queries, keys and values.
    pub q: Heads<'a>,
    /// Keys.
    pub k: Heads<'a>,
    /// Values.
    pub v: Heads<'a>,
    /// What is added to the scores: a row of all keys for each query; steps may be 0.
    pub mask: Option<Heads<'a>>,
    /// Whether a query sees no key of a later position.
    pub causal: bool,
    /// By which the scores are multiplied first.
    pub scale: f32,
    /// Examples.
    pub batch: usize,
    /// Heads of each example.
    pub heads: usize,
    /// Positions that ask.
    pub queries: usize,
    /// Positions that are asked.
    pub keys: usize,
    /// Elements of a vector.
    pub width: usize,
}

impl Attention<'_> {
    /// Writes the result, (batch, queries, heads, width), with so many threads at most. A query to which the mask shows no
    /// key at all gets zeros, as torch's kernel has it.
    ///
    /// # Errors
    /// The slices do not reach so far.
    pub fn apply(&self, result: &mut [f32], threads: usize) -> Result<()> {
        let (b, h, w) = (self.batch, self.heads, self.width);
        let fits = self.q.fits([b, h, self.queries], w)
            && self.k.fits([b, h, self.keys], w)
            && self.v.fits([b, h, self.keys], w)
            && self
                .mask
                .is_none_or(|mask| mask.fits([b, h, self.queries], self.keys))
            && result.len() == b * h * self.queries * w;
        if !fits {
            return Err(Error::new(format!(
                "attention of {b} by {h} heads, {} queries, {} keys of {w}: the memory does not reach so far",
                self.queries, self.keys
            )));
        }
        if result.is_empty() {
            return Ok(());
        }
        let work = result.len() * self.keys * 2;
        let threads = threads.min(work / WORTH_A_THREAD).max(1);
        let pieces = if threads == 1 {
            1
        } else {
            (threads * TASKS).div_ceil(b * h)
        };
        let share = self.queries.div_ceil(pieces).next_multiple_of(ROWS);
        let pieces = self.queries.div_ceil(share);
        let to = Parts::of(result);
        team::each(b * h * pieces, threads, |task| {
            let (head, piece) = (task / pieces, task % pieces);
            let task = Task {
                attention: self,
                example: head / h,
                head: head % h,
                queries: piece * share..self.queries.min((piece + 1) * share),
                result: to.address(),
            };
            dispatch(task);
        });
        Ok(())
    }
}

/// Some queries of one head.
struct Task<'a> {
    attention: &'a Attention<'a>,
    example: usize,
    head: usize,
    queries: std::ops::Range<usize>,
    result: *mut f32,
}

impl Job for Task<'_> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // SAFETY: `apply`, which makes tasks, has checked the lengths and divides the result among them.
        unsafe { self.attend::<BITS>() };
    }
}

impl Task<'_> {
    /// # Safety
    /// The attention's slices and the result fit, and nobody else uses these elements of the result.
    /// The processor has registers of `BITS`.
    #[inline(always)]
    unsafe fn attend<const BITS: usize>(&self) {
        let Attention {
            q,
            k,
            v,
            mask,
            causal,
            scale,
            heads,
            keys,
            width,
            ..
        } = *self.attention;
        // No later key is seen by any of these queries.
        let seen = if causal {
            keys.min(self.queries.end)
        } else {
            keys
        };
        let place = [self.example, self.head, 0];
        let key_panels = turned::<BITS>(&k.elements[k.at(place)..], k.steps[2], seen, width);
        let value_panels = panels(&v.elements[v.at(place)..], v.steps[2], seen, width);
        let row_of_scores = seen.next_multiple_of(COLUMNS);
        const WIDE: usize = MOST_PANELS * COLUMNS;
        let mut scores = vec![0.0f32; ROWS * row_of_scores];
        let zeros = [0.0f32; WIDE];
        let step = heads * width;
        let mut query = self.queries.start;
        while query < self.queries.end {
            let count = ROWS.min(self.queries.end - query);
            let limit = if causal {
                seen.min(query + count)
            } else {
                seen
            };
            let x = q.elements[q.at([self.example, self.head, query])..].as_ptr();
            let limits = limit.div_ceil(COLUMNS);
            for panel in (0..limits).step_by(tile::panels::<BITS>()) {
                let tile = Tile {
                    x,
                    x_step: q.steps[2],
                    panel: key_panels[panel * width * COLUMNS..].as_ptr(),
                    apart: width * COLUMNS,
                    depth: width,
                    sums: scores[panel * COLUMNS..].as_mut_ptr(),
                    sums_step: row_of_scores,
                    begin: zeros.as_ptr(),
                    ahead: Ahead::nothing(x),
                };
                // SAFETY: queries, panels and scores were made for so many rows and columns.
                unsafe { tile.add::<BITS>(count, tile::panels::<BITS>().min(limits - panel)) };
            }
            let mut shares = [0.0f32; ROWS];
            for r in 0..count {
                let row = &mut scores[r * row_of_scores..][..row_of_scores];
                let visible = if causal {
                    limit.min(query + r + 1)
                } else {
                    limit
                };
                let (row, hidden) = row[..limit].split_at_mut(visible);
                hidden.fill(0.0);
                for score in row.iter_mut() {
                    *score *= scale;
                }
                if let Some(mask) = mask {
                    let from = mask.at([self.example, self.head, query + r]);
                    let terms = &mask.elements[from..][..visible];
                    for i in 0..visible {
                        row[i] += terms[i];
                    }
                }
                shares[r] = exponentials::<BITS>(row);
            }
            let across = width.div_ceil(COLUMNS);
            for panel in (0..across).step_by(tile::panels::<BITS>()) {
                let beside = tile::panels::<BITS>().min(across - panel);
                let mut sums = [0.0f32; ROWS * WIDE];
                let tile = Tile {
                    x: scores.as_ptr(),
                    x_step: row_of_scores,
                    panel: value_panels[panel * seen * COLUMNS..].as_ptr(),
                    apart: seen * COLUMNS,
                    depth: limit,
                    sums: sums.as_mut_ptr(),
                    sums_step: WIDE,
                    begin: zeros.as_ptr(),
                    ahead: Ahead::nothing(x),
                };
                // SAFETY: scores, panels and sums were made for so many rows and columns.
                unsafe { tile.add::<BITS>(count, beside) };
                let columns = (beside * COLUMNS).min(width - panel * COLUMNS);
                for r in 0..count {
                    let row = (self.example * self.attention.queries + query + r) * step;
                    let at = row + self.head * width + panel * COLUMNS;
                    // SAFETY: these elements of the result are this task's alone.
                    let to =
                        unsafe { std::slice::from_raw_parts_mut(self.result.add(at), columns) };
                    let sums = &sums[r * WIDE..][..columns];
                    for i in 0..columns {
                        to[i] = sums[i] * shares[r];
                    }
                }
            }
            query += count;
        }
    }
}

/// Makes of scores their exponentials, the largest one's 1, and gives by what these are to be multiplied so that they
/// add up to 1; 0 where all scores are −∞.
#[inline(always)]
fn exponentials<const BITS: usize>(row: &mut [f32]) -> f32 {
    let most = largest::<BITS>(row);
    if most == f32::NEG_INFINITY && !row.iter().any(|score| score.is_nan()) {
        row.fill(0.0);
        return 0.0;
    }
    let (blocks, rest) = row.as_chunks_mut::<COLUMNS>();
    let mut sums = [0.0f32; COLUMNS];
    for block in blocks {
        let mut scores = *block;
        for score in &mut scores {
            *score = exp_of_negative::<BITS>(*score - most);
        }
        for i in 0..COLUMNS {
            sums[i] += scores[i];
        }
        *block = scores;
    }
    let mut total = 0.0;
    for sum in sums {
        total += sum;
    }
    for score in rest {
        *score = exp_of_negative::<BITS>(*score - most);
        total += *score;
    }
    1.0 / total
}

/// The largest of these that is a number; −∞ where there is none.
#[inline(always)]
fn largest<const BITS: usize>(row: &[f32]) -> f32 {
    let (blocks, rest) = row.as_chunks::<COLUMNS>();
    let mut most = f32::NEG_INFINITY;
    // Of plain code for this the compiler makes stores under a mask.
    #[cfg(target_arch = "x86_64")]
    if BITS >= 512 {
        use std::arch::x86_64::*;
        // SAFETY: the processor has the instructions, and a block is one register.
        unsafe {
            let mut all = _mm512_set1_ps(most);
            for block in blocks {
                all = _mm512_max_ps(_mm512_loadu_ps(block.as_ptr()), all);
            }
            most = _mm512_reduce_max_ps(all);
        }
    } else if BITS >= 256 {
        use std::arch::x86_64::*;
        let mut lanes = [most; 8];
        // SAFETY: the processor has the instructions, and a block is two registers.
        unsafe {
            let mut all = [_mm256_set1_ps(most); 2];
            for block in blocks {
                all[0] = _mm256_max_ps(_mm256_loadu_ps(block.as_ptr()), all[0]);
                all[1] = _mm256_max_ps(_mm256_loadu_ps(block.as_ptr().add(8)), all[1]);
            }
            _mm256_storeu_ps(lanes.as_mut_ptr(), _mm256_max_ps(all[0], all[1]));
        }
        for lane in lanes {
            most = if lane > most { lane } else { most };
        }
    }
    if BITS < 256 {
        for &score in blocks.as_flattened() {
            most = if score > most { score } else { most };
        }
    }
    for &score in rest {
        most = if score > most { score } else { most };
    }
    most
}

/// Vectors as the columns of panels: those of `COLUMNS` positions side by side, element by element.
#[inline(always)]
fn turned<const BITS: usize>(
    vectors: &[f32],
    step: usize,
    positions: usize,
    width: usize,
) -> Vec<f32> {
    let mut panels = vec![0.0f32; positions.next_multiple_of(COLUMNS) * width];
    for from in (0..positions).step_by(COLUMNS) {
        let count = COLUMNS.min(positions - from);
        let panel = &mut panels[from * width..][..COLUMNS * width];
        transpose::<f32, BITS>(
            &vectors[from * step..],
            step,
            panel,
            COLUMNS,
            [count, width],
        );
    }
    panels
}

/// Vectors as the rows of panels: `COLUMNS` elements of each position, position by position.
#[inline(always)]
fn panels(vectors: &[f32], step: usize, positions: usize, width: usize) -> Vec<f32> {
    let mut panels = vec![0.0f32; width.next_multiple_of(COLUMNS) * positions];
    for (panel, to) in panels.chunks_exact_mut(positions * COLUMNS).enumerate() {
        let columns = COLUMNS.min(width - panel * COLUMNS);
        for (position, to) in to.chunks_exact_mut(COLUMNS).enumerate() {
            let from = &vectors[position * step + panel * COLUMNS..][..columns];
            match <&[f32; COLUMNS]>::try_from(from) {
                Ok(whole) => to.copy_from_slice(whole),
                Err(_) => to[..columns].copy_from_slice(from),
            }
        }
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_definition(a: &Attention<'_>) -> Vec<f64> {
        let mut result = Vec::new();
        for (b, i) in (0..a.batch).flat_map(|b| (0..a.queries).map(move |i| (b, i))) {
            for h in 0..a.heads {
                let vector = |of: &Heads<'_>, i: usize| -> Vec<f64> {
                    let at = of.at([b, h, i]);
                    of.elements[at..at + a.width]
                        .iter()
                        .map(|&x| f64::from(x))
                        .collect()
                };
                let q = vector(&a.q, i);
                let weights: Vec<f64> = (0..a.keys)
                    .map(|j| {
                        let dot: f64 = q.iter().zip(vector(&a.k, j)).map(|(x, y)| x * y).sum();
                        let term = a
                            .mask
                            .map_or(0.0, |mask| f64::from(mask.elements[mask.at([b, h, i]) + j]));
                        if a.causal && j > i {
                            0.0
                        } else {
                            (dot * f64::from(a.scale) + term).exp()
                        }
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for c in 0..a.width {
                    let sum: f64 = (0..a.keys).map(|j| weights[j] * vector(&a.v, j)[c]).sum();
                    result.push(if total == 0.0 { 0.0 } else { sum / total });
                }
            }
        }
        result
    }

    #[test]
    fn heads_of_every_shape() {
        let mut draw = fastrand::Rng::with_seed(9);
        for (batch, heads, queries, keys, width, causal, masked) in [
            (1, 2, 13, 13, 32, false, false),
            (2, 3, 50, 50, 20, true, false),
            (1, 1, 7, 70, 8, false, true),
            (1, 4, 128, 128, 64, true, true),
            (1, 1, 1, 1, 1, false, false),
            (3, 1, 9, 5, 16, true, false),
        ] {
            let mut numbers =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.f32() * 4.0 - 2.0).collect() };
            // Positions before heads, as projections leave them.
            let steps = |positions: usize| [positions * heads * width, width, heads * width];
            let q = numbers(batch * queries * heads * width);
            let (k, v) = (
                numbers(batch * keys * heads * width),
                numbers(batch * keys * heads * width),
            );
            let mut mask = numbers(queries * keys);
            for (at, term) in mask.iter_mut().enumerate() {
                if at % 3 == 0 || at < keys {
                    *term = f32::NEG_INFINITY;
                }
            }
            let attention = Attention {
                q: Heads {
                    elements: &q,
                    steps: steps(queries),
                },
                k: Heads {
                    elements: &k,
                    steps: steps(keys),
                },
                v: Heads {
                    elements: &v,
                    steps: steps(keys),
                },
                mask: masked.then_some(Heads {
                    elements: &mask,
                    steps: [0, 0, keys],
                }),
                causal,
                scale: 0.3,
                batch,
                heads,
                queries,
                keys,
                width,
            };
            let mut result = vec![f32::NAN; q.len()];
            attention.apply(&mut result, 2).unwrap();
            for (x, y) in result.iter().zip(by_definition(&attention)) {
                assert!((f64::from(*x) - y).abs() < 3e-6, "{x} {y}");
            }
            assert!(attention.apply(&mut result[1..], 1).is_err());
        }
    }
}
