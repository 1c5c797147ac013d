//! Work shared among the threads that torch computes with: those of the process's OpenMP, where it has one.
//!
//! Threads of our own would take turns with them on the same cores, for OpenMP's go on turning for a while after each
//! piece of work; and theirs are there already when the next piece begins.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bilinear::threads;

/// `GOMP_parallel` of libgomp's binary interface, which other runtimes of OpenMP offer too: runs a function on its
/// argument in a team of so many threads, the caller among them.
#[cfg(unix)]
type Parallel = unsafe extern "C" fn(
    extern "C" fn(*mut libc::c_void),
    *mut libc::c_void,
    libc::c_uint,
    libc::c_uint,
);

/// The process's OpenMP and the process that it belongs to: a fork does not inherit its threads.
#[cfg(unix)]
fn parallel() -> Option<Parallel> {
    static FOUND: OnceLock<(u32, Option<Parallel>)> = OnceLock::new();
    let (owner, found) = FOUND.get_or_init(|| {
        // SAFETY: looks a name up among what is loaded.
        let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr()) };
        // SAFETY: by this name OpenMP runtimes export a function of this type.
        let found = (!address.is_null())
            .then(|| unsafe { std::mem::transmute::<*mut libc::c_void, Parallel>(address) });
        (std::process::id(), found)
    });
    found.filter(|_| *owner == std::process::id())
}

struct Shared<'a, W> {
    work: &'a W,
    next: AtomicUsize,
    tasks: usize,
}

impl<W: Fn(usize) + Sync> Shared<'_, W> {
    /// Takes tasks as long as there are any.
    fn run(&self) {
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= self.tasks {
                return;
            }
            (self.work)(task);
        }
    }
}

#[cfg(unix)]
extern "C" fn member<W: Fn(usize) + Sync>(shared: *mut libc::c_void) {
    // SAFETY: `each` gives the address of what it keeps alive until all members are done.
    unsafe { &*shared.cast::<Shared<'_, W>>() }.run();
}

/// Does the tasks by their numbers, in a team of so many threads at most; each takes the next one that nobody has begun.
pub fn each<W: Fn(usize) + Sync>(tasks: usize, threads: usize, work: W) {
    let members = threads.min(tasks);
    if members <= 1 {
        (0..tasks).for_each(work);
        return;
    }
    let shared = Shared {
        work: &work,
        next: AtomicUsize::new(0),
        tasks,
    };
    #[cfg(unix)]
    if let Some(parallel) = parallel() {
        let argument = std::ptr::from_ref(&shared).cast_mut().cast();
        // SAFETY: `member` reads what it is given as what it is, and the call ends when all members are done.
        unsafe { parallel(member::<W>, argument, members as libc::c_uint, 0) };
        return;
    }
    threads::each(0..members, |_, _| shared.run());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_done_once() {
        for (tasks, threads) in [(0, 2), (1, 4), (100, 1), (1000, 3)] {
            let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            each(tasks, threads, |task| {
                done[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}
