//! Left ideals of an algebra, found in its multiplication table alone: signed permutations that commute with every
//! element's matrix are what multiplication from the other side looks like.
//!
//! Where P is one of them and P² = 1, its eigenspaces are mapped into themselves. Where another one, F, has F P = −P F,
//! it carries one eigenspace to the other: all matrices act on both alike, so that a map over the whole space is one
//! of half the size, done twice. What is left may fall apart again. Clifford algebras of p + q = n over the reals are
//! matrix algebras (P. Lounesto, Clifford Algebras and Spinors, ch. 16); their minimal left ideals are the spinors.

/// A place other than zero: its row, its column and its sign.
pub type Place = (usize, usize, i8);

/// Maps y = Σᵢ wᵢ Tᵢ x, taken apart: y = C (A ⊕ … ⊕ A) Bᵀ x / `copies`, where A = Σᵢ wᵢ Aᵢ.
///
/// Column `copy · size + m` of B and of C is basis vector m of a copy. Both are orthogonal, with columns of `copies`
/// places ±1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ideals {
    /// How many spaces there are, a power of two.
    pub copies: usize,
    /// The dimension of each.
    pub size: usize,
    /// Places (place of x, column, sign) of B.
    pub input: Vec<Place>,
    /// Places (place of y, column, sign) of C.
    pub output: Vec<Place>,
    /// The places of each Aᵢ.
    pub reduced: Vec<Vec<Place>>,
}

/// Where each basis vector goes, if not to zero.
type Monomial = Vec<Option<(usize, i8)>>;
/// Where each basis vector goes, none to zero and no two to one.
type Permutation = Vec<(usize, i8)>;

/// Takes maps by n×n tables apart, as far as signed permutations reach. `None` where they reach nothing, where a table
/// has a row or a column of two places, or where none is invertible.
pub fn ideals(n: usize, tables: &[Vec<Place>]) -> Option<Ideals> {
    let maps: Vec<Monomial> = tables
        .iter()
        .map(|table| monomial(n, table))
        .collect::<Option<_>>()?;
    // One invertible element says which place of y stands for which of x: all others are seen past it.
    let first = maps.iter().find_map(permutation)?;
    let back = inverse(&first);
    let seen: Vec<Monomial> = maps.iter().map(|map| after(&back, map)).collect();
    let (copies, basis, inner) = taken_apart(n, &seen);
    if copies == 1 {
        return None;
    }
    let output = basis
        .iter()
        .map(|&(place, column, sign)| (first[place].0, column, first[place].1 * sign))
        .collect();
    let found = Ideals {
        copies,
        size: n / copies,
        input: basis,
        output,
        reduced: inner.iter().map(places_of).collect(),
    };
    found.is_proved(n, tables).then_some(found)
}

impl Ideals {
    /// Whether Bᵀ B = Cᵀ C = copies and Cᵀ Tᵢ B = copies · (Aᵢ ⊕ … ⊕ Aᵢ) for every i, in integers.
    fn is_proved(&self, n: usize, tables: &[Vec<Place>]) -> bool {
        let (b, c) = (dense(n, &self.input), dense(n, &self.output));
        let (bt, ct) = (transposed(n, &b), transposed(n, &c));
        let copies = self.copies as i64;
        let one: Vec<Place> = (0..n).map(|k| (k, k, 1)).collect();
        let scale = |places: &[Place]| {
            let mut all = dense(n, places);
            all.iter_mut().for_each(|value| *value *= copies);
            all
        };
        let unit = scale(&one);
        product(n, &bt, &b) == unit
            && product(n, &ct, &c) == unit
            && tables.iter().zip(&self.reduced).all(|(table, reduced)| {
                let blocks: Vec<Place> = (0..self.copies)
                    .flat_map(|copy| {
                        let at = copy * self.size;
                        reduced.iter().map(move |&(k, m, s)| (at + k, at + m, s))
                    })
                    .collect();
                let inner = product(n, &dense(n, table), &b);
                product(n, &ct, &inner) == scale(&blocks)
            })
    }
}

