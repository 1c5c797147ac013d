//! Instances of one side of a rule: what its variables stand for, built as a term, and how it varies.

use std::fmt;

use egg::Id;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::analysis::{Builder, TensorAnalysis, TensorGraph, tensor_type};
use crate::attribute::Attribute;
use crate::language::{Head, Term};
use crate::op::Op;
use crate::pattern::{Binding, Match, Pattern};
use crate::rules::Rewrite;
use crate::tensor_type::{DType, Dim, Shape, TensorType};
use crate::trial::example::{self, Entry};
use crate::trial::vary;

/// What stands for one variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Slot {
    /// One tensor, or several that an operation (a sum or a product) gathers.
    Tensor(Operands),
    Attribute(Attribute),
    /// A constant of the pattern, spread over a shape.
    Number(f64, Shape),
    /// A term over other slots.
    Term(usize),
}

/// Tensors that the caller gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Operands {
    pub dtype: DType,
    pub shapes: Vec<Shape>,
    pub gathered: Option<Op>,
    pub weight: bool,
}

/// Values for all variables of one side of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// One a variable of the rule, then those that just terms of the example use.
    pub slots: Vec<Slot>,
    /// Operands at the root that the pattern does not mention.
    pub remainder: Option<Operands>,
}

impl Instance {
    /// Whether a shape is among its attributes.
    pub fn reshapes(&self) -> bool {
        let is_shape = |slot: &Slot| matches!(slot, Slot::Attribute(Attribute::Shape(_)));
        self.slots.iter().any(is_shape)
    }
}

/// The searched side of a rewrite and all that is needed to instantiate it.
#[derive(Debug)]
pub struct Template {
    pub rewrite: &'static Rewrite,
    names: Vec<String>,
    terms: Vec<Pattern>,
}

/// An instance as a term of an e-graph.
pub struct Built {
    pub egraph: TensorGraph,
    pub root: Id,
    pub ty: TensorType,
    /// Types of the inputs, by number.
    pub inputs: Vec<TensorType>,
}

impl Template {
    /// Reads the example of a rewrite: the template and the first instance.
    ///
    /// # Errors
    /// The example does not mention a variable, or the searched side has no type on it.
    pub fn new(rewrite: &'static Rewrite) -> Result<(Self, Instance), String> {
        let entries = example::parse(rewrite.rule.example)?;
        let mut names = rewrite.variables.clone();
        let mut terms = Vec::new();
        let mut term_of: FxHashMap<String, usize> = FxHashMap::default();
        for (name, entry) in &entries {
            if let Entry::Term(text) = entry {
                let pattern = Pattern::parse(text, &mut names, false)?;
                term_of.insert(name.clone(), terms.len());
                terms.push(pattern);
            }
        }
        let side = if rewrite.reversed {
            rewrite.rule.right
        } else {
            rewrite.rule.left
        };
        let mut numbers = side
            .split(|c: char| c.is_whitespace() || "(){}".contains(c))
            .filter_map(|t| t.parse::<f64>().ok());
        let mut lists = Vec::new();
        let mut slots = Vec::new();
        for name in &names {
            if name.starts_with('#') {
                let number = numbers.next().ok_or("a constant without a number")?;
                slots.push(Slot::Number(number, vec![]));
                continue;
            }
            let entry = entries.iter().find(|(n, _)| n == name).map(|(_, e)| e);
            slots.push(
                match entry.ok_or(format!("the example does not mention {name}"))? {
                    Entry::Tensor(ty) => Slot::Tensor(Operands {
                        dtype: ty.dtype,
                        shapes: vec![ty.shape.clone()],
                        gathered: None,
                        weight: false,
                    }),
                    Entry::Attribute(a) => Slot::Attribute(a.clone()),
                    Entry::List(numbers) => {
                        lists.push((slots.len(), numbers.clone()));
                        Slot::Attribute(Attribute::Bool(false))
                    }
                    Entry::Term(_) => Slot::Term(term_of[name]),
                },
            );
        }
        let template = Self {
            rewrite,
            names,
            terms,
        };
        let mut instance = Instance {
            slots,
            remainder: None,
        };
        for choice in 0..1u32 << lists.len() {
            for (bit, (slot, numbers)) in lists.iter().enumerate() {
                instance.slots[*slot] = Slot::Attribute(if choice >> bit & 1 == 0 {
                    let axes = numbers.iter().filter_map(|&n| usize::try_from(n).ok());
                    Attribute::Axes(axes.collect())
                } else {
                    Attribute::Shape(numbers.iter().map(|&n| Dim::Known(n)).collect())
                });
            }
            for weight in [false, true] {
                for slot in &mut instance.slots {
                    if let Slot::Tensor(t) = slot {
                        t.weight = weight;
                    }
                }
                for instance in gathered(&instance) {
                    if let Some(mut built) = template.build(&instance)
                        && !super::fire(rewrite, &mut built, 1)?.rights.is_empty()
                    {
                        return Ok((template, instance));
                    }
                }
            }
        }
        Err(format!(
            "the rule does not fire on its example '{}'",
            rewrite.rule.example
        ))
    }

