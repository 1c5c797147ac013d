//! Tensor expressions by their elements: at small extents each element is a scalar expression, which rigorous
//! arithmetic can evaluate.

use num_rational::BigRational;

use super::build::{add, div, mul, one, sqrt, sub};
use super::expression::{Expression, Operator};
use super::function::Function;
use super::prove::{Assumptions, Status, prove};
use super::refute::{Witness, compare};
use super::tensor_shape::{Shapes, axis};
use crate::error::{Error, Result};

/// The sizes that extents take in turn; unequal ones, so that a wrong axis shows.
const SIZES: &[usize] = &[2, 3, 2, 3];
/// Nodes of all elements together beyond which nothing is compared.
const LARGEST: usize = 4_000;
/// Algebra steps for one element.
const STEPS: u64 = 200_000;

/// A tensor of scalar expressions, in row-major order.
#[derive(Debug, Clone)]
struct Elements {
    sizes: Vec<usize>,
    values: Vec<Expression>,
}

/// A point at which an element of both sides differs, certainly; its names are those of elements, `A[0,1]`.
///
/// # Errors
/// When an operator is not known by its elements, or there are too many of them.
pub fn refute(left: &Expression, right: &Expression, shapes: &Shapes) -> Result<Option<Witness>> {
    let (ours, theirs) = (elements(left, shapes)?, elements(right, shapes)?);
    for (a, b) in ours.values.iter().zip(&theirs.values) {
        if a == b {
            continue;
        }
        if a.shared_size() + b.shared_size() > LARGEST {
            return Err(Error::new(format!(
                "an element has more than {LARGEST} parts"
            )));
        }
        if let Some(witness) = compare(a, b, &Assumptions::new(), false).witness {
            return Ok(Some(witness));
        }
        let answer = prove(a, b, &Assumptions::new(), STEPS);
        if answer.status == Status::Refuted {
            return Ok(answer.witness);
        }
    }
    Ok(None)
}

fn elements(side: &Expression, shapes: &Shapes) -> Result<Elements> {
    side.fold(|node, arguments: &[Elements]| {
        let extents = shapes
            .part(node)
            .ok_or_else(|| Error::new("a part without a shape"))?;
        let sizes: Vec<usize> = extents.iter().map(|e| SIZES[e % SIZES.len()]).collect();
        let each = |of: &dyn Fn(&[usize]) -> Expression| Elements {
            values: indices(&sizes).iter().map(|index| of(index)).collect(),
            sizes: sizes.clone(),
        };
        Ok(match node.operator() {
            Operator::Variable(name) => each(&|index| {
                let places: Vec<String> = index.iter().map(ToString::to_string).collect();
                Expression::variable(&format!("{name}[{}]", places.join(",")))
            }),
            Operator::Tensor(operator) => tensor(operator.name, node, arguments, &sizes)?,
            _ => each(&|index| {
                let parts: Vec<Expression> = arguments.iter().map(|a| a.broadcast(index)).collect();
                node.with_arguments(&parts)
            }),
        })
    })
}

/// Every index of a tensor of these sizes, in row-major order.
fn indices(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new()];
    for size in sizes {
        let longer = |index: &Vec<usize>| {
            let index = index.clone();
            (0..*size).map(move |i| {
                let mut longer = index.clone();
                longer.push(i);
                longer
            })
        };
        found = found.iter().flat_map(longer).collect();
    }
    found
}

impl Elements {
    fn at(&self, index: &[usize]) -> Expression {
        let place = self
            .sizes
            .iter()
            .zip(index)
            .fold(0, |place, (size, i)| place * size + i);
        self.values[place].clone()
    }

    /// The element that stands at the end of a longer index.
    fn broadcast(&self, index: &[usize]) -> Expression {
        self.at(&index[index.len() - self.sizes.len()..])
    }

    fn build(sizes: Vec<usize>, of: impl Fn(&[usize]) -> Expression) -> Self {
        let values = indices(&sizes).iter().map(|index| of(index)).collect();
        Self { sizes, values }
    }

    fn matmul(&self, other: &Self) -> Self {
        let inner = self.sizes[1];
        Self::build(vec![self.sizes[0], other.sizes[1]], |index| {
            total((0..inner).map(|k| mul(self.at(&[index[0], k]), other.at(&[k, index[1]]))))
        })
    }

    fn transposed(&self) -> Self {
        Self::build(vec![self.sizes[1], self.sizes[0]], |index| {
            self.at(&[index[1], index[0]])
        })
    }

