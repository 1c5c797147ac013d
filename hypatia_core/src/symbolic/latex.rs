//! Expressions as LaTeX and as infix text.

use super::expression::{Expression, Operator};
use super::function::Function;
use super::print::{leaf_text, refuse_giants};
use crate::error::Result;

/// How tightly a piece binds: sums 1, products 2, signs 3, powers 4, atoms 5.
type Piece = (String, u8);

fn wrapped(piece: &Piece, least: u8) -> String {
    if piece.1 >= least {
        piece.0.clone()
    } else {
        format!(r"\left({}\right)", piece.0)
    }
}

/// The LaTeX of an expression, without dollar signs.
///
/// # Errors
/// When it would be too long.
pub fn to_latex(expression: &Expression) -> Result<String> {
    refuse_giants(expression)?;
    let piece = expression
        .fold(|node, a: &[Piece]| Ok::<Piece, crate::error::Error>(latex_node(node, a)))?;
    Ok(piece.0)
}

fn latex_node(node: &Expression, a: &[Piece]) -> Piece {
    match node.operator() {
        Operator::Rational(value) if value.is_integer() => {
            let negative = value.numer() < &0.into();
            (value.to_string(), if negative { 3 } else { 5 })
        }
        Operator::Rational(value) => (
            format!(r"\frac{{{}}}{{{}}}", value.numer(), value.denom()),
            2,
        ),
        Operator::Float(_) => {
            let text = leaf_text(node.operator());
            match text.split_once('e') {
                Some((mantissa, exponent)) => (format!(r"{mantissa} \cdot 10^{{{exponent}}}"), 2),
                None => (text.clone(), if text.starts_with('-') { 3 } else { 5 }),
            }
        }
        Operator::Variable(name) => (variable(name), 5),
        Operator::Pi => (r"\pi".to_string(), 5),
        Operator::Add => (
            format!(
                "{} + {}",
                a[0].0,
                wrapped(&a[1], if a[1].1 == 3 { 4 } else { 1 })
            ),
            1,
        ),
        Operator::Sub => (
            format!(
                "{} - {}",
                a[0].0,
                wrapped(&a[1], if a[1].1 == 3 { 4 } else { 2 })
            ),
            1,
        ),
        Operator::Mul => {
            let (left, right) = (
                wrapped(&a[0], 2),
                wrapped(&a[1], if a[1].1 == 3 { 4 } else { 2 }),
            );
            let digits =
                right.starts_with(|c: char| c.is_ascii_digit()) || right.starts_with(r"\frac");
            (
                format!(r"{left} {}{right}", if digits { r"\cdot " } else { "" }),
                2,
            )
        }
        Operator::Div => (format!(r"\frac{{{}}}{{{}}}", a[0].0, a[1].0), 2),
        Operator::Neg => (format!("-{}", wrapped(&a[0], 2)), 3),
        Operator::Pow => (format!("{}^{{{}}}", wrapped(&a[0], 5), a[1].0), 4),
        Operator::Function(Function::Sqrt) => (format!(r"\sqrt{{{}}}", a[0].0), 5),
        Operator::Function(Function::Abs) => (format!(r"\left|{}\right|", a[0].0), 5),
        Operator::Function(Function::Floor) => {
            (format!(r"\left\lfloor {}\right\rfloor", a[0].0), 5)
        }
        Operator::Function(Function::Exp) => (format!("e^{{{}}}", a[0].0), 4),
        Operator::Function(function) => (call(function.row().latex, a), 5),
        Operator::Tensor(operator) => (
            call(
                &format!(r"\operatorname{{{}}}", operator.name.replace('_', r"\_")),
                a,
            ),
            5,
        ),
        #[allow(unreachable_patterns)]
        _ => (String::new(), 5),
    }
}

fn call(name: &str, arguments: &[Piece]) -> String {
    let inner: Vec<&str> = arguments.iter().map(|piece| piece.0.as_str()).collect();
    format!(r"{name}\left({}\right)", inner.join(", "))
}

const GREEK: &[&str] = &[
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
];

/// A name: Greek letters by command, what follows `_` or a letter's digits as an index.
fn variable(name: &str) -> String {
    let (stem, index) = match name.split_once('_') {
        Some((stem, index)) if !stem.is_empty() && !index.is_empty() => (stem, index.to_string()),
        _ => {
            let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            (
                &name[..name.len() - digits],
                name[name.len() - digits..].to_string(),
            )
        }
    };
    let escaped = |text: &str| text.replace('_', r"\_");
    let stem = match stem {
        _ if GREEK.contains(&stem) => format!(r"\{stem}"),
        _ if stem.chars().count() > 1 => format!(r"\mathrm{{{}}}", escaped(stem)),
        _ => escaped(stem),
    };
    if index.is_empty() {
        stem
    } else {
        format!("{stem}_{{{}}}", escaped(&index))
    }
}

/// Infix text that `parse` reads back: Python's operators and precedence.
///
/// # Errors
/// When it would be too long.
pub fn to_infix(expression: &Expression) -> Result<String> {
    refuse_giants(expression)?;
    let paren = |piece: &Piece, least: u8| {
        if piece.1 >= least {
            piece.0.clone()
        } else {
            format!("({})", piece.0)
        }
    };
    let piece = expression.fold(|node, a: &[Piece]| {
        Ok::<Piece, crate::error::Error>(match node.operator() {
            Operator::Add => (format!("{} + {}", a[0].0, paren(&a[1], 2)), 1),
            Operator::Sub => (format!("{} - {}", a[0].0, paren(&a[1], 2)), 1),
            Operator::Mul => (format!("{}*{}", paren(&a[0], 2), paren(&a[1], 3)), 2),
            Operator::Div => (format!("{}/{}", paren(&a[0], 2), paren(&a[1], 3)), 2),
            Operator::Neg => (format!("-{}", paren(&a[0], 4)), 3),
            Operator::Pow => (format!("{}**{}", paren(&a[0], 5), paren(&a[1], 4)), 4),
            Operator::Function(_) | Operator::Tensor(_) => {
                let inner: Vec<&str> = a.iter().map(|piece| piece.0.as_str()).collect();
                (
                    format!(
                        "{}({})",
                        node.operator().name().unwrap_or_default(),
                        inner.join(", ")
                    ),
                    5,
                )
            }
            leaf => {
                let text = leaf_text(leaf);
                let level = if text.starts_with('-') {
                    3
                } else if text.contains('/') {
                    2
                } else {
                    5
                };
                (text, level)
            }
        })
    })?;
    Ok(piece.0)
}
