//! Expressions as S-expression text.

use super::expression::{Expression, Operator};
use crate::error::{Error, Result};

/// Nodes beyond which text is refused: a shared expression can be exponentially larger as text.
pub const PRINT_LIMIT: u64 = 5_000_000;

/// The S-expression text, such as `(add x 2)`; `parse` reads it back to an equal expression.
///
/// # Errors
/// When the text would have more than [`PRINT_LIMIT`] nodes.
pub fn to_text(expression: &Expression) -> Result<String> {
    refuse_giants(expression)?;
    enum Piece<'a> {
        Node(&'a Expression),
        Close,
        Space,
    }
    let mut text = String::new();
    let mut stack = vec![Piece::Node(expression)];
    while let Some(piece) = stack.pop() {
        match piece {
            Piece::Close => text.push(')'),
            Piece::Space => text.push(' '),
            Piece::Node(node) => match node.operator().name() {
                None => text.push_str(&leaf_text(node.operator())),
                Some(name) => {
                    text.push('(');
                    text.push_str(name);
                    stack.push(Piece::Close);
                    for argument in node.arguments().iter().rev() {
                        stack.push(Piece::Node(argument));
                        stack.push(Piece::Space);
                    }
                }
            },
        }
    }
    Ok(text)
}

/// The text of a leaf; empty for other nodes.
pub fn leaf_text(operator: &Operator) -> String {
    match operator {
        Operator::Rational(value) => value.to_string(),
        Operator::Float(bits) => float_text(f64::from_bits(*bits)),
        Operator::Variable(name) => name.to_string(),
        Operator::Pi => "pi".to_string(),
        _ => String::new(),
    }
}

/// The shortest text that reads back as the same double; it always has a point or an exponent.
pub fn float_text(value: f64) -> String {
    format!("{value:?}")
}

/// An error for an expression whose text would be too long.
pub(super) fn refuse_giants(expression: &Expression) -> Result<()> {
    if expression.size() > PRINT_LIMIT {
        return Err(Error::new(format!(
            "the text would have more than {PRINT_LIMIT} nodes ({} distinct ones are shared); take it apart with cse()",
            expression.shared_size()
        )));
    }
    Ok(())
}
