//! Long rows by a matrix of few columns: each element of several rows, whose sums are in registers together, meets a line
//! of the matrix. Where it is asked for, the elements are squared and summed while they are in the nearest cache.

#[cfg(target_arch = "x86_64")]
use super::aligned::Aligned;
use super::linear::Matrix;
use super::real::Real;
#[cfg(target_arch = "x86_64")]
use super::real::Registers;
use crate::registers::{self, Job};

/// Rows so long that turning a block of them would take longer than the product.
const LONG: usize = 64;
/// Elements of a row that are summed before the sum is added to the result: the columns that they meet stay in the
/// nearest caches, and rounding errors grow with the square root of their number at most.
#[cfg(target_arch = "x86_64")]
const PART: usize = 256;
/// Rows that are multiplied together at most.
pub(super) const TOGETHER: usize = 16;
/// The same of what is left.
#[cfg(target_arch = "x86_64")]
const FEW: usize = 4;
/// Sums of squares that run beside each other.
#[cfg(target_arch = "x86_64")]
const SIDES: usize = 4;

/// Whether there is code for rows of so many elements.
pub(super) fn takes(length: usize) -> bool {
    length >= LONG && registers::bits() >= 256
}

/// Rows of x, of the result, and where the sum of x's squares is written if it is asked for.
pub(super) struct LongRows<'a, T> {
    pub matrix: Matrix<'a, T>,
    pub x: &'a [T],
    pub result: &'a mut [T],
    pub squares: Option<&'a mut f64>,
}

impl<T: Real> Job for LongRows<'_, T> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        #[cfg(target_arch = "x86_64")]
        {
            let p = self.matrix.columns;
            if BITS >= 512 && p <= T::Whole::LANES {
                self.line_by_line::<T::Whole, TOGETHER, 1, 4>();
            } else if BITS >= 512 {
                self.line_by_line::<T::Whole, 10, 2, 2>();
            } else if BITS >= 256 && p <= T::Half::LANES {
                self.line_by_line::<T::Half, 10, 1, 2>();
            } else if BITS >= 256 {
                self.line_by_line::<T::Half, 5, 2, 1>();
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (self.matrix, self.x, self.result, self.squares);
    }
}

#[cfg(target_arch = "x86_64")]
impl<T: Real> LongRows<'_, T> {
    /// So many rows together by lines of so many registers, so many at a time.
    #[inline(always)]
    fn line_by_line<
        R: Registers<Element = T>,
        const ROWS: usize,
        const WIDE: usize,
        const STEPS: usize,
    >(
        self,
    ) {
        let Self {
            matrix,
            x,
            result,
            squares,
        } = self;
        let (n, p, width) = (matrix.rows, matrix.columns, WIDE * R::LANES);
        // The columns that the registers hold lie together; what is missing of the last ones is zero.
        let mut columns = Aligned::zeros(p.div_ceil(width) * n * width);
        for (i, line) in matrix.elements.chunks_exact(p).enumerate() {
            for (tile, part) in line.chunks(width).enumerate() {
                columns[(tile * n + i) * width..][..part.len()].copy_from_slice(part);
            }
        }
        let (mut sums, mut total, mut row) = (Aligned::zeros(ROWS * width), 0.0, 0);
        let rows = x.len() / n;
        while row < rows {
            let count = match rows - row {
                left if left >= ROWS => ROWS,
                left if left >= FEW => FEW,
                _ => 1,
            };
            for (tile, lines) in columns.chunks_exact(n * width).enumerate() {
                sums.fill(T::ZERO);
                let squared = tile == 0 && squares.is_some();
                for (start, part) in (0..n).step_by(PART).zip(lines.chunks(PART * width)) {
                    // SAFETY: there are registers; the rows are n elements long, `part` is lines of `width` that
                    // meet those from `start` on, and there are as many sums as rows by `width`.
                    unsafe {
                        let from = x.as_ptr().add(row * n + start);
                        if squared {
                            total +=
                                add::<R, ROWS, WIDE, STEPS, true>(count, from, n, part, &mut sums);
                        } else {
                            add::<R, ROWS, WIDE, STEPS, false>(count, from, n, part, &mut sums);
                        }
                    }
                }
                let first = tile * width;
                let to = &mut result[row * p..][..count * p];
                for (row, sums) in to.chunks_exact_mut(p).zip(sums.chunks_exact(width)) {
                    let row = &mut row[first..p.min(first + width)];
                    row.copy_from_slice(&sums[..row.len()]);
                }
            }
            row += count;
        }
        if let Some(squares) = squares {
            *squares = total;
        }
    }
}

