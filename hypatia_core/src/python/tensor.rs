//! Python bindings of the tensor optimizer: JSON in, JSON out, the interpreter free to run meanwhile.

use pyo3::prelude::*;

use crate::cost::{CostModel, Machine};
use crate::equivalence::compare;
use crate::error::Error;
use crate::graph::Graph;
use crate::optimize::{Settings, estimates, optimize};
use crate::rules::Rewrite;
use crate::user_rule::{Definition, define};

/// A rule that a user defined: tried, and ready to join a search.
#[pyclass(frozen)]
struct UserRule {
    rewrites: Vec<&'static Rewrite>,
}

#[pymethods]
impl UserRule {
    /// The left side, as a row of the rule base has it.
    #[getter]
    fn left(&self) -> &'static str {
        self.rewrites[0].rule.left
    }

    /// The right side.
    #[getter]
    fn right(&self) -> &'static str {
        self.rewrites[0].rule.right
    }

    #[getter]
    fn name(&self) -> &'static str {
        self.rewrites[0].rule.name
    }

    #[getter]
    fn why(&self) -> &'static str {
        self.rewrites[0].rule.why
    }

    /// The strictest setting that admits it.
    #[getter]
    fn numerics(&self) -> &'static str {
        self.rewrites[0].rule.soundness.numerics()
    }

    fn __repr__(&self) -> String {
        let rule = self.rewrites[0].rule;
        let arrow = if rule.both_ways { "==" } else { "=>" };
        format!(
            "UserRule('{}': {} {arrow} {})",
            rule.name, rule.left, rule.right
        )
    }
}

/// Makes a rule of what is said of it and of its two sides, all as JSON, and tries it.
#[pyfunction]
fn define_rule(py: Python<'_>, definition: &str, left: &str, right: &str) -> PyResult<UserRule> {
    let definition: Definition = serde_json::from_str(definition)
        .map_err(|e| Error::new(format!("rule: not the expected JSON: {e}")))?;
    let rewrites = py.detach(|| {
        define(
            &definition,
            &Graph::from_json(left)?,
            &Graph::from_json(right)?,
        )
    })?;
    Ok(UserRule { rewrites })
}

/// Optimises a graph. Takes the graph and the settings as JSON, and rules beside the built-in ones; returns the new graph as JSON, or `None` where the
/// original stands, and the account as JSON.
#[pyfunction]
#[pyo3(signature = (graph, settings, rules = Vec::new()))]
fn optimize_graph(
    py: Python<'_>,
    graph: &str,
    settings: &str,
    rules: Vec<PyRef<'_, UserRule>>,
) -> PyResult<(Option<String>, String)> {
    let mut settings: Settings = serde_json::from_str(settings)
        .map_err(|e| Error::new(format!("settings: not the expected JSON: {e}")))?;
    settings.users = rules.iter().flat_map(|r| r.rewrites.clone()).collect();
    drop(rules);
    let optimized = py.detach(|| {
        let graph = Graph::from_json(graph)?;
        optimize(&graph, &settings)
    })?;
    let account = serde_json::to_string(&optimized.account)
        .map_err(|e| Error::new(format!("the account could not be written: {e}")))?;
    Ok((optimized.graph.map(|g| g.to_json()), account))
}

/// What each node of a graph is thought to take on a machine: a list with, for each node, `null` or its
/// implementation, dtype, shape class and seconds. All three are JSON.
#[pyfunction]
fn estimate_graph(graph: &str, machine: &str) -> PyResult<String> {
    let machine: Machine = serde_json::from_str(machine)
        .map_err(|e| Error::new(format!("machine: not the expected JSON: {e}")))?;
    let estimates = estimates(&Graph::from_json(graph)?, &CostModel::new(&machine));
    Ok(serde_json::to_string(&estimates)
        .map_err(|e| Error::new(format!("the estimates could not be written: {e}")))?)
}

/// Looks for a proof that two programs over the same inputs are equal. Takes both and the settings as JSON; returns an
/// account as JSON.
#[pyfunction]
fn compare_graphs(py: Python<'_>, left: &str, right: &str, settings: &str) -> PyResult<String> {
    let settings: Settings = serde_json::from_str(settings)
        .map_err(|e| Error::new(format!("settings: not the expected JSON: {e}")))?;
    let found = py.detach(|| {
        let (left, right) = (Graph::from_json(left)?, Graph::from_json(right)?);
        compare(&left, &right, &settings)
    })?;
    Ok(serde_json::to_string(&found)
        .map_err(|e| Error::new(format!("the account could not be written: {e}")))?)
}

/// The guide's entry to the pipeline on a graph at hand. Graphs of torch are read in Python, where torch is.
#[pyfunction]
#[pyo3(signature = (gm, example_inputs, module_info_map = None))]
fn compile_fx_graph<'py>(
    gm: &Bound<'py, PyAny>,
    example_inputs: &Bound<'py, PyAny>,
    module_info_map: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    gm.py()
        .import("hypatia_core.fx_graph")?
        .getattr("compile_fx_graph")?
        .call1((gm, example_inputs, module_info_map))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compile_fx_graph, module)?)?;
    module.add_class::<UserRule>()?;
    module.add_function(wrap_pyfunction!(define_rule, module)?)?;
    module.add_function(wrap_pyfunction!(estimate_graph, module)?)?;
    module.add_function(wrap_pyfunction!(compare_graphs, module)?)?;
    module.add_function(wrap_pyfunction!(optimize_graph, module)?)
}
