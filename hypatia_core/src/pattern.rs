//! Patterns over terms: their text, their matching (sums and products as multisets), their instantiation.
//!
//! A pattern is an S-expression: `?x` binds, a number is a constant of any shape, `true` and `axis:0` are attributes,
//! `{compose ?p ?q}` (right sides only) computes an attribute. In a commutative operation the arguments match any
//! distinct operands; where the last argument is a variable it takes all operands that are left.

use egg::Id;
use smallvec::SmallVec;

use crate::analysis::{TensorGraph, attribute, infer, tensor_type};
use crate::attribute::Attribute;
use crate::attribute_function::{AttributeFunction, function_named};
use crate::language::{Head, Term};
use crate::op::Op;
use crate::tensor_type::{TensorType, broadcast};

/// One position of a pattern.
#[derive(Debug, Clone)]
enum Position {
    Variable(usize),
    Number(f64),
    Literal(Attribute),
    Apply(Op, Vec<usize>, Vec<usize>),
    Call(&'static AttributeFunction, Vec<usize>),
}

/// A parsed pattern; variables are numbered by the rule that it belongs to.
#[derive(Debug, Clone)]
pub struct Pattern {
    positions: Vec<Position>,
    root: usize,
}

/// What a variable stands for in one match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Binding {
    Free,
    Class(Id),
    /// Several operands of a sum or product, not yet a term of their own.
    Rest(Op, SmallVec<[Id; 4]>),
}

/// One match: a binding for each variable, and the operands at the root that the pattern left over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Match {
    pub bindings: SmallVec<[Binding; 6]>,
    pub remainder: SmallVec<[Id; 4]>,
}

impl Match {
    fn new(variables: usize) -> Self {
        Self {
            bindings: smallvec::smallvec![Binding::Free; variables],
            remainder: SmallVec::new(),
        }
    }

    /// The same match with canonical ids.
    pub fn canonical(mut self, egraph: &TensorGraph) -> Self {
        for binding in &mut self.bindings {
            match binding {
                Binding::Class(id) => *id = egraph.find(*id),
                Binding::Rest(_, ids) => {
                    ids.iter_mut().for_each(|id| *id = egraph.find(*id));
                    ids.sort_unstable();
                }
                Binding::Free => {}
            }
        }
        self.remainder
            .iter_mut()
            .for_each(|id| *id = egraph.find(*id));
        self
    }

    /// The class that a variable stands for; a group of operands is made a term of its own first.
    pub fn gather(&mut self, egraph: &mut TensorGraph, variable: usize) -> Option<Id> {
        let id = match &self.bindings[variable] {
            Binding::Class(id) => *id,
            Binding::Rest(op, ids) => add_typed(egraph, *op, ids, &[])?,
            Binding::Free => return None,
        };
        self.bindings[variable] = Binding::Class(id);
        Some(id)
    }
}

/// Adds a term after making sure that it has a type.
pub fn add_typed(
    egraph: &mut TensorGraph,
    op: Op,
    operands: &[Id],
    attributes: &[Id],
) -> Option<Id> {
    infer(egraph, op, operands, attributes)?;
    Some(egraph.add(Term::new(
        Head::Op(op),
        operands.iter().chain(attributes).copied(),
    )))
}

/// Adds an attribute leaf.
pub fn add_attribute(egraph: &mut TensorGraph, attribute: Attribute) -> Id {
    let number = egraph.analysis.intern(attribute);
    egraph.add(Term::leaf(Head::Attribute(number)))
}

/// Adds a constant of no dimensions.
pub fn add_constant(egraph: &mut TensorGraph, value: f64, like: &TensorType) -> Option<Id> {
    let attributes = [
        add_attribute(egraph, Attribute::Float(value)),
        add_attribute(egraph, Attribute::DType(like.dtype)),
        add_attribute(egraph, Attribute::Int(i64::from(like.device))),
    ];
    add_typed(egraph, Op::Const, &[], &attributes)
}

type Goals = SmallVec<[(usize, Id); 12]>;

