//! Functions that the right side of a rule may apply to attributes: `{compose ?p ?q}`.

use egg::Id;

use crate::analysis::Known;
use crate::attribute::Attribute;

/// A named function; `None` means that it has no value here, and the rule does not fire.
#[derive(Debug)]
pub struct AttributeFunction {
    pub name: &'static str,
    pub compute: fn(&dyn Known, &[Id]) -> Option<Attribute>,
}

/// Every function, one row each.
static FUNCTIONS: &[AttributeFunction] = &[
    AttributeFunction {
        name: "compose",
        compute: compose,
    },
    AttributeFunction {
        name: "swap",
        compute: swap,
    },
    AttributeFunction {
        name: "shape",
        compute: shape,
    },
    AttributeFunction {
        name: "row-axis",
        compute: row_axis,
    },
    AttributeFunction {
        name: "column-axis",
        compute: column_axis,
    },
    AttributeFunction {
        name: "last-axis",
        compute: last_axis,
    },
    AttributeFunction {
        name: "inner-axes",
        compute: inner_axes,
    },
    AttributeFunction {
        name: "move-axis",
        compute: move_axis,
    },
];

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
