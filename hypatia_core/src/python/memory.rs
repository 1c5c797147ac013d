//! Numbers at an address that Python gives, as slices.

use crate::error::{Error, Result};

/// So many numbers at an address; none where there are none to be.
fn length_at<T>(address: usize, rows: usize, width: usize) -> Result<usize> {
    let length = rows
        .checked_mul(width)
        .filter(|n| n.checked_mul(size_of::<T>()).is_some());
    let length = length.ok_or_else(|| Error::new("more elements than there can be"))?;
    if length == 0 || (address != 0 && address.is_multiple_of(align_of::<T>())) {
        return Ok(length);
    }
    Err(Error::new("an address that holds no such numbers"))
}

/// # Safety
/// The caller vouches for so many elements of this type at the address, alive while the slice is used and written by
/// nobody.
pub(super) unsafe fn slice<'a, T>(address: usize, rows: usize, width: usize) -> Result<&'a [T]> {
    let length = length_at::<T>(address, rows, width)?;
    // SAFETY: as the function asks; an address of nothing is not looked at.
    Ok(if length == 0 {
        &[]
    } else {
        unsafe { std::slice::from_raw_parts(address as *const T, length) }
    })
}

/// # Safety
/// As [`slice`], and the memory is used by nobody else.
pub(super) unsafe fn slice_mut<'a, T>(
    address: usize,
    rows: usize,
    width: usize,
) -> Result<&'a mut [T]> {
    let length = length_at::<T>(address, rows, width)?;
    // SAFETY: as the function asks; an address of nothing is not looked at.
    Ok(if length == 0 {
        &mut []
    } else {
        unsafe { std::slice::from_raw_parts_mut(address as *mut T, length) }
    })
}
