//! What a rule may ask before it fires. An answer is yes, no or unknown; only a sure yes lets a rule fire.

use egg::Id;

use crate::analysis::Known;
use crate::attribute::Attribute;
use crate::op::Op;
use crate::table;
use crate::tensor_type::{DType, Dim, Shape, broadcast};
use crate::view;

/// A named question about what the variables of a rule stand for.
#[derive(Debug)]
pub struct Condition {
    pub name: &'static str,
    pub arguments: usize,
    /// `None` is "not known".
    pub holds: fn(&dyn Known, &[Id]) -> Option<bool>,
    /// The condition in words, for the catalogue and the report.
    pub means: &'static str,
}

macro_rules! conditions {
    ($($name:literal $arguments:literal $holds:ident $means:literal;)*) => {
        /// Every condition, one row each.
        pub static CONDITIONS: &[Condition] = &[
            $(Condition { name: $name, arguments: $arguments, holds: $holds, means: $means }),*
        ];
    };
}

conditions! {
    "is-identity"     1 is_identity     "the permutation moves nothing";
    "swaps-last-two"  1 swaps_last_two  "the permutation transposes the matrices";
    "moves-units"     2 moves_units     "the permutation moves nothing but dimensions of extent one";
    "has-shape"       2 has_shape       "the tensor already has that shape";
    "same-shape"      2 same_shape      "both have the same shape";
    "only-units"      2 only_units      "the reshape only adds or drops dimensions of extent one";
    "is-scalar"       1 is_scalar       "it has one element";
    "is-column"       1 is_column       "it is constant along rows: its last extent is 1";
    "is-row"          1 is_row          "it is constant along columns: its last extent but one is 1";
    "is-vector"       1 is_vector       "it has at most one dimension";
    "is-matrix"       1 is_matrix       "it has two dimensions";
    "has-batch"       1 has_batch       "it has more than two dimensions";
    "is-unit-batch"   1 is_unit_batch   "each dimension but the last two has extent one";
    "keeps-last"      2 keeps_last      "the reshape leaves the last dimension as it is";
    "keeps-matrices"  2 keeps_matrices  "the reshape leaves the last two dimensions as they are";
    "flattens-rows"   2 flattens_rows   "all dimensions but the last become one";
    "is-below-last"   2 is_below_last   "the axis is not the last one";
    "is-last-alone"   2 is_last_alone   "just the last axis is reduced";
    "is-row-axis"     3 is_row_axis     "the axis counts the rows of the product";
    "is-column-axis"  3 is_column_axis  "the axis counts the columns of the product";
    "reduces-rows"    3 reduces_rows    "just the axis of the product's rows is reduced";
    "reduces-columns" 3 reduces_columns "just the axis of the product's columns is reduced";
    "reduces-matrix"  3 reduces_matrix  "both axes of the product are reduced";
    "reduces-stack"   3 reduces_stack   "all axes of the product are reduced, and there are more than two";
    "reduces-all"     2 reduces_all     "all axes of the tensor are reduced";
    "is-product"      3 is_product      "it has the shape of the product of the other two";
    "is-product-shape" 3 is_product_shape "that is the shape of the product of the other two";
    "hides-in-product" 3 hides_in_product "it is −∞ everywhere, of no more dimensions than the product of the other two";
    "is-never-negative" 1 is_never_negative "no element is below zero, whatever the inputs";
    "is-never-positive" 1 is_never_positive "no element is above zero, whatever the inputs";
    "is-finite"       1 is_finite       "each element is a finite number, whatever the inputs";
    "is-never-below"  2 is_never_below  "no element of the one is below one of the other, which is a number everywhere";
    "is-never-above"  2 is_never_above  "no element of the one is above one of the other, which is a number everywhere";
    "is-within"       3 is_within       "no element is below the one number or above the other, whatever the inputs";
    "hides-in-shape"  2 hides_in_shape  "it is −∞ everywhere, of no more dimensions than the shape";
    "is-float"        1 is_float        "its elements are floating point";
    "is-real"         1 is_real         "its elements are not complex: a complex product with a real number makes NaN of infinities";
    "is-whole"        4 is_whole        "the slice takes all of the axis";
    "is-last-of"      2 is_last_of      "the axis is the last one of the shape";
    "is-last-axis"    2 is_last_axis    "the axis is the last one of the tensor";
    "is-just-last"    2 is_just_last    "just the last axis of the tensor is reduced";
    "same-matrices"   2 same_matrices   "the last two dimensions of both shapes are the same";
    "is-shape-of-scores" 3 is_shape_of_scores "it has a row for each query and a column for each key";
    "adds-leading-units" 2 adds_leading_units "the reshape only adds dimensions of extent one in front";
    "is-narrow-band"  2 is_narrow_band  "from the one diagonal to the other there are at most eight";
    "is-line"         1 is_line         "it has one dimension";
    "is-channelwise"  2 is_channelwise  "it has one element for each filter, along axis 1 of the result";
    "has-channel-shape" 2 has_channel_shape "the shape has one place for each filter, along axis 1 of the result";
    "windows-meet"    5 windows_meet    "each window of the convolution holds an element";
    "is-kron"         5 is_kron         "the product of both reshapes, reshaped, is the Kronecker product";
    "adds-no-stack"   2 adds_no_stack   "a product of what has the shape by the tensor has no other rows than that";
    "has-rows-of"     2 has_rows_of     "the shape has the extents of the tensor, but for the last one";
    "is-count"        3 is_count        "it is a number: of the elements that the axes of the tensor have together";
    "is-sparse"       1 is_sparse       "it has at most as many non-zero elements as the table of an algebra of its size";
    "depends-on-all"  2 depends_on_all  "each place of the result depends on each place of both factors";
    "depends-on-all-from-the-left" 2 depends_on_all_from_the_left "each place of the result depends on each place of both factors";
    "outer-depends-on-all" 3 outer_depends_on_all "each place of the result depends on each place of both factors";
}

