"""The Dynamo backend."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from hypatia_core.log import announce


def hypatia_backend(
    gm: torch.fx.GraphModule,
    example_inputs: list[Any],
    *,
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compile one graph of Dynamo's."""
    announce("[Hypatia] Compiling graph with %d nodes", len(gm.graph.nodes))
    return gm.forward
