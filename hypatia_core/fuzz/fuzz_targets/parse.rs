//! Any text is read or refused; what is read prints to text that reads back the same, and the rest of the engine
//! takes it without a panic.
#![no_main]

use _hypatia_core::symbolic::cost::Cost;
use _hypatia_core::symbolic::derivative::derivative;
use _hypatia_core::symbolic::parse::parse;
use _hypatia_core::symbolic::print::to_text;
use _hypatia_core::symbolic::simplify::simplify;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(expression) = parse(text) else { return };
    let printed = to_text(&expression).expect("what was read can be printed");
    assert_eq!(parse(&printed).expect("what was printed can be read"), expression);
    if expression.size() < 30 {
        let _ = derivative(&expression, "x");
        let simpler = simplify(&expression, &Default::default(), Cost::Nodes);
        assert!(simpler.size() <= expression.size());
    }
});
