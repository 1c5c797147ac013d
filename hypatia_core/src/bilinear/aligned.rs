//! Memory that begins on a line of the caches: a register of 512 bits that lies across two lines is loaded twice.

use std::ops::{Deref, DerefMut};

use super::real::Real;

/// Bytes of a line.
const LINE: usize = 64;

/// Elements from the beginning of a line on, zero at first.
pub(super) struct Aligned<T> {
    memory: Vec<T>,
    begin: usize,
    length: usize,
}

impl<T: Real> Aligned<T> {
    pub(super) fn zeros(length: usize) -> Self {
        let memory = vec![T::ZERO; length + LINE / size_of::<T>()];
        let begin = memory.as_ptr().align_offset(LINE);
        // What cannot be aligned lies as it does.
        let begin = if begin + length <= memory.len() {
            begin
        } else {
            0
        };
        Self {
            memory,
            begin,
            length,
        }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.memory[self.begin..][..self.length]
    }
}

impl<T> DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.begin..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_begin_on_a_line() {
        for length in [0, 1, 15, 16, 1000] {
            let mut elements = Aligned::<f32>::zeros(length);
            assert_eq!(elements.len(), length);
            assert_eq!(elements.as_ptr().addr() % LINE, 0);
            elements.fill(1.0);
            assert!(elements.iter().all(|&element| element == 1.0));
        }
    }
}
