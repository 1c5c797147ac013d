//! The Python bindings: each submodule binds one part of the engine and registers its own names.

mod attention;
mod bilinear;
mod clifford;
mod inner_product;
mod linear;
mod logging;
mod memory;
mod native;
mod normal_product;
mod recurrence;
mod rules;
mod signed_sums;
mod snapshot;
mod symbolic;
mod tensor;

use pyo3::prelude::*;

use crate::error::Error;

pyo3::create_exception!(
    hypatia_core,
    HypatiaError,
    pyo3::exceptions::PyException,
    "What Hypatia cannot do, in words meant for the person who asked."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        HypatiaError::new_err(error.0)
    }
}

#[pymodule]
fn _hypatia_core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("HypatiaError", module.py().get_type::<HypatiaError>())?;
    logging::register(module)?;
    attention::register(module)?;
    bilinear::register(module)?;
    inner_product::register(module)?;
    normal_product::register(module)?;
    linear::register(module)?;
    native::register(module)?;
    recurrence::register(module)?;
    clifford::register(module)?;
    rules::register(module)?;
    signed_sums::register(module)?;
    snapshot::register(module)?;
    symbolic::register(module)?;
    tensor::register(module)
}
