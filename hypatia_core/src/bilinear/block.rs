//! One block of rows, turned so that one place of all its rows lies together: each term is then one multiply-add
//! over whole registers, whatever the table.

use super::aligned::Aligned;
use super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::real::Registers;
use super::{Bilinear, Group};

/// Registers of 256 bits that one place of a block takes.
const HALVES: usize = 8;
/// Registers of 512 bits.
#[cfg(target_arch = "x86_64")]
const WHOLES: usize = HALVES / 2;

/// Rows of one block of elements of this type.
pub(super) const fn rows<T: Real>() -> usize {
    HALVES * T::LANES
}

/// The memory that a block is turned into.
pub(super) struct Scratch<T> {
    pub(super) x: Aligned<T>,
    pub(super) y: Aligned<T>,
    pub(super) result: Aligned<T>,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new([n, m, p]: [usize; 3]) -> Self {
        let of = |width: usize| Aligned::zeros(width * rows::<T>());
        Self {
            x: of(n),
            y: of(m),
            result: of(p),
        }
    }
}

/// The weights of a block: that of slot w for row r stands at `w · stride + r`.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a, T> {
    pub(super) values: &'a [T],
    pub(super) stride: usize,
}

/// `places[c · block + r] = rows[r · width + c]`; missing rows are zero.
#[inline(always)]
pub(super) fn turn_in<T: Real, const BITS: usize>(from: &[T], width: usize, places: &mut [T]) {
    let (block, count) = (rows::<T>(), from.len() / width.max(1));
    if count < block {
        places.fill(T::ZERO);
    }
    transpose::<T, BITS>(from, width, places, block, [count, width]);
}

/// The inverse of [`turn_in`].
#[inline(always)]
pub(super) fn turn_out<T: Real, const BITS: usize>(places: &[T], width: usize, to: &mut [T]) {
    let (block, count) = (rows::<T>(), to.len() / width.max(1));
    transpose::<T, BITS>(places, block, to, width, [width, count]);
}

/// A matrix of these extents transposed, rows starting `stride` and `to_stride` elements apart: in tiles as large as
/// fit, what no tile covers element by element.
#[inline(always)]
pub(crate) fn transpose<T: Real, const BITS: usize>(
    from: &[T],
    stride: usize,
    to: &mut [T],
    to_stride: usize,
    [height, width]: [usize; 2],
) {
    let (mut r, mut c_done) = (0, 0);
    #[cfg(target_arch = "x86_64")]
    if BITS >= 256 && height > 0 && width > 0 {
        assert!(
            from.len() >= (height - 1) * stride + width
                && to.len() >= (width - 1) * to_stride + height
        );
        let large = height.min(width) >= T::LANES;
        let tile = if large { T::LANES } else { T::SMALL };
        (r, c_done) = (height / tile * tile, width / tile * tile);
        for (row, column) in (0..r)
            .step_by(tile)
            .flat_map(|r| (0..c_done).step_by(tile).map(move |c| (r, c)))
        {
            // SAFETY: the tile lies within both matrices, which lie within their slices; there are registers.
            unsafe {
                let source = from.as_ptr().add(row * stride + column);
                let target = to.as_mut_ptr().add(column * to_stride + row);
                if large {
                    T::transpose(source, stride, target, to_stride);
                } else {
                    T::transpose_small(source, stride, target, to_stride);
                }
            }
        }
    }
    if r == height && c_done == width {
        return;
    }
    for row in 0..height {
        for column in if row < r { c_done } else { 0 }..width {
            to[column * to_stride + row] = from[row * stride + column];
        }
    }
}

/// All places of the result of one block.
#[inline(always)]
pub(super) fn places<T: Real, const BITS: usize>(
    map: &Bilinear,
    scratch: &mut Scratch<T>,
    weights: Option<Weights<'_, T>>,
) {
    let Scratch { x, y, result } = scratch;
    let zeros_count = map.zeros_count();
    let each = result.chunks_exact_mut(rows::<T>()).zip(&map.places);
    for (number, (place, groups)) in each.enumerate() {
        match weights {
            Some(w) if zeros_count => {
                let begin = (map.used.len() + number) * w.stride;
                place.copy_from_slice(&w.values[begin..][..rows::<T>()]);
            }
            _ => place.fill(T::ZERO),
        }
        #[cfg(target_arch = "x86_64")]
        if BITS >= 256 {
            let (x, y, place) = (x.as_ptr(), y.as_ptr(), place.as_mut_ptr());
            // SAFETY: the processor has the registers; a map's terms stand within its widths, for which x and y have
            // a block of places each, and its groups within the weights.
            unsafe {
                if BITS >= 512 {
                    place_in_registers::<T::Whole, WHOLES>(groups, x, y, place, weights);
                } else {
                    place_in_registers::<T::Half, HALVES>(groups, x, y, place, weights);
                }
            };
            continue;
        }
        for group in groups {
            let mut sum = vec![T::ZERO; rows::<T>()];
            add_group(group, x, y, &mut sum);
            for (r, (to, value)) in place.iter_mut().zip(sum).enumerate() {
                let weight = weights.map(|w| w.values[group.slot * w.stride + r]);
                *to += weight.map_or(value, |w| w * value);
            }
        }
    }
}

/// Adds Σ c·xᵢ·yⱼ of one group.
#[inline(always)]
fn add_group<T: Real>(group: &Group, x: &[T], y: &[T], sum: &mut [T]) {
    let block = sum.len();
    for &(left, right, coefficient) in group.plus.iter().chain(&group.minus).chain(&group.others) {
        let (a, b) = (&x[left * block..][..block], &y[right * block..][..block]);
        let c = T::from_f64(coefficient);
        for ((s, &a), &b) in sum.iter_mut().zip(a).zip(b) {
            *s += c * (a * b);
        }
    }
}

