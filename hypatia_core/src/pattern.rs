//! Patterns over terms: their text, their matching (sums and products as multisets), their instantiation.
//!
//! A pattern is an S-expression: `?x` binds, a number is a constant of any shape, `true`, `int:1` and `float:3` are
//! attributes, `end:1`, `ends:[2,1]` and `tail:[1,2]` axes counted from the end of the operation's first operand,
//! `{compose ?p ?q}` (right sides only) computes an attribute. In a commutative operation the arguments match any
//! distinct operands; where the last argument is a variable it takes all operands that are left.

use egg::Id;
use smallvec::SmallVec;

use crate::analysis::{Builder, Known, TensorGraph, attribute};
use crate::attribute::Attribute;
use crate::attribute_function::{AttributeFunction, function_named};
use crate::op::Op;
use crate::tensor_type::{TensorType, broadcast};

/// One position of a pattern.
#[derive(Debug, Clone)]
enum Position {
    Variable(usize),
    /// A constant; on a side that is searched it has a variable of its own, which binds the class found.
    Number(f64, Option<usize>),
    Literal(Attribute),
    FromEnd(FromEnd),
    Apply(Op, Vec<usize>, Vec<usize>),
    Call(&'static AttributeFunction, Vec<usize>),
}

/// Axes counted from the end of an operation's first operand, whatever its rank; the last axis is 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromEnd {
    Axis(usize),
    Axes(Vec<usize>),
    /// A permutation that leaves all axes before these where they are.
    Tail(Vec<usize>),
}

impl FromEnd {
    fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        Some(match kind {
            "end" => Self::Axis(value.parse().ok()?),
            "ends" => Self::Axes(serde_json::from_str(value).ok()?),
            "tail" => Self::Tail(serde_json::from_str(value).ok()?),
            _ => return None,
        })
    }

    /// The attribute for an operand of this rank.
    fn at(&self, rank: usize) -> Option<Attribute> {
        let axes = |backs: &[usize]| -> Option<Vec<usize>> {
            backs.iter().map(|&back| rank.checked_sub(back)).collect()
        };
        Some(match self {
            Self::Axis(back) => Attribute::Int(i64::try_from(rank.checked_sub(*back)?).ok()?),
            Self::Axes(backs) => Attribute::Axes(axes(backs)?),
            Self::Tail(backs) => {
                let fixed = 0..rank.checked_sub(backs.len())?;
                Attribute::Axes(fixed.chain(axes(backs)?).collect())
            }
        })
    }
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

    /// Whether the match takes a sum or a product of three or more apart: what is built from it may be rounded in
    /// another order, whatever the rule's class.
    pub fn regroups(&self) -> bool {
        let gathered = |b: &Binding| matches!(b, Binding::Rest(..));
        !self.remainder.is_empty() || self.bindings.iter().any(gathered)
    }

    /// The terms that are bound.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        let bound = self.bindings.iter().flat_map(|b| match b {
            Binding::Free => &[],
            Binding::Class(id) => std::slice::from_ref(id),
            Binding::Rest(_, ids) => &ids[..],
        });
        bound.chain(&self.remainder).copied()
    }

    /// Puts another id in the place of each.
    pub fn rename(&mut self, name: impl Fn(Id) -> Id) {
        for binding in &mut self.bindings {
            match binding {
                Binding::Class(id) => *id = name(*id),
                Binding::Rest(_, ids) => ids.iter_mut().for_each(|id| *id = name(*id)),
                Binding::Free => {}
            }
        }
        self.remainder.iter_mut().for_each(|id| *id = name(*id));
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

    /// The term that a variable stands for; a group of operands is made a term of its own first.
    pub fn gather(&mut self, builder: &mut impl Builder, variable: usize) -> Option<Id> {
        let id = match &self.bindings[variable] {
            Binding::Class(id) => *id,
            Binding::Rest(op, ids) => builder.add_term(*op, ids, &[])?,
            Binding::Free => return None,
        };
        self.bindings[variable] = Binding::Class(id);
        Some(id)
    }
}

