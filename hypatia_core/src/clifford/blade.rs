//! Basis blades as bit sets: bit k set means that the k-th basis vector is a factor.

use super::signature::Signature;

/// A canonical basis blade: its factors in ascending order of the basis vectors.
///
/// ```
/// use _hypatia_core::clifford::{Blade, Signature};
/// let (e1, e2) = (Blade(0b01), Blade(0b10));
/// let plane = Signature::new(2, 0, 0).unwrap();
/// assert_eq!(e2.product(e1, &plane), (Blade(0b11), -1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blade(pub u16);

impl Blade {
    /// The empty product, 1.
    pub const SCALAR: Self = Self(0);

    /// How many vectors it is a product of.
    pub const fn grade(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The sign that sorting the factors of `self · other` into ascending order costs.
    ///
    /// Counts the pairs (factor of `self`, factor of `other`) that stand in the wrong order;
    /// each costs one exchange of anticommuting vectors.
    pub const fn reordering_sign(self, other: Self) -> i8 {
        let mut higher = self.0 >> 1;
        let mut exchanges = 0;
        while higher != 0 {
            exchanges += (higher & other.0).count_ones();
            higher >>= 1;
        }
        if exchanges.is_multiple_of(2) { 1 } else { -1 }
    }

    /// The geometric product `self · other`: a blade and a sign, which is 0 where a null vector
    /// meets itself.
    pub fn product(self, other: Self, signature: &Signature) -> (Self, i8) {
        let mut sign = self.reordering_sign(other);
        let mut shared = self.0 & other.0;
        while shared != 0 {
            sign *= signature.square(shared.trailing_zeros() as usize);
            shared &= shared - 1;
        }
        (Self(self.0 ^ other.0), sign)
    }

    /// The sign of reversing the factors of a blade of this grade: (−1)^(g(g−1)/2).
    pub const fn reverse_sign(grade: usize) -> i8 {
        if grade % 4 < 2 { 1 } else { -1 }
    }

    /// The indices of its factors, ascending.
    pub fn factors(self) -> impl Iterator<Item = usize> {
        (0..16).filter(move |k| self.0 >> k & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same product by definition: write the factors out, exchange neighbours, contract pairs.
    fn by_bubble_sort(a: Blade, b: Blade, signature: &Signature) -> (Blade, i8) {
        let mut word: Vec<usize> = a.factors().chain(b.factors()).collect();
        let mut sign = 1;
        while let Some(k) = (1..word.len()).find(|&k| word[k - 1] >= word[k]) {
            if word[k - 1] == word[k] {
                sign *= signature.square(word[k]);
                word.drain(k - 1..=k);
            } else {
                word.swap(k - 1, k);
                sign = -sign;
            }
        }
        (Blade(word.iter().map(|k| 1 << k).sum()), sign)
    }

    #[test]
    fn product_is_the_sorted_word() {
        for (p, q, r) in [(3, 0, 0), (3, 0, 1), (1, 3, 0), (2, 2, 1)] {
            let signature = Signature::new(p, q, r).unwrap();
            for a in 0..1 << (p + q + r) {
                for b in 0..1 << (p + q + r) {
                    let (a, b) = (Blade(a), Blade(b));
                    assert_eq!(a.product(b, &signature), by_bubble_sort(a, b, &signature));
                }
            }
        }
    }

    #[test]
    fn reverse_sign_is_the_sign_of_the_reversed_word() {
        for grade in 0..9 {
            let exchanges = grade * (usize::max(grade, 1) - 1) / 2;
            assert_eq!(
                Blade::reverse_sign(grade),
                if exchanges % 2 == 0 { 1 } else { -1 }
            );
        }
    }
}
