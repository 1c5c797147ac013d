//! Views that only add or drop dimensions of extent one: what they do to axes and permutations.

use crate::tensor_type::Dim;

/// The axes whose extent is not surely one, in order.
fn substantial(shape: &[Dim]) -> Vec<usize> {
    (0..shape.len())
        .filter(|&axis| !shape[axis].is(1))
        .collect()
}

/// Whether a reshape between these shapes only adds or drops extents of one.
pub fn only_units(from: &[Dim], to: &[Dim]) -> bool {
    let (a, b) = (substantial(from), substantial(to));
    a.len() == b.len() && a.iter().zip(&b).all(|(&i, &j)| from[i] == to[j])
}

/// Whether a permutation leaves the order of the axes that are not one as it is.
pub fn moves_only_units(shape: &[Dim], axes: &[usize]) -> bool {
    axes.iter().filter(|&&axis| !shape[axis].is(1)).is_sorted()
}

/// The permutation of `x` that, up to extents of one, is `permute(reshape(x, s), p)`; its units stand first.
pub fn permutation_below(x: &[Dim], s: &[Dim], p: &[usize]) -> Option<Vec<usize>> {
    if !only_units(x, s) || p.len() != s.len() {
        return None;
    }
    let (in_x, in_s) = (substantial(x), substantial(s));
    let units = (0..x.len()).filter(|&axis| x[axis].is(1));
    let moved = p
        .iter()
        .filter_map(|axis| in_s.iter().position(|a| a == axis))
        .map(|n| in_x[n]);
    Some(units.chain(moved).collect())
}

/// The axis of `x` that axis `axis` of `reshape(x, s)` is, where it is not one of extent one.
pub fn axis_below(x: &[Dim], s: &[Dim], axis: usize) -> Option<usize> {
    if !only_units(x, s) {
        return None;
    }
    let n = substantial(s).iter().position(|&a| a == axis)?;
    substantial(x).get(n).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(s: &[i64]) -> Vec<Dim> {
        s.iter().map(|&n| Dim::Known(n)).collect()
    }

    #[test]
    fn units_are_seen_through() {
        let (x, s) = (shape(&[4, 1, 5]), shape(&[1, 4, 5, 1]));
        assert!(only_units(&x, &s));
        assert!(!only_units(&x, &shape(&[5, 4])));
        assert_eq!(axis_below(&x, &s, 2), Some(2));
        assert_eq!(axis_below(&x, &s, 0), None);
        assert_eq!(
            permutation_below(&x, &s, &[2, 0, 1, 3]),
            Some(vec![1, 2, 0])
        );
        assert!(moves_only_units(&s, &[1, 0, 3, 2]));
        assert!(!moves_only_units(&s, &[0, 2, 1, 3]));
    }
}
