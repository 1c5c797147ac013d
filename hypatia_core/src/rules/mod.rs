//! The rule base: one row a rule, one file a family.

pub mod activation;
pub mod attention;
pub mod catalogue;
pub mod convolution;
pub mod elementwise;
pub mod layout;
pub mod matmul;
pub mod normalization;
pub mod reduction;
pub mod rejected;
pub mod stability;
pub mod structure;

use std::sync::LazyLock;

use crate::condition::{Condition, condition_named};
use crate::pattern::Pattern;

/// How far the two sides of a rule may differ when computed in floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Soundness {
    /// Equal bit by bit (`torch.equal`), for every input.
    BitExact,
    /// Never further from the exact value than the original.
    Accurate,
    /// Sums and products are reordered, distributed or factored; equal over the reals for all finite inputs.
    Reassociates,
    /// An identity of the reals that holds where both sides are defined; NaN and infinities may differ.
    RealsOnly,
}

impl Soundness {
    /// The strictest `numerics` setting that admits this class.
    pub fn numerics(self) -> &'static str {
        match self {
            Self::BitExact => "exact",
            Self::Accurate => "accurate",
            Self::Reassociates => "reassociate",
            Self::RealsOnly => "reals",
        }
    }

    /// The class that a `numerics` setting admits at most.
    pub fn admitted_by(numerics: &str) -> Option<Self> {
        [
            Self::BitExact,
            Self::Accurate,
            Self::Reassociates,
            Self::RealsOnly,
        ]
        .into_iter()
        .find(|class| class.numerics() == numerics)
    }
}

/// One rule, as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// A fact, in kebab-case.
    pub name: &'static str,
    pub left: &'static str,
    pub right: &'static str,
    /// Whether it is searched from right to left too.
    pub both_ways: bool,
    pub soundness: Soundness,
    /// Each is the name of a condition and the variables that it asks about.
    pub conditions: &'static [&'static str],
    pub why: &'static str,
    /// Types of the variables at which the rule fires.
    pub example: &'static str,
}

/// A rule searched in one direction.
#[derive(Debug)]
pub struct Rewrite {
    pub rule: &'static Rule,
    pub reversed: bool,
    pub left: Pattern,
    pub right: Pattern,
    pub variables: Vec<String>,
    pub conditions: Vec<(&'static Condition, Vec<usize>)>,
}

impl Rewrite {
    /// Whether what it builds is at least as large as what it found, so that it may go on for ever.
    pub fn grows(&self) -> bool {
        self.rule.both_ways || self.right.size() > self.left.size()
    }

    /// The rule's name, with a mark where it is used from right to left.
    pub fn name(&self) -> String {
        if self.reversed {
            format!("{} (reversed)", self.rule.name)
        } else {
            self.rule.name.into()
        }
    }
}

/// All families, in the order in which they are searched.
pub static FAMILIES: &[(&str, &[Rule])] = &[
    ("layout", layout::RULES),
    ("elementwise", elementwise::RULES),
    ("matmul", matmul::RULES),
    ("reduction", reduction::RULES),
    ("structure", structure::RULES),
    ("stability", stability::RULES),
    ("activation", activation::RULES),
    ("normalization", normalization::RULES),
    ("attention", attention::RULES),
    ("convolution", convolution::RULES),
];

/// Every rule, parsed once.
pub fn rewrites() -> &'static [Rewrite] {
    static ALL: LazyLock<Vec<Rewrite>> = LazyLock::new(|| {
        let rules = FAMILIES.iter().flat_map(|(_, rules)| rules.iter());
        // The rows are constants of this crate: a test parses each, so that this cannot fail at run time.
        rules
            .flat_map(|rule| compile(rule).unwrap_or_else(|e| panic!("rule {}: {e}", rule.name)))
            .collect()
    });
    &ALL
}

/// Both directions of a rule, as far as it goes both ways.
///
/// # Errors
/// Says what is wrong with the row.
pub fn compile(rule: &'static Rule) -> Result<Vec<Rewrite>, String> {
    let mut rewrites = vec![compile_direction(rule, false)?];
    if rule.both_ways {
        rewrites.push(compile_direction(rule, true)?);
    }
    Ok(rewrites)
}

fn compile_direction(rule: &'static Rule, reversed: bool) -> Result<Rewrite, String> {
    let (from, to) = if reversed {
        (rule.right, rule.left)
    } else {
        (rule.left, rule.right)
    };
    let mut variables = Vec::new();
    let left = Pattern::parse(from, &mut variables, true)?;
    let bound = variables.len();
    let right = Pattern::parse(to, &mut variables, false)?;
    if let Some(free) = variables.get(bound) {
        return Err(format!("{free} stands only on the side that is built"));
    }
    left.head()
        .ok_or("the side that is searched must be an operation")?;
    let conditions = rule
        .conditions
        .iter()
        .map(|text| {
            let mut words = text.split_whitespace();
            let name = words.next().ok_or("an empty condition")?;
            let condition = condition_named(name).ok_or(format!("unknown condition '{name}'"))?;
            let arguments: Vec<usize> = words
                .map(|w| {
                    variables
                        .iter()
                        .position(|v| v == w)
                        .ok_or(format!("condition on unbound {w}"))
                })
                .collect::<Result<_, _>>()?;
            if arguments.len() != condition.arguments {
                return Err(format!(
                    "'{name}' asks about {} variables",
                    condition.arguments
                ));
            }
            Ok((condition, arguments))
        })
        .collect::<Result<_, String>>()?;
    Ok(Rewrite {
        rule,
        reversed,
        left,
        right,
        variables,
        conditions,
    })
}

/// Writes rows in the order in which they are read: name, left, arrow, right, class, conditions, why, example.
macro_rules! rules {
    (@arrow =>) => { false };
    (@arrow ==) => { true };
    ($($name:literal $left:literal $arrow:tt $right:literal $class:ident $(if $($condition:literal),+)?;
        $why:literal; $example:literal;)*) => {
        /// The rows of this family.
        pub static RULES: &[$crate::rules::Rule] = &[$($crate::rules::Rule {
            name: $name,
            left: $left,
            right: $right,
            both_ways: rules!(@arrow $arrow),
            soundness: $crate::rules::Soundness::$class,
            conditions: &[$($($condition),+)?],
            why: $why,
            example: $example,
        }),*];
    };
}
pub(crate) use rules;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_parses_and_no_name_stands_twice() {
        let mut names = std::collections::HashSet::new();
        for (family, rules) in FAMILIES {
            for rule in *rules {
                compile(rule).unwrap_or_else(|e| panic!("{family}: {}: {e}", rule.name));
                assert!(names.insert(rule.name), "{} stands twice", rule.name);
                assert!(
                    !rule.why.is_empty() && !rule.example.is_empty(),
                    "{}",
                    rule.name
                );
            }
        }
    }
}
