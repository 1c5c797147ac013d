//! The answer to whether two expressions are equal.

use num_bigint::BigInt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::certificate::Certificate;
use crate::error::Error;
use crate::symbolic::expression::Expression;
use crate::symbolic::prove::{Answer, Assumptions};
use crate::symbolic::replay::replay;
use crate::tensor_expression;

use super::symbol::PySymbol;
use super::without_lock;

/// The answer of ``prove_equivalent``: proved, refuted or unknown, and what supports it.
#[pyclass(frozen, name = "Equivalence", module = "hypatia_core._hypatia_core")]
pub(super) struct PyAnswer {
    sides: [Expression; 2],
    answer: Answer,
    /// What a tensor proof by rules is replayed from.
    certificate: Option<Certificate>,
    assumptions: Assumptions,
}

impl PyAnswer {
    pub(super) fn new(
        sides: [Expression; 2],
        (answer, certificate): (Answer, Option<Certificate>),
        assumptions: Assumptions,
    ) -> Self {
        Self {
            sides,
            answer,
            certificate,
            assumptions,
        }
    }
}

#[pymethods]
impl PyAnswer {
    /// ``"proved"``, ``"refuted"`` or ``"unknown"``.
    #[getter]
    fn status(&self) -> &'static str {
        self.answer.status.name()
    }

    /// The chain from the left side to the right: ``(rule, before, after, condition)`` each.
    #[getter]
    fn steps<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let steps = self.answer.steps.iter().map(|step| {
            let symbol = |expression: &crate::symbolic::expression::Expression| {
                PySymbol::new(expression.clone(), self.assumptions.clone())
            };
            (
                step.rule.clone(),
                symbol(&step.before),
                symbol(&step.after),
                step.condition.clone(),
            )
        });
        PyTuple::new(py, steps.collect::<Vec<_>>())
    }

    /// A point, by variable, at which both sides are defined and differ; exact fractions. None unless refuted.
    #[getter]
    fn witness<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(witness) = &self.answer.witness else {
            return Ok(None);
        };
        let fraction = py.import("fractions")?.getattr("Fraction")?;
        let point = PyDict::new(py);
        for (name, value) in &witness.point {
            let parts: (BigInt, BigInt) = (value.numer().clone(), value.denom().clone());
            point.set_item(&**name, fraction.call1(parts)?)?;
        }
        Ok(Some(point))
    }

    /// The values of both sides at the witness, as doubles near the rigorous enclosures. None unless refuted.
    #[getter]
    fn values(&self) -> Option<(f64, f64)> {
        self.answer
            .witness
            .as_ref()
            .map(|witness| (witness.left.to_f64(), witness.right.to_f64()))
    }

    /// Where both sides are defined: conditions that do not hold everywhere, as text; of tensors the shapes too.
    #[getter]
    fn conditions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let conditions = self.answer.conditions.iter().map(ToString::to_string);
        let all: Vec<String> = conditions
            .chain(self.answer.shapes.iter().cloned())
            .collect();
        PyTuple::new(py, all)
    }

    /// Why the answer is unknown; None otherwise.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.answer.reason.as_deref()
    }

    /// Replays the steps with no search: each has to be an instance of its rule, those of tensor proofs by congruence
    /// closure. True when all hold up.
    fn check(&self, py: Python<'_>) -> PyResult<bool> {
        if self.status() != "proved" {
            return Err(Error::new(format!(
                "nothing was proved: the answer is {}",
                self.status()
            ))
            .into());
        }
        let ([left, right], steps) = (&self.sides, &self.answer.steps);
        without_lock(py, || {
            if left.has_tensors() || right.has_tensors() {
                tensor_expression::replay(left, right, steps, self.certificate.as_ref())
            } else {
                replay(left, right, steps, &self.assumptions)
            }
        })?;
        Ok(true)
    }

    fn __repr__(&self) -> String {
        let mut text = format!("<Equivalence {}", self.status());
        if let Some(witness) = &self.answer.witness {
            let point: Vec<String> = witness
                .point
                .iter()
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            text += &format!(
                " at {}: {} against {}",
                point.join(", "),
                witness.left.to_f64(),
                witness.right.to_f64()
            );
        }
        for condition in &self.answer.conditions {
            text += &format!(" where {condition}");
        }
        for shape in &self.answer.shapes {
            text += &format!(" where {shape}");
        }
        if let Some(reason) = &self.answer.reason {
            text += &format!(": {reason}");
        }
        text + ">"
    }
}
