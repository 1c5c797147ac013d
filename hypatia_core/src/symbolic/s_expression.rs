//! Reading S-expressions. Not recursive.

use super::expression::{Expression, Operator};
use super::function::{FUNCTIONS, Function};
use super::literal::{self, clip};
use super::location::{did_you_mean, error_at};
use super::parse::{NESTING_LIMIT, NODE_LIMIT};
use super::sharing::Sharing;
use super::tensor_operator::{TENSOR_OPERATORS, tensor_operator};
use crate::error::{Error, Result};

/// The arithmetic heads: what is read and what it means with two or more arguments.
const ARITHMETIC: &[(&str, Operator)] = &[
    ("add", Operator::Add),
    ("+", Operator::Add),
    ("sub", Operator::Sub),
    ("-", Operator::Sub),
    ("mul", Operator::Mul),
    ("*", Operator::Mul),
    ("div", Operator::Div),
    ("/", Operator::Div),
    ("pow", Operator::Pow),
    ("^", Operator::Pow),
    ("**", Operator::Pow),
    ("neg", Operator::Neg),
];

struct Open<'a> {
    head: &'a str,
    at: usize,
    arguments: Vec<Expression>,
}

/// Reads one S-expression that fills the text, and says whether powers of numbers occur in it.
pub(super) fn parse(text: &str) -> Result<(Expression, bool)> {
    let mut sharing = Sharing::default();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut finished: Option<Expression> = None;
    let mut nodes = 0usize;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if finished.is_some() {
            return Err(error_at(
                text,
                at,
                "expected the end of the text after the expression",
            ));
        }
        let value = match c {
            '(' => {
                let start = at;
                at = skip_space(text, at + 1);
                let head = word(text, at);
                if head.is_empty() {
                    return Err(error_at(text, at, "expected an operator after '('"));
                }
                if open.len() >= NESTING_LIMIT {
                    return Err(error_at(
                        text,
                        start,
                        &format!("nested deeper than {NESTING_LIMIT}"),
                    ));
                }
                known_head(head).map_err(|message| error_at(text, at, &message))?;
                open.push(Open {
                    head,
                    at,
                    arguments: Vec::new(),
                });
                at += head.len();
                continue;
            }
            ')' => {
                let Some(frame) = open.pop() else {
                    return Err(error_at(text, at, "this ')' closes nothing"));
                };
                at += 1;
                nodes += frame.arguments.len();
                build(frame.head, frame.arguments)
                    .map_err(|message| error_at(text, frame.at, &message))?
            }
            _ => {
                let atom = word(text, at);
                let value = leaf(atom).map_err(|message| error_at(text, at, &message))?;
                at += atom.len();
                value
            }
        };
        nodes += 1;
        if nodes > NODE_LIMIT {
            return Err(Error::new(format!(
                "the expression has more than {NODE_LIMIT} nodes"
            )));
        }
        let value = sharing.node(value);
        match open.last_mut() {
            Some(frame) => frame.arguments.push(value),
            None => finished = Some(value),
        }
    }
    if let Some(frame) = open.last() {
        return Err(error_at(
            text,
            text.len(),
            &format!(
                "expected an argument or ')' for '({}' opened at byte {}",
                clip(frame.head),
                frame.at
            ),
        ));
    }
    finished
        .map(|value| (value, sharing.powers_of_numbers()))
        .ok_or_else(|| error_at(text, 0, "expected an expression"))
}

fn skip_space(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start().len()
}

/// The word that starts here: up to a space or a parenthesis.
fn word(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let end = rest
        .find(|c: char| c.is_whitespace() || c == '(' || c == ')')
        .unwrap_or(rest.len());
    &rest[..end]
}

fn leaf(atom: &str) -> std::result::Result<Expression, String> {
    if let Some(number) = literal::number(atom) {
        return number;
    }
    if atom == "pi" || atom == "π" {
        return Ok(Expression::pi());
    }
    if literal::is_name(atom) {
        return Ok(Expression::variable(atom));
    }
    let shown: String = clip(atom).chars().flat_map(char::escape_debug).collect();
    Err(format!("expected a number, a name or '(', found '{shown}'"))
}

/// Whether the word is the name of an operator.
pub(super) fn is_head(head: &str) -> bool {
    ARITHMETIC.iter().any(|(name, _)| *name == head)
        || Function::by_name(head).is_some()
        || tensor_operator(head).is_some()
}

/// Whether `head` may stand after '('.
fn known_head(head: &str) -> std::result::Result<(), String> {
    if is_head(head) {
        return Ok(());
    }
    let names = || {
        let arithmetic = ARITHMETIC.iter().map(|(name, _)| *name);
        let functions = FUNCTIONS.iter().map(|row| row.name);
        arithmetic
            .chain(functions)
            .chain(TENSOR_OPERATORS.iter().map(|operator| operator.name))
    };
    let shown: String = clip(head).chars().flat_map(char::escape_debug).collect();
    Err(match did_you_mean(head, names()) {
        Some(near) => format!("unknown operator '{shown}' (did you mean '{near}'?)"),
        None => format!(
            "unknown operator '{shown}'. Operators: {}",
            names().collect::<Vec<_>>().join(" ")
        ),
    })
}

/// The node of this head over its arguments; sums and products of more than two nest to the left.
fn build(head: &str, arguments: Vec<Expression>) -> std::result::Result<Expression, String> {
    let count = arguments.len();
    let takes = |what: &str| format!("'{head}' takes {what}, found {count}");
    if let Some((_, operator)) = ARITHMETIC.iter().find(|(name, _)| *name == head) {
        return match operator {
            Operator::Neg if count == 1 => Ok(Expression::new(Operator::Neg, arguments)),
            Operator::Neg => Err(takes("one argument")),
            Operator::Sub if count == 1 => Ok(Expression::new(Operator::Neg, arguments)),
            Operator::Add | Operator::Mul if count >= 2 => Ok(nest(operator, arguments)),
            Operator::Add | Operator::Mul => Err(takes("two or more arguments")),
            _ if count == 2 => Ok(Expression::new(operator.clone(), arguments)),
            _ => Err(takes("two arguments")),
        };
    }
    if let Some(function) = Function::by_name(head) {
        let operator = Operator::Function(function);
        return match (function, function.row().arity) {
            (Function::Max | Function::Min, _) if count >= 2 => Ok(nest(&operator, arguments)),
            (_, arity) if arity == count => Ok(Expression::new(operator, arguments)),
            (_, 1) => Err(takes("one argument")),
            _ => Err(takes("two arguments")),
        };
    }
    let operator = tensor_operator(head).ok_or_else(|| format!("unknown operator '{head}'"))?;
    if (operator.least..=operator.most).contains(&count) {
        return Ok(Expression::new(Operator::Tensor(operator), arguments));
    }
    Err(takes(&format!("({head} {})", operator.signature)))
}

fn nest(operator: &Operator, arguments: Vec<Expression>) -> Expression {
    arguments
        .into_iter()
        .reduce(|left, right| Expression::binary(operator.clone(), left, right))
        .expect("two or more arguments")
}
