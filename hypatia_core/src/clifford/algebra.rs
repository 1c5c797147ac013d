//! An algebra: a signature, the order of its basis blades, and the Cayley tables they imply.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use super::blade::Blade;
use super::product::{Entry, Product};
use super::signature::Signature;
use super::stage::Stages;
use crate::error::{Error, Result};

/// The Clifford algebra of a signature.
///
/// Its blades are ordered by grade, then by their factors; the space algebra (3, 0, 0) has the cyclic
/// bivectors `e12, e23, e31`, where `e31 = −e13`. Every table is computed from the bit sets of the
/// blades; no sign is written by hand.
#[derive(Debug)]
pub struct Algebra {
    signature: Signature,
    blades: Vec<BasisBlade>,
    /// Position in `blades` of each bit set.
    position: Vec<u16>,
    /// `grade_start[g]..grade_start[g + 1]` are the positions of grade g.
    grade_start: Vec<usize>,
    tables: [OnceLock<Vec<Entry>>; Product::COUNT],
    stages: [OnceLock<Stages>; Product::COUNT],
}

/// A basis element: `orientation` times a canonical blade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasisBlade {
    /// The canonical blade.
    pub blade: Blade,
    /// −1 where the name lists the factors in an odd order, as `e31` does.
    pub orientation: i8,
    /// The name, such as `e12`; the scalar is `s`.
    pub name: String,
}

static ALGEBRAS: LazyLock<Mutex<HashMap<Signature, &'static Algebra>>> =
    LazyLock::new(Mutex::default);

