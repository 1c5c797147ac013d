//! Evaluators of what layers are made of: attention, normalization, convolution.

use crate::attribute::Attribute;
use crate::evaluate::arithmetic::{Arithmetic, Evaluated, Failure};
use crate::evaluate::kernel::{Operands, Result, along, fold, matmul, mean, softmax, variance};
use crate::evaluate::{Call, Tensor};

/// An attribute as a number of the result's type.
pub fn number<A: Arithmetic>(a: &A, attribute: &Attribute, c: &Call<'_>) -> Evaluated<A::Scalar> {
    a.number(attribute.float().ok_or(Failure::Outside)?, c.result)
}

/// Softmax along the rows of scale · q k + mask, times v.
pub fn attention<A: Arithmetic>(
    a: &A,
    mask: Option<&Tensor<A::Scalar>>,
    x: Operands<'_, A>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let scale = number(a, &at[0], c)?;
    let mut scores = matmul(a, x[0], x[1], None, c)?;
    for score in &mut scores.data {
        *score = a.mul(scale, *score, c.result);
    }
    if let Some(mask) = mask {
        scores = fold(&[&scores, mask], |p, q| Ok(a.add(p, q, c.result)))?;
    }
    let last = i64::try_from(scores.shape.len() - 1).map_err(|_| Failure::Outside)?;
    let weights = along(&[&scores], &[Attribute::Int(last)], |line| {
        softmax(a, line, c)
    })?;
    matmul(a, &weights, x[2], None, c)
}

/// The same where scores whose mask is zero do not count; they are added −∞ to, as torch's kernels do.
pub fn boolean_attention<A: Arithmetic>(
    a: &A,
    mask: &Tensor<A::Scalar>,
    x: Operands<'_, A>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let (zero, least) = (
        a.number(0.0, c.result)?,
        a.number(f64::NEG_INFINITY, c.result)?,
    );
    let summands = mask
        .data
        .iter()
        .map(|&counts| if counts == zero { least } else { zero });
    let summands = Tensor::new(mask.shape.clone(), summands.collect());
    attention(a, Some(&summands), x, at, c)
}

/// The same where column j counts for row i if j ≤ i.
pub fn causal_attention<A: Arithmetic>(
    a: &A,
    x: Operands<'_, A>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let (q, k) = (&x[0].shape, &x[1].shape);
    let mask = band(a, vec![q[q.len() - 2], k[k.len() - 1]], 0, c)?;
    boolean_attention(a, &mask, x, at, c)
}

/// One in column j of row i if j − i ≤ offset, else zero.
pub fn band<A: Arithmetic>(a: &A, shape: Vec<usize>, offset: i64, c: &Call<'_>) -> Result<A> {
    let (no, yes) = (a.number(0.0, c.result)?, a.number(1.0, c.result)?);
    let place = |n: usize| i64::try_from(n).map_err(|_| Failure::Outside);
    Tensor::from_fn(shape, |index| {
        let below = place(index[1])? - place(index[0])? <= offset;
        Ok(if below { yes } else { no })
    })
}

/// The diagonals of x from one to another, which the attributes name, times y.
pub fn banded_product<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    y: &Tensor<A::Scalar>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let (least, most) = (at[0].int(), at[1].int());
    let (least, most) = (
        least.ok_or(Failure::Outside)?,
        most.ok_or(Failure::Outside)?,
    );
    let place = |n: usize| i64::try_from(n).map_err(|_| Failure::Outside);
    Tensor::from_fn(c.shape.to_vec(), |index| {
        let mut line = Vec::new();
        for k in 0..x.shape[1] {
            let diagonal = place(k)? - place(index[0])?;
            if (least..=most).contains(&diagonal) {
                line.push(a.mul(x.at(&[index[0], k]), y.at(&[k, index[1]]), c.result));
            }
        }
        a.sum(&mut line, c.result, c.salt)
    })
}

/// w / √(v + ε).
pub fn scale<A: Arithmetic>(
    a: &A,
    w: A::Scalar,
    v: A::Scalar,
    epsilon: A::Scalar,
    c: &Call<'_>,
) -> Evaluated<A::Scalar> {
    let inverse = a.map(|v| 1.0 / v.sqrt(), a.add(v, epsilon, c.result), c.result)?;
    Ok(a.mul(w, inverse, c.result))
}

/// Each row less its mean, over √(variance + ε).
pub fn standardize<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let epsilon = number(a, &at[0], c)?;
    let last = i64::try_from(x.shape.len() - 1).map_err(|_| Failure::Outside)?;
    along(&[x], &[Attribute::Int(last)], |line| {
        let middle = mean(a, &mut line.to_vec(), c)?;
        let spread = variance(a, &mut line.to_vec(), c)?;
        line.iter()
            .map(|&v| scale(a, a.sub(v, middle, c.result), spread, epsilon, c))
            .collect()
    })
}

