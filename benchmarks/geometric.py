"""Geometric algebra against clifford, kingdon and NumPy by hand; Clifford layers against Inductor.

    pip install "hypatia-core[bench]"
    python benchmarks/geometric.py            # everything
    python benchmarks/geometric.py --rounds 3 --points 100000 --only points

Every contender's answer is compared with the engine's before it is timed. Contenders take turns, round by
round, in one process; the median round is printed. `x` is the contender's time over Hypatia's: above 1
Hypatia is faster. The tables go to benchmarks/results/geometric.txt and .json, part by part: a part that is
run by itself replaces its own rows there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from records import RESULTS, save

import hypatia_core
from hypatia_core import PyAlgebra, PyMultiVector
from hypatia_core.clifford import Algebra, CliffordLinear, GeometricProduct, MVActivation, rotor

Contender = Callable[[], Any]
RNG = np.random.default_rng(0)
#: What was measured in this run: title, and seconds by contender.
ROWS: list[dict[str, Any]] = []


def seconds(function: Contender, at_least: float) -> float:
    """Seconds a call, over as many calls as fill the time."""
    calls, begin = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        spent = time.perf_counter() - begin
        if spent >= at_least:
            return spent / calls


def show(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:8.2f} {unit}"
    return f"{value * 1e9:8.1f} ns"


def compare(
    title: str, contenders: dict[str, Contender], rounds: int, scale: dict[str, float] | None = None
) -> None:
    """Prints the medians of alternating rounds; `scale` multiplies a contender that ran on less work."""
    for function in contenders.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, function in contenders.items():
            times[name].append(seconds(function, 0.05))
    medians = {name: statistics.median(t) * (scale or {}).get(name, 1.0) for name, t in times.items()}
    ROWS.append({"title": title, "seconds": medians, "scale": scale or {}})
    print("\n" + lines_of(ROWS[-1]), flush=True)


def lines_of(row: dict[str, Any]) -> str:
    """One comparison as text."""
    lines = [row["title"]]
    for name, value in row["seconds"].items():
        part = row["scale"].get(name)
        note = f"  (measured on 1/{part:.0f} of the work)" if part else ""
        lines.append(f"  {name:34s}{show(value)}   {value / row['seconds']['hypatia']:8.2f}x{note}")
    return "\n".join(lines)


def keep(part: str, machine: str) -> None:
    """Puts the rows of a part into the results."""
    path = RESULTS / "geometric.json"
    parts = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.exists() else {}
    parts[part] = {"machine": machine, "rows": list(ROWS)}
    text: list[str] = []
    for name, found in parts.items():
        text += [f"== {name}: {found['machine']}", "", *(lines_of(row) + "\n" for row in found["rows"])]
    save("geometric", {"parts": parts}, text)
    ROWS.clear()


def agree(name: str, got: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Stops the run where a contender computes something else."""
    got, expected = np.asarray(got, float), np.asarray(expected, float)
    error = np.abs(got - expected).max() / max(1.0, np.abs(expected).max())
    if not error <= tolerance:
        raise SystemExit(f"{name} disagrees with Hypatia by {error:g}")


def kingdon_value(algebra: Any, value: PyMultiVector) -> Any:
    """A multivector in kingdon, blades matched by name; only the grades that are not zero."""
    grades = value.grades()
    keys = [k for k in algebra.canon2bin if (0 if k == "e" else len(k) - 1) in grades]
    return algebra.multivector(keys=tuple(keys), values=[value["s" if k == "e" else k] for k in keys])


def of_kingdon(value: Any, like: PyAlgebra) -> list[float]:
    """Coefficients in the order of Hypatia's blades; each is matched by name."""
    out = [0.0] * len(like)
    names = value.algebra.bin2canon
    for key, c in value.items():
        k, sign = like.blade_index("s" if names[key] == "e" else names[key])
        out[k] += sign * float(c)
    return out


