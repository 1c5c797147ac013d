//! How each operation is evaluated: one row an operation, in the order of the table of operations.

use crate::attribute::Attribute;
use crate::evaluate::arithmetic::{Arithmetic, Evaluated, Failure};
use crate::evaluate::{Call, Kernel, Tensor};
use crate::evaluate::{layout, network, solve};
use crate::op::Op;
use crate::tensor_type::DType;

pub(super) type Operands<'a, A> = &'a [&'a Tensor<<A as Arithmetic>::Scalar>];
pub(super) type Result<A> = Evaluated<Tensor<<A as Arithmetic>::Scalar>>;

/// The evaluator of an operation; `None` where it has none, which a test does not let pass.
pub fn kernel<A: Arithmetic>(op: Op) -> Option<Kernel<A>> {
    let kernel: Kernel<A> = match op {
        Op::Const => |a, _, at, c| {
            let number = at[0].float().ok_or(Failure::Outside)?;
            Ok(Tensor::new(vec![], vec![a.number(number, c.result)?]))
        },
        Op::Literal => |a, _, at, c| {
            let elements = at[0].elements().ok_or(Failure::Outside)?;
            let data = elements.values.iter().map(|&v| a.number(v, c.result));
            Ok(Tensor::new(
                c.shape.to_vec(),
                data.collect::<Evaluated<_>>()?,
            ))
        },
        Op::Bilinear => |a, x, at, c| bilinear(a, x[0], x[1], &at[0], c),
        Op::Add => |a, x, _, c| fold(x, |p, q| Ok(a.add(p, q, c.result))),
        Op::Mul => |a, x, _, c| fold(x, |p, q| Ok(a.mul(p, q, c.result))),
        Op::Sub => |a, x, _, c| fold(x, |p, q| Ok(a.sub(p, q, c.result))),
        Op::Div => |a, x, _, c| fold(x, |p, q| a.div(p, q, c.result)),
        Op::Maximum => |a, x, _, c| fold(x, |p, q| a.zip(maximum, p, q, c.result)),
        Op::Minimum => |a, x, _, c| fold(x, |p, q| a.zip(minimum, p, q, c.result)),
        Op::Neg => |a, x, _, c| map(x, |v| a.neg(v, c.result)),
        Op::Abs => |a, x, _, c| map(x, |v| a.map(f64::abs, v, c.result)),
        Op::Relu => |a, x, _, c| map(x, |v| a.map(|v| maximum(v, 0.0), v, c.result)),
        Op::Clamp => |a, x, at, c| {
            let bound = |i: usize| at[i].float().ok_or(Failure::Outside);
            let (low, high) = (bound(0)?, bound(1)?);
            map(x, |v| {
                a.map(|v| minimum(maximum(v, low), high), v, c.result)
            })
        },
        Op::Exp => |a, x, _, c| map(x, |v| a.map(libm::exp, v, c.result)),
        Op::Expm1 => |a, x, _, c| map(x, |v| a.map(libm::expm1, v, c.result)),
        Op::Log => |a, x, _, c| map(x, |v| a.map(libm::log, v, c.result)),
        Op::Log1p => |a, x, _, c| map(x, |v| a.map(libm::log1p, v, c.result)),
        Op::Sqrt => |a, x, _, c| map(x, |v| a.map(f64::sqrt, v, c.result)),
        Op::Rsqrt => |a, x, _, c| map(x, |v| a.map(|v| 1.0 / v.sqrt(), v, c.result)),
        Op::Reciprocal => |a, x, _, c| {
            let one = a.number(1.0, c.result)?;
            map(x, |v| a.div(one, v, c.result))
        },
        Op::Sin => |a, x, _, c| map(x, |v| a.map(libm::sin, v, c.result)),
        Op::Cos => |a, x, _, c| map(x, |v| a.map(libm::cos, v, c.result)),
        Op::Tanh => |a, x, _, c| map(x, |v| a.map(libm::tanh, v, c.result)),
        Op::Sigmoid => |a, x, _, c| map(x, |v| a.map(sigmoid, v, c.result)),
        Op::Silu => |a, x, _, c| map(x, |v| a.map(|v| v * sigmoid(v), v, c.result)),
        Op::Erf => |a, x, _, c| map(x, |v| a.map(libm::erf, v, c.result)),
        Op::Softplus => |a, x, _, c| map(x, |v| a.map(softplus, v, c.result)),
        Op::LogSigmoid => |a, x, _, c| map(x, |v| a.map(|v| -softplus(-v), v, c.result)),
        Op::Hypot => |a, x, _, c| fold(x, |p, q| a.zip(libm::hypot, p, q, c.result)),
        Op::Gelu => |a, x, at, c| {
            let tanh = at[0] == Attribute::Word("tanh".into());
            map(x, |v| a.map(|v| gelu(v, tanh), v, c.result))
        },
        Op::PowScalar => |a, x, at, c| pow_scalar(a, x, at, c),
        Op::Cast => |a, x, _, c| map(x, |v| a.cast(v, c.operands[0], c.result)),
        Op::Matmul => |a, x, _, c| matmul(a, x[0], x[1], None, c),
        Op::Addmm => |a, x, _, c| matmul(a, x[1], x[2], Some(x[0]), c),
        Op::Attention => |a, x, at, c| network::attention(a, None, x, at, c),
        Op::MaskedAttention => |a, x, at, c| network::attention(a, Some(x[0]), &x[1..], at, c),
        Op::BooleanAttention => |a, x, at, c| network::boolean_attention(a, x[0], &x[1..], at, c),
        Op::CausalAttention => |a, x, at, c| network::causal_attention(a, x, at, c),
        // What is inverted or factored stands for the matrices themselves.
        Op::Inverting | Op::Factored => |_, x, _, _| Ok(x[0].clone()),
        Op::Inverse => |a, x, _, c| solve::inverse(a, x[0], c),
        Op::InverseInfo | Op::LuInfo => |a, x, _, c| solve::info(a, x[0], c),
        Op::LuSolve => |a, x, _, c| solve::from_the_left(a, x[0], x[1], c),
        Op::LuSolveRight => |a, x, _, c| solve::from_the_right(a, x[0], x[1], c),
        Op::Gram => |a, x, _, c| {
            let turned = vec![x[0].shape[1], x[0].shape[0]];
            let turned = Tensor::from_fn(turned, |i| Ok(x[0].at(&[i[1], i[0]])))?;
            matmul(a, x[0], &turned, None, c)
        },
        Op::LowerProduct => |a, x, _, c| network::triangle_product(a, x[0], x[1], false, c),
        Op::UpperProduct => |a, x, _, c| network::triangle_product(a, x[0], x[1], true, c),
        Op::BandedProduct => |a, x, at, c| network::banded_product(a, x[0], x[1], at, c),
        Op::Tril => {
            |a, x, at, c| network::triangle(a, x[0], at[0].int().ok_or(Failure::Outside)?, false, c)
        }
        Op::Triu => {
            |a, x, at, c| network::triangle(a, x[0], at[0].int().ok_or(Failure::Outside)?, true, c)
        }
        Op::Where => |a, x, _, c| {
            let zero = a.number(0.0, c.result)?;
            Tensor::from_fn(c.shape.to_vec(), |index| {
                let chosen = if x[0].at(index) == zero { x[2] } else { x[1] };
                Ok(chosen.at(index))
            })
        },
        Op::Not => |a, x, _, c| {
            let (no, yes) = (a.number(0.0, c.result)?, a.number(1.0, c.result)?);
            map(x, |v| Ok(if v == no { yes } else { no }))
        },
        Op::Band => |a, _, at, c| {
            let offset = at[1].int().ok_or(Failure::Outside)?;
            network::band(a, c.shape.to_vec(), offset, c)
        },
        Op::Convolution => |a, x, at, c| network::convolution(a, x[0], x[1], None, at, c),
        Op::BiasedConvolution => {
            |a, x, at, c| network::convolution(a, x[1], x[2], Some(x[0]), at, c)
        }
        Op::DiagEmbed => |a, x, _, c| network::diag_embed(a, x[0], c),
        Op::Standardize => |a, x, at, c| network::standardize(a, x[0], at, c),
        Op::RmsStandardize => |a, x, at, c| network::rms_standardize(a, x[0], at, c),
        Op::LayerNorm => |a, x, at, c| network::layer_norm(a, x, at, c),
        Op::BatchNorm => |a, x, at, c| network::batch_norm(a, x, at, c),
        Op::BatchScale => |a, x, at, c| {
            let epsilon = network::number(a, &at[0], c)?;
            fold(x, |w, v| network::scale(a, w, v, epsilon, c))
        },
        Op::Permute => |_, x, at, c| layout::permute(x, at, c),
        Op::Reshape => |_, x, at, c| layout::reshape(x, at, c),
        Op::Expand => |_, x, at, c| layout::expand(x, at, c),
        Op::Slice => |_, x, at, c| layout::slice(x, at, c),
        Op::SelectRows => |a, x, at, _| {
            let extent = at[0].int().and_then(|axis| usize::try_from(axis).ok());
            let extent = *x[0]
                .shape
                .get(extent.ok_or(Failure::Outside)?)
                .ok_or(Failure::Outside)?;
            let places = x[1].data.iter().map(|&v| a.place(v, extent));
            layout::select_rows(x[0], &places.collect::<Evaluated<Vec<_>>>()?, at)
        },
        Op::Diagonal => |_, x, at, c| layout::diagonal(x, at, c),
        Op::Cat => |_, x, at, c| layout::cat(x, at, c),
        Op::Sum => |a, x, at, c| reduce(x, at, |line| a.sum(line, c.result, c.salt)),
        Op::Mean => |a, x, at, c| {
            reduce(x, at, |line| {
                let count = a.number(line.len() as f64, DType::F64)?;
                let sum = a.sum(line, c.result, c.salt)?;
                a.div(sum, count, c.result)
            })
        },
        Op::Amax => |a, x, at, c| reduce(x, at, |line| largest(a, line, c.result)),
        Op::LogSumExp => |a, x, at, c| reduce(x, at, |line| log_sum_exp(a, line, c)),
        Op::Variance => |a, x, at, c| reduce(x, at, |line| variance(a, line, c)),
        Op::Softmax => |a, x, at, c| along(x, at, |line| softmax(a, line, c)),
        Op::LogSoftmax => |a, x, at, c| along(x, at, |line| log_softmax(a, line, c)),
        // An operation that is new in the table and has no evaluator yet fails a test, not the build.
        #[allow(unreachable_patterns)]
        _ => return None,
    };
    Some(kernel)
}

/// The larger; NaN where either is.
fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

fn minimum(a: f64, b: f64) -> f64 {
    -maximum(-a, -b)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// log(1 + exp x), without overflow.
fn softplus(x: f64) -> f64 {
    maximum(x, 0.0) + libm::log1p(libm::exp(-x.abs()))
}

fn gelu(x: f64, tanh: bool) -> f64 {
    if tanh {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
        0.5 * x * (1.0 + libm::tanh(inner))
    } else {
        0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
    }
}

fn map<S: Copy>(x: &[&Tensor<S>], f: impl Fn(S) -> Evaluated<S>) -> Evaluated<Tensor<S>> {
    let data = x[0].data.iter().map(|&v| f(v)).collect::<Evaluated<_>>()?;
    Ok(Tensor::new(x[0].shape.clone(), data))
}

/// The shape that all broadcast to; the caller's types say that they do.
fn broadcast<'s>(shapes: impl Iterator<Item = &'s [usize]> + Clone) -> Vec<usize> {
    let rank = shapes.clone().map(<[usize]>::len).max().unwrap_or(0);
    (0..rank)
        .map(|axis| {
            let extents = shapes
                .clone()
                .filter_map(|s| (axis + s.len()).checked_sub(rank).map(|i| s[i]));
            extents
                .reduce(|a, b| if a == 1 { b } else { a })
                .unwrap_or(1)
        })
        .collect()
}

/// Operands in their order, from the left.
pub(super) fn fold<S: Copy>(
    x: &[&Tensor<S>],
    f: impl Fn(S, S) -> Evaluated<S>,
) -> Evaluated<Tensor<S>> {
    let shape = broadcast(x.iter().map(|t| t.shape.as_slice()));
    Tensor::from_fn(shape, |index| {
        let (first, rest) = x.split_first().ok_or(Failure::Outside)?;
        rest.iter()
            .try_fold(first.at(index), |value, t| f(value, t.at(index)))
    })
}

/// A power with a constant exponent: repeated products for small whole ones, as torch has it for 2 and 3.
fn pow_scalar<A: Arithmetic>(
    a: &A,
    x: Operands<'_, A>,
    at: &[Attribute],
    c: &Call<'_>,
) -> Result<A> {
    let exponent = at[0].float().ok_or(Failure::Outside)?;
    let one = a.number(1.0, c.result)?;
    map(x, |v| {
        if exponent.fract() == 0.0 && exponent.abs() <= 16.0 {
            let mut power = one;
            for _ in 0..exponent.abs() as u32 {
                power = a.mul(power, v, c.result);
            }
            if exponent < 0.0 {
                a.div(one, power, c.result)
            } else {
                Ok(power)
            }
        } else {
            a.map(
                |v| {
                    if exponent == 0.5 {
                        v.sqrt()
                    } else {
                        libm::pow(v, exponent)
                    }
                },
                v,
                c.result,
            )
        }
    })
}

/// Batches broadcast; `extra` starts the sum.
pub(super) fn matmul<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    y: &Tensor<A::Scalar>,
    extra: Option<&Tensor<A::Scalar>>,
    c: &Call<'_>,
) -> Result<A> {
    let (xs, ys) = (x.shape.len() - 2, y.shape.len() - 2);
    let inner = x.shape[xs + 1];
    let mut shape = broadcast([&x.shape[..xs], &y.shape[..ys]].into_iter());
    shape.extend([x.shape[xs], y.shape[ys + 1]]);
    let mut line = Vec::with_capacity(inner + 1);
    let (mut left, mut right) = (vec![0; shape.len()], vec![0; shape.len()]);
    let n = shape.len();
    Tensor::from_fn(shape, |index| {
        line.clear();
        left.copy_from_slice(index);
        right.copy_from_slice(index);
        for k in 0..inner {
            left[n - 1] = k;
            right[n - 2] = k;
            line.push(a.mul(x.at(&left), y.at(&right), c.result));
        }
        line.extend(extra.map(|t| t.at(index)));
        a.sum(&mut line, c.result, c.salt)
    })
}

