//! Sums over rows. Of few elements several rows at once, each in a register of its own, which then are added across by a
//! tree that turns them: one row after another, most of the time would go into adding the elements of one register.
//! Of many elements one row at a time, in several registers.

/// Rows of at most so many elements are short.
pub(super) const LONGEST: usize = 128;

/// Rows in memory: where the first begins, and elements from one to the next.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub at: *const f32,
    pub step: usize,
}

impl Operand {
    /// The rows from one on.
    ///
    /// # Safety
    /// There is such a row.
    #[inline(always)]
    unsafe fn from(self, row: usize) -> Self {
        Self {
            // SAFETY: as the caller vouches.
            at: unsafe { self.at.add(row * self.step) },
            ..self
        }
    }
}

/// to[r] = Σ a[r, i], or Σ a[r, i]·b[r, i]; how many rows are done, the first ones: none where `BITS` has no code.
///
/// # Safety
/// There are so many rows of so many elements, at least one, and as many results, which lie apart from them; the
/// processor has registers of `BITS`.
#[inline(always)]
pub(super) unsafe fn of_short_rows<const BITS: usize>(
    a: Operand,
    b: Option<Operand>,
    to: *mut f32,
    rows: usize,
    width: usize,
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if BITS >= 256 {
        let mut row = 0;
        while row < rows {
            let count = rows - row;
            // SAFETY: as the caller vouches.
            unsafe {
                let a = a.from(row);
                #[expect(
                    clippy::manual_map,
                    reason = "a closure would be compiled for any processor"
                )]
                let b = match b {
                    Some(b) => Some(b.from(row)),
                    None => None,
                };
                if BITS >= 512 {
                    sixteen(a, b, to.add(row), count.min(16), width);
                    row += 16;
                } else {
                    eight(a, b, to.add(row), count.min(8), width);
                    row += 8;
                }
            }
        }
        return rows;
    }
    let _ = (a, b, to, width);
    0
}

/// Of up to sixteen rows.
///
/// # Safety
/// As `of_short_rows`; the processor has AVX-512 F and DQ.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn sixteen(a: Operand, b: Option<Operand>, to: *mut f32, rows: usize, width: usize) {
    use std::arch::x86_64::*;
    // SAFETY: as the caller vouches; beyond the last row that one is read again.
    unsafe {
        let mut sums = [_mm512_setzero_ps(); 16];
        let mut column = 0;
        while column < width {
            let left = width - column;
            let mask = if left >= 16 {
                u16::MAX
            } else {
                (1u16 << left) - 1
            };
            match b {
                Some(b) => {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let row = if r < rows { r } else { rows - 1 };
                        let x = _mm512_maskz_loadu_ps(mask, a.at.add(row * a.step + column));
                        let y = _mm512_maskz_loadu_ps(mask, b.at.add(row * b.step + column));
                        *sum = _mm512_fmadd_ps(x, y, *sum);
                    }
                }
                None => {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let row = if r < rows { r } else { rows - 1 };
                        let x = _mm512_maskz_loadu_ps(mask, a.at.add(row * a.step + column));
                        *sum = _mm512_add_ps(x, *sum);
                    }
                }
            }
            column += 16;
        }
        // Each quarter of a register: the sums of two elements of two rows, then of all four of four rows, …
        let mut fours = [_mm512_setzero_ps(); 4];
        for (i, four) in fours.iter_mut().enumerate() {
            let [p, q, r, s] = [
                sums[4 * i],
                sums[4 * i + 1],
                sums[4 * i + 2],
                sums[4 * i + 3],
            ];
            let low = _mm512_add_ps(_mm512_unpacklo_ps(p, q), _mm512_unpackhi_ps(p, q));
            let high = _mm512_add_ps(_mm512_unpacklo_ps(r, s), _mm512_unpackhi_ps(r, s));
            let even = _mm512_shuffle_ps::<0x44>(low, high);
            *four = _mm512_add_ps(even, _mm512_shuffle_ps::<0xee>(low, high));
        }
        // … then the four quarters.
        macro_rules! across {
            ($x:expr, $y:expr) => {
                _mm512_add_ps(
                    _mm512_shuffle_f32x4::<0x88>($x, $y),
                    _mm512_shuffle_f32x4::<0xdd>($x, $y),
                )
            };
        }
        let halves = [across!(fours[0], fours[1]), across!(fours[2], fours[3])];
        let all = across!(halves[0], halves[1]);
        let mask = if rows >= 16 {
            u16::MAX
        } else {
            (1u16 << rows) - 1
        };
        _mm512_mask_storeu_ps(to, mask, all);
    }
}