def clifford_value(blades: Any, layout: Any, value: PyMultiVector, first: int) -> Any:
    """A multivector in clifford, which counts basis vectors from 1 and puts null ones last."""
    out = 0 * layout.scalar
    for name, c in zip(value.algebra.blades, value, strict=True):
        if c:
            term = layout.scalar
            for digit in "" if name == "s" else name[1:]:
                index = int(digit) - first
                term = term ^ blades[f"e{index + 1}"]
            out = out + c * term
    return out


# kingdon writes code from these, under their names.
def turned_by_products(versor: Any, x: Any) -> Any:
    return versor * x * ~versor


def turned(versor: Any, x: Any) -> Any:
    return versor >> x


def single_operations(rounds: int) -> None:
    import clifford as cf
    from kingdon import Algebra as Kingdon

    for model, (p, q, r) in {"VGA3D": (3, 0, 0), "CGA3D": (4, 1, 0)}.items():
        native = PyAlgebra.named(model)
        layout, blades = cf.Cl(p, q, r)
        k = Kingdon(p, q, r, start_index=1)
        a, b = (native.multivector(RNG.normal(size=len(native))) for _ in range(2))
        turn = native.of_grade(2, RNG.normal(size=native.grades.count(2)) / 4).exp()
        x = native.of_grade(
            3 if model == "CGA3D" else 1, RNG.normal(size=native.grades.count(3 if p > 3 else 1))
        )
        table = np.zeros((len(native),) * 3)
        for i, row in enumerate(native.cayley("geometric")):
            for j, (m, sign) in enumerate(row):
                table[i, j, m] = sign
        na, nb, nt, nr, nx = (np.asarray(v) for v in (a, b, turn, ~turn, x))
        ca, cb, ct, cx = (clifford_value(blades, layout, v, 1) for v in (a, b, turn, x))
        ka, kb, kt, kx = (kingdon_value(k, v) for v in (a, b, turn, x))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            registered = k.register(turned_by_products)
            symbolic = k.register(turned, symbolic=True)
        agree("kingdon", of_kingdon(ka * kb, native), a * b)
        agree("kingdon sandwich", of_kingdon(kt >> kx, native), turn.sandwich(x))
        agree("kingdon symbolic", of_kingdon(symbolic(kt, kx), native), turn.sandwich(x))
        agree("clifford", (clifford_value(blades, layout, a * b, 1) - ca * cb).value, 0)
        agree(
            "clifford sandwich",
            (clifford_value(blades, layout, turn.sandwich(x), 1) - ct * cx * ~ct).value,
            0,
        )
        agree("numpy", np.einsum("i,ijk,j", na, table, nb), a * b)
        compare(
            f"{model}: product of two full multivectors",
            {
                "hypatia": lambda a=a, b=b: a * b,
                "clifford": lambda a=ca, b=cb: a * b,
                "kingdon": lambda a=ka, b=kb: a * b,
                "numpy, table by hand": lambda a=na, b=nb, t=table: np.einsum("i,ijk,j", a, t, b),
            },
            rounds,
        )
        compare(
            f"{model}: sandwich of a {'circle' if p > 3 else 'vector'} by an even versor",
            {
                "hypatia": lambda t=turn, x=x: t.sandwich(x),
                "clifford": lambda t=ct, x=cx: t * x * ~t,
                "kingdon": lambda t=kt, x=kx: t >> x,
                "kingdon registered": lambda f=registered, t=kt, x=kx: f(t, x),
                "kingdon symbolic": lambda f=symbolic, t=kt, x=kx: f(t, x),
                "numpy, table by hand": lambda a=nt, x=nx, r=nr, t=table: np.einsum(
                    "k,kjl,j", np.einsum("i,ijk,j", a, t, x), t, r
                ),
            },
            rounds,
        )