/// The terms of the table that are not zero, summed for each place of the last axis.
fn bilinear<A: Arithmetic>(
    a: &A,
    x: &Tensor<A::Scalar>,
    y: &Tensor<A::Scalar>,
    table: &Attribute,
    c: &Call<'_>,
) -> Result<A> {
    let table = table.elements().ok_or(Failure::Outside)?;
    let extents = table.extents().ok_or(Failure::Outside)?;
    let table = Tensor::new(extents.clone(), table.values.clone());
    let mut line = Vec::new();
    Tensor::from_fn(c.shape.to_vec(), |index| {
        let (&k, batch) = index.split_last().ok_or(Failure::Outside)?;
        let place = |i: usize| batch.iter().copied().chain([i]).collect::<Vec<_>>();
        line.clear();
        for i in 0..extents[0] {
            for j in 0..extents[1] {
                let coefficient = table.at(&[i, j, k]);
                if coefficient != 0.0 {
                    let product = a.mul(x.at(&place(i)), y.at(&place(j)), c.result);
                    let coefficient = a.number(coefficient, c.result)?;
                    line.push(a.mul(coefficient, product, c.result));
                }
            }
        }
        a.sum(&mut line, c.result, c.salt)
    })
}

/// Each line along the reduced axes to one element.
fn reduce<S: Copy>(
    x: &[&Tensor<S>],
    at: &[Attribute],
    mut f: impl FnMut(&mut [S]) -> Evaluated<S>,
) -> Evaluated<Tensor<S>> {
    let axes = at[0].axes().ok_or(Failure::Outside)?;
    let keep = at[1].bool().ok_or(Failure::Outside)?;
    let extents = &x[0].shape;
    let reduced: Vec<usize> = axes.iter().map(|&a| extents[a]).collect();
    let kept: Vec<usize> = (0..extents.len())
        .map(|i| if axes.contains(&i) { 1 } else { extents[i] })
        .collect();
    let mut source = vec![0; extents.len()];
    let result = Tensor::from_fn(kept, |index| {
        let line = Tensor::from_fn(reduced.clone(), |along| {
            source.copy_from_slice(index);
            for (&axis, &i) in axes.iter().zip(along) {
                source[axis] = i;
            }
            Ok(x[0].at(&source))
        });
        f(&mut line?.data)
    })?;
    let left = (0..extents.len()).filter(|i| keep || !axes.contains(i));
    Ok(Tensor::new(
        left.map(|i| result.shape[i]).collect(),
        result.data,
    ))
}