    /// Whether the searched side is a sum or a product, to which operands may be added.
    pub fn takes_more(&self) -> Option<Op> {
        self.rewrite.left.head().filter(|op| op.is_commutative())
    }

    /// The instance as a term; `None` where it has no sure type.
    pub fn build(&self, instance: &Instance) -> Option<Built> {
        self.bind(instance)?.0
    }

    /// Whether the example makes values of its variables by operations.
    pub fn has_terms(&self) -> bool {
        !self.terms.is_empty()
    }

    /// The instance with an input in the place of a term of the example: a condition on how a value is made is to be
    /// met where it is made otherwise. `None` where there is no such term.
    pub fn loosened(&self, instance: &Instance, rng: &mut fastrand::Rng) -> Option<Instance> {
        let is_term = |&place: &usize| matches!(instance.slots[place], Slot::Term(_));
        let terms: Vec<usize> = (0..instance.slots.len()).filter(is_term).collect();
        let place = *terms.get(rng.usize(..terms.len().max(1)))?;
        let ty = self.bind(instance)?.1[place].clone()?;
        let mut loosened = instance.clone();
        loosened.slots[place] = Slot::Tensor(Operands {
            dtype: ty.dtype,
            shapes: vec![ty.shape],
            gathered: None,
            weight: false,
        });
        Some(loosened)
    }

    /// One of the instances with a factor moved from one extent to another, and some further extent larger or smaller by
    /// it where that is what it takes to have a type. `None` where no such instance was found.
    pub fn with_a_factor_moved(
        &self,
        instances: &[Instance],
        rng: &mut fastrand::Rng,
    ) -> Option<(Instance, Built)> {
        let like = instances.get(rng.usize(..instances.len().max(1)))?;
        let (moved, factor) = vary::moved(like, rng)?;
        let repaired = vary::scaled(&moved, factor, rng);
        std::iter::once(moved).chain(repaired).find_map(|mut one| {
            let built = if one.is_small() {
                self.build(&one)
            } else {
                None
            };
            built.map(|built| (one, built))
        })
    }

