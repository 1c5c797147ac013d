"""Measuring what this machine takes for each operation that the engine knows, at shapes of many sizes."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch

from hypatia_core import profile
from hypatia_core._hypatia_core import estimate_graph
from hypatia_core.log import logger
from hypatia_core.profile import Profile
from hypatia_core.trace import traced

Key = TypeVar("Key", bound=Hashable)

#: Called with how much is done, how much there is to do, and what is measured now.
Progress = Callable[[int, int, str], None]

DTYPES = (torch.float32, torch.float64)
#: Samples of one measurement, the seconds that they may take together, and the least seconds of one.
SAMPLES = 3
ENOUGH_SECONDS = 3e-3
LEAST_SECONDS = 1e-4
#: How often everything is measured, the least time of each counting: a machine that others use too has
#: slow seconds, in which every sample of a case may fall.
PASSES = 3
#: So many times the least time of the yardstick say that a processor ran at another speed, and …
SLOW = 1.2
#: … what was measured then is measured again, in so many further passes at most.
MORE_PASSES = 3


class Yardstick:
    """A short computation, by whose time slow seconds of a machine are known: its clock may go down to half.

    >>> yardstick = Yardstick()
    >>> 0 < yardstick.seconds() < 1 and yardstick.best < 1
    True
    """

    def __init__(self) -> None:
        self._x = torch.ones(2**12)
        self._y = torch.empty_like(self._x)
        #: The least that it ever took.
        self.best = math.inf

    def seconds(self) -> float:
        """What it takes now."""
        least = math.inf
        for _ in range(8):
            begun = time.perf_counter()
            torch.exp(self._x, out=self._y)
            least = min(least, time.perf_counter() - begun)
        self.best = min(self.best, least)
        return least

    def tells_slow(self, seconds: float) -> bool:
        """Whether this time of it was one of a slow machine, as far as is known now."""
        return seconds > SLOW * self.best


def least_seconds(
    keys: Sequence[Key], seconds: Callable[[Key], float], begun: Callable[[int, int, Key], None] | None = None
) -> dict[Key, float]:
    """The least time of each in several passes over all, and in more of what was timed in slow seconds.

    Args:
        keys: what is timed.
        seconds: times one of them, once.
        begun: called before each with its number, how many there are as far as is known, and which it is.
    """
    yardstick, done, total = Yardstick(), 0, 0
    least, speed = dict[Key, float](), dict[Key, float]()
    todo = [*keys] * PASSES
    for _ in range(1 + MORE_PASSES):
        total += len(todo)
        for key in todo:
            done += 1
            if begun is not None:
                begun(done, total, key)
            before = yardstick.seconds()
            taken = seconds(key)
            if taken < least.get(key, math.inf):
                least[key], speed[key] = taken, max(before, yardstick.seconds())
        todo = [key for key in keys if yardstick.tells_slow(speed[key])]
    return least


@dataclass(frozen=True)
class Case:
    """Something to measure: a function that is one operation of the engine, and shapes of its operands."""

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]

    def operands(self, dtype: torch.dtype) -> list[torch.Tensor]:
        """Positive tensors, so that roots and logarithms take their usual way."""
        return [torch.rand(shape, dtype=dtype) + 0.5 for shape in self.shapes]


def seconds_of(run: Callable[[], Any]) -> float:
    """Seconds of one call: the least of a few samples, each long enough for the clock.

    >>> 0 < seconds_of(lambda: sum(range(100))) < 1
    True
    """
    run()
    begun = time.perf_counter()
    run()
    once = max(time.perf_counter() - begun, 1e-8)
    number = max(1, math.ceil(LEAST_SECONDS / once))
    best, spent = math.inf, 0.0
    for sample in range(SAMPLES):
        begun = time.perf_counter()
        for _ in range(number):
            run()
        taken = time.perf_counter() - begun
        best, spent = min(best, taken / number), spent + taken
        if spent > ENOUGH_SECONDS and sample >= 1:
            break
    return best


_UNARY: tuple[Callable[..., Any], ...] = (
    *(torch.neg, torch.abs, torch.relu, torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt),
    *(torch.rsqrt, torch.reciprocal, torch.sin, torch.cos, torch.tanh, torch.sigmoid, torch.erf),
    *(torch.nn.functional.silu, torch.nn.functional.gelu),
    lambda x: x**1.5,
)
_BINARY: tuple[Callable[..., Any], ...] = (
    *(torch.add, torch.mul, torch.sub, torch.div, torch.maximum, torch.minimum),
    lambda x, y: torch.cat([x, y]),
)
_VIEWS: tuple[Callable[..., Any], ...] = (
    lambda x: x.t(),
    lambda x: x.reshape(64, 8, 8),
    lambda x: x[:, 3:9],
    lambda x: x.expand(4, 64, 64),
    lambda x: x.diagonal(),
)
_REDUCTIONS: tuple[Callable[..., Any], ...] = (
    lambda x: x.sum(1, keepdim=True),
    lambda x: x.mean(1, keepdim=True),
    lambda x: x.amax(1, keepdim=True),
)
_ALONG: tuple[Callable[..., Any], ...] = (
    lambda x: torch.softmax(x, 1),
    lambda x: torch.log_softmax(x, 1),
)

#: No tensor that is measured has more elements, and no product more multiplications.
LARGEST, MOST_WORK = 2**23, 2**30


def cases(quick: bool) -> Iterator[Case]:
    """What is measured, in order: grids of shapes a factor apart.

    Args:
        quick: whether the grids are coarse.
    """
    step = 2 if quick else 1
    for view in _VIEWS:
        yield Case(view, ((64, 64),))
    for elements in [1, 2**8, 2**12, 2**14, 2**15, 2**16, 2**18, 2**20, 2**22][::step]:
        yield from (Case(f, ((elements,),)) for f in _UNARY)
        yield from (Case(f, ((elements,), (elements,))) for f in _BINARY if elements > 1)
    for outer, along, inner in itertools.product(
        [1, 32, 1024][::step], [8, 128, 2048], [1, 64, 1024][::step]
    ):
        if outer * along * inner <= LARGEST:
            functions = _REDUCTIONS + (_ALONG if inner <= 64 else ())
            # The last axis has kernels of its own.
            shape = (outer, along) if inner == 1 else (outer, along, inner)
            yield from (Case(f, (shape,)) for f in functions)
    # Of everything, one result: threads share what is reduced, and the rest of the grid has no such sizes.
    for along in [2**14, 2**15, 2**16, 2**18, 2**22][::step]:
        yield from (Case(f, ((1, along),)) for f in _REDUCTIONS)
    # On both sides of 2¹⁵ elements, from which torch shares rows or columns among threads.
    for outer, along in itertools.product([64, 256, 1024], repeat=2):
        yield from (Case(f, ((outer, along),)) for f in _REDUCTIONS)
        yield from (Case(f, ((1, outer, along),)) for f in _REDUCTIONS)
    for m, k, n in itertools.product([1, 4, 16, 64, 256, 1024][::step], repeat=3):
        yield Case(torch.mm, ((m, k), (k, n)))
    for m, k, n in itertools.product([1, 16, 128, 1024][::step], repeat=3):
        yield Case(torch.addmm, ((n,), (m, k), (k, n)))
    for b in [4, 64][::step]:
        for m, k, n in itertools.product([1, 16, 64, 512][::step], repeat=3):
            if b * m * k * n <= MOST_WORK and max(b * m * k, b * k * n, b * m * n) <= LARGEST:
                yield Case(torch.bmm, ((b, m, k), (b, k, n)))


def shape_class_of(function: Callable[..., Any], operands: Sequence[torch.Tensor]) -> dict[str, Any]:
    """How the engine names a function that is one operation: its implementation, dtype and shape class.

    Raises:
        ValueError: the engine reads the function as more or less than one operation.
    """
    wire = traced(function, operands).wire
    known = [e for e in json.loads(estimate_graph(json.dumps(wire), "{}")) if e is not None]
    known = [e for e in known if e["implementation"] != "const"]
    if len(known) != 1 or len(wire["nodes"]) < 2:
        names = [node["op"] for node in wire["nodes"]]
        raise ValueError(f"not one operation that the engine knows, but {names}")
    named: dict[str, Any] = known[0]
    return named


def measure(case: Case, dtype: torch.dtype) -> float:
    """Seconds that a case takes."""
    with torch.no_grad():
        return seconds_of(partial(case.function, *case.operands(dtype)))


def record(case: Case, dtype: torch.dtype, seconds: float, into: Profile) -> None:
    """Notes what a case took, as the engine names it."""
    named = shape_class_of(case.function, case.operands(dtype))
    into.record(named["implementation"], named["shape_class"], named["dtype"], None, seconds)


def measure_roofline(into: Profile) -> None:
    """Measures the peaks from which times of unmeasured shapes and operations are estimated."""
    with torch.no_grad():
        side, count = 1024, 2**24

        def product(dtype: torch.dtype) -> float:
            a, b = torch.rand(side, side, dtype=dtype), torch.rand(side, side, dtype=dtype)
            return 2 * side**3 / seconds_of(lambda: a @ b)

        x, y = torch.rand(count), torch.rand(count)
        small, warm = torch.rand(4, 4), torch.rand(2**14)
        peaks = {
            "peak_f32": product(torch.float32),
            "peak_f64": product(torch.float64),
            # As many operations as the engine counts for an exponential.
            "elementwise_rate": 16 * 2**14 / seconds_of(lambda: warm.exp()),
            "bandwidth": 12 * count / seconds_of(lambda: torch.add(x, y, out=y)),
            "call": seconds_of(lambda: small + small),
            "view": seconds_of(lambda: small.t()),
        }
    into.rooflines[torch.get_num_threads()] = peaks


def calibrate(*, progress: Progress | None = None, quick: bool = False) -> Profile:
    """Measure what this machine takes, for torch's present thread count, and keep it for later compilations.

    Args:
        progress: called with (done, total, what) as it goes; by default the log says when it is over.
        quick: measure a coarse grid: seconds instead of about a minute.

    Returns:
        The profile, as saved; `profile.path()` says where.

    >>> import hypatia_core
    >>> profile = hypatia_core.calibrate(quick=True)  # doctest: +SKIP
    >>> profile.lookup("matmul", (1, 1024, 1024, 1024), "f32")  # doctest: +SKIP
    0.0128
    """
    found, keys = profile.current(), [(case, dtype) for case in cases(quick) for dtype in DTYPES]
    total = len(keys) * PASSES + 1

    def begun(number: int, of: int, key: tuple[Case, torch.dtype]) -> None:
        nonlocal total
        total = of + 1
        if progress is not None:
            progress(number, total, f"{key[0].shapes} {str(key[1]).removeprefix('torch.')}")

    if progress is not None:
        progress(0, total, "roofline")
    measure_roofline(found)
    least = least_seconds(keys, lambda key: measure(*key), begun)
    for key, seconds in least.items():
        record(*key, seconds, found)
    path = found.save()
    if progress is not None:
        progress(total, total, "done")
    logger.debug("measured %d cases with %d threads; kept in %s", len(least), torch.get_num_threads(), path)
    return profile.current() if path is not None else found
