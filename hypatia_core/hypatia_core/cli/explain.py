"""`hypatia explain`: runs a program and shows what was done to what it compiles."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import runpy
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.cli.console import DONE, FAILED, Console, add_json
from hypatia_core.report import Report, report

EXAMPLES = """\
examples:
  hypatia explain train.py                    runs the script; one report for each torch.compile call in it
  hypatia explain serve.py -- --batch 8       with arguments of its own
  hypatia explain models:encoder              models.encoder() returns a model and its inputs; they are
                                              compiled, run and measured beside eager
  hypatia explain serve.py --html report.html --no-open
  hypatia explain models:encoder --json > report.json

A script's torch.compile calls are taken over by Hypatia whatever backend they name; --only-hypatia leaves the
others alone. On a terminal the page opens in the browser.
"""


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "explain",
        help="run a script or a function, and show what was done to what it compiles",
        description="Runs a program with Hypatia and shows the report of what it compiled.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="hypatia explain [-h] [options] SCRIPT.py|module:function [-- ARGUMENT ...]",
    )
    parser.add_argument("target", metavar="SCRIPT.py|module:function")
    parser.add_argument("--html", metavar="PATH", help="write the page here")
    parser.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    parser.add_argument("--profile", action="store_true", help="measure each node too")
    parser.add_argument(
        "--only-hypatia", action="store_true", help="leave torch.compile calls with another backend alone"
    )
    add_json(parser)
    parser.set_defaults(run=run, takes_more="the script's own arguments")


def run(chosen: argparse.Namespace, console: Console) -> int:
    """Runs the target and shows its reports."""
    import hypatia_core

    with hypatia_core.config(**({"profile": True} if chosen.profile else {})):
        if chosen.target.endswith(".py"):
            reports = of_script(Path(chosen.target), chosen.more, chosen.only_hypatia, console)
        else:
            reports = [of_function(chosen.target, console)]
    if not reports:
        console.say(
            f"hypatia explain: {chosen.target} compiled nothing: it makes no torch.compile call, or calls "
            "nothing that it compiled"
        )
        return FAILED
    console.result(
        [made.to_dict() for made in reports] if len(reports) > 1 else reports[0].to_dict(),
        "\n\n".join(map(str, reports)),
    )
    opens = sys.stdout.isatty() and not chosen.no_open and not chosen.json
    if chosen.html is None and not opens:
        return DONE
    folder = None if chosen.html else Path(tempfile.mkdtemp(prefix="hypatia-"))
    for number, made in enumerate(reports):
        name = Path(chosen.html) if folder is None else folder / "report.html"
        if number:
            name = name.with_stem(f"{name.stem}-{number + 1}")
        try:
            path = made.save(name)
        except (OSError, ValueError) as error:
            raise HypatiaError(f"the page cannot be written: {error}") from error
        console.say(f"page: {path}")
        if opens:
            webbrowser.open(path.resolve().as_uri())
    return DONE


def of_script(script: Path, arguments: list[str], only_hypatia: bool, console: Console) -> list[Report]:
    """Runs a script as `python SCRIPT` would, and reports each `torch.compile` call of it that compiled."""
    if not script.is_file():
        raise HypatiaError(f"there is no file {script}")
    with compiled_by_hypatia(only_hypatia) as compiled, as_main(script, arguments, console):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                console.say(f"hypatia explain: the script ended with {end.code!r}")
    made = [report(each) for each in compiled]
    return [each for each in made if each.graphs]


@contextlib.contextmanager
def as_main(script: Path, arguments: list[str], console: Console) -> Iterator[None]:
    """The script's own arguments and folder; with JSON what it prints goes to stderr."""
    path = [str(script.resolve().parent), *sys.path]
    output = contextlib.redirect_stdout(sys.stderr) if console.as_json else contextlib.nullcontext()
    with (
        mock.patch.object(sys, "argv", [str(script), *arguments]),
        mock.patch.object(sys, "path", path),
        output,
    ):
        yield


@contextlib.contextmanager
def compiled_by_hypatia(only_hypatia: bool) -> Iterator[list[Any]]:
    """Keeps what `torch.compile` and `Module.compile` return, and gives their graphs to Hypatia."""
    import torch

    kept: list[Any] = []
    plain, in_place = torch.compile, torch.nn.Module.compile

    def taken_over(options: dict[str, Any]) -> dict[str, Any]:
        if only_hypatia or options.get("backend") == "hypatia":
            return options
        # Options and modes of another backend mean nothing here.
        rest = {k: v for k, v in options.items() if k not in ("mode", "options")}
        return {**rest, "backend": "hypatia"}

    def compile_(model: Any = None, **options: Any) -> Any:
        chosen = taken_over(options)
        if model is None:
            return lambda function: compile_(function, **options)
        made = plain(model, **chosen)
        if chosen.get("backend") == "hypatia":
            kept.append(made)
        return made

    def compile_in_place(module: Any, *arguments: Any, **options: Any) -> Any:
        chosen = taken_over(options)
        if chosen.get("backend") == "hypatia":
            kept.append(module)
        with mock.patch.object(torch, "compile", plain):
            return in_place(module, *arguments, **chosen)

    with (
        mock.patch.object(torch, "compile", compile_),
        mock.patch.object(torch.nn.Module, "compile", compile_in_place),
    ):
        yield kept


def of_function(target: str, console: Console) -> Report:
    """Calls `module:function`, compiles the model that it returns and runs it on the inputs beside it."""
    import torch

    function = found(target)
    made = function()
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[0])):
        raise HypatiaError(
            f"{target}() returned {type(made).__name__}; a pair is accepted: a model or function, and the "
            "tuple of its inputs"
        )
    model, inputs = made
    inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    with torch.no_grad(), console.progress("explain") as progress:
        progress.step("compiling")
        compiled = torch.compile(model, backend="hypatia")
        compiled(*inputs)
        progress.step("measuring beside eager")
        return report(compiled, inputs=inputs)


def found(target: str) -> Callable[[], Any]:
    """The function that `module:function` or `file.py:function` names."""
    name, colon, attribute = target.rpartition(":")
    if not colon or not name or not attribute:
        raise HypatiaError(f"{target!r} is neither a file SCRIPT.py nor module:function")
    try:
        if name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(name).stem, name)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            with mock.patch.object(sys, "path", ["", *sys.path]):
                module = importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise HypatiaError(f"{name} cannot be imported: {error}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise HypatiaError(f"{name} has no function {attribute!r}")
    chosen: Callable[[], Any] = function
    return chosen
