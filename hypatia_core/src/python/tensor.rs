//! Python bindings of the tensor optimizer: JSON in, JSON out, the interpreter free to run meanwhile.

use pyo3::prelude::*;

use crate::cost::Machine;
use crate::error::Error;
use crate::graph::Graph;
use crate::optimize::{Settings, estimates, optimize};

/// Optimises a graph. Takes the graph and the settings as JSON; returns the new graph as JSON, or `None` where the
/// original stands, and the account as JSON.
#[pyfunction]
fn optimize_graph(
    py: Python<'_>,
    graph: &str,
    settings: &str,
) -> PyResult<(Option<String>, String)> {
    let settings: Settings = serde_json::from_str(settings)
        .map_err(|e| Error::new(format!("settings: not the expected JSON: {e}")))?;
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
    let estimates = estimates(&Graph::from_json(graph)?, &machine);
    Ok(serde_json::to_string(&estimates)
        .map_err(|e| Error::new(format!("the estimates could not be written: {e}")))?)
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
    module.add_function(wrap_pyfunction!(estimate_graph, module)?)?;
    module.add_function(wrap_pyfunction!(optimize_graph, module)?)
}
