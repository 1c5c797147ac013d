//! Products aᵀ(α·a x + β·b), those of normal equations, in one pass over a: while a few of its rows are in a near cache,
//! what they make of x is multiplied by them again.

#[cfg(target_arch = "x86_64")]
use crate::bilinear::Registers;
use crate::bilinear::{Real, threads};
use crate::error::{Error, Result};
use crate::registers::{Job, dispatch};

/// Columns of x at most.
pub const MOST_COLUMNS: usize = 4;
/// Rows that are read together at most.
#[cfg(target_arch = "x86_64")]
const TOGETHER: usize = 8;
/// Bytes of the rows that are read together at most: they are to stay in a cache of one core.
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 1 << 18;
/// Elements of a row by x that are summed in their own type.
const PART: usize = 4096;
/// Rows whose multiples are summed in their own type.
const FLUSHED: usize = 64;
/// Below so many elements of a, a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 16;

/// A matrix, twice, and what is between.
#[derive(Debug, Clone, Copy)]
pub struct NormalProduct<'a, T> {
    /// The matrix, row by row.
    pub a: &'a [T],
    /// Its rows and its columns, which are the rows of x.
    pub extents: (usize, usize),
    /// The matrix that it is multiplied by, row by row.
    pub x: &'a [T],
    /// The columns of x, of b and of the result: [`MOST_COLUMNS`] at most.
    pub columns: usize,
    /// What is added between the two products, row by row, and β.
    pub shift: Option<(&'a [T], f64)>,
    /// α.
    pub factor: f64,
}

impl<T: Real> NormalProduct<'_, T> {
    /// Writes the result's rows, as many as a has columns, with so many threads at most.
    ///
    /// # Errors
    /// The slices are not of these extents, or there are too many columns.
    pub fn write(&self, result: &mut [T], threads: usize) -> Result<()> {
        let ((m, n), k) = (self.extents, self.columns);
        let shift = self.shift.map_or(m * k, |(b, _)| b.len());
        if k > MOST_COLUMNS
            || [self.a.len(), self.x.len(), result.len(), shift] != [m * n, n * k, n * k, m * k]
        {
            return Err(Error::new(format!(
                "normal product of {m} by {n} with {k} columns: the lengths do not fit, or there are more than {MOST_COLUMNS}"
            )));
        }
        if m * n * k == 0 {
            result.fill(T::ZERO);
            return Ok(());
        }
        let count = threads.min(m * n / WORTH_A_THREAD).max(1);
        let share = m.div_ceil(count);
        let mut totals = vec![vec![0.0f64; n * k]; m.div_ceil(share)];
        threads::each(totals.iter_mut(), |number, total| {
            dispatch(Rows {
                of: *self,
                rows: number * share..m.min((number + 1) * share),
                total,
            });
        });
        for (i, row) in result.chunks_exact_mut(k).enumerate() {
            for (column, element) in row.iter_mut().enumerate() {
                let sum: f64 = totals.iter().map(|total| total[column * n + i]).sum();
                *element = T::from_f64(sum);
            }
        }
        Ok(())
    }

    /// α·p + β·b at a row and a column, where p is the product there.
    #[inline(always)]
    fn between(&self, product: f64, row: usize, column: usize) -> T {
        // The product is rounded, as it would be were it written.
        let product: f64 = T::from_f64(product).into();
        let shifted = self.factor * product
            + self.shift.map_or(0.0, |(b, beta)| {
                let b: f64 = b[row * self.columns + column].into();
                beta * b
            });
        T::from_f64(shifted)
    }
}

/// Some of the rows.
struct Rows<'a, T> {
    of: NormalProduct<'a, T>,
    rows: std::ops::Range<usize>,
    /// What they make of the result, column by column.
    total: &'a mut [f64],
}

impl<T: Real> Job for Rows<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: the processor has the registers that the job runs in.
            unsafe {
                match (BITS, self.of.columns) {
                    (512, 1) => return self.in_registers::<T::Whole, TOGETHER, 1>(),
                    (512, 2) => return self.in_registers::<T::Whole, TOGETHER, 2>(),
                    (512, 3) => return self.in_registers::<T::Whole, 4, 3>(),
                    (512, 4) => return self.in_registers::<T::Whole, 4, 4>(),
                    (256, 1) => return self.in_registers::<T::Half, TOGETHER, 1>(),
                    (256, 2) => return self.in_registers::<T::Half, 4, 2>(),
                    (256, 3) => return self.in_registers::<T::Half, 2, 3>(),
                    (256, 4) => return self.in_registers::<T::Half, 2, 4>(),
                    _ => {}
                }
            }
        }
        self.one_by_one();
    }
}

