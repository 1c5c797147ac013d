//! Tensor expressions of the symbolic algebra, put to the tensor engine: proved by its rules over free shapes,
//! refuted by elements at small ones.

use num_traits::ToPrimitive;
use rustc_hash::FxHashMap;

use crate::attribute::Attribute;
use crate::certificate::Certificate;
use crate::equivalence::{Comparison, compare};
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind, Node};
use crate::op::Op;
use crate::optimize::Settings;
use crate::rules::Soundness;
use crate::symbolic::element::refute;
use crate::symbolic::expression::{Expression, Operator};
use crate::symbolic::function::Function;
use crate::symbolic::prove::{Answer, Status, Step, in_order};
use crate::symbolic::tensor_form;
use crate::symbolic::tensor_shape::{Shapes, axis, literal};
use crate::tensor_type::{DType, Dim, TensorType};

/// Proves or refutes that two tensor expressions are equal for all finite inputs of all shapes that fit both.
///
/// Proved: by what is exact bit for bit, or by those of the tensor engine's rules that hold for all finite inputs, with each
/// step replayed.
/// Refuted: by an element at small shapes that certainly differs.
///
/// With a proof by rules comes the certificate that [`replay`] takes.
pub fn prove(left: &Expression, right: &Expression) -> (Answer, Option<Certificate>) {
    let mut answer = tensor_form::prove(left, right);
    if answer.status == Status::Proved {
        return (answer, None);
    }
    let shapes = match Shapes::of(left, right) {
        Ok(shapes) => shapes,
        Err(error) => {
            answer.reason = Some(error.0);
            return (answer, None);
        }
    };
    let described: Vec<String> = shapes
        .variables()
        .map(|(name, shape)| {
            let extents: Vec<String> = shape.iter().map(|extent| format!("n{extent}")).collect();
            format!("{name} has the shape [{}]", extents.join(", "))
        })
        .collect();
    let (first, second) = ordered(left, right);
    match by_rules(first, second, &shapes) {
        Ok(found) if found.proved => {
            answer.status = Status::Proved;
            answer.reason = None;
            answer.shapes = described;
            answer.steps = vec![Step {
                rule: "tensor-rules".to_string(),
                before: left.clone(),
                after: right.clone(),
                condition: counted(&found.rules, !in_order(left, right)),
            }];
            return (answer, found.certificate);
        }
        Ok(found) => {
            answer.reason = Some(format!(
                "the tensor rules did not lead from one side to the other ({} nodes, {} rounds)",
                found.nodes, found.rounds
            ));
        }
        Err(error) => answer.reason = Some(error.0),
    }
    match refute(left, right, &shapes) {
        Ok(Some(witness)) => {
            answer.status = Status::Refuted;
            answer.reason = None;
            answer.witness = Some(witness);
        }
        Ok(None) => {}
        Err(error) => {
            let reason = answer.reason.unwrap_or_default();
            answer.reason = Some(format!("{reason}; {}", error.0));
        }
    }
    (answer, None)
}

/// Whether the steps of a tensor proof hold up, with no search: the certificate's instances by congruence closure,
/// what is exact bit for bit by the forms of both sides.
///
/// # Errors
/// Says what does not hold up.
pub fn replay(
    left: &Expression,
    right: &Expression,
    steps: &[Step],
    certificate: Option<&Certificate>,
) -> Result<()> {
    match (steps, certificate) {
        ([step], certificate) if step.before == *left && step.after == *right => {
            match certificate {
                Some(certificate) => {
                    let shapes = Shapes::of(left, right)?;
                    let (first, second) = ordered(left, right);
                    let (ours, theirs) = (program(first, &shapes)?, program(second, &shapes)?);
                    crate::equivalence::replay(&ours, &theirs, certificate)
                }
                None if tensor_form::tensor_form(left) == tensor_form::tensor_form(right) => Ok(()),
                None => Err(Error::new("the forms of both sides differ")),
            }
        }
        ([], _) if left == right => Ok(()),
        _ => Err(Error::new(
            "the steps do not lead from the left side to the right side",
        )),
    }
}

