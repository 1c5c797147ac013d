//! Functions that the right side of a rule may apply to attributes: `{compose ?p ?q}`.

use egg::Id;

use crate::analysis::Known;
use crate::attribute::{Attribute, Elements};
use crate::tensor_type::Dim;
use crate::view;

/// A named function; `None` means that it has no value here, and the rule does not fire.
#[derive(Debug)]
pub struct AttributeFunction {
    pub name: &'static str,
    pub compute: fn(&dyn Known, &[Id]) -> Option<Attribute>,
}

macro_rules! functions {
    ($($name:literal $compute:ident;)*) => {
        /// Every function, one row each.
        static FUNCTIONS: &[AttributeFunction] =
            &[$(AttributeFunction { name: $name, compute: $compute }),*];
    };
}

functions! {
    "compose" compose;
    "swap" swap;
    "shape" shape;
    "row-axis" row_axis;
    "column-axis" column_axis;
    "last-axis" last_axis;
    "inner-axes" inner_axes;
    "move-axis" move_axis;
    "matrix-shape" matrix_shape;
    "permuted-shape" permuted_shape;
    "reduced-shape" reduced_shape;
    "sliced-shape" sliced_shape;
    "selected-shape" selected_shape;
    "permutation-below" permutation_below;
    "axis-below" axis_below;
    "axes-below" axes_below;
    "moved-axes" moved_axes;
    "only-axis" only_axis;
    "constant" constant;
    "reciprocal-constant" reciprocal_constant;
    "stacked-as" stacked_as;
    "channel-shape" channel_shape;
    "filter-shape" filter_shape;
    "filters-as-channels" filters_as_channels;
    "column-shape" column_shape;
    "row-shape" row_shape;
    "one-row" one_row;
    "one-column" one_column;
    "less-extent" less_extent;
    "opposite" opposite;
    "kron-operand" kron_operand;
    "kron-columns" kron_columns;
    "kron-stack" kron_stack;
    "kron-rows" kron_rows;
    "permuted-elements" permuted_elements;
    "reshaped-elements" reshaped_elements;
    "rows-of" rows_of;
    "without-column" without_column;
    "without-row" without_row;
    "table" table;
    "table-from-the-left" table_from_the_left;
    "table-of-outer" table_of_outer;
}

/// The function of this name.
pub fn function_named(name: &str) -> Option<&'static AttributeFunction> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// `permute(permute(x, q), p)` is `permute(x, compose(p, q))`.
fn compose(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (p, q) = (
        known.attribute(ids[0])?.axes()?,
        known.attribute(ids[1])?.axes()?,
    );
    p.iter()
        .map(|&i| q.get(i).copied())
        .collect::<Option<Vec<_>>>()
        .map(Attribute::Axes)
}

/// The permutation that transposes the matrices in `x`.
fn swap(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let rank = known.tensor_type(ids[0])?.rank();
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(rank.checked_sub(2)?, rank - 1);
    Some(Attribute::Axes(axes))
}

fn shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    Some(Attribute::Shape(known.tensor_type(ids[0])?.shape.clone()))
}

fn axis_from_end(known: &dyn Known, id: Id, back: usize) -> Option<Attribute> {
    let axis = known.tensor_type(id)?.rank().checked_sub(back)?;
    i64::try_from(axis).ok().map(Attribute::Int)
}

fn row_axis(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    axis_from_end(known, ids[0], 2)
}

fn column_axis(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    axis_from_end(known, ids[0], 1)
}

/// The last axis, as a list of axes to reduce.
fn last_axis(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    Some(Attribute::Axes(vec![
        known.tensor_type(ids[0])?.rank().checked_sub(1)?,
    ]))
}

/// The row axis, as a list of axes to reduce.
fn inner_axes(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    Some(Attribute::Axes(vec![
        known.tensor_type(ids[0])?.rank().checked_sub(2)?,
    ]))
}

/// Where axis `axis` of `permute(x, p)` lies in `x`.
fn move_axis(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let axis = usize::try_from(known.attribute(ids[0])?.int()?).ok()?;
    let source = *known.attribute(ids[1])?.axes()?.get(axis)?;
    i64::try_from(source).ok().map(Attribute::Int)
}

/// The shape of `x` without its batch dimensions.
fn matrix_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let shape = &known.tensor_type(ids[0])?.shape;
    Some(Attribute::Shape(
        shape[shape.len().checked_sub(2)?..].to_vec(),
    ))
}

fn permuted_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (shape, axes) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.axes()?,
    );
    axes.iter()
        .map(|&a| shape.get(a).copied())
        .collect::<Option<Vec<_>>>()
        .map(Attribute::Shape)
}

/// The shape `s` after `axes` were reduced and kept.
fn reduced_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (shape, axes) = (
        known.attribute(ids[0])?.shape()?,
        known.attribute(ids[1])?.axes()?,
    );
    crate::op::reduced_shape(shape, axes, true).map(Attribute::Shape)
}

