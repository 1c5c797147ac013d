//! Substitution of variables, all at once.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::build;
use super::expression::{Arguments, Expression, Operator, name_bit};

/// How deep the walk is recursive.
const DEEPEST: usize = 100;

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
    walk.replaced(expression, 0)
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
    /// Goes down first arguments in a loop and up again; into others, `level` deep by now, by recursion.
    fn replaced(&mut self, node: &Expression, level: usize) -> Expression {
        if level > DEEPEST {
            // Parts first, so that the walk goes no deeper; the list keeps every part shared, and so known.
            let mut last = node.clone();
            for part in &node.post_order() {
                last = self.replaced(part, 0);
                self.known.insert(part.address(), last.clone());
            }
            return last;
        }
        let mut way: SmallVec<[&Expression; 8]> = SmallVec::new();
        let mut at = node;
        let mut result = loop {
            if !at.may_hold(self.names) {
                break at.clone();
            }
            if let Operator::Variable(name) = at.operator() {
                break self.replacements.get(&**name).unwrap_or(at).clone();
            }
            if at.is_shared()
                && let Some(known) = self.known.get(&at.address())
            {
                break known.clone();
            }
            way.push(at);
            match at.arguments().first() {
                Some(first) => at = first,
                None => break at.clone(),
            }
        };
        while let Some(at) = way.pop() {
            let mut arguments: Arguments = SmallVec::with_capacity(at.arguments().len());
            arguments.push(result);
            for argument in at.arguments().iter().skip(1) {
                arguments.push(self.replaced(argument, level + 1));
            }
            let changed = arguments
                .iter()
                .zip(at.arguments())
                .any(|(new, old)| new.address() != old.address());
            result = if changed {
                fold_numbers(at.operator(), arguments)
            } else {
                at.clone()
            };
            if at.is_shared() {
                self.known.insert(at.address(), result.clone());
            }
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
