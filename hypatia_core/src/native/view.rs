//! Where the elements of a tensor lie in a buffer.

use serde::Deserialize;

use super::buffer::{Buffer, Kind};
use crate::error::{Error, Result};

/// As it is written: a buffer, the first element, and elements from one to the next along each of the step's sizes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct View {
    pub buffer: usize,
    pub offset: usize,
    pub strides: Vec<usize>,
}

/// A view together with the sizes that it is read or written over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    pub view: View,
    pub sizes: Vec<usize>,
}

/// How many elements sizes have in all.
pub(super) fn count(sizes: &[usize]) -> Result<usize> {
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&count| count <= isize::MAX as usize / 8)
        .ok_or_else(|| Error::new(format!("sizes {sizes:?}: more elements than there can be")))
}

impl View {
    /// All of a buffer of so many elements.
    pub fn whole(buffer: usize) -> Self {
        Self {
            buffer,
            offset: 0,
            strides: vec![1],
        }
    }

    /// The region over these sizes, if it lies in its buffer and holds elements of this kind.
    pub fn over(
        self,
        sizes: &[usize],
        kinds: &[Kind],
        what: &str,
        buffers: &[Buffer],
    ) -> Result<Region> {
        let buffer = buffers.get(self.buffer).ok_or_else(|| {
            Error::new(format!(
                "{what}: there is no buffer {}, of {}",
                self.buffer,
                buffers.len()
            ))
        })?;
        if !kinds.contains(&buffer.kind) {
            let wanted: Vec<String> = kinds.iter().map(ToString::to_string).collect();
            return Err(Error::new(format!(
                "{what}: buffer {} holds {}, not {}",
                self.buffer,
                buffer.kind,
                wanted.join(" or ")
            )));
        }
        if self.strides.len() != sizes.len() {
            return Err(Error::new(format!(
                "{what}: strides {:?} for sizes {sizes:?}",
                self.strides
            )));
        }
        count(sizes)?;
        let region = Region {
            view: self,
            sizes: sizes.to_vec(),
        };
        match region.end() {
            Some(end) if end <= buffer.elements => Ok(region),
            _ => Err(Error::new(format!(
                "{what}: from {} with strides {:?} over sizes {sizes:?} does not lie in buffer {} of {} elements",
                region.view.offset, region.view.strides, region.view.buffer, buffer.elements
            ))),
        }
    }
}

impl Region {
    pub fn is_empty(&self) -> bool {
        self.sizes.contains(&0)
    }

    /// One past the last element; `None` where that is no number.
    fn end(&self) -> Option<usize> {
        if self.is_empty() {
            return Some(0);
        }
        let last = self
            .sizes
            .iter()
            .zip(&self.view.strides)
            .try_fold(self.view.offset, |sum, (&size, &stride)| {
                sum.checked_add((size - 1).checked_mul(stride)?)
            })?;
        last.checked_add(1)
    }

    /// Elements from the first to the last.
    pub fn reach(&self) -> usize {
        self.end()
            .map_or(0, |end| end.saturating_sub(self.view.offset))
    }

    /// All elements of a buffer, one after another.
    pub fn dense(buffer: usize, sizes: &[usize]) -> Self {
        let mut strides = vec![1usize; sizes.len()];
        for axis in (1..sizes.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(sizes[axis]);
        }
        Self {
            view: View {
                buffer,
                offset: 0,
                strides,
            },
            sizes: sizes.to_vec(),
        }
    }

    /// The same elements with dimensions in another order.
    pub fn permuted(self, order: &[usize]) -> Self {
        Self {
            sizes: order.iter().map(|&axis| self.sizes[axis]).collect(),
            view: View {
                strides: order.iter().map(|&axis| self.view.strides[axis]).collect(),
                ..self.view
            },
        }
    }

    /// Whether the strides are these, each where there is one and the size is not one.
    pub fn lies_as(&self, strides: &[Option<usize>]) -> bool {
        let own = self.sizes.iter().zip(&self.view.strides).zip(strides);
        self.is_empty()
            || own.into_iter().all(|((&size, &stride), wanted)| {
                size == 1 || wanted.is_none_or(|wanted| wanted == stride)
            })
    }

    /// Sizes and strides of the dimensions that have more than one place.
    fn places(&self) -> Vec<(usize, usize)> {
        let all = self
            .sizes
            .iter()
            .copied()
            .zip(self.view.strides.iter().copied());
        all.filter(|&(size, _)| size > 1).collect()
    }

    /// Whether no two elements surely lie in one place.
    pub fn is_injective(&self) -> bool {
        let mut places = self.places();
        places.sort_by_key(|&(_, stride)| stride);
        let mut reach = 0;
        for (size, stride) in places {
            if stride <= reach {
                return false;
            }
            reach += (size - 1) * stride;
        }
        true
    }

