//! The bilinear products of an algebra, and which grades each can give.

use super::algebra::Algebra;
use crate::error::{Error, Result};

/// One entry of a Cayley table: `sign` times the basis element at `blade`; sign 0 is no term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// Position of the resulting basis element.
    pub blade: u16,
    /// −1, 0 or +1.
    pub sign: i8,
}

/// One term of an expanded product: `out[result] += sign · left[left] · right[right]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Position of the left factor's blade.
    pub left: u16,
    /// Position of the right factor's blade.
    pub right: u16,
    /// Position of the resulting blade.
    pub result: u16,
    /// −1 or +1.
    pub sign: i8,
}

/// A set of grades, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Grades(pub u16);

impl Grades {
    /// The one grade g.
    pub const fn only(grade: usize) -> Self {
        Self(1 << grade)
    }

    /// Every grade of an algebra of this dimension.
    pub const fn all(dimension: usize) -> Self {
        Self(((1u32 << (dimension + 1)) - 1) as u16)
    }

    /// The even grades.
    pub const EVEN: Self = Self(0x5555);

    /// The grades whose blades are their own reverse.
    pub const OWN_REVERSE: Self = Self(0x3333);

    /// Whether g is among them.
    pub const fn contains(self, grade: usize) -> bool {
        self.0 >> grade & 1 == 1
    }

    /// The grades in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let grade = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            (grade < 16).then_some(grade)
        })
    }

    /// Those in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<usize> for Grades {
    fn from_iter<I: IntoIterator<Item = usize>>(grades: I) -> Self {
        Self(grades.into_iter().fold(0, |bits, g| bits | 1 << g))
    }
}

/// A bilinear product. The conventions follow Dorst, "The Inner Products of Geometric Algebra" (2002).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Product {
    /// `a b`: all grades.
    Geometric,
    /// `a ∧ b`: grade r + s.
    Outer,
    /// `a • b`, the symmetric inner product: grade |r − s|, scalars included.
    Inner,
    /// `a ⌋ b`: grade s − r.
    LeftContraction,
    /// `a ⌊ b`: grade r − s.
    RightContraction,
    /// `a ∨ b`: the outer product of the complements, uncomplemented; needs no metric.
    Regressive,
    /// `⟨a b⟩₀`.
    Scalar,
}

impl Product {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// Every product with its name.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Geometric, "geometric"),
        (Self::Outer, "outer"),
        (Self::Inner, "inner"),
        (Self::LeftContraction, "left_contraction"),
        (Self::RightContraction, "right_contraction"),
        (Self::Regressive, "regressive"),
        (Self::Scalar, "scalar"),
    ];

    /// The product with this name.
    ///
    /// # Errors
    /// If none has; the message lists the names.
    pub fn named(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(product, _)| *product)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|(_, known)| *known).collect();
                Error::new(format!(
                    "unknown product '{name}'. Products: {}.",
                    names.join(", ")
                ))
            })
    }

    /// Whether the grade-t part of a product of grades r and s belongs to this product.
    /// The regressive product is not a part of the geometric one and answers for itself.
    pub(super) fn keeps(self, r: usize, s: usize, t: usize) -> bool {
        match self {
            Self::Geometric | Self::Regressive => true,
            Self::Outer => t == r + s,
            Self::Inner => t == r.abs_diff(s),
            Self::LeftContraction => s >= r && t == s - r,
            Self::RightContraction => r >= s && t == r - s,
            Self::Scalar => t == 0,
        }
    }

    /// The grades that a product of grades r and s can have in dimension n.
    pub fn grades(self, r: usize, s: usize, n: usize) -> Grades {
        match self {
            Self::Regressive => (r + s).checked_sub(n).into_iter().collect(),
            _ => (r.abs_diff(s)..=usize::min(r + s, 2 * n - r - s))
                .step_by(2)
                .filter(|&t| self.keeps(r, s, t))
                .collect(),
        }
    }

    /// The grades that a product of these grades can have.
    pub fn grades_of(self, left: Grades, right: Grades, n: usize) -> Grades {
        let pairs = left.iter().flat_map(|r| right.iter().map(move |s| (r, s)));
        pairs.fold(Grades::default(), |grades, (r, s)| {
            grades.union(self.grades(r, s, n))
        })
    }
}