/// The condition of this name.
pub fn condition_named(name: &str) -> Option<&'static Condition> {
    CONDITIONS.iter().find(|c| c.name == name)
}

fn axes(known: &dyn Known, id: Id) -> Option<&[usize]> {
    known.attribute(id)?.axes()
}

fn is_identity(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(
        axes(known, ids[0])?
            .iter()
            .enumerate()
            .all(|(i, &a)| i == a),
    )
}

fn swaps_last_two(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let axes = axes(known, ids[0])?;
    let n = axes.len();
    Some(n >= 2 && axes[..n - 2].iter().enumerate().all(|(i, &a)| i == a) && axes[n - 2] == n - 1)
}

fn has_shape(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.shape == known.attribute(ids[1])?.shape()?)
}

fn same_shape(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.shape == known.tensor_type(ids[1])?.shape)
}

fn is_scalar(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.is_scalar_like())
}

fn extent_is_one(known: &dyn Known, id: Id, back: usize) -> Option<bool> {
    let shape = &known.tensor_type(id)?.shape;
    Some(shape.len() < back || shape[shape.len() - back].is(1))
}

fn is_column(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    extent_is_one(known, ids[0], 1)
}

fn is_row(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    extent_is_one(known, ids[0], 2)
}

fn is_matrix(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.rank() == 2)
}

fn is_vector(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.rank() <= 1)
}

fn has_batch(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.rank() > 2)
}

fn is_unit_batch(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let shape = &known.tensor_type(ids[0])?.shape;
    Some(shape.len() >= 2 && shape[..shape.len() - 2].iter().all(|d| d.is(1)))
}

fn moves_units(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(view::moves_only_units(
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.axes()?,
    ))
}

fn only_units(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(view::only_units(
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    ))
}

fn keeps_last(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    Some(!x.is_empty() && x.last() == s.last())
}