/// The shape `s` after a slice of axis `d` from `i` to `j` by `k`.
fn sliced_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let mut shape = known.attribute(ids[0])?.shape()?.to_vec();
    let int = |n: usize| known.attribute(ids[n]).and_then(Attribute::int);
    let (axis, start, end, step) = (usize::try_from(int(1)?).ok()?, int(2)?, int(3)?, int(4)?);
    *shape.get_mut(axis)? = Dim::Known((end - start + step - 1) / step);
    Some(Attribute::Shape(shape))
}

/// The shape `s` after the places `i` were selected along axis `d`.
fn selected_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let mut shape = known.attribute(ids[0])?.shape()?.to_vec();
    let [count] = known.tensor_type(ids[1])?.shape[..] else {
        return None;
    };
    let axis = usize::try_from(known.attribute(ids[2])?.int()?).ok()?;
    *shape.get_mut(axis)? = count;
    Some(Attribute::Shape(shape))
}

/// The permutation of `x` that `permute(reshape(x, s), p)` is, up to extents of one.
fn permutation_below(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let x = &known.tensor_type(ids[0])?.shape;
    let (s, p) = (
        known.attribute(ids[1])?.shape()?,
        known.attribute(ids[2])?.axes()?,
    );
    view::permutation_below(x, s, p).map(Attribute::Axes)
}

/// The axis of `x` that axis `d` of `reshape(x, s)` is.
fn axis_below(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    let axis = usize::try_from(known.attribute(ids[2])?.int()?).ok()?;
    i64::try_from(view::axis_below(x, s, axis)?)
        .ok()
        .map(Attribute::Int)
}

/// The axes of `x` that these axes of `reshape(x, s)` are; those of extent one fall away, but not all may.
fn axes_below(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    let axes = known.attribute(ids[2])?.axes()?;
    let mut below: Vec<usize> = axes
        .iter()
        .filter_map(|&axis| view::axis_below(x, s, axis))
        .collect();
    below.sort_unstable();
    (!below.is_empty()).then_some(Attribute::Axes(below))
}

/// The number that each element is.
fn constant(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    known.constant(ids[0]).map(Attribute::Float)
}

fn reciprocal_constant(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let value = 1.0 / known.constant(ids[0])?;
    value.is_finite().then_some(Attribute::Float(value))
}

/// The matrices of `x` under the stacking dimensions of the shape `s`.
fn stacked_as(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    let mut shape = s[..s.len().checked_sub(2)?].to_vec();
    shape.extend(&x[x.len().checked_sub(2)?..]);
    Some(Attribute::Shape(shape))
}

/// One for each axis of `x` but the channels, which are axis 1.
fn channel_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let x = &known.tensor_type(ids[0])?.shape;
    let mut shape = vec![Dim::Known(1); x.len()];
    *shape.get_mut(1)? = x[1];
    Some(Attribute::Shape(shape))
}

/// One for each axis of a convolution's weight but the filters, which are axis 0.
fn filter_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let w = &known.tensor_type(ids[0])?.shape;
    let mut shape = vec![Dim::Known(1); w.len()];
    *shape.first_mut()? = *w.first()?;
    Some(Attribute::Shape(shape))
}

/// One for each axis of a convolution's result but the channels, which are the filters of this weight.
fn filters_as_channels(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let w = &known.tensor_type(ids[0])?.shape;
    let mut shape = vec![Dim::Known(1); w.len()];
    *shape.get_mut(1)? = w[0];
    Some(Attribute::Shape(shape))
}

/// Vectors as columns.
fn column_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let mut shape = known.tensor_type(ids[0])?.shape.clone();
    shape.push(Dim::Known(1));
    Some(Attribute::Shape(shape))
}

/// All elements, as the shape of one row.
fn one_row(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let count = element_count(known, ids[0])?;
    Some(Attribute::Shape(vec![Dim::Known(1), count]))
}

/// All elements, as the shape of one column.
fn one_column(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let count = element_count(known, ids[0])?;
    Some(Attribute::Shape(vec![count, Dim::Known(1)]))
}

fn element_count(known: &dyn Known, id: Id) -> Option<Dim> {
    let shape = &known.tensor_type(id)?.shape;
    let count = shape
        .iter()
        .try_fold(1i64, |n, d| n.checked_mul(d.known()?))?;
    Some(Dim::Known(count))
}

/// A place along an axis, less the extent of `x` there; none before its end.
fn less_extent(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (place, axis) = (
        known.attribute(ids[0])?.int()?,
        known.attribute(ids[2])?.int()?,
    );
    let shape = &known.tensor_type(ids[1])?.shape;
    let extent = shape.get(usize::try_from(axis).ok()?)?.known()?;
    (place >= extent).then_some(Attribute::Int(place - extent))
}

fn opposite(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let number = known.attribute(ids[0])?.int()?;
    number.checked_neg().map(Attribute::Int)
}

/// Vectors as rows.
fn row_shape(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let mut shape = known.tensor_type(ids[0])?.shape.clone();
    shape.insert(shape.len().checked_sub(1)?, Dim::Known(1));
    Some(Attribute::Shape(shape))
}

