//! Code that is compiled twice: for wide registers, where the processor has them, and without.

/// What is compiled twice. `run` is to be inlined always, into the function that is compiled for the registers;
/// a closure in it may not be, and is then compiled for any processor, each instruction of a register a call.
pub(crate) trait Job {
    fn run<const REGISTERS: bool>(self);
}

/// Does a job in the form that this processor runs.
pub(crate) fn dispatch(job: impl Job) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the instructions that the function is compiled for.
        unsafe { in_registers(job) };
        return;
    }
    job.run::<false>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn in_registers(job: impl Job) {
    job.run::<true>();
}
