"""Options: where they come from, which wins, and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import hypatia_core
from hypatia_core import HypatiaError, Options, config
from hypatia_core.options import MODES, Config, option_names


@pytest.fixture(autouse=True)
def process_options_kept() -> Iterator[None]:
    before = config.current()
    yield
    object.__setattr__(config, "_process", before)


def test_options_are_frozen_and_comparable() -> None:
    assert Options() == Options() and hash(Options()) == hash(Options())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().verify = False  # type: ignore[misc]
    assert all(field.metadata["meaning"] for field in dataclasses.fields(Options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"numeric": "exact"},
            "unknown option 'numeric' (did you mean 'numerics'?). Options: cache, candidates, check_proof, ",
        ),
        ({"zzz": 1}, "unknown option 'zzz'. Options: "),
        ({"numerics": "fast"}, "accepted: 'exact', 'accurate', 'reassociate', 'reals'"),
        ({"on_error": "ignore"}, "accepted: 'warn', 'raise'"),
        ({"verify": 1}, "option 'verify' is 1 (int); a bool is accepted"),
        ({"max_nodes": True}, "option 'max_nodes' is True (bool); a int is accepted"),
        ({"max_nodes": 0}, "option 'max_nodes' is 0; at least 1 is accepted"),
        ({"executor": None}, "a str is accepted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(HypatiaError) as caught:
        Options.from_user(None, options)
    assert words in str(caught.value)


def test_modes() -> None:
    for mode, meant in MODES.items():
        options = Options.from_user(mode, None)
        assert all(getattr(options, name) == value for name, value in meant.items())
    assert Options.from_user("reduce-overhead", {"executor": "eager"}).executor == "eager"
    with pytest.raises(
        HypatiaError, match=r"unknown mode 'reduce_overhead' \(did you mean 'reduce-overhead'\?\)"
    ):
        Options.from_user("reduce_overhead", None)
    for mode in ("default", "max-autotune-no-cudagraphs"):
        assert torch.compile(lambda x: x, backend="hypatia", mode=mode) is not None


def test_a_block_over_the_process_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPATIA_NUMERICS", "reals")
    monkeypatch.setenv("HYPATIA_VERIFY", "False")
    monkeypatch.setenv("HYPATIA_MAX_NODES", "77")
    fresh = Config()
    assert (fresh.numerics, fresh.verify, fresh.max_nodes) == ("reals", False, 77)
    fresh.numerics = "accurate"
    assert fresh.numerics == "accurate" and fresh.max_nodes == 77
    with fresh(numerics="exact", measure=False):
        assert (fresh.numerics, fresh.measure, fresh.max_nodes) == ("exact", False, 77)
        with fresh(numerics="reals"):
            assert fresh.numerics == "reals" and not fresh.measure
        assert fresh.numerics == "exact"
    assert fresh.numerics == "accurate" and fresh.measure


@pytest.mark.parametrize(
    ("name", "text"), [("VERIFY", "maybe"), ("MAX_NODES", "many"), ("NUMERICS", "loose")]
)
def test_wrong_variables_name_themselves(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HYPATIA_{name}", text)
    with pytest.raises(HypatiaError, match=repr(text)):
        Config().current()


def test_a_block_is_left_when_it_raises_and_concerns_its_thread() -> None:
    seen: list[str] = []

    def block() -> None:
        with config(numerics="exact"):
            thread = threading.Thread(target=lambda: seen.append(config.numerics))
            thread.start()
            thread.join()
            raise ValueError("out")

    with pytest.raises(ValueError, match="out"):
        block()
    assert seen == ["reassociate"] and config.numerics == "reassociate"


def test_wrong_names_on_the_process() -> None:
    with pytest.raises(HypatiaError, match="did you mean 'verify'"):
        config.verfy = True
    with pytest.raises(HypatiaError, match="did you mean 'verify'"):
        _ = config.verfy
    with pytest.raises(HypatiaError, match="accepted"):
        config.numerics = "loose"
    assert config.numerics == "reassociate"
    assert set(option_names()) == {field.name for field in dataclasses.fields(Options)}


def test_the_process_decides_for_compile_calls_without_options() -> None:
    torch._dynamo.reset()
    config.executor = "aten"
    with config(numerics="exact", measure=False):
        compiled = torch.compile(lambda a, b, v: (a @ b) @ v, backend="hypatia")
        compiled(torch.ones(8, 8), torch.ones(8, 8), torch.ones(8, 1))
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.executor == "aten" and not graph.rewritten
    torch._dynamo.reset()
