//! Evaluators of inverses and solutions of linear systems, by elimination.

use crate::evaluate::arithmetic::{Arithmetic, Evaluated, Failure};
use crate::evaluate::kernel::Result;
use crate::evaluate::{Call, Tensor};

/// The inverse of each matrix.
pub fn inverse<A: Arithmetic>(a: &A, x: &Tensor<A::Scalar>, c: &Call<'_>) -> Result<A> {
    let (zero, one) = (a.number(0.0, c.result)?, a.number(1.0, c.result)?);
    let side = x.shape.last().copied().unwrap_or(0);
    let identity = Tensor::from_fn(vec![side, side], |index| {
        Ok(if index[0] == index[1] { one } else { zero })
    })?;
    from_the_left(a, x, &identity, c)
}

/// X with A X = B.
pub fn from_the_left<A: Arithmetic>(
    a: &A,
    matrices: &Tensor<A::Scalar>,
    b: &Tensor<A::Scalar>,
    c: &Call<'_>,
) -> Result<A> {
    solved(a, c, |batch, i, j| {
        (at(matrices, batch, i, j), at(b, batch, i, j))
    })
}

/// X with X A = B: the transpose of what solves with the transposes.
pub fn from_the_right<A: Arithmetic>(
    a: &A,
    matrices: &Tensor<A::Scalar>,
    b: &Tensor<A::Scalar>,
    c: &Call<'_>,
) -> Result<A> {
    let mut turned = c.shape.to_vec();
    let rank = turned.len();
    turned.swap(rank - 2, rank - 1);
    let call = Call {
        shape: &turned,
        ..*c
    };
    let x = solved(a, &call, |batch, i, j| {
        (at(matrices, batch, j, i), at(b, batch, j, i))
    })?;
    Tensor::from_fn(c.shape.to_vec(), |index| {
        let mut index = index.to_vec();
        index.swap(rank - 2, rank - 1);
        Ok(x.at(&index))
    })
}

/// For each matrix the place of the first pivot that is zero, from one; zero where there is none.
pub fn info<A: Arithmetic>(a: &A, x: &Tensor<A::Scalar>, c: &Call<'_>) -> Result<A> {
    let side = x.shape.last().copied().unwrap_or(0);
    Tensor::from_fn(c.shape.to_vec(), |batch| {
        let mut rows: Vec<Vec<A::Scalar>> = (0..side)
            .map(|i| (0..side).filter_map(|j| at(x, batch, i, j)).collect())
            .collect();
        let singular = eliminate(a, &mut rows, side, c)?;
        a.number(singular.map_or(0.0, |place| place as f64 + 1.0), c.result)
    })
}

/// The element of a matrix of a stack; `None` outside.
fn at<S: Copy>(x: &Tensor<S>, batch: &[usize], i: usize, j: usize) -> Option<S> {
    let rank = x.shape.len();
    if i >= x.shape[rank - 2] || j >= x.shape[rank - 1] {
        return None;
    }
    let mut index = batch.to_vec();
    index.extend([i, j]);
    // A broadcast extent of one is for the batch alone.
    Some(x.at(&index))
}

type Elements<'e, S> = &'e dyn Fn(&[usize], usize, usize) -> (Option<S>, Option<S>);

/// The solution of each system of the result's shape, given both matrices' elements.
fn solved<A: Arithmetic>(
    a: &A,
    c: &Call<'_>,
    elements: impl Fn(&[usize], usize, usize) -> (Option<A::Scalar>, Option<A::Scalar>),
) -> Result<A> {
    let elements: Elements<'_, A::Scalar> = &elements;
    let (batch, matrix) = c.shape.split_at(c.shape.len() - 2);
    let (side, columns) = (matrix[0], matrix[1]);
    let mut data = Vec::with_capacity(c.shape.iter().product());
    Tensor::from_fn(batch.to_vec(), |batch| {
        let mut rows: Vec<Vec<A::Scalar>> = (0..side)
            .map(|i| {
                let left = (0..side).filter_map(|j| elements(batch, i, j).0);
                let right = (0..columns).filter_map(|j| elements(batch, i, j).1);
                left.chain(right).collect()
            })
            .collect();
        if eliminate(a, &mut rows, side, c)?.is_some() {
            return Err(Failure::Undefined);
        }
        data.extend(rows.iter().flat_map(|row| row[side..].iter().copied()));
        Ok(())
    })?;
    Ok(Tensor::new(c.shape.to_vec(), data))
}

/// Turns the first `side` columns into the identity; the place of the first pivot that is zero, where there is one.
fn eliminate<A: Arithmetic>(
    a: &A,
    rows: &mut [Vec<A::Scalar>],
    side: usize,
    c: &Call<'_>,
) -> Evaluated<Option<usize>> {
    let zero = a.number(0.0, c.result)?;
    for pivot in 0..side {
        let mut best = pivot;
        for row in pivot + 1..side {
            let (x, y) = (rows[row][pivot], rows[best][pivot]);
            // Where numbers have no size, any that is not zero will do.
            let larger = a.zip(|p, q| f64::from(p.abs() > q.abs()), x, y, c.result);
            if larger.map_or(y == zero && x != zero, |yes| yes != zero) {
                best = row;
            }
        }
        rows.swap(pivot, best);
        let by = rows[pivot][pivot];
        if by == zero {
            return Ok(Some(pivot));
        }
        for x in &mut rows[pivot] {
            *x = a.div(*x, by, c.result)?;
        }
        let from = rows[pivot].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != pivot) {
            let factor = row[pivot];
            for (x, &y) in row.iter_mut().zip(&from) {
                *x = a.sub(*x, a.mul(factor, y, c.result), c.result);
            }
        }
    }
    Ok(None)
}
