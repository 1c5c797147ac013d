//! The sums of a tile along one axis: from pixels to points, and from points to positions.

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Numbers of as many channels as a register holds. Sums that are written element by element the compiler unrolls before
/// it finds that they fit registers.
pub(super) trait Vector: Copy {
    /// How many, of which a line has a multiple.
    const LANES: usize;

    /// The same number everywhere.
    ///
    /// # Safety
    /// The processor has such registers; so for all that follows.
    unsafe fn of(number: f32) -> Self;
    /// # Safety
    /// There are so many numbers.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// There is room for so many numbers.
    unsafe fn store(self, to: *mut f32);
    /// # Safety
    /// As for `of`.
    unsafe fn plus(self, other: Self) -> Self;
    /// # Safety
    /// As for `of`.
    unsafe fn minus(self, other: Self) -> Self;
    /// This and so many times another.
    ///
    /// # Safety
    /// As for `of`.
    unsafe fn plus_times(self, factor: f32, other: Self) -> Self;
}

impl Vector for f32 {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn of(number: f32) -> Self {
        number
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller vouches.
        unsafe { *from }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller vouches.
        unsafe { *to = self };
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    unsafe fn minus(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    unsafe fn plus_times(self, factor: f32, other: Self) -> Self {
        self + factor * other
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! registers {
    ($($name:ident $lanes:literal $set:ident $load:ident $store:ident $plus:ident $minus:ident $times:ident;)*) => {$(
        impl Vector for std::arch::x86_64::$name {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn of(number: f32) -> Self {
                // SAFETY: as the caller vouches; so below.
                unsafe { std::arch::x86_64::$set(number) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: as above.
                unsafe { std::arch::x86_64::$load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: as above.
                unsafe { std::arch::x86_64::$store(to, self) };
            }

            #[inline(always)]
            unsafe fn plus(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { std::arch::x86_64::$plus(self, other) }
            }

            #[inline(always)]
            unsafe fn minus(self, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { std::arch::x86_64::$minus(self, other) }
            }

            #[inline(always)]
            unsafe fn plus_times(self, factor: f32, other: Self) -> Self {
                // SAFETY: as above.
                unsafe { std::arch::x86_64::$times(Self::of(factor), other, self) }
            }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
registers! {
    __m512 16 _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_fmadd_ps;
    __m256 8 _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_fmadd_ps;
}

/// Values at the points of a polynomial's multiples that belong to these pixels of a line.
///
/// # Safety
/// The processor has the vectors.
#[inline(always)]
pub(super) unsafe fn at_points<V: Vector, const N: usize>(d: [V; N]) -> [V; N] {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut to = [V::of(0.0); N];
        if N == 4 {
            to[0] = d[0].minus(d[2]);
            to[1] = d[1].plus(d[2]);
            to[2] = d[2].minus(d[1]);
            to[3] = d[1].minus(d[3]);
        } else {
            let (zero, even) = (V::of(0.0), d[4].plus_times(-2.0, d[2]));
            let odd = zero
                .plus_times(FRAC_1_SQRT_2, d[3])
                .plus_times(-SQRT_2, d[1]);
            let far_even = d[4].plus_times(-0.5, d[2]);
            let far_odd = zero
                .plus_times(SQRT_2, d[3])
                .plus_times(-FRAC_1_SQRT_2, d[1]);
            to[0] = d[0].plus_times(-2.5, d[2]).plus(d[4]);
            to[1] = even.plus(odd);
            to[2] = even.minus(odd);
            to[3] = far_even.plus(far_odd);
            to[4] = far_even.minus(far_odd);
            to[5] = d[1].plus_times(-2.5, d[3]).plus(d[5]);
        }
        to
    }
}

/// What the positions of a line come to, of products at the points.
///
/// # Safety
/// The processor has the vectors.
#[inline(always)]
pub(super) unsafe fn at_positions<V: Vector, const M: usize, const N: usize>(m: [V; N]) -> [V; M] {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut to = [V::of(0.0); M];
        let (even, odd) = (m[1].plus(m[2]), m[1].minus(m[2]));
        if N == 4 {
            to[0] = m[0].plus(even);
            to[1] = odd.minus(m[3]);
        } else {
            let (zero, far_even, far_odd) = (V::of(0.0), m[3].plus(m[4]), m[3].minus(m[4]));
            to[0] = m[0].plus(even.plus(far_even));
            to[1] = zero
                .plus_times(FRAC_1_SQRT_2, odd)
                .plus_times(SQRT_2, far_odd);
            to[2] = zero.plus_times(0.5, even).plus_times(2.0, far_even);
            to[3] = m[5]
                .plus_times(0.5 * FRAC_1_SQRT_2, odd)
                .plus_times(2.0 * SQRT_2, far_odd);
        }
        to
    }
}
