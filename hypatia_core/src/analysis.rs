//! What is known of each e-class: its type, its value where constant, between which numbers its elements lie, whether
//! it depends on weights alone.

use egg::{Analysis, DidMerge, EGraph, Id};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::attribute::Attribute;
use crate::language::{Head, Term};
use crate::op::Op;
use crate::range::{Range, range};
use crate::tensor_type::TensorType;

/// The e-graph of tensor programs.
pub type TensorGraph = EGraph<Term, TensorAnalysis>;

/// Whoever knows types, attributes and constants of terms: the e-graph while it searches, the certificate's checker.
pub trait Known {
    /// The tensor type, if the term is a tensor.
    fn tensor_type(&self, id: Id) -> Option<&TensorType>;
    /// The attribute, if the term is one.
    fn attribute(&self, id: Id) -> Option<&Attribute>;
    /// The number that each element is, where that is known.
    fn constant(&self, id: Id) -> Option<f64>;
    /// Between which numbers the elements lie, and whether one may be not a number.
    fn range(&self, id: Id) -> Range;

    /// The type of an operation over these terms, or `None` where it has none that is sure.
    fn infer(&self, op: Op, operands: &[Id], attributes: &[Id]) -> Option<TensorType> {
        let operands: Option<Vec<_>> = operands.iter().map(|&id| self.tensor_type(id)).collect();
        let attributes: Option<Vec<_>> = attributes.iter().map(|&id| self.attribute(id)).collect();
        op.infer(&operands?, &attributes?)
    }
}

/// Whoever can make terms besides knowing them.
pub trait Builder: Known {
    /// A term of this operation; `None` where it has no sure type.
    fn add_term(&mut self, op: Op, operands: &[Id], attributes: &[Id]) -> Option<Id>;
    /// An attribute.
    fn add_attribute(&mut self, attribute: Attribute) -> Id;

    /// A constant of no dimensions.
    fn add_constant(&mut self, value: f64, like: &TensorType) -> Option<Id> {
        let attributes = [
            self.add_attribute(Attribute::Float(value)),
            self.add_attribute(Attribute::DType(like.dtype)),
            self.add_attribute(Attribute::Int(i64::from(like.device))),
        ];
        self.add_term(Op::Const, &[], &attributes)
    }
}

impl Known for TensorGraph {
    fn tensor_type(&self, id: Id) -> Option<&TensorType> {
        tensor_type(self, id)
    }

    fn attribute(&self, id: Id) -> Option<&Attribute> {
        attribute(self, id)
    }

    fn constant(&self, id: Id) -> Option<f64> {
        self[id].data.constant
    }

    fn range(&self, id: Id) -> Range {
        self[id].data.range
    }
}

impl Builder for TensorGraph {
    fn add_term(&mut self, op: Op, operands: &[Id], attributes: &[Id]) -> Option<Id> {
        self.infer(op, operands, attributes)?;
        Some(self.add(Term::new(
            Head::Op(op),
            operands.iter().chain(attributes).copied(),
        )))
    }

    fn add_attribute(&mut self, attribute: Attribute) -> Id {
        let number = self.analysis.intern(attribute);
        self.add(Term::leaf(Head::Attribute(number)))
    }
}

/// What kind of thing an e-class stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Tensor(TensorType),
    /// Several results; types are known of its items.
    Tuple,
    /// The attribute of this number.
    Attribute(u32),
}

impl Value {
    /// What follows from the type alone.
    fn range(&self) -> Range {
        match self {
            Self::Tensor(ty) => Range::of(ty),
            _ => NOTHING,
        }
    }
}

/// What is known of something that has no elements, or none that are known.
const NOTHING: Range = Range {
    low: f64::NEG_INFINITY,
    high: f64::INFINITY,
    nan: true,
};

/// What is known of one e-class.
#[derive(Debug, Clone)]
pub struct Facts {
    pub value: Value,
    /// The number that each element is, where that is known.
    pub constant: Option<f64>,
    /// Holds of each term of the class as it is computed, so that it holds of whichever is chosen.
    pub range: Range,
    /// Whether the value is the same at each call until a weight changes.
    pub weights_only: bool,
}

/// An opaque operation: its identity, and the types of what it gives.
#[derive(Debug, Clone)]
pub struct OpaqueOp {
    pub key: String,
    pub effect: bool,
    pub ty: Option<TensorType>,
    pub items: FxHashMap<u32, TensorType>,
}

/// The tables that terms refer to, and the first contradiction seen.
#[derive(Debug, Default)]
pub struct TensorAnalysis {
    attributes: Vec<Attribute>,
    attribute_numbers: FxHashMap<Attribute, u32>,
    pub inputs: FxHashMap<u32, (TensorType, bool)>,
    pub opaque: Vec<OpaqueOp>,
    /// Two classes of unequal type were joined: a rule is unsound, and nothing found here may be used.
    pub contradiction: Option<String>,
}

