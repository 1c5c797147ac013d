//! The operations that rules know: one row each, with its name, its operands and the type of its result.

use crate::attribute::Attribute;
use crate::tensor_type::{DType, Dim, Shape, TensorType, broadcast};

/// How many tensor operands an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    Exactly(usize),
    /// Two or more, in any order: the operands are a multiset.
    Commutative,
    /// One or more, in order.
    Sequence,
}

/// What an operation costs to run, before any measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A new look at the same memory.
    View,
    /// One pass over operands and result, with about this many operations an element.
    Elementwise(u32),
    /// One pass over the operand.
    Reduction,
    /// A matrix product.
    Contraction,
    /// Nothing at run time.
    Free,
}

type Infer = fn(&[&TensorType], &[&Attribute]) -> Option<TensorType>;

/// One row of the table of operations.
#[derive(Debug)]
pub struct OpRow {
    pub op: Op,
    pub name: &'static str,
    pub arity: Arity,
    /// Number of attributes, which follow the tensor operands.
    pub attributes: usize,
    pub work: Work,
    /// The type of the result, or `None` where torch would refuse or where it is not surely known.
    pub infer: Infer,
}

macro_rules! ops {
    ($($variant:ident $name:literal $arity:expr, $attributes:literal, $work:expr, $infer:expr;)*) => {
        /// An operation with known meaning. Its semantics are those of the torch function of the same name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Op { $($variant),* }

        /// Every operation, in the order of [`Op`].
        pub static OPS: &[OpRow] = &[
            $(OpRow { op: Op::$variant, name: $name, arity: $arity, attributes: $attributes, work: $work, infer: $infer }),*
        ];
    };
}

use Arity::{Commutative, Exactly, Sequence};
use Work::{Contraction, Elementwise, Free, Reduction, View};

