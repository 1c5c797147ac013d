"""Sixty of PyTorch's own operators and modules, drawn at random; `make conformance` runs them all."""

from __future__ import annotations

import os
import random
import warnings

import pytest

pytest.importorskip("expecttest", reason="torch's tables need it")

from conformance.cases import Case, cases
from conformance.comparison import Outcome, compare, compile_with
from conformance.round_trip import every_graph_rewritten

#: HYPATIA_CONFORMANCE_SEED gives another draw.
SEED = os.environ.get("HYPATIA_CONFORMANCE_SEED", "0")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    DRAWN = random.Random(SEED).sample(cases(), 60)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_agrees_with_eager_as_well_as_aot_eager(case: Case) -> None:
    hypatia = compile_with("hypatia", executor="aten", verify=False, measure=False, on_error="raise")
    with every_graph_rewritten():
        result = compare(case, hypatia, compile_with("aot_eager"))
    assert result.outcome is not Outcome.FAILED, f"{result.reasons} (draw {SEED})"
