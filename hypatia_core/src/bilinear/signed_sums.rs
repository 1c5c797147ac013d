//! Sums and differences of places, for many rows of lines: r[b, k, l] = Σ ± x[b, j, l], and perhaps a constant
//! line. What a change of basis is whose matrix holds 1, −1 and 0.

use super::real::Real;
use super::{block, threads};
use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// Which places of x each place of the result is the sum of, and by what all of it is multiplied.
#[derive(Debug, Clone)]
pub struct SignedSums {
    places: usize,
    scale: f64,
    /// The places that are added, and those that are subtracted.
    results: Vec<[Vec<usize>; 2]>,
    terms: usize,
}

/// Rows of x: element (b, j, l) stands at b·row + j·place + l·step.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a, T> {
    /// What holds all of them.
    pub values: &'a [T],
    /// How many rows there are.
    pub rows: usize,
    /// How long a line is.
    pub length: usize,
    /// The distances of rows, places and elements of a line.
    pub strides: [usize; 3],
}

/// From the first to the last of elements of these extents and strides, how many there are.
pub fn elements(extents: [usize; 3], strides: [usize; 3]) -> usize {
    if extents.contains(&0) {
        return 0;
    }
    let last = extents.into_iter().zip(strides);
    last.fold(1, |sum: usize, (n, stride)| {
        sum.saturating_add((n - 1).saturating_mul(stride))
    })
}

/// Elements of a line that are computed before the next place is: they stay in the first cache.
const PART: usize = 512;

impl SignedSums {
    /// Sums of so many places, `results` of them, by terms (place of x, place of the result, plus or minus one).
    ///
    /// # Errors
    /// A term outside these, or with another sign.
    pub fn new(
        places: usize,
        results: usize,
        scale: f64,
        terms: impl IntoIterator<Item = (usize, usize, i8)>,
    ) -> Result<Self> {
        let mut found = Self {
            places,
            scale,
            results: vec![Default::default(); results],
            terms: 0,
        };
        for (j, k, sign) in terms {
            if j >= places || k >= results || sign.abs() != 1 {
                return Err(Error::new(format!(
                    "signed sums of {places} places to {results}: the term ({j}, {k}, {sign})"
                )));
            }
            found.results[k][usize::from(sign < 0)].push(j);
            found.terms += 1;
        }
        Ok(found)
    }

    /// Writes the result, (rows, places of the result, length) row by row; `constant` is such a row, added to each.
    ///
    /// # Errors
    /// The slices do not hold what is asked for.
    pub fn apply<T: Real>(
        &self,
        x: Lines<'_, T>,
        constant: Option<&[T]>,
        result: &mut [T],
        threads: usize,
    ) -> Result<()> {
        let width = self.results.len() * x.length;
        let empty = x.rows * width == 0;
        if result.len() != x.rows * width
            || constant.is_some_and(|line| line.len() != width)
            || x.values.len() < elements([x.rows, self.places, x.length], x.strides)
        {
            return Err(Error::new("signed sums: the lengths do not fit"));
        }
        if empty {
            return Ok(());
        }
        // An element that is loaded and stored takes as long as some terms.
        let work = x.rows * x.length * (self.terms + 4 * self.places);
        let share = threads::rows_of_one(x.rows, work, 1, threads);
        threads::each(result.chunks_mut(share * width), |number, part| {
            dispatch(Share {
                sums: self,
                x,
                first: number * share,
                constant,
                result: part,
            });
        });
        Ok(())
    }
}

/// The rows of one thread.
struct Share<'a, T> {
    sums: &'a SignedSums,
    x: Lines<'a, T>,
    first: usize,
    constant: Option<&'a [T]>,
    result: &'a mut [T],
}

impl<T: Real> Job for Share<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        let Self {
            sums,
            x,
            first,
            constant,
            result,
        } = self;
        let (places, length) = (sums.places, x.length);
        let [row, place, step] = x.strides;
        let scale = T::from_f64(sums.scale);
        // Lines that do not lie together are turned first, where their places do.
        let turns = step != 1 && place == 1;
        let copies = step != 1 && !turns;
        let mut turned = vec![
            T::ZERO;
            if step == 1 {
                0
            } else {
                places * PART.min(length)
            }
        ];
        for (number, to) in result
            .chunks_exact_mut(sums.results.len() * length)
            .enumerate()
        {
            let base = (first + number) * row;
            let mut begin = 0;
            while begin < length {
                let part = PART.min(length - begin);
                let at = base + begin * step;
                let (from, stride) = if turns {
                    let end = at + (part - 1) * step + places;
                    block::transpose::<T, BITS>(
                        &x.values[at..end],
                        step,
                        &mut turned,
                        part,
                        [part, places],
                    );
                    (&turned[..], part)
                } else if copies {
                    for j in 0..places {
                        for l in 0..part {
                            turned[j * part + l] = x.values[at + j * place + l * step];
                        }
                    }
                    (&turned[..], part)
                } else {
                    (&x.values[at..], place)
                };
                let mut k = 0;
                while k < sums.results.len() {
                    let at = k * length + begin;
                    let line = &mut to[at..at + part];
                    #[expect(
                        clippy::manual_map,
                        reason = "a closure would be compiled for any processor"
                    )]
                    let constant = match constant {
                        Some(constant) => Some(&constant[at..at + part]),
                        None => None,
                    };
                    add::<T>(&sums.results[k], scale, from, stride, constant, line);
                    k += 1;
                }
                begin += part;
            }
        }
    }
}

