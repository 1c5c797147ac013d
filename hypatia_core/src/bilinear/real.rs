//! The element types of rows, and the registers that hold them.

use std::ops::{Add, AddAssign, Mul, Neg};

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
#[cfg(target_arch = "x86_64")]
use std::marker::PhantomData;

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
    + Tiles
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

/// How many elements registers hold.
pub trait Lanes: Sized {
    /// Of one of 256 bits.
    const LANES: usize = 32 / size_of::<Self>();
    /// Rows and columns of the small tiles that are transposed in registers.
    const SMALL: usize = 4;

    /// Of one of so many bits; plain code lays its numbers out as registers of 256 bits do.
    #[inline(always)]
    fn lanes(bits: usize) -> usize {
        if bits >= 512 {
            2 * Self::LANES
        } else {
            Self::LANES
        }
    }
}

impl Lanes for f32 {}
impl Lanes for f64 {}

/// On other processors there is nothing to it: plain code is all there is.
#[cfg(not(target_arch = "x86_64"))]
pub trait Tiles: Lanes {}

#[cfg(not(target_arch = "x86_64"))]
impl<T: Lanes> Tiles for T {}

/// An element's registers, and tiles of it that are transposed in them.
#[cfg(target_arch = "x86_64")]
pub trait Tiles: Lanes {
    /// Of 256 bits.
    type Half: Registers<Element = Self>;
    /// Of 512 bits.
    type Whole: Registers<Element = Self>;

    /// A square tile of `LANES` transposed; strides count elements between the starts of rows.
    ///
    /// # Safety
    /// The processor must have AVX2, and memory at both addresses must hold so many rows.
    unsafe fn transpose(from: *const Self, stride: usize, to: *mut Self, to_stride: usize);
    /// The same of `SMALL`.
    ///
    /// # Safety
    /// As [`Tiles::transpose`].
    unsafe fn transpose_small(from: *const Self, stride: usize, to: *mut Self, to_stride: usize);
}