ops! {
    Const      "const"       Exactly(0), 3, Free,            constant;
    Literal    "literal"     Exactly(0), 3, Free,            literal;
    Add        "add"         Commutative, 0, Elementwise(1), pointwise;
    Mul        "mul"         Commutative, 0, Elementwise(1), pointwise;
    Sub        "sub"         Exactly(2), 0, Elementwise(1),  pointwise;
    Div        "div"         Exactly(2), 0, Elementwise(4),  pointwise_float;
    Maximum    "maximum"     Exactly(2), 0, Elementwise(1),  pointwise;
    Minimum    "minimum"     Exactly(2), 0, Elementwise(1),  pointwise;
    Neg        "neg"         Exactly(1), 0, Elementwise(1),  pointwise;
    Abs        "abs"         Exactly(1), 0, Elementwise(1),  pointwise_float;
    Clamp      "clamp"       Exactly(1), 2, Elementwise(2),  clamp;
    Relu       "relu"        Exactly(1), 0, Elementwise(1),  pointwise_float;
    Exp        "exp"         Exactly(1), 0, Elementwise(16), pointwise_float;
    Expm1      "expm1"       Exactly(1), 0, Elementwise(20), pointwise_float;
    Log        "log"         Exactly(1), 0, Elementwise(16), pointwise_float;
    Log1p      "log1p"       Exactly(1), 0, Elementwise(20), pointwise_float;
    Sqrt       "sqrt"        Exactly(1), 0, Elementwise(6),  pointwise_float;
    Rsqrt      "rsqrt"       Exactly(1), 0, Elementwise(8),  pointwise_float;
    Reciprocal "reciprocal"  Exactly(1), 0, Elementwise(4),  pointwise_float;
    Sin        "sin"         Exactly(1), 0, Elementwise(24), pointwise_float;
    Cos        "cos"         Exactly(1), 0, Elementwise(24), pointwise_float;
    Tanh       "tanh"        Exactly(1), 0, Elementwise(24), pointwise_float;
    Sigmoid    "sigmoid"     Exactly(1), 0, Elementwise(20), pointwise_float;
    Silu       "silu"        Exactly(1), 0, Elementwise(22), pointwise_float;
    Erf        "erf"         Exactly(1), 0, Elementwise(30), pointwise_float;
    Softplus   "softplus"    Exactly(1), 0, Elementwise(30), pointwise_float;
    LogSigmoid "log_sigmoid" Exactly(1), 0, Elementwise(30), pointwise_float;
    Hypot      "hypot"       Exactly(2), 0, Elementwise(16), pointwise_float;
    Gelu       "gelu"        Exactly(1), 1, Elementwise(34), pointwise_float;
    PowScalar  "pow_scalar"  Exactly(1), 1, Elementwise(24), pointwise_float;
    Cast       "cast"        Exactly(1), 1, Elementwise(1),  cast;
    Matmul     "matmul"      Exactly(2), 0, Contraction,     matmul;
    Addmm      "addmm"       Exactly(3), 0, Contraction,     addmm;
    Attention  "attention"   Exactly(3), 1, Contraction,     attention;
    MaskedAttention "masked_attention" Exactly(4), 1, Contraction, masked_attention;
    BooleanAttention "boolean_attention" Exactly(4), 1, Contraction, boolean_attention;
    CausalAttention "causal_attention" Exactly(3), 1, Contraction, attention;
    Inverting  "inverting"   Exactly(1), 0, Contraction,     square;
    Inverse    "inverse"     Exactly(1), 0, View,            square;
    InverseInfo "inverse_info" Exactly(1), 0, View,          info;
    Factored   "factored"    Exactly(1), 1, Contraction,     factored;
    LuSolve    "lu_solve"    Exactly(2), 0, Contraction,     lu_solve;
    LuSolveRight "lu_solve_right" Exactly(2), 0, Contraction, lu_solve_right;
    LuInfo     "lu_info"     Exactly(1), 0, View,            info;
    Gram       "gram"        Exactly(1), 0, Contraction,     gram;
    LowerProduct "lower_product" Exactly(2), 0, Contraction, triangular;
    UpperProduct "upper_product" Exactly(2), 0, Contraction, triangular;
    BandedProduct "banded_product" Exactly(2), 2, Elementwise(6), banded;
    Tril       "tril"        Exactly(1), 1, Elementwise(1),  triangle;
    Triu       "triu"        Exactly(1), 1, Elementwise(1),  triangle;
    Where      "where"       Exactly(3), 0, Elementwise(1),  select;
    Not        "not"         Exactly(1), 0, Elementwise(1),  not;
    Band       "band"        Exactly(0), 3, Elementwise(1),  band;
    Convolution "convolution" Exactly(2), 4, Contraction,    convolution;
    BiasedConvolution "biased_convolution" Exactly(3), 4, Contraction, biased_convolution;
    DiagEmbed  "diag_embed"  Exactly(1), 0, Elementwise(1),  diag_embed;
    Bilinear   "bilinear"    Exactly(2), 1, Reduction,       bilinear;
    Permute    "permute"     Exactly(1), 1, View,            permute;
    Reshape    "reshape"     Exactly(1), 1, View,            reshape;
    Expand     "expand"      Exactly(1), 1, View,            expand;
    Slice      "slice"       Exactly(1), 4, View,            slice;
    SelectRows "select_rows" Exactly(2), 2, Elementwise(1),  select_rows;
    Diagonal   "diagonal"    Exactly(1), 0, View,            diagonal;
    Cat        "cat"         Sequence,   1, Elementwise(1),  cat;
    Sum        "sum"         Exactly(1), 2, Reduction,       reduce;
    Mean       "mean"        Exactly(1), 2, Reduction,       reduce;
    Amax       "amax"        Exactly(1), 2, Reduction,       reduce;
    LogSumExp  "logsumexp"   Exactly(1), 2, Elementwise(18), reduce;
    Variance   "variance"    Exactly(1), 2, Reduction,       reduce;
    Standardize "standardize" Exactly(1), 1, Elementwise(8), rows_with_number;
    RmsStandardize "rms_standardize" Exactly(1), 1, Elementwise(4), rows_with_number;
    LayerNorm  "layer_norm"  Exactly(3), 1, Elementwise(8),  layer_norm;
    BatchNorm  "batch_norm"  Exactly(5), 1, Elementwise(2),  batch_norm;
    BatchScale "batch_scale" Exactly(2), 1, Elementwise(10), pointwise_float;
    Softmax    "softmax"     Exactly(1), 1, Elementwise(24), along_axis;
    LogSoftmax "log_softmax" Exactly(1), 1, Elementwise(18), along_axis;
}