fn keeps_matrices(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    Some(are_of_same_matrices(x, s))
}

fn are_of_same_matrices(s: &[Dim], t: &[Dim]) -> bool {
    s.len() >= 2 && t.len() >= 2 && s[s.len() - 2..] == t[t.len() - 2..]
}

fn flattens_rows(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    Some(x.len() >= 2 && s.len() == 2 && x.last() == s.last())
}

fn is_below_last(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let axis = usize::try_from(known.attribute(ids[0])?.int()?).ok()?;
    Some(axis + 1 < known.tensor_type(ids[1])?.rank())
}

fn is_last_alone(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (axes, s) = (
        known.attribute(ids[0])?.axes()?,
        known.attribute(ids[1])?.shape()?,
    );
    Some(axes.len() == 1 && axes[0] + 1 == s.len())
}

/// The rank of the product of two stacks of matrices.
fn product_rank(known: &dyn Known, a: Id, b: Id) -> Option<usize> {
    Some(
        known
            .tensor_type(a)?
            .rank()
            .max(known.tensor_type(b)?.rank()),
    )
}

fn product_shape(known: &dyn Known, a: Id, b: Id) -> Option<Shape> {
    known
        .infer(Op::Matmul, &[a, b], &[])
        .map(|product| product.shape)
}

fn is_product(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(product_shape(known, ids[1], ids[2])? == known.tensor_type(ids[0])?.shape)
}

fn is_product_shape(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(product_shape(known, ids[0], ids[1])? == known.attribute(ids[2])?.shape()?)
}

fn axis_is(known: &dyn Known, ids: &[Id], back: usize) -> Option<bool> {
    let axis = usize::try_from(known.attribute(ids[0])?.int()?).ok()?;
    Some(axis + back == product_rank(known, ids[1], ids[2])?)
}

fn is_row_axis(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    axis_is(known, ids, 2)
}

fn is_column_axis(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    axis_is(known, ids, 1)
}

fn reduces(known: &dyn Known, ids: &[Id], back: &[usize]) -> Option<bool> {
    let rank = product_rank(known, ids[1], ids[2])?;
    let wanted: Option<Vec<usize>> = back.iter().map(|b| rank.checked_sub(*b)).collect();
    Some(Some(known.attribute(ids[0])?.axes()?) == wanted.as_deref())
}

fn reduces_rows(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    reduces(known, ids, &[2])
}

fn reduces_columns(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    reduces(known, ids, &[1])
}

fn reduces_matrix(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    reduces(known, ids, &[2, 1])
}

fn reduces_stack(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let rank = product_rank(known, ids[1], ids[2])?;
    Some(rank > 2 && axes(known, ids[0])?.iter().copied().eq(0..rank))
}

fn reduces_all(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let rank = known.tensor_type(ids[1])?.rank();
    Some(axes(known, ids[0])?.iter().copied().eq(0..rank))
}

fn is_float(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.dtype.is_float())
}

fn is_real(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    match known.tensor_type(ids[0])?.dtype {
        DType::C64 | DType::C128 => Some(false),
        DType::Other(_) => None,
        _ => Some(true),
    }
}

fn is_whole(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let int = |id| known.attribute(id).and_then(Attribute::int);
    let axis = usize::try_from(int(ids[1])?).ok()?;
    let extent = known.tensor_type(ids[0])?.shape.get(axis)?.known()?;
    Some(int(ids[2])? == 0 && int(ids[3])? == extent)
}

fn last_of(axis: i64, rank: usize) -> bool {
    usize::try_from(axis).is_ok_and(|axis| axis + 1 == rank)
}

fn hides(known: &dyn Known, id: Id, rank: usize) -> Option<bool> {
    let fits = known.tensor_type(id)?.rank() <= rank;
    Some(fits && known.constant(id) == Some(f64::NEG_INFINITY))
}