    /// The elements along an axis through an index.
    fn along(&self, index: &[usize], axis: usize) -> Vec<Expression> {
        let mut index = index.to_vec();
        let each = (0..self.sizes[axis]).map(|i| {
            index[axis] = i;
            self.at(&index)
        });
        each.collect()
    }

    fn softmax(&self, axis: usize, logarithm: bool) -> Self {
        Self::build(self.sizes.clone(), |index| {
            let exponential = |u: Expression| Expression::call(Function::Exp, u);
            let sum = total(self.along(index, axis).into_iter().map(exponential));
            if logarithm {
                sub(self.at(index), Expression::call(Function::Log, sum))
            } else {
                div(exponential(self.at(index)), sum)
            }
        })
    }
}

fn total(terms: impl Iterator<Item = Expression>) -> Expression {
    terms.reduce(add).unwrap_or_else(super::build::zero)
}

fn tensor(
    name: &str,
    node: &Expression,
    arguments: &[Elements],
    sizes: &[usize],
) -> Result<Elements> {
    let given = node.arguments();
    let first = &arguments[0];
    Ok(match name {
        "matmul" => first.matmul(&arguments[1]),
        "linear" => {
            let product = first.matmul(&arguments[1].transposed());
            match arguments.get(2) {
                Some(bias) => Elements::build(sizes.to_vec(), |index| {
                    add(product.at(index), bias.broadcast(index))
                }),
                None => product,
            }
        }
        "transpose" if first.sizes == sizes && given.len() > 1 => {
            let (a, b) = (axis(given.get(1), 2, 0)?, axis(given.get(2), 2, 1)?);
            if a == b {
                first.clone()
            } else {
                first.transposed()
            }
        }
        "transpose" if given.len() == 1 || first.sizes != sizes => first.transposed(),
        "softmax" | "log_softmax" => first.softmax(
            axis(given.get(1), first.sizes.len(), -1)?,
            name == "log_softmax",
        ),
        "attention" => {
            let width = Expression::integer(first.sizes[1] as i64);
            let scores = first.matmul(&arguments[1].transposed());
            let scores = Elements::build(scores.sizes.clone(), |index| {
                let scaled = div(scores.at(index), sqrt(width.clone()));
                match arguments.get(3) {
                    Some(mask) => add(scaled, mask.broadcast(index)),
                    None => scaled,
                }
            });
            scores.softmax(1, false).matmul(&arguments[2])
        }
        "layernorm" => {
            let last = first.sizes.len() - 1;
            let count = Expression::integer(first.sizes[last] as i64);
            let epsilon = match given.get(3) {
                Some(epsilon) => epsilon.clone(),
                None => Expression::rational(BigRational::new(1.into(), 100_000.into())),
            };
            Elements::build(sizes.to_vec(), |index| {
                let row = first.along(index, last);
                let mean = div(total(row.iter().cloned()), count.clone());
                let square = |u: &Expression| {
                    let d = sub(u.clone(), mean.clone());
                    mul(d.clone(), d)
                };
                let variance = div(total(row.iter().map(square)), count.clone());
                let scale = div(one(), sqrt(add(variance, epsilon.clone())));
                let mut value = mul(sub(first.at(index), mean.clone()), scale);
                if let Some(weight) = arguments.get(1) {
                    value = mul(value, weight.broadcast(index));
                }
                match arguments.get(2) {
                    Some(bias) => add(value, bias.broadcast(index)),
                    None => value,
                }
            })
        }
        "sum" | "mean" => {
            let (parts, count): (Vec<Vec<Expression>>, usize) = match given.get(1) {
                None => (vec![first.values.clone()], first.values.len()),
                Some(_) => {
                    let place = axis(given.get(1), first.sizes.len(), -1)?;
                    let through = |index: &Vec<usize>| {
                        let mut index = index.clone();
                        index.insert(place, 0);
                        first.along(&index, place)
                    };
                    (
                        indices(sizes).iter().map(through).collect(),
                        first.sizes[place],
                    )
                }
            };
            let value = |terms: Vec<Expression>| {
                let sum = total(terms.into_iter());
                if name == "mean" {
                    div(sum, Expression::integer(count as i64))
                } else {
                    sum
                }
            };
            Elements {
                sizes: sizes.to_vec(),
                values: parts.into_iter().map(value).collect(),
            }
        }
        _ => return Err(Error::new(format!("'{name}' is not known by its elements"))),
    })
}
