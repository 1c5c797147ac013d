//! Where the elements of a rearranged tensor come from; no arithmetic.

use crate::attribute::Attribute;
use crate::evaluate::arithmetic::{Evaluated, Failure};
use crate::evaluate::{Call, Tensor};

type Moved<S> = Evaluated<Tensor<S>>;

fn axes(attribute: &Attribute) -> Evaluated<&[usize]> {
    attribute.axes().ok_or(Failure::Outside)
}

fn int(attribute: &Attribute) -> Evaluated<usize> {
    attribute
        .int()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or(Failure::Outside)
}

/// Axis `i` of the result is axis `p[i]` of the operand.
pub fn permute<S: Copy>(x: &[&Tensor<S>], attributes: &[Attribute], _: &Call<'_>) -> Moved<S> {
    let axes = axes(&attributes[0])?;
    let shape: Vec<usize> = axes.iter().map(|&a| x[0].shape[a]).collect();
    let mut source = vec![0; shape.len()];
    Tensor::from_fn(shape, |index| {
        for (&i, &axis) in index.iter().zip(axes) {
            source[axis] = i;
        }
        Ok(x[0].at(&source))
    })
}

/// The same elements in row-major order.
pub fn reshape<S: Copy>(x: &[&Tensor<S>], _: &[Attribute], call: &Call<'_>) -> Moved<S> {
    if call.shape.iter().product::<usize>() != x[0].data.len() {
        return Err(Failure::Outside);
    }
    Ok(Tensor::new(call.shape.to_vec(), x[0].data.clone()))
}

/// Extents of one, and axes that are missing in front, repeat.
pub fn expand<S: Copy>(x: &[&Tensor<S>], attributes: &[Attribute], _: &Call<'_>) -> Moved<S> {
    let shape = attributes[0].shape().ok_or(Failure::Outside)?;
    let shape = super::extents(shape, &std::collections::BTreeMap::new());
    Tensor::from_fn(shape, |index| Ok(x[0].at(index)))
}

/// Each `step`-th index of an axis from `start` to before `end`.
pub fn slice<S: Copy>(x: &[&Tensor<S>], attributes: &[Attribute], _: &Call<'_>) -> Moved<S> {
    let [axis, start, end, step] = [0, 1, 2, 3].map(|i| int(&attributes[i]));
    let (axis, start, end, step) = (axis?, start?, end?, step?);
    let mut shape = x[0].shape.clone();
    shape[axis] = (start..end).step_by(step).count();
    Tensor::from_fn(shape, |index| {
        let mut source = index.to_vec();
        source[axis] = start + index[axis] * step;
        Ok(x[0].at(&source))
    })
}

/// These places of an axis, in this order.
pub fn select_rows<S: Copy>(x: &Tensor<S>, places: &[usize], attributes: &[Attribute]) -> Moved<S> {
    let axis = int(&attributes[0])?;
    let mut shape = x.shape.clone();
    shape[axis] = places.len();
    Tensor::from_fn(shape, |index| {
        let mut source = index.to_vec();
        source[axis] = places[index[axis]];
        Ok(x.at(&source))
    })
}

/// The elements of each matrix whose row is their column.
pub fn diagonal<S: Copy>(x: &[&Tensor<S>], _: &[Attribute], call: &Call<'_>) -> Moved<S> {
    Tensor::from_fn(call.shape.to_vec(), |index| {
        let mut source = index.to_vec();
        source.extend(index.last());
        Ok(x[0].at(&source))
    })
}

/// One after another along an axis.
pub fn cat<S: Copy>(x: &[&Tensor<S>], attributes: &[Attribute], _: &Call<'_>) -> Moved<S> {
    let axis = int(&attributes[0])?;
    let mut shape = x[0].shape.clone();
    shape[axis] = x.iter().map(|t| t.shape[axis]).sum();
    Tensor::from_fn(shape, |index| {
        let mut source = index.to_vec();
        let part = x.iter().find(|t| {
            let here = source[axis] < t.shape[axis];
            if !here {
                source[axis] -= t.shape[axis];
            }
            here
        });
        part.map(|t| t.at(&source)).ok_or(Failure::Outside)
    })
}