impl Op {
    /// The row of this operation.
    pub fn row(self) -> &'static OpRow {
        &OPS[self as usize]
    }

    /// The operation of this name.
    pub fn named(name: &str) -> Option<Self> {
        OPS.iter().find(|row| row.name == name).map(|row| row.op)
    }

    /// Whether the operands form a multiset.
    pub fn is_commutative(self) -> bool {
        self.row().arity == Commutative
    }

    /// The type of the result on these operands, or `None` where there is none that is sure.
    pub fn infer(self, operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
        let row = self.row();
        let fits = match row.arity {
            Exactly(n) => operands.len() == n,
            Commutative => operands.len() >= 2,
            Sequence => !operands.is_empty(),
        };
        let same_device = operands.windows(2).all(|w| w[0].device == w[1].device);
        if !fits || !same_device || attributes.len() != row.attributes {
            return None;
        }
        (row.infer)(operands, attributes)
    }
}

fn constant(_: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let device = u32::try_from(attributes[2].int()?).ok()?;
    attributes[0].float()?;
    Some(TensorType {
        dtype: attributes[1].dtype()?,
        shape: vec![],
        device,
    })
}

/// Attributes: elements, their type, the device.
fn literal(_: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let elements = attributes[0].elements()?;
    elements.extents()?;
    let dtype = attributes[1].dtype()?;
    let device = u32::try_from(attributes[2].int()?).ok()?;
    let shape = elements.shape.clone();
    dtype.is_float().then_some(TensorType {
        dtype,
        shape,
        device,
    })
}

/// Softmax along the rows of scale · q k, times v; the attribute is the scale.
fn attention(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (q, k, v) = (operands[0], operands[1], operands[2]);
    attributes[0].float()?;
    let scores = matmul(&[q, k], &[])?;
    if !scores.dtype.is_float() {
        return None;
    }
    matmul(&[&scores, v], &[])
}

/// The same with a summand of the scores, which stands first.
fn masked_attention(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (mask, q, k) = (operands[0], operands[1], operands[2]);
    let scores = matmul(&[q, k], &[])?;
    if mask.dtype != scores.dtype || broadcast(&mask.shape, &scores.shape)? != scores.shape {
        return None;
    }
    attention(&operands[1..], attributes)
}

/// The same where the first operand says which scores count; a row of which none does is not a number.
fn boolean_attention(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (mask, q, k) = (operands[0], operands[1], operands[2]);
    let scores = matmul(&[q, k], &[])?;
    if mask.dtype != DType::Bool || broadcast(&mask.shape, &scores.shape)? != scores.shape {
        return None;
    }
    attention(&operands[1..], attributes)
}

/// Square matrices, to be inverted or factored: the value is that of the matrices themselves, whose factors are kept.
fn square(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let a = operands[0];
    let matrix = &a.shape[a.rank().checked_sub(2)?..];
    (a.dtype.is_float() && matrix[0] == matrix[1]).then(|| a.clone())
}

/// The same; the attribute says whether the transposes are factored, which decides where a zero pivot shows itself.
fn factored(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    attributes[0].bool()?;
    square(operands, &[])
}

/// For each matrix the place of the first pivot that is zero, from one; zero where there is none.
fn info(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let a = square(operands, &[])?;
    let shape = a.shape[..a.rank() - 2].to_vec();
    let (dtype, device) = (DType::I32, a.device);
    Some(TensorType {
        dtype,
        shape,
        device,
    })
}

/// X with A X = B, for the factors of A.
fn lu_solve(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    square(&operands[..1], &[])?;
    matmul(operands, &[])
}

/// X with X A = B, for the factors of A.
fn lu_solve_right(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    square(&operands[..1], &[])?;
    matmul(&[operands[1], operands[0]], &[])
}

/// A matrix times its transpose.
fn gram(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    let rows = *x.shape.first()?;
    (x.rank() == 2 && x.dtype.is_float()).then(|| x.with_shape(vec![rows, rows]))
}

/// A square matrix with zeros on one side of its diagonal, times a matrix.
fn triangular(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let a = square(&operands[..1], &[])?;
    (a.rank() == 2 && operands[1].rank() == 2).then_some(())?;
    matmul(operands, &[])
}

