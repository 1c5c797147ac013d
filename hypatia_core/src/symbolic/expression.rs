//! Expressions: immutable, shared, compared by structure.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use smallvec::{SmallVec, smallvec};

use super::function::Function;
use super::tensor_operator::TensorOperator;

/// What a node is, without its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// An exact rational of any size.
    Rational(BigRational),
    /// An inexact number: a double, held by its bits so that it compares and hashes.
    Float(u64),
    Variable(Arc<str>),
    Pi,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Neg,
    Function(Function),
    Tensor(&'static TensorOperator),
}

impl Operator {
    /// The name that stands at the head of the S-expression; none for leaves.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Pow => "pow",
            Self::Neg => "neg",
            Self::Function(function) => function.name(),
            Self::Tensor(operator) => operator.name,
            Self::Rational(_) | Self::Float(_) | Self::Variable(_) | Self::Pi => return None,
        })
    }

    fn hash_into(&self, hasher: &mut impl Hasher) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Self::Rational(value) => value.hash(hasher),
            Self::Float(bits) => bits.hash(hasher),
            Self::Variable(name) => name.hash(hasher),
            Self::Function(function) => function.hash(hasher),
            Self::Tensor(operator) => operator.name.hash(hasher),
            _ => {}
        }
    }
}

/// Arguments of a node; most have two at most, which need no memory of their own.
pub type Arguments = SmallVec<[Expression; 2]>;

#[derive(Debug)]
struct Node {
    operator: Operator,
    arguments: Arguments,
    hash: u64,
    /// Nodes of the tree, counting shared ones each time; saturating.
    size: u64,
    depth: u32,
    /// A bit for every variable that occurs, by its name; two names may share one.
    names: u64,
}

/// An expression. Cloning shares it; `==` compares structure, never mathematics.
#[derive(Clone)]
pub struct Expression(Arc<Node>);

impl Expression {
    /// A node of this operator over these arguments, as it stands: nothing is rewritten.
    pub fn new(operator: Operator, arguments: impl Into<Arguments>) -> Self {
        let arguments = arguments.into();
        let mut hasher = FxBuildHasher.build_hasher();
        operator.hash_into(&mut hasher);
        let (mut size, mut depth) = (1u64, 0u32);
        let mut names = match &operator {
            Operator::Variable(name) => name_bit(name),
            _ => 0,
        };
        for argument in &arguments {
            argument.0.hash.hash(&mut hasher);
            size = size.saturating_add(argument.0.size);
            depth = depth.max(argument.0.depth);
            names |= argument.0.names;
        }
        let hash = hasher.finish();
        Self(Arc::new(Node {
            operator,
            arguments,
            hash,
            size,
            depth: depth.saturating_add(1),
            names,
        }))
    }

    /// The exact number.
    pub fn rational(value: BigRational) -> Self {
        Self::new(Operator::Rational(value), Arguments::new())
    }

    /// The exact integer.
    pub fn integer(value: impl Into<BigInt>) -> Self {
        Self::rational(BigRational::from_integer(value.into()))
    }

    /// The exact ratio of two small integers; `denominator` is not zero.
    pub fn ratio(numerator: i64, denominator: i64) -> Self {
        Self::rational(BigRational::new(numerator.into(), denominator.into()))
    }

    /// The double, marked as inexact.
    pub fn float(value: f64) -> Self {
        Self::new(Operator::Float(value.to_bits()), Arguments::new())
    }

    /// The variable of this name.
    pub fn variable(name: &str) -> Self {
        Self::new(Operator::Variable(name.into()), Arguments::new())
    }

    /// The ratio of a circle's circumference to its diameter.
    pub fn pi() -> Self {
        Self::new(Operator::Pi, Arguments::new())
    }

    /// The function of one argument.
    pub fn call(function: Function, argument: Expression) -> Self {
        Self::unary(Operator::Function(function), argument)
    }

    /// The operator over one argument.
    pub fn unary(operator: Operator, argument: Expression) -> Self {
        let arguments: Arguments = smallvec![argument];
        Self::new(operator, arguments)
    }

    /// The function of two arguments.
    pub fn call2(function: Function, first: Expression, second: Expression) -> Self {
        Self::new(Operator::Function(function), [first, second])
    }

    /// The operator over two arguments.
    pub fn binary(operator: Operator, left: Expression, right: Expression) -> Self {
        Self::new(operator, [left, right])
    }

    pub fn operator(&self) -> &Operator {
        &self.0.operator
    }

    pub fn arguments(&self) -> &[Expression] {
        &self.0.arguments
    }

    /// Nodes of the expression as a tree; saturates at the largest `u64`.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Nodes on the longest way from the root to a leaf.
    pub fn depth(&self) -> u32 {
        self.0.depth
    }

    /// The hash of the structure.
    pub fn hash_code(&self) -> u64 {
        self.0.hash
    }

    /// The exact number this node is, if it is one.
    pub fn as_rational(&self) -> Option<&BigRational> {
        match self.operator() {
            Operator::Rational(value) => Some(value),
            _ => None,
        }
    }

    /// Whether this node is the exact integer.
    pub fn is_integer_constant(&self, value: i64) -> bool {
        match value {
            0 => self.as_rational().is_some_and(Zero::is_zero),
            1 => self.as_rational().is_some_and(One::is_one),
            _ => self.as_rational() == Some(&BigRational::from_integer(value.into())),
        }
    }