impl TensorAnalysis {
    /// The number of this attribute, given to it when it is first seen.
    pub fn intern(&mut self, attribute: Attribute) -> u32 {
        if let Some(&number) = self.attribute_numbers.get(&attribute) {
            return number;
        }
        let number = u32::try_from(self.attributes.len()).expect("fewer than 2³² attributes");
        self.attributes.push(attribute.clone());
        self.attribute_numbers.insert(attribute, number);
        number
    }

    /// All attributes, by number.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The attribute of this number.
    pub fn attribute(&self, number: u32) -> &Attribute {
        &self.attributes[number as usize]
    }
}

/// The tensor type of a class, if it is a tensor.
pub fn tensor_type(egraph: &TensorGraph, id: Id) -> Option<&TensorType> {
    if let Value::Tensor(ty) = &egraph[id].data.value {
        Some(ty)
    } else {
        None
    }
}

/// The attribute that a class stands for, if it is one.
pub fn attribute(egraph: &TensorGraph, id: Id) -> Option<&Attribute> {
    if let Value::Attribute(number) = egraph[id].data.value {
        Some(egraph.analysis.attribute(number))
    } else {
        None
    }
}

/// Operations that carry one number spread over a shape to the same number spread over another.
pub fn keeps_constant(op: Op) -> bool {
    matches!(op, Op::Reshape | Op::Expand | Op::Permute | Op::Slice)
}

impl Analysis<Term> for TensorAnalysis {
    type Data = Facts;

    fn make(egraph: &mut TensorGraph, term: &Term, _: Id) -> Facts {
        match term.head {
            Head::Attribute(n) => Facts {
                value: Value::Attribute(n),
                constant: None,
                range: NOTHING,
                weights_only: true,
            },
            Head::Input(n) => {
                let (ty, weight) = egraph.analysis.inputs[&n].clone();
                Facts {
                    range: Range::of(&ty),
                    value: Value::Tensor(ty),
                    constant: None,
                    weights_only: weight,
                }
            }
            Head::Opaque(n) => {
                let opaque = &egraph.analysis.opaque[n as usize];
                // A result of nothing may be random or read the outside: only what weights feed is weights-only.
                let weights_only = !opaque.effect
                    && !term.children.is_empty()
                    && term.children.iter().all(|&c| egraph[c].data.weights_only);
                let value = opaque.ty.clone().map_or(Value::Tuple, Value::Tensor);
                Facts {
                    range: value.range(),
                    value,
                    constant: None,
                    weights_only,
                }
            }
            Head::Item(n) => {
                let below = term.children[0];
                let opaque = egraph[below].nodes.iter().find_map(|t| match t.head {
                    Head::Opaque(k) => egraph.analysis.opaque[k as usize].items.get(&n),
                    _ => None,
                });
                let value = opaque.cloned().map_or(Value::Tuple, Value::Tensor);
                Facts {
                    range: value.range(),
                    value,
                    constant: None,
                    weights_only: egraph[below].data.weights_only,
                }
            }
            Head::Op(op) => {
                let (operands, attributes) = term.split();
                let ty = egraph.infer(op, operands, attributes);
                let constant = match op {
                    Op::Const => attribute(egraph, attributes[0]).and_then(Attribute::float),
                    _ if keeps_constant(op) => egraph[operands[0]].data.constant,
                    _ => None,
                };
                let weights_only = operands.iter().all(|&c| egraph[c].data.weights_only);
                let range = ty.as_ref().map_or(NOTHING, |ty| {
                    let ranges: SmallVec<[Range; 4]> =
                        operands.iter().map(|&o| egraph[o].data.range).collect();
                    let attributes: SmallVec<[&Attribute; 4]> = attributes
                        .iter()
                        .filter_map(|&a| attribute(egraph, a))
                        .collect();
                    let equal =
                        |i: usize, j: usize| egraph.find(operands[i]) == egraph.find(operands[j]);
                    range(op, &ranges, &equal, &attributes, ty)
                });
                let value = match ty {
                    Some(ty) => Value::Tensor(ty),
                    None => {
                        egraph
                            .analysis
                            .contradiction
                            .get_or_insert(format!("a {} of ill-typed operands", op.row().name));
                        Value::Tuple
                    }
                };
                Facts {
                    value,
                    constant,
                    range,
                    weights_only,
                }
            }
        }
    }

    fn merge(&mut self, a: &mut Facts, b: Facts) -> DidMerge {
        if a.value != b.value && self.contradiction.is_none() {
            self.contradiction = Some(format!("{:?} was joined with {:?}", a.value, b.value));
        }
        let mut did = DidMerge(false, false);
        match (a.constant, b.constant) {
            (None, Some(_)) => {
                a.constant = b.constant;
                did.0 = true;
            }
            (Some(_), None) => did.1 = true,
            _ => {}
        }
        // The hull and not what both say: another program that is equal over the reals may be rounded below zero.
        let range = a.range.hull(b.range);
        did.0 |= range != a.range;
        did.1 |= range != b.range;
        a.range = range;
        did.0 |= b.weights_only && !a.weights_only;
        did.1 |= a.weights_only && !b.weights_only;
        a.weights_only |= b.weights_only;
        did
    }
}
