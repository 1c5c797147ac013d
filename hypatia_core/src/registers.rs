//! Code that is compiled several times: for the registers that processors have, and without any.

use std::sync::OnceLock;

/// What is compiled several times. `run` is to be inlined always, into the function that is compiled for the registers;
/// a closure in it may not be, and is then compiled for any processor, each instruction of a register a call.
pub(crate) trait Job {
    /// `BITS` is the width of a register: 512 (AVX-512 F, VL, BW and DQ), 256 (AVX2 and FMA), or 0 for plain code.
    fn run<const BITS: usize>(self);
}

/// The environment's variable that bounds [`bits`].
pub const BOUND: &str = "HYPATIA_REGISTER_BITS";

/// Does a job in the widest form that this processor runs.
pub(crate) fn dispatch(job: impl Job) {
    #[cfg(target_arch = "x86_64")]
    match bits() {
        // SAFETY: the processor has the instructions that the function is compiled for.
        512 => return unsafe { in_wide_registers(job) },
        // SAFETY: as above.
        256 => return unsafe { in_registers(job) },
        _ => {}
    }
    job.run::<0>();
}

/// The width of the registers that jobs run in: the processor's, or less where `HYPATIA_REGISTER_BITS` says so.
pub fn bits() -> usize {
    static BITS: OnceLock<usize> = OnceLock::new();
    *BITS.get_or_init(|| {
        let bound = match std::env::var(BOUND) {
            Ok(text) => match text.trim() {
                "0" => 0,
                "256" => 256,
                "512" => 512,
                _ => {
                    log::warn!(
                        "{BOUND} is '{text}', not 0, 256 or 512: the processor's registers are used"
                    );
                    usize::MAX
                }
            },
            Err(_) => usize::MAX,
        };
        [512, 256]
            .into_iter()
            .find(|&bits| bits <= bound && has(bits))
            .unwrap_or(0)
    })
}

/// Copies the elements; see [`copy_between`].
#[inline(always)]
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: both are as long as that, and what is borrowed to be written lies apart from all else.
    unsafe { copy_between(from.as_ptr(), to.as_mut_ptr(), to.len()) };
}

/// Copies so many elements; of a short row the library's call takes longer than the row.
///
/// # Safety
/// There are so many at both places, which lie apart.
#[inline(always)]
pub(crate) unsafe fn copy_between(from: *const f32, to: *mut f32, count: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        if count > 128 {
            std::ptr::copy_nonoverlapping(from, to, count);
            return;
        }
        let mut at = 0;
        macro_rules! pieces {
            ($($size:literal)*) => {$(
                while count - at >= $size {
                    let piece = from.add(at).cast::<[f32; $size]>().read_unaligned();
                    to.add(at).cast::<[f32; $size]>().write_unaligned(piece);
                    at += $size;
                }
            )*};
        }
        pieces!(16 8 4 2 1);
    }
}

#[cfg(target_arch = "x86_64")]
fn has(bits: usize) -> bool {
    use std::arch::is_x86_feature_detected as has;
    let half = has!("avx2") && has!("fma");
    let whole = has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq");
    half && (bits == 256 || whole)
}

#[cfg(not(target_arch = "x86_64"))]
fn has(_: usize) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn in_registers(job: impl Job) {
    job.run::<256>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn in_wide_registers(job: impl Job) {
    job.run::<512>();
}
