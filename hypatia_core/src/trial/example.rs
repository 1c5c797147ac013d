//! Examples of rules, read from their rows: `a: f32[3,4] p: [1,0] d: 1 v: elements[2,3] t: (exp a)`.

use crate::attribute::Attribute;
use crate::tensor_type::{DType, Dim, Shape, TensorType};

/// What an example says of one variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Tensor(TensorType),
    Attribute(Attribute),
    /// A list of numbers: axes or a shape, whichever makes the rule's left side well typed.
    List(Vec<i64>),
    /// A term over other variables of the example, for conditions that ask how a value is made.
    Term(String),
}

/// The entries of an example, by the names of variables with their question mark.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse(text: &str) -> Result<Vec<(String, Entry)>, String> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for word in text.split_whitespace() {
        match word.strip_suffix(':') {
            Some(name) => entries.push((format!("?{name}"), String::new())),
            None => {
                let (_, value) = entries
                    .last_mut()
                    .ok_or(format!("'{word}' stands before the first 'name:'"))?;
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(word);
            }
        }
    }
    entries
        .into_iter()
        .map(|(name, value)| Ok((name, entry(&value)?)))
        .collect()
}

fn entry(value: &str) -> Result<Entry, String> {
    if value.starts_with('(') {
        return Ok(Entry::Term(value.into()));
    }
    if let Some((head, list)) = value.strip_suffix(']').and_then(|v| v.split_once('[')) {
        let numbers = list
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
            .map(|n| n.parse().map_err(|_| format!("'{n}' in '{value}'")))
            .collect::<Result<Vec<i64>, String>>()?;
        if head == "axes" {
            let axes = numbers.iter().filter_map(|&n| usize::try_from(n).ok());
            return Ok(Entry::Attribute(Attribute::Axes(axes.collect())));
        }
        if head == "elements" {
            let shape: Shape = numbers.into_iter().map(Dim::Known).collect();
            let elements = super::vary::drawn(shape, &mut fastrand::Rng::with_seed(0));
            return Ok(Entry::Attribute(Attribute::Elements(elements)));
        }
        return if head.is_empty() {
            Ok(Entry::List(numbers))
        } else {
            Ok(Entry::Tensor(TensorType::new(dtype(head)?, &numbers)))
        };
    }
    Ok(Entry::Attribute(match value {
        "true" => Attribute::Bool(true),
        "false" => Attribute::Bool(false),
        word if word.starts_with('\'') => Attribute::Word(word.trim_matches('\'').into()),
        number => match (number.parse::<i64>(), number.parse::<f64>()) {
            (Ok(int), _) => Attribute::Int(int),
            (_, Ok(float)) => Attribute::Float(float),
            _ => Attribute::DType(dtype(number)?),
        },
    }))
}

fn dtype(name: &str) -> Result<DType, String> {
    serde_json::from_value(serde_json::Value::String(name.into()))
        .map_err(|_| format!("'{name}' is no element type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_entry_is_read() {
        let entries =
            parse("a: f32[3,4] s: f64[] p: [1,0] d: 1 x: 2.0 k: true w: 'tanh' t: (exp ?a)")
                .unwrap();
        let values: Vec<Entry> = entries.into_iter().map(|(_, e)| e).collect();
        assert_eq!(
            values,
            [
                Entry::Tensor(TensorType::new(DType::F32, &[3, 4])),
                Entry::Tensor(TensorType::new(DType::F64, &[])),
                Entry::List(vec![1, 0]),
                Entry::Attribute(Attribute::Int(1)),
                Entry::Attribute(Attribute::Float(2.0)),
                Entry::Attribute(Attribute::Bool(true)),
                Entry::Attribute(Attribute::Word("tanh".into())),
                Entry::Term("(exp ?a)".into()),
            ]
        );
        assert!(parse("f32[3]").is_err());
        assert!(parse("a: q32[3]").is_err());
    }
}
