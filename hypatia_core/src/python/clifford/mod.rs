//! Python bindings of `clifford`.

mod algebra;
mod multivector;
mod operand;
mod plane;
mod space;

use pyo3::prelude::*;

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<algebra::PyAlgebra>()?;
    module.add_class::<multivector::PyMultiVector>()?;
    module.add_class::<plane::PyMultiVector2D>()?;
    module.add_class::<space::PyMultiVector3D>()
}
