"""Twenty steps of training in several processes over gloo, eager and by Hypatia: what each rank runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

STEPS = 20


class Model(nn.Module):
    """A class of our own: frames of torch's own modules are not compiled by themselves."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(16, 32)
        self.norm = nn.LayerNorm(32)
        self.second = nn.Linear(32, 16)
        self.third = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.third(self.second(self.norm(self.first(x).relu())).relu() * 2)
        return y


def data_parallel(ranks: int) -> nn.Module:
    return DistributedDataParallel(Model())


def fully_sharded(ranks: int) -> nn.Module:
    mesh, whole = init_device_mesh("cpu", (ranks,)), Model()
    for layer in (whole.first, whole.second, whole.third):
        fully_shard(layer, mesh=mesh)
    fully_shard(whole, mesh=mesh)
    return whole


def tensor_parallel(ranks: int) -> nn.Module:
    columns = ColwiseParallel(output_layouts=Replicate())
    plan = {"first": columns, "second": columns, "third": RowwiseParallel(input_layouts=Replicate())}
    return parallelize_module(Model(), init_device_mesh("cpu", (ranks,)), plan)


WAYS: dict[str, Callable[[int], nn.Module]] = {
    "DDP": data_parallel,
    "FSDP2": fully_sharded,
    "tensor parallel": tensor_parallel,
}


def losses(way: str, ranks: int, rank: int, compiled: bool) -> list[float]:
    """The loss of each step."""
    torch._dynamo.reset()
    trained = WAYS[way](ranks)
    options: dict[str, Any] = {"executor": "aten", "on_error": "raise"}
    run: Any = torch.compile(trained, backend="hypatia", options=options) if compiled else trained
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.05)
    # Ranks of a tensor parallel model see the same data.
    generator = torch.Generator().manual_seed(0 if way == "tensor parallel" else rank)
    found = []
    for _ in range(STEPS):
        x, wanted = (torch.randn(8, n, generator=generator) for n in (16, 4))
        optimizer.zero_grad()
        loss = (run(x) - wanted).pow(2).mean()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def train(rank: int, ranks: int, folder: str) -> None:
    """What one process does."""
    from torch._dynamo.utils import counters

    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks, init_method=f"file://{folder}/meeting")
    found = {}
    for way in WAYS:
        counters.clear()
        eager, ours = (losses(way, ranks, rank, compiled) for compiled in (False, True))
        found[way] = {"eager": eager, "ours": ours, "graphs": counters["stats"]["unique_graphs"]}
    Path(folder, f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ["HYPATIA_CACHE_DIR"] = ""
    spawn(train, args=(int(sys.argv[1]), sys.argv[2]), nprocs=int(sys.argv[1]))
