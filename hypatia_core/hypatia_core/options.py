"""What a user may decide: one row an option, for a call, for a block or for the whole process."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from hypatia_core._hypatia_core import HypatiaError

Numerics = Literal["exact", "accurate", "reassociate", "reals"]
OnError = Literal["warn", "raise"]
Weights = Literal["sampled", "strict", "off"]
Precision = Literal["float32", "bfloat16"]
Candidates = Literal["likely", "all"]

#: What torch users write as ``mode=``, and what it means here.
MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "reduce-overhead": {"executor": "aten"},
    "max-autotune": {"executor": "auto", "candidates": "all"},
    "max-autotune-no-cudagraphs": {"executor": "auto", "candidates": "all"},
}


def _option(default: Any, meaning: str) -> Any:
    return dataclasses.field(default=default, metadata={"meaning": meaning})


_CHOICES = (
    ("numerics", get_args(Numerics)),
    ("on_error", get_args(OnError)),
    ("weights", get_args(Weights)),
    ("precision", get_args(Precision)),
    ("candidates", get_args(Candidates)),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of one compilation.

    >>> Options.from_user(None, {"numerics": "exact"}).numerics
    'exact'
    >>> Options.from_user(None, {"numeric": "exact"})
    Traceback (most recent call last):
    hypatia_core.HypatiaError: unknown option 'numeric' (did you mean 'numerics'?). Options: ...
    """

    numerics: Numerics = _option(
        "reassociate",
        "which rewrites are admitted: 'exact' (bit-equal only), 'accurate' (only what errs no more than the "
        "original; what errs much less is taken even where it is slower), 'reassociate' (sums and products "
        "reordered), 'reals' (identities of the reals)",
    )
    executor: str = _option(
        "auto",
        "'auto' (measured), 'aten', 'native', 'inductor', 'onednn' or any registered Dynamo backend's name",
    )
    candidates: Candidates = _option(
        "likely",
        "'likely' (of a large graph, and of the original beside what it was rewritten to, generated code is "
        "made only where times of the parts say that it may be the fastest) or 'all'",
    )
    precision: Precision = _option(
        "float32",
        "'bfloat16' lets products with weights run in it where the processor can and it measures faster; a "
        "result that errs more than 1/128 of an output's largest value is refused",
    )
    on_error: OnError = _option(
        "warn", "'warn' (fall back, with one warning that names the reason) or 'raise'"
    )
    verify: bool = _option(True, "run original and candidate on the real inputs against float64 before use")
    measure: bool = _option(
        True, "choose between candidates by timing them; without it the cost model decides"
    )
    weights: Weights = _option(
        "sampled",
        "what depends on weights alone is computed once, and again when they changed, which is noticed by "
        "versions, addresses and 'sampled' memory, or by all of their memory ('strict'); with 'off' it is "
        "computed on each call",
    )
    weights_cap: int = _option(
        4_096, "megabytes that folded and packed copies of weights may take for one graph"
    )
    check_proof: bool = _option(
        False, "replay the steps of every rewrite from the original to the result, apart from the search"
    )
    cache: bool = _option(
        True, "keep what was found and measured on disk (HYPATIA_CACHE_DIR), and take it from there"
    )
    tiered: bool = _option(
        False,
        "at inference serve by 'aten' while another process generates code, which is then verified in a "
        "thread, timed in turns with it by the calls themselves, and swapped in between two",
    )
    profile: bool = _option(False, "measure each node of both programs at the first call, for the report")
    max_nodes: int = _option(8_000, "the search of one island of the graph stops at so many e-graph nodes")
    max_iterations: int = _option(12, "the search stops after so many rounds")
    max_matches: int = _option(
        64, "new matches in one round above which a rule that makes programs larger has to wait"
    )

    def __post_init__(self) -> None:
        for name, accepted in _CHOICES:
            value = getattr(self, name)
            if value not in accepted:
                raise HypatiaError(
                    f"option {name!r} is {value!r}; accepted: {', '.join(map(repr, accepted))}"
                )
        for field in dataclasses.fields(self):
            value, default = getattr(self, field.name), field.default
            if type(value) is not type(default):
                raise HypatiaError(
                    f"option {field.name!r} is {value!r} ({type(value).__name__}); "
                    f"a {type(default).__name__} is accepted"
                )
            if type(value) is int and value < 1:
                raise HypatiaError(f"option {field.name!r} is {value}; at least 1 is accepted")

    @classmethod
    def from_user(cls, mode: str | None, options: Mapping[str, Any] | None) -> Options:
        """The options of a ``torch.compile`` call, over those of the process.

        Args:
            mode: one of torch's modes, or None.
            options: names and values; None for none.

        Raises:
            HypatiaError: an unknown mode, option or value; the message lists what is accepted.
        """
        chosen: dict[str, Any] = {}
        if mode is not None:
            if mode not in MODES:
                raise HypatiaError(
                    f"unknown mode {mode!r}{_nearest(mode, MODES)}. Modes: {', '.join(MODES)}."
                )
            chosen.update(MODES[mode])
        chosen.update(options or {})
        check_names(chosen)
        return dataclasses.replace(config.current(), **chosen)


def option_names() -> list[str]:
    """Every option's name, in alphabetical order."""
    return sorted(field.name for field in dataclasses.fields(Options))


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_names(chosen: Mapping[str, Any]) -> None:
    """Refuses names that are no options."""
    known = option_names()
    for name in chosen:
        if name not in known:
            raise HypatiaError(
                f"unknown option {name!r}{_nearest(str(name), known)}. Options: {', '.join(known)}."
            )


def _from_environment() -> Options:
    chosen: dict[str, Any] = {}
    for field in dataclasses.fields(Options):
        variable = f"HYPATIA_{field.name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        try:
            chosen[field.name] = _READERS[type(field.default)](text)
        except (KeyError, ValueError):
            kind = type(field.default).__name__
            raise HypatiaError(f"environment variable {variable} is {text!r}; a {kind} is accepted") from None
    return Options(**chosen)


_READERS: dict[type, Any] = {
    str: str,
    int: int,
    bool: lambda text: {"1": True, "true": True, "0": False, "false": False}[text.lower()],
}


class Config:
    """Options for the whole process, or for a block.

    Reading and assigning an attribute concerns the process; calling gives a context manager that concerns the
    block, in this thread:

    >>> import hypatia_core
    >>> with hypatia_core.config(numerics="exact"):
    ...     hypatia_core.config.numerics
    'exact'
    >>> hypatia_core.config.numerics
    'reassociate'

    At the start each option is what the environment variable ``HYPATIA_<NAME>`` says, if it is set.
    """

    _process: Options | None
    _block: threading.local

    def __init__(self) -> None:
        object.__setattr__(self, "_process", None)
        object.__setattr__(self, "_block", threading.local())

    def current(self) -> Options:
        """The options in force here."""
        stack = getattr(self._block, "stack", None)
        if stack:
            options: Options = stack[-1]
            return options
        if self._process is None:
            object.__setattr__(self, "_process", _from_environment())
        assert self._process is not None
        return self._process

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        check_names({name: None})
        return getattr(self.current(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        check_names({name: value})
        self.current()
        assert self._process is not None
        object.__setattr__(self, "_process", dataclasses.replace(self._process, **{name: value}))

    @contextlib.contextmanager
    def __call__(self, **chosen: Any) -> Iterator[None]:
        check_names(chosen)
        stack = self._block.__dict__.setdefault("stack", [])
        stack.append(dataclasses.replace(self.current(), **chosen))
        try:
            yield
        finally:
            stack.pop()


config = Config()