fn largest<A: Arithmetic>(a: &A, line: &[A::Scalar], dtype: DType) -> Evaluated<A::Scalar> {
    let (first, rest) = line.split_first().ok_or(Failure::Undefined)?;
    rest.iter()
        .try_fold(*first, |best, &v| a.zip(maximum, best, v, dtype))
}

/// Each line along one axis to a line of the same length.
pub(super) fn along<S: Copy>(
    x: &[&Tensor<S>],
    at: &[Attribute],
    f: impl Fn(&[S]) -> Evaluated<Vec<S>>,
) -> Evaluated<Tensor<S>> {
    let axis = at[0]
        .int()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or(Failure::Outside)?;
    let extent = x[0].shape[axis];
    Tensor::from_fn(x[0].shape.clone(), |index| {
        let mut source = index.to_vec();
        let line: Vec<S> = (0..extent)
            .map(|i| {
                source[axis] = i;
                x[0].at(&source)
            })
            .collect();
        Ok(f(&line)?[index[axis]])
    })
}

type Pair<S> = (Vec<S>, Vec<S>);

/// Differences to the largest, and their exponentials.
fn shifted<A: Arithmetic>(a: &A, line: &[A::Scalar], dtype: DType) -> Evaluated<Pair<A::Scalar>> {
    let most = largest(a, line, dtype)?;
    let differences: Vec<_> = line.iter().map(|&v| a.sub(v, most, dtype)).collect();
    let exponentials = differences
        .iter()
        .map(|&v| a.map(libm::exp, v, dtype))
        .collect::<Evaluated<_>>()?;
    Ok((differences, exponentials))
}

