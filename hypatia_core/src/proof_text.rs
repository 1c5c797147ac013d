//! The steps of a certificate in words: which rule, where, what its variables stand for, which conditions and what they
//! rest on.

use egg::Id;
use serde::Serialize;

use crate::certificate::{Certificate, Instance};
use crate::language::{Head, Term};
use crate::pattern::Binding;

/// One step, as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepText {
    /// The different island, counted from one, that the step belongs to.
    pub island: usize,
    pub rule: String,
    /// The type of both sides.
    pub at: String,
    /// Each variable and its term.
    pub substitution: Vec<(String, String)>,
    /// Each condition, what it means, and the terms that it was asked of.
    pub conditions: Vec<(String, String)>,
}

/// Terms are shown down to this depth.
const DEPTH: usize = 3;

/// The steps of a certificate.
pub fn texts(certificate: &Certificate, island: usize) -> Vec<StepText> {
    let text = |instance: &Instance| {
        let rewrite = instance.rewrite;
        let value = |v: usize| binding(certificate, &instance.found.bindings[v]);
        let named = |&v: &usize| format!("{} = {}", rewrite.variables[v], value(v));
        StepText {
            island,
            rule: rewrite.name(),
            at: instance.root.to_string(),
            substitution: (0..rewrite.variables.len())
                .map(|v| (rewrite.variables[v].clone(), value(v)))
                .collect(),
            conditions: rewrite
                .conditions
                .iter()
                .map(|(condition, arguments)| {
                    let asked: Vec<String> = arguments.iter().map(named).collect();
                    (
                        condition.name.to_string(),
                        format!("{}: {}", condition.means, asked.join(", ")),
                    )
                })
                .collect(),
        }
    };
    certificate.instances.iter().map(text).collect()
}

fn binding(certificate: &Certificate, binding: &Binding) -> String {
    match binding {
        Binding::Free => "nothing".into(),
        Binding::Class(id) => term(certificate, *id, DEPTH),
        Binding::Rest(op, ids) => {
            let operands: Vec<String> = ids
                .iter()
                .map(|&i| term(certificate, i, DEPTH - 1))
                .collect();
            format!("({} {})", op.row().name, operands.join(" "))
        }
    }
}

fn term(certificate: &Certificate, id: Id, depth: usize) -> String {
    let Term { head, children } = &certificate.terms[usize::from(id)];
    let head = match head {
        Head::Attribute(n) => return certificate.attributes[*n as usize].to_string(),
        Head::Input(n) => return format!("input{n}"),
        Head::Op(op) => op.row().name.to_string(),
        Head::Opaque(n) => format!("opaque{n}"),
        Head::Item(n) => format!("item{n}"),
    };
    if depth == 0 {
        return "…".into();
    }
    let children: Vec<String> = children
        .iter()
        .map(|&c| term(certificate, c, depth - 1))
        .collect();
    format!("({head} {})", children.join(" "))
}
