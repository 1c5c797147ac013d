//! The rule base as Python sees it: one dictionary a row.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::op::OPS;
use crate::rules::FAMILIES;
use crate::rules::catalogue::{class_name, condition_means};

/// Every rule, in the order of the catalogue: name, family, left, right, both_ways, soundness, numerics (the strictest
/// setting that admits it), conditions (pairs of text and meaning), why, example.
#[pyfunction]
fn rules(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let rows = PyList::empty(py);
    for (family, rules) in FAMILIES {
        for rule in *rules {
            let row = PyDict::new(py);
            row.set_item("name", rule.name)?;
            row.set_item("family", family)?;
            row.set_item("left", rule.left)?;
            row.set_item("right", rule.right)?;
            row.set_item("both_ways", rule.both_ways)?;
            row.set_item("soundness", class_name(rule.soundness))?;
            row.set_item("numerics", rule.soundness.numerics())?;
            let conditions: Vec<(&str, &str)> = rule
                .conditions
                .iter()
                .map(|c| (*c, condition_means(c)))
                .collect();
            row.set_item("conditions", conditions)?;
            row.set_item("why", rule.why)?;
            row.set_item("example", rule.example)?;
            rows.append(row)?;
        }
    }
    Ok(rows)
}

/// Every operation of the engine: its name, and how many static arguments follow its operands.
#[pyfunction]
fn operations() -> Vec<(&'static str, usize)> {
    OPS.iter().map(|row| (row.name, row.attributes)).collect()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(operations, module)?)?;
    module.add_function(wrap_pyfunction!(rules, module)?)
}
