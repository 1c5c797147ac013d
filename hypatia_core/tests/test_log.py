"""The package's log: the guide's lines, the levels, the application's handlers, worker processes."""

import logging

import pytest

import hypatia_core
from conftest import Run

LINES = [
    "✅ Hypatia backend registered successfully",
    "   Usage: torch.compile(model, backend='hypatia')",
    "   ✓ Backend confirmed in: ['hypatia']",
]
COMPILE = "import torch; torch.compile(lambda x: x + 1, backend='hypatia')(torch.ones(2))"
COMPILING = "[Hypatia] Compiling graph with "


def test_the_guides_lines_are_on_stderr_once(fresh_python: Run) -> None:
    done = fresh_python(f"import hypatia_core; hypatia_core.register_backend(); {COMPILE}")
    lines = done.stderr.splitlines()
    assert lines[:3] == LINES
    assert len(lines) == 4 and lines[3].startswith(COMPILING) and lines[3].endswith(" nodes")
    assert done.stdout == ""


@pytest.mark.parametrize("level", ["WARN", "error", "Warn"])
def test_the_variable_silences_them(level: str, fresh_python: Run) -> None:
    done = fresh_python(f"import hypatia_core; {COMPILE}", env={"HYPATIA_LOG_LEVEL": level})
    assert done.stderr == ""


def test_set_log_level_silences_what_follows(fresh_python: Run) -> None:
    done = fresh_python(f"import hypatia_core; hypatia_core.set_log_level('warn'); {COMPILE}")
    assert done.stderr.splitlines() == LINES


def test_a_bad_variable_is_an_error_that_names_it(fresh_python: Run) -> None:
    done = fresh_python("import hypatia_core", env={"HYPATIA_LOG_LEVEL": "LOUD"}, check=False)
    assert (
        "ValueError: HYPATIA_LOG_LEVEL: log level 'LOUD' is not one of DEBUG, INFO, WARN, ERROR"
        in done.stderr
    )


@pytest.mark.parametrize("level", ["LOUD", "", "WARNING", "10", 10, None, b"DEBUG", "ıNFO"])
def test_other_levels_are_refused_with_the_choices(level: object) -> None:
    before = logging.getLogger("hypatia_core").level
    with pytest.raises(ValueError, match="is not one of DEBUG, INFO, WARN, ERROR"):
        hypatia_core.set_log_level(level)  # type: ignore[arg-type]
    assert logging.getLogger("hypatia_core").level == before


@pytest.fixture
def level_kept() -> object:
    logger = logging.getLogger("hypatia_core")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("level_kept")
@pytest.mark.parametrize(
    ("name", "number"),
    [("DEBUG", 10), ("info", 20), ("Warn", 30), ("eRRoR", 40)],
    ids=lambda value: str(value),
)
def test_a_level_is_set_in_any_case(name: str, number: int) -> None:
    hypatia_core.set_log_level(name)
    assert logging.getLogger("hypatia_core").level == number


@pytest.mark.usefixtures("level_kept")
def test_messages_of_the_engine_arrive_below_the_packages_logger(caplog: pytest.LogCaptureFixture) -> None:
    hypatia_core.set_log_level("DEBUG")
    assert ("hypatia_core.python.logging", logging.DEBUG, "log level is DEBUG") in caplog.record_tuples
    caplog.clear()
    hypatia_core.set_log_level("INFO")
    assert caplog.record_tuples == []


@pytest.mark.usefixtures("level_kept")
def test_the_engine_sees_a_level_set_through_logging_at_once(caplog: pytest.LogCaptureFixture) -> None:
    hypatia_core.set_log_level("DEBUG")
    engine = logging.getLogger("hypatia_core.python.logging")
    engine.setLevel(logging.ERROR)
    caplog.clear()
    try:
        hypatia_core.set_log_level("DEBUG")
        assert caplog.record_tuples == []
    finally:
        engine.setLevel(logging.NOTSET)


CONFIGURE = "import logging; logging.basicConfig(level='INFO', format='APP %(name)s %(message)s')"


def test_an_application_configured_before_the_import_gets_each_line_once(fresh_python: Run) -> None:
    done = fresh_python(f"{CONFIGURE}; import hypatia_core; {COMPILE}")
    lines = done.stderr.splitlines()
    assert lines[:3] == [f"APP hypatia_core {line}" for line in LINES]
    assert len(lines) == 4


def test_an_application_configured_after_the_import_gets_what_follows_once(fresh_python: Run) -> None:
    done = fresh_python(f"import hypatia_core; {CONFIGURE}; {COMPILE}")
    lines = done.stderr.splitlines()
    assert lines[:3] == LINES
    assert len(lines) == 4 and lines[3].startswith("APP ") and COMPILING in lines[3]


def test_an_application_that_wants_warnings_only_is_left_in_peace(fresh_python: Run) -> None:
    done = fresh_python(f"import logging; logging.basicConfig(); import hypatia_core; {COMPILE}")
    assert done.stderr == ""


def test_a_handler_on_the_packages_logger_replaces_the_console(fresh_python: Run) -> None:
    code = """
import logging, sys
logging.getLogger("hypatia_core").addHandler(logging.StreamHandler(sys.stdout))
logging.getLogger("hypatia_core").setLevel("INFO")
import hypatia_core
"""
    done = fresh_python(code)
    assert done.stdout.splitlines() == LINES
    assert done.stderr == ""


WORKERS = """
import multiprocessing, os
import torch
import hypatia_core

def work(_):
    import hypatia_core
    hypatia_core.register_backend()
    torch.compile(lambda x: x + 1, backend="hypatia")(torch.ones(2))
    return os.getpid()

class Numbers(torch.utils.data.Dataset):
    def __len__(self): return 2
    def __getitem__(self, index): return work(index)

if __name__ == "__main__":
    if METHOD == "dataloader":
        pids = [int(pid) for pid in torch.utils.data.DataLoader(Numbers(), num_workers=1)]
    else:
        # Left by `with`, a pool is terminated, and Python may say that it has lost a semaphore.
        pool = multiprocessing.get_context(METHOD).Pool(1)
        pids = pool.map(work, range(2))
        pool.close()
        pool.join()
    assert os.getpid() not in pids
    print(len(pids))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "dataloader"])
def test_worker_processes_are_silent(method: str, new_python: Run) -> None:
    done = new_python(f"METHOD = {method!r}\n{WORKERS}")
    assert done.stdout.strip() == "2"
    assert done.stderr.splitlines() == LINES


def test_compile_workers_of_inductor_are_silent(fresh_python: Run) -> None:
    code = """
import sys
import torch._inductor.compile_worker
sys.modules["__main__"].__file__ = torch._inductor.compile_worker.__path__[0] + "/__main__.py"
import hypatia_core
"""
    assert fresh_python(code).stderr == ""


def test_warnings_of_workers_are_shown(fresh_python: Run) -> None:
    code = """
import logging, multiprocessing
import hypatia_core
def work(): logging.getLogger("hypatia_core").warning("a warning")
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
"""
    assert fresh_python(code).stderr.splitlines()[3:] == ["[hypatia_core] WARNING: a warning"]
