"""Each rewrite of products in each spelling of a product: the programs of a table by the rows of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import hypatia_core

SIDE, THIN, BATCH = 256, 4, 3

Product = Callable[[Any, Any], Any]


def by_linear(a: Any, b: Any) -> Any:
    return functional.linear(a, b.mT)


def by_einsum(a: Any, b: Any) -> Any:
    return torch.einsum("...ij,...jk->...ik", a, b)


def by_addmm(a: Any, b: Any) -> Any:
    return torch.addmm(a.new_zeros(a.shape[0], b.shape[1]), a, b)


def by_baddbmm(a: Any, b: Any) -> Any:
    return torch.baddbmm(a.new_zeros(a.shape[0], a.shape[1], b.shape[2]), a, b)


def by_permute(a: Any, b: Any) -> Any:
    axes = [*range(a.dim() - 2), a.dim() - 1, a.dim() - 2]
    return (b.permute(axes) @ a.permute(axes)).permute(axes)


#: How a user writes a product of matrices.
MATRICES: dict[str, Product] = {
    "@": lambda a, b: a @ b,
    "mm": torch.mm,
    "matmul": torch.matmul,
    "einsum": lambda a, b: torch.einsum("ij,jk->ik", a, b),
    "linear": by_linear,
    "addmm": by_addmm,
    ".T": lambda a, b: (b.T @ a.T).T,
    "permute": by_permute,
    "tensordot": lambda a, b: torch.tensordot(a, b, dims=1),
}
#: The same of stacks of matrices.
STACKS: dict[str, Product] = {
    "@": lambda a, b: a @ b,
    "bmm": torch.bmm,
    "matmul": torch.matmul,
    "einsum": by_einsum,
    "baddbmm": by_baddbmm,
    "transpose": lambda a, b: (b.transpose(1, 2) @ a.transpose(1, 2)).mT,
    "permute": by_permute,
}
SPELLINGS = [("matrix", name) for name in MATRICES] + [("stack", name) for name in STACKS]

#: By name: a program of three matrices by a product, and the least part of its cost that must go.
PROGRAMS: dict[str, tuple[Callable[[Product, Any, Any, Any], Any], float]] = {
    "chain of three": (lambda p, a, b, c: p(p(a, b), c[..., :THIN]), 0.8),
    "chain of four": (lambda p, a, b, c: p(p(p(a, b), c), c[..., :THIN]), 0.8),
    "thin in the middle": (lambda p, a, b, c: p(a, p(p(b[..., :THIN], c[..., :THIN, :]), a)), 0.3),
    "sum": (lambda p, a, b, c: p(a, b).sum(), 0.7),
    "sum of rows": (lambda p, a, b, c: p(a, b).sum(-2), 0.8),
    "sum of columns": (lambda p, a, b, c: p(a, b).sum(-1), 0.8),
    "mean": (lambda p, a, b, c: p(a, b).mean(), 0.7),
    "mean of rows": (lambda p, a, b, c: p(a, b).mean(-2), 0.8),
    "diagonal": (lambda p, a, b, c: p(a, b).diagonal(dim1=-2, dim2=-1), 0.5),
    "trace": (lambda p, a, b, c: p(a, b).diagonal(dim1=-2, dim2=-1).sum(-1), 0.5),
    "element": (lambda p, a, b, c: p(a, b)[..., 2, 3], 0.9),
    "rows": (lambda p, a, b, c: p(a, b)[..., 4:8, :], 0.8),
    "columns": (lambda p, a, b, c: p(a, b)[..., 4:8], 0.8),
    "last row": (lambda p, a, b, c: p(a, b)[..., -1, :], 0.8),
    "gathered rows": (lambda p, a, b, c: p(a, b).index_select(-2, torch.tensor([5, 1])), 0.8),
    "rows of a sum": (lambda p, a, b, c: (p(a, b) + c)[..., :THIN, :], 0.8),
    "common left factor": (lambda p, a, b, c: p(a, b) + p(a, c), 0.3),
    "common right factor": (lambda p, a, b, c: p(a, c) - p(b, c), 0.3),
    "projection": (lambda p, a, b, c: p(a - p(b.mT, b), c[..., :THIN]), 0.7),
    "scale": (lambda p, a, b, c: p(a * 3.0, b[..., :THIN]), 0.1),
    "twice": (lambda p, a, b, c: p(a, b) + p(a, b) * c, 0.3),
    "transposed twice": (lambda p, a, b, c: p(a, b) * p(b.mT, a.mT).mT, 0.3),
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("kind", "spelling"), SPELLINGS, ids=[f"{k} {s}" for k, s in SPELLINGS])
@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(torch.float32, id="float32"),
        pytest.param(torch.float64, id="float64", marks=pytest.mark.slow),
    ],
)
def test_a_product_is_seen_in_each_spelling(
    program: str, kind: str, spelling: str, dtype: torch.dtype
) -> None:
    product = (MATRICES if kind == "matrix" else STACKS)[spelling]
    run, part = PROGRAMS[program]
    torch.manual_seed(0)
    torch._dynamo.reset()
    shape = (SIDE, SIDE) if kind == "matrix" else (BATCH, SIDE, SIDE)
    inputs = [torch.randn(shape, dtype=dtype) for _ in range(3)]
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled = torch.compile(lambda *x: run(product, *x), backend="hypatia", options=options)
    with torch.no_grad():
        wanted = run(product, *[x.double() for x in inputs])
        given = compiled(*inputs)
    scale = float(wanted.abs().max())
    assert float((given - wanted).abs().max()) <= 1e4 * torch.finfo(dtype).eps * scale
    (graph,) = hypatia_core.report(compiled).graphs
    assert graph.cost_before is not None and graph.cost_after is not None
    assert graph.cost_after <= (1 - part) * graph.cost_before, graph.rules


class Table(torch.nn.Module):
    """A product of rows by the table of Cl(3, 0), which the module holds."""

    def __init__(self, product: Callable[[Any, Any, Any], Any], dtype: torch.dtype) -> None:
        super().__init__()
        self.product = product
        table = torch.zeros(8, 8, 8, dtype=dtype)
        for i in range(8):
            for j in range(8):
                swaps = sum((i >> (bit + 1)).bit_count() for bit in range(3) if j >> bit & 1)
                table[i, j, i ^ j] = (-1.0) ** swaps
        self.register_buffer("table", table)

    def forward(self, x: Any, y: Any) -> Any:
        return self.product(x, y, self.table)


def outer(x: Any, y: Any) -> Any:
    return x[:, :, None] * y[:, None, :]


#: How a user writes a bilinear map by a table, and what runs it then.
TABLES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "einsum": lambda x, y, t: torch.einsum("bi,bj,ijk->bk", x, y, t),
    "einsum, table first": lambda x, y, t: torch.einsum("ijk,bi,bj->bk", t, x, y),
    "einsum, table between": lambda x, y, t: torch.einsum("bi,ijk,bj->bk", x, t, y),
    "two einsums": lambda x, y, t: torch.einsum("bkj,bj->bk", torch.einsum("bi,ijk->bkj", x, t), y),
    "outer product": lambda x, y, t: outer(x, y).reshape(-1, 64) @ t.reshape(64, 8),
    "outer einsum": lambda x, y, t: torch.einsum("bi,bj->bij", x, y).flatten(1) @ t.flatten(0, 1),
    "tensordot": lambda x, y, t: torch.tensordot(outer(x, y), t, 2),
    "matmul": lambda x, y, t: (y[:, None, :] @ (x @ t.reshape(8, 64)).reshape(-1, 8, 8)).squeeze(1),
}


def centred(x: Any) -> Any:
    return x - x.mean(-1, keepdim=True)


def mean_square(x: Any) -> Any:
    return (x * x).mean(-1, keepdim=True) + 1e-5


def spelled_out(scores: Any) -> Any:
    weights = torch.exp(scores)
    return weights / weights.sum(-1, keepdim=True)


def weighed(weights: Any, values: Any) -> Any:
    return (weights @ values) / weights.sum(-1, keepdim=True)


def by_stacks(product: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Attention over stacks of heads, its scores by a product."""

    def attend(q: Any, k: Any, v: Any) -> Any:
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        return torch.bmm(torch.softmax(product(q, k.mT), -1), v)

    return attend


