//! The sandwich A x Ã: the action of rotors, motors and reflections.

use std::collections::BTreeMap;

use super::algebra::Algebra;
use super::blade::Blade;
use super::multivector::Multivector;
use super::product::{Grades, Product};
use crate::error::Result;

/// One term of an expanded sandwich: `out[result] += factor · A[first] · A[second] · x[input]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandwichTerm {
    /// Position of the resulting blade.
    pub result: u16,
    /// Position of the blade of x.
    pub input: u16,
    /// Position of one factor of A, at most `second`.
    pub first: u16,
    /// Position of the other factor of A.
    pub second: u16,
    /// How often the term stands, with its sign; never 0.
    pub factor: i32,
}

/// The grades of A x Ã. It is its own reverse, or its negative, wherever x is; and A of one parity keeps
/// the parity of x.
pub(super) fn grades_of_sandwich(versor: Grades, x: Grades, dimension: usize) -> Grades {
    let even = versor.intersection(Grades::EVEN).0 != 0;
    let odd = versor.0 & !Grades::EVEN.0 != 0;
    (0..=dimension)
        .filter(|&t| {
            x.iter().any(|g| {
                Blade::reverse_sign(g) == Blade::reverse_sign(t)
                    && ((even && odd) || g % 2 == t % 2)
            })
        })
        .collect()
}

impl Algebra {
    /// A x Ã written out as a matrix whose entries are quadratic in A, like terms joined and those that
    /// cancel left out. Build it once for many x.
    pub fn sandwich_terms(&self, versor: Grades, x: Grades) -> Vec<SandwichTerm> {
        let n = self.len();
        let table = self.table(Product::Geometric);
        let positions = |grades: Grades| {
            grades
                .iter()
                .flat_map(|g| self.positions(g))
                .collect::<Vec<_>>()
        };
        let (left, inputs) = (positions(versor), positions(x));
        let mut factors = BTreeMap::new();
        for &input in &inputs {
            for &i in &left {
                let once = table[i * n + input];
                for &j in left.iter().filter(|_| once.sign != 0) {
                    let twice = table[usize::from(once.blade) * n + j];
                    let sign = once.sign * twice.sign * Blade::reverse_sign(self.grade(j));
                    let key = (twice.blade, input as u16, i.min(j) as u16, i.max(j) as u16);
                    *factors.entry(key).or_insert(0) += i32::from(sign);
                }
            }
        }
        let terms = factors.into_iter().filter(|(_, factor)| *factor != 0);
        terms
            .map(|((result, input, first, second), factor)| SandwichTerm {
                result,
                input,
                first,
                second,
                factor,
            })
            .collect()
    }
}

impl Multivector {
    /// A x Ã. A unit rotor turns x; by the convention R = cos(θ/2) − sin(θ/2) B it turns
    /// counter-clockwise in the oriented plane B.
    ///
    /// # Errors
    /// If the algebras differ.
    pub fn sandwich(&self, x: &Self) -> Result<Self> {
        let grades = grades_of_sandwich(
            self.possible_grades(),
            x.possible_grades(),
            self.algebra().dimension(),
        );
        let once = self.product(Product::Geometric, x)?;
        Ok(once.multiplied_to(Product::Geometric, &self.reverse(), grades))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_of_a_rotor_has_the_known_count_of_terms() {
        let space = Algebra::named("VGA3D").unwrap();
        let terms = space.sandwich_terms(Grades(0b101), Grades::only(1));
        // Nine entries: four squares on the diagonal, two joined products elsewhere.
        assert_eq!(terms.len(), 3 * 4 + 6 * 2);
        assert!(
            terms
                .iter()
                .all(|term| space.grade(term.result.into()) == 1)
        );
    }

    #[test]
    fn terms_agree_with_two_products() {
        for model in super::super::signature::MODELS {
            let algebra = Algebra::named(model.name).unwrap();
            let wave = |scale: f64| {
                let values = (0..algebra.len())
                    .map(|k| (k as f64 * scale + 1.0).sin())
                    .collect();
                Multivector::new(algebra, values).unwrap()
            };
            let (a, x) = (wave(0.7), wave(1.3));
            let all = Grades::all(algebra.dimension());
            let mut out = vec![0.0; algebra.len()];
            for term in algebra.sandwich_terms(all, all) {
                let (i, j, k) = (
                    usize::from(term.first),
                    usize::from(term.second),
                    usize::from(term.input),
                );
                let aa = a.coefficients()[i] * a.coefficients()[j];
                out[usize::from(term.result)] += f64::from(term.factor) * aa * x.coefficients()[k];
            }
            let out = Multivector::new(algebra, out).unwrap();
            assert!(
                a.sandwich(&x).unwrap().is_close(&out, 1e-13, 0.0).unwrap(),
                "{algebra}"
            );
        }
    }
}