/// The diagonals of a square matrix from one to another, which the attributes name, times a matrix.
fn banded(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    attributes[0].int()?;
    attributes[1].int()?;
    triangular(operands, &[])
}

/// Zeros on one side of a diagonal; the attribute says which one, from the main diagonal upwards.
fn triangle(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    attributes[0].int()?;
    let x = operands[0];
    (x.rank() >= 2 && x.dtype.is_float()).then(|| x.clone())
}

/// The second operand where the first is true, else the third.
fn select(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let result = pointwise(&operands[1..], &[])?;
    let shape = broadcast(&operands[0].shape, &result.shape)?;
    (operands[0].dtype == DType::Bool).then(|| result.with_shape(shape))
}

fn not(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    (operands[0].dtype == DType::Bool).then(|| operands[0].clone())
}

/// What is true from a diagonal downwards; attributes: the shape, the diagonal, the device.
fn band(_: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let shape = attributes[0].shape()?.to_vec();
    attributes[1].int()?;
    let device = u32::try_from(attributes[2].int()?).ok()?;
    (shape.len() == 2).then_some(TensorType {
        dtype: DType::Bool,
        shape,
        device,
    })
}

/// Attributes: stride, padding and dilation of each spatial axis, groups. Spatial extents have to be known.
fn convolution(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (x, w) = (operands[0], operands[1]);
    let [stride, padding, dilation] = [0, 1, 2].map(|i| attributes[i].axes());
    let (stride, padding, dilation) = (stride?, padding?, dilation?);
    let (groups, spatial) = (attributes[3].int()?, x.rank().checked_sub(2)?);
    let (channels, filters) = (x.shape.get(1)?.known()?, w.shape.first()?.known()?);
    let fits = x.dtype == w.dtype
        && x.dtype.is_float()
        && spatial >= 1
        && w.rank() == x.rank()
        && [stride, padding, dilation]
            .iter()
            .all(|a| a.len() == spatial)
        && groups >= 1
        && filters % groups == 0
        && w.shape[1].known()?.checked_mul(groups)? == channels;
    if !fits {
        return None;
    }
    let mut shape = vec![x.shape[0], w.shape[0]];
    for axis in 0..spatial {
        let int = |n: usize| i64::try_from(n).ok();
        let (extent, kernel) = (x.shape[axis + 2].known()?, w.shape[axis + 2].known()?);
        let (step, spread) = (int(stride[axis])?, int(dilation[axis])?);
        let room = extent + 2 * int(padding[axis])? - spread * (kernel - 1) - 1;
        if step < 1 || spread < 1 || kernel < 1 || room < 0 {
            return None;
        }
        shape.push(Dim::Known(room / step + 1));
    }
    Some(x.with_shape(shape))
}

/// The same with one summand for each filter, which stands first.
fn biased_convolution(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (b, w) = (operands[0], operands[2]);
    let result = convolution(&operands[1..], attributes)?;
    (b.dtype == result.dtype && b.shape == w.shape[..1]).then_some(result)
}

/// A row or column of numbers as the diagonal of a matrix of zeros.
fn diag_embed(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    let mut shape = x.shape.clone();
    shape.push(*x.shape.last()?);
    x.dtype.is_float().then(|| x.with_shape(shape))
}

/// Each row for itself; the attribute is a number.
fn rows_with_number(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    attributes[0].float()?;
    let x = operands[0];
    (x.rank() >= 1 && x.dtype.is_float()).then(|| x.clone())
}

/// x, gain and bias; the attribute is added to the variance.
fn layer_norm(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let x = rows_with_number(&operands[..1], attributes)?;
    let is_row = |t: &&TensorType| t.dtype == x.dtype && t.shape[..] == x.shape[x.rank() - 1..];
    operands[1..].iter().all(is_row).then_some(x)
}

/// x, gain, bias, mean and variance of each channel, which is axis 1; the attribute is added to the variance.
fn batch_norm(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    attributes[0].float()?;
    let channels = [*x.shape.get(1)?];
    let fits = |t: &&TensorType| t.dtype == x.dtype && t.shape == channels;
    (x.dtype.is_float() && operands[1..].iter().all(fits)).then(|| x.clone())
}