    /// The same with the type of what stands for each variable; the term is `None` where the left side has no sure type.
    fn bind(&self, instance: &Instance) -> Option<(Option<Built>, Vec<Option<TensorType>>)> {
        let mut egraph = TensorGraph::new(TensorAnalysis::default());
        let mut inputs = Vec::new();
        let tensors = || {
            instance.slots.iter().filter_map(|s| match s {
                Slot::Tensor(t) => Some(t),
                _ => None,
            })
        };
        // Constants have the type of what is computed with, not that of a mask.
        let like = tensors()
            .find(|t| t.dtype != DType::Bool)
            .or_else(|| tensors().next())
            .map_or_else(
                || TensorType::new(DType::F32, &[]),
                |t| TensorType {
                    dtype: t.dtype,
                    shape: t.shapes[0].clone(),
                    device: 0,
                },
            );
        let mut add = |egraph: &mut TensorGraph, t: &Operands| -> SmallVec<[Id; 4]> {
            let ids = t.shapes.iter().map(|shape| {
                let ty = TensorType {
                    dtype: t.dtype,
                    shape: shape.clone(),
                    device: 0,
                };
                let number = inputs.len() as u32;
                inputs.push(ty.clone());
                egraph.analysis.inputs.insert(number, (ty, t.weight));
                egraph.add(Term::leaf(Head::Input(number)))
            });
            ids.collect()
        };
        let mut found = Match {
            bindings: smallvec::smallvec![Binding::Free; self.names.len()],
            remainder: SmallVec::new(),
        };
        for (binding, slot) in found.bindings.iter_mut().zip(&instance.slots) {
            *binding = match slot {
                Slot::Tensor(t) => {
                    let ids = add(&mut egraph, t);
                    match t.gathered {
                        Some(op) if ids.len() > 1 => Binding::Rest(op, ids),
                        _ => Binding::Class(ids[0]),
                    }
                }
                Slot::Attribute(a) => Binding::Class(egraph.add_attribute(a.clone())),
                Slot::Number(value, shape) => {
                    let mut id = egraph.add_constant(*value, &like)?;
                    if !shape.is_empty() {
                        let shape = egraph.add_attribute(Attribute::Shape(shape.clone()));
                        id = egraph.add_term(Op::Expand, &[id], &[shape])?;
                    }
                    Binding::Class(id)
                }
                Slot::Term(_) => Binding::Free,
            };
        }
        if let Some(t) = &instance.remainder {
            found.remainder = add(&mut egraph, t);
        }
        // A term may use a term, in any order.
        for _ in 0..self.terms.len() {
            for (place, slot) in instance.slots.iter().enumerate() {
                if let Slot::Term(number) = slot
                    && let Some(id) = self.terms[*number].instance(&mut egraph, &found, &like)
                {
                    found.bindings[place] = Binding::Class(id);
                }
            }
        }
        let types = found.bindings.iter().map(|binding| match binding {
            Binding::Class(id) => tensor_type(&egraph, *id).cloned(),
            _ => None,
        });
        let types = types.collect();
        let root = self.rewrite.left.instance(&mut egraph, &found, &like);
        let Some((root, ty)) = root.and_then(|r| Some((r, tensor_type(&egraph, r).cloned()?)))
        else {
            return Some((None, types));
        };
        egraph.rebuild();
        let built = Built {
            egraph,
            root,
            ty,
            inputs,
        };
        Some((Some(built), types))
    }

    /// The instance in words.
    pub fn describe(&self, instance: &Instance) -> String {
        let mut words: Vec<String> = self
            .names
            .iter()
            .zip(&instance.slots)
            .filter_map(|(name, slot)| match slot {
                Slot::Term(_) => None,
                slot => Some(format!("{}: {slot}", name.trim_start_matches('?'))),
            })
            .collect();
        if let Some(more) = &instance.remainder {
            words.push(format!("and {}", Slot::Tensor(more.clone())));
        }
        words.join(" ")
    }
}

/// The instance itself, then with one variable or another standing for a sum or a product of two: some rules fire
/// just on those.
fn gathered(instance: &Instance) -> Vec<Instance> {
    let mut all = vec![instance.clone()];
    for place in 0..instance.slots.len() {
        for op in [Op::Add, Op::Mul] {
            let mut other = instance.clone();
            if let Slot::Tensor(t) = &mut other.slots[place] {
                t.shapes.push(t.shapes[0].clone());
                t.gathered = Some(op);
                all.push(other);
            }
        }
    }
    all
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(t) => {
                let shapes: Vec<String> = t
                    .shapes
                    .iter()
                    .map(|s| {
                        let ty = TensorType {
                            dtype: t.dtype,
                            shape: s.clone(),
                            device: 0,
                        };
                        ty.to_string().to_lowercase()
                    })
                    .collect();
                match t.gathered {
                    Some(op) if shapes.len() > 1 => {
                        write!(f, "({} {})", op.row().name, shapes.join(" "))
                    }
                    _ => write!(f, "{}", shapes.join(" ")),
                }
            }
            Self::Attribute(a) => write!(f, "{a}"),
            Self::Number(value, shape) => {
                write!(f, "{value}")?;
                if !shape.is_empty() {
                    write!(f, " over {}", Attribute::Shape(shape.clone()))?;
                }
                Ok(())
            }
            Self::Term(_) => Ok(()),
        }
    }
}
