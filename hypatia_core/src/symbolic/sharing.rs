//! Equal parts of what is read become one node, so that whatever walks an expression meets them once.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashSet;

use super::expression::{Expression, Operator};

/// A node among nodes whose arguments are shared already: equal by its operator and the places of its arguments.
struct ByParts(Expression);

impl PartialEq for ByParts {
    fn eq(&self, other: &Self) -> bool {
        self.0.has_same_parts(&other.0)
    }
}

impl Eq for ByParts {}

impl Hash for ByParts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash_code());
    }
}

/// The nodes that were met so far.
#[derive(Default)]
pub(super) struct Sharing {
    known: FxHashSet<ByParts>,
    powers_of_numbers: bool,
}

impl Sharing {
    /// The node that was first met of those equal to this one.
    pub fn node(&mut self, node: Expression) -> Expression {
        let node = ByParts(node);
        if let Some(known) = self.known.get(&node) {
            return known.0.clone();
        }
        self.powers_of_numbers |=
            matches!(node.0.operator(), Operator::Pow) && !node.0.may_hold(u64::MAX);
        let shared = node.0.clone();
        self.known.insert(node);
        shared
    }

    /// Whether a power without variables was met.
    pub fn powers_of_numbers(&self) -> bool {
        self.powers_of_numbers
    }
}