/// Σᵢⱼ eᵢⱼₖ xᵢ yⱼ over the last axes, for the elements e that are not zero; what stands before broadcasts.
fn bilinear(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (x, y, table) = (operands[0], operands[1], attributes[0].elements()?);
    table.extents()?;
    let [n, m, p] = table.shape[..] else {
        return None;
    };
    let ((&xn, xs), (&ym, ys)) = (x.shape.split_last()?, y.shape.split_last()?);
    if x.dtype != y.dtype || !x.dtype.is_float() || xn != n || ym != m {
        return None;
    }
    let mut shape = broadcast(xs, ys)?;
    shape.push(p);
    Some(x.with_shape(shape))
}

fn pointwise(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let first = operands[0];
    let mut shape = first.shape.clone();
    for other in &operands[1..] {
        if other.dtype != first.dtype {
            return None;
        }
        shape = broadcast(&shape, &other.shape)?;
    }
    (first.dtype != DType::Bool).then(|| first.with_shape(shape))
}

fn pointwise_float(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    if operands[0].dtype.is_float() {
        pointwise(operands, attributes)
    } else {
        None
    }
}

fn cast(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    Some(TensorType {
        dtype: attributes[0].dtype()?,
        shape: x.shape.clone(),
        device: x.device,
    })
}

fn matmul(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let (a, b) = (operands[0], operands[1]);
    if a.dtype != b.dtype || a.rank() < 2 || b.rank() < 2 || a.dtype == DType::Bool {
        return None;
    }
    let (ma, mb) = (
        a.shape.split_at(a.rank() - 2),
        b.shape.split_at(b.rank() - 2),
    );
    if ma.1[1] != mb.1[0] {
        return None;
    }
    let mut shape = broadcast(ma.0, mb.0)?;
    shape.extend([ma.1[0], mb.1[1]]);
    Some(a.with_shape(shape))
}

fn addmm(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (c, a, b) = (operands[0], operands[1], operands[2]);
    if a.rank() != 2 || b.rank() != 2 || c.dtype != a.dtype || c.rank() > 2 {
        return None;
    }
    let product = matmul(&[a, b], attributes)?;
    (broadcast(&c.shape, &product.shape)? == product.shape).then_some(product)
}

fn permute(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (x, axes) = (operands[0], attributes[0].axes()?);
    let mut seen = vec![false; x.rank()];
    if axes.len() != x.rank() {
        return None;
    }
    for &axis in axes {
        if std::mem::replace(seen.get_mut(axis)?, true) {
            return None;
        }
    }
    Some(x.with_shape(axes.iter().map(|&i| x.shape[i]).collect()))
}

/// Whether two shapes surely hold the same number of elements: their symbols match and so do the rest's products.
pub fn same_numel(a: &[Dim], b: &[Dim]) -> bool {
    let split = |s: &[Dim]| -> Option<(Vec<u32>, i64)> {
        let mut symbols: Vec<u32> = Vec::new();
        let mut product = 1i64;
        for d in s {
            match d {
                Dim::Known(n) => product = product.checked_mul(*n)?,
                Dim::Symbol { symbol, .. } => symbols.push(*symbol),
            }
        }
        symbols.sort_unstable();
        Some((symbols, product))
    };
    matches!((split(a), split(b)), (Some(x), Some(y)) if x == y)
}

fn reshape(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (x, shape) = (operands[0], attributes[0].shape()?);
    same_numel(&x.shape, shape).then(|| x.with_shape(shape.to_vec()))
}

fn expand(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (x, shape) = (operands[0], attributes[0].shape()?);
    (broadcast(&x.shape, shape)? == shape).then(|| x.with_shape(shape.to_vec()))
}

/// Attributes: axis, start, end, step; start and end are already clipped to the extent.
fn slice(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    let axis = usize::try_from(attributes[0].int()?).ok()?;
    let (start, end, step) = (
        attributes[1].int()?,
        attributes[2].int()?,
        attributes[3].int()?,
    );
    let extent = x.shape.get(axis)?.known()?;
    if step < 1 || start < 0 || end < start || end > extent {
        return None;
    }
    let mut shape = x.shape.clone();
    shape[axis] = Dim::Known((end - start + step - 1) / step);
    Some(x.with_shape(shape))
}