/// Each row over √(mean of its squares + ε).
pub fn rms_standardize<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let epsilon = number(a, &at[0], c)?;
    let last = i64::try_from(x.shape.len() - 1).map_err(|_| Failure::Outside)?;
    along(&[x], &[Attribute::Int(last)], |line| {
        let mut squares: Vec<_> = line.iter().map(|&v| a.mul(v, v, c.result)).collect();
        let square = mean(a, &mut squares, c)?;
        line.iter()
            .map(|&v| scale(a, v, square, epsilon, c))
            .collect()
    })
}

/// Standardized rows times a gain plus a bias.
pub fn layer_norm<A: Arithmetic>(
    a: &A,
    x: Operands<'_, A>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let rows = standardize(a, x[0], at, c)?;
    let scaled = fold(&[&rows, x[1]], |p, q| Ok(a.mul(p, q, c.result)))?;
    fold(&[&scaled, x[2]], |p, q| Ok(a.add(p, q, c.result)))
}

/// (x − mean) · w / √(variance + ε) + b for each channel.
pub fn batch_norm<A: Arithmetic>(
    a: &A,
    x: Operands<'_, A>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let epsilon = number(a, &at[0], c)?;
    Tensor::from_fn(x[0].shape.clone(), |index| {
        let [w, b, mean, spread] = [1, 2, 3, 4].map(|i| x[i].data[index[1]]);
        let deviation = a.sub(x[0].at(index), mean, c.result);
        let scaled = a.mul(deviation, scale(a, w, spread, epsilon, c)?, c.result);
        Ok(a.add(scaled, b, c.result))
    })
}

/// A row of numbers as the diagonal of a matrix of zeros.
pub fn diag_embed<A: Arithmetic>(a: &A, x: &Tensor<A::Scalar>, c: &Call<'_>) -> Result<A> {
    let zero = a.number(0.0, c.result)?;
    Tensor::from_fn(c.shape.to_vec(), |index| {
        let (&column, row) = index.split_last().ok_or(Failure::Outside)?;
        Ok(if row.last() == Some(&column) {
            x.at(row)
        } else {
            zero
        })
    })
}

/// Zeros below or above a diagonal of each matrix.
pub fn triangle<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    diagonal: i64,
    upper: bool,
    c: &Call<'_>,
) -> Result<A> {
    let zero = a.number(0.0, c.result)?;
    let rank = x.shape.len();
    Tensor::from_fn(x.shape.clone(), |index| {
        let above = index[rank - 1] as i64 - index[rank - 2] as i64 - diagonal;
        let kept = if upper { above >= 0 } else { above <= 0 };
        Ok(if kept { x.at(index) } else { zero })
    })
}

/// A product of which a triangle of the left factor takes part: what is zero beyond it is not looked at.
pub fn triangle_product<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    y: &Tensor<A::Scalar>,
    upper: bool,
    c: &Call<'_>,
) -> Result<A> {
    let (inner, zero) = (x.shape[x.shape.len() - 1], a.number(0.0, c.result)?);
    let mut line = Vec::with_capacity(inner);
    Tensor::from_fn(c.shape.to_vec(), |index| {
        let rank = index.len();
        let (mut left, mut right) = (index.to_vec(), index.to_vec());
        let row = index[rank - 2];
        line.clear();
        for k in 0..inner {
            left[rank - 1] = k;
            right[rank - 2] = k;
            let beyond = if upper { k < row } else { k > row };
            if beyond && x.at(&left) == zero {
                continue;
            }
            line.push(a.mul(x.at(&left), y.at(&right), c.result));
        }
        a.sum(&mut line, c.result, c.salt)
    })
}

/// Each filter over each window of its group's channels; what lies outside counts as zero.
pub fn convolution<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    w: &Tensor<A::Scalar>,
    bias: Option<&Tensor<A::Scalar>>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let list = |i: usize| at[i].axes().ok_or(Failure::Outside);
    let (stride, padding, dilation) = (list(0)?, list(1)?, list(2)?);
    let groups = at[3].int().and_then(|n| usize::try_from(n).ok());
    let per_group = w.shape[0] / groups.ok_or(Failure::Outside)?;
    Tensor::from_fn(c.shape.to_vec(), |index| {
        let (filter, mut terms) = (index[1], Vec::new());
        Tensor::from_fn(w.shape[1..].to_vec(), |tap| {
            let mut source = vec![index[0], filter / per_group * w.shape[1] + tap[0]];
            for axis in 0..stride.len() {
                let place = index[axis + 2] * stride[axis] + tap[axis + 1] * dilation[axis];
                let inside = place.checked_sub(padding[axis]);
                match inside.filter(|&place| place < x.shape[axis + 2]) {
                    Some(place) => source.push(place),
                    None => return Ok(()),
                }
            }
            let mut tap_of_filter = vec![filter];
            tap_of_filter.extend(tap);
            terms.push(a.mul(x.at(&source), w.at(&tap_of_filter), c.result));
            Ok(())
        })?;
        terms.extend(bias.map(|b| b.data[filter]));
        a.sum(&mut terms, c.result, c.salt)
    })
}
