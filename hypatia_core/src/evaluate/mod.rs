//! An interpreter of the operations over small dense tensors, in any arithmetic: the meaning against which rules are
//! tried. It favours clarity over speed and shares no code with the libraries that run real programs.

pub mod arithmetic;
mod kernel;
mod layout;
mod network;
mod solve;

use std::collections::BTreeMap;

use egg::Id;
use rustc_hash::FxHashMap;

use crate::analysis::{TensorGraph, attribute, tensor_type};
use crate::attribute::Attribute;
use crate::language::Head;
use crate::tensor_type::{DType, Dim, TensorType};

pub use arithmetic::{Arithmetic, Complex, Evaluated, Failure, Field, Floating};
pub use kernel::kernel;

/// A dense tensor, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<S> {
    pub shape: Vec<usize>,
    pub data: Vec<S>,
}

impl<S: Copy> Tensor<S> {
    /// A tensor of these elements.
    pub fn new(shape: Vec<usize>, data: Vec<S>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape, data }
    }

    /// A tensor whose elements are computed from their multi-index.
    pub fn from_fn(
        shape: Vec<usize>,
        mut f: impl FnMut(&[usize]) -> Evaluated<S>,
    ) -> Evaluated<Self> {
        let mut data = Vec::with_capacity(shape.iter().product());
        let mut index = vec![0; shape.len()];
        for _ in 0..shape.iter().product() {
            data.push(f(&index)?);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(Self { shape, data })
    }

    /// The element at this index, which may be longer than the rank and run over broadcast axes.
    pub fn at(&self, index: &[usize]) -> S {
        let index = &index[index.len() - self.shape.len()..];
        let mut offset = 0;
        for (&i, &n) in index.iter().zip(&self.shape) {
            offset = offset * n + if n == 1 { 0 } else { i };
        }
        self.data[offset]
    }
}

/// What an evaluator is told beside operands and attributes.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub result: DType,
    pub operands: &'a [DType],
    /// The result's shape.
    pub shape: &'a [usize],
    /// Equal for equal operations on equal types: what a library's order of summation may depend on.
    pub salt: u64,
}

/// The evaluator of one operation in one arithmetic.
pub type Kernel<A> = fn(
    &A,
    &[&Tensor<<A as Arithmetic>::Scalar>],
    &[Attribute],
    &Call<'_>,
) -> Evaluated<Tensor<<A as Arithmetic>::Scalar>>;

/// The values of terms, computed when they are asked for.
pub struct Evaluation<'a, A: Arithmetic> {
    egraph: &'a TensorGraph,
    arithmetic: &'a A,
    inputs: &'a [Tensor<A::Scalar>],
    /// What each symbolic extent is in this run.
    sizes: &'a BTreeMap<u32, usize>,
    values: FxHashMap<Id, Tensor<A::Scalar>>,
}

/// The extents of a shape in one run.
pub fn extents(shape: &[Dim], sizes: &BTreeMap<u32, usize>) -> Vec<usize> {
    shape
        .iter()
        .map(|d| match d {
            Dim::Known(n) => usize::try_from(*n).unwrap_or(0),
            Dim::Symbol { symbol, hint } => sizes
                .get(symbol)
                .copied()
                .unwrap_or_else(|| usize::try_from(*hint).unwrap_or(0)),
        })
        .collect()
}

impl<'a, A: Arithmetic> Evaluation<'a, A> {
    /// An evaluation on these inputs, by number.
    pub fn new(
        egraph: &'a TensorGraph,
        arithmetic: &'a A,
        inputs: &'a [Tensor<A::Scalar>],
        sizes: &'a BTreeMap<u32, usize>,
    ) -> Self {
        Self {
            egraph,
            arithmetic,
            inputs,
            sizes,
            values: FxHashMap::default(),
        }
    }

    /// The values computed so far.
    pub fn values(&self) -> impl Iterator<Item = &Tensor<A::Scalar>> {
        self.values.values()
    }

    /// The value of a term that was added before any class was joined.
    ///
    /// # Errors
    /// The value does not exist in this arithmetic, or an operation has no evaluator.
    pub fn value(&mut self, id: Id) -> Evaluated<&Tensor<A::Scalar>> {
        if !self.values.contains_key(&id) {
            let value = self.compute(id)?;
            self.values.insert(id, value);
        }
        Ok(&self.values[&id])
    }

    fn compute(&mut self, id: Id) -> Evaluated<Tensor<A::Scalar>> {
        let term = self.egraph.id_to_node(id).clone();
        let op = match term.head {
            Head::Input(n) => return Ok(self.inputs[n as usize].clone()),
            Head::Op(op) => op,
            _ => return Err(Failure::Outside),
        };
        let (operand_ids, attribute_ids) = term.split();
        for &operand in operand_ids {
            self.value(operand)?;
        }
        let operands: Vec<&Tensor<A::Scalar>> =
            operand_ids.iter().map(|o| &self.values[o]).collect();
        let ty = |id: Id| -> Evaluated<&TensorType> {
            tensor_type(self.egraph, id).ok_or(Failure::Outside)
        };
        let dtypes = operand_ids
            .iter()
            .map(|&o| Ok(ty(o)?.dtype))
            .collect::<Evaluated<Vec<_>>>()?;
        let attributes: Vec<Attribute> = attribute_ids
            .iter()
            .filter_map(|&a| attribute(self.egraph, a).cloned())
            .collect();
        let result = ty(id)?;
        let shape = extents(&result.shape, self.sizes);
        let mut salt = op as u64;
        for extent in operands.iter().flat_map(|o| o.shape.iter().chain(&[99])) {
            salt = salt
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(*extent as u64 + 1);
        }
        let call = Call {
            result: result.dtype,
            operands: &dtypes,
            shape: &shape,
            salt,
        };
        let kernel = kernel::<A>(op).ok_or(Failure::Outside)?;
        let attributes: Vec<Attribute> = attributes
            .into_iter()
            .map(|a| match a {
                Attribute::Shape(s) => Attribute::Shape(
                    extents(&s, self.sizes)
                        .into_iter()
                        .map(|n| Dim::Known(n as i64))
                        .collect(),
                ),
                other => other,
            })
            .collect();
        let value = kernel(self.arithmetic, &operands, &attributes, &call)?;
        assert_eq!(
            value.shape,
            shape,
            "{}: its evaluator and its row in the table of operations differ in the shape",
            op.row().name
        );
        Ok(value)
    }
}
