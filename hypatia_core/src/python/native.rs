//! Python binding of programs of our own kernels: on memory that torch holds, by its address.

use pyo3::prelude::*;

use crate::native::Program;

/// Picoseconds of work below which other threads of Python wait: letting them run would take as long.
const SHORT: usize = 20_000_000;

/// A program of our own kernels, from its text (JSON), which is checked once.
#[pyclass(frozen, module = "hypatia_core._hypatia_core")]
struct NativeProgram {
    program: Program,
}

#[pymethods]
impl NativeProgram {
    #[new]
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        let program = py.detach(|| Program::new(text))?;
        Ok(Self { program })
    }

    /// Runs it on dense memory at these addresses, arguments first and then results, which the caller keeps alive
    /// meanwhile; nobody else writes to it, and results overlap nothing.
    #[pyo3(signature = (addresses, threads))]
    fn run(&self, py: Python<'_>, addresses: Vec<usize>, threads: usize) -> PyResult<()> {
        // SAFETY: the function's documentation asks its caller for what `Program::run` asks for.
        let run = || unsafe { self.program.run(&addresses, threads) };
        if self.program.work() < SHORT {
            run()?;
        } else {
            py.detach(run)?;
        }
        Ok(())
    }

    /// Runs it as `run` does, and gives the seconds that each step took.
    #[pyo3(signature = (addresses, threads))]
    fn times(&self, addresses: Vec<usize>, threads: usize) -> PyResult<Vec<f64>> {
        // SAFETY: as for `run`.
        Ok(unsafe { self.program.times(&addresses, threads) }?)
    }

    /// What each step is: "rows", "linear", …; copies that a step asks for are steps of their own.
    #[getter]
    fn kinds(&self) -> Vec<&'static str> {
        self.program.kinds().collect()
    }

    /// Bytes of memory of its own that a run takes.
    #[getter]
    fn scratch_bytes(&self) -> usize {
        self.program.scratch_bytes()
    }

    /// How many steps it has.
    #[getter]
    fn steps(&self) -> usize {
        self.program.steps()
    }

    fn __str__(&self) -> String {
        self.program.to_string()
    }

    fn __repr__(&self) -> String {
        format!(
            "NativeProgram of {} steps, {} bytes of scratch memory",
            self.program.steps(),
            self.program.scratch_bytes()
        )
    }
}

/// The width in bits of the registers that kernels run in: 512 (AVX-512), 256 (AVX2 and FMA), or 0 for plain code.
/// The environment's variable HYPATIA_REGISTER_BITS bounds it, read once.
#[pyfunction]
fn register_bits() -> usize {
    crate::registers::bits()
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(register_bits, module)?)?;
    module.add_class::<NativeProgram>()
}
