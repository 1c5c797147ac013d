//! One application of a rule: the instance of its right side joins the class that its left side was found in.

use egg::Id;

use crate::analysis::{TensorGraph, tensor_type};
use crate::error::{Error, Result};
use crate::pattern::Match;
use crate::rules::Rewrite;
use crate::tensor_type::TensorType;

/// One application of a rule: enough to state the equation that it added.
#[derive(Debug, Clone)]
pub struct Step {
    pub rewrite: &'static Rewrite,
    pub found: Match,
    /// The type of both sides.
    pub root: TensorType,
}

/// Adds the right side's instance and joins it with the class, if the conditions surely hold. `None` where they do not,
/// or where the two were joined before.
///
/// # Errors
/// The instance has a type that cannot stand for the class's: the rule is wrong.
pub fn apply(
    egraph: &mut TensorGraph,
    rule: &'static Rewrite,
    class: Id,
    found: Match,
) -> Result<Option<Step>> {
    for (condition, arguments) in &rule.conditions {
        let mut ids = Vec::with_capacity(arguments.len());
        for &argument in arguments {
            // On a copy: what is recorded must state the sum or product as it was matched.
            match found.clone().gather(egraph, argument) {
                Some(id) => ids.push(id),
                None => return Ok(None),
            }
        }
        if (condition.holds)(egraph, &ids) != Some(true) {
            return Ok(None);
        }
    }
    let Some(root) = tensor_type(egraph, class).cloned() else {
        return Ok(None);
    };
    let built = rule
        .right
        .instantiate(egraph, &found, &root, rule.left.head())
        .map_err(|e| Error::new(format!("rule {}: {e}", rule.name())))?;
    let Some(right) = built else { return Ok(None) };
    if egraph.find(right) == egraph.find(class) {
        return Ok(None);
    }
    egraph.union(class, right);
    Ok(Some(Step {
        rewrite: rule,
        found,
        root,
    }))
}