def heads_last(q: Any, k: Any, v: Any) -> Any:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    weights = torch.softmax(torch.einsum("bqhd,bkhd->bhqk", q, k) / 8, -1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


def by_var_mean(x: Any) -> Any:
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5)


def by_sums(x: Any) -> Any:
    deviation = x - x.sum(-1, keepdim=True) / SIDE
    return deviation / torch.sqrt((deviation * deviation).sum(-1, keepdim=True) / SIDE + 1e-5)


#: By family: what the program has at last, and how a user writes it.
FAMILIES: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "inverse": (
        "linalg_lu_solve",
        {
            "inverse": lambda a, b: torch.inverse(a) @ b,
            "linalg": lambda a, b: torch.linalg.inv(a) @ b,
            "method": lambda a, b: a.inverse().mm(b),
            "linear": lambda a, b: functional.linear(b.T, torch.linalg.inv(a)).T,
            "from the right": lambda a, b: b.T @ torch.linalg.inv(a),
            "without an error": lambda a, b: torch.linalg.inv_ex(a)[0] @ b,
            "vector": lambda a, b: torch.linalg.inv(a).mv(b[:, 0]),
            "einsum": lambda a, b: torch.einsum("ij,jk->ik", torch.linalg.inv(a), b),
            # Stacks of more than 128 rows hang in torch's LAPACK after set_num_threads (docs/limits.md).
            "stack": lambda a, b: torch.linalg.inv(a[:64, :64].expand(3, -1, -1)) @ b[:64],
            "transposed twice": lambda a, b: torch.linalg.inv(a.T).T @ b,
            "transposed twice, from the right": lambda a, b: b.T @ torch.linalg.inv(a.T).T,
        },
    ),
    "layer norm": (
        "native_layer_norm",
        {
            "function": lambda x: functional.layer_norm(x, (SIDE,)),
            "root": lambda x: centred(x) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5),
            "rsqrt": lambda x: centred(x) * torch.rsqrt(x.var(-1, correction=0, keepdim=True) + 1e-5),
            "power": lambda x: centred(x) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5) ** 0.5,
            "squares": lambda x: centred(x) / mean_square(centred(x)).sqrt(),
            "sums over their counts": by_sums,
            "pow": lambda x: centred(x) * (centred(x).pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt(),
            "var_mean": by_var_mean,
        },
    ),
    "RMS norm": (
        "linalg_vector_norm",
        {
            "function": lambda x: functional.rms_norm(x, (SIDE,), eps=1e-5),
            "pow": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5),
            "square": lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5),
            "product": lambda x: x * mean_square(x).rsqrt(),
            "root": lambda x: x / torch.sqrt(mean_square(x)),
            "power": lambda x: x / ((x**2).mean(-1, keepdim=True) + 1e-5) ** 0.5,
            "negative power": lambda x: x * mean_square(x) ** -0.5,
            "reciprocal": lambda x: x * (1 / torch.sqrt(mean_square(x))),
            "sum over its count": lambda x: x * torch.rsqrt((x * x).sum(-1, keepdim=True) / SIDE + 1e-5),
        },
    ),
    "attention": (
        "scaled_dot_product_attention",
        {
            "quotient": lambda q, k, v: torch.softmax(q @ k.transpose(-2, -1) / 8, -1) @ v,
            "factor": lambda q, k, v: torch.softmax(q @ k.mT * 0.125, -1) @ v,
            "scaled queries": lambda q, k, v: torch.softmax((q * 0.125) @ k.mT, -1) @ v,
            "divided queries": lambda q, k, v: torch.softmax((q / 8) @ k.mT, -1) @ v,
            "scaled both": lambda q, k, v: torch.softmax((q * 8**-0.5) @ (k * 8**-0.5).mT, -1) @ v,
            "unscaled": lambda q, k, v: functional.softmax(q @ k.permute(0, 1, 3, 2), dim=-1) @ v,
            "einsum": lambda q, k, v: torch.einsum(
                "bhqk,bhkd->bhqd", torch.softmax(torch.einsum("bhqd,bhkd->bhqk", q, k) * 0.125, -1), v
            ),
            "einsum, heads last": heads_last,
            "bmm": by_stacks(lambda q, k: torch.bmm(q, k) / 8),
            "baddbmm": by_stacks(lambda q, k: torch.baddbmm(q.new_zeros(1, 1, 1), q, k, beta=0, alpha=0.125)),
            "spelled out": lambda q, k, v: spelled_out(q @ k.mT / 8) @ v,
            "spelled out, shifted": lambda q, k, v: (
                spelled_out(q @ k.mT / 8 - (q @ k.mT / 8).amax(-1, keepdim=True)) @ v
            ),
            "divided after the product": lambda q, k, v: weighed(torch.exp(q @ k.mT / 8), v),
            "dropout": lambda q, k, v: (
                functional.dropout(torch.softmax(q @ k.mT / 8, -1), 0.1, training=False) @ v
            ),
            "of a type": lambda q, k, v: torch.softmax(q @ k.mT / 8, -1, dtype=q.dtype).to(v.dtype) @ v,
        },
    ),
    "LoRA": (
        "addmm",
        {
            "@": lambda x, w, a, b: x @ (w + a @ b),
            "factor": lambda x, w, a, b: x @ (w + 2.0 * (a @ b)),
            "quotient": lambda x, w, a, b: x @ (w + (a @ b) / 2),
            "alpha": lambda x, w, a, b: x @ torch.add(w, a @ b, alpha=2),
            "addmm": lambda x, w, a, b: x @ torch.addmm(w, a, b),
            "addmm, alpha": lambda x, w, a, b: x @ torch.addmm(w, a, b, alpha=0.5),
            "linear": lambda x, w, a, b: functional.linear(x, w + b.T @ a.T),
            "linear, transposed": lambda x, w, a, b: functional.linear(x, w + (a @ b).T),
            "einsum": lambda x, w, a, b: torch.einsum("bi,ij->bj", x, w + torch.einsum("ir,rj->ij", a, b)),
        },
    ),
    "Kronecker product": (
        "mm",
        {
            "@": lambda a, b, x: torch.kron(a, b) @ x,
            "mv": lambda a, b, x: torch.kron(a, b).mv(x[:, 0]),
            "linear": lambda a, b, x: functional.linear(x.T, torch.kron(a, b)).T,
            "outer product": lambda a, b, x: (
                (a[:, None, :, None] * b[None, :, None, :]).reshape(SIDE, SIDE) @ x
            ),
            "einsum": lambda a, b, x: torch.einsum("ij,kl->ikjl", a, b).reshape(SIDE, SIDE) @ x,
        },
    ),
    "Kronecker product of rows": (
        "matmul",
        {
            "@": lambda a, b, x: x @ torch.kron(a, b),
            "linear": lambda a, b, x: functional.linear(x, torch.kron(a, b).T),
            "several columns": lambda a, b, x: torch.kron(a, b) @ x.T,
        },
    ),
}
#: The operands of a family, and the least part of its cost that must go; a "function" may keep all.
OPERANDS: dict[str, tuple[Callable[[torch.dtype], tuple[Any, ...]], float]] = {
    "inverse": (
        lambda d: (
            torch.randn(SIDE, SIDE, dtype=d) + 32 * torch.eye(SIDE, dtype=d),
            torch.randn(SIDE, 4, dtype=d),
        ),
        0.5,
    ),
    "layer norm": (lambda d: (torch.randn(64, SIDE, dtype=d),), 0.7),
    "RMS norm": (lambda d: (torch.randn(64, SIDE, dtype=d),), 0.5),
    "attention": (lambda d: tuple(torch.randn(2, 4, 64, 64, dtype=d) for _ in range(3)), 0.3),
    "LoRA": (
        lambda d: tuple(torch.randn(s, dtype=d) for s in ((4, 512), (512, 512), (512, 4), (4, 512))),
        0.6,
    ),
    "Kronecker product": (
        lambda d: (*(torch.randn(16, 16, dtype=d) for _ in range(2)), torch.randn(SIDE, 1, dtype=d)),
        0.8,
    ),
    "Kronecker product of rows": (
        lambda d: (*(torch.randn(16, 16, dtype=d) for _ in range(2)), torch.randn(8, SIDE, dtype=d)),
        0.7,
    ),
}
IN_FAMILIES = [(family, spelling) for family, (_, spellings) in FAMILIES.items() for spelling in spellings]
DTYPES = [
    pytest.param(torch.float32, id="float32"),
    pytest.param(torch.float64, id="float64", marks=pytest.mark.slow),
]


