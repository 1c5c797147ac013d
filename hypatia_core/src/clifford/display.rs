//! How a multivector is written.

use std::fmt;

use super::algebra::BasisBlade;
use super::multivector::Multivector;

impl Multivector {
    /// The sum of its non-zero terms; `term` writes a coefficient's absolute value and its blade.
    fn sum_of_terms(&self, term: impl Fn(f64, &BasisBlade) -> String) -> String {
        let mut text = String::new();
        for (c, blade) in self.coefficients().iter().zip(self.algebra().blades()) {
            if *c == 0.0 {
                continue;
            }
            let negative = c.is_sign_negative() && !c.is_nan();
            text += match (text.is_empty(), negative) {
                (true, true) => "-",
                (true, false) => "",
                (false, true) => " - ",
                (false, false) => " + ",
            };
            text += &term(c.abs(), blade);
        }
        if text.is_empty() { "0".into() } else { text }
    }

    /// In LaTeX, such as `1 + 2\,\mathbf{e}_{12}`.
    pub fn latex(&self) -> String {
        self.sum_of_terms(|c, blade| match blade.name.strip_prefix('e') {
            None => latex_number(c),
            Some(digits) if c == 1.0 => format!("\\mathbf{{e}}_{{{digits}}}"),
            Some(digits) => format!("{}\\,\\mathbf{{e}}_{{{digits}}}", latex_number(c)),
        })
    }
}

impl fmt::Display for Multivector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sum_of_terms(|c, blade| match blade.name.as_str() {
            "s" => number(c),
            name if c == 1.0 => name.to_string(),
            name => format!("{}*{name}", number(c)),
        }))
    }
}

/// The shortest text that reads back as the same float, with an exponent where Python writes one.
fn number(c: f64) -> String {
    if c.is_finite() && !(1e-4..1e16).contains(&c) {
        format!("{c:e}")
    } else {
        c.to_string()
    }
}

fn latex_number(c: f64) -> String {
    match number(c).split_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa} \\cdot 10^{{{exponent}}}"),
        None if c.is_infinite() => "\\infty".into(),
        None => number(c),
    }
}

#[cfg(test)]
mod tests {
    use super::super::algebra::Algebra;
    use super::*;

    #[test]
    fn terms_are_signed_and_zeros_are_left_out() {
        let plane = Algebra::named("VGA2D").unwrap();
        let a = Multivector::new(plane, vec![1.5, -1.0, 0.0, -2.0]).unwrap();
        assert_eq!(a.to_string(), "1.5 - e1 - 2*e12");
        assert_eq!(a.latex(), "1.5 - \\mathbf{e}_{1} - 2\\,\\mathbf{e}_{12}");
        assert_eq!(Multivector::zero(plane).to_string(), "0");
        let tiny = Multivector::scalar(plane, -2.5e-17);
        assert_eq!(
            (tiny.to_string(), tiny.latex()),
            ("-2.5e-17".into(), "-2.5 \\cdot 10^{-17}".into())
        );
    }
}
