"""Files of served programs: the same answers, and an error that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import hypatia_core
from agreement import same
from conftest import Run
from hypatia_core import HypatiaError, compat, graph_json, machine
from test_serving import Everything, pair, serve

safetensors = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.usefixtures("one_thread")


class Convolution(nn.Module):
    """Weights in other strides, a literal, and a chain of products to rewrite."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y = self.convolution(x).flatten(2)
        return (y @ y.mT) @ y[..., :1], [y + torch.tensor([float("inf")]), y.to(torch.float64)]


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Any, ...]], dict[str, Any]]] = {
    "everything": (Everything, lambda: (torch.randn(4, 8), pair()), {}),
    "convolution": (Convolution, lambda: (torch.randn(2, 3, 9, 9),), {}),
    "dynamic": (
        lambda: nn.Sequential(nn.Linear(8, 8), nn.Flatten(0)),
        lambda: (torch.randn(3, 8),),
        {"dynamic_shapes": ({0: Dim("rows", min=2, max=9)},)},
    ),
    "half": (lambda: nn.Linear(4, 4).bfloat16(), lambda: (torch.randn(2, 4).bfloat16(),), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_loaded_is_what_was_saved(case: str, tmp_path: Path) -> None:
    make, inputs, options = CASES[case]
    model, given = make().eval(), inputs()
    served = serve(model, *given, **options)
    path = tmp_path / "model.hypatia"
    served.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.hypatia"]
    loaded = hypatia_core.load(path)
    for _ in range(2):
        given = inputs()
        assert same(loaded(*given), served(*given))
    assert loaded.model.state_dict().keys() == model.state_dict().keys()
    (ours,), (theirs,) = hypatia_core.report(loaded).graphs, hypatia_core.report(served).graphs
    assert ours.rewritten == theirs.rewritten and ours.rules == theirs.rules
    assert not {"verify", "measure"} & set(ours.stages), "decided already"


def test_it_checks_its_calls_and_its_weights(tmp_path: Path) -> None:
    served = serve(nn.Linear(4, 2), torch.randn(3, 4))
    served.save(tmp_path / "m")
    loaded = hypatia_core.load(tmp_path / "m")
    with pytest.raises(HypatiaError, match=r"input 'input' is float32\[4, 4\] on cpu; accepted"):
        loaded(torch.randn(4, 4))
    with pytest.raises(HypatiaError, match="the arguments do not fit"):
        loaded(torch.randn(3, 4), other=1)
    x = torch.randn(3, 4)
    weight, bias = loaded.model.parameters()
    with torch.no_grad():
        weight.mul_(2)
        bias.zero_()
    torch.testing.assert_close(loaded(input=x), x @ weight.t())
    again = hypatia_core.load(tmp_path / "m")
    assert same(again(x), served(x)), "the file is as it was"


def test_what_onednn_compiled_is_compiled_by_it_again(tmp_path: Path) -> None:
    if not compat.has_onednn_graph():
        pytest.skip("no graph compiler of oneDNN in this torch")
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval(), torch.randn(2, 3, 9, 9)
    served = serve(model, x, options={"executor": "onednn"})
    assert hypatia_core.report(served).graphs[0].executor == "onednn"
    served.save(tmp_path / "m")
    loaded = hypatia_core.load(tmp_path / "m")
    assert hypatia_core.report(loaded).graphs[0].executor == "onednn"
    for change in (1.0, 2.0):
        with torch.no_grad():
            for weights in (model, loaded.model):
                next(weights.parameters()).mul_(change)
            torch.testing.assert_close(loaded(x), model(x), atol=1e-5, rtol=1e-4)


def test_generated_code_is_not_loaded_and_the_report_says_so(tmp_path: Path) -> None:
    given = [torch.randn(64, n) for n in (64, 64, 1)]
    served = serve(lambda a, b, v: (a @ b) @ v, *given)
    served.save(tmp_path / "m")
    rewritten(tmp_path / "m", lambda program: program["decision"].update(installed="inductor, original"))
    loaded = hypatia_core.load(tmp_path / "m")
    torch.testing.assert_close(loaded(*given), served(*given), rtol=1e-3, atol=1e-3)
    (graph,) = hypatia_core.report(loaded).graphs
    assert any("inductor, original" in reason for reason in graph.refusals)


def test_programs_of_our_own_kernels_are_made_again(tmp_path: Path) -> None:
    x = torch.randn(6, 32)
    model = torch.nn.Sequential(torch.nn.LayerNorm(32), torch.nn.Linear(32, 32), torch.nn.GELU()).eval()
    served = hypatia_core.compile(model, x, options={"executor": "native"})
    served.save(tmp_path / "m")
    (report,) = hypatia_core.report(served).graphs
    name = "native, rewritten" if report.rules else "native"
    rewritten(tmp_path / "m", lambda program: program["decision"].update(installed=name))
    loaded = hypatia_core.load(tmp_path / "m")
    torch.testing.assert_close(loaded(x), model(x), rtol=1e-4, atol=1e-4)
    (graph,) = hypatia_core.report(loaded).graphs
    assert (graph.executor, graph.installed) == ("native", name) and "programs" in graph.programs
    with torch.no_grad():
        loaded.model.get_parameter("1.weight").mul_(2)
        model.get_parameter("1.weight").mul_(2)
    torch.testing.assert_close(loaded(x), model(x), rtol=1e-4, atol=1e-4)


def test_elsewhere_it_is_decided_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(lambda a, b, v: (a @ b) @ v, *(torch.randn(64, n) for n in (64, 64, 1)))
    served.save(tmp_path / "m")
    elsewhere = {**machine.machine(), "processor": "another"}
    monkeypatch.setattr(machine, "machine", lambda: elsewhere)
    loaded = hypatia_core.load(tmp_path / "m")
    given = [torch.randn(64, n) for n in (64, 64, 1)]
    torch.testing.assert_close(loaded(*given), served(*given), rtol=1e-3, atol=1e-3)
    (graph,) = hypatia_core.report(loaded).graphs
    assert {"verify", "measure"} <= set(graph.stages)
    assert graph.verified == "the whole graph against float64" and len(graph.measured) == 3


def test_a_new_process_needs_neither_the_model_nor_a_compiler(tmp_path: Path, fresh_python: Run) -> None:
    served = serve(Convolution().eval(), torch.ones(2, 3, 9, 9))
    served.save(tmp_path / "m")
    wanted = served(torch.ones(2, 3, 9, 9))[0].sum().item()
    code = f"""
import sys, torch, hypatia_core
torch.set_num_threads(1)
loaded = hypatia_core.load({str(tmp_path / "m")!r})
print(loaded(torch.ones(2, 3, 9, 9))[0].sum().item())
assert "torch._inductor.compile_fx" not in sys.modules
"""
    assert float(fresh_python(code).stdout.splitlines()[-1]) == pytest.approx(wanted, rel=1e-5)


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any], *, sealed: bool = True) -> None:
    """The file with its program changed, and its checksum made to fit."""
    import hashlib

    tensors = safetensors.load_file(path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    program = json.loads(metadata["hypatia.program"])
    change(program)
    metadata["hypatia.program"] = text = json.dumps(program)
    if sealed:
        metadata["hypatia.sha256"] = hashlib.sha256(text.encode()).hexdigest()
    safetensors.save_file({name: value.clone() for name, value in tensors.items()}, path, metadata)


def call_of(program: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in program["original"] if row["op"] == "call_function")
    return row


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "version": (lambda p: p.update(version=2), "is of version 2, .* this Hypatia reads version 1"),
    "format": (lambda p: p.update(format="other"), "is of format 'other'"),
    "no signature": (lambda p: p.pop("signature"), "is malformed: KeyError 'signature'"),
    "unknown operation": (
        lambda p: call_of(p).update(target="mylib::missing.default"),
        "'mylib::missing.default', which is not registered in this process",
    ),
    "no operation": (
        lambda p: call_of(p).update(target="os.system"),
        "'os.system', which is no operation's name",
    ),
    "later node": (lambda p: call_of(p).update(args=[{"node": 10**6}]), "is used before it is there"),
    "keyword": (lambda p: call_of(p).update(kwargs={"a b": 1}), "'a b' is no argument's name"),
    "size": (
        lambda p: p["signature"]["inputs"][0].update(shape=["__import__('os')", 4]),
        r"\"__import__\('os'\)\" is no size",
    ),
    "dtype": (lambda p: p["signature"]["inputs"][0].update(dtype="load"), "'load' is no element type"),
    "digest": (
        lambda p: p["digests"].update({"weight/weight": "0"}),
        "checksum of 'weight/weight' does not fit",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_is_not_as_it_should_be(change: str, tmp_path: Path) -> None:
    path = tmp_path / "m"
    serve(nn.Linear(4, 2), torch.randn(3, 4)).save(path)
    alter, message = CHANGES[change]
    rewritten(path, alter)
    with pytest.raises(HypatiaError, match=message):
        hypatia_core.load(path)


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with pytest.raises(HypatiaError, match="there is no file"):
        hypatia_core.load(path)
    serve(nn.Linear(4, 2), torch.randn(3, 4)).save(path)
    whole = path.read_bytes()
    for size in (0, 4, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(HypatiaError, match="is damaged or no file of safetensors"):
            hypatia_core.load(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(HypatiaError, match=r"the checksum of 'weight/(weight|bias)' does not fit"):
        hypatia_core.load(path)
    assert hypatia_core.load(path, checksums=False)(torch.randn(3, 4)).shape == (3, 2)
    path.write_bytes(whole)
    rewritten(path, lambda program: program.update(autocast=True), sealed=False)
    with pytest.raises(HypatiaError, match="the program's checksum does not fit"):
        hypatia_core.load(path)
    safetensors.save_file({"a": torch.ones(1)}, path)
    with pytest.raises(HypatiaError, match="holds tensors only, and no program"):
        hypatia_core.load(path)


def test_what_cannot_be_saved_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"before")

    class Odd(tuple):  # type: ignore[type-arg]
        pass

    torch.utils._pytree.register_pytree_node(Odd, lambda x: (list(x), None), lambda x, _: Odd(x))
    served = serve(lambda x: Odd((x + 1,)), torch.ones(2))
    assert type(served(torch.ones(2))) is Odd
    with pytest.raises(HypatiaError, match="the result hold a Odd; tensors in tuples, lists and dict"):
        served.save(path)
    with pytest.raises(HypatiaError, match="cannot be written"):
        serve(nn.Linear(1, 1), torch.ones(1, 1)).save(tmp_path / "none" / "m")
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["m"]


def test_graphs_survive_json() -> None:
    served = serve(Convolution().eval(), torch.ones(2, 3, 9, 9))
    graph = served._programs.original.graph
    rows = json.loads(json.dumps(graph_json.to_json(graph), allow_nan=False))
    assert graph_json.to_json(graph_json.from_json(rows, served._constants).graph) == rows