/// The sides in the order in which they are compared, so that the answer is the same both ways round.
fn ordered<'a>(left: &'a Expression, right: &'a Expression) -> (&'a Expression, &'a Expression) {
    if in_order(left, right) {
        (left, right)
    } else {
        (right, left)
    }
}

/// The rules of a proof with their counts, as they lead from the left side to the right one.
fn counted(rules: &[(String, usize)], turned: bool) -> String {
    const REVERSED: &str = " (reversed)";
    let counted = |(rule, count): &(String, usize)| match rule.strip_suffix(REVERSED) {
        Some(plain) if turned => format!("{plain} ×{count}"),
        None if turned => format!("{rule}{REVERSED} ×{count}"),
        _ => format!("{rule} ×{count}"),
    };
    rules.iter().map(counted).collect::<Vec<_>>().join(", ")
}

/// What the search for rules that lead from one side to the other came to.
fn by_rules(left: &Expression, right: &Expression, shapes: &Shapes) -> Result<Comparison> {
    let settings = Settings {
        numerics: Soundness::Reassociates.numerics().to_string(),
        ..Settings::default()
    };
    compare(&program(left, shapes)?, &program(right, shapes)?, &settings)
}

/// The program of one side; its inputs are numbered by the order of the shapes' variables.
fn program(side: &Expression, shapes: &Shapes) -> Result<Graph> {
    let mut builder = ProgramBuilder {
        graph: Graph::default(),
        shapes,
        known: FxHashMap::default(),
    };
    for (index, (name, shape)) in shapes.variables().enumerate() {
        let kind = Kind::Input {
            index: u32::try_from(index).map_err(|_| Error::new("too many variables"))?,
            weight: false,
        };
        let place = builder.push(kind, vec![], vec![], tensor_type(&shape));
        builder.known.insert(Expression::variable(name), place);
    }
    let output = builder.read(side)?;
    builder.graph.outputs = vec![output];
    builder.graph.check()?;
    Ok(builder.graph)
}

/// Doubles stand for reals: rules for reals do not look at the width.
fn tensor_type(shape: &[usize]) -> TensorType {
    let extent = |extent: &usize| Dim::Symbol {
        symbol: *extent as u32,
        hint: 8,
    };
    TensorType {
        dtype: DType::F64,
        shape: shape.iter().map(extent).collect(),
        device: 0,
    }
}

struct ProgramBuilder<'a> {
    graph: Graph,
    shapes: &'a Shapes,
    known: FxHashMap<Expression, usize>,
}