    /// Whether a variable with one of these bits may occur; see [`name_bit`].
    pub(super) fn may_hold(&self, names: u64) -> bool {
        self.0.names & names != 0
    }

    /// Whether the node may be part of several expressions.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Whether this is the same operator over the very same nodes.
    pub(super) fn has_same_parts(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
            && self.operator() == other.operator()
            && self.arguments().len() == other.arguments().len()
            && self
                .arguments()
                .iter()
                .zip(other.arguments())
                .all(|(a, b)| Arc::ptr_eq(&a.0, &b.0))
    }

    /// The place in memory, which tells shared nodes apart from equal ones.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Visits every distinct shared node once, arguments before what uses them. Not recursive.
    pub fn post_order(&self) -> Vec<Expression> {
        let mut seen = FxHashSet::default();
        let mut order = Vec::new();
        let mut stack = vec![(self.clone(), false)];
        while let Some((node, expanded)) = stack.pop() {
            if expanded {
                order.push(node);
            } else if seen.insert(node.address()) {
                stack.push((node.clone(), true));
                for argument in node.arguments().iter().rev() {
                    if !seen.contains(&argument.address()) {
                        stack.push((argument.clone(), false));
                    }
                }
            }
        }
        order
    }

    /// Folds the expression from its leaves up, each shared node once. Not recursive, so of any depth.
    ///
    /// # Errors
    /// The first error of `step`.
    pub fn fold<T: Clone, E>(
        &self,
        mut step: impl FnMut(&Expression, &[T]) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut values: FxHashMap<usize, T> = FxHashMap::default();
        let mut last = None;
        let mut arguments = Vec::new();
        for node in self.post_order() {
            arguments.clear();
            arguments.extend(
                node.arguments()
                    .iter()
                    .map(|argument| values[&argument.address()].clone()),
            );
            let value = step(&node, &arguments)?;
            last = Some(value.clone());
            values.insert(node.address(), value);
        }
        Ok(last.expect("an expression has at least one node"))
    }

    /// The same node over other arguments; shared where none changed.
    pub fn with_arguments(&self, arguments: &[Expression]) -> Self {
        let same = arguments
            .iter()
            .zip(self.arguments())
            .all(|(new, old)| new.address() == old.address());
        if same {
            self.clone()
        } else {
            Self::new(
                self.operator().clone(),
                arguments.iter().cloned().collect::<Arguments>(),
            )
        }
    }

    /// The names of the variables, sorted.
    pub fn variables(&self) -> BTreeSet<Arc<str>> {
        self.post_order()
            .iter()
            .filter_map(|node| match node.operator() {
                Operator::Variable(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    /// Whether some node satisfies the predicate.
    pub fn any(&self, predicate: impl Fn(&Operator) -> bool) -> bool {
        self.post_order()
            .iter()
            .any(|node| predicate(node.operator()))
    }

    /// Whether a tensor operator occurs.
    pub fn has_tensors(&self) -> bool {
        self.any(|operator| matches!(operator, Operator::Tensor(_)))
    }

    /// Whether an inexact number occurs.
    pub fn has_floats(&self) -> bool {
        self.any(|operator| matches!(operator, Operator::Float(_)))
    }

    /// Nodes with shared ones counted once.
    pub fn shared_size(&self) -> usize {
        self.fold_distinct().len()
    }

    fn fold_distinct(&self) -> FxHashSet<Expression> {
        self.post_order().into_iter().collect()
    }
}

/// The bit that stands for a variable's name in the set of names that each node keeps.
pub(super) fn name_bit(name: &str) -> u64 {
    1 << (FxBuildHasher.hash_one(name) >> 58)
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        let mut stack = vec![(self, other)];
        let mut proved: FxHashSet<(usize, usize)> = FxHashSet::default();
        while let Some((left, right)) = stack.pop() {
            if Arc::ptr_eq(&left.0, &right.0) {
                continue;
            }
            if left.0.hash != right.0.hash
                || left.0.size != right.0.size
                || left.0.operator != right.0.operator
                || left.0.arguments.len() != right.0.arguments.len()
            {
                return false;
            }
            if !left.0.arguments.is_empty() && proved.insert((left.address(), right.address())) {
                stack.extend(left.0.arguments.iter().zip(&right.0.arguments));
            }
        }
        true
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match super::print::to_text(self) {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "<{} nodes>", self.size()),
        }
    }
}

impl Drop for Node {
    /// Not recursive: a chain of any length is freed without using the stack.
    fn drop(&mut self) {
        if self.depth < 100 {
            return;
        }
        let mut pending = std::mem::take(&mut self.arguments);
        while let Some(expression) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(expression.0) {
                pending.append(&mut node.arguments);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_chain_is_compared_and_freed_without_the_stack() {
        let build = || {
            let mut chain = Expression::variable("x");
            for _ in 0..1_000_000 {
                chain = Expression::new(Operator::Neg, vec![chain]);
            }
            chain
        };
        assert_eq!(build(), build());
    }

    #[test]
    fn a_shared_expression_is_compared_once_a_node() {
        let build = || {
            let mut tower = Expression::variable("x");
            for _ in 0..200 {
                tower = Expression::binary(Operator::Add, tower.clone(), tower);
            }
            tower
        };
        assert_eq!(build(), build());
        assert_eq!(build().size(), u64::MAX);
    }
}