impl<T: Real> Rows<'_, T> {
    /// Without registers.
    #[inline(always)]
    fn one_by_one(self) {
        let Self { of, rows, total } = self;
        let (n, k) = (of.extents.1, of.columns);
        for row in rows {
            let elements = &of.a[row * n..][..n];
            for column in 0..k {
                let product: f64 = elements
                    .iter()
                    .zip(of.x.iter().skip(column).step_by(k))
                    .map(|(&a, &x)| Into::<f64>::into(a) * Into::<f64>::into(x))
                    .sum();
                let factor: f64 = of.between(product, row, column).into();
                for (sum, &a) in total[column * n..][..n].iter_mut().zip(elements) {
                    *sum += factor * Into::<f64>::into(a);
                }
            }
        }
    }

    /// So many rows together and columns of x.
    ///
    /// # Safety
    /// The processor must have the registers.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn in_registers<R: Registers<Element = T>, const ROWS: usize, const COLUMNS: usize>(
        self,
    ) {
        let Self { of, rows, total } = self;
        let n = of.extents.1;
        // Columns lie together.
        let mut x = vec![T::ZERO; n * COLUMNS];
        for (i, row) in of.x.chunks_exact(COLUMNS).enumerate() {
            for (column, &element) in row.iter().enumerate() {
                x[column * n + i] = element;
            }
        }
        let mut sums = vec![T::ZERO; n * COLUMNS];
        let few = ROWS * n * size_of::<T>() > NEAR;
        let (mut row, mut summed) = (rows.start, 0);
        while row < rows.end {
            let count = if few || rows.end - row < ROWS {
                1
            } else {
                ROWS
            };
            let follows = row + 2 * count <= rows.end;
            let ahead = if follows { count * n } else { 0 };
            // SAFETY: as the caller vouches; `count` rows of n elements begin at `from`, and as many `ahead` of it.
            unsafe {
                let from = of.a.as_ptr().add(row * n);
                if count == ROWS {
                    block::<R, ROWS, COLUMNS>(&of, row, from, ahead, &x, &mut sums);
                } else {
                    block::<R, 1, COLUMNS>(&of, row, from, ahead, &x, &mut sums);
                }
            }
            row += count;
            summed += count;
            if summed >= FLUSHED || row == rows.end {
                for (total, sum) in total.iter_mut().zip(&mut sums) {
                    *total += Into::<f64>::into(*sum);
                    *sum = T::ZERO;
                }
                summed = 0;
            }
        }
    }
}

