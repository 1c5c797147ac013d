//! How good the checker of rules is: the share of mutated rules that it refutes.

use _hypatia_core::rules::FAMILIES;
use _hypatia_core::trial::mutant::mutants;
use _hypatia_core::trial::{Budget, try_rule};

const SEED: u64 = 0;
/// At least this share of the mutants that are not equivalent to their rule must be refuted.
const LEAST: f64 = 0.95;

/// Mutants that are true, too: rule, change, why.
const EQUIVALENT: &[(&str, &str, &str)] = &[
    (
        "expand-to-own-shape-is-nothing",
        "without the condition 'has-shape ?x ?s'",
        "a right side that is smaller than the left is expanded to it: the same term again",
    ),
    (
        "matmul-distributes-on-the-left",
        "without the condition 'same-shape ?a ?b'",
        "other shapes broadcast to the same result or have no product; the condition spares the search",
    ),
    (
        "matmul-distributes-on-the-right",
        "without the condition 'same-shape ?a ?b'",
        "other shapes broadcast to the same result or have no product; the condition spares the search",
    ),
    (
        "addmm-is-add-of-matmul",
        "without the condition 'is-matrix ?a'",
        "addmm has a type on matrices alone",
    ),
    (
        "addmm-is-add-of-matmul",
        "without the condition 'is-matrix ?b'",
        "addmm has a type on matrices alone",
    ),
];

#[test]
#[ignore = "minutes: part of `make test-full`"]
fn mutants_are_refuted() {
    let (mut killed, mut equivalent, mut survivors) = (0usize, 0usize, Vec::new());
    let mut unused: Vec<_> = EQUIVALENT.iter().collect();
    for rule in FAMILIES.iter().flat_map(|(_, rules)| rules.iter()) {
        for mutant in mutants(rule) {
            let known = |e: &&&(&str, &str, &str)| e.0 == rule.name && e.1 == mutant.change;
            let listed = EQUIVALENT.iter().find(|e| known(&e));
            match (try_rule(mutant.rule, SEED, Budget::default()), listed) {
                (Err(refutation), None) => {
                    println!("killed    {}: {} | {refutation}", rule.name, mutant.change);
                    killed += 1;
                }
                (Err(refutation), Some(_)) => {
                    panic!(
                        "listed as equivalent, yet refuted: {}: {}: {refutation}",
                        rule.name, mutant.change
                    );
                }
                (Ok(_), Some(_)) => {
                    unused.retain(|e| !known(&e));
                    equivalent += 1;
                }
                (Ok(_), None) => {
                    println!("survived  {}: {}", rule.name, mutant.change);
                    survivors.push(format!("{}: {}", rule.name, mutant.change));
                }
            }
        }
    }
    let share = killed as f64 / (killed + survivors.len()) as f64;
    println!(
        "{killed} of {} mutants refuted ({:.1} %), {equivalent} more are as true as their rule",
        killed + survivors.len(),
        100.0 * share
    );
    assert!(unused.is_empty(), "no such mutants: {unused:?}");
    assert!(share >= LEAST, "survivors:\n{}", survivors.join("\n"));
}