/// Copies, the places of B, and the matrices on one copy.
fn taken_apart(n: usize, maps: &[Monomial]) -> (usize, Vec<Place>, Vec<Monomial>) {
    let whole = || {
        let basis = (0..n).map(|k| (k, k, 1)).collect();
        (1, basis, maps.to_vec())
    };
    let commuting = commuting(n, maps);
    let involution = |p: &&Permutation| {
        (0..n).all(|j| {
            let (k, sign) = p[j];
            k != j && p[k] == (j, sign)
        })
    };
    let found = commuting.iter().filter(involution).find_map(|p| {
        let turned = |f: &&Permutation| {
            (0..n).all(|j| {
                let ((a, s), (b, t)) = (p[j], f[j]);
                let ((fp, u), (pf, v)) = (f[a], p[b]);
                fp == pf && s * u == -t * v
            })
        };
        Some((p, commuting.iter().find(turned)?))
    });
    let Some((p, f)) = found else { return whole() };
    // bₘ = e + P e for one e of each pair; F bₘ for the other eigenspace.
    let first: Vec<usize> = (0..n).filter(|&j| j < p[j].0).collect();
    let mut of_place = vec![(0, 0i8); n];
    for (m, &j) in first.iter().enumerate() {
        of_place[j] = (m, 1);
        of_place[p[j].0] = (m, p[j].1);
    }
    let halves: Vec<Monomial> = maps
        .iter()
        .map(|map| {
            let image = |&j: &usize| {
                let (k, sign) = map[j]?;
                let (m, s) = of_place[k];
                Some((m, sign * s))
            };
            first.iter().map(image).collect()
        })
        .collect();
    let (copies, basis, inner) = taken_apart(n / 2, &halves);
    let mut places = Vec::new();
    for &(m, column, sign) in &basis {
        let j = first[m];
        for (k, s) in [(j, 1), p[j]] {
            places.push((k, column, sign * s));
            let (image, t) = f[k];
            places.push((image, n / 2 + column, sign * s * t));
        }
    }
    (2 * copies, places, inner)
}

/// Signed permutations, one of each pair ±P, that commute with all maps: each is known by where it takes a basis
/// vector from which the maps reach all others. None where there is no such vector.
fn commuting(n: usize, maps: &[Monomial]) -> Vec<Permutation> {
    let from = |seed: usize, to: usize| -> Option<Permutation> {
        let mut images: Monomial = vec![None; n];
        images[seed] = Some((to, 1));
        let mut open = vec![seed];
        while let Some(j) = open.pop() {
            let (p, s) = images[j]?;
            for map in maps {
                match (map[j], map[p]) {
                    (None, None) => {}
                    (Some((k, a)), Some((q, b))) => {
                        let image = (q, a * s * b);
                        match images[k] {
                            None => {
                                images[k] = Some(image);
                                open.push(k);
                            }
                            Some(known) if known == image => {}
                            Some(_) => return None,
                        }
                    }
                    _ => return None,
                }
            }
        }
        permutation(&images)
    };
    (0..n)
        .find(|&seed| from(seed, seed).is_some())
        .map(|seed| (0..n).filter_map(|to| from(seed, to)).collect())
        .unwrap_or_default()
}

fn monomial(n: usize, table: &[Place]) -> Option<Monomial> {
    let mut map: Monomial = vec![None; n];
    let mut taken = vec![false; n];
    for &(row, column, sign) in table {
        let fits = row < n && column < n && sign.abs() == 1;
        if !fits || map[column].is_some() || std::mem::replace(&mut taken[row], true) {
            return None;
        }
        map[column] = Some((row, sign));
    }
    Some(map)
}

fn permutation(map: &Monomial) -> Option<Permutation> {
    let images: Permutation = map.iter().copied().collect::<Option<_>>()?;
    let mut taken = vec![false; images.len()];
    let apart = images
        .iter()
        .all(|&(k, _)| !std::mem::replace(&mut taken[k], true));
    apart.then_some(images)
}

fn inverse(p: &Permutation) -> Permutation {
    let mut back = vec![(0, 1); p.len()];
    for (j, &(k, sign)) in p.iter().enumerate() {
        back[k] = (j, sign);
    }
    back
}

