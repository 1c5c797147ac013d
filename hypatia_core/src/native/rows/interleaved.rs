//! Views that are interleaved, the parts of complex numbers or of multivectors for instance: what lies together in
//! memory is read and written together, turned in registers.

use super::Access;
use super::registers::{Register, Shape};
use crate::native::buffer::Kind;

/// Places that are turned at once, by so many lines.
pub(super) const PLACES: usize = 4;
#[cfg(target_arch = "x86_64")]
const LINES: usize = 8;

/// Accesses by these numbers, those together whose elements lie side by side: each bundle from its first place on.
pub(super) fn bundles(
    numbers: impl Iterator<Item = usize>,
    accesses: &[Access],
) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut order: Vec<usize> = numbers.collect();
    order.sort_by_key(|&number| {
        let way = &accesses[number].way;
        (way.buffer, way.offset)
    });
    for number in order {
        let next = found.iter_mut().find(|bundle| {
            let (first, last) = (bundle[0], bundle[bundle.len() - 1]);
            // No longer than the distance of its elements, or it would meet its own next line.
            bundle.len() < accesses[first].way.column
                && is_beside(&accesses[last], &accesses[number])
        });
        match next {
            Some(bundle) => bundle.push(number),
            None => found.push(vec![number]),
        }
    }
    // Fewer than a tile are as quick one by one.
    let (mut kept, few): (Vec<_>, Vec<_>) = found.into_iter().partition(|one| one.len() >= PLACES);
    kept.extend(one_by_one(few.into_iter().flatten()));
    kept
}

/// A bundle as it is, or one by one where its registers do not hold a number for each column alike.
pub(super) fn of_one_shape(
    bundle: Vec<usize>,
    accesses: &[Access],
    registers: &[Register],
) -> Vec<Vec<usize>> {
    let shape = |&number: &usize| registers[accesses[number].register].shape;
    let first = bundle.first().map(shape);
    let wide = matches!(first, Some(Shape::Full | Shape::PerColumn));
    if wide && bundle.iter().all(|number| Some(shape(number)) == first) {
        return vec![bundle];
    }
    one_by_one(bundle).collect()
}

fn one_by_one(numbers: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Vec<usize>> {
    numbers.into_iter().map(|number| vec![number])
}

/// Whether each element of an access is one after that of another.
fn is_beside(one: &Access, other: &Access) -> bool {
    let (a, b) = (&one.way, &other.way);
    one.kind == Kind::Float32
        && other.kind == Kind::Float32
        && a.buffer == b.buffer
        && a.offset + 1 == b.offset
        && a.column == b.column
        && a.row == b.row
        && a.outer == b.outer
}

/// Reads one row of each of up to four views that are interleaved, so many elements `step` apart.
///
/// # Safety
/// The lines begin in memory, which has them, and registers hold so many elements.
#[inline(always)]
pub(super) unsafe fn read<const BITS: usize>(
    from: *const f32,
    step: usize,
    registers: &[*mut f32],
    width: usize,
) {
    let mut done = 0;
    // SAFETY: as the caller vouches.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256
            && let &[a, b, c, d] = registers
        {
            done = width / LINES * LINES;
            for line in (0..done).step_by(LINES) {
                read_tile(from.add(line * step), step, [a, b, c, d], line);
            }
        }
        for (place, &to) in registers.iter().enumerate() {
            for line in done..width {
                *to.add(line) = *from.add(line * step + place);
            }
        }
    }
}

/// Writes one row of each of up to four views that are interleaved.
///
/// # Safety
/// As `read`.
#[inline(always)]
pub(super) unsafe fn write<const BITS: usize>(
    to: *mut f32,
    step: usize,
    registers: &[*mut f32],
    width: usize,
) {
    let mut done = 0;
    // SAFETY: as the caller vouches.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256
            && let &[a, b, c, d] = registers
        {
            done = width / LINES * LINES;
            for line in (0..done).step_by(LINES) {
                write_tile(to.add(line * step), step, [a, b, c, d], line);
            }
        }
        for (place, &from) in registers.iter().enumerate() {
            for line in done..width {
                *to.add(line * step + place) = *from.add(line);
            }
        }
    }
}

