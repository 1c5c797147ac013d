//! What is proved equal is not refuted at a point that the proof did not look at, and its steps are replayed.
#![no_main]

use _hypatia_core::symbolic::build;
use _hypatia_core::symbolic::parse::parse;
use _hypatia_core::symbolic::prove::{Status, prove};
use _hypatia_core::symbolic::refute::compare;
use _hypatia_core::symbolic::replay::replay;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some((left, right)) = text.split_once('=') else { return };
    let (Ok(left), Ok(right)) = (parse(left), parse(right)) else { return };
    if left.size() + right.size() > 40 {
        return;
    }
    let assumptions = Default::default();
    let answer = prove(&left, &right, &assumptions, 20_000);
    match answer.status {
        Status::Proved => {
            if left != right {
                replay(&left, &right, &answer.steps, &assumptions).expect("the steps hold up");
            }
            assert!(compare(&left, &right, &assumptions, true).witness.is_none(), "a wrong proof");
            let wrong = build::add(right, build::one());
            assert_ne!(prove(&left, &wrong, &assumptions, 20_000).status, Status::Proved, "everything is proved");
        }
        Status::Refuted => {
            let swapped = prove(&right, &left, &assumptions, 20_000).status;
            assert_eq!(swapped, Status::Refuted, "not symmetric");
        }
        Status::Unknown => {}
    }
});
