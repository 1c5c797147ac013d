//! Elements of a block that do not lie one after another, read into a register and written from one.

use super::registers::Shape;
use crate::native::buffer::Kind;
use crate::registers::copy_between;

/// Where a block of a view lies in memory.
pub(super) struct Strided {
    pub at: *mut u8,
    /// Elements from one row to the next, and from one column to the next.
    pub row: usize,
    pub column: usize,
}

/// Rows and columns that are turned at a time.
const TILE: usize = 8;
/// Numbers of a row that are copied as one, and of how many at most a row is copied so.
const PIECE: usize = 16;
const SHORT: usize = 128;

impl Strided {
    /// Where a row of numbers begins.
    ///
    /// # Safety
    /// The view has such a row.
    #[inline(always)]
    pub unsafe fn line(&self, row: usize) -> *mut f32 {
        // SAFETY: as the caller vouches.
        unsafe { self.at.cast::<f32>().add(row * self.row) }
    }

    /// Whether rows of so many columns lie one after another, here and in a register whose rows are `step` apart.
    #[inline(always)]
    pub fn follow(&self, step: usize, columns: usize) -> bool {
        step == columns && self.row == columns * self.column
    }

    /// Reads so many rows and columns; rows of the register are `step` elements apart.
    ///
    /// # Safety
    /// The view holds so many elements of this kind, the register as many, and they lie apart.
    #[inline(always)]
    pub unsafe fn read<const BITS: usize>(
        &self,
        kind: Kind,
        to: *mut f32,
        step: usize,
        rows: usize,
        columns: usize,
    ) {
        // SAFETY: as the caller vouches.
        unsafe {
            if kind == Kind::Bool {
                for row in 0..rows {
                    let from = self.at.add(row * self.row);
                    for column in 0..columns {
                        *to.add(row * step + column) = f32::from(*from.add(column * self.column));
                    }
                }
                return;
            }
            let from = self.at.cast::<f32>();
            if columns <= SHORT && columns.is_multiple_of(PIECE) && self.column <= 1 {
                self.pieces(to, step, rows, columns);
            } else if self.column == 0 {
                for row in 0..rows {
                    spread(*from.add(row * self.row), to.add(row * step), columns);
                }
            } else if self.column == 1 {
                for row in 0..rows {
                    copy_between(from.add(row * self.row), to.add(row * step), columns);
                }
            } else if self.row == 1 && rows > 1 {
                self.turn::<BITS>(to, step, rows, columns);
            } else {
                for row in 0..rows {
                    for column in 0..columns {
                        *to.add(row * step + column) =
                            *from.add(row * self.row + column * self.column);
                    }
                }
            }
        }
    }

    /// Reads short rows of whole pieces, of numbers that lie together or are the same.
    ///
    /// # Safety
    /// As `read`.
    #[inline(always)]
    unsafe fn pieces(&self, to: *mut f32, step: usize, rows: usize, columns: usize) {
        let from = self.at.cast::<f32>();
        for piece in (0..columns).step_by(PIECE) {
            // SAFETY: as the caller vouches.
            unsafe {
                let to = to.add(piece);
                if self.column == 0 {
                    for row in 0..rows {
                        let number = *from.add(row * self.row);
                        write_piece(to.add(row * step), [number; PIECE]);
                    }
                } else if self.row == 0 {
                    let numbers = from.add(piece).cast::<[f32; PIECE]>().read_unaligned();
                    for row in 0..rows {
                        write_piece(to.add(row * step), numbers);
                    }
                } else {
                    for row in 0..rows {
                        let at = from.add(row * self.row + piece).cast::<[f32; PIECE]>();
                        write_piece(to.add(row * step), at.read_unaligned());
                    }
                }
            }
        }
    }

