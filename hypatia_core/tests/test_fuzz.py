"""Random programs through the whole pipeline, held against float64; what fails is shrunk and printed.

`make test` tries 300 of them, `make test-full` 10,000. A seed that ever failed is kept in `FAILED_ONCE`.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch._dynamo

from random_graphs import Program, draw, shrink

#: Seeds that found a fault once.
FAILED_ONCE: tuple[int, ...] = (905, 965, 2049, 2905, 3420, 4059, 4334, 4357)
#: Rounding may differ by so much of the largest value on the way.
TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-11}
#: Programs whose values grow beyond this are rounded too coarsely to say anything.
LARGEST = 1e12


def fault(program: Program, seed: int, executor: str = "aten") -> str | None:
    """What is wrong with the compiled program, or None."""
    special = seed % 5 == 0
    dtype = torch.float64 if seed % 3 == 0 else torch.float32
    numerics = "exact" if special else ("reassociate", "reals", "accurate")[seed % 7 % 3]
    module, inputs = program.module(seed, special, dtype)
    torch._dynamo.reset()
    options: dict[str, Any] = {
        # Without verification: what it would refuse is what is looked for.
        **{"executor": executor, "verify": False, "measure": False, "on_error": "raise", "check_proof": True},
        "numerics": numerics,
    }
    kept = [x.clone() for x in inputs]
    with torch.no_grad():
        wanted = module(*inputs)
        try:
            given = torch.compile(module, backend="hypatia", options=options, dynamic=seed % 4 == 1)(*inputs)
        except Exception:
            return traceback.format_exc()
        if not all(_same(a, b) for a, b in zip(kept, inputs, strict=True)):
            return "an input was changed"
        for i, (a, b) in enumerate(zip(given, wanted, strict=True)):
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                return f"output {i} is {a.dtype} {tuple(a.shape)}, not {b.dtype} {tuple(b.shape)}"
            steps = [(s, t) for s, t, n in zip(a.stride(), b.stride(), b.shape, strict=True) if n > 1]
            if a.numel() and any(s != t for s, t in steps):
                return f"output {i} has strides {a.stride()}, not {b.stride()}"
        if special:
            wrong = [i for i, (a, b) in enumerate(zip(given, wanted, strict=True)) if not _same(a, b)]
            traced = captured(module, inputs, dynamic=seed % 4 == 1) if wrong else ()
            wrong = [i for i in wrong if not _same(given[i], traced[i])]
            return f"outputs {wrong} are not equal bit by bit" if wrong else None
        truth, largest = in_float64(program, module, inputs)
        if largest > LARGEST:
            return None
        for i, (a, t) in enumerate(zip(given, truth, strict=True)):
            error = float((a.double() - t).abs().max()) if a.numel() else 0.0
            if not error <= TOLERANCE[dtype] * largest:
                return f"output {i} errs by {error:.1e} where values reach {largest:.1e}"
    return None


def captured(
    module: torch.nn.Module, inputs: Iterable[torch.Tensor], *, dynamic: bool
) -> tuple[torch.Tensor, ...]:
    """The outputs of the graph as torch captures it, run op by op.

    Its bits are not always those of eager mode: capture decomposes some products into others. It is
    the graph that is given to us, and "exact" is about what we do to it.
    """
    torch._dynamo.reset()
    return torch.compile(module, backend="aot_eager", dynamic=dynamic)(*inputs)  # type: ignore[no-any-return]


def in_float64(
    program: Program, module: torch.nn.Module, inputs: Iterable[torch.Tensor]
) -> tuple[tuple[torch.Tensor, ...], float]:
    """The outputs in float64, and the largest magnitude on the way."""
    remaining = iter(inputs)
    wide = [
        (getattr(module, f"w{i}") if i in program.weights else next(remaining)).double()
        for i in range(len(program.inputs))
    ]
    count = len(wide) + len(program.steps)
    everything = Program(program.inputs, program.weights, program.steps, tuple(range(count))).run(wide)
    largest = max(
        (
            float(v.abs().max()) if bool(torch.isfinite(v).all()) else math.inf
            for v in everything
            if v.numel()
        ),
        default=0.0,
    )
    return tuple(everything[o] for o in program.outputs), max(largest, 1.0)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def try_seeds(seeds: Iterable[int], executor: str = "aten") -> None:
    for seed in seeds:
        program = draw(seed)
        if not program.steps or fault(program, seed, executor) is None:
            continue
        least = shrink(program, lambda p, seed=seed: fault(p, seed, executor) is not None)  # type: ignore[misc]
        pytest.fail(f"seed {seed}: {least}\n{fault(least, seed, executor)}")


@pytest.mark.parametrize("part", range(10))
def test_random_programs_are_right(part: int, one_thread: None) -> None:
    try_seeds(range(30 * part, 30 * part + 30))


@pytest.mark.parametrize("part", range(4))
def test_random_programs_of_our_own_kernels_are_right(part: int, one_thread: None) -> None:
    # In float32, sizes known, and not bit by bit.
    try_seeds((s for s in range(40 * part, 40 * part + 40) if s % 5 and s % 3 and s % 4 != 1), "native")


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_what_failed_once_is_right(seed: int, one_thread: None) -> None:
    try_seeds([seed])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(97))
def test_many_random_programs_are_right(part: int, one_thread: None) -> None:
    try_seeds(range(300 + 100 * part, 400 + 100 * part))


@pytest.mark.parametrize(
    ("seeds", "finding"), [(range(1, 400), "errs by"), (range(5, 400, 5), "bit by bit")], ids=["errs", "bits"]
)
def test_the_fuzzer_sees_a_fault_and_shrinks_it(
    seeds: range, finding: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hypatia_core import ops

    broken = ops.WRITES["add"]

    def write(writer: Any, operands: list[Any], attributes: list[Any]) -> Any:
        return writer.call(torch.ops.aten.mul.Tensor, broken(writer, operands, attributes), 2)

    monkeypatch.setitem(ops.WRITES, "add", write)
    for seed in seeds:
        program = draw(seed)
        if program.steps and (found := fault(program, seed)) and finding in found:
            break
    else:
        pytest.fail("no program showed the fault")
    least = shrink(program, lambda p: fault(p, seed) is not None)
    assert len(least.steps) <= min(3, len(program.steps)), least


def test_what_is_drawn_has_variety() -> None:
    programs = [draw(seed) for seed in range(300)]
    names = {step.name for program in programs for step in program.steps}
    assert len(names) >= 40
    assert sum(bool(p.weights) for p in programs) > 50
    assert sum(len(p.steps) for p in programs) > 1500
    assert draw(7) == draw(7)
