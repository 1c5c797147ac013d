//! Logging: what the engine says through `log` reaches Python's `logging`, below the logger `hypatia_core`.
//!
//! Whoever logs from a thread of the engine's own must have detached from the interpreter first: a message
//! needs it, and a thread that waits for one that holds it never returns.

use log::{LevelFilter, Log, Metadata, Record, debug};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_log::{Caching, Logger};

/// The Python logger above all of ours, and the name that replaces the crate's in a target.
const LOGGER: &str = "hypatia_core";

/// What `set_log_level` takes, with the number that Python's `logging` has for it.
const LEVELS: [(&str, u8); 4] = [("DEBUG", 10), ("INFO", 20), ("WARN", 30), ("ERROR", 40)];

/// Hands a message on to Python, `_hypatia_core::graph` as the logger `hypatia_core.graph`.
struct Bridge(Logger);

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        match record.target().strip_prefix(env!("CARGO_PKG_NAME")) {
            Some(path) => {
                let target = format!("{LOGGER}{path}");
                let renamed = Metadata::builder()
                    .level(record.level())
                    .target(&target)
                    .build();
                self.0.log(
                    &Record::builder()
                        .metadata(renamed)
                        .args(*record.args())
                        .module_path(record.module_path())
                        .file(record.file())
                        .line(record.line())
                        .build(),
                );
            }
            None => self.0.log(record),
        }
    }

    fn flush(&self) {}
}

/// Set the least level of the messages that are shown: "DEBUG", "INFO", "WARN" or "ERROR", in any case.
///
/// Raises ValueError for anything else.
#[pyfunction]
fn set_log_level(level: &Bound<'_, PyAny>) -> PyResult<()> {
    let wanted = level.extract::<String>().unwrap_or_default();
    let Some((name, number)) = LEVELS
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&wanted))
    else {
        let choices = LEVELS.map(|(name, _)| name).join(", ");
        return Err(PyValueError::new_err(format!(
            "log level {} is not one of {choices}",
            level.repr()?
        )));
    };
    level
        .py()
        .import("logging")?
        .call_method1("getLogger", (LOGGER,))?
        .call_method1("setLevel", (number,))?;
    debug!("log level is {name}");
    Ok(())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Levels are not cached, so that `logging.getLogger("hypatia_core").setLevel(…)` is seen at once.
    let logger = Logger::new(module.py(), Caching::Loggers)?
        .filter(LevelFilter::Debug)
        // egg tells of every iteration; only what is wrong is worth a call into Python.
        .filter_target("egg".to_owned(), LevelFilter::Warn);
    // A second interpreter in the process finds the logger in place, which is as it should be.
    if log::set_boxed_logger(Box::new(Bridge(logger))).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    module.add_function(wrap_pyfunction!(set_log_level, module)?)
}
