//! How good the checker of rules is: the share of mutated rules that it refutes.

use _hypatia_core::rules::FAMILIES;
use _hypatia_core::trial::mutant::mutants;
use _hypatia_core::trial::{Budget, try_rule};

const SEED: u64 = 0;
/// At least this share of the mutants that are not equivalent to their rule must be refuted.
const LEAST: f64 = 0.95;

const TYPED: &str = "instances without it have no type or are equal: it spares the search";
const ASKED_AGAIN: &str = "the attribute function on the right has no value without it";
const EXPANDED: &str = "a right side that is smaller than the left is expanded to it: equal again";
const DENSE: &str = "a dense table is such a sum as well: the condition keeps it short";
const SYMMETRIC: &str = "the function is symmetric";
const SHAPE_ALONE: &str = "just the shape of the changed term is read";
const TRANSPOSED: &str = "factors of the transpose solve the same; where a zero pivot shows itself, a test of Python tells";
const FITS_WHOLE: &str =
    "a gain fits a part of the rows only where it is all of them: it spares the search";
const RESHAPED: &str = "a reshape to the same shape follows";

/// Mutants that are as true as their rule: rule, change, why.
#[rustfmt::skip]
const EQUIVALENT: &[(&str, &str, &str)] = &[
    ("expand-to-own-shape-is-nothing", "without the condition 'has-shape ?x ?s'", EXPANDED),
    ("permute-passes-through-units", "without the condition 'only-units ?x ?s'", ASKED_AGAIN),
    ("slice-passes-through-units", "without the condition 'only-units ?x ?s'", ASKED_AGAIN),
    ("selected-rows-pass-through-units", "without the condition 'only-units ?x ?s'", ASKED_AGAIN),
    ("slice-of-layer-norm-norms-those-rows", "without the condition 'is-below-last ?d ?x'", FITS_WHOLE),
    ("units-pass-through-sum", "without the condition 'same-shape ?a ?b'", TYPED),
    ("units-pass-through-product", "without the condition 'same-shape ?a ?b'", TYPED),
    ("reshape-passes-through-scaling", "without the condition 'is-scalar ?c'", TYPED),
    ("reshape-passes-through-scaling", "without the condition 'is-vector ?c'", TYPED),
    ("reshape-passes-through-sum-with-number", "without the condition 'is-vector ?c'", TYPED),
    ("matmul-distributes-on-the-left", "without the condition 'same-shape ?a ?b'", TYPED),
    ("matmul-distributes-on-the-right", "without the condition 'same-shape ?a ?b'", TYPED),
    ("addmm-is-add-of-matmul", "without the condition 'is-matrix ?a'", TYPED),
    ("addmm-is-add-of-matmul", "without the condition 'is-matrix ?b'", TYPED),
    ("product-of-stacked-rows", "without the condition 'flattens-rows ?a ?s'", TYPED),
    ("product-of-stacked-rows", "without the condition 'is-matrix ?b'", TYPED),
    ("batch-of-one-is-a-matrix", "without the condition 'has-batch ?a'", TYPED),
    ("batch-of-one-is-a-matrix", "without the condition 'is-unit-batch ?a'", TYPED),
    ("batch-of-one-is-a-matrix", "without the condition 'is-unit-batch ?b'", TYPED),
    ("diagonal-of-matmul", "on the right, true becomes false", RESHAPED),
    ("sum-passes-through-units", "on the right, true becomes false", RESHAPED),
    ("sum-passes-through-units", "without the condition 'only-units ?x ?s'", ASKED_AGAIN),
    ("inner-product-with-matmul-cycles", "on the right, true becomes false", EXPANDED),
    ("inner-product-with-matmul-cycles", "without the condition 'is-product ?x ?u ?w'", TYPED),
    ("inner-product-with-matmul-cycles", "without the condition 'is-matrix ?x'", TYPED),
    ("sum-along-rows-passes-through-reshape", "on the right, true becomes false", RESHAPED),
    ("sum-along-rows-passes-through-reshape", "without the condition 'keeps-last ?x ?s'", TYPED),
    ("product-by-a-constant-table", "without the condition 'is-sparse ?v'", DENSE),
    ("product-by-a-constant-table-from-the-left", "without the condition 'is-sparse ?v'", DENSE),
    ("product-by-a-transposed-constant-table", "without the condition 'is-sparse ?v'", DENSE),
    ("product-by-a-transposed-constant-table-from-the-left", "without the condition 'is-sparse ?v'", DENSE),
    ("outer-product-by-a-constant-table", "without the condition 'is-sparse ?v'", DENSE),
    ("broadcast-product-by-a-constant-table", "without the condition 'is-sparse ?v'", DENSE),
    ("product-by-a-degenerate-table", "without the condition 'is-sparse ?v'", DENSE),
    ("kronecker-product-by-a-vector", "without the condition 'is-column ?x'", TYPED),
    ("kronecker-product-by-a-matrix", "without the condition 'is-matrix ?x'", TYPED),
    ("kronecker-product-by-a-matrix", "on the right, arguments 2 and 3 of kron-columns are swapped", SYMMETRIC),
    ("matrix-by-a-kronecker-product", "without the condition 'is-matrix ?x'", TYPED),
    ("transpose-of-a-sum-with-a-product-is-of-each", "without the condition 'is-product ?w ?a ?b'", TYPED),
    ("sum-over-its-count-is-a-mean", "without the condition 'is-vector ?n'", EXPANDED),
    ("inverse-times-matrix-is-a-solution", "on the right, false becomes true", TRANSPOSED),
    ("matrix-times-inverse-is-a-solution", "on the right, false becomes true", TRANSPOSED),
    ("an-inverse-fails-where-the-factors-do", "on the right, false becomes true", TRANSPOSED),
    ("norm-of-a-residual-of-low-rank", "on the right, true becomes false", EXPANDED),
    ("norm-of-a-residual-of-low-rank", "on the right, true becomes false, place 2", EXPANDED),
    ("norm-of-a-residual-of-low-rank", "on the right, true becomes false, place 3", EXPANDED),
    ("norm-of-a-residual-of-low-rank", "without the condition 'is-matrix ?x'", TYPED),
    ("a-narrow-band-needs-its-diagonals-alone", "without the condition 'is-narrow-band ?j ?k'", DENSE),
    ("a-matrix-repeated-over-a-stack-broadcasts", "without the condition 'is-matrix ?b'", TYPED),
    ("sum-of-a-stack-of-products", "on the right, true becomes false, place 3", EXPANDED),
    ("mean-of-a-stack-of-products", "on the right, true becomes false, place 4", EXPANDED),
    ("sum-of-all-products-is-an-inner-product", "on the right, true becomes false", EXPANDED),
    ("sum-of-all-products-is-an-inner-product", "without the condition 'reduces-all ?axes ?x'", TYPED),
    ("attention-with-a-mask", "on the right, operands 2 and 3 of where are swapped", SHAPE_ALONE),
    ("attention-with-a-mask", "without the condition 'same-matrices ?s ?t'", TYPED),
    ("root-of-squares-is-hypot", "on the right, operands 1 and 2 of hypot are swapped", SYMMETRIC),
    ("units-pass-through-difference", "without the condition 'same-shape ?a ?b'", TYPED),
    ("reshape-passes-through-quotient", "without the condition 'is-vector ?c'", TYPED),
    ("masked-attention-without-scale", "on the right, the sign of summand 1 of add is flipped", SHAPE_ALONE),
    ("masked-attention-without-scale", "on the right, the sign of summand 2 of add is flipped", SHAPE_ALONE),
    ("masked-attention-without-scale", "without the condition 'same-matrices ?s ?t'", TYPED),
    ("masked-attention-with-scale", "on the right, the sign of summand 1 of add is flipped", SHAPE_ALONE),
    ("masked-attention-with-scale", "on the right, the sign of summand 2 of add is flipped", SHAPE_ALONE),
    ("masked-attention-with-scale", "without the condition 'same-matrices ?s ?t'", TYPED),
    ("masked-attention-with-quotient", "on the right, the sign of summand 1 of add is flipped", SHAPE_ALONE),
    ("masked-attention-with-quotient", "on the right, the sign of summand 2 of add is flipped", SHAPE_ALONE),
    ("masked-attention-with-quotient", "on the right, operands 1 and 2 of div are swapped", SHAPE_ALONE),
    ("masked-attention-with-quotient", "without the condition 'same-matrices ?s ?t'", TYPED),
];

