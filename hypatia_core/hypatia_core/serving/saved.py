"""A served program in one file, and back: see docs/serving-format.md.

The file is one of safetensors: the weights are its tensors, the program is JSON in its metadata. It holds
data and no code, so that loading runs nothing but operations that are registered in the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule

from hypatia_core import compat, executors, graph_json, machine
from hypatia_core._hypatia_core import HypatiaError
from hypatia_core.choice import Candidate, Choice
from hypatia_core.executors.base import Runnable
from hypatia_core.executors.onednn import OneDnnGraph
from hypatia_core.log import logger
from hypatia_core.packed_call import compiled_over, held_over
from hypatia_core.report import GraphReport, work_of
from hypatia_core.serving import signature_json
from hypatia_core.serving.served import Programs, Served
from hypatia_core.weights import Division, Memo, divide, positions

FORMAT = "hypatia-program"
VERSION = 1
#: Keys of the metadata.
_PROGRAM, _DIGEST = "hypatia.program", "hypatia.sha256"


def save(served: Served, path: str | os.PathLike[str]) -> None:
    """Write a program; whoever reads the path meanwhile sees the old file or the new one.

    Raises:
        HypatiaError: something in it has no form in the file, or the file cannot be written.
    """
    safetensors = _library()
    report = served._hypatia_graphs[-1]
    tensors: dict[str, torch.Tensor] = {}
    stored: dict[int, str] = {}
    weights: dict[str, dict[str, Any]] = {}
    digests: dict[str, str] = {}

    def store(kind: str, name: str, value: torch.Tensor) -> str:
        if id(value) not in stored:
            key = stored[id(value)] = f"{kind}/{name}"
            with torch.no_grad():
                tensors[key] = value.detach().cpu().contiguous().clone(memory_format=torch.contiguous_format)
            digests[key] = _digest(tensors[key])
        return stored[id(value)]

    for name, value, trained in _state(served.model):
        weights[name] = {
            "tensor": store("weight", name, value),
            "parameter": trained,
            "strides": list(value.stride()),
            "device": str(value.device),
        }
    constants = {name: store("constant", name, value) for name, value in served._constants.items()}
    program = {
        "format": FORMAT,
        "version": VERSION,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "signature": signature_json.to_json(served._signature),
        "training": served._live.modes[0][1],
        "autocast": served._autocast,
        "original": graph_json.to_json(served._programs.original.graph),
        "rewritten": None
        if served._programs.rewritten is None
        else graph_json.to_json(served._programs.rewritten.graph),
        "lowered": None
        if served._programs.lowered is None
        else graph_json.to_json(served._programs.lowered.graph),
        "watch": served._programs.watch,
        "cap": served._programs.cap,
        "decision": {
            "installed": report.installed,
            "measured": report.measured,
            "error": report.error,
            "original_error": report.original_error,
            "verified": report.verified,
            "rules": report.rules,
            "implementations": report.implementations,
        },
        "weights": weights,
        "constants": constants,
        "digests": digests,
    }
    text = json.dumps(program, allow_nan=False)
    metadata = {_PROGRAM: text, _DIGEST: hashlib.sha256(text.encode()).hexdigest()}
    target = Path(path)
    try:
        with _whole(target) as temporary:
            safetensors.torch.save_file(tensors, temporary, metadata)
    except (OSError, safetensors.SafetensorError) as error:
        raise HypatiaError(f"{target} cannot be written: {error}") from error


def load(path: str | os.PathLike[str], *, checksums: bool = True) -> Served:
    """A program that :meth:`Served.save` wrote, ready to be called; nothing is compiled.

    It runs op by op. On the machine and with the versions that wrote it, what was decided there stands;
    elsewhere original and rewritten program are verified and measured anew at the first call.

    Args:
        path: the file.
        checksums: whether the weights are held against their checksums; the program always is.

    Returns:
        A module that is called like the model was; its own weights, in its `model`, may be changed.

    Raises:
        HypatiaError: it is no such file, it is of a later version, damaged, or calls for an operation that is
            not registered here; the message says which.

    >>> import tempfile, torch, hypatia_core
    >>> served = hypatia_core.compile(torch.nn.ReLU(), torch.ones(3), options={"executor": "aten"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     served.save(folder + "/relu.hypatia")
    ...     again = hypatia_core.load(folder + "/relu.hypatia")
    >>> again(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0., 0., 1.])
    """
    safetensors = _library()
    source = Path(path)
    try:
        with safetensors.safe_open(source, framework="pt") as file:
            program = _program(file.metadata() or {}, source)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError:
        raise HypatiaError(f"there is no file {source}") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise HypatiaError(f"{source} is damaged or no file of safetensors: {error}") from error
    try:
        if checksums:
            _check(tensors, program["digests"])
        return _served(program, tensors)
    except HypatiaError as error:
        raise HypatiaError(f"{source}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise HypatiaError(f"{source} is malformed: {type(error).__name__} {error}") from error


def _program(metadata: dict[str, str], source: Path) -> dict[str, Any]:
    text = metadata.get(_PROGRAM)
    if text is None:
        raise HypatiaError(f"{source} holds tensors only, and no program: it was not written by Served.save")
    if hashlib.sha256(text.encode()).hexdigest() != metadata.get(_DIGEST):
        raise HypatiaError(f"{source} is damaged: the program's checksum does not fit")
    program: dict[str, Any] = json.loads(text)
    if program.get("format") != FORMAT:
        raise HypatiaError(f"{source} is of format {program.get('format')!r}; accepted: {FORMAT!r}")
    if program.get("version") != VERSION:
        wrote = program.get("versions", {}).get("hypatia")
        raise HypatiaError(
            f"{source} is of version {program.get('version')!r}, written by Hypatia {wrote}; "
            f"this Hypatia reads version {VERSION}: save the model anew"
        )
    return program


def _served(program: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Served:
    signature = signature_json.from_json(program["signature"])
    model = _model(program["weights"], tensors, signature.parameters is not None)
    model.train(bool(program["training"]))
    constants = {name: tensors[key] for name, key in program["constants"].items()}
    original = graph_json.from_json(program["original"], constants)

    def graph(name: str) -> GraphModule | None:
        rows = program[name]
        return None if rows is None else graph_json.from_json(rows, constants)

    here = all(program[key] == value for key, value in _here().items())
    programs = Programs(
        original, graph("rewritten"), graph("lowered") if here else None, program["watch"], program["cap"]
    )
    static = [i for i, source in enumerate(signature.sources) if source.kind != "input"]
    run, report = _runnable(programs, static, program["decision"], here)
    return Served(
        model, signature, constants, run, [report], programs=programs, autocast=bool(program["autocast"])
    )


def _here() -> dict[str, Any]:
    return {"machine": machine.machine(), "versions": machine.versions()}


def _runnable(
    programs: Programs, static: list[int], decision: dict[str, Any], here: bool
) -> tuple[Runnable, GraphReport]:
    """What runs the program: as decided before where that holds here, else by a choice still to be made."""
    (aten,), (native,) = executors.named("aten"), executors.named("native")
    best = programs.lowered or programs.rewritten or programs.original
    report = GraphReport("inference", work_of(programs.original), work_of(best))
    original = Candidate("original", "aten", False, aten.compile(programs.original, []))
    division = divide(best, static) if programs.watch != "off" else None
    onednn, installed = OneDnnGraph(), decision["installed"]
    if (
        best is programs.original
        and division is None
        and not installed.startswith((onednn.name, native.name))
    ):
        return original.run, report
    plain = programs.rewritten or programs.original

    def memo_of(divided: Division) -> Memo:
        strict, cap = programs.watch == "strict", programs.cap * 1_000_000
        return Memo(divided, original.run, strict, cap, report.refusals.append, report)

    name = "aten, rewritten" if programs.rewritten is not None else "aten"
    run = aten.compile(best, []) if division is None else compiled_over(memo_of(division), aten)
    candidates = [Candidate(name, "aten", programs.rewritten is not None, run)]
    if (not here or installed.startswith(native.name)) and native.refusal(best) is None:
        run = native.compile(best, []) if division is None else compiled_over(memo_of(division), native)
        own = name.replace(aten.name, native.name)
        candidates.insert(0, Candidate(own, native.name, programs.rewritten is not None, run))
        report.programs = native.account(best if division is None else division.rest) or ""
    report.rules = decision["rules"]
    if not here:
        logger.info("the program was saved on another machine or by other versions: it is measured anew")
        choice = Choice(
            original,
            candidates,
            programs.original,
            by_region=None,
            verify=True,
            measure=True,
            exact=False,
            repeatable=True,
            profile=None,
            report=report,
            refused=report.refusals.append,
            failed=lambda reason, error: report.refusals.append(reason),
        )
        return choice.installed(), report
    measured = report.measured = decision["measured"]
    report.verified, report.error = decision["verified"], decision["error"]
    report.original_error, report.implementations = decision["original_error"], decision["implementations"]
    # Generated code may have won where the file was written: of what runs here, the faster.
    if original.name in measured and name in measured:
        faster = measured[name] < measured[original.name]
    else:
        faster = name == original.name or decision["installed"] != original.name
    chosen = candidates[-1] if faster else original
    chosen = next((candidate for candidate in candidates if candidate.name == installed), chosen)
    held = divide(plain, positions(static, plain), whole=True) if installed.startswith(onednn.name) else None
    if held is not None and compat.has_onednn_graph():
        run = held_over(memo_of(held), onednn, decided=True)
        chosen = Candidate(installed, onednn.name, plain is not programs.original, run)
    elif installed not in (original.name, *(candidate.name for candidate in candidates)):
        report.refusals.append(
            f"{installed}: the fastest where the program was saved; one that is loaded compiles nothing"
        )
    report.installed, report.executor, report.rewritten = chosen.name, chosen.executor, chosen.rewritten
    return chosen.run, report


def _state(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """Every dense weight of a model by each of its names, and whether it is a parameter."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield name, parameter, True
    for name, buffer in model.named_buffers(remove_duplicate=False):
        if buffer.layout is torch.strided:
            yield name, buffer, False


class _Saved(nn.Module):
    """Holds the weights of a loaded program under the names that they had."""


def _model(weights: dict[str, Any], tensors: dict[str, torch.Tensor], named: bool) -> nn.Module:
    model = _Saved()
    made: dict[str, torch.Tensor] = {}
    for name, row in weights.items():
        *path, key = name.split(".")
        holder: nn.Module = model
        for step in path:
            if step not in holder._modules:
                holder.add_module(step, _Saved())
            found = holder._modules[step]
            assert found is not None
            holder = found
        shared = row["tensor"]
        if shared not in made:
            value = _laid_out(tensors[shared], row["strides"], torch.device(row["device"]))
            made[shared] = nn.Parameter(value, requires_grad=False) if row["parameter"] else value
        if row["parameter"]:
            parameter = made[shared]
            assert isinstance(parameter, nn.Parameter)
            holder.register_parameter(key, parameter)
        else:
            holder.register_buffer(key, made[shared])
    return model


def _laid_out(value: torch.Tensor, strides: list[int], device: torch.device) -> torch.Tensor:
    if device.type == "cpu" and list(value.stride()) == strides:
        return value
    return torch.empty_strided(value.shape, strides, dtype=value.dtype, device=device).copy_(value)


def _check(tensors: dict[str, torch.Tensor], digests: dict[str, str]) -> None:
    for name, value in tensors.items():
        if digests.get(name) != _digest(value):
            raise HypatiaError(f"it is damaged: the checksum of {name!r} does not fit")
    missing = set(digests) - set(tensors)
    if missing:
        raise HypatiaError(f"it is damaged: {', '.join(sorted(missing))} is missing")


def _digest(value: torch.Tensor) -> str:
    size = value.numel() * value.element_size()
    if size == 0:
        return hashlib.sha256().hexdigest()
    memory = (ctypes.c_char * size).from_address(value.data_ptr())
    return hashlib.sha256(memory).hexdigest()


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[str]:
    """A file beside the target, which takes its place once it is written through to the disk."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp gives a file that nobody else may read; the usual ones follow the mask.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _library() -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ImportError:
        raise HypatiaError(
            'saving and loading need safetensors: pip install "hypatia-core[serving]"'
        ) from None
    return safetensors