/// The places of an axis that a list of integers names, in its order; attributes: the axis, and how torch calls it.
/// Places are counted from the end where they are negative.
fn select_rows(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (x, places) = (operands[0], operands[1]);
    let axis = usize::try_from(attributes[0].int()?).ok()?;
    let mut shape = x.shape.clone();
    let fits = matches!(attributes[1], Attribute::Word(_))
        && matches!(places.dtype, DType::I64 | DType::I32)
        && x.dtype.is_float();
    let ([count], true) = (&places.shape[..], fits) else {
        return None;
    };
    *shape.get_mut(axis)? = *count;
    Some(x.with_shape(shape))
}

/// Attributes: the least and the largest value, infinite where there is none.
fn clamp(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let (low, high) = (attributes[0].float()?, attributes[1].float()?);
    (low <= high).then(|| pointwise_float(operands, &[]))?
}

/// The diagonals of the matrices in the operand.
fn diagonal(operands: &[&TensorType], _: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    let (batch, matrix) = x.shape.split_at(x.rank().checked_sub(2)?);
    let side = if matrix[0] == matrix[1] {
        matrix[0]
    } else {
        Dim::Known(matrix[0].known()?.min(matrix[1].known()?))
    };
    Some(x.with_shape(batch.iter().copied().chain([side]).collect()))
}

fn cat(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let axis = usize::try_from(attributes[0].int()?).ok()?;
    let first = operands[0];
    let mut total = first.shape.get(axis)?.known()?;
    for other in &operands[1..] {
        let agree = other.dtype == first.dtype
            && other.rank() == first.rank()
            && (0..first.rank()).all(|i| i == axis || first.shape[i] == other.shape[i]);
        if !agree {
            return None;
        }
        total = total.checked_add(other.shape[axis].known()?)?;
    }
    let mut shape = first.shape.clone();
    shape[axis] = Dim::Known(total);
    Some(first.with_shape(shape))
}

/// The shape left when `axes` are reduced.
pub fn reduced_shape(shape: &[Dim], axes: &[usize], keep: bool) -> Option<Shape> {
    if axes.iter().any(|&a| a >= shape.len()) {
        return None;
    }
    Some(
        shape
            .iter()
            .enumerate()
            .filter(|(i, _)| keep || !axes.contains(i))
            .map(|(i, &d)| if axes.contains(&i) { Dim::Known(1) } else { d })
            .collect(),
    )
}

/// Attributes: axes (sorted, not empty unless the operand is a scalar), whether they are kept with extent one.
fn reduce(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let x = operands[0];
    let axes = attributes[0].axes()?;
    if !x.dtype.is_float() || !axes.is_sorted_by(|a, b| a < b) {
        return None;
    }
    Some(x.with_shape(reduced_shape(&x.shape, axes, attributes[1].bool()?)?))
}

fn along_axis(operands: &[&TensorType], attributes: &[&Attribute]) -> Option<TensorType> {
    let axis = usize::try_from(attributes[0].int()?).ok()?;
    let x = operands[0];
    (axis < x.rank() && x.dtype.is_float()).then(|| x.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (i, row) in OPS.iter().enumerate() {
            assert_eq!(row.op as usize, i, "{}", row.name);
            assert_eq!(Op::named(row.name), Some(row.op));
        }
    }

    #[test]
    fn matmul_broadcasts_batches_and_contracts() {
        let t = |s: &[i64]| TensorType::new(DType::F32, s);
        let (a, b) = (t(&[5, 1, 2, 3]), t(&[4, 3, 7]));
        assert_eq!(Op::Matmul.infer(&[&a, &b], &[]), Some(t(&[5, 4, 2, 7])));
        assert_eq!(Op::Matmul.infer(&[&b, &a], &[]), None);
    }

    #[test]
    fn reshape_matches_symbols() {
        let s = Dim::Symbol { symbol: 0, hint: 8 };
        let x = TensorType {
            dtype: DType::F32,
            shape: vec![s, Dim::Known(6)],
            device: 0,
        };
        let to = Attribute::Shape(vec![s, Dim::Known(2), Dim::Known(3)]);
        assert!(Op::Reshape.infer(&[&x], &[&to]).is_some());
        let wrong = Attribute::Shape(vec![Dim::Known(8), Dim::Known(6)]);
        assert!(Op::Reshape.infer(&[&x], &[&wrong]).is_none());
    }
}
