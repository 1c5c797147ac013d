//! The rule base as a document: `docs/rules.md` is this text, and a test holds them together.

use std::fmt::Write;

use crate::condition::{CONDITIONS, condition_named};
use crate::rules::{FAMILIES, Rule, Soundness, rejected};

const HEAD: &str = "# The rules

This page is written from the rows in `hypatia_core/src/rules/`; to write it again after a change:
`cd hypatia_core && HYPATIA_BLESS=1 cargo test --no-default-features --test rules`.

A rule reads from left to right; with `⇔` it is searched in both directions. `?x` stands for any tensor or attribute, a
number for a constant of any shape, `{…}` for an attribute that is computed. A rule fires only where all its conditions
are known to hold.

";

const CLASSES: &[(Soundness, &str, &str)] = &[
    (
        Soundness::BitExact,
        "equal bit by bit, for every input",
        "both sides are evaluated in rounded arithmetic of each element type on ordinary, huge and tiny numbers, NaN, \
         infinities and both zeros; sums are taken in an order that depends on the shapes, as a library's may",
    ),
    (
        Soundness::Accurate,
        "never further from the exact value than the original",
        "the largest errors of both sides in float32 are measured against float64, for six kinds of inputs; finite \
         stays finite, infinities stay, NaN spreads alike",
    ),
    (
        Soundness::Reassociates,
        "equal over the reals for all finite inputs",
        "polynomials are compared modulo 2⁶¹ − 1 at random points, others in float64 without rounding; defined where \
         the original is, and a NaN spreads to the same elements",
    ),
    (
        Soundness::RealsOnly,
        "equal over the reals where both sides are defined",
        "as above, where both sides are finite",
    ),
];

/// The class in one word, as rows write it.
pub fn class_name(soundness: Soundness) -> &'static str {
    match soundness {
        Soundness::BitExact => "bit-exact",
        Soundness::Accurate => "accurate",
        Soundness::Reassociates => "reassociates",
        Soundness::RealsOnly => "reals-only",
    }
}

/// What a row's condition asks, in words: the names of its variables, then its meaning.
pub fn condition_means(text: &str) -> &'static str {
    let name = text.split_whitespace().next().unwrap_or_default();
    condition_named(name).map_or("", |condition| condition.means)
}

/// The whole catalogue as Markdown.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    // Writing to a string cannot fail.
    let mut write = |text: std::fmt::Arguments<'_>| page.write_fmt(text).unwrap_or_default();
    write(format_args!(
        "## Soundness classes\n\n| class | `numerics=` | promises | is earned by |\n|---|---|---|---|\n"
    ));
    for (class, promise, earned) in CLASSES {
        let (name, numerics) = (class_name(*class), class.numerics());
        write(format_args!(
            "| {name} | `\"{numerics}\"` | {promise} | {earned} |\n"
        ));
    }
    write(format_args!(
        "\nEvery rule is tried on random instances of its left side: other ranks, extents of zero and one, symbolic \
         extents, broadcasting, other attributes, integer and complex types. A match that takes three or more summands \
         or factors apart counts as a reassociation, whatever the rule's class.\n"
    ));
    for (family, rules) in FAMILIES {
        write(format_args!("\n## {} ({})\n", family, rules.len()));
        for rule in *rules {
            write(format_args!("\n{}", entry(rule)));
        }
    }
    write(format_args!(
        "\n## Conditions\n\n| condition | holds where |\n|---|---|\n"
    ));
    for condition in CONDITIONS {
        write(format_args!(
            "| `{}` | {} |\n",
            condition.name, condition.means
        ));
    }
    write(format_args!(
        "\n## Rejected\n\nTempting, and refuted by the same trials: the test of the test.\n\n| rule | left | right | \
         claims | but |\n|---|---|---|---|---|\n"
    ));
    for rule in rejected::RULES {
        let class = class_name(rule.soundness);
        let (name, left, right, why) = (rule.name, rule.left, rule.right, cell(rule.why));
        write(format_args!(
            "| {name} | `{left}` | `{right}` | {class} | {why} |\n"
        ));
    }
    page
}

/// Text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn entry(rule: &Rule) -> String {
    let arrow = if rule.both_ways { '⇔' } else { '⇒' };
    let mut text = format!(
        "### {}\n\n`{}` {arrow} `{}`\n\n{}. {}.",
        rule.name,
        rule.left,
        rule.right,
        sentence(rule.why),
        sentence(class_name(rule.soundness)),
    );
    if !rule.conditions.is_empty() {
        let conditions: Vec<String> = rule
            .conditions
            .iter()
            .map(|c| format!("`{c}` ({})", condition_means(c)))
            .collect();
        text += &format!(" If {}.", conditions.join(", "));
    }
    text + &format!(" Example: `{}`.\n", rule.example)
}

/// The text with a capital letter in front, where it starts with a letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