def motors(rounds: int) -> None:
    import clifford as cf

    native = PyAlgebra.named("PGA3D")
    twist = native.of_grade(2, RNG.normal(size=6) / 2)
    motor = twist.exp()
    layout, blades = cf.Cl(sig=[0, 1, 1, 1])
    ct = clifford_value(blades, layout, twist, 0)
    agree("clifford exp", (ct.exp() - clifford_value(blades, layout, motor, 0)).value, 0, 1e-9)
    agree("log", motor.log(), twist, 1e-9)
    compare(
        "PGA3D: exp of a twist (kingdon refuses: it is not simple)",
        {"hypatia": twist.exp, "clifford": ct.exp},
        rounds,
    )
    compare("PGA3D: log of a motor (the others have none)", {"hypatia": motor.log}, rounds)
    pga = Algebra.named("PGA3D")
    twists = pga.bivector(torch.randn(100_000, 6) / 2)
    moved = twists.exp()
    agree("batched log", moved.log().with_grades((2,)).values, twists.values, 1e-3)
    compare("PGA3D: exp of 100 000 twists, float32, eager", {"hypatia": twists.exp}, rounds)
    compare("PGA3D: log of 100 000 motors, float32, eager", {"hypatia": moved.log}, rounds)
    conformal = Algebra.named("CGA3D")
    twists = conformal.bivector(torch.randn(10_000, 10, dtype=torch.float64) / 4)
    moved = twists.exp()
    agree("batched log of conformal versors", moved.log().with_grades((2,)).values, twists.values, 1e-6)
    compare("CGA3D: exp of 10 000 bivectors, float64, eager", {"hypatia": twists.exp}, rounds)
    compare("CGA3D: log of 10 000 versors, float64, eager", {"hypatia": moved.log}, rounds)