/// Of up to eight rows.
///
/// # Safety
/// As `of_short_rows`; the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn eight(a: Operand, b: Option<Operand>, to: *mut f32, rows: usize, width: usize) {
    use std::arch::x86_64::*;
    // So many of the last elements are read from the ninth less that many on.
    const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: as the caller vouches; beyond the last row that one is read again.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 8];
        let mut column = 0;
        while column < width {
            let left = (width - column).min(8);
            let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - left).cast());
            match b {
                Some(b) => {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let row = if r < rows { r } else { rows - 1 };
                        let x = _mm256_maskload_ps(a.at.add(row * a.step + column), mask);
                        let y = _mm256_maskload_ps(b.at.add(row * b.step + column), mask);
                        *sum = _mm256_fmadd_ps(x, y, *sum);
                    }
                }
                None => {
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let row = if r < rows { r } else { rows - 1 };
                        let x = _mm256_maskload_ps(a.at.add(row * a.step + column), mask);
                        *sum = _mm256_add_ps(x, *sum);
                    }
                }
            }
            column += 8;
        }
        let mut fours = [_mm256_setzero_ps(); 2];
        for (i, four) in fours.iter_mut().enumerate() {
            let low = _mm256_hadd_ps(sums[4 * i], sums[4 * i + 1]);
            let high = _mm256_hadd_ps(sums[4 * i + 2], sums[4 * i + 3]);
            *four = _mm256_hadd_ps(low, high);
        }
        let even = _mm256_permute2f128_ps::<0x20>(fours[0], fours[1]);
        let all = _mm256_add_ps(even, _mm256_permute2f128_ps::<0x31>(fours[0], fours[1]));
        let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - rows).cast());
        _mm256_maskstore_ps(to, mask, all);
    }
}

/// What of each element of a row is summed.
#[derive(Clone, Copy)]
pub(super) enum Term {
    /// The element.
    Itself,
    /// Its product with another row's, which begins here.
    Times(*const f32),
    /// The square of its distance from a number.
    SquareAbout(f32),
}

/// The sum of so many elements; None where `BITS` has no code.
///
/// # Safety
/// There are so many elements at each place, and the processor has registers of `BITS`.
#[inline(always)]
pub(super) unsafe fn of_row<const BITS: usize>(
    a: *const f32,
    of: Term,
    count: usize,
) -> Option<f32> {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as the caller vouches.
    unsafe {
        if BITS >= 512 {
            return Some(in_wide_registers(a, of, count));
        }
        if BITS >= 256 {
            return Some(in_registers(a, of, count));
        }
    }
    let _ = (a, of, count);
    None
}