fn hides_in_product(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    hides(known, ids[0], product_rank(known, ids[1], ids[2])?)
}

fn hides_in_shape(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    hides(known, ids[0], known.attribute(ids[1])?.shape()?.len())
}

/// Three-valued: what lies on one side of a bound, on the other, or maybe on both.
fn decided(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

fn is_never_negative(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let range = known.range(ids[0]);
    decided(range.low >= 0.0, range.high < 0.0)
}

fn is_never_positive(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let range = known.range(ids[0]);
    decided(range.high <= 0.0, range.low > 0.0)
}

fn is_finite(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    known.range(ids[0]).is_finite()
}

fn is_never_below(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (a, b) = (known.range(ids[0]), known.range(ids[1]));
    decided(a.low >= b.high && !b.nan, a.high < b.low)
}

fn is_never_above(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (a, b) = (known.range(ids[0]), known.range(ids[1]));
    decided(a.high <= b.low && !b.nan, a.low > b.high)
}

fn is_within(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let range = known.range(ids[0]);
    let (low, high) = (
        known.attribute(ids[1])?.float()?,
        known.attribute(ids[2])?.float()?,
    );
    decided(
        low <= range.low && range.high <= high,
        range.high < low || high < range.low,
    )
}

fn is_last_of(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let rank = known.attribute(ids[1])?.shape()?.len();
    Some(last_of(known.attribute(ids[0])?.int()?, rank))
}

fn is_last_axis(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let rank = known.tensor_type(ids[1])?.rank();
    Some(last_of(known.attribute(ids[0])?.int()?, rank))
}

fn is_just_last(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (axes, rank) = (
        known.attribute(ids[0])?.axes()?,
        known.tensor_type(ids[1])?.rank(),
    );
    Some(axes.len() == 1 && axes[0] + 1 == rank)
}

fn same_matrices(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (s, t) = (
        known.attribute(ids[0])?.shape()?,
        known.attribute(ids[1])?.shape()?,
    );
    Some(are_of_same_matrices(s, t))
}

/// Asks about a shape, the queries and the transposed keys.
fn is_shape_of_scores(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let shape = known.attribute(ids[0])?.shape()?;
    let (q, k) = (known.tensor_type(ids[1])?, known.tensor_type(ids[2])?);
    let rows = q.shape[q.rank().checked_sub(2)?];
    Some(shape == [rows, *k.shape.last()?])
}

fn adds_leading_units(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let shape = &known.tensor_type(ids[0])?.shape;
    let wider = known.attribute(ids[1])?.shape()?;
    let Some(more) = wider.len().checked_sub(shape.len()) else {
        return Some(false);
    };
    Some(wider[more..] == shape[..] && wider[..more].iter().all(|d| d.is(1)))
}

fn is_narrow_band(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (least, most) = (
        known.attribute(ids[0])?.int()?,
        known.attribute(ids[1])?.int()?,
    );
    Some(most.checked_sub(least)? < 8)
}

fn is_line(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.rank() == 1)
}

fn along_filters(shape: &[Dim], known: &dyn Known, weight: Id) -> Option<bool> {
    let weight = &known.tensor_type(weight)?.shape;
    let spatial = weight.len().checked_sub(2)?;
    let Some(place) = shape.len().checked_sub(spatial + 1) else {
        return Some(false);
    };
    let elsewhere = (0..shape.len()).filter(|&axis| axis != place);
    Some(place <= 1 && shape[place] == weight[0] && elsewhere.into_iter().all(|a| shape[a].is(1)))
}

fn is_channelwise(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    along_filters(&known.tensor_type(ids[0])?.shape, known, ids[1])
}

fn has_channel_shape(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    along_filters(known.attribute(ids[0])?.shape()?, known, ids[1])
}