/// As `add_lines`, of `ROWS` rows, `FEW` or one.
///
/// # Safety
/// As `add_lines`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn add<
    R: Registers,
    const ROWS: usize,
    const WIDE: usize,
    const STEPS: usize,
    const SQUARED: bool,
>(
    rows: usize,
    x: *const R::Element,
    stride: usize,
    lines: &[R::Element],
    sums: &mut [R::Element],
) -> f64 {
    // SAFETY: as the caller vouches.
    unsafe {
        if rows == ROWS {
            add_lines::<R, ROWS, WIDE, STEPS, SQUARED>(x, stride, lines, sums)
        } else if rows == FEW {
            add_lines::<R, FEW, WIDE, STEPS, SQUARED>(x, stride, lines, sums)
        } else {
            add_lines::<R, 1, WIDE, STEPS, SQUARED>(x, stride, lines, sums)
        }
    }
}

/// Adds to the sums of so many rows what their elements make of these lines, so many registers wide each; gives the sum
/// of the elements' squares, if `SQUARED`. `STEPS` divides the elements of a register.
///
/// # Safety
/// The processor must have the registers; each row, `stride` elements after the one before, must have an element for each
/// line; there must be as wide sums for each row.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "arrays that iterators take by value go through memory"
)]
unsafe fn add_lines<
    R: Registers,
    const ROWS: usize,
    const WIDE: usize,
    const STEPS: usize,
    const SQUARED: bool,
>(
    x: *const R::Element,
    stride: usize,
    lines: &[R::Element],
    sums: &mut [R::Element],
) -> f64 {
    // SAFETY: as the function asks.
    unsafe {
        let one = R::splat(R::Element::from_f64(1.0));
        let mut total = [[R::splat(R::Element::ZERO); WIDE]; ROWS];
        let (mut squares, mut rest) = ([R::splat(R::Element::ZERO); SIDES], 0.0);
        macro_rules! elements {
            ($first:expr, $steps:expr) => {
                let mut of_lines = [[R::splat(R::Element::ZERO); WIDE]; $steps];
                for step in 0..$steps {
                    for at in 0..WIDE {
                        let place = (($first + step) * WIDE + at) * R::LANES;
                        of_lines[step][at] = R::load(lines.as_ptr().add(place));
                    }
                }
                // The address goes from row to row, so that one register holds it.
                let mut from = x.add($first);
                for row in 0..ROWS {
                    for step in 0..$steps {
                        let factor = R::splat(*from.add(step));
                        for at in 0..WIDE {
                            total[row][at] = R::plus(total[row][at], factor, of_lines[step][at]);
                        }
                    }
                    from = from.wrapping_add(stride);
                }
            };
        }
        let count = lines.len() / (WIDE * R::LANES);
        let mut i = 0;
        while i + R::LANES <= count {
            if SQUARED {
                for row in 0..ROWS {
                    let of_row = R::load(x.add(row * stride + i));
                    squares[row % SIDES] = R::plus(squares[row % SIDES], of_row, of_row);
                }
            }
            let end = i + R::LANES;
            while i < end {
                elements!(i, STEPS);
                i += STEPS;
            }
        }
        while i < count {
            elements!(i, 1);
            if SQUARED {
                for row in 0..ROWS {
                    let element = *x.add(row * stride + i);
                    rest += (element * element).into();
                }
            }
            i += 1;
        }
        for row in 0..ROWS {
            for at in 0..WIDE {
                let to = sums.as_mut_ptr().add((row * WIDE + at) * R::LANES);
                R::store(to, R::plus(R::load(to), total[row][at], one));
            }
        }
        if !SQUARED {
            return 0.0;
        }
        let mut lanes = [R::Element::ZERO; 16];
        let halves = [
            R::plus(squares[0], squares[1], one),
            R::plus(squares[2], squares[3], one),
        ];
        R::store(lanes.as_mut_ptr(), R::plus(halves[0], halves[1], one));
        for lane in &lanes[..R::LANES] {
            rest += (*lane).into();
        }
        rest
    }
}