/// Adds to one place of the result, its sums in registers throughout.
///
/// # Safety
/// The processor must have the registers, of which `COUNT` are a block; each term's places and each group's weights must
/// be there.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn place_in_registers<R: Registers, const COUNT: usize>(
    groups: &[Group],
    x: *const R::Element,
    y: *const R::Element,
    place: *mut R::Element,
    weights: Option<Weights<'_, R::Element>>,
) {
    // SAFETY: as the function asks; a block is `COUNT` registers.
    unsafe {
        let mut total = [R::splat(R::Element::ZERO); COUNT];
        for (u, total) in total.iter_mut().enumerate() {
            *total = R::load(place.add(u * R::LANES));
        }
        for group in groups {
            let sum = group_in_registers::<R, COUNT>(
                group,
                x,
                y,
                if weights.is_some() { None } else { Some(total) },
            );
            total = match weights {
                None => sum,
                Some(w) => {
                    let weight = w.values.as_ptr().add(group.slot * w.stride);
                    for u in 0..COUNT {
                        total[u] = R::plus(total[u], sum[u], R::load(weight.add(u * R::LANES)));
                    }
                    total
                }
            };
        }
        for (u, value) in total.into_iter().enumerate() {
            R::store(place.add(u * R::LANES), value);
        }
    }
}

/// Σ c·xᵢ·yⱼ of one group, added to what is given.
///
/// # Safety
/// As [`place_in_registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn group_in_registers<R: Registers, const COUNT: usize>(
    group: &Group,
    x: *const R::Element,
    y: *const R::Element,
    given: Option<[R::Register; COUNT]>,
) -> [R::Register; COUNT] {
    let block = rows::<R::Element>();
    // SAFETY: as the function asks.
    unsafe {
        let mut sum = given.unwrap_or([R::splat(R::Element::ZERO); COUNT]);
        for &(left, right, _) in &group.plus {
            let (a, b) = (x.add(left * block), y.add(right * block));
            for (u, sum) in sum.iter_mut().enumerate() {
                *sum = R::plus(
                    *sum,
                    R::load(a.add(u * R::LANES)),
                    R::load(b.add(u * R::LANES)),
                );
            }
        }
        for &(left, right, _) in &group.minus {
            let (a, b) = (x.add(left * block), y.add(right * block));
            for (u, sum) in sum.iter_mut().enumerate() {
                *sum = R::minus(
                    *sum,
                    R::load(a.add(u * R::LANES)),
                    R::load(b.add(u * R::LANES)),
                );
            }
        }
        for &(left, right, coefficient) in &group.others {
            let (a, b) = (x.add(left * block), y.add(right * block));
            let c = R::splat(R::Element::from_f64(coefficient));
            for (u, sum) in sum.iter_mut().enumerate() {
                let ca = R::product(c, R::load(a.add(u * R::LANES)));
                *sum = R::plus(*sum, ca, R::load(b.add(u * R::LANES)));
            }
        }
        sum
    }
}

/// Adds to `sums[w · stride ..]` what each weight of one block is multiplied by: Σ gₖ·(Σ c·xᵢ·yⱼ) over its groups.
#[inline(always)]
pub(super) fn weight_sums<T: Real, const BITS: usize>(
    map: &Bilinear,
    scratch: &Scratch<T>,
    sums: &mut [T],
    stride: usize,
) {
    let block = rows::<T>();
    let Scratch { x, y, result } = scratch;
    for (gradient, groups) in result.chunks_exact(block).zip(&map.places) {
        for group in groups {
            let to = &mut sums[group.slot * stride..][..block];
            #[cfg(target_arch = "x86_64")]
            if BITS >= 256 {
                let (x, y) = (x.as_ptr(), y.as_ptr());
                let (to, gradient) = (to.as_mut_ptr(), gradient.as_ptr());
                // SAFETY: as in `places`; `to` and `gradient` are a block long.
                unsafe {
                    if BITS >= 512 {
                        sum_in_registers::<T::Whole, WHOLES>(group, x, y, gradient, to);
                    } else {
                        sum_in_registers::<T::Half, HALVES>(group, x, y, gradient, to);
                    }
                }
                continue;
            }
            let mut sum = vec![T::ZERO; block];
            add_group(group, x, y, &mut sum);
            for ((to, value), &g) in to.iter_mut().zip(sum).zip(gradient) {
                *to += g * value;
            }
        }
    }
}

/// Adds zeros to the sums of one block, or NaN in rows with what is not finite.
#[inline(always)]
pub(super) fn zero_sums<T: Real>(scratch: &Scratch<T>, sums: &mut [T]) {
    let block = rows::<T>();
    for values in [&scratch.x, &scratch.y, &scratch.result] {
        for place in values.chunks_exact(block) {
            for (sum, &value) in sums[..block].iter_mut().zip(place) {
                *sum += T::ZERO * value;
            }
        }
    }
}

/// Adds gₖ·(Σ c·xᵢ·yⱼ) of one group.
///
/// # Safety
/// As [`place_in_registers`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn sum_in_registers<R: Registers, const COUNT: usize>(
    group: &Group,
    x: *const R::Element,
    y: *const R::Element,
    gradient: *const R::Element,
    to: *mut R::Element,
) {
    // SAFETY: as the function asks.
    unsafe {
        let sum = group_in_registers::<R, COUNT>(group, x, y, None);
        for (u, value) in sum.into_iter().enumerate() {
            let at = to.add(u * R::LANES);
            let g = R::load(gradient.add(u * R::LANES));
            R::store(at, R::plus(R::load(at), value, g));
        }
    }
}