#[cfg(target_arch = "x86_64")]
macro_rules! sum_of_row {
    ($name:ident, $lanes:literal, $zero:ident, $one:ident, $load:ident, $add:ident, $sub:ident, $plus:ident, $store:ident,
     $($half:literal)*) => {
        /// # Safety
        /// As `of_row`.
        #[inline(always)]
        unsafe fn $name(a: *const f32, of: Term, count: usize) -> f32 {
            use std::arch::x86_64::*;
            // Sums that do not wait for one another.
            const SIDES: usize = 4;
            // SAFETY: as the caller vouches.
            unsafe {
                let (mut sums, mut at, mut rest) = ([$zero(); SIDES], 0, 0.0f32);
                macro_rules! all {
                    (|$sum:ident, $x:ident| $whole:expr, $y:ident => $single:expr) => {
                        while at + SIDES * $lanes <= count {
                            for (i, $sum) in sums.iter_mut().enumerate() {
                                let $x = at + i * $lanes;
                                *$sum = $whole;
                            }
                            at += SIDES * $lanes;
                        }
                        while at + $lanes <= count {
                            let ($sum, $x) = (&mut sums[0], at);
                            *$sum = $whole;
                            at += $lanes;
                        }
                        while at < count {
                            let $y = at;
                            rest += $single;
                            at += 1;
                        }
                    };
                }
                match of {
                    Term::Itself => {
                        all!(|sum, i| $add(*sum, $load(a.add(i))), i => *a.add(i));
                    }
                    Term::Times(b) => {
                        all!(|sum, i| $plus($load(a.add(i)), $load(b.add(i)), *sum),
                            i => *a.add(i) * *b.add(i));
                    }
                    Term::SquareAbout(centre) => {
                        let wide = $one(centre);
                        all!(|sum, i| {
                            let far = $sub($load(a.add(i)), wide);
                            $plus(far, far, *sum)
                        }, i => (*a.add(i) - centre) * (*a.add(i) - centre));
                    }
                }
                let halves = [$add(sums[0], sums[1]), $add(sums[2], sums[3])];
                let mut few = [0.0f32; $lanes];
                $store(few.as_mut_ptr(), $add(halves[0], halves[1]));
                $(for i in 0..$half {
                    few[i] += few[i + $half];
                })*
                few[0] + rest
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
sum_of_row!(
    in_wide_registers,
    16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps,
    8 4 2 1
);
#[cfg(target_arch = "x86_64")]
sum_of_row!(
    in_registers,
    8,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_fmadd_ps,
    _mm256_storeu_ps,
    4 2 1
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::{Job, dispatch};

    struct Sums<'a> {
        a: Operand,
        b: Option<Operand>,
        to: &'a mut [f32],
        width: usize,
        done: &'a mut usize,
    }

    impl Job for Sums<'_> {
        #[inline(always)]
        fn run<const BITS: usize>(self) {
            let (to, rows) = (self.to.as_mut_ptr(), self.to.len());
            // SAFETY: the tests' rows are so many, and `dispatch` gives what the processor has.
            *self.done = unsafe { of_short_rows::<BITS>(self.a, self.b, to, rows, self.width) };
        }
    }

    /// Whole numbers, so that sums are exact in any order.
    #[test]
    fn rows_of_every_number_and_width() {
        let mut draw = fastrand::Rng::with_seed(3);
        for (rows, width, more) in [
            (1, 1, 0),
            (16, 16, 0),
            (7, 5, 3),
            (33, 17, 1),
            (19, 64, 0),
            (48, 128, 2),
            (9, 31, 5),
        ] {
            // The last row ends where the memory does.
            let count = (rows - 1) * (width + more) + width;
            let mut whole =
                || -> Vec<f32> { (0..count).map(|_| draw.i32(-9..10) as f32).collect() };
            let (a, b) = (whole(), whole());
            let operand = |of: &Vec<f32>| Operand {
                at: of.as_ptr(),
                step: width + more,
            };
            for second in [None, Some(operand(&b))] {
                let (mut to, mut done) = (vec![f32::NAN; rows + 1], 0);
                dispatch(Sums {
                    a: operand(&a),
                    b: second,
                    to: &mut to[..rows],
                    width,
                    done: &mut done,
                });
                assert!(done == rows || (done == 0 && crate::registers::bits() == 0));
                for (r, &sum) in to[..done].iter().enumerate() {
                    let row = r * (width + more)..r * (width + more) + width;
                    let products = row.map(|i| a[i] * second.map_or(1.0, |_| b[i]));
                    assert_eq!(sum, products.sum::<f32>(), "{rows} {width} {r}");
                }
                assert!(to[rows].is_nan());
            }
        }
    }

    struct Row<'a> {
        a: &'a [f32],
        of: Term,
        found: &'a mut Option<f32>,
    }

    impl Job for Row<'_> {
        #[inline(always)]
        fn run<const BITS: usize>(self) {
            // SAFETY: the tests' rows are so long, and `dispatch` gives what the processor has.
            *self.found = unsafe { of_row::<BITS>(self.a.as_ptr(), self.of, self.a.len()) };
        }
    }

    #[test]
    fn long_rows_of_every_term() {
        let mut draw = fastrand::Rng::with_seed(4);
        for count in [1, 7, 16, 65, 131, 768, 4096] {
            let mut whole =
                || -> Vec<f32> { (0..count).map(|_| draw.i32(-9..10) as f32).collect() };
            let (a, b) = (whole(), whole());
            for (of, term) in [
                (Term::Itself, (|x, _| x) as fn(f32, f32) -> f32),
                (Term::Times(b.as_ptr()), |x, y| x * y),
                (Term::SquareAbout(2.0), |x, _| (x - 2.0) * (x - 2.0)),
            ] {
                let mut found = None;
                dispatch(Row {
                    a: &a,
                    of,
                    found: &mut found,
                });
                let wanted: f32 = a.iter().zip(&b).map(|(&x, &y)| term(x, y)).sum();
                assert!(
                    found == Some(wanted) || crate::registers::bits() == 0,
                    "{count}"
                );
            }
        }
    }
}
