"""Training in several processes: eager's losses, under data, sharded and tensor parallelism."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed

import hypatia_core
from agreement import hypatia
from distributed_training import STEPS, WAYS
from hypatia_core import compat

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch is without gloo")


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_losses_are_those_of_eager(ranks: int, tmp_path: Path) -> None:
    script = Path(__file__).with_name("distributed_training.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(ranks), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(ranks)]
    for way in WAYS:
        for rank in found:
            assert rank[way]["graphs"] > 0, f"{way}: nothing was compiled"
            assert len(rank[way]["ours"]) == STEPS and rank[way]["ours"][-1] < rank[way]["ours"][0]
            assert rank[way]["ours"] == pytest.approx(rank[way]["eager"], rel=1e-5), way
    assert len({tuple(rank["tensor parallel"]["ours"]) for rank in found}) == 1, "ranks decide alike"


def test_ranks_do_not_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "among_ranks", lambda: True)
    torch._dynamo.reset()
    compiled = hypatia(lambda a, b, v: (a @ b) @ v)
    compiled(torch.randn(64, 64), torch.randn(64, 64), torch.randn(64, 1))
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.rewritten and not graph.measured
    assert any("ranks" in reason for reason in graph.refusals)