/// Asks about x, the weight, stride, padding and dilation.
fn windows_meet(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (x, w) = (
        &known.tensor_type(ids[0])?.shape,
        &known.tensor_type(ids[1])?.shape,
    );
    let axes = |id: Id| known.attribute(id).and_then(Attribute::axes);
    let (stride, padding, dilation) = (axes(ids[2])?, axes(ids[3])?, axes(ids[4])?);
    let size = |d: Dim| d.known().and_then(|n| usize::try_from(n).ok());
    if size(w[1])? == 0 {
        return Some(false);
    }
    for (axis, &step) in stride.iter().enumerate() {
        let (extent, taps) = (size(*x.get(axis + 2)?)?, size(*w.get(axis + 2)?)?);
        let (pad, spread) = (*padding.get(axis)?, *dilation.get(axis)?);
        let places =
            (extent + 2 * pad).checked_sub(spread * taps.checked_sub(1)? + 1)? / step.max(1) + 1;
        let meets = |place: usize| {
            let mut positions = (0..taps).map(|tap| place * step + tap * spread);
            positions.any(|position| position >= pad && position - pad < extent)
        };
        if !(0..places).all(meets) {
            return Some(false);
        }
    }
    Some(true)
}

/// Asks about the right factor and the shape of the left one.
fn adds_no_stack(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (factor, shape) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    let stack = &shape[..shape.len().checked_sub(2)?];
    let met = broadcast(stack, &factor[..factor.len().checked_sub(2)?])?;
    Some(met == stack)
}

/// Whether a shape and a tensor have the same extents before the last one.
fn has_rows_of(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let shape = known.attribute(ids[0])?.shape()?;
    let (_, rows) = known.tensor_type(ids[1])?.shape.split_last()?;
    Some(shape.split_last()?.1 == rows)
}

/// Whether a number is that of the elements which a reduction takes together.
fn is_count(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (number, axes) = (known.constant(ids[0])?, axes(known, ids[2])?);
    let shape = &known.tensor_type(ids[1])?.shape;
    let extents = axes.iter().map(|&axis| shape.get(axis)?.known());
    let count: i64 = extents.collect::<Option<Vec<i64>>>()?.iter().product();
    Some(number == count as f64)
}

/// Asks about a, its shape, b, its shape, and the shape of the product.
fn is_kron(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let shape = |id: Id| known.attribute(id).and_then(Attribute::shape);
    let (a, b) = (
        &known.tensor_type(ids[0])?.shape,
        &known.tensor_type(ids[2])?.shape,
    );
    let (s, t, u) = (shape(ids[1])?, shape(ids[3])?, shape(ids[4])?);
    let ([m, n], [p, q]) = (&a[..], &b[..]) else {
        return Some(false);
    };
    let product = |x: &Dim, y: &Dim| Some(Dim::Known(x.known()?.checked_mul(y.known()?)?));
    let one = Dim::Known(1);
    Some(
        s == [*m, one, *n, one] && t == [one, *p, one, *q] && u == [product(m, p)?, product(n, q)?],
    )
}

fn is_sparse(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(table::is_sparse(known.attribute(ids[0])?.elements()?))
}

fn depends_on_all(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (v, s) = (
        known.attribute(ids[0])?.elements()?,
        known.attribute(ids[1])?.shape()?,
    );
    table::depends_on_all(&table::of_columns(v, s)?)
}

fn depends_on_all_from_the_left(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let (v, s) = (
        known.attribute(ids[0])?.elements()?,
        known.attribute(ids[1])?.shape()?,
    );
    table::depends_on_all(&table::of_rows(v, s)?)
}

fn outer_depends_on_all(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let v = known.attribute(ids[0])?.elements()?;
    let (x, y) = (known.tensor_type(ids[1])?, known.tensor_type(ids[2])?);
    table::depends_on_all(&table::of_outer(v, &x.shape, &y.shape)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (i, c) in CONDITIONS.iter().enumerate() {
            assert!(
                CONDITIONS[i + 1..].iter().all(|d| d.name != c.name),
                "{}",
                c.name
            );
        }
    }
}