type Goals = SmallVec<[(usize, Id); 12]>;

/// Whether a sum or product is not worth matching: x·1 in the class of x, which would unfold for ever, or one of more
/// operands than [`Pattern::choose`] can tell apart.
fn says_nothing(egraph: &TensorGraph, class: Id, operands: &[Id]) -> bool {
    let class = egraph.find(class);
    operands.len() > u64::BITS as usize || operands.iter().any(|&o| egraph.find(o) == class)
}

/// An attribute written with its kind: `axes:[1,0]`, `shape:[2,3]`, `float:0.5`, `dtype:f32`.
fn literal(text: &str) -> Option<Attribute> {
    let (kind, value) = text.split_once(':')?;
    Some(match kind {
        "axes" => Attribute::Axes(serde_json::from_str(value).ok()?),
        "shape" => Attribute::Shape(serde_json::from_str(value).ok()?),
        "float" => Attribute::Float(value.parse().ok()?),
        "dtype" => Attribute::DType(serde_json::from_value(value.into()).ok()?),
        _ => return None,
    })
}

impl Pattern {
    /// Reads a pattern; new variables are appended to `variables`. On a side that is searched, so is a hidden one for
    /// each constant.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str, variables: &mut Vec<String>, searched: bool) -> Result<Self, String> {
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
        pattern.root = pattern.read(&tokens, &mut at, variables, searched)?;
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
        searched: bool,
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
                    arguments.push(self.read(tokens, at, variables, searched)?);
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
            other if let Some(written) = literal(other) => Position::Literal(written),
            other if let Some(axes) = FromEnd::parse(other) => Position::FromEnd(axes),
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
                (.., Ok(number)) => {
                    let slot = searched.then(|| {
                        variables.push(format!("#{}", variables.len()));
                        variables.len() - 1
                    });
                    Position::Number(number, slot)
                }
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
                Position::Number(..)
                | Position::Literal(_)
                | Position::FromEnd(_)
                | Position::Call(..) => 1,
                Position::Variable(_) => 2,
            });
        }
        Ok(Position::Apply(op, arguments, attributes))
    }

    /// How many operations it holds.
    pub fn size(&self) -> usize {
        self.positions
            .iter()
            .filter(|p| matches!(p, Position::Apply(..)))
            .count()
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
            Position::Number(number, slot) => {
                if egraph[id].data.constant != Some(*number) {
                    return true;
                }
                if let Some(slot) = slot {
                    found.bindings[*slot] = Binding::Class(egraph.find(id));
                }
                self.solve(egraph, goals, found, emit)
            }
            Position::Literal(literal) => {
                attribute(egraph, id) != Some(literal) || self.solve(egraph, goals, found, emit)
            }
            // Axes are compared where the operation is: they depend on its operand.
            Position::FromEnd(_) | Position::Call(..) => true,
            Position::Apply(op, operands, attributes) => {
                for term in egraph[id].nodes.iter().filter(|t| t.op() == Some(*op)) {
                    let (term_operands, term_attributes) = term.split();
                    if op.is_commutative() && says_nothing(egraph, id, term_operands) {
                        continue;
                    }
                    let pairs = || {
                        attributes
                            .iter()
                            .copied()
                            .zip(term_attributes.iter().copied())
                    };
                    let rank = term_operands
                        .first()
                        .and_then(|&o| egraph.tensor_type(o))
                        .map_or(0, TensorType::rank);
                    let fits = |(position, id): (usize, Id)| match &self.positions[position] {
                        Position::FromEnd(axes) => axes.at(rank).as_ref() == attribute(egraph, id),
                        _ => true,
                    };
                    if !pairs().all(fits) {
                        continue;
                    }
                    let mut next = goals.clone();
                    let open = |&(position, _): &(usize, Id)| {
                        !matches!(self.positions[position], Position::FromEnd(_))
                    };
                    next.extend(pairs().rev().filter(open));
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
            Position::Number(number, _) => egraph[id].data.constant == Some(*number),
            _ => true,
        }
    }

    /// Builds the instance of a right side, of the type `root`. `None` where some part of it has no sure type.
    ///
    /// # Errors
    /// The instance has a type that does not even broadcast to `root`: the rule is wrong.
    pub fn instantiate<B: Builder>(
        &self,
        builder: &mut B,
        found: &Match,
        root: &TensorType,
        left: Option<Op>,
    ) -> Result<Option<Id>, String> {
        let splice = left.is_some() && left == self.head();
        let extra: &[Id] = if splice { &found.remainder } else { &[] };
        let Some(mut id) = self.build(builder, self.root, found, root, extra) else {
            return Ok(None);
        };
        if let Some(op) = left
            && !splice
            && !found.remainder.is_empty()
        {
            let operands: SmallVec<[Id; 4]> = std::iter::once(id)
                .chain(found.remainder.iter().copied())
                .collect();
            match builder.add_term(op, &operands, &[]) {
                Some(sum) => id = sum,
                None => return Ok(None),
            }
        }
        let Some(ty) = builder.tensor_type(id).cloned() else {
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
        let shape = builder.add_attribute(Attribute::Shape(root.shape.clone()));
        Ok(builder.add_term(Op::Expand, &[id], &[shape]))
    }

    /// Builds the instance of a left side: just what was matched.
    pub fn instance<B: Builder>(
        &self,
        builder: &mut B,
        found: &Match,
        root: &TensorType,
    ) -> Option<Id> {
        self.build(builder, self.root, found, root, &found.remainder)
    }

    /// Whether each constant of a left side is known to be what the pattern says.
    pub fn constants_hold(&self, known: &dyn Known, found: &Match) -> bool {
        self.positions.iter().all(|position| match position {
            Position::Number(number, Some(slot)) => {
                matches!(found.bindings[*slot], Binding::Class(id) if known.constant(id) == Some(*number))
            }
            _ => true,
        })
    }

    fn build<B: Builder>(
        &self,
        builder: &mut B,
        position: usize,
        found: &Match,
        root: &TensorType,
        extra: &[Id],
    ) -> Option<Id> {
        match &self.positions[position] {
            Position::Variable(v) | Position::Number(_, Some(v)) => match &found.bindings[*v] {
                Binding::Class(id) => Some(*id),
                Binding::Rest(op, ids) => builder.add_term(*op, ids, &[]),
                Binding::Free => None,
            },
            Position::Number(number, None) => builder.add_constant(*number, root),
            Position::Literal(literal) => Some(builder.add_attribute(literal.clone())),
            Position::FromEnd(_) => None,
            Position::Call(function, arguments) => {
                let ids: Option<Vec<Id>> = arguments
                    .iter()
                    .map(|&a| self.build(builder, a, found, root, &[]))
                    .collect();
                let computed = (function.compute)(builder, &ids?)?;
                Some(builder.add_attribute(computed))
            }
            Position::Apply(op, operands, attributes) => {
                let mut ids: SmallVec<[Id; 8]> = SmallVec::new();
                for &operand in operands {
                    if let Position::Variable(v) = self.positions[operand]
                        && let Binding::Rest(inner, rest) = &found.bindings[v]
                        && inner == op
                    {
                        ids.extend(rest.iter().copied());
                    } else {
                        ids.push(self.build(builder, operand, found, root, &[])?);
                    }
                }
                ids.extend(extra.iter().copied());
                let attributes: Option<SmallVec<[Id; 4]>> = attributes
                    .iter()
                    .map(|&a| match &self.positions[a] {
                        Position::FromEnd(axes) => {
                            let rank = builder.tensor_type(*ids.first()?)?.rank();
                            Some(builder.add_attribute(axes.at(rank)?))
                        }
                        _ => self.build(builder, a, found, root, &[]),
                    })
                    .collect();
                builder.add_term(*op, &ids, &attributes?)
            }
        }
    }
}