def points(rounds: int, count: int) -> None:
    import clifford as cf
    from kingdon import Algebra as Kingdon

    axis, angle = [1.0, -2.0, 0.5], 0.7
    single = hypatia_core.PyMultiVector3D.rotor(angle, *axis)
    matrix = np.array(single.to_matrix())
    xyz = RNG.normal(size=(count, 3))
    expected = xyz @ matrix.T
    space = Algebra(3)
    turn = rotor(space, torch.tensor(angle, dtype=torch.float64), axis)
    batch = space.vector(torch.from_numpy(xyz))
    k = Kingdon(3)
    kr = kingdon_value(k, single)
    planar = np.ascontiguousarray(xyz.T)
    kx = k.vector(planar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        registered = k.register(turned_by_products)
        symbolic = k.register(turned, symbolic=True)
    layout, blades = cf.Cl(3)
    cr = clifford_value(blades, layout, single, 1)
    few = min(count, 1000)
    cx = [layout.MultiVector(np.array([0, *row, 0, 0, 0, 0])) for row in xyz[:few]]

    def by_clifford() -> list[Any]:
        reverse = ~cr
        return [cr * x * reverse for x in cx]

    agree("hypatia", turn.sandwich(batch).values, expected)
    agree("clifford", [x.value[1:4] for x in by_clifford()], expected[:few])
    for name, form in (("kingdon", lambda r, x: r >> x), ("registered", registered), ("symbolic", symbolic)):
        agree(f"kingdon {name}", np.stack(form(kr, kx).grade(1).values(), -1), expected)
    compare(
        f"{count} points turned by one rotor, float64",
        {
            "hypatia": lambda: turn.sandwich(batch),
            "numpy, matrix by hand": lambda: xyz @ np.array(single.to_matrix()).T,
            "kingdon": lambda: kr >> kx,
            "kingdon registered": lambda: registered(kr, kx),
            "kingdon symbolic": lambda: symbolic(kr, kx),
            "clifford": by_clifford,
        },
        rounds,
        {"clifford": count / few},
    )


class EinsumProduct(torch.nn.Module):
    """The geometric product as other people's layers have it: an einsum with the dense constant table."""

    cayley: torch.Tensor

    def __init__(self, algebra: Algebra, channels: int) -> None:
        super().__init__()
        self.register_buffer("cayley", algebra.cayley().movedim(-1, 1).contiguous())
        self.mix = torch.nn.Parameter(torch.randn(channels, channels) / math.sqrt(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.einsum("oc,bci->boi", self.mix, x)
        return torch.einsum("bci,ijk,bck->bcj", x, self.cayley, y)


class BasisLayer(torch.nn.Module):
    """GATr's form: equivariant maps as an einsum with a basis, then the product by its own einsum."""

    basis: torch.Tensor
    table: torch.Tensor

    def __init__(self, algebra: Algebra, channels: int) -> None:
        super().__init__()
        n, grades = len(algebra), algebra.native.grades
        basis = torch.zeros(algebra.dimension + 1, n, n)
        for k, grade in enumerate(grades):
            basis[grade, k, k] = 1.0
        self.register_buffer("basis", basis)
        self.register_buffer("table", algebra.cayley().movedim(-1, 0).contiguous())
        weight = torch.randn(channels, channels, algebra.dimension + 1)
        self.weight = torch.nn.Parameter(weight / math.sqrt(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.einsum("yxa,aij,...xj->...yi", self.weight, self.basis, x)
        return torch.einsum("ijk,...j,...k->...i", self.table, x, y)


class KernelLayer(torch.nn.Module):
    """CliffordLayers' form: a matrix laid together from signed blocks of weights, then one product."""

    def __init__(self, algebra: Algebra, channels: int) -> None:
        super().__init__()
        cayley = algebra.native.cayley("geometric")
        #: By the blades of the result and of the input: which weight stands there, and its sign.
        self.blocks: dict[tuple[int, int], tuple[int, int]] = {}
        for i, row in enumerate(cayley):
            for j, (k, sign) in enumerate(row):
                self.blocks[k, j] = (i, sign)
        blades = len(algebra)
        weight = torch.randn(blades, channels, channels) / math.sqrt(blades * channels)
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.nn.Parameter(torch.zeros(blades * channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, blades = x.shape
        rows = []
        for k in range(blades):
            places = (self.blocks[k, j] for j in range(blades))
            rows.append(torch.cat([sign * self.weight[i] for i, sign in places], 1))
        flat = x.permute(0, 2, 1).reshape(batch, -1)
        out = torch.nn.functional.linear(flat, torch.cat(rows, 0), self.bias)
        return out.view(batch, blades, channels).permute(0, 2, 1)


class Layers(torch.nn.Module):
    """One block of this package's layers."""

    def __init__(self, algebra: Algebra, channels: int) -> None:
        super().__init__()
        self.mix = CliffordLinear(algebra, channels, channels)
        self.product = GeometricProduct(algebra, channels)
        self.gate = MVActivation(algebra, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.gate(self.product(x, self.mix(x)))
        return out


class PlainLayers(torch.nn.Module):
    """The same block in plain torch, after CEGNN's own code: gathers by grade, a table with its weights."""

    grade: torch.Tensor
    squares: torch.Tensor
    paths: torch.Tensor
    table: torch.Tensor

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        algebra = layers.mix.algebra
        grades, cayley = torch.tensor(algebra.native.grades), algebra.cayley()
        self.mix, self.product, self.gate = layers.mix, layers.product, layers.gate
        self.register_buffer("grade", grades)
        # What each blade adds to the invariant of its grade: its square, reversed.
        one = torch.nn.functional.one_hot(grades).float()
        reverse = torch.tensor([-1.0 if g % 4 > 1 else 1.0 for g in grades.tolist()])
        self.register_buffer("squares", one * (reverse * cayley.diagonal()[0])[:, None])
        places = cayley.nonzero()
        found = [tuple(grades[place].tolist()) for place in places]
        order = {path: n for n, path in enumerate(sorted(set(found)))}
        paths = torch.zeros(cayley.shape, dtype=torch.long)
        paths[tuple(places.T)] = torch.tensor([order[path] for path in found])
        self.register_buffer("paths", paths)
        self.register_buffer("table", cayley)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = torch.einsum("oci,bci->boi", self.mix.weight[..., self.grade], x)
        mixed = torch.cat([mixed[..., :1] + self.mix.bias, mixed[..., 1:]], -1)
        weights = self.table * self.product.weight[:, self.paths]
        y = torch.einsum("bci,cijk,bcj->bck", x, weights, mixed)
        invariants = torch.cat([y[..., :1], (y * y @ self.squares)[..., 1:]], -1)
        gates = torch.sigmoid(self.gate.weight * invariants + self.gate.bias)
        return y * gates[..., self.grade]


def plain_layers(algebra: Algebra, channels: int) -> PlainLayers:
    return PlainLayers(Layers(algebra, channels))


def products(rounds: int) -> None:
    table = Algebra(3).cayley()

    def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,ijk,bj->bk", x, table, y)

    for rows in (10_000, 100_000):
        x, y = torch.randn(rows, 8), torch.randn(rows, 8)
        contenders: dict[str, Contender] = {}
        torch._dynamo.reset()
        with torch.no_grad():
            for name in ("hypatia", "inductor", "eager"):
                form = product if name == "eager" else torch.compile(product, backend=name)
                contenders[name] = lambda form=form, x=x, y=y: form(x, y)
                agree(name, contenders[name](), product(x, y), 1e-5)
            compare(f"VGA3D: einsum with the Cayley table over {rows} pairs", contenders, rounds)


def layer_rows() -> list[tuple[str, Callable[..., torch.nn.Module], Algebra, int]]:
    """Title, how it is made, algebra and channels of each layer."""
    matrix = "a matrix laid together from weights (CliffordLayers' form)"
    return [
        ("einsum with a constant table (CEGNN's form)", EinsumProduct, Algebra(3), 32),
        ("einsum with a basis and a table, PGA3D (GATr's form)", BasisLayer, Algebra(3, 0, 1), 32),
        (matrix, KernelLayer, Algebra(3), 32),
        (matrix, KernelLayer, Algebra(3), 128),
        ("this package's, whose operations all backends call", Layers, Algebra(3), 32),
        ("the same in plain torch", plain_layers, Algebra(3), 32),
    ]


def layers(rounds: int) -> None:
    for title, make, algebra, channels in layer_rows():
        torch.manual_seed(0)
        model, x = make(algebra, channels), torch.randn(256, channels, len(algebra))
        expected = model(x).detach()
        if isinstance(model, PlainLayers):
            layers = Layers(algebra, channels)
            layers.mix, layers.product, layers.gate = model.mix, model.product, model.gate
            agree(f"{title}, this package's layers", layers(x).detach(), expected, 1e-4)
        forms: dict[str, Any] = {"eager": model}
        for backend in ("inductor", "hypatia"):
            torch._dynamo.reset()
            forms[backend] = torch.compile(model, backend=backend)
        for training in (False, True):
            contenders: dict[str, Contender] = {}
            for name in ("hypatia", "inductor", "eager"):
                form = forms[name]

                def forward(form: Any = form, x: torch.Tensor = x) -> Any:
                    with torch.no_grad():
                        return form(x)

                def step(form: Any = form, x: torch.Tensor = x, model: Any = model) -> Any:
                    loss = form(x).square().mean()
                    return torch.autograd.grad(loss, list(model.parameters()))

                contenders[name] = step if training else forward
                if not training:
                    agree(f"{title} {name}", forward(), expected, 1e-4)
                else:
                    reference = torch.autograd.grad(model(x).square().mean(), list(model.parameters()))
                    for got, want in zip(step(), reference, strict=True):
                        agree(f"{title} {name} gradient", got, want, 1e-4)
            kind = "training step" if training else "forward"
            compare(f"layers, {title}, {kind}, {tuple(x.shape)}", contenders, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["single", "motors", "points", "products", "layers"])
    options = parser.parse_args()
    machine = (
        f"torch {torch.__version__}, numpy {np.__version__}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}; medians of {options.rounds} rounds"
    )
    print(machine)
    parts: dict[str, Callable[[], None]] = {
        "single": lambda: single_operations(options.rounds),
        "motors": lambda: motors(options.rounds),
        "points": lambda: points(options.rounds, options.points),
        "products": lambda: products(options.rounds),
        "layers": lambda: layers(options.rounds),
    }
    for name, run in parts.items():
        if options.only in (None, name):
            run()
            keep(name, machine)


if __name__ == "__main__":
    main()