fn after(p: &Permutation, map: &Monomial) -> Monomial {
    let image = |place: &Option<(usize, i8)>| place.map(|(k, sign)| (p[k].0, sign * p[k].1));
    map.iter().map(image).collect()
}

fn places_of(map: &Monomial) -> Vec<Place> {
    let place = |(column, image): (usize, &Option<(usize, i8)>)| {
        image.map(|(row, sign)| (row, column, sign))
    };
    map.iter().enumerate().filter_map(place).collect()
}

fn dense(n: usize, places: &[Place]) -> Vec<i64> {
    let mut matrix = vec![0; n * n];
    for &(row, column, sign) in places {
        matrix[row * n + column] += i64::from(sign);
    }
    matrix
}

fn transposed(n: usize, a: &[i64]) -> Vec<i64> {
    (0..n * n).map(|at| a[at % n * n + at / n]).collect()
}

fn product(n: usize, a: &[i64], b: &[i64]) -> Vec<i64> {
    let mut c = vec![0; n * n];
    for (row, to) in a.chunks(n).zip(c.chunks_mut(n)) {
        for (&x, line) in row.iter().zip(b.chunks(n)).filter(|(x, _)| **x != 0) {
            for (sum, y) in to.iter_mut().zip(line) {
                *sum += x * y;
            }
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clifford::{Algebra, Product};

    /// The dimension, and the matrices of multiplication from the left by each blade.
    fn left(p: usize, q: usize, r: usize) -> (usize, Vec<Vec<Place>>) {
        let algebra = Algebra::new(p, q, r).unwrap();
        let n = algebra.len();
        let table = algebra.table(Product::Geometric);
        let places = |i: usize| {
            let row = table[i * n..][..n].iter().enumerate();
            row.filter(|(_, entry)| entry.sign != 0)
                .map(|(j, entry)| (entry.blade.into(), j, entry.sign))
                .collect()
        };
        (n, (0..n).map(places).collect())
    }

    #[test]
    fn spinors_have_the_dimension_of_the_matrix_algebra() {
        // (p, q, r), the copies: M2(R), M2(C), M2(R), M4(R), M2(H), M4(C), and PGA3D.
        for ((p, q, r), copies) in [
            ((2, 0, 0), 2),
            ((3, 0, 0), 2),
            ((1, 1, 0), 2),
            ((3, 1, 0), 4),
            ((1, 3, 0), 2),
            ((4, 1, 0), 4),
            ((3, 0, 1), 2),
        ] {
            let (n, tables) = left(p, q, r);
            let found = ideals(n, &tables).unwrap();
            assert_eq!(
                (found.copies, found.size),
                (copies, n / copies),
                "Cl({p},{q},{r})"
            );
        }
    }

    #[test]
    fn the_complex_numbers_and_quaternions_are_whole() {
        // R ⊕ R falls apart too, but into two that are not alike.
        for (p, q) in [(0, 1), (0, 2), (1, 0)] {
            let (n, tables) = left(p, q, 0);
            assert_eq!(ideals(n, &tables), None, "Cl({p},{q})");
        }
    }

    #[test]
    fn places_of_the_result_may_stand_in_another_order() {
        let (n, mut tables) = left(2, 0, 0);
        for place in tables.iter_mut().flatten() {
            *place = ((place.0 + 1) % n, place.1, -place.2);
        }
        tables.swap(0, 3);
        assert_eq!(ideals(n, &tables).map(|found| found.copies), Some(2));
    }

    #[test]
    fn what_is_no_table_of_signed_permutations_is_refused() {
        let (n, tables) = left(2, 0, 0);
        for place in [(0, 0, 1), (0, n, 1), (0, 1, 2)] {
            let mut changed = tables.clone();
            changed[0].push(place);
            assert_eq!(ideals(n, &changed), None, "{place:?}");
        }
        // One sign changed: no longer the product of an algebra.
        let mut changed = tables;
        changed[1][2].2 *= -1;
        assert_eq!(ideals(n, &changed), None);
        assert_eq!(ideals(0, &[]), None);
    }
}
