//! Tasks that threads take one after another, as each gets done with the one before.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bilinear::threads;

/// Memory of which each task writes a part of its own.
#[derive(Clone, Copy)]
pub(crate) struct Parts(*mut f32);

// SAFETY: to write through the address is unsafe, and whoever does vouches that no other task writes there.
unsafe impl Sync for Parts {}

impl Parts {
    pub(crate) fn of(memory: &mut [f32]) -> Self {
        Self(memory.as_mut_ptr())
    }

    /// Where the memory begins.
    pub(crate) fn address(&self) -> *mut f32 {
        self.0
    }
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
