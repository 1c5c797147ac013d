//! The element types of rows, and the registers that hold them.

use std::ops::{Add, AddAssign, Mul, Neg};

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A floating type that rows are made of.
pub trait Real:
    Copy
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Mul<Output = Self>
    + Neg<Output = Self>
    + Into<f64>
    + Registers
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// The nearest one to a number.
    fn from_f64(x: f64) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    fn from_f64(x: f64) -> Self {
        x as Self
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    fn from_f64(x: f64) -> Self {
        x
    }
}

/// How many elements one register of 256 bits holds.
pub trait Lanes {
    /// That number.
    const LANES: usize;
    /// Rows and columns of the small tiles that are transposed in registers.
    const SMALL: usize = 4;
}

impl Lanes for f32 {
    const LANES: usize = 8;
}

impl Lanes for f64 {
    const LANES: usize = 4;
}

/// Registers of other processors: none, plain code is all there is.
#[cfg(not(target_arch = "x86_64"))]
pub trait Registers: Lanes {}

#[cfg(not(target_arch = "x86_64"))]
impl<T: Lanes> Registers for T {}

/// What is done with registers of 256 bits.
///
/// # Safety
/// All of it: the processor must have AVX2 and FMA, and memory at an address must hold so many elements.
#[cfg(target_arch = "x86_64")]
pub trait Registers: Lanes + Sized {
    /// A register.
    type Register: Copy;
    /// One number in all elements.
    unsafe fn splat(value: Self) -> Self::Register;
    /// The elements at an address.
    unsafe fn load(from: *const Self) -> Self::Register;
    /// Writes the elements to an address.
    unsafe fn store(to: *mut Self, value: Self::Register);
    /// a·b.
    unsafe fn product(a: Self::Register, b: Self::Register) -> Self::Register;
    /// c + a·b, rounded once.
    unsafe fn plus(c: Self::Register, a: Self::Register, b: Self::Register) -> Self::Register;
    /// c − a·b, rounded once.
    unsafe fn minus(c: Self::Register, a: Self::Register, b: Self::Register) -> Self::Register;
    /// A square tile of `LANES` transposed; strides count elements between the starts of rows.
    unsafe fn transpose(from: *const Self, stride: usize, to: *mut Self, to_stride: usize);
    /// The same of `SMALL`.
    unsafe fn transpose_small(from: *const Self, stride: usize, to: *mut Self, to_stride: usize);
}

#[cfg(target_arch = "x86_64")]
macro_rules! registers {
    ($element:ty, $register:ty, $splat:ident, $load:ident, $store:ident, $product:ident, $plus:ident, $minus:ident,
     $tile:ident, $small:ident) => {
        // SAFETY: all of these are what the trait's section on safety asks for.
        impl Registers for $element {
            type Register = $register;
            #[inline(always)]
            unsafe fn splat(value: Self) -> $register {
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(from: *const Self) -> $register {
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut Self, value: $register) {
                unsafe { $store(to, value) }
            }
            #[inline(always)]
            unsafe fn product(a: $register, b: $register) -> $register {
                unsafe { $product(a, b) }
            }
            #[inline(always)]
            unsafe fn plus(c: $register, a: $register, b: $register) -> $register {
                unsafe { $plus(a, b, c) }
            }
            #[inline(always)]
            unsafe fn minus(c: $register, a: $register, b: $register) -> $register {
                unsafe { $minus(a, b, c) }
            }
            #[inline(always)]
            unsafe fn transpose(from: *const Self, stride: usize, to: *mut Self, to_stride: usize) {
                unsafe { $tile(from, stride, to, to_stride) }
            }
            #[inline(always)]
            unsafe fn transpose_small(
                from: *const Self,
                stride: usize,
                to: *mut Self,
                to_stride: usize,
            ) {
                unsafe { $small(from, stride, to, to_stride) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
registers!(
    f32,
    __m256,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps,
    transpose_eight,
    transpose_quarter
);
#[cfg(target_arch = "x86_64")]
registers!(
    f64,
    __m256d,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_mul_pd,
    _mm256_fmadd_pd,
    _mm256_fnmadd_pd,
    transpose_four,
    transpose_four
);

/// Eight rows of eight.
///
/// # Safety
/// As [`Registers::transpose`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_eight(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for eight rows of eight elements, here and there.
    unsafe {
        // Halves of rows r and r + 4 side by side, so that what is left to do stays within halves.
        let halves = |r: usize, offset: usize| {
            let row = |r: usize| _mm_loadu_ps(from.add(r * stride + offset));
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(row(r)), row(r + 4))
        };
        for offset in [0, 4] {
            let (a, b) = (halves(0, offset), halves(1, offset));
            let (c, d) = (halves(2, offset), halves(3, offset));
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ef, gh) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            let column = |c: usize| to.add((offset + c) * to_stride);
            _mm256_storeu_ps(column(0), _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd));
            _mm256_storeu_ps(column(1), _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd));
            _mm256_storeu_ps(column(2), _mm256_shuffle_ps::<0b01_00_01_00>(ef, gh));
            _mm256_storeu_ps(column(3), _mm256_shuffle_ps::<0b11_10_11_10>(ef, gh));
        }
    }
}

/// Four rows of four, half registers.
///
/// # Safety
/// As [`Registers::transpose_small`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_quarter(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for four rows of four elements, here and there.
    unsafe {
        let row = |r: usize| _mm_loadu_ps(from.add(r * stride));
        let (ab, cd) = (
            _mm_unpacklo_ps(row(0), row(1)),
            _mm_unpacklo_ps(row(2), row(3)),
        );
        let (ef, gh) = (
            _mm_unpackhi_ps(row(0), row(1)),
            _mm_unpackhi_ps(row(2), row(3)),
        );
        let column = |c: usize| to.add(c * to_stride);
        _mm_storeu_ps(column(0), _mm_movelh_ps(ab, cd));
        _mm_storeu_ps(column(1), _mm_movehl_ps(cd, ab));
        _mm_storeu_ps(column(2), _mm_movelh_ps(ef, gh));
        _mm_storeu_ps(column(3), _mm_movehl_ps(gh, ef));
    }
}

/// Four rows of four.
///
/// # Safety
/// As [`Registers::transpose`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transpose_four(from: *const f64, stride: usize, to: *mut f64, to_stride: usize) {
    // SAFETY: the caller vouches for four rows of four elements, here and there.
    unsafe {
        let row = |r: usize| _mm256_loadu_pd(from.add(r * stride));
        let (ab, cd) = (
            _mm256_unpacklo_pd(row(0), row(1)),
            _mm256_unpacklo_pd(row(2), row(3)),
        );
        let (ef, gh) = (
            _mm256_unpackhi_pd(row(0), row(1)),
            _mm256_unpackhi_pd(row(2), row(3)),
        );
        let column = |c: usize| to.add(c * to_stride);
        _mm256_storeu_pd(column(0), _mm256_permute2f128_pd::<0x20>(ab, cd));
        _mm256_storeu_pd(column(1), _mm256_permute2f128_pd::<0x20>(ef, gh));
        _mm256_storeu_pd(column(2), _mm256_permute2f128_pd::<0x31>(ab, cd));
        _mm256_storeu_pd(column(3), _mm256_permute2f128_pd::<0x31>(ef, gh));
    }
}
