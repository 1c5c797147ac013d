//! Reading infix text with Python's precedence; `^` and `**` both mean power. Not recursive.

use num_traits::{Signed, Zero};
use rustc_hash::FxHashMap;

use super::expression::{Expression, Operator};
use super::function::{FUNCTIONS, Function};
use super::literal::{self, clip};
use super::location::{did_you_mean, error_at};
use super::parse::{NESTING_LIMIT, NODE_LIMIT};
use super::sharing::Sharing;
use crate::error::{Error, Result};

enum Pending<'a> {
    Binary(Operator),
    Negate,
    Group {
        at: usize,
    },
    Call {
        function: Function,
        name: &'a str,
        at: usize,
        first_value: usize,
    },
}

impl Pending<'_> {
    fn precedence(&self) -> u8 {
        match self {
            Self::Binary(Operator::Add | Operator::Sub) => 1,
            Self::Binary(Operator::Mul | Operator::Div) => 2,
            Self::Negate => 3,
            Self::Binary(_) => 4,
            Self::Group { .. } | Self::Call { .. } => 0,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: Vec<Expression>,
    pending: Vec<Pending<'a>>,
    open: usize,
    nodes: usize,
    /// Numbers and names that were read, by their text.
    leaves: FxHashMap<&'a str, Expression>,
    sharing: Sharing,
}

/// Reads one infix expression that fills the text, and says whether powers of numbers occur in it.
pub(super) fn parse(text: &str) -> Result<(Expression, bool)> {
    let mut reader = Reader {
        text,
        at: 0,
        values: Vec::new(),
        pending: Vec::new(),
        open: 0,
        nodes: 0,
        leaves: FxHashMap::default(),
        sharing: Sharing::default(),
    };
    let mut last = None;
    loop {
        reader.operand(last)?;
        match reader.after_operand()? {
            Some(operator) => last = Some(operator),
            None => break,
        }
    }
    let powers_of_numbers = reader.sharing.powers_of_numbers();
    reader
        .values
        .pop()
        .map(|value| (value, powers_of_numbers))
        .ok_or_else(|| error_at(text, 0, "expected an expression"))
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn error(&self, message: &str) -> Error {
        error_at(self.text, self.at, message)
    }

    /// Reads signs, opening parentheses and calls up to and with one operand.
    fn operand(&mut self, after: Option<&'static str>) -> Result<()> {
        let mut after = after;
        loop {
            match self.peek() {
                Some('-') => {
                    self.nest()?;
                    self.pending.push(Pending::Negate);
                    self.at += 1;
                    after = Some("-");
                }
                Some('+') => {
                    self.at += 1;
                    after = Some("+");
                }
                Some('(') => {
                    self.nest()?;
                    self.pending.push(Pending::Group { at: self.at });
                    self.at += 1;
                    after = Some("(");
                }
                Some(c) if c.is_ascii_digit() || c == '.' => return self.number(),
                Some(c) if c.is_alphabetic() || c == '_' => {
                    if self.name()? {
                        return Ok(());
                    }
                    after = Some("(");
                }
                found => {
                    let place = after.map_or(String::new(), |symbol| format!(" after '{symbol}'"));
                    let what = match found {
                        None | Some('*' | '/' | '^' | ',' | ')') => {
                            format!("expected an operand{place}")
                        }
                        Some(c) => {
                            format!("expected an operand{place}, found '{}'", c.escape_debug())
                        }
                    };
                    return Err(self.error(&what));
                }
            }
        }
    }

    fn nest(&mut self) -> Result<()> {
        self.open += 1;
        if self.open > NESTING_LIMIT {
            return Err(self.error(&format!("nested deeper than {NESTING_LIMIT}")));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        let mut end = self.at;
        while end < bytes.len() {
            let exponent_sign = matches!(bytes[end], b'+' | b'-')
                && matches!(bytes[end - 1], b'e' | b'E')
                && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !(bytes[end].is_ascii_alphanumeric() || bytes[end] == b'.' || exponent_sign) {
                break;
            }
            end += 1;
        }
        let word = &self.text[self.at..end];
        if let Some(known) = self.leaves.get(word).cloned() {
            self.at = end;
            return self.push(known);
        }
        let value = literal::number(word)
            .unwrap_or_else(|| Err(format!("'{}' is not a number", clip(word))))
            .map_err(|message| self.error(&message))?;
        self.at = end;
        let value = self.sharing.node(value);
        self.leaves.insert(word, value.clone());
        self.push(value)
    }

    /// Reads a name; true when it is an operand, false when it opens a call.
    fn name(&mut self) -> Result<bool> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '\'')))
            .unwrap_or(rest.len());
        let name = &rest[..end];
        let start = self.at;
        self.at += end;
        if self.peek() == Some('(') {
            let Some(function) = Function::by_name(name) else {
                self.at = start;
                let names = FUNCTIONS.iter().map(|row| row.name);
                let hint = match did_you_mean(name, names.clone()) {
                    Some(near) => format!(" (did you mean '{near}'?)"),
                    None => format!(". Functions: {}", names.collect::<Vec<_>>().join(" ")),
                };
                return Err(self.error(&format!("unknown function '{}'{hint}", clip(name))));
            };
            self.nest()?;
            self.pending.push(Pending::Call {
                function,
                name,
                at: start,
                first_value: self.values.len(),
            });
            self.at += 1;
            return Ok(false);
        }
        if let Some(known) = self.leaves.get(name).cloned() {
            self.push(known)?;
            return Ok(true);
        }
        let value = if name == "pi" || name == "π" {
            Expression::pi()
        } else if literal::is_name(name) {
            Expression::variable(name)
        } else {
            self.at = start;
            return Err(self.error("a name has at most 1000 characters"));
        };
        let value = self.sharing.node(value);
        self.leaves.insert(name, value.clone());
        self.push(value)?;
        Ok(true)
    }

    fn push(&mut self, value: Expression) -> Result<()> {
        self.nodes += 1;
        if self.nodes > NODE_LIMIT {
            return Err(Error::new(format!(
                "the expression has more than {NODE_LIMIT} nodes"
            )));
        }
        self.values.push(value);
        Ok(())
    }

    /// Reads closing parentheses up to and with one operator; none at the end of the text.
    fn after_operand(&mut self) -> Result<Option<&'static str>> {
        loop {
            let rest = {
                let _ = self.peek();
                &self.text[self.at..]
            };
            let (operator, symbol) =
                match rest.chars().next() {
                    None => {
                        self.reduce(1)?;
                        return match self.pending.last() {
                            Some(Pending::Call { name, at, .. }) => Err(self
                                .error(&format!("expected ')' to close '{name}(' at byte {at}"))),
                            Some(Pending::Group { at }) => {
                                Err(self.error(&format!("expected ')' to close '(' at byte {at}")))
                            }
                            _ => Ok(None),
                        };
                    }
                    Some(')') => {
                        self.reduce(1)?;
                        self.close()?;
                        continue;
                    }
                    Some(',') => {
                        self.reduce(1)?;
                        if !matches!(self.pending.last(), Some(Pending::Call { .. })) {
                            return Err(self.error(
                            "expected an operator; ',' stands between the arguments of a function",
                        ));
                        }
                        self.at += 1;
                        return Ok(Some(","));
                    }
                    Some('+') => (Operator::Add, "+"),
                    Some('-') => (Operator::Sub, "-"),
                    Some('*') if rest.starts_with("**") => (Operator::Pow, "**"),
                    Some('*') => (Operator::Mul, "*"),
                    Some('/') => (Operator::Div, "/"),
                    Some('^') => (Operator::Pow, "^"),
                    Some(c) => {
                        return Err(self.error(&format!(
                            "expected an operator or ')', found '{}'",
                            c.escape_debug()
                        )));
                    }
                };
            let next = Pending::Binary(operator);
            // Power groups to the right, everything else to the left.
            let least =
                next.precedence() + u8::from(matches!(next, Pending::Binary(Operator::Pow)));
            self.reduce(least)?;
            self.at += symbol.len();
            self.pending.push(next);
            return Ok(Some(symbol));
        }
    }

    /// Applies the operators on top that bind at least this tightly.
    fn reduce(&mut self, least: u8) -> Result<()> {
        while self
            .pending
            .last()
            .is_some_and(|top| top.precedence() >= least)
        {
            let value = match self.pending.pop() {
                Some(Pending::Binary(operator)) => match (self.values.pop(), self.values.pop()) {
                    (Some(right), Some(left)) => binary(operator, left, right),
                    _ => return Err(self.error("expected an operand")),
                },
                Some(Pending::Negate) => {
                    self.open -= 1;
                    match self.values.pop() {
                        Some(value) => negate(value),
                        None => return Err(self.error("expected an operand")),
                    }
                }
                _ => break,
            };
            let value = self.sharing.node(value);
            self.push(value)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        match self.pending.pop() {
            Some(Pending::Group { .. }) => {}
            Some(Pending::Call {
                function,
                name,
                at,
                first_value,
            }) => {
                let arguments = self.values.split_off(first_value);
                let count = arguments.len();
                let operator = Operator::Function(function);
                let many = matches!(function, Function::Max | Function::Min) && count > 2;
                if count != function.row().arity && !many {
                    let arity = if function.row().arity == 1 {
                        "one argument"
                    } else {
                        "two arguments"
                    };
                    return Err(error_at(
                        self.text,
                        at,
                        &format!("'{name}' takes {arity}, found {count}"),
                    ));
                }
                let value = if many {
                    arguments
                        .into_iter()
                        .reduce(|left, right| Expression::binary(operator.clone(), left, right))
                        .expect("three or more")
                } else {
                    Expression::new(operator, arguments)
                };
                let value = self.sharing.node(value);
                self.push(value)?;
            }
            _ => return Err(self.error("this ')' closes nothing")),
        }
        self.open -= 1;
        self.at += 1;
        Ok(())
    }
}

/// A literal fraction such as `1/2` is one number.
fn binary(operator: Operator, left: Expression, right: Expression) -> Expression {
    if operator == Operator::Div
        && let (Some(top), Some(bottom)) = (left.as_rational(), right.as_rational())
        && !bottom.is_zero()
    {
        return Expression::rational(top / bottom);
    }
    Expression::binary(operator, left, right)
}

/// A literal with its sign such as `-3` is one number.
fn negate(value: Expression) -> Expression {
    match value.operator() {
        Operator::Rational(number) if number.is_positive() => Expression::rational(-number),
        Operator::Float(bits) if !f64::from_bits(*bits).is_sign_negative() => {
            Expression::float(-f64::from_bits(*bits))
        }
        _ => Expression::unary(Operator::Neg, value),
    }
}
