//! Tables of bilinear maps: which constant matrices are one, and which of them may drop their zeros.

use crate::attribute::Elements;
use crate::tensor_type::Dim;

/// A constant as a matrix: its rows, its columns, its elements. Dimensions before the last two must be one.
fn as_matrix(v: &Elements) -> Option<(usize, usize)> {
    let extents = v.extents()?;
    let (batch, matrix) = extents.split_at(extents.len().checked_sub(2)?);
    batch
        .iter()
        .all(|&d| d == 1)
        .then(|| (matrix[0], matrix[1]))
}

fn last_two(s: &[Dim]) -> Option<(usize, usize)> {
    let known = |d: Dim| d.known().and_then(|n| usize::try_from(n).ok());
    let start = s.len().checked_sub(2)?;
    Some((known(s[start])?, known(s[start + 1])?))
}

fn from_fn(
    [n, m, p]: [usize; 3],
    element: impl Fn(usize, usize, usize) -> f64,
) -> Option<Elements> {
    let mut values = Vec::with_capacity(n * m * p);
    for i in 0..n {
        for j in 0..m {
            values.extend((0..p).map(|k| element(i, j, k)));
        }
    }
    let shape = [n, m, p].map(|d| i64::try_from(d).map(Dim::Known));
    let shape = shape.into_iter().collect::<Result<Vec<_>, _>>().ok()?;
    Elements::new(shape, values)
}

/// Columns of v are pairs (k, j): the last two dimensions of `s`.
pub fn of_columns(v: &Elements, s: &[Dim]) -> Option<Elements> {
    let ((n, q), (p, m)) = (as_matrix(v)?, last_two(s)?);
    let table = || from_fn([n, m, p], |i, j, k| v.values[i * q + k * m + j]);
    (p * m == q).then(table)?
}

/// Columns of v are pairs (j, k): the last two dimensions of `s`.
pub fn of_rows(v: &Elements, s: &[Dim]) -> Option<Elements> {
    let ((n, q), (m, p)) = (as_matrix(v)?, last_two(s)?);
    let table = || from_fn([n, m, p], |i, j, k| v.values[i * q + j * p + k]);
    (p * m == q).then(table)?
}

/// Rows of v are pairs (i, j): the rows of x and the columns of y.
pub fn of_outer(v: &Elements, x: &[Dim], y: &[Dim]) -> Option<Elements> {
    let known = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok());
    let (n, m) = (known(x.get(x.len().checked_sub(2)?)?)?, known(y.last()?)?);
    let (rows, p) = as_matrix(v)?;
    let table = || from_fn([n, m, p], |i, j, k| v.values[(i * m + j) * p + k]);
    (n * m == rows).then(table)?
}

/// Whether it has at most as many terms as the multiplication table of an algebra of its size: t³ ≤ (nmp)².
pub fn is_sparse(v: &Elements) -> bool {
    let (terms, all) = (v.terms() as u128, v.values.len() as u128);
    terms * terms * terms <= all * all
}

/// Whether each place of the result depends on each place of both operands, so that no NaN is lost with a zero.
pub fn depends_on_all(table: &Elements) -> Option<bool> {
    let extents = table.extents()?;
    let [n, m, p] = extents[..] else { return None };
    let is_term = |i: usize, j: usize, k: usize| table.values[(i * m + j) * p + k] != 0.0;
    Some((0..p).all(|k| {
        (0..n).all(|i| (0..m).any(|j| is_term(i, j, k)))
            && (0..m).all(|j| (0..n).any(|i| is_term(i, j, k)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_complex_numbers_is_found_in_its_spellings() {
        let dims = |s: &[i64]| s.iter().map(|&n| Dim::Known(n)).collect::<Vec<_>>();
        // (a + bi)(c + di): columns (k, j) of the first factor's matrix.
        let columns = Elements::new(dims(&[2, 4]), vec![1., 0., 0., 1., 0., -1., 1., 0.]).unwrap();
        let table = of_columns(&columns, &dims(&[9, 2, 2])).unwrap();
        assert_eq!(table.values, [1., 0., 0., 1., 0., 1., -1., 0.]);
        assert!(is_sparse(&table) && depends_on_all(&table).unwrap());
        let rows = Elements::new(dims(&[2, 4]), table.values.clone()).unwrap();
        assert_eq!(of_rows(&rows, &dims(&[2, 2])).as_ref(), Some(&table));
        let outer = Elements::new(dims(&[1, 4, 2]), table.values.clone()).unwrap();
        assert_eq!(
            of_outer(&outer, &dims(&[5, 2, 1]), &dims(&[2])),
            Some(table)
        );
    }
}