    /// Calls `visit` with the beginning and the length of each run of neighbours; stops when it says false.
    pub fn runs(&self, mut visit: impl FnMut(usize, usize) -> bool) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut places = self.places();
        places.retain(|&(_, stride)| stride > 0);
        places.sort_by_key(|&(_, stride)| std::cmp::Reverse(stride));
        let mut length = 1;
        while let Some(&(size, stride)) = places.last() {
            if stride != length {
                break;
            }
            length *= size;
            places.pop();
        }
        let mut index = vec![0; places.len()];
        let mut at = self.view.offset;
        loop {
            if !visit(at, length) {
                return false;
            }
            let mut axis = places.len();
            loop {
                if axis == 0 {
                    return true;
                }
                axis -= 1;
                let (size, stride) = places[axis];
                index[axis] += 1;
                at += stride;
                if index[axis] < size {
                    break;
                }
                at -= size * stride;
                index[axis] = 0;
            }
        }
    }

    /// Whether two regions share an element.
    pub fn meets(&self, other: &Self) -> bool {
        if self.view.buffer != other.view.buffer || self.is_empty() || other.is_empty() {
            return false;
        }
        let (Some(end), Some(other_end)) = (self.end(), other.end()) else {
            return true;
        };
        let (from, to) = (self.view.offset.max(other.view.offset), end.min(other_end));
        if from >= to {
            return false;
        }
        let mut places = Places::new(end);
        self.runs(|at, length| {
            places.add(at, length);
            true
        });
        !other.runs(|at, length| !places.meets(at, length.min(end.saturating_sub(at))))
    }
}

/// A set of elements of a buffer.
#[derive(Debug, Clone)]
pub(super) struct Places {
    words: Vec<u64>,
    elements: usize,
    /// All of them, told apart because it is what most buffers come to in one step.
    all: bool,
}

impl Places {
    pub fn new(elements: usize) -> Self {
        Self {
            words: Vec::new(),
            elements,
            all: elements == 0,
        }
    }

    pub fn everything(elements: usize) -> Self {
        Self {
            all: true,
            ..Self::new(elements)
        }
    }

    /// The words that a run touches, each with the bits of it.
    fn masks(at: usize, length: usize) -> impl Iterator<Item = (usize, u64)> {
        let end = at + length;
        (at / 64..end.div_ceil(64)).map(move |word| {
            let from = at.max(word * 64) % 64;
            let count = end.min(word * 64 + 64) - at.max(word * 64);
            (word, (u64::MAX >> (64 - count)) << from)
        })
    }

    pub fn add(&mut self, at: usize, length: usize) {
        if self.all || length == 0 {
            return;
        }
        if at == 0 && length == self.elements {
            self.all = true;
            self.words = Vec::new();
            return;
        }
        self.words.resize(self.elements.div_ceil(64), 0);
        for (word, mask) in Self::masks(at, length) {
            self.words[word] |= mask;
        }
    }

    /// Whether a run is in the set as a whole.
    pub fn contains(&self, at: usize, length: usize) -> bool {
        self.all
            || length == 0
            || (!self.words.is_empty()
                && Self::masks(at, length).all(|(word, mask)| self.words[word] & mask == mask))
    }

    fn meets(&self, at: usize, length: usize) -> bool {
        if length == 0 {
            return false;
        }
        self.all
            || (!self.words.is_empty()
                && Self::masks(at, length).any(|(word, mask)| self.words[word] & mask != 0))
    }

    pub fn is_everything(&self) -> bool {
        self.contains(0, self.elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(offset: usize, strides: &[usize], sizes: &[usize]) -> Region {
        Region {
            view: View {
                buffer: 0,
                offset,
                strides: strides.to_vec(),
            },
            sizes: sizes.to_vec(),
        }
    }

    #[test]
    fn two_elements_in_one_place_are_seen() {
        assert!(region(0, &[12, 4, 1], &[2, 3, 4]).is_injective());
        assert!(region(5, &[1, 8], &[8, 3]).is_injective());
        assert!(!region(0, &[0, 1], &[2, 3]).is_injective());
        assert!(!region(0, &[2, 1], &[3, 3]).is_injective());
        assert!(region(0, &[0, 1], &[1, 3]).is_injective());
    }

    #[test]
    fn interleaved_regions_do_not_meet() {
        let (left, right) = (region(0, &[8, 1], &[5, 4]), region(4, &[8, 1], &[5, 4]));
        assert!(!left.meets(&right) && !right.meets(&left));
        assert!(left.meets(&region(3, &[8, 1], &[5, 4])));
        assert!(region(3, &[8, 1], &[5, 4]).meets(&left));
        assert!(!left.meets(&region(100, &[1], &[5])));
        assert!(!left.meets(&region(0, &[1], &[0])));
    }

    #[test]
    fn runs_cover_each_element_once() {
        let mut seen = Vec::new();
        region(1, &[20, 1, 5], &[2, 5, 3]).runs(|at, length| {
            seen.extend(at..at + length);
            true
        });
        seen.sort_unstable();
        let wanted: Vec<usize> = (1..16).chain(21..36).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn places_are_added_and_found() {
        let mut places = Places::new(300);
        assert!(!places.contains(3, 1) && places.contains(3, 0));
        places.add(60, 140);
        assert!(places.contains(60, 140) && places.contains(64, 64));
        assert!(!places.contains(59, 2) && !places.contains(199, 2));
        places.add(0, 60);
        places.add(200, 100);
        assert!(places.is_everything());
    }
}