/// Eight lines of four places, to four registers from this element on.
///
/// # Safety
/// The processor has AVX; there are so many lines and elements.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn read_tile(from: *const f32, step: usize, to: [*mut f32; PLACES], at: usize) {
    use std::arch::x86_64::*;
    // SAFETY: as the caller vouches.
    unsafe {
        // Lines l and l + 4 side by side, so that what is left to do stays within halves.
        let halves = |l: usize| {
            let line = |l: usize| _mm_loadu_ps(from.add(l * step));
            _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(line(l)), line(l + 4))
        };
        let (a, b, c, d) = (halves(0), halves(1), halves(2), halves(3));
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ef, gh) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        _mm256_storeu_ps(to[0].add(at), _mm256_shuffle_ps::<0x44>(ab, cd));
        _mm256_storeu_ps(to[1].add(at), _mm256_shuffle_ps::<0xee>(ab, cd));
        _mm256_storeu_ps(to[2].add(at), _mm256_shuffle_ps::<0x44>(ef, gh));
        _mm256_storeu_ps(to[3].add(at), _mm256_shuffle_ps::<0xee>(ef, gh));
    }
}

/// The inverse of `read_tile`.
///
/// # Safety
/// As `read_tile`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn write_tile(to: *mut f32, step: usize, from: [*mut f32; PLACES], at: usize) {
    use std::arch::x86_64::*;
    // SAFETY: as the caller vouches.
    unsafe {
        let (a, b) = (
            _mm256_loadu_ps(from[0].add(at)),
            _mm256_loadu_ps(from[1].add(at)),
        );
        let (c, d) = (
            _mm256_loadu_ps(from[2].add(at)),
            _mm256_loadu_ps(from[3].add(at)),
        );
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ef, gh) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        let lines = [
            _mm256_shuffle_ps::<0x44>(ab, cd),
            _mm256_shuffle_ps::<0xee>(ab, cd),
            _mm256_shuffle_ps::<0x44>(ef, gh),
            _mm256_shuffle_ps::<0xee>(ef, gh),
        ];
        for (l, line) in lines.into_iter().enumerate() {
            _mm_storeu_ps(to.add(l * step), _mm256_castps256_ps128(line));
            _mm_storeu_ps(to.add((l + 4) * step), _mm256_extractf128_ps::<1>(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::{Job, dispatch};

    /// Takes a bundle apart and puts it together again.
    struct Round<'a> {
        from: &'a [f32],
        to: &'a mut [f32],
        parts: &'a mut [Vec<f32>],
        step: usize,
        width: usize,
    }

    impl Job for Round<'_> {
        #[inline(always)]
        fn run<const BITS: usize>(self) {
            let Self {
                from,
                to,
                parts,
                step,
                width,
            } = self;
            for (parts, first) in parts.chunks_mut(PLACES).zip((0..).step_by(PLACES)) {
                let registers: Vec<*mut f32> = parts.iter_mut().map(Vec::as_mut_ptr).collect();
                // SAFETY: both slices have `width` lines `step` apart, and each part `width` elements.
                unsafe {
                    read::<BITS>(from.as_ptr().add(first), step, &registers, width);
                    write::<BITS>(to.as_mut_ptr().add(first), step, &registers, width);
                }
            }
        }
    }

    #[test]
    fn what_is_taken_apart_is_put_together_again() {
        for (places, step) in [(4, 4), (5, 8), (8, 8), (8, 11), (9, 16)] {
            for width in [1, 7, 8, 9, 40] {
                let length = width * step;
                let from: Vec<f32> = (0..length).map(|at| at as f32).collect();
                let mut to = vec![-1.0; length];
                let mut parts = vec![vec![f32::NAN; width]; places];
                dispatch(Round {
                    from: &from,
                    to: &mut to,
                    parts: &mut parts,
                    step,
                    width,
                });
                for (at, &value) in to.iter().enumerate() {
                    let (line, place) = (at / step, at % step);
                    if place < places {
                        assert_eq!((value, parts[place][line]), (from[at], from[at]));
                    } else {
                        assert_eq!(value, -1.0);
                    }
                }
            }
        }
    }
}
