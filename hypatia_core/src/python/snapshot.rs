//! Whether tensors are still what they were: what a value computed from weights has to ask on every call.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

/// Places that are remembered of each tensor.
const SAMPLES: usize = 64;
/// Places that are looked at in one call; each call looks at others.
const LOOKS: usize = 4;
/// Bytes read at one place: the widest element of real numbers.
const WIDTH: usize = 8;

/// One tensor as it was.
struct Source {
    version: u64,
    /// Its address; whoever keeps a snapshot keeps the storage too, so that no other tensor gets this address.
    memory: usize,
    strides: Py<PyAny>,
    /// Bytes that can be read from `memory` on.
    bytes: usize,
    samples: Vec<u64>,
    /// Of all bytes, where asked for.
    checksum: u64,
}

impl Source {
    fn offset(&self, sample: usize) -> usize {
        offset(self.bytes, sample)
    }
}

/// Byte offset of a place, a multiple of eight where there is room for it.
fn offset(bytes: usize, sample: usize) -> usize {
    let words = bytes / WIDTH;
    if words == 0 {
        0
    } else {
        WIDTH * (words * sample / SAMPLES + words / (2 * SAMPLES)).min(words - 1)
    }
}

/// Up to eight bytes at an address.
///
/// # Safety
/// `count` bytes from `address` on belong to a live allocation.
unsafe fn read(address: usize, count: usize) -> u64 {
    let mut value = 0;
    for i in 0..count.min(WIDTH) {
        // SAFETY: by this function's contract; atomic, as another thread may be writing.
        let byte = unsafe { AtomicU8::from_ptr((address + i) as *mut u8) }.load(Ordering::Relaxed);
        value |= u64::from(byte) << (8 * i);
    }
    value
}

/// A checksum in which every byte and its place counts (Fletcher's scheme over words, modulo 2^64).
///
/// # Safety
/// `bytes` bytes from `address` on belong to a live allocation.
unsafe fn checksum(address: usize, bytes: usize) -> u64 {
    let (mut sum, mut sums) = (0u64, 0u64);
    let mut at = 0;
    while at < bytes {
        // SAFETY: `at + min(8, bytes - at)` is within the allocation.
        let word = unsafe { read(address + at, bytes - at) };
        sum = sum.wrapping_add(word).rotate_left(1);
        sums = sums.wrapping_add(sum);
        at += WIDTH;
    }
    sums ^ sum.rotate_left(32)
}

/// Tensors as they were at one moment: versions, addresses, strides and samples of their memory.
#[pyclass(module = "hypatia_core._hypatia_core", frozen)]
struct Snapshot {
    sources: Vec<Source>,
    strict: bool,
    calls: AtomicUsize,
}

#[pymethods]
impl Snapshot {
    /// Remembers tensors.
    ///
    /// `extents` are the bytes that can be read from each one's address on; 0 for memory of a device.
    #[new]
    fn new(tensors: Vec<Bound<'_, PyAny>>, extents: Vec<usize>, strict: bool) -> PyResult<Self> {
        if tensors.len() != extents.len() {
            return Err(PyValueError::new_err(format!(
                "{} tensors and {} extents",
                tensors.len(),
                extents.len()
            )));
        }
        let mut sources = Vec::with_capacity(tensors.len());
        for (tensor, bytes) in tensors.iter().zip(extents) {
            let (version, memory) = state(tensor)?;
            let bytes = if memory == 0 { 0 } else { bytes };
            let taken = if bytes == 0 { 0 } else { SAMPLES };
            sources.push(Source {
                version,
                memory,
                strides: strides(tensor)?.unbind(),
                bytes,
                samples: (0..taken)
                    .map(|i| {
                        let at = offset(bytes, i);
                        // SAFETY: the caller holds the tensor, whose memory reaches that far.
                        unsafe { read(memory + at, bytes - at) }
                    })
                    .collect(),
                // SAFETY: as above.
                checksum: if strict {
                    unsafe { checksum(memory, bytes) }
                } else {
                    0
                },
            });
        }
        Ok(Self {
            sources,
            strict,
            calls: AtomicUsize::new(0),
        })
    }

    /// The position of the first tensor that is another one now or has changed; None where none has.
    fn changed(&self, tensors: Vec<Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
        if tensors.len() != self.sources.len() {
            return Err(PyValueError::new_err(format!(
                "{} tensors for a snapshot of {}",
                tensors.len(),
                self.sources.len()
            )));
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        for (i, (tensor, source)) in tensors.iter().zip(&self.sources).enumerate() {
            if state(tensor)? != (source.version, source.memory)
                || !strides(tensor)?.eq(&source.strides)?
                || !self.as_sampled(source, call)
            {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    /// Whether one of the remembered tensors is among these, at its place, and has changed.
    fn outdated(&self, tensors: Vec<Bound<'_, PyAny>>) -> PyResult<bool> {
        for (tensor, source) in tensors.iter().zip(&self.sources) {
            let (version, memory) = state(tensor)?;
            if memory == source.memory
                && (version != source.version
                    || !strides(tensor)?.eq(&source.strides)?
                    || !(0..SAMPLES / LOOKS).all(|call| self.as_sampled(source, call)))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Snapshot {
    fn as_sampled(&self, source: &Source, call: usize) -> bool {
        if source.bytes == 0 {
            return true;
        }
        if self.strict {
            // SAFETY: the tensor is alive, at the address and of the storage that the snapshot saw.
            return unsafe { checksum(source.memory, source.bytes) } == source.checksum;
        }
        (0..LOOKS).all(|look| {
            let sample = (call + look * (SAMPLES / LOOKS)) % SAMPLES;
            let at = source.offset(sample);
            // SAFETY: as above.
            unsafe { read(source.memory + at, source.bytes - at) == source.samples[sample] }
        })
    }
}

fn strides<'py>(tensor: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    tensor.call_method0(intern!(tensor.py(), "stride"))
}

/// A tensor's version and address.
fn state(tensor: &Bound<'_, PyAny>) -> PyResult<(u64, usize)> {
    let py = tensor.py();
    let version = tensor.getattr(intern!(py, "_version"))?.extract()?;
    Ok((
        version,
        tensor.call_method0(intern!(py, "data_ptr"))?.extract()?,
    ))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Snapshot>()
}
