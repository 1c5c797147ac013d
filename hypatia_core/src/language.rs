//! The e-graph's terms: an operation over e-classes, with attributes as leaves among its children.

use egg::{Id, Language};
use smallvec::SmallVec;

use crate::op::Op;

/// What stands at the head of a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Head {
    Op(Op),
    /// The caller's argument of this number.
    Input(u32),
    /// The opaque operation of this number in [`crate::analysis::TensorAnalysis`].
    Opaque(u32),
    /// This result of the opaque operation below.
    Item(u32),
    /// The attribute of this number in [`crate::analysis::TensorAnalysis`].
    Attribute(u32),
}

/// One term: tensor operands first, then attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    pub head: Head,
    pub children: SmallVec<[Id; 4]>,
}

impl Term {
    /// A term; operands of a commutative operation are sorted, so that equal multisets are equal terms.
    pub fn new(head: Head, children: impl IntoIterator<Item = Id>) -> Self {
        let mut children: SmallVec<[Id; 4]> = children.into_iter().collect();
        if let Head::Op(op) = head
            && op.is_commutative()
        {
            children.sort_unstable();
        }
        Self { head, children }
    }

    /// A term without children.
    pub fn leaf(head: Head) -> Self {
        Self {
            head,
            children: SmallVec::new(),
        }
    }

    /// The operation, where the head is one.
    pub fn op(&self) -> Option<Op> {
        if let Head::Op(op) = self.head {
            Some(op)
        } else {
            None
        }
    }

    /// Tensor operands and attributes apart.
    pub fn split(&self) -> (&[Id], &[Id]) {
        let attributes = self.op().map_or(0, |op| op.row().attributes);
        self.children.split_at(self.children.len() - attributes)
    }
}

impl Language for Term {
    type Discriminant = Head;

    fn discriminant(&self) -> Head {
        self.head
    }

    fn matches(&self, other: &Self) -> bool {
        self.head == other.head && self.children.len() == other.children.len()
    }

    fn children(&self) -> &[Id] {
        &self.children
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.children
    }
}
