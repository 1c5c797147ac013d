//! Mutants of rules: a row changed in one place, so that it should be false. The checker is as good as the share of
//! mutants that it refutes.

use rustc_hash::FxHashMap;

use crate::attribute_function::function_named;
use crate::op::Op;
use crate::rules::Rule;

/// A rule with one change.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    pub rule: &'static Rule,
    /// What was changed, in words.
    pub change: &'static str,
}

/// A pattern's text as a tree.
#[derive(Debug, Clone, PartialEq)]
enum Text {
    Atom(String),
    List(char, Vec<Text>),
}

impl Text {
    fn parse(text: &str) -> Option<Self> {
        let spaced: String = text
            .chars()
            .flat_map(|c| {
                if "(){}".contains(c) {
                    vec![' ', c, ' ']
                } else {
                    vec![c]
                }
            })
            .collect();
        Self::read(&mut spaced.split_whitespace())
    }

    fn read<'t>(tokens: &mut impl Iterator<Item = &'t str>) -> Option<Self> {
        match tokens.next()? {
            ")" | "}" => None,
            open @ ("(" | "{") => {
                let mut parts = Vec::new();
                while let Some(part) = Self::read(tokens) {
                    parts.push(part);
                }
                Some(Self::List(open.chars().next()?, parts))
            }
            atom => Some(Self::Atom(atom.into())),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Atom(atom) => atom.clone(),
            Self::List(open, parts) => {
                let inner: Vec<String> = parts.iter().map(Self::write).collect();
                let close = if *open == '(' { ')' } else { '}' };
                format!("{open}{}{close}", inner.join(" "))
            }
        }
    }

    /// Every text that differs from this one in one place, with the change in words.
    fn changed(&self) -> Vec<(Self, String)> {
        let mut changed = self.changed_here();
        if let Self::List(open, parts) = self {
            for (i, part) in parts.iter().enumerate().skip(1) {
                for (other, change) in part.changed() {
                    let mut parts = parts.clone();
                    parts[i] = other;
                    changed.push((Self::List(*open, parts), change));
                }
            }
        }
        changed
    }

    fn changed_here(&self) -> Vec<(Self, String)> {
        match self {
            Self::Atom(atom) => changed_atom(atom)
                .into_iter()
                .map(|other| (Self::Atom(other.clone()), format!("{atom} becomes {other}")))
                .collect(),
            Self::List('(', parts) => changed_operation(parts),
            Self::List(_, parts) => changed_function(parts),
        }
    }
}

fn changed_atom(atom: &str) -> Vec<String> {
    match atom {
        "true" => return vec!["false".into()],
        "false" => return vec!["true".into()],
        _ => {}
    }
    if let Some(int) = atom
        .strip_prefix("int:")
        .and_then(|n| n.parse::<i64>().ok())
    {
        return vec![format!("int:{}", int + 1)];
    }
    match atom.parse::<f64>() {
        Ok(0.0) => vec!["1".into()],
        Ok(number) if number.is_infinite() => vec![format!("{}", -number)],
        Ok(number) => vec![format!("{}", -number), format!("{}", number + 1.0)],
        Err(_) => vec![],
    }
}

/// Two operands swapped where their order counts; the sign of a summand flipped.
fn changed_operation(parts: &[Text]) -> Vec<(Text, String)> {
    let Some(Text::Atom(name)) = parts.first() else {
        return vec![];
    };
    let Some(op) = Op::named(name) else {
        return vec![];
    };
    let operands = parts.len() - 1 - op.row().attributes.min(parts.len() - 1);
    let mut changed = Vec::new();
    if !op.is_commutative() {
        for i in 1..operands {
            if parts[i] != parts[i + 1] {
                let mut parts = parts.to_vec();
                parts.swap(i, i + 1);
                changed.push((
                    Text::List('(', parts),
                    format!("operands {i} and {} of {name} are swapped", i + 1),
                ));
            }
        }
    }
    if matches!(op, Op::Add | Op::Sub) {
        for i in 1..=operands {
            let mut parts = parts.to_vec();
            parts[i] = negated(&parts[i]);
            changed.push((
                Text::List('(', parts),
                format!("the sign of summand {i} of {name} is flipped"),
            ));
        }
    }
    changed
}

fn negated(text: &Text) -> Text {
    Text::List('(', vec![Text::Atom("neg".into()), text.clone()])
}

/// Arguments swapped, or another function of as many arguments.
fn changed_function(parts: &[Text]) -> Vec<(Text, String)> {
    let Some(Text::Atom(name)) = parts.first() else {
        return vec![];
    };
    let mut changed = Vec::new();
    for i in 1..parts.len() - 1 {
        if parts[i] != parts[i + 1] {
            let mut parts = parts.to_vec();
            parts.swap(i, i + 1);
            changed.push((
                Text::List('{', parts),
                format!("arguments {i} and {} of {name} are swapped", i + 1),
            ));
        }
    }
    // The neighbours of the same kind: `row-axis` for `column-axis`, `last-axis` for `inner-axes`.
    const ALIKE: &[&[&str]] = &[&["row-axis", "column-axis"], &["last-axis", "inner-axes"]];
    for other in ALIKE
        .iter()
        .filter(|g| g.contains(&name.as_str()))
        .flat_map(|g| g.iter())
    {
        if *other != name && function_named(other).is_some() {
            let mut parts = parts.to_vec();
            parts[0] = Text::Atom((*other).into());
            changed.push((Text::List('{', parts), format!("{name} becomes {other}")));
        }
    }
    changed
}

/// Rules are made at run time here, and rows are static: a mutant lives as long as the process that tries it.
fn leak<T: ?Sized>(value: Box<T>) -> &'static T {
    Box::leak(value)
}

/// Every mutant of a rule: its right side changed in one place (both sides of an equation that goes both ways), its
/// right side negated, a condition dropped.
pub fn mutants(rule: &'static Rule) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut times = FxHashMap::<String, usize>::default();
    let mut push = |rule: Rule, mut change: String| {
        // The same change at several places: each has a name of its own.
        let count = times.entry(change.clone()).or_default();
        *count += 1;
        if *count > 1 {
            change += &format!(", place {count}");
        }
        mutants.push(Mutant {
            rule: leak(Box::new(rule)),
            change: leak(change.into_boxed_str()),
        });
    };
    if let Some(right) = Text::parse(rule.right) {
        let mut all = right.changed();
        if right != Text::Atom("0".into()) {
            all.push((negated(&right), "the right side is negated".into()));
        }
        for (text, change) in all {
            let right = leak(text.write().into_boxed_str());
            push(Rule { right, ..*rule }, format!("on the right, {change}"));
        }
    }
    if rule.both_ways
        && let Some(left) = Text::parse(rule.left)
    {
        for (text, change) in left.changed() {
            let left = leak(text.write().into_boxed_str());
            push(Rule { left, ..*rule }, format!("on the left, {change}"));
        }
    }
    for (i, condition) in rule.conditions.iter().enumerate() {
        let conditions: Vec<&'static str> = rule
            .conditions
            .iter()
            .enumerate()
            .filter(|(j, _)| *j != i)
            .map(|(_, c)| *c)
            .collect();
        let conditions = leak(conditions.into_boxed_slice());
        push(
            Rule {
                conditions,
                ..*rule
            },
            format!("without the condition '{condition}'"),
        );
    }
    mutants
}