impl Pattern {
    /// Reads a pattern; new variables are appended to `variables`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str, variables: &mut Vec<String>) -> Result<Self, String> {
        let spaced: String = text
            .chars()
            .flat_map(|c| {
                if "(){}".contains(c) {
                    vec![' ', c, ' ']
                } else {
                    vec![c]
                }
            })
            .collect();
        let tokens: Vec<&str> = spaced.split_whitespace().collect();
        let mut pattern = Self {
            positions: Vec::new(),
            root: 0,
        };
        let mut at = 0;
        pattern.root = pattern.read(&tokens, &mut at, variables)?;
        if at == tokens.len() {
            Ok(pattern)
        } else {
            Err(format!("text after the end of '{text}'"))
        }
    }

    fn read(
        &mut self,
        tokens: &[&str],
        at: &mut usize,
        variables: &mut Vec<String>,
    ) -> Result<usize, String> {
        let token = *tokens.get(*at).ok_or("the pattern ends too early")?;
        *at += 1;
        let position = match token {
            "(" | "{" => {
                let close = if token == "(" { ")" } else { "}" };
                let name = *tokens.get(*at).ok_or("the pattern ends too early")?;
                *at += 1;
                let mut arguments = Vec::new();
                while tokens.get(*at).is_some_and(|t| *t != close) {
                    arguments.push(self.read(tokens, at, variables)?);
                }
                *at += 1;
                if token == "(" {
                    self.apply(name, arguments)?
                } else {
                    let function = function_named(name)
                        .ok_or(format!("unknown attribute function '{name}'"))?;
                    Position::Call(function, arguments)
                }
            }
            variable if variable.starts_with('?') => {
                let number = variables
                    .iter()
                    .position(|v| v == variable)
                    .unwrap_or_else(|| {
                        variables.push(variable.into());
                        variables.len() - 1
                    });
                Position::Variable(number)
            }
            "true" => Position::Literal(Attribute::Bool(true)),
            "false" => Position::Literal(Attribute::Bool(false)),
            other => match (
                other.strip_prefix("int:"),
                other.strip_prefix('\''),
                other.parse::<f64>(),
            ) {
                (Some(int), ..) => Position::Literal(Attribute::Int(
                    int.parse().map_err(|_| format!("'{other}'"))?,
                )),
                (_, Some(word), _) => {
                    Position::Literal(Attribute::Word(word.trim_end_matches('\'').into()))
                }
                (.., Ok(number)) => Position::Number(number),
                _ => {
                    return Err(format!(
                        "'{other}' is neither a variable, a number nor an attribute"
                    ));
                }
            },
        };
        self.positions.push(position);
        Ok(self.positions.len() - 1)
    }

    fn apply(&self, name: &str, mut arguments: Vec<usize>) -> Result<Position, String> {
        let op = Op::named(name).ok_or(format!("unknown operation '{name}'"))?;
        let tensors = arguments
            .len()
            .checked_sub(op.row().attributes)
            .ok_or(format!("'{name}' takes {} attributes", op.row().attributes))?;
        let attributes = arguments.split_off(tensors);
        if op.is_commutative() {
            // What is most particular is matched first; a variable, which may take all the rest, last.
            arguments.sort_by_key(|&i| match self.positions[i] {
                Position::Apply(..) => 0,
                Position::Number(_) | Position::Literal(_) | Position::Call(..) => 1,
                Position::Variable(_) => 2,
            });
        }
        Ok(Position::Apply(op, arguments, attributes))
    }

    /// The operation at the root, by which candidate classes are found.
    pub fn head(&self) -> Option<Op> {
        if let Position::Apply(op, ..) = self.positions[self.root] {
            Some(op)
        } else {
            None
        }
    }

    /// All matches in a class, in a fixed order, until `emit` says to stop.
    pub fn matches(
        &self,
        egraph: &TensorGraph,
        class: Id,
        variables: usize,
        emit: &mut dyn FnMut(&Match) -> bool,
    ) -> bool {
        let mut found = Match::new(variables);
        self.solve(
            egraph,
            smallvec::smallvec![(self.root, class)],
            &mut found,
            emit,
        )
    }

    /// Meets the goals one after another; returns false once `emit` did.
    fn solve(
        &self,
        egraph: &TensorGraph,
        mut goals: Goals,
        found: &mut Match,
        emit: &mut dyn FnMut(&Match) -> bool,
    ) -> bool {
        let Some((position, id)) = goals.pop() else {
            return emit(found);
        };
        match &self.positions[position] {
            Position::Variable(v) => match &found.bindings[*v] {
                Binding::Free => {
                    found.bindings[*v] = Binding::Class(egraph.find(id));
                    let go_on = self.solve(egraph, goals, found, emit);
                    found.bindings[*v] = Binding::Free;
                    go_on
                }
                Binding::Class(bound) if *bound == egraph.find(id) => {
                    self.solve(egraph, goals, found, emit)
                }
                _ => true,
            },
            Position::Number(number) => {
                egraph[id].data.constant != Some(*number) || self.solve(egraph, goals, found, emit)
            }
            Position::Literal(literal) => {
                attribute(egraph, id) != Some(literal) || self.solve(egraph, goals, found, emit)
            }
            Position::Call(..) => true,
            Position::Apply(op, operands, attributes) => {
                for term in egraph[id].nodes.iter().filter(|t| t.op() == Some(*op)) {
                    let (term_operands, term_attributes) = term.split();
                    let mut next = goals.clone();
                    next.extend(
                        attributes
                            .iter()
                            .copied()
                            .zip(term_attributes.iter().copied())
                            .rev(),
                    );
                    let go_on = if op.is_commutative() {
                        let at_root = position == self.root;
                        self.choose(
                            egraph,
                            *op,
                            operands,
                            term_operands,
                            0,
                            at_root,
                            next,
                            found,
                            emit,
                        )
                    } else if operands.len() == term_operands.len() {
                        next.extend(
                            operands
                                .iter()
                                .copied()
                                .zip(term_operands.iter().copied())
                                .rev(),
                        );
                        self.solve(egraph, next, found, emit)
                    } else {
                        true
                    };
                    if !go_on {
                        return false;
                    }
                }
                true
            }
        }
    }

    /// Gives each argument of a commutative pattern an operand of its own.
    #[expect(
        clippy::too_many_arguments,
        reason = "one frame of a backtracking search"
    )]
    fn choose(
        &self,
        egraph: &TensorGraph,
        op: Op,
        arguments: &[usize],
        operands: &[Id],
        taken: u64,
        at_root: bool,
        goals: Goals,
        found: &mut Match,
        emit: &mut dyn FnMut(&Match) -> bool,
    ) -> bool {
        let left = || (0..operands.len()).filter(move |i| taken >> i & 1 == 0);
        let Some((&argument, others)) = arguments.split_first() else {
            if left().next().is_none() {
                return self.solve(egraph, goals, found, emit);
            }
            if !at_root {
                return true;
            }
            found.remainder = left().map(|i| operands[i]).collect();
            let go_on = self.solve(egraph, goals, found, emit);
            found.remainder.clear();
            return go_on;
        };
        if others.is_empty()
            && let Position::Variable(v) = self.positions[argument]
            && found.bindings[v] == Binding::Free
            && left().count() > 1
        {
            found.bindings[v] = Binding::Rest(op, left().map(|i| operands[i]).collect());
            let go_on = self.solve(egraph, goals, found, emit);
            found.bindings[v] = Binding::Free;
            return go_on;
        }
        for i in left().collect::<SmallVec<[usize; 16]>>() {
            if !self.may_match(egraph, argument, operands[i]) {
                continue;
            }
            let mut next = goals.clone();
            next.push((argument, operands[i]));
            if !self.choose(
                egraph,
                op,
                others,
                operands,
                taken | 1 << i,
                at_root,
                next,
                found,
                emit,
            ) {
                return false;
            }
        }
        true
    }

    /// A quick no for an operand that cannot match.
    fn may_match(&self, egraph: &TensorGraph, position: usize, id: Id) -> bool {
        match &self.positions[position] {
            Position::Apply(op, ..) => egraph[id].nodes.iter().any(|t| t.op() == Some(*op)),
            Position::Number(number) => egraph[id].data.constant == Some(*number),
            _ => true,
        }
    }

    /// Adds the pattern's instance, of the type `root`. `None` where some part of it has no sure type.
    ///
    /// # Errors
    /// The instance has a type that does not even broadcast to `root`: the rule is wrong.
    pub fn instantiate(
        &self,
        egraph: &mut TensorGraph,
        found: &Match,
        root: &TensorType,
        left: Option<Op>,
    ) -> Result<Option<Id>, String> {
        let Some(mut id) = self.build(egraph, self.root, found, root) else {
            return Ok(None);
        };
        if let Some(op) = left
            && !found.remainder.is_empty()
        {
            let operands: SmallVec<[Id; 4]> = std::iter::once(id)
                .chain(found.remainder.iter().copied())
                .collect();
            match add_typed(egraph, op, &operands, &[]) {
                Some(sum) => id = sum,
                None => return Ok(None),
            }
        }
        let Some(ty) = tensor_type(egraph, id).cloned() else {
            return Err("the instance is not a tensor".into());
        };
        if ty == *root {
            return Ok(Some(id));
        }
        if ty.dtype != root.dtype
            || broadcast(&ty.shape, &root.shape).as_deref() != Some(&root.shape[..])
        {
            return Err(format!("{ty} stands for {root}"));
        }
        let shape = add_attribute(egraph, Attribute::Shape(root.shape.clone()));
        Ok(add_typed(egraph, Op::Expand, &[id], &[shape]))
    }

    fn build(
        &self,
        egraph: &mut TensorGraph,
        position: usize,
        found: &Match,
        root: &TensorType,
    ) -> Option<Id> {
        match &self.positions[position] {
            Position::Variable(v) => match &found.bindings[*v] {
                Binding::Class(id) => Some(*id),
                Binding::Rest(op, ids) => add_typed(egraph, *op, ids, &[]),
                Binding::Free => None,
            },
            Position::Number(number) => add_constant(egraph, *number, root),
            Position::Literal(literal) => Some(add_attribute(egraph, literal.clone())),
            Position::Call(function, arguments) => {
                let ids: Option<Vec<Id>> = arguments
                    .iter()
                    .map(|&a| self.build(egraph, a, found, root))
                    .collect();
                let computed = (function.compute)(egraph, &ids?)?;
                Some(add_attribute(egraph, computed))
            }
            Position::Apply(op, operands, attributes) => {
                let mut ids: SmallVec<[Id; 8]> = SmallVec::new();
                for &operand in operands {
                    match &self.positions[operand] {
                        Position::Variable(v) if matches!(&found.bindings[*v], Binding::Rest(inner, _) if inner == op) => {
                            if let Binding::Rest(_, rest) = &found.bindings[*v] {
                                ids.extend(rest.iter().copied());
                            }
                        }
                        _ => ids.push(self.build(egraph, operand, found, root)?),
                    }
                }
                let attributes: Option<SmallVec<[Id; 4]>> = attributes
                    .iter()
                    .map(|&a| self.build(egraph, a, found, root))
                    .collect();
                add_typed(egraph, *op, &ids, &attributes?)
            }
        }
    }
}