impl Algebra {
    /// The terms of a product of multivectors that have these grades only: known zeros cost nothing.
    /// Ordered by result, so that a reader may sum them one result at a time.
    pub fn terms(&self, product: Product, left: Grades, right: Grades) -> Vec<Term> {
        let (n, table) = (self.len(), self.table(product));
        let positions = |grades: Grades| {
            grades
                .iter()
                .flat_map(|g| self.positions(g))
                .collect::<Vec<_>>()
        };
        let rights = positions(right);
        let mut terms = Vec::new();
        for i in positions(left) {
            for &j in &rights {
                let Entry { blade, sign } = table[i * n + j];
                if sign != 0 {
                    terms.push(Term {
                        left: i as u16,
                        right: j as u16,
                        result: blade,
                        sign,
                    });
                }
            }
        }
        terms.sort_by_key(|term| (term.result, term.left, term.right));
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed basis elements: associativity over every triple, anticommutation, metric.
    fn check(p: usize, q: usize, r: usize) {
        let algebra = Algebra::new(p, q, r).unwrap();
        let (n, table) = (algebra.len(), algebra.table(Product::Geometric));
        let times = |(i, s): (usize, i8), j: usize| {
            let entry = table[i * n + j];
            (usize::from(entry.blade), s * entry.sign)
        };
        let same = |a: (usize, i8), b: (usize, i8)| a.1 == b.1 && (a.1 == 0 || a.0 == b.0);
        for i in 0..n {
            for j in 0..n {
                let ij = times((i, 1), j);
                for k in 0..n {
                    let (jk, s) = times((j, 1), k);
                    let right = times((i, s), jk);
                    assert!(same(times(ij, k), right), "({i} {j}) {k} in {algebra}");
                }
            }
        }
        let vectors = algebra.positions(1);
        for (a, i) in vectors.clone().enumerate() {
            assert_eq!(times((i, 1), i), (0, algebra.signature().square(a)));
            for j in vectors.clone().filter(|&j| j != i) {
                let (ij, ji) = (times((i, 1), j), times((j, 1), i));
                assert_eq!((ij.0, ij.1), (ji.0, -ji.1));
            }
        }
    }

    #[test]
    fn every_model_is_associative_and_has_its_metric() {
        for model in super::super::signature::MODELS {
            let (p, q, r) = model.signature;
            check(p, q, r);
        }
        check(2, 2, 1);
        check(0, 2, 0);
        check(1, 0, 2);
    }

    #[test]
    fn the_largest_algebra_is_associative_on_sampled_triples() {
        let algebra = Algebra::new(4, 3, 2).unwrap();
        let (n, table) = (algebra.len(), algebra.table(Product::Geometric));
        for seed in 0..20_000usize {
            let (i, j, k) = (
                seed * 7919 % n,
                seed * 104_729 % n,
                (seed * 31 + seed / n) % n,
            );
            let (ij, jk) = (table[i * n + j], table[j * n + k]);
            let left = table[usize::from(ij.blade) * n + k];
            let right = table[i * n + usize::from(jk.blade)];
            assert_eq!(ij.sign * left.sign, jk.sign * right.sign);
            assert!(ij.sign * left.sign == 0 || left.blade == right.blade);
        }
    }

    #[test]
    fn complements_wedge_to_the_pseudoscalar() {
        for model in super::super::signature::MODELS {
            let algebra = Algebra::named(model.name).unwrap();
            let (n, outer) = (algebra.len(), algebra.table(Product::Outer));
            for i in 0..n {
                let (c, s) = algebra.complement(i);
                let entry = outer[i * n + c];
                assert_eq!((usize::from(entry.blade), entry.sign * s), (n - 1, 1));
                let (back, t) = algebra.uncomplement(c);
                assert_eq!((back, s * t), (i, 1));
            }
        }
    }

    #[test]
    fn predicted_grades_cover_the_table() {
        let algebra = Algebra::new(3, 1, 1).unwrap();
        for (product, name) in Product::ALL {
            for (ij, entry) in algebra.table(product).iter().enumerate() {
                let (r, s) = (
                    algebra.grade(ij / algebra.len()),
                    algebra.grade(ij % algebra.len()),
                );
                let grades = product.grades(r, s, algebra.dimension());
                assert!(
                    entry.sign == 0 || grades.contains(algebra.grade(entry.blade.into())),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn rotating_a_vector_by_terms_is_grade_sparse() {
        let space = Algebra::named("VGA3D").unwrap();
        let (even, vector) = (Grades(0b101), Grades::only(1));
        assert_eq!(space.terms(Product::Geometric, even, vector).len(), 12);
        assert_eq!(
            space
                .terms(Product::Geometric, Grades::all(3), Grades::all(3))
                .len(),
            64
        );
    }
}
