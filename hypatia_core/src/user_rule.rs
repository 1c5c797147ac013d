//! Rules that users define at run time: two programs over the same inputs become a row, which is tried like any other.

use serde::Deserialize;

use crate::attribute::Attribute;
use crate::error::{Error, Result};
use crate::graph::{Graph, Kind};
use crate::op::Op;
use crate::rules::{Rewrite, Rule, Soundness, compile, rewrites};
use crate::tensor_type::TensorType;
use crate::trial::{Budget, try_rule};

/// What a user says of a rule.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub name: String,
    /// The strictest `numerics` setting that admits it.
    pub numerics: String,
    pub why: String,
    pub both_ways: bool,
    /// As in a built-in row: the name of a condition and the variables that it asks about.
    pub conditions: Vec<String>,
    /// What the inputs are called, in order.
    pub variables: Vec<String>,
}

const SEED: u64 = 0;

/// Makes a rule of two programs and tries it. Its rows stay until the process ends.
///
/// # Errors
/// Says what cannot be a rule, or shows the instance on which both sides differ.
pub fn define(
    definition: &Definition,
    left: &Graph,
    right: &Graph,
) -> Result<Vec<&'static Rewrite>> {
    let fail = |what: String| Error::new(format!("rule '{}': {what}", definition.name));
    let soundness = Soundness::admitted_by(&definition.numerics).ok_or_else(|| {
        fail(format!(
            "unknown numerics '{}': exact, accurate, reassociate or reals",
            definition.numerics
        ))
    })?;
    if rewrites().iter().any(|r| r.rule.name == definition.name) {
        return Err(fail("a built-in rule has this name".into()));
    }
    // Axes are counted from the end, so that the rule holds at any rank; where that is refuted, as they were written.
    let first = row(definition, soundness, [left, right], true).map_err(&fail)?;
    let rule = match tried(first) {
        Ok(()) => first,
        Err(refusal) => {
            let written = row(definition, soundness, [left, right], false).map_err(&fail)?;
            if written.left == first.left && written.right == first.right {
                return Err(refusal);
            }
            tried(written)?;
            written
        }
    };
    let compiled: &'static [Rewrite] = Box::leak(compile(rule).map_err(fail)?.into_boxed_slice());
    Ok(compiled.iter().collect())
}

/// The row of two programs, with axes counted from the end or as they are written.
fn row(
    definition: &Definition,
    soundness: Soundness,
    [left, right]: [&Graph; 2],
    from_the_end: bool,
) -> std::result::Result<&'static Rule, String> {
    let mut sides = Sides {
        variables: &definition.variables,
        from_the_end,
        shapes: Vec::new(),
        root: None,
    };
    let left_text = sides.text(left).map_err(|e| format!("the left side {e}"))?;
    sides.root = Some((result(left), left_text.clone()));
    let right_text = sides
        .text(right)
        .map_err(|e| format!("the right side {e}"))?;
    Ok(Box::leak(Box::new(Rule {
        name: leak(&definition.name),
        left: leak(&left_text),
        right: leak(&right_text),
        both_ways: definition.both_ways,
        soundness,
        conditions: Box::leak(definition.conditions.iter().map(|c| leak(c)).collect()),
        why: leak(&definition.why),
        example: leak(&sides.example(left)),
    })))
}

/// Whether a row stands its trial.
fn tried(rule: &'static Rule) -> Result<()> {
    let trials = try_rule(rule, SEED, Budget::default())
        .map_err(|refutation| Error::new(format!("rule refused: {refutation}")))?;
    match trials.iter().find_map(|t| t.starved()) {
        None => Ok(()),
        Some(why) => Err(Error::new(format!(
            "rule '{}': it could be tried too little to be trusted: {why}",
            rule.name
        ))),
    }
}

/// Axes counted from the end of an operand of this rank, for operations whose first attribute is axes.
fn from_the_end(op: Op, attribute: &Attribute, rank: usize) -> Option<String> {
    let back = |&axis: &usize| rank.checked_sub(axis);
    Some(match (op, attribute) {
        (Op::Softmax | Op::LogSoftmax | Op::Slice | Op::Cat, Attribute::Int(axis)) => {
            format!("end:{}", back(&usize::try_from(*axis).ok()?)?)
        }
        (Op::Sum | Op::Mean | Op::Amax | Op::LogSumExp | Op::Variance, Attribute::Axes(axes)) => {
            let backs: Option<Vec<usize>> = axes.iter().map(back).collect();
            format!("ends:{}", list(&backs?))
        }
        (Op::Permute, Attribute::Axes(axes)) => {
            let moved = (0..axes.len()).find(|&i| axes[i] != i);
            let tail = &axes[moved.unwrap_or(axes.len())..];
            let backs: Option<Vec<usize>> = tail.iter().map(back).collect();
            format!("tail:{}", list(&backs?))
        }
        _ => return None,
    })
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_string().into_boxed_str())
}