impl ProgramBuilder<'_> {
    fn push(
        &mut self,
        kind: Kind,
        operands: Vec<usize>,
        attributes: Vec<Attribute>,
        ty: TensorType,
    ) -> usize {
        self.graph.nodes.push(Node {
            kind,
            operands,
            attributes,
            ty: Some(ty),
        });
        self.graph.nodes.len() - 1
    }

    /// An operation of the engine, with the type that its operands give it.
    fn op(&mut self, op: Op, operands: &[usize], attributes: Vec<Attribute>) -> Result<usize> {
        let types: Vec<&TensorType> = operands
            .iter()
            .filter_map(|o| self.graph.nodes[*o].ty.as_ref())
            .collect();
        let ty = op
            .infer(&types, &attributes.iter().collect::<Vec<_>>())
            .ok_or_else(|| Error::new(format!("'{}' of operands without a type", op.row().name)))?;
        Ok(self.push(Kind::Op(op), operands.to_vec(), attributes, ty))
    }

    /// Something the rules do not look into: equal where its name, its type and its operands are.
    fn opaque(&mut self, name: &str, operands: Vec<usize>, ty: TensorType) -> usize {
        let kind = Kind::Opaque {
            key: format!("{name} → {ty}"),
            effect: false,
        };
        self.push(kind, operands, vec![], ty)
    }

    fn constant(&mut self, value: f64) -> Result<usize> {
        let attributes = vec![
            Attribute::Float(value),
            Attribute::DType(DType::F64),
            Attribute::Int(0),
        ];
        self.op(Op::Const, &[], attributes)
    }

    fn read(&mut self, side: &Expression) -> Result<usize> {
        for node in side.post_order() {
            if self.known.contains_key(&node) {
                continue;
            }
            let operands: Vec<usize> = node.arguments().iter().map(|a| self.known[a]).collect();
            let place = self.node(&node, &operands)?;
            self.known.insert(node, place);
        }
        Ok(self.known[side])
    }

    fn node(&mut self, node: &Expression, operands: &[usize]) -> Result<usize> {
        let shape = self
            .shapes
            .part(node)
            .ok_or_else(|| Error::new("a part without a shape"))?;
        let ty = tensor_type(&shape);
        match node.operator() {
            Operator::Rational(value) => {
                let double = value.to_f64().unwrap_or(f64::NAN);
                // A number that no double holds is known by its name alone.
                match num_rational::BigRational::from_float(double) {
                    Some(exact) if exact == *value => self.constant(double),
                    _ => Ok(self.opaque(&value.to_string(), vec![], ty)),
                }
            }
            Operator::Float(bits) => self.constant(f64::from_bits(*bits)),
            Operator::Pi => Ok(self.opaque("pi", vec![], ty)),
            Operator::Variable(name) => {
                Err(Error::new(format!("the variable '{name}' has no shape")))
            }
            Operator::Add => self.op(Op::Add, operands, vec![]),
            Operator::Sub => self.op(Op::Sub, operands, vec![]),
            Operator::Mul => self.op(Op::Mul, operands, vec![]),
            Operator::Div => self.op(Op::Div, operands, vec![]),
            Operator::Neg => self.op(Op::Neg, operands, vec![]),
            Operator::Pow => match literal(&node.arguments()[1]) {
                Some(exponent) => {
                    let attribute = Attribute::Float(exponent as f64);
                    self.op(Op::PowScalar, &operands[..1], vec![attribute])
                }
                None => Ok(self.opaque("pow", operands.to_vec(), ty)),
            },
            Operator::Function(function) => match op_of(*function) {
                Some(op) => self.op(op, operands, vec![]),
                None => Ok(self.opaque(function.name(), operands.to_vec(), ty)),
            },
            Operator::Tensor(operator) => self.tensor(operator.name, node, operands, ty),
        }
    }

    fn tensor(
        &mut self,
        name: &str,
        node: &Expression,
        operands: &[usize],
        ty: TensorType,
    ) -> Result<usize> {
        let given = node.arguments();
        let rank = |builder: &Self, place: usize| {
            builder.graph.nodes[operands[place]]
                .ty
                .as_ref()
                .map_or(0, |ty| ty.shape.len())
        };
        let int = |value: usize| vec![Attribute::Int(value as i64)];
        match name {
            "matmul" => self.op(Op::Matmul, operands, vec![]),
            "linear" => {
                let weight = self.transposed(operands[1])?;
                let product = self.op(Op::Matmul, &[operands[0], weight], vec![])?;
                match operands.get(2) {
                    Some(bias) => self.op(Op::Add, &[product, *bias], vec![]),
                    None => Ok(product),
                }
            }
            "transpose" => {
                let same =
                    given.len() == 3 && axis(given.get(1), 2, 0)? == axis(given.get(2), 2, 1)?;
                if same {
                    Ok(operands[0])
                } else {
                    self.transposed(operands[0])
                }
            }
            "softmax" | "log_softmax" => {
                let axis = axis(given.get(1), rank(self, 0), -1)?;
                let op = if name == "softmax" {
                    Op::Softmax
                } else {
                    Op::LogSoftmax
                };
                self.op(op, &operands[..1], int(axis))
            }
            "sum" | "mean" => {
                let axes = match given.get(1) {
                    None => (0..rank(self, 0)).collect(),
                    Some(_) => vec![axis(given.get(1), rank(self, 0), -1)?],
                };
                let op = if name == "sum" { Op::Sum } else { Op::Mean };
                self.op(
                    op,
                    &operands[..1],
                    vec![Attribute::Axes(axes), Attribute::Bool(false)],
                )
            }
            "attention" => {
                let keys = self.transposed(operands[1])?;
                let scores = self.op(Op::Matmul, &[operands[0], keys], vec![])?;
                let width = self.graph.nodes[operands[0]]
                    .ty
                    .as_ref()
                    .map(|ty| ty.shape[1]);
                let width = width.map(|width| width.to_string()).unwrap_or_default();
                let scale = self.opaque(&format!("1/sqrt({width})"), vec![], tensor_type(&[]));
                let mut scores = self.op(Op::Mul, &[scale, scores], vec![])?;
                if let Some(mask) = operands.get(3) {
                    scores = self.op(Op::Add, &[scores, *mask], vec![])?;
                }
                let weights = self.op(Op::Softmax, &[scores], int(1))?;
                self.op(Op::Matmul, &[weights, operands[2]], vec![])
            }
            "layernorm" => self.layer_norm(given, operands),
            // Numbers beside the tensors belong to the name.
            _ => {
                let tensors = operands.len().min(3);
                let rest: Vec<String> = given[tensors..].iter().map(|g| format!("{g:?}")).collect();
                let name = format!("{name}({})", rest.join(", "));
                Ok(self.opaque(&name, operands[..tensors].to_vec(), ty))
            }
        }
    }

    fn transposed(&mut self, matrix: usize) -> Result<usize> {
        self.op(Op::Permute, &[matrix], vec![Attribute::Axes(vec![1, 0])])
    }

    /// (x − mean)/√(variance + ε)·weight + bias over the last axis.
    fn layer_norm(&mut self, given: &[Expression], operands: &[usize]) -> Result<usize> {
        let x = operands[0];
        let last = self.graph.nodes[x]
            .ty
            .as_ref()
            .map_or(0, |ty| ty.shape.len().saturating_sub(1));
        let row = || vec![Attribute::Axes(vec![last]), Attribute::Bool(true)];
        let mean = self.op(Op::Mean, &[x], row())?;
        let centred = self.op(Op::Sub, &[x, mean], vec![])?;
        let square = self.op(Op::Mul, &[centred, centred], vec![])?;
        let variance = self.op(Op::Mean, &[square], row())?;
        let epsilon = match given.get(3) {
            Some(_) => operands[3],
            None => self.opaque("1/100000", vec![], tensor_type(&[])),
        };
        let shifted = self.op(Op::Add, &[variance, epsilon], vec![])?;
        let scale = self.op(Op::Rsqrt, &[shifted], vec![])?;
        let mut value = self.op(Op::Mul, &[centred, scale], vec![])?;
        if let Some(weight) = operands.get(1) {
            value = self.op(Op::Mul, &[value, *weight], vec![])?;
        }
        match operands.get(2) {
            Some(bias) => self.op(Op::Add, &[value, *bias], vec![]),
            None => Ok(value),
        }
    }
}

fn op_of(function: Function) -> Option<Op> {
    Some(match function {
        Function::Exp => Op::Exp,
        Function::Expm1 => Op::Expm1,
        Function::Log => Op::Log,
        Function::Log1p => Op::Log1p,
        Function::Sqrt => Op::Sqrt,
        Function::Sin => Op::Sin,
        Function::Cos => Op::Cos,
        Function::Tanh => Op::Tanh,
        Function::Sigmoid => Op::Sigmoid,
        Function::Silu => Op::Silu,
        Function::Erf => Op::Erf,
        Function::Abs => Op::Abs,
        Function::Relu => Op::Relu,
        Function::Max => Op::Maximum,
        Function::Min => Op::Minimum,
        _ => return None,
    })
}
