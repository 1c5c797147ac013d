//! Work shared among threads that stay alive: starting one takes as long as some thousand rows.

use std::sync::{Mutex, OnceLock};

/// Memory of fewer bytes is not worth asking for large pages.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 22;
#[cfg(target_os = "linux")]
const PAGE: usize = 1 << 12;

/// Asks the system to back memory that is about to be written for the first time by large pages: a fault for each
/// small one takes longer than the arithmetic. NumPy asks for its arrays too.
pub fn prefer_large_pages<T>(memory: &mut [T]) {
    #[cfg(target_os = "linux")]
    if size_of_val(memory) >= LARGE {
        let begin = memory.as_mut_ptr().addr().next_multiple_of(PAGE);
        let end = (memory.as_ptr().addr() + size_of_val(memory)) / PAGE * PAGE;
        // SAFETY: whole pages of memory that is ours; the advice changes none of its contents, and may fail.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Below so many terms a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 17;

/// The threads, and the process that they belong to: a fork does not inherit them.
static POOL: OnceLock<(u32, Option<rayon::ThreadPool>)> = OnceLock::new();

fn pool() -> Option<&'static rayon::ThreadPool> {
    let (owner, pool) = POOL.get_or_init(|| {
        let name = |number| format!("hypatia-{number}");
        let built = rayon::ThreadPoolBuilder::new().thread_name(name).build();
        (std::process::id(), built.ok())
    });
    pool.as_ref().filter(|_| *owner == std::process::id())
}

/// How many rows a thread takes, whole blocks of them, where so many terms are to be computed in all.
pub(super) fn rows_of_one(rows: usize, terms: usize, block: usize, threads: usize) -> usize {
    let threads = threads.min(terms / WORTH_A_THREAD).max(1);
    rows.div_ceil(threads).next_multiple_of(block)
}

/// Does the parts, each with its number, all at once where there are threads for it: torch's own, else ours.
pub fn each<P: Send>(parts: impl Iterator<Item = P>, work: impl Fn(usize, P) + Sync) {
    let mut parts: Vec<_> = parts.map(|part| Mutex::new(Some(part))).collect();
    if parts.is_empty() {
        return;
    }
    let take = |slot: &mut Mutex<Option<P>>| slot.get_mut().ok().and_then(Option::take);
    if let [only] = &mut parts[..] {
        if let Some(part) = take(only) {
            work(0, part);
        }
        return;
    }
    let one = |number: usize| {
        let part = parts[number].lock().ok().and_then(|mut slot| slot.take());
        if let Some(part) = part {
            work(number, part);
        }
    };
    #[cfg(target_os = "linux")]
    if crate::openmp::each(parts.len(), &one) {
        return;
    }
    match pool() {
        Some(pool) => pool.in_place_scope(|scope| {
            for number in 1..parts.len() {
                let one = &one;
                scope.spawn(move |_| one(number));
            }
            one(0);
        }),
        None => (0..parts.len()).for_each(one),
    }
}
