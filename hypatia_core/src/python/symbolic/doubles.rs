//! The memory of arrays of doubles, by NumPy's array interface (version 3), which the stable ABI of Python 3.10 has no
//! other way to.

use pyo3::intern;
use pyo3::prelude::*;

use crate::error::Error;

/// A contiguous array of doubles.
pub(super) struct Doubles {
    address: usize,
    /// How many doubles lie there.
    pub count: usize,
    /// Whether the array has no dimensions.
    pub is_scalar: bool,
}

impl Doubles {
    /// The memory of an array: of NumPy's own type, as any other object may say of its memory what it likes.
    ///
    /// # Errors
    /// When it is no contiguous array of doubles in the machine's byte order, or is to be written and may not.
    pub fn of(array: &Bound<'_, PyAny>, writable: bool) -> PyResult<Self> {
        let py = array.py();
        let numpy = py.import(intern!(py, "numpy"))?;
        if !array.get_type().is(&numpy.getattr(intern!(py, "ndarray"))?) {
            return Err(Error::new("arrays of NumPy's own type are needed").into());
        }
        let interface = array.getattr(intern!(py, "__array_interface__"))?;
        let kind: String = interface.get_item(intern!(py, "typestr"))?.extract()?;
        let native = if cfg!(target_endian = "little") {
            "<f8"
        } else {
            ">f8"
        };
        let (address, read_only): (usize, bool) =
            interface.get_item(intern!(py, "data"))?.extract()?;
        let shape: Vec<usize> = interface.get_item(intern!(py, "shape"))?.extract()?;
        let strides = interface.call_method1(intern!(py, "get"), (intern!(py, "strides"),))?;
        let count = shape
            .iter()
            .try_fold(1usize, |count, extent| count.checked_mul(*extent));
        match count {
            Some(count)
                if kind == native
                    && strides.is_none()
                    && address.is_multiple_of(align_of::<f64>())
                    && !(writable && read_only) =>
            {
                Ok(Self {
                    address,
                    count,
                    is_scalar: shape.is_empty(),
                })
            }
            _ => Err(Error::new("contiguous, aligned arrays of doubles are needed").into()),
        }
    }

    /// Whether the two have memory in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        let end = |one: &Self| one.address + one.count * size_of::<f64>();
        self.address < end(other) && other.address < end(self)
    }

    /// The values.
    ///
    /// # Safety
    /// The array is alive as long as the slice.
    pub unsafe fn slice<'a>(&self) -> &'a [f64] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: by this function's contract, and the array said that it has so many doubles there.
        unsafe { std::slice::from_raw_parts(self.address as *const f64, self.count) }
    }

    /// The values, to be written.
    ///
    /// # Safety
    /// The array is alive as long as the slice, and nothing else reads or writes it meanwhile.
    pub unsafe fn slice_mut<'a>(&self) -> &'a mut [f64] {
        if self.count == 0 {
            return &mut [];
        }
        // SAFETY: as above, and by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.address as *mut f64, self.count) }
    }
}