pub(super) fn softmax<A: Arithmetic>(
    a: &A,
    line: &[A::Scalar],
    c: &Call<'_>,
) -> Evaluated<Vec<A::Scalar>> {
    let (_, exponentials) = shifted(a, line, c.result)?;
    let total = a.sum(&mut exponentials.clone(), c.result, c.salt)?;
    exponentials
        .into_iter()
        .map(|e| a.div(e, total, c.result))
        .collect()
}

/// The largest is infinite where all is lost, or one element decides: no shift helps there.
fn log_sum_exp<A: Arithmetic>(a: &A, line: &[A::Scalar], c: &Call<'_>) -> Evaluated<A::Scalar> {
    // The sum of nothing is zero, and its logarithm the least number of all.
    let most = largest(a, line, c.result).or_else(|_| a.number(0.0, c.result))?;
    let shift = a.map(|v| if v.is_infinite() { 0.0 } else { v }, most, c.result)?;
    let mut exponentials = line
        .iter()
        .map(|&v| a.map(libm::exp, a.sub(v, shift, c.result), c.result))
        .collect::<Evaluated<Vec<_>>>()?;
    let total = a.sum(&mut exponentials, c.result, c.salt)?;
    let log = a.map(libm::log, total, c.result)?;
    Ok(a.add(log, shift, c.result))
}

