//! What of an operation's shapes decides its time.

use smallvec::SmallVec;

use crate::attribute::Attribute;
use crate::op::{Op, Work};
use crate::tensor_type::TensorType;

/// Extents that decide the time of an operation, by hints where they are symbolic.
pub type ShapeClass = SmallVec<[u64; 4]>;

/// The shape class of an operation on these operands.
///
/// Nothing of a view; (batches, rows, inner, columns) of a matrix product, where rows of a stack times one matrix count
/// as rows of one product; (outer, reduced, inner) of what runs along axes; else (elements,) of the result.
pub fn shape_class(
    op: Op,
    operands: &[&TensorType],
    attributes: &[&Attribute],
    result: &TensorType,
) -> ShapeClass {
    let fallback = || SmallVec::from_slice(&[result.numel()]);
    match op.row().work {
        Work::Free | Work::View => SmallVec::new(),
        Work::Contraction => contraction(op, operands, result).unwrap_or_else(fallback),
        _ => match (op, operands.first(), attributes.first()) {
            (Op::Sum | Op::Mean | Op::Amax, Some(x), Some(Attribute::Axes(axes))) => along(x, axes),
            (Op::Softmax | Op::LogSoftmax, Some(x), Some(Attribute::Int(axis))) => {
                usize::try_from(*axis).map_or_else(|_| fallback(), |axis| along(x, &[axis]))
            }
            _ => fallback(),
        },
    }
}

fn extent(x: &TensorType, axis: usize) -> u64 {
    x.shape[axis].hint().max(0) as u64
}

fn contraction(op: Op, operands: &[&TensorType], result: &TensorType) -> Option<ShapeClass> {
    let (a, b) = match (op, operands) {
        // What is added or masks stands in front.
        (Op::Addmm, [_, a, b]) | (Op::MaskedAttention | Op::BooleanAttention, [_, a, b, _]) => {
            (*a, *b)
        }
        (Op::LuSolveRight, [a, b]) => (*b, *a),
        (Op::Inverting | Op::Factored | Op::Gram, [a]) => (*a, *a),
        (_, [a, b, ..]) => (*a, *b),
        _ => return None,
    };
    let (rows, columns) = (result.rank().checked_sub(2)?, result.rank() - 1);
    let inner = extent(a, a.rank().checked_sub(1)?);
    let batches: u64 = (0..rows).map(|i| extent(result, i)).product();
    let (rows, columns) = (extent(result, rows), extent(result, columns));
    Some(if b.rank() == 2 {
        SmallVec::from_slice(&[1, batches * rows, inner, columns])
    } else {
        SmallVec::from_slice(&[batches, rows, inner, columns])
    })
}

/// The extents before, along and after the axes; axes in between that stay count as before.
fn along(x: &TensorType, axes: &[usize]) -> ShapeClass {
    let (mut outer, mut reduced, mut inner) = (1, 1, 1);
    let last = axes.iter().copied().max().unwrap_or(0);
    for axis in 0..x.rank() {
        let n = extent(x, axis);
        if axes.contains(&axis) {
            reduced *= n;
        } else if axis > last {
            inner *= n;
        } else {
            outer *= n;
        }
    }
    SmallVec::from_slice(&[outer, reduced, inner])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_type::DType;

    fn class(op: Op, shapes: &[&[i64]], attributes: &[Attribute]) -> Vec<u64> {
        let types: Vec<TensorType> = shapes
            .iter()
            .map(|s| TensorType::new(DType::F32, s))
            .collect();
        let types: Vec<&TensorType> = types.iter().collect();
        let attributes: Vec<&Attribute> = attributes.iter().collect();
        let result = op.infer(&types, &attributes).unwrap();
        shape_class(op, &types, &attributes, &result).to_vec()
    }

    #[test]
    fn stacks_times_one_matrix_are_rows() {
        assert_eq!(class(Op::Matmul, &[&[2, 3, 4], &[4, 5]], &[]), [1, 6, 4, 5]);
        assert_eq!(
            class(Op::Matmul, &[&[2, 3, 4], &[2, 4, 5]], &[]),
            [2, 3, 4, 5]
        );
        assert_eq!(
            class(Op::Addmm, &[&[5], &[3, 4], &[4, 5]], &[]),
            [1, 3, 4, 5]
        );
    }

    #[test]
    fn a_reduction_knows_what_lies_before_and_after() {
        let keep = Attribute::Bool(true);
        let axes = |a: &[usize]| Attribute::Axes(a.to_vec());
        assert_eq!(
            class(Op::Sum, &[&[2, 3, 4]], &[axes(&[1]), keep.clone()]),
            [2, 3, 4]
        );
        assert_eq!(
            class(Op::Sum, &[&[2, 3, 4]], &[axes(&[1, 2]), keep]),
            [2, 12, 1]
        );
    }
}