/// One line of the result. The usual numbers of terms are one pass each.
#[inline(always)]
fn add<T: Real>(
    [plus, minus]: &[Vec<usize>; 2],
    scale: T,
    from: &[T],
    stride: usize,
    constant: Option<&[T]>,
    to: &mut [T],
) {
    let n = to.len();
    let line = |j: usize| &from[j * stride..j * stride + n];
    let zero = T::ZERO;
    match (&plus[..], &minus[..]) {
        (&[a], &[]) => {
            let a = line(a);
            for l in 0..n {
                to[l] = scale * a[l];
            }
        }
        (&[a, b], &[]) => {
            let (a, b) = (line(a), line(b));
            for l in 0..n {
                to[l] = scale * (a[l] + b[l]);
            }
        }
        (&[a], &[b]) => {
            let (a, b) = (line(a), line(b));
            for l in 0..n {
                to[l] = scale * (a[l] + -b[l]);
            }
        }
        _ => {
            to.fill(zero);
            for &j in plus {
                let a = line(j);
                for l in 0..n {
                    to[l] += a[l];
                }
            }
            for &j in minus {
                let a = line(j);
                for l in 0..n {
                    to[l] += -a[l];
                }
            }
            for value in to.iter_mut() {
                *value = scale * *value;
            }
        }
    }
    if let Some(constant) = constant {
        for l in 0..n {
            to[l] += constant[l];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums by their definition.
    fn defined(
        terms: &[(usize, usize, i8)],
        x: &Lines<'_, f64>,
        results: usize,
        scale: f64,
    ) -> Vec<f64> {
        let mut out = vec![0.0; x.rows * results * x.length];
        for b in 0..x.rows {
            for &(j, k, sign) in terms {
                for l in 0..x.length {
                    let from = b * x.strides[0] + j * x.strides[1] + l * x.strides[2];
                    out[(b * results + k) * x.length + l] +=
                        scale * f64::from(sign) * x.values[from];
                }
            }
        }
        out
    }

    #[test]
    fn lines_that_lie_in_any_order() {
        let terms = [
            (0, 0, 1),
            (1, 0, -1),
            (2, 1, 1),
            (0, 2, 1),
            (1, 2, 1),
            (2, 2, -1),
            (1, 3, -1),
            (0, 4, 1),
            (2, 4, 1),
        ];
        let sums = SignedSums::new(3, 6, 0.5, terms).unwrap();
        for (rows, length) in [(1, 1), (4, 37), (2, PART + 9), (3000, 16)] {
            let values: Vec<f64> = (0..rows * 3 * length)
                .map(|n| (n % 101) as f64 - 50.0)
                .collect();
            for strides in [
                [3 * length, length, 1],
                [3 * length, 1, 3],
                [length, rows * length, 1],
                [1, rows, 3 * rows],
            ] {
                let x = Lines {
                    values: &values,
                    rows,
                    length,
                    strides,
                };
                let wanted = defined(&terms, &x, 6, 0.5);
                for threads in [1, 2] {
                    let mut result = vec![f64::NAN; wanted.len()];
                    sums.apply(x, None, &mut result, threads).unwrap();
                    assert_eq!(result, wanted, "{rows} {length} {strides:?}");
                    let line: Vec<f64> = (0..6 * length).map(|n| n as f64).collect();
                    sums.apply(x, Some(&line), &mut result, threads).unwrap();
                    let plus = wanted
                        .iter()
                        .enumerate()
                        .map(|(n, v)| v + line[n % line.len()]);
                    assert_eq!(result, plus.collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(SignedSums::new(2, 2, 1.0, [(2, 0, 1)]).is_err());
        assert!(SignedSums::new(2, 2, 1.0, [(0, 2, 1)]).is_err());
        assert!(SignedSums::new(2, 2, 1.0, [(0, 0, 0)]).is_err());
        let sums = SignedSums::new(2, 1, 1.0, [(0, 0, 1), (1, 0, 1)]).unwrap();
        let x = Lines {
            values: &[1.0f32; 8],
            rows: 2,
            length: 2,
            strides: [4, 2, 1],
        };
        assert!(sums.apply(x, None, &mut [0.0; 3], 1).is_err());
        assert!(sums.apply(x, Some(&[0.0]), &mut [0.0; 4], 1).is_err());
        let longer = Lines {
            strides: [5, 2, 1],
            ..x
        };
        assert!(sums.apply(longer, None, &mut [0.0; 4], 1).is_err());
        sums.apply(x, None, &mut [0.0; 4], 1).unwrap();
    }
}
