//! What a rule may ask before it fires. An answer is yes, no or unknown; only a sure yes lets a rule fire.

use egg::Id;

use crate::analysis::Known;
use crate::attribute::Attribute;

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

/// Every condition, one row each.
pub static CONDITIONS: &[Condition] = &[
    Condition {
        name: "is-identity",
        arguments: 1,
        holds: is_identity,
        means: "the permutation moves nothing",
    },
    Condition {
        name: "swaps-last-two",
        arguments: 1,
        holds: swaps_last_two,
        means: "the permutation transposes the matrices",
    },
    Condition {
        name: "has-shape",
        arguments: 2,
        holds: has_shape,
        means: "the tensor already has that shape",
    },
    Condition {
        name: "same-shape",
        arguments: 2,
        holds: same_shape,
        means: "both have the same shape",
    },
    Condition {
        name: "is-scalar",
        arguments: 1,
        holds: is_scalar,
        means: "it has one element",
    },
    Condition {
        name: "is-column",
        arguments: 1,
        holds: is_column,
        means: "it is constant along rows: its last extent is 1",
    },
    Condition {
        name: "is-row",
        arguments: 1,
        holds: is_row,
        means: "it is constant along columns: its last extent but one is 1",
    },
    Condition {
        name: "is-matrix",
        arguments: 1,
        holds: is_matrix,
        means: "it has two dimensions",
    },
    Condition {
        name: "same-rank",
        arguments: 2,
        holds: same_rank,
        means: "both have as many dimensions",
    },
    Condition {
        name: "is-row-axis",
        arguments: 2,
        holds: is_row_axis,
        means: "the axis counts the rows of the matrices",
    },
    Condition {
        name: "is-column-axis",
        arguments: 2,
        holds: is_column_axis,
        means: "the axis counts the columns of the matrices",
    },
    Condition {
        name: "reduces-rows",
        arguments: 2,
        holds: reduces_rows,
        means: "just the axis of rows is reduced",
    },
    Condition {
        name: "reduces-columns",
        arguments: 2,
        holds: reduces_columns,
        means: "just the axis of columns is reduced",
    },
    Condition {
        name: "reduces-matrix",
        arguments: 2,
        holds: reduces_matrix,
        means: "both axes of a matrix are reduced",
    },
    Condition {
        name: "is-float",
        arguments: 1,
        holds: is_float,
        means: "its elements are floating point",
    },
    Condition {
        name: "is-whole",
        arguments: 4,
        holds: is_whole,
        means: "the slice takes all of the axis",
    },
];

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

fn same_rank(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.rank() == known.tensor_type(ids[1])?.rank())
}

fn axis_is(known: &dyn Known, ids: &[Id], back: usize) -> Option<bool> {
    let axis = usize::try_from(known.attribute(ids[0])?.int()?).ok()?;
    Some(axis + back == known.tensor_type(ids[1])?.rank())
}

fn is_row_axis(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    axis_is(known, ids, 2)
}

fn is_column_axis(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    axis_is(known, ids, 1)
}

fn reduces(known: &dyn Known, ids: &[Id], back: &[usize]) -> Option<bool> {
    let rank = known.tensor_type(ids[1])?.rank();
    let wanted: Option<Vec<usize>> = back.iter().map(|b| rank.checked_sub(*b)).collect();
    Some(Some(axes(known, ids[0])?) == wanted.as_deref())
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

fn is_float(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    Some(known.tensor_type(ids[0])?.dtype.is_float())
}

fn is_whole(known: &dyn Known, ids: &[Id]) -> Option<bool> {
    let int = |id| known.attribute(id).and_then(Attribute::int);
    let axis = usize::try_from(int(ids[1])?).ok()?;
    let extent = known.tensor_type(ids[0])?.shape.get(axis)?.known()?;
    Some(int(ids[2])? == 0 && int(ids[3])? == extent)
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