def rewritten(run: Callable[..., Any], inputs: tuple[Any, ...], wanted: Any) -> hypatia_core.GraphReport:
    """The report of a compiled program whose result is as wanted."""
    torch._dynamo.reset()
    options: dict[str, Any] = {"executor": "aten", "measure": False, "on_error": "raise"}
    compiled = torch.compile(run, backend="hypatia", options=options)
    with torch.no_grad():
        given = compiled(*inputs)
    error = float((given - wanted).abs().max()) / float(wanted.abs().max())
    assert error <= 1e4 * torch.finfo(given.dtype).eps
    (graph,) = hypatia_core.report(compiled).graphs
    return graph


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("family", "spelling"), IN_FAMILIES, ids=[f"{f} {s}" for f, s in IN_FAMILIES])
def test_what_it_is_is_seen_in_each_spelling(family: str, spelling: str, dtype: torch.dtype) -> None:
    found_by, spellings = FAMILIES[family]
    make, part = OPERANDS[family]
    torch.manual_seed(0)
    inputs = make(dtype)
    wanted = spellings[spelling](*[x.double() for x in inputs])
    graph = rewritten(spellings[spelling], inputs, wanted)
    assert graph.cost_before is not None and graph.cost_after is not None
    if spelling != "function":
        assert graph.cost_after <= (1 - part) * graph.cost_before, graph.rules
    program = graph.after or graph.before
    assert program is not None and found_by in [node.op for node in program.nodes]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spelling", TABLES)
def test_a_table_is_seen_in_each_spelling(spelling: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(1000, 8, dtype=dtype) for _ in range(2))
    with torch.no_grad():
        wanted = Table(TABLES[spelling], torch.float64)(x.double(), y.double())
    graph = rewritten(Table(TABLES[spelling], dtype), (x, y), wanted)
    program = graph.after or graph.before
    ours = any(node.op == "hypatia.bilinear" for node in program.nodes) if program is not None else False
    assert ours or any("bilinear" in name for name in graph.implementations), graph.rules
