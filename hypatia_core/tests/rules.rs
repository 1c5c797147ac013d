//! Every row of the rule base earns its soundness class; every tempting false rule is refuted.

use _hypatia_core::rules::{FAMILIES, Rule, catalogue, rejected};
use _hypatia_core::trial::{Budget, Trial, try_rule};

const SEED: u64 = 0;

fn tried(rule: &'static Rule) -> Vec<Trial> {
    try_rule(rule, SEED, Budget::default()).unwrap_or_else(|refutation| panic!("{refutation}"))
}

/// The conditions that never stopped the rule in either direction: they say nothing, or were not put to the test.
fn idle<'r>(rule: &'r Rule, trials: &'r [Trial]) -> impl Iterator<Item = &'static str> + 'r {
    let stopped = |i: usize| {
        trials
            .iter()
            .any(|t| t.conditions[i].no + t.conditions[i].unknown > 0)
    };
    let all = rule.conditions.iter().enumerate();
    all.filter(move |(i, _)| !stopped(*i)).map(|(_, c)| *c)
}

fn every_row_earns_its_class(family: &str) {
    let (_, rules) = FAMILIES
        .iter()
        .find(|(name, _)| *name == family)
        .expect("a family of the rule base");
    let mut wrong = Vec::new();
    for rule in *rules {
        match try_rule(rule, SEED, Budget::default()) {
            Err(refutation) => wrong.push(refutation.to_string()),
            Ok(trials) => {
                for condition in idle(rule, &trials) {
                    wrong.push(format!("{}: '{condition}' always held", rule.name));
                }
                for trial in trials {
                    println!("{trial:?}");
                    if let Some(why) = trial.starved() {
                        wrong.push(format!("{} was tried too little: {why}", trial.rewrite));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

macro_rules! families {
    ($($family:ident)*) => {
        $(#[test]
        fn $family() {
            every_row_earns_its_class(stringify!($family));
        })*

        #[test]
        fn every_family_has_its_test() {
            let tested = [$(stringify!($family)),*];
            for (family, _) in FAMILIES {
                assert!(tested.contains(family), "{family}");
            }
        }
    };
}
families! { layout elementwise matmul reduction structure stability activation normalization attention convolution }

#[test]
fn every_rejected_rule_is_refuted() {
    let mut passed = Vec::new();
    for rule in rejected::RULES {
        match try_rule(rule, SEED, Budget::default()) {
            Ok(_) => passed.push(format!("{} was not refuted", rule.name)),
            // What never fires proves nothing.
            Err(r) if r.instance.is_none() => passed.push(r.to_string()),
            Err(refutation) => println!("{refutation}"),
        }
    }
    assert!(rejected::RULES.len() >= 25);
    assert!(passed.is_empty(), "\n{}", passed.join("\n"));
}

#[test]
fn trials_are_the_same_each_time() {
    let rule = &FAMILIES[0].1[0];
    assert_eq!(format!("{:?}", tried(rule)), format!("{:?}", tried(rule)));
}

#[test]
fn the_catalogue_is_the_one_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md");
    let page = catalogue::markdown();
    if std::env::var_os("HYPATIA_BLESS").is_some() {
        std::fs::write(path, &page).expect("docs/rules.md can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/rules.md is not what the rows say; HYPATIA_BLESS=1 writes it anew"
    );
}
