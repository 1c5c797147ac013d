//! Python bindings of `symbolic`.

mod accuracy;
mod answer;
mod calculus;
mod constructors;
mod conversion;
mod doubles;
mod symbol;

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::certificate::Certificate;
use crate::error::{Error, Result};
use crate::symbolic::budget::interruptible;
use crate::symbolic::cost::Cost;
use crate::symbolic::expression::Expression;
use crate::symbolic::parse::parse;
use crate::symbolic::print::to_text;
use crate::symbolic::prove::{Answer, Assumptions, PROOF_STEPS, Status, prove};
use crate::symbolic::simplify::simplify;
use crate::tensor_expression;

use answer::PyAnswer;
use conversion::{assumptions_from, expression_or_text};
use symbol::PySymbol;

thread_local! {
    /// What a signal handler raised while the engine was at work.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Lets Python's signal handlers run; whether one of them raised.
fn signalled() -> bool {
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(error) => {
            RAISED.with(|raised| *raised.borrow_mut() = Some(error));
            true
        }
    })
}

/// Runs engine code without the interpreter lock; a defect inside becomes an error, never a panic in Python, and what
/// a signal handler raises, such as `KeyboardInterrupt`, ends the work.
pub(super) fn without_lock<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    let outcome = py.detach(|| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            interruptible(signalled, work)
        }))
    });
    if let Some(error) = RAISED.with(|raised| raised.borrow_mut().take()) {
        return Err(error);
    }
    match outcome {
        Ok(result) => Ok(result?),
        Err(_) => Err(Error::new("a defect in Hypatia: please report this input").into()),
    }
}

/// Read an expression: S-expression text such as ``(add x 2)`` or infix such as ``x + 2``.
#[pyfunction]
fn parse_expr(py: Python<'_>, text: &str) -> PyResult<PySymbol> {
    Ok(PySymbol::new(
        without_lock(py, || parse(text))?,
        Assumptions::new(),
    ))
}

/// Rewrite the text of an expression to one that costs less and means the same, or return it as it is.
///
/// The option ``cost`` is ``"nodes"`` (the default), ``"operations"`` or ``"accuracy"``; by accuracy the mean bits of
/// rounding error over ``ranges`` are what an expression costs, as in ``improve_accuracy`` but without branches.
#[pyfunction]
#[pyo3(signature = (text, options=None))]
fn optimize_ast(
    py: Python<'_>,
    text: &str,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<String> {
    const COSTS: &str = "nodes, operations, accuracy";
    // None stands for accuracy.
    let mut cost = Some(Cost::Nodes);
    let mut ranges = None;
    for (key, value) in options.into_iter().flatten() {
        match key.to_string().as_str() {
            "cost" => {
                cost = match value.to_string().as_str() {
                    "nodes" => Some(Cost::Nodes),
                    "operations" => Some(Cost::Operations),
                    "accuracy" => None,
                    other => {
                        return Err(
                            Error::new(format!("unknown cost '{other}'. Costs: {COSTS}")).into(),
                        );
                    }
                };
            }
            "ranges" => ranges = Some(accuracy::ranges_from(value.cast::<PyDict>()?)?),
            other => {
                return Err(
                    Error::new(format!("unknown option '{other}'. Options: cost, ranges")).into(),
                );
            }
        }
    }
    if ranges.is_some() && cost.is_some() {
        return Err(Error::new("ranges go with the cost 'accuracy'").into());
    }
    without_lock(py, || {
        let expression = parse(text)?;
        to_text(&match cost {
            Some(cost) => simplify(&expression, &Assumptions::new(), cost),
            None => accuracy::most_accurate(expression, &ranges.unwrap_or_default())?,
        })
    })
}

/// Scalars go to the proofs of `symbolic`, tensors to the tensor engine.
fn decide(
    left: &Expression,
    right: &Expression,
    known: &Assumptions,
    steps: u64,
) -> (Answer, Option<Certificate>) {
    if left != right && (left.has_tensors() || right.has_tensors()) {
        return tensor_expression::prove(left, right);
    }
    (prove(left, right, known, steps), None)
}

/// Whether two expressions are proved equal wherever both are defined over the reals.
#[pyfunction]
fn is_equivalent(
    py: Python<'_>,
    left: &Bound<'_, PyAny>,
    right: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let (left, right) = (expression_or_text(left)?, expression_or_text(right)?);
    let assumptions = left.joined_assumptions(&right)?;
    let (left, right) = (left.expression, right.expression);
    without_lock(py, || {
        let (answer, _) = decide(&left, &right, &assumptions, PROOF_STEPS);
        Ok(answer.status == Status::Proved)
    })
}

/// Prove or refute that two expressions are equal wherever both are defined over the reals.
#[pyfunction]
#[pyo3(signature = (left, right, assumptions=None, *, steps=PROOF_STEPS))]
fn prove_equivalent(
    py: Python<'_>,
    left: &Bound<'_, PyAny>,
    right: &Bound<'_, PyAny>,
    assumptions: Option<&Bound<'_, PyDict>>,
    steps: u64,
) -> PyResult<PyAnswer> {
    let (left, right) = (expression_or_text(left)?, expression_or_text(right)?);
    let mut known = left.joined_assumptions(&right)?;
    if let Some(assumptions) = assumptions {
        known.extend(assumptions_from(assumptions)?);
    }
    let (left, right) = (left.expression, right.expression);
    let answer = without_lock(py, || Ok(decide(&left, &right, &known, steps)))?;
    Ok(PyAnswer::new([left, right], answer, known))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PySymbol>()?;
    module.add_class::<PyAnswer>()?;
    module.add_function(wrap_pyfunction!(calculus::_symbol_from, module)?)?;
    module.add_function(wrap_pyfunction!(accuracy::_improve_accuracy, module)?)?;
    module.add_function(wrap_pyfunction!(parse_expr, module)?)?;
    module.add_function(wrap_pyfunction!(optimize_ast, module)?)?;
    module.add_function(wrap_pyfunction!(is_equivalent, module)?)?;
    module.add_function(wrap_pyfunction!(prove_equivalent, module)?)
}
