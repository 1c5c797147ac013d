//! Tasks that threads take one after another, as each gets done with the one before: its own first, then what others have
//! not begun. What a thread has written lies in its own caches, where the next work's tasks of the same numbers find it.

use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

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

/// Tasks of one member of a team: those from the next one on to the end. On a line of its own, since others seldom ask.
#[repr(align(128))]
struct Own {
    next: AtomicUsize,
    end: usize,
}

impl Own {
    /// The next task that nobody has begun.
    fn take(&self) -> Option<usize> {
        // Whoever comes too late counts on, by as many as there are members at most.
        let task = self.next.fetch_add(1, Ordering::Relaxed);
        (task < self.end).then_some(task)
    }
}

/// Does the tasks by their numbers, in a team of so many threads at most. Each member begins with its part of them in
/// their order, and then takes what of the others' nobody has begun.
pub fn each<W: Fn(usize) + Sync>(tasks: usize, threads: usize, work: W) {
    let members = threads.min(tasks);
    if members <= 1 {
        (0..tasks).for_each(work);
        return;
    }
    let begin = |member: usize| member * tasks / members;
    let shares: SmallVec<[Own; 4]> = (0..members)
        .map(|member| Own {
            next: AtomicUsize::new(begin(member)),
            end: begin(member + 1),
        })
        .collect();
    threads::each(0..members, |_, member| {
        for of in 0..members {
            let share = &shares[(member + of) % members];
            while let Some(task) = share.take() {
                work(task);
            }
        }
    });
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
