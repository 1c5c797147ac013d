"""The command line: what each command prints, its JSON, its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import hypatia_core
from conftest import CRATE
from hypatia_core.cli import main, parser
from hypatia_core.log import in_command_line

pytestmark = pytest.mark.usefixtures("one_thread")

SCRIPT = """
import sys
import torch

def chain(a, b, v):
    return (a @ b) @ v

fast = torch.compile(chain)
fast(torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1))
print("the script's own words", sys.argv[1:])
"""
MODELS = """
import torch

def chain():
    return (lambda a, b, v: (a @ b) @ v), (torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1))

def wrong():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script and a module, as the current one; without a compiler, to be quick."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "models_of_mine.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    hypatia_core.config.executor = "aten"
    return tmp_path


@pytest.fixture(autouse=True)
def executor_kept() -> Any:
    before = hypatia_core.config.executor
    yield
    hypatia_core.config.executor = before


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for words in ("version", "native module", "C++ compiler", "numerics", "cpu capability"):
        assert words in text
    assert "\x1b" not in text  # no colours where the output is no terminal
    assert main(["info", "--json"]) == 0
    assert document(capsys)["hypatia"]["version"] == hypatia_core.__version__


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["x + x", "2*x"], 0, "proved: x + x = 2*x"),
        (["sqrt(x^2)", "x"], 1, "at x = -2: 2 and -2"),
        (["sqrt(x^2)", "x", "--assume", "x=positive"], 0, "proved"),
    ],
)
def test_prove(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", *arguments]) == code
    assert words in capsys.readouterr().out
    assert main(["prove", "--json", *arguments]) == code
    assert document(capsys)["status"] == ("refuted" if code else "proved")


def test_what_is_not_known_has_a_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "floor(sin(x)) + y", "floor(sin(x + 1e-30)) + y", "--json"]) in (1, 3)
    assert main(["prove", "x", "x", "--assume", "x"]) == 2
    assert "NAME=FACT is accepted" in capsys.readouterr().err


def test_optimize(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "2*x + 3*x"]) == 0
    assert capsys.readouterr().out.strip() == "5*x"
    assert main(["optimize", "2*x + 3*x", "--latex"]) == 0
    assert "5" in capsys.readouterr().out
    assert main(["optimize", "a + b *"]) == 1
    assert "expected an operand" in capsys.readouterr().err


def test_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    assert "matmul-associates" in capsys.readouterr().out
    assert main(["rules", "matmul-associates"]) == 0
    text = capsys.readouterr().out
    for words in ("(a b) c  =  a (b c)", "the matrix product is associative", 'numerics="reassociate"'):
        assert words in text
    assert main(["rules", "--search", "associative", "--json"]) == 0
    assert "matmul-associates" in [rule["name"] for rule in document(capsys)]
    assert main(["rules", "--search", "no such word"]) == 1


def test_a_rule_that_is_not_there_has_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "matmul-associate"]) == 1
    assert "near: matmul-associates" in capsys.readouterr().err


def test_explain_a_script(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "script.py", "--html", "page.html", "--", "--of-its-own"]) == 0
    text = capsys.readouterr().out
    for words in ("the script's own words ['--of-its-own']", "chain: 1 graph", "matmul-associates"):
        assert words in text
    assert "matmul-associates" in (folder / "page.html").read_text("utf-8")


def test_explain_a_script_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "script.py", "--json", "--profile"]) == 0
    (graph,) = document(capsys)["graphs"]
    assert graph["rules"] == {"matmul-associates": 1}
    assert any(node["measured"] for node in graph["before"]["nodes"])


def test_explain_leaves_other_backends_alone_when_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "script.py").write_text(SCRIPT.replace("(chain)", "(chain, backend='eager')"), "utf-8")
    assert main(["explain", "script.py", "--only-hypatia"]) == 1
    assert "compiled nothing" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["models_of_mine:chain", "models_of_mine.py:chain"])
def test_explain_a_function(target: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", target]) == 0
    assert "× eager" in capsys.readouterr().out


@pytest.mark.parametrize(
    "target, reason",
    [
        ("models_of_mine:wrong", "a pair is accepted"),
        ("models_of_mine:missing", "has no function 'missing'"),
        ("no_such_module:f", "cannot be imported"),
        ("missing.py", "there is no file"),
        ("models", "neither a file SCRIPT.py nor module:function"),
    ],
)
def test_explain_says_what_was_wrong(
    target: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", target]) == 1
    assert reason in capsys.readouterr().err


def test_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypatia_core.comparison.ENOUGH_SECONDS", 0.1)
    hypatia_core.config.executor = "aten"
    assert main(["bench", "low-rank", "--without-inductor", "--threads", "1", "--json"]) == 0
    work = document(capsys)["works"]["low-rank"]
    assert set(work) == {"eager", "hypatia"} and work["hypatia"]["error"] < 1e-5
    assert main(["bench", "mlp", "--threads", "0"]) == 1


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HYPATIA_CACHE_DIR", str(tmp_path))
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions" / "a.json").write_text("{}", "utf-8")
    assert main(["cache", "show", "--json"]) == 0
    assert document(capsys)["kinds"] == {"decisions": {"files": 1, "bytes": 2}}
    assert main(["cache", "clear"]) == 0
    assert "1 files deleted" in capsys.readouterr().out and list(tmp_path.iterdir()) == []
    assert main(["cache", "show"]) == 0
    assert "empty" in capsys.readouterr().out
    monkeypatch.setenv("HYPATIA_CACHE_DIR", "")
    assert main(["cache", "show"]) == 1


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["bench", "nonsense"], ["prove", "x"], ["info", "--", "x"]]
)
def test_a_wrong_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "usage: hypatia" in capsys.readouterr().err


def test_every_command_has_examples_and_json() -> None:
    (commands,) = (action for action in parser()._actions if action.dest == "command")
    assert isinstance(commands.choices, dict)
    for name, command in commands.choices.items():
        assert f"hypatia {name}" in command.format_help().split("examples:")[1]
        assert "--json" in command.format_help() and command.description


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hypatia_core", *arguments],
        env={**os.environ, "PYTHONPATH": str(CRATE)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell starts what runs in the background with Ctrl-C ignored, and processes pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_as_a_module_it_prints_its_result_and_nothing_else() -> None:
    process = started("prove", "x + x", "2*x")
    output, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "") and output.startswith("proved") and not in_command_line()


def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    script = tmp_path / "long.py"
    script.write_text("print('begun', flush=True)\nimport time\ntime.sleep(100)\n", encoding="utf-8")
    process = started("explain", str(script), "--html", str(tmp_path / "page.html"))
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=100)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "broken off\n")
    assert list(tmp_path.iterdir()) == [script]