fn rows(known: &dyn Known, id: Id) -> Option<Dim> {
    known.tensor_type(id)?.shape.first().copied()
}

fn columns(known: &dyn Known, id: Id) -> Option<Dim> {
    known.tensor_type(id)?.shape.last().copied()
}

/// The vector that a Kronecker product is applied to, as a matrix: its rows meet `a`, its columns `b`.
fn kron_operand(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let [a, b] = [ids[0], ids[1]].map(|id| columns(known, id));
    Some(Attribute::Shape(vec![a?, b?]))
}

/// The columns of `x` that a Kronecker product is applied to, side by side: its rows meet `a`.
fn kron_columns(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let [a, b, x] = [ids[0], ids[1], ids[2]].map(|id| columns(known, id));
    let side = b?.known()? * x?.known()?;
    Some(Attribute::Shape(vec![a?, Dim::Known(side)]))
}

/// The product of `a` with these columns as a stack, one matrix for each row of `a`: its rows meet `b`.
fn kron_stack(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let [b, x] = [ids[1], ids[2]].map(|id| columns(known, id));
    Some(Attribute::Shape(vec![rows(known, ids[0])?, b?, x?]))
}

/// The rows of `x` that a Kronecker product is applied to from the right: its rows meet `a`, its columns `b`.
fn kron_rows(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let [a, b, x] = [ids[0], ids[1], ids[2]].map(|id| rows(known, id));
    Some(Attribute::Shape(vec![x?, a?, b?]))
}

/// The axis of a list of one.
fn only_axis(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let [axis] = known.attribute(ids[0])?.axes()? else {
        return None;
    };
    i64::try_from(*axis).ok().map(Attribute::Int)
}

/// The axes of `x` that these axes of `permute(x, p)` are.
fn moved_axes(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (axes, p) = (
        known.attribute(ids[0])?.axes()?,
        known.attribute(ids[1])?.axes()?,
    );
    let mut moved = axes
        .iter()
        .map(|&a| p.get(a).copied())
        .collect::<Option<Vec<_>>>()?;
    moved.sort_unstable();
    Some(Attribute::Axes(moved))
}

fn elements(known: &dyn Known, id: Id) -> Option<&Elements> {
    known.attribute(id)?.elements()
}

/// The elements of `permute(v, p)`.
fn permuted_elements(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (v, p) = (elements(known, ids[0])?, known.attribute(ids[1])?.axes()?);
    v.permuted(p).map(Attribute::Elements)
}

/// The elements of `reshape(v, s)`.
fn reshaped_elements(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (v, s) = (elements(known, ids[0])?, known.attribute(ids[1])?.shape()?);
    Elements::new(s.to_vec(), v.values.clone()).map(Attribute::Elements)
}

/// The shape of `x` with the dimensions before its last one as they stand before the last two of `s`.
fn rows_of(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (x, s) = (
        &known.tensor_type(ids[0])?.shape,
        known.attribute(ids[1])?.shape()?,
    );
    let mut shape = s[..s.len().checked_sub(2)?].to_vec();
    shape.push(*x.last()?);
    Some(Attribute::Shape(shape))
}

/// The shape of a stack of columns, each as a vector.
fn without_column(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let shape = &known.tensor_type(ids[0])?.shape;
    let (last, rest) = shape.split_last()?;
    (last.is(1) && !rest.is_empty()).then(|| Attribute::Shape(rest.to_vec()))
}

/// The shape of a stack of rows, each as a vector.
fn without_row(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let mut shape = known.tensor_type(ids[0])?.shape.clone();
    if let Some(row) = shape.len().checked_sub(2) {
        if !shape[row].is(1) {
            return None;
        }
        shape.remove(row);
    }
    (!shape.is_empty()).then_some(Attribute::Shape(shape))
}

/// The table e with eᵢⱼₖ = v[i, kM + j], where a product with v is looked at as stacks of matrices `s` of M columns.
fn table(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let table =
        crate::table::of_columns(elements(known, ids[0])?, known.attribute(ids[1])?.shape()?)?;
    Some(Attribute::Elements(table))
}

/// The table e with eᵢⱼₖ = v[i, jP + k], where the product is looked at as stacks of matrices `s` of P columns.
fn table_from_the_left(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let table = crate::table::of_rows(elements(known, ids[0])?, known.attribute(ids[1])?.shape()?)?;
    Some(Attribute::Elements(table))
}

/// The table e with eᵢⱼₖ = v[iM + j, k], where rows of v stand for pairs of x's rows and y's M columns.
fn table_of_outer(known: &dyn Known, ids: &[Id]) -> Option<Attribute> {
    let (x, y) = (
        &known.tensor_type(ids[1])?.shape,
        &known.tensor_type(ids[2])?.shape,
    );
    let table = crate::table::of_outer(elements(known, ids[0])?, x, y)?;
    Some(Attribute::Elements(table))
}