/// Multiplies so many rows by x, and adds their multiples by what is made of that to the sums. Columns of x and of the
/// sums are n elements each. Memory `ahead` of each row is asked for meanwhile.
///
/// # Safety
/// The processor must have the registers, there must be `ROWS` rows of n elements at `from`, and as many `ahead` of it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "arrays that iterators take by value go through memory"
)]
unsafe fn block<R: Registers, const ROWS: usize, const COLUMNS: usize>(
    of: &NormalProduct<'_, R::Element>,
    row: usize,
    from: *const R::Element,
    ahead: usize,
    x: &[R::Element],
    sums: &mut [R::Element],
) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

    let n = of.extents.1;
    let whole = n / R::LANES * R::LANES;
    let mut products = [[0.0f64; COLUMNS]; ROWS];
    // SAFETY: as the function asks; registers are loaded before `whole`, elements before n.
    unsafe {
        let mut lanes = [R::Element::ZERO; 16];
        for start in (0..whole).step_by(PART) {
            let mut parts = [[R::splat(R::Element::ZERO); COLUMNS]; ROWS];
            let mut i = start;
            while i < whole.min(start + PART) {
                let mut factors = [R::splat(R::Element::ZERO); COLUMNS];
                for column in 0..COLUMNS {
                    factors[column] = R::load(x.as_ptr().add(column * n + i));
                }
                for r in 0..ROWS {
                    let elements = R::load(from.add(r * n + i));
                    for column in 0..COLUMNS {
                        parts[r][column] = R::plus(parts[r][column], elements, factors[column]);
                    }
                }
                i += R::LANES;
            }
            for r in 0..ROWS {
                for column in 0..COLUMNS {
                    R::store(lanes.as_mut_ptr(), parts[r][column]);
                    for lane in &lanes[..R::LANES] {
                        products[r][column] += Into::<f64>::into(*lane);
                    }
                }
            }
        }
        let mut factors = [[R::Element::ZERO; COLUMNS]; ROWS];
        for r in 0..ROWS {
            for column in 0..COLUMNS {
                for i in whole..n {
                    products[r][column] += (*from.add(r * n + i) * x[column * n + i]).into();
                }
                factors[r][column] = of.between(products[r][column], row + r, column);
            }
        }
        let mut multiples = [[R::splat(R::Element::ZERO); COLUMNS]; ROWS];
        for r in 0..ROWS {
            for column in 0..COLUMNS {
                multiples[r][column] = R::splat(factors[r][column]);
            }
        }
        let mut i = 0;
        while i < whole {
            let mut totals = [R::splat(R::Element::ZERO); COLUMNS];
            for column in 0..COLUMNS {
                totals[column] = R::load(sums.as_ptr().add(column * n + i));
            }
            for r in 0..ROWS {
                let at = from.add(r * n + i);
                _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(ahead).cast());
                let elements = R::load(at);
                for column in 0..COLUMNS {
                    totals[column] = R::plus(totals[column], elements, multiples[r][column]);
                }
            }
            for column in 0..COLUMNS {
                R::store(sums.as_mut_ptr().add(column * n + i), totals[column]);
            }
            i += R::LANES;
        }
        for r in 0..ROWS {
            for column in 0..COLUMNS {
                for i in whole..n {
                    sums[column * n + i] += *from.add(r * n + i) * factors[r][column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that sums are exact in any order.
    fn numbers<T: Real>(count: usize, modulus: usize) -> Vec<T> {
        let number = |i: usize| T::from_f64((i % modulus) as f64 - (modulus / 2) as f64);
        (0..count).map(number).collect()
    }

    fn check<T: Real + PartialEq + std::fmt::Debug>(m: usize, n: usize, k: usize, shifted: bool) {
        let (a, x, b) = (
            numbers::<T>(m * n, 7),
            numbers::<T>(n * k, 5),
            numbers::<T>(m * k, 3),
        );
        let number = |x: T| -> f64 { x.into() };
        let mut wanted = vec![T::ZERO; n * k];
        for column in 0..k {
            for row in 0..m {
                let product: f64 = (0..n)
                    .map(|i| number(a[row * n + i]) * number(x[i * k + column]))
                    .sum();
                let shift = 2.0 * number(b[row * k + column]);
                let factor = T::from_f64(-product + if shifted { shift } else { 0.0 });
                for i in 0..n {
                    wanted[i * k + column] += factor * a[row * n + i];
                }
            }
        }
        let product = NormalProduct {
            a: &a,
            extents: (m, n),
            x: &x,
            columns: k,
            shift: shifted.then_some((&b, 2.0)),
            factor: -1.0,
        };
        for threads in [1, 2] {
            let mut result = vec![T::from_f64(f64::NAN); n * k];
            product.write(&mut result, threads).unwrap();
            assert_eq!(result, wanted, "{m} by {n} with {k} columns");
        }
    }

    #[test]
    fn products_of_any_extents() {
        for (m, n) in [(0, 3), (3, 0), (1, 1), (7, 40), (300, 517), (19, 9000)] {
            for k in 0..=MOST_COLUMNS {
                check::<f32>(m, n, k, k % 2 == 0);
                check::<f64>(m, n, k, k % 2 == 1);
            }
        }
    }

    /// So long that eight of them are not near.
    #[test]
    fn few_long_rows() {
        check::<f32>(9, 70_000, 2, true);
    }

    #[test]
    fn thousands_of_rows_err_like_dozens() {
        let (m, n) = (1 << 14, 64);
        let (a, x) = (vec![1.1f32; m * n], vec![0.1f32; n]);
        let product = NormalProduct {
            a: &a,
            extents: (m, n),
            x: &x,
            columns: 1,
            shift: None,
            factor: 1.0,
        };
        let mut result = vec![0.0; n];
        product.write(&mut result, 2).unwrap();
        let number = |x: f32| f64::from(x);
        let wanted = (m * n) as f64 * number(1.1) * number(1.1) * number(0.1);
        let error = (number(result[0]) / wanted - 1.0).abs();
        assert!(error < 1e-6, "{error}");
    }

    #[test]
    fn lengths_and_columns_are_checked() {
        let product = NormalProduct {
            a: &[1.0f32; 6],
            extents: (2, 3),
            x: &[1.0; 3],
            columns: 1,
            shift: None,
            factor: 1.0,
        };
        assert!(product.write(&mut [0.0; 2], 1).is_err());
        let shift = Some((&[1.0f32][..], 1.0));
        assert!(
            NormalProduct { shift, ..product }
                .write(&mut [0.0; 3], 1)
                .is_err()
        );
        let (x, columns) = (&[1.0; 15][..], 5);
        assert!(
            NormalProduct {
                x,
                columns,
                ..product
            }
            .write(&mut [0.0; 15], 1)
            .is_err()
        );
    }
}
