//! Sets of small numbers.

/// Classes by position, as bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    pub fn with_capacity(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    /// All of so many.
    pub fn full(bits: usize) -> Self {
        let mut all = Self::with_capacity(bits);
        all.fill(bits);
        all
    }

    /// Makes it all of so many.
    pub fn fill(&mut self, bits: usize) {
        self.0.fill(u64::MAX);
        if let (Some(last), rest @ 1..) = (self.0.last_mut(), bits % 64) {
            *last = (1 << rest) - 1;
        }
    }

    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    pub fn intersect(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a &= b;
        }
    }

    pub fn insert(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    pub fn contains(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    pub fn union(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        members(self.0.iter().copied())
    }

    /// Those that another set of the same capacity has not.
    pub fn without<'b>(&'b self, other: &'b Self) -> impl Iterator<Item = usize> + 'b {
        members(self.0.iter().zip(&other.0).map(|(&a, &b)| a & !b))
    }
}

fn members(words: impl Iterator<Item = u64>) -> impl Iterator<Item = usize> {
    words.enumerate().flat_map(|(i, word)| {
        std::iter::successors((word != 0).then_some(word), |w| {
            let rest = w & (w - 1);
            (rest != 0).then_some(rest)
        })
        .map(move |w| i * 64 + w.trailing_zeros() as usize)
    })
}
