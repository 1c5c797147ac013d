//! The memory of one run: where each buffer lies.

use super::buffer::Kind;
use super::plan::ALIGNMENT;
use super::view::Region;
use crate::bilinear::prefer_large_pages;

/// A line of the caches.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read and written by address")] [u8; ALIGNMENT]);

/// The addresses of all buffers, and the arena that those of the program lie in.
pub(super) struct Memory {
    addresses: Vec<*mut u8>,
    /// Kept as long as the addresses.
    _arena: Vec<Line>,
}

// SAFETY: to read and write at the addresses is unsafe, and whoever does vouches that nobody else writes there.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// With an arena of so many bytes, in which scratch buffers lie at these places; `None` for those of the caller.
    pub fn new(places: &[Option<usize>], bytes: usize) -> Self {
        let mut arena: Vec<Line> = Vec::with_capacity(bytes.div_ceil(ALIGNMENT));
        prefer_large_pages(arena.spare_capacity_mut());
        let base = arena.as_mut_ptr().cast::<u8>();
        // SAFETY: places are inside the arena.
        let address = |place: &Option<usize>| match place {
            Some(place) => unsafe { base.add(*place) },
            None => std::ptr::null_mut(),
        };
        Self {
            addresses: places.iter().map(address).collect(),
            _arena: arena,
        }
    }

    /// Says where a buffer of the caller lies in this run.
    pub fn put(&mut self, buffer: usize, address: usize) {
        self.addresses[buffer] = std::ptr::with_exposed_provenance_mut(address);
    }

    /// Where an element of a buffer is.
    ///
    /// # Safety
    /// The buffer holds elements of this kind, and so many.
    #[inline(always)]
    pub unsafe fn at(&self, buffer: usize, element: usize, kind: Kind) -> *mut u8 {
        // SAFETY: as the caller vouches.
        unsafe {
            self.addresses
                .get_unchecked(buffer)
                .add(element * kind.bytes())
        }
    }

    /// Elements of a buffer.
    ///
    /// # Safety
    /// The buffer holds so many elements of the type from there on, which nobody writes meanwhile.
    #[inline(always)]
    pub unsafe fn slice<T>(&self, buffer: usize, element: usize, count: usize) -> &[T] {
        if count == 0 {
            return &[];
        }
        // SAFETY: as the caller vouches.
        unsafe {
            std::slice::from_raw_parts(self.addresses[buffer].cast::<T>().add(element), count)
        }
    }

    /// The same, to write to.
    ///
    /// # Safety
    /// As `slice`, and nobody reads them either.
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller vouches that it is the only one"
    )]
    pub unsafe fn slice_mut<T>(&self, buffer: usize, element: usize, count: usize) -> &mut [T] {
        if count == 0 {
            return &mut [];
        }
        // SAFETY: as the caller vouches.
        unsafe {
            let begin = self.addresses[buffer].cast::<T>().add(element);
            std::slice::from_raw_parts_mut(begin, count)
        }
    }

    /// All elements from a region's first on to its last.
    ///
    /// # Safety
    /// As `slice`.
    pub unsafe fn reach<T>(&self, region: &Region) -> &[T] {
        // SAFETY: as the caller vouches.
        unsafe { self.slice(region.view.buffer, region.view.offset, region.reach()) }
    }

    /// The same, to write to.
    ///
    /// # Safety
    /// As `slice_mut`.
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller vouches that it is the only one"
    )]
    pub unsafe fn reach_mut<T>(&self, region: &Region) -> &mut [T] {
        // SAFETY: as the caller vouches.
        unsafe { self.slice_mut(region.view.buffer, region.view.offset, region.reach()) }
    }
}