impl Algebra {
    /// The algebra of (p, q, r); one for each signature, which lives as long as the process.
    ///
    /// # Errors
    /// As [`Signature::new`].
    pub fn new(p: usize, q: usize, r: usize) -> Result<&'static Self> {
        Ok(Self::of(Signature::new(p, q, r)?))
    }

    /// The algebra of a named model.
    ///
    /// # Errors
    /// As [`Signature::named`].
    pub fn named(name: &str) -> Result<&'static Self> {
        Ok(Self::of(Signature::named(name)?))
    }

    /// The algebra of this signature.
    pub fn of(signature: Signature) -> &'static Self {
        let mut algebras = ALGEBRAS.lock().unwrap_or_else(PoisonError::into_inner);
        algebras
            .entry(signature)
            .or_insert_with(|| Box::leak(Box::new(Self::build(signature))))
    }

    fn build(signature: Signature) -> Self {
        let dimension = signature.dimension();
        let cyclic = signature.counts() == (3, 0, 0);
        let mut words: Vec<Vec<usize>> = (0..1u16 << dimension)
            .map(|bits| Blade(bits).factors().collect())
            .collect();
        words.sort_by_key(|word| (word.len(), word.clone()));
        if cyclic {
            words[4..7].clone_from_slice(&[vec![0, 1], vec![1, 2], vec![2, 0]]);
        }
        let digit = signature.first_digit();
        let blades: Vec<BasisBlade> = words
            .iter()
            .map(|word| {
                let (blade, orientation) = wedge_word(word).unwrap_or((Blade::SCALAR, 1));
                let digits: String = word.iter().map(|k| (k + digit).to_string()).collect();
                let name = if word.is_empty() {
                    "s".into()
                } else {
                    format!("e{digits}")
                };
                BasisBlade {
                    blade,
                    orientation,
                    name,
                }
            })
            .collect();
        let mut position = vec![0; blades.len()];
        let mut grade_start = vec![0; dimension + 2];
        for (k, element) in blades.iter().enumerate() {
            position[usize::from(element.blade.0)] = k as u16;
            grade_start[element.blade.grade() + 1] = k + 1;
        }
        Self {
            signature,
            blades,
            position,
            grade_start,
            tables: Default::default(),
            stages: Default::default(),
        }
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The number of basis vectors.
    pub fn dimension(&self) -> usize {
        self.signature.dimension()
    }

    /// The number of basis blades, 2ⁿ.
    pub fn len(&self) -> usize {
        self.blades.len()
    }

    /// Never: an algebra has at least its scalars.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The basis in order.
    pub fn blades(&self) -> &[BasisBlade] {
        &self.blades
    }

    /// The grade of the blade at this position.
    pub fn grade(&self, position: usize) -> usize {
        self.blades[position].blade.grade()
    }

    /// The positions of the blades of a grade; empty above the dimension.
    pub fn positions(&self, grade: usize) -> Range<usize> {
        match self.grade_start.get(grade..=grade + 1) {
            Some([from, to]) => *from..*to,
            _ => 0..0,
        }
    }

    /// A signed basis element for a canonical blade with a sign.
    fn element(&self, (blade, sign): (Blade, i8)) -> (usize, i8) {
        let k = usize::from(self.position[usize::from(blade.0)]);
        (k, sign * self.blades[k].orientation)
    }

    /// The basis element and sign that a name such as `e31`, `e13` or `s` stands for, or `None`.
    pub fn blade_named(&self, name: &str) -> Option<(usize, i8)> {
        if name == "s" {
            return Some((0, 1));
        }
        let digits = name.strip_prefix('e')?;
        let first = self.signature.first_digit();
        let word: Option<Vec<usize>> = digits
            .chars()
            .map(|c| {
                (c.to_digit(10)? as usize)
                    .checked_sub(first)
                    .filter(|&k| k < self.dimension())
            })
            .collect();
        let word = word.filter(|word| !word.is_empty())?;
        Some(self.element(wedge_word(&word)?))
    }

    /// As [`Self::blade_named`], with an error that lists the names.
    ///
    /// # Errors
    /// If the name is none of this algebra's.
    pub fn require_blade(&self, name: &str) -> Result<(usize, i8)> {
        self.blade_named(name).ok_or_else(|| {
            let names: Vec<&str> = self.blades.iter().take(16).map(|b| b.name.as_str()).collect();
            let more = if self.len() > 16 { ", …" } else { "" };
            Error::new(format!(
                "{self} has no blade '{name}'. Blades: {}{more}, and the same factors in any order.",
                names.join(", ")
            ))
        })
    }

    /// The Cayley table of a product, row by row: what left blade i times right blade j gives.
    pub fn table(&self, product: Product) -> &[Entry] {
        self.tables[product as usize].get_or_init(|| {
            let n = self.len();
            (0..n * n)
                .map(|ij| self.entry(product, ij / n, ij % n))
                .collect()
        })
    }

    /// The table of a product, staged by grade.
    pub(super) fn stages(&self, product: Product) -> &Stages {
        self.stages[product as usize].get_or_init(|| Stages::new(self, product))
    }

    fn entry(&self, product: Product, i: usize, j: usize) -> Entry {
        if product == Product::Regressive {
            let ((ci, si), (cj, sj)) = (self.complement(i), self.complement(j));
            let outer = self.entry(Product::Outer, ci, cj);
            let (k, sk) = self.uncomplement(usize::from(outer.blade));
            return Entry {
                blade: k as u16,
                sign: si * sj * sk * outer.sign,
            };
        }
        let (a, b) = (&self.blades[i], &self.blades[j]);
        let (blade, sign) = a.blade.product(b.blade, &self.signature);
        let kept = product.keeps(a.blade.grade(), b.blade.grade(), blade.grade());
        let (k, orientation) = self.element((blade, 1));
        let sign = if kept {
            sign * a.orientation * b.orientation * orientation
        } else {
            0
        };
        Entry {
            blade: k as u16,
            sign,
        }
    }

    /// The right complement c(b) of a basis element: b ∧ c(b) = the pseudoscalar.
    pub fn complement(&self, position: usize) -> (usize, i8) {
        let (a, full) = (&self.blades[position], (self.len() - 1) as u16);
        let rest = Blade(full & !a.blade.0);
        self.element((
            rest,
            a.orientation * self.pseudoscalar_sign() * a.blade.reordering_sign(rest),
        ))
    }

    /// The left complement: u(b) ∧ b = the pseudoscalar; the inverse of [`Self::complement`].
    pub fn uncomplement(&self, position: usize) -> (usize, i8) {
        let (a, full) = (&self.blades[position], (self.len() - 1) as u16);
        let rest = Blade(full & !a.blade.0);
        self.element((
            rest,
            a.orientation * self.pseudoscalar_sign() * rest.reordering_sign(a.blade),
        ))
    }

    fn pseudoscalar_sign(&self) -> i8 {
        self.blades[self.len() - 1].orientation
    }
}

/// The outer product of basis vectors in the order given; `None` if one repeats.
fn wedge_word(word: &[usize]) -> Option<(Blade, i8)> {
    word.iter()
        .try_fold((Blade::SCALAR, 1), |(blade, sign), &k| {
            let vector = Blade(1 << k);
            (blade.0 & vector.0 == 0).then(|| {
                (
                    Blade(blade.0 | vector.0),
                    sign * blade.reordering_sign(vector),
                )
            })
        })
}

impl std::fmt::Display for Algebra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p, q, r) = self.signature.counts();
        match self.signature.model() {
            Some(model) => write!(f, "{}", model.name),
            None => write!(f, "Algebra({p}, {q}, {r})"),
        }
    }
}

impl PartialEq for Algebra {
    fn eq(&self, other: &Self) -> bool {
        self.signature == other.signature
    }
}
