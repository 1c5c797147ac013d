//! The binding of `symbolic::accuracy`; `hypatia_core.symbolic.accuracy` makes a result object of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Result;
use crate::symbolic::accuracy::{Kind, Range, improve};
use crate::symbolic::expression::Expression;
use crate::symbolic::prove::Assumptions;

use super::symbol::{PySymbol, variable_name};
use super::without_lock;

/// The branching variable, the regimes `(low, high, form, exact)`, the mean bits of error before and after, and the
/// number of points that judged: see `hypatia_core.symbolic.accuracy`.
type Found = (
    Option<String>,
    Vec<(f64, f64, PySymbol, bool)>,
    f64,
    f64,
    usize,
);

#[pyfunction]
pub(super) fn _improve_accuracy(
    py: Python<'_>,
    symbol: &PySymbol,
    ranges: &Bound<'_, PyDict>,
) -> PyResult<Found> {
    let known = ranges_from(ranges)?;
    let found = without_lock(py, || {
        improve(
            &symbol.expression,
            &known,
            &symbol.assumptions,
            Kind::Branches,
        )
    })?;
    let regimes = found
        .regimes
        .into_iter()
        .map(|regime| {
            let form = symbol.with(regime.expression);
            (regime.low, regime.high, form, regime.exact)
        })
        .collect();
    Ok((
        found.variable.map(|name| name.to_string()),
        regimes,
        found.error_before,
        found.error_after,
        found.points,
    ))
}

/// Ranges given as `{"x": (low, high)}`.
pub(super) fn ranges_from(ranges: &Bound<'_, PyDict>) -> PyResult<BTreeMap<Arc<str>, Range>> {
    let mut known = BTreeMap::new();
    for (name, ends) in ranges {
        let (low, high): (f64, f64) = ends.extract()?;
        known.insert(variable_name(&name)?.into(), Range::new(low, high)?);
    }
    Ok(known)
}

/// The most accurate equal form without branches; improving that again changes nothing.
pub(super) fn most_accurate(
    expression: Expression,
    ranges: &BTreeMap<Arc<str>, Range>,
) -> Result<Expression> {
    let mut current = expression;
    loop {
        let found = improve(&current, ranges, &Assumptions::new(), Kind::OneForm)?;
        // Each round gains a part of the finite error, so this ends.
        match found.regimes.into_iter().next() {
            Some(regime) if regime.expression != current => current = regime.expression,
            _ => return Ok(current),
        }
    }
}