fn result(graph: &Graph) -> Option<&TensorType> {
    graph.nodes[*graph.outputs.first()?].ty.as_ref()
}

/// Both sides as patterns over the same variables.
struct Sides<'d> {
    variables: &'d [String],
    from_the_end: bool,
    /// Shapes on the left side: the rule holds whatever they are, so that each is a variable.
    shapes: Vec<Attribute>,
    /// The left side's type and text, once it is read.
    root: Option<(Option<&'d TensorType>, String)>,
}

impl Sides<'_> {
    fn text(&mut self, graph: &Graph) -> std::result::Result<String, String> {
        let &[output] = &graph.outputs[..] else {
            return Err("must return one tensor".into());
        };
        let mut texts: Vec<String> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            texts.push(match &node.kind {
                Kind::Input { index, .. } => {
                    let name = self.variables.get(*index as usize);
                    format!("?{}", name.ok_or("has more inputs than were named")?)
                }
                Kind::Op(Op::Const) => number(&node.attributes)?,
                // A number spread over a shape is a number to a pattern.
                Kind::Op(Op::Expand)
                    if matches!(graph.nodes[node.operands[0]].kind, Kind::Op(Op::Const)) =>
                {
                    texts[node.operands[0]].clone()
                }
                Kind::Op(op) => {
                    let operands = node.operands.iter().map(|&o| texts[o].clone());
                    let mut words: Vec<String> = operands.collect();
                    let rank = node
                        .operands
                        .first()
                        .and_then(|&o| graph.nodes[o].ty.as_ref());
                    let rank = rank.filter(|_| self.from_the_end).map(TensorType::rank);
                    for (place, attribute) in node.attributes.iter().enumerate() {
                        let axes = rank.filter(|_| place == 0);
                        let axes = axes.and_then(|rank| from_the_end(*op, attribute, rank));
                        words.push(match axes {
                            Some(axes) => axes,
                            None => self.attribute(attribute)?,
                        });
                    }
                    format!("({} {})", op.row().name, words.join(" "))
                }
                Kind::Opaque { key, .. } => {
                    let shown = key.split(['(', ' ', '→']).next().unwrap_or(key);
                    return Err(format!("uses {shown}, which the engine does not look into"));
                }
                Kind::Item { .. } => return Err("uses an operation of several results".into()),
            });
        }
        Ok(texts[output].clone())
    }

    fn attribute(&mut self, attribute: &Attribute) -> std::result::Result<String, String> {
        Ok(match attribute {
            Attribute::Shape(shape) => {
                let place = self.shapes.iter().position(|s| s == attribute);
                match (place, &self.root) {
                    (Some(place), _) => format!("?shape{place}"),
                    (None, None) => {
                        self.shapes.push(attribute.clone());
                        format!("?shape{}", self.shapes.len() - 1)
                    }
                    (None, Some((Some(ty), text))) if ty.shape == *shape => {
                        format!("{{shape {text}}}")
                    }
                    _ => {
                        return Err(format!(
                            "makes the shape {attribute}, which stands nowhere on the left side"
                        ));
                    }
                }
            }
            Attribute::Axes(axes) => format!("axes:{}", list(axes)),
            Attribute::Int(int) => format!("int:{int}"),
            Attribute::Float(float) => format!("float:{float:?}"),
            Attribute::Bool(flag) => flag.to_string(),
            Attribute::DType(dtype) => format!("dtype:{dtype:?}").to_lowercase(),
            Attribute::Word(word) => format!("'{word}'"),
            Attribute::Elements(_) => return Err("holds a constant tensor".into()),
        })
    }

    /// The example as a row has it.
    fn example(&self, left: &Graph) -> String {
        let inputs = left
            .nodes
            .iter()
            .filter_map(|node| match (&node.kind, &node.ty) {
                (Kind::Input { index, .. }, Some(ty)) => {
                    let name = &self.variables[*index as usize];
                    Some(format!("{name}: {}", ty.to_string().to_lowercase()))
                }
                _ => None,
            });
        let shapes = self.shapes.iter().enumerate().map(|(i, shape)| {
            let text = shape.to_string().replace(' ', "");
            format!("shape{i}: {text}")
        });
        inputs.chain(shapes).collect::<Vec<_>>().join(" ")
    }
}

fn number(attributes: &[Attribute]) -> std::result::Result<String, String> {
    match attributes.first().and_then(Attribute::float) {
        Some(value) if value.is_finite() => Ok(format!("{value:?}")),
        _ => Err("has a constant that is not finite".into()),
    }
}

fn list(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}
