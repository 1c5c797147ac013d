//! Python bindings of `clifford`.

mod algebra;
mod euclidean;
mod multivector;
mod operand;

use pyo3::prelude::*;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<algebra::PyAlgebra>()?;
    module.add_class::<multivector::PyMultiVector>()?;
    module.add_class::<euclidean::PyMultiVector2D>()?;
    module.add_class::<euclidean::PyMultiVector3D>()
}
