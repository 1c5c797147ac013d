//! Substitution of variables, all at once.

use rustc_hash::FxHashMap;

use super::build;
use super::expression::{Arguments, Expression, Operator, name_bit};

/// Depth up to which the walk is recursive.
const SHALLOW: u32 = 3_000;

/// Replaces the variables by expressions simultaneously; exact numbers that meet are folded.
pub fn substitute(
    expression: &Expression,
    replacements: &FxHashMap<String, Expression>,
) -> Expression {
    let names = replacements
        .keys()
        .fold(0, |bits, name| bits | name_bit(name));
    let mut walk = Walk {
        replacements,
        names,
        known: FxHashMap::default(),
    };
    if expression.depth() <= SHALLOW {
        return walk.replaced(expression);
    }
    // Parts first, so that the walk never goes deep; the list keeps every part shared, and so known.
    let mut last = expression.clone();
    let order = expression.post_order();
    for node in &order {
        last = walk.replaced(node);
        walk.known.insert(node.address(), last.clone());
    }
    last
}

/// One walk through an expression, in which only parts with a replaced variable are visited.
struct Walk<'a> {
    replacements: &'a FxHashMap<String, Expression>,
    /// The bits of the replaced variables.
    names: u64,
    /// What became of parts that may occur again, by their place in memory.
    known: FxHashMap<usize, Expression>,
}

impl Walk<'_> {
    fn replaced(&mut self, node: &Expression) -> Expression {
        if !node.may_hold(self.names) {
            return node.clone();
        }
        if let Operator::Variable(name) = node.operator() {
            return self.replacements.get(&**name).unwrap_or(node).clone();
        }
        let shared = node.is_shared();
        if shared && let Some(known) = self.known.get(&node.address()) {
            return known.clone();
        }
        let arguments: Arguments = node
            .arguments()
            .iter()
            .map(|argument| self.replaced(argument))
            .collect();
        let changed = arguments
            .iter()
            .zip(node.arguments())
            .any(|(new, old)| new.address() != old.address());
        let result = if changed {
            fold_numbers(node.operator(), arguments)
        } else {
            node.clone()
        };
        if shared {
            self.known.insert(node.address(), result.clone());
        }
        result
    }
}

/// The node, or the exact number it is when all its arguments are numbers.
fn fold_numbers(operator: &Operator, arguments: Arguments) -> Expression {
    if arguments
        .iter()
        .all(|argument| argument.as_rational().is_some())
    {
        let mut operands = arguments.iter().cloned();
        let folded = match (operator, operands.next(), operands.next()) {
            (Operator::Add, Some(a), Some(b)) => Some(build::add(a, b)),
            (Operator::Sub, Some(a), Some(b)) => Some(build::sub(a, b)),
            (Operator::Mul, Some(a), Some(b)) => Some(build::mul(a, b)),
            (Operator::Div, Some(a), Some(b)) => Some(build::div(a, b)),
            (Operator::Pow, Some(a), Some(b)) => Some(build::pow(a, b)),
            (Operator::Neg, Some(a), None) => Some(build::neg(a)),
            _ => None,
        };
        if let Some(folded) = folded.filter(|folded| folded.as_rational().is_some()) {
            return folded;
        }
    }
    Expression::new(operator.clone(), arguments)
}