/// The sum over the count.
pub(super) fn mean<A: Arithmetic>(
    a: &A,
    line: &mut [A::Scalar],
    c: &Call<'_>,
) -> Evaluated<A::Scalar> {
    let count = a.number(line.len() as f64, DType::F64)?;
    a.div(a.sum(line, c.result, c.salt)?, count, c.result)
}

/// The mean of squared deviations from the mean, as torch computes it: in two passes, not less accurate than float32.
pub(super) fn variance<A: Arithmetic>(
    a: &A,
    line: &mut [A::Scalar],
    c: &Call<'_>,
) -> Evaluated<A::Scalar> {
    let middle = mean(a, &mut line.to_vec(), c)?;
    for v in line.iter_mut() {
        let deviation = a.sub(*v, middle, c.result);
        *v = a.mul(deviation, deviation, c.result);
    }
    mean(a, line, c)
}

fn log_softmax<A: Arithmetic>(
    a: &A,
    line: &[A::Scalar],
    c: &Call<'_>,
) -> Evaluated<Vec<A::Scalar>> {
    let (differences, mut exponentials) = shifted(a, line, c.result)?;
    let total = a.sum(&mut exponentials, c.result, c.salt)?;
    let log = a.map(libm::log, total, c.result)?;
    Ok(differences
        .into_iter()
        .map(|d| a.sub(d, log, c.result))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Field, Floating};
    use crate::op::OPS;

    #[test]
    fn every_operation_has_an_evaluator() {
        for row in OPS {
            assert!(kernel::<Floating>(row.op).is_some(), "{}", row.name);
            assert!(kernel::<Field>(row.op).is_some(), "{}", row.name);
        }
    }

    fn run(op: Op, x: &[&Tensor<f64>], at: &[Attribute]) -> Tensor<f64> {
        let dtypes = vec![DType::F64; x.len()];
        let types: Vec<_> = x
            .iter()
            .map(|t| {
                let shape: Vec<i64> = t.shape.iter().map(|&n| n as i64).collect();
                crate::tensor_type::TensorType::new(DType::F64, &shape)
            })
            .collect();
        let result = op
            .infer(
                &types.iter().collect::<Vec<_>>(),
                &at.iter().collect::<Vec<_>>(),
            )
            .unwrap();
        let shape = crate::evaluate::extents(&result.shape, &std::collections::BTreeMap::new());
        let call = Call {
            result: result.dtype,
            operands: &dtypes,
            shape: &shape,
            salt: 1,
        };
        kernel::<Floating>(op).unwrap()(&Floating { rounded: true }, x, at, &call).unwrap()
    }

    #[test]
    fn products_by_hand() {
        let a = Tensor::new(vec![2, 3], vec![1., 2., 3., 4., 5., 6.]);
        let b = Tensor::new(vec![3, 1], vec![1., 0., -1.]);
        assert_eq!(run(Op::Matmul, &[&a, &b], &[]).data, [-2., -2.]);
        let c = Tensor::new(vec![1], vec![10.]);
        assert_eq!(run(Op::Addmm, &[&c, &a, &b], &[]).data, [8., 8.]);
        let empty = Tensor::new(vec![2, 0], vec![]);
        let none = Tensor::new(vec![0, 2], vec![]);
        assert_eq!(run(Op::Matmul, &[&empty, &none], &[]).data, [0.; 4]);
    }

    #[test]
    fn views_and_reductions_by_hand() {
        let a = Tensor::new(vec![2, 3], vec![1., 2., 3., 4., 5., 6.]);
        let turned = run(Op::Permute, &[&a], &[Attribute::Axes(vec![1, 0])]);
        assert_eq!(turned.data, [1., 4., 2., 5., 3., 6.]);
        let int = Attribute::Int;
        assert_eq!(
            run(Op::Slice, &[&a], &[int(1), int(0), int(3), int(2)]).data,
            [1., 3., 4., 6.]
        );
        assert_eq!(
            run(Op::Cat, &[&a, &a], &[int(1)]).data[..6],
            [1., 2., 3., 1., 2., 3.]
        );
        let keep = Attribute::Bool(true);
        assert_eq!(
            run(Op::Sum, &[&a], &[Attribute::Axes(vec![1]), keep.clone()]).data,
            [6., 15.]
        );
        assert_eq!(
            run(
                Op::Mean,
                &[&a],
                &[Attribute::Axes(vec![0, 1]), keep.clone()]
            )
            .data,
            [3.5]
        );
        assert_eq!(
            run(Op::Amax, &[&a], &[Attribute::Axes(vec![0]), keep]).data,
            [4., 5., 6.]
        );
        let soft = run(Op::Softmax, &[&a], &[int(0)]);
        assert!((soft.data[0] + soft.data[3] - 1.0).abs() < 1e-15);
    }
}