    /// Reads along the rows what is written along the columns, by tiles that stay in the first cache.
    ///
    /// # Safety
    /// As `read`.
    #[inline(always)]
    unsafe fn turn<const BITS: usize>(
        &self,
        to: *mut f32,
        step: usize,
        rows: usize,
        columns: usize,
    ) {
        let from = self.at.cast::<f32>();
        for column in (0..columns).step_by(TILE) {
            for row in (0..rows).step_by(TILE) {
                let (height, width) = (TILE.min(rows - row), TILE.min(columns - column));
                // SAFETY: as the caller vouches.
                unsafe {
                    let from = from.add(row + column * self.column);
                    let to = to.add(row * step + column);
                    #[cfg(target_arch = "x86_64")]
                    if BITS >= 256 && (height, width) == (TILE, TILE) {
                        tile(from, self.column, to, step);
                        continue;
                    }
                    for r in 0..height {
                        for c in 0..width {
                            *to.add(r * step + c) = *from.add(r + c * self.column);
                        }
                    }
                }
            }
        }
    }

    /// Writes a register of this shape; one that has fewer numbers than places is spread over them.
    ///
    /// # Safety
    /// As `read`.
    #[inline(always)]
    pub unsafe fn write(
        &self,
        kind: Kind,
        shape: Shape,
        from: *const f32,
        step: usize,
        rows: usize,
        columns: usize,
    ) {
        // One place for all columns is written once.
        let columns = if self.column == 0 { 1 } else { columns };
        for row in 0..rows {
            // SAFETY: as the caller vouches.
            unsafe {
                let source = from.add(match shape {
                    Shape::Full => row * step,
                    Shape::PerRow => row,
                    Shape::Single | Shape::PerColumn => 0,
                });
                let each = matches!(shape, Shape::Full | Shape::PerColumn);
                if kind == Kind::Bool {
                    let to = self.at.add(row * self.row);
                    for column in 0..columns {
                        let value = *source.add(if each { column } else { 0 });
                        *to.add(column * self.column) = u8::from(value != 0.0);
                    }
                    continue;
                }
                let to = self.at.cast::<f32>().add(row * self.row);
                match (each, self.column) {
                    (true, 1) => copy_between(source, to, columns),
                    (false, 1) => spread(*source, to, columns),
                    (true, _) => {
                        for column in 0..columns {
                            *to.add(column * self.column) = *source.add(column);
                        }
                    }
                    (false, _) => {
                        for column in 0..columns {
                            *to.add(column * self.column) = *source;
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// There are so many places.
#[inline(always)]
unsafe fn write_piece(to: *mut f32, numbers: [f32; PIECE]) {
    // SAFETY: as the caller vouches.
    unsafe { to.cast::<[f32; PIECE]>().write_unaligned(numbers) };
}

/// Writes one number to so many places; `fill` of slices is a call.
///
/// # Safety
/// There are so many places.
#[inline(always)]
unsafe fn spread(number: f32, to: *mut f32, count: usize) {
    for at in 0..count {
        // SAFETY: as the caller vouches.
        unsafe { *to.add(at) = number };
    }
}

/// Turns eight registers of eight numbers.
///
/// # Safety
/// The processor has AVX; from and to hold eight rows of eight, so many elements apart.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn tile(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
    use std::arch::x86_64::*;
    // SAFETY: as the caller vouches.
    unsafe {
        let mut rows = [_mm256_setzero_ps(); TILE];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = _mm256_loadu_ps(from.add(i * from_step));
        }
        let mut pairs = rows;
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        for half in [0, 4] {
            rows[half] = _mm256_shuffle_ps::<0x44>(pairs[half], pairs[half + 2]);
            rows[half + 1] = _mm256_shuffle_ps::<0xee>(pairs[half], pairs[half + 2]);
            rows[half + 2] = _mm256_shuffle_ps::<0x44>(pairs[half + 1], pairs[half + 3]);
            rows[half + 3] = _mm256_shuffle_ps::<0xee>(pairs[half + 1], pairs[half + 3]);
        }
        for i in 0..4 {
            let low = _mm256_permute2f128_ps::<0x20>(rows[i], rows[i + 4]);
            let high = _mm256_permute2f128_ps::<0x31>(rows[i], rows[i + 4]);
            _mm256_storeu_ps(to.add(i * to_step), low);
            _mm256_storeu_ps(to.add((i + 4) * to_step), high);
        }
    }
}