#[test]
#[ignore = "minutes: part of `make test-full`"]
fn mutants_are_refuted() {
    let (mut killed, mut equivalent) = (0usize, 0usize);
    let (mut survivors, mut wrongly) = (Vec::new(), Vec::new());
    // Parts of names, apart by commas: what a change has touched can be tried alone.
    let only = std::env::var("HYPATIA_RULES").unwrap_or_default();
    let tried = |name: &str| only.split(',').any(|part| name.contains(part));
    let mut unused: Vec<_> = EQUIVALENT.iter().filter(|e| tried(e.0)).collect();
    let all = FAMILIES.iter().flat_map(|(_, rules)| rules.iter());
    for rule in all.filter(|rule| tried(rule.name)) {
        for mutant in mutants(rule) {
            let known = |e: &&&(&str, &str, &str)| e.0 == rule.name && e.1 == mutant.change;
            let listed = EQUIVALENT.iter().find(|e| known(&e));
            match (try_rule(mutant.rule, SEED, Budget::default()), listed) {
                (Err(refutation), None) => {
                    println!("killed    {}: {} | {refutation}", rule.name, mutant.change);
                    killed += 1;
                }
                (Err(refutation), Some(_)) => {
                    unused.retain(|e| !known(&e));
                    wrongly.push(format!("{}: {}: {refutation}", rule.name, mutant.change));
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
    assert!(
        wrongly.is_empty(),
        "listed as equivalent, yet refuted:\n{}",
        wrongly.join("\n")
    );
    assert!(share >= LEAST, "survivors:\n{}", survivors.join("\n"));
}