#[cfg(target_arch = "x86_64")]
impl Tiles for f32 {
    type Half = Half<Self>;
    type Whole = Whole<Self>;
    #[inline(always)]
    unsafe fn transpose(from: *const Self, stride: usize, to: *mut Self, to_stride: usize) {
        // SAFETY: as the trait asks.
        unsafe { transpose_eight(from, stride, to, to_stride) }
    }
    #[inline(always)]
    unsafe fn transpose_small(from: *const Self, stride: usize, to: *mut Self, to_stride: usize) {
        // SAFETY: as the trait asks.
        unsafe { transpose_quarter(from, stride, to, to_stride) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Tiles for f64 {
    type Half = Half<Self>;
    type Whole = Whole<Self>;
    #[inline(always)]
    unsafe fn transpose(from: *const Self, stride: usize, to: *mut Self, to_stride: usize) {
        // SAFETY: as the trait asks.
        unsafe { transpose_four(from, stride, to, to_stride) }
    }
    #[inline(always)]
    unsafe fn transpose_small(from: *const Self, stride: usize, to: *mut Self, to_stride: usize) {
        // SAFETY: as the trait asks.
        unsafe { transpose_four(from, stride, to, to_stride) }
    }
}

/// Registers of one width.
///
/// # Safety
/// All of it: the processor must have AVX2 and FMA, for 512 bits AVX-512 F and DQ, and memory at an address must hold so
/// many elements.
#[cfg(target_arch = "x86_64")]
pub trait Registers {
    /// What they hold.
    type Element: Real;
    /// A register.
    type Register: Copy;
    /// How many elements it holds.
    const LANES: usize;
    /// One number in all elements.
    unsafe fn splat(value: Self::Element) -> Self::Register;
    /// The elements at an address.
    unsafe fn load(from: *const Self::Element) -> Self::Register;
    /// Half a register of elements at an address, twice.
    unsafe fn load_half(from: *const Self::Element) -> Self::Register;
    /// A quarter of a register of elements at an address, four times.
    unsafe fn load_quarter(from: *const Self::Element) -> Self::Register;
    /// Writes the elements to an address.
    unsafe fn store(to: *mut Self::Element, value: Self::Register);
    /// a·b.
    unsafe fn product(a: Self::Register, b: Self::Register) -> Self::Register;
    /// c + a·b, rounded once.
    unsafe fn plus(c: Self::Register, a: Self::Register, b: Self::Register) -> Self::Register;
    /// c − a·b, rounded once.
    unsafe fn minus(c: Self::Register, a: Self::Register, b: Self::Register) -> Self::Register;
}

/// Registers of 256 bits.
#[cfg(target_arch = "x86_64")]
pub struct Half<T>(PhantomData<T>);

/// Registers of 512 bits.
#[cfg(target_arch = "x86_64")]
pub struct Whole<T>(PhantomData<T>);

#[cfg(target_arch = "x86_64")]
macro_rules! registers {
    ($width:ident<$element:ty>, $register:ty, $splat:ident, $load:ident, $half:ident, $quarter:ident, $store:ident,
     $product:ident, $plus:ident, $minus:ident) => {
        // SAFETY: all of these are what the trait's section on safety asks for.
        impl Registers for $width<$element> {
            type Element = $element;
            type Register = $register;
            const LANES: usize = size_of::<$register>() / size_of::<$element>();
            #[inline(always)]
            unsafe fn splat(value: $element) -> $register {
                unsafe { $splat(value) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> $register {
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn load_half(from: *const $element) -> $register {
                unsafe { $half(from) }
            }
            #[inline(always)]
            unsafe fn load_quarter(from: *const $element) -> $register {
                unsafe { $quarter(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut $element, value: $register) {
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
        }
    };
}

#[cfg(target_arch = "x86_64")]
registers!(
    Half<f32>,
    __m256,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    four_twice,
    two_four_times,
    _mm256_storeu_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps
);
#[cfg(target_arch = "x86_64")]
registers!(
    Half<f64>,
    __m256d,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    pair_twice,
    one_four_times,
    _mm256_storeu_pd,
    _mm256_mul_pd,
    _mm256_fmadd_pd,
    _mm256_fnmadd_pd
);
#[cfg(target_arch = "x86_64")]
registers!(
    Whole<f32>,
    __m512,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    eight_twice,
    four_four_times,
    _mm512_storeu_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    _mm512_fnmadd_ps
);
#[cfg(target_arch = "x86_64")]
registers!(
    Whole<f64>,
    __m512d,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    quartet_twice,
    pair_four_times,
    _mm512_storeu_pd,
    _mm512_mul_pd,
    _mm512_fmadd_pd,
    _mm512_fnmadd_pd
);

/// Four elements, twice.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn four_twice(from: *const f32) -> __m256 {
    // SAFETY: as the trait asks.
    unsafe { _mm256_set_m128(_mm_loadu_ps(from), _mm_loadu_ps(from)) }
}

/// Two elements, four times.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn two_four_times(from: *const f32) -> __m256 {
    // SAFETY: as the trait asks.
    unsafe { _mm256_castpd_ps(_mm256_set1_pd(from.cast::<f64>().read_unaligned())) }
}

/// Two elements, twice.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn pair_twice(from: *const f64) -> __m256d {
    // SAFETY: as the trait asks.
    unsafe { _mm256_set_m128d(_mm_loadu_pd(from), _mm_loadu_pd(from)) }
}

/// One element, four times.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn one_four_times(from: *const f64) -> __m256d {
    // SAFETY: as the trait asks.
    unsafe { _mm256_set1_pd(*from) }
}

/// Eight elements, twice.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn eight_twice(from: *const f32) -> __m512 {
    // SAFETY: as the trait asks.
    unsafe { _mm512_broadcast_f32x8(_mm256_loadu_ps(from)) }
}

/// Four elements, four times.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn four_four_times(from: *const f32) -> __m512 {
    // SAFETY: as the trait asks.
    unsafe { _mm512_broadcast_f32x4(_mm_loadu_ps(from)) }
}

/// Four elements, twice.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn quartet_twice(from: *const f64) -> __m512d {
    // SAFETY: as the trait asks.
    unsafe { _mm512_broadcast_f64x4(_mm256_loadu_pd(from)) }
}

/// Two elements, four times.
///
/// # Safety
/// As [`Registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn pair_four_times(from: *const f64) -> __m512d {
    // SAFETY: as the trait asks.
    unsafe { _mm512_broadcast_f64x2(_mm_loadu_pd(from)) }
}
/// Eight rows of eight.
///
/// # Safety
/// As [`Tiles::transpose`].
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
/// As [`Tiles::transpose_small`].
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
/// As [`Tiles::transpose`].
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
