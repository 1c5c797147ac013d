"""Programs of our own kernels, by what torch computes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hypatia_core._hypatia_core import HypatiaError, NativeProgram

#: What torch computes, and the same in float64 where torch's own formula loses digits.
OF_TORCH: dict[str, Any] = {
    name: getattr(torch, name)
    for name in [
        *["neg", "abs", "relu", "sigmoid", "tanh", "exp", "exp2", "expm1", "log", "log1p", "sqrt", "rsqrt"],
        *["reciprocal", "erf", "sin", "cos", "floor", "ceil", "round", "trunc", "sign"],
    ]
}
OF_TORCH |= {
    name: getattr(functional, name) for name in ["gelu", "silu", "softplus", "hardswish", "hardsigmoid"]
}
OF_TORCH["gelu_tanh"] = lambda x: functional.gelu(x, approximate="tanh")
EXACT: dict[str, Any] = OF_TORCH | {
    "gelu": lambda x: 0.5 * x * torch.erfc(-x * math.sqrt(0.5)),
    "gelu_tanh": lambda x: x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
}
#: Of an input's size, what 1 + erf and 1 + tanh lose in float32.
SHARE = {"gelu": 3e-8, "gelu_tanh": 3e-8}


def _view(buffer: int, tensor: Tensor) -> dict[str, Any]:
    return {"buffer": buffer, "offset": 0, "strides": list(tensor.stride())}


def _run(code: list[list[Any]], *operands: Tensor) -> Tensor:
    """Runs one step over rows of operands that broadcast; its last register is the result."""
    result = torch.full(torch.broadcast_shapes(*(x.shape for x in operands)), torch.nan)
    tensors = [*operands, result]
    places = ["argument"] * len(operands) + ["result"]
    buffers = [
        {"elements": x.untyped_storage().nbytes() // 4, "kind": "float32", "place": place}
        for x, place in zip(tensors, places, strict=True)
    ]
    views = [_view(i, x.expand(result.shape)) for i, x in enumerate(tensors)]
    store = {"register": len(operands) + len(code) - 1, "view": views[-1]}
    *outer, row = result.shape
    step = {"step": "rows", "outer": outer, "row": row, "loads": views[:-1], "code": code, "stores": [store]}
    program = NativeProgram(json.dumps({"buffers": buffers, "steps": [step]}))
    program.run([x.data_ptr() for x in tensors], 1)
    return result


def _numbers() -> Tensor:
    every = torch.arange(0, 1 << 32, 100_003, dtype=torch.int64).to(torch.int32).view(torch.float32)
    near = torch.linspace(-30, 30, 20_001)
    special = torch.tensor(
        [0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-42, -1e-42, 1.0, -1.0, 88.0, 104.0]
    )
    return torch.cat([every, near, special])


@pytest.mark.parametrize("name", OF_TORCH)
def test_functions_are_as_near_as_those_of_torch(name: str) -> None:
    x = _numbers()
    ours, theirs, exact = _run([[name, 0]], x).double(), OF_TORCH[name](x).double(), EXACT[name](x.double())
    told = exact.abs() < 3.4e38
    assert torch.equal(ours[~told].isnan(), exact[~told].isnan())
    ours, theirs = (ours - exact).abs()[told], (theirs - exact).abs()[told]
    # The sign of what is no number is 0 in torch's registers and no number past their end.
    theirs = theirs.nan_to_num()
    unit = exact[told].abs().clamp(min=1.2e-38) * 2.0**-23
    # Sigmoids end at the smallest normal number.
    allowed = torch.maximum(4 * unit, theirs).clamp(min=3e-36) + SHARE.get(name, 0) * x[told].abs().clamp(
        max=1e6
    )
    assert bool((ours <= allowed).all())


@pytest.mark.parametrize("sizes", [(1, 384), (34, 384), (7, 5), (3, 1000), (2, 3, 6000)])
def test_normalisations(sizes: tuple[int, ...]) -> None:
    x, w, b = torch.randn(sizes), torch.randn(sizes[-1]), torch.randn(sizes[-1])
    softmax = [["max", 0], ["sub", 0, 1], ["exp", 2], ["sum", 3], ["div", 3, 4]]
    torch.testing.assert_close(_run(softmax, x), functional.softmax(x, -1))
    norm: list[list[Any]] = [
        ["sum", 0],
        ["const", 1 / sizes[-1]],
        ["mul", 3, 4],
        ["sub", 0, 5],
        ["square", 6],
    ]
    norm += [["sum", 7], ["mul", 8, 4], ["const", 1e-5], ["add", 9, 10], ["rsqrt", 11], ["mul", 6, 12]]
    norm += [["mul", 13, 1], ["add", 14, 2]]
    torch.testing.assert_close(_run(norm, x, w, b), functional.layer_norm(x, sizes[-1:], w, b))


def test_views_broadcast_and_transposed() -> None:
    x, y = torch.randn(9, 13, 5).permute(2, 0, 1), torch.randn(9, 1)
    code = [["mul", 0, 1], ["clamp", 2, "-inf", 0.5], ["gt", 3, 1], ["where", 4, 0, 1]]
    product = (x * y).clamp(max=0.5)
    torch.testing.assert_close(_run(code, x, y), torch.where(product > y, x, y), rtol=0, atol=0)


def test_a_program_says_what_it_is() -> None:
    buffers = [{"elements": 6, "kind": "float32", "place": place} for place in ("argument", "result")]
    views = [{"buffer": i, "offset": 0, "strides": [3, 1]} for i in (0, 1)]
    store = {"register": 1, "view": views[1]}
    step = {
        "step": "rows",
        "outer": [2],
        "row": 3,
        "loads": views[:1],
        "code": [["exp", 0]],
        "stores": [store],
    }
    program = NativeProgram(json.dumps({"buffers": buffers, "steps": [step]}))
    assert (program.steps, program.kinds, program.scratch_bytes) == (1, ["rows"], 0)
    assert str(program).startswith("rows 2×3 exp")
    x, y = torch.randn(6), torch.empty(6)
    (seconds,) = program.times([x.data_ptr(), y.data_ptr()], 1)
    assert seconds >= 0 and torch.allclose(y, x.exp())
    with pytest.raises(HypatiaError, match="1 addresses for 2"):
        program.run([x.data_ptr()], 1)
    step["code"] = [["exp", 3]]
    with pytest.raises(HypatiaError, match=r"step 0: .*none of the 1 registers"):
        NativeProgram(json.dumps({"buffers": buffers, "steps": [step]}))
