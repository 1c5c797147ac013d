"""The layers: equivariance, weights, state, compilation; and the motions and objects of the models."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import nn
from torch.autograd import gradcheck

from hypatia_core import HypatiaError
from hypatia_core.clifford import (
    Algebra,
    CliffordLinear,
    GeometricProduct,
    Multivector,
    MVActivation,
    MVLayerNorm,
    center_and_radius,
    equivariance_error,
    plane,
    point,
    position,
    random_versor,
    rotor,
    sphere,
    translator,
)
from hypatia_core.clifford.motion import CONFORMAL, PROJECTIVE

MODELS = sorted(Algebra.models())
LAYERS: dict[str, Callable[[Algebra], nn.Module]] = {
    "linear": lambda a: CliffordLinear(a, 3, 3),
    "norm": lambda a: MVLayerNorm(a, 3),
    "activation": lambda a: MVActivation(a, 3),
    "product": lambda a: GeometricProduct(a, 3),
    "plain product": lambda a: GeometricProduct(a, 3, weighted=False),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(algebra: Algebra, layer: nn.Module, grades: tuple[int, ...] | None = None) -> list[Multivector]:
    count = 2 if isinstance(layer, GeometricProduct) else 1
    return [
        algebra.randn(4, 3, grades=grades, dtype=torch.float64, generator=generator(seed))
        for seed in range(count)
    ]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_layers_commute_with_versors(model: str, make: Callable[[Algebra], nn.Module]) -> None:
    torch.manual_seed(0)
    algebra = Algebra.named(model)
    layer = make(algebra).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    for grades in (None, (1,), (0, 2)):
        error = equivariance_error(layer, algebra, *inputs(algebra, layer, grades), generator=generator())
        assert error < 1e-11, f"{model} {grades}: {error}"


def test_what_is_not_equivariant_is_found_out() -> None:
    space = Algebra(3)
    layer = CliffordLinear(space, 3, 3, weights="multivectors").double()
    assert equivariance_error(layer, space, *inputs(space, layer), generator=generator()) > 1e-2
    assert equivariance_error(lambda x: x.map(torch.relu), space, *inputs(space, layer)) > 1e-2
    shifted = equivariance_error(lambda x: x + space.blade("e1"), space, *inputs(space, layer))
    assert shifted > 1e-2


def test_the_linear_layer_of_multivectors_is_a_sum_of_products() -> None:
    algebra = Algebra.named("PGA2D")
    layer = CliffordLinear(algebra, 3, 2, weights="multivectors").double()
    (x,) = inputs(algebra, layer)
    out = layer(x)
    assert layer.bias is not None
    for o in range(2):
        weight = Multivector(algebra, layer.weight[o])
        expected = (weight * x).sum(-1) + Multivector(algebra, layer.bias[o])
        torch.testing.assert_close(out[:, o].full(), expected.full())


def test_the_weighted_product_with_unit_weights_is_the_product() -> None:
    for model in MODELS:
        algebra = Algebra.named(model)
        layer = GeometricProduct(algebra, 3).double()
        assert layer.weight is not None
        nn.init.ones_(layer.weight)
        x, y = inputs(algebra, layer)
        torch.testing.assert_close(layer(x, y).values, (x * y).full())
        v = inputs(algebra, layer, (1,))
        torch.testing.assert_close(layer(*v).values, (v[0] * v[1]).values)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_tensors_state_and_gradients(make: Callable[[Algebra], nn.Module]) -> None:
    algebra = Algebra(2)
    layer, other = make(algebra).double(), make(algebra).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = inputs(algebra, layer)
    tensors = [value.values.requires_grad_() for value in x]
    torch.testing.assert_close(layer(*tensors), layer(*x).full())
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(*tensors), layer(*tensors))
    assert gradcheck(lambda *t: layer(*t), tensors)
    loss = layer(*tensors).square().sum()
    for gradient in torch.autograd.grad(loss, [*layer.parameters(), *tensors]):
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("weights", ["grades", "multivectors"])
def test_a_network_compiles_whole_and_agrees(weights: str) -> None:
    torch._dynamo.reset()
    algebra = Algebra(2)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = CliffordLinear(algebra, 3, 4, weights=weights)  # type: ignore[arg-type]
            self.norm, self.gate = MVLayerNorm(algebra, 4), MVActivation(algebra, 4)
            self.product = GeometricProduct(algebra, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h: torch.Tensor = self.gate(self.norm(self.first(x)))
            out: torch.Tensor = self.product(h, h)
            return out

    network, x = Network().double(), torch.randn(5, 3, 4, dtype=torch.float64)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: CliffordLinear(Algebra(2), 0, 1), "at least one channel"),
    (lambda: CliffordLinear(Algebra(2), 1, 0), "at least one channel"),
    (lambda: CliffordLinear(Algebra(2), 1, 1, weights="full"), "unknown weights 'full'"),  # type: ignore[arg-type]
    (lambda: MVLayerNorm(Algebra(2), 3)(torch.zeros(5, 4)), "expects 3 channels"),
    (lambda: MVLayerNorm(Algebra(2), 3)(torch.zeros(3, 8)), "4 blades"),
    (lambda: MVActivation(Algebra(2), 3)(Algebra(3).randn(3)), "got multivectors of"),
    (lambda: rotor(Algebra(3), 1.0), "needs an axis"),
    (lambda: rotor(Algebra(3), 1.0, [0.0, 0.0, 0.0]), "axis.*zero"),
    (lambda: rotor(Algebra(3), 1.0, [0.0, 1.0]), "3 components"),
    (lambda: rotor(Algebra(2), math.nan), "finite"),
    (lambda: rotor(Algebra(2), 1.0, [1.0, 0.0, 0.0]), "no axis"),
    (lambda: rotor(Algebra.named("STA"), 1.0), "no model of"),
    (lambda: translator(Algebra(3), [0.0, 0.0, 1.0]), "no translations"),
    (lambda: point(Algebra(3), [0.0, 0.0, 1.0]), "not points"),
    (lambda: plane(Algebra(3), [0.0, 0.0, 1.0], 1.0), "through the origin"),
    (lambda: sphere(Algebra(3, 0, 1), [0.0, 0.0, 1.0], 1.0), "no spheres"),
    (lambda: random_versor(Algebra(0, 0, 2), 2), "no versor"),
]


@pytest.mark.parametrize(("attempt", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_named(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(HypatiaError, match=message):
        attempt()


@pytest.mark.parametrize("signature", [*PROJECTIVE, *CONFORMAL], ids=str)
def test_motors_move_points_as_matrices_do(signature: tuple[int, int, int]) -> None:
    algebra = Algebra(*signature)
    n = (PROJECTIVE | CONFORMAL)[signature]
    x = torch.randn(6, n, dtype=torch.float64, generator=generator())
    d = torch.randn(n, dtype=torch.float64, generator=generator(1))
    torch.testing.assert_close(position(point(algebra, x)), x)
    torch.testing.assert_close(position(point(algebra, x) * 3.0), x)
    torch.testing.assert_close(position(translator(algebra, d).sandwich(point(algebra, x))), x + d)
    angle = torch.tensor(0.7, dtype=torch.float64)
    axis = None if n == 2 else torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    turn = rotor(algebra, angle, axis)
    if axis is None:
        c, s = math.cos(0.7), math.sin(0.7)
        matrix = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    else:
        matrix = torch.as_tensor(Rotation.from_rotvec(0.7 * (axis / axis.norm()).numpy()).as_matrix())
    torch.testing.assert_close(position(turn.sandwich(point(algebra, x))), x @ matrix.mT)
    pose = translator(algebra, d) * turn
    torch.testing.assert_close(position(pose.sandwich(point(algebra, x))), x @ matrix.mT + d)
    back = (~pose).sandwich(pose.sandwich(point(algebra, x)))
    torch.testing.assert_close(position(back), x)


@pytest.mark.parametrize("signature", [*PROJECTIVE, *CONFORMAL], ids=str)
def test_planes_reflect_and_contain(signature: tuple[int, int, int]) -> None:
    algebra = Algebra(*signature)
    n = (PROJECTIVE | CONFORMAL)[signature]
    x = torch.randn(6, n, dtype=torch.float64, generator=generator())
    normal = torch.nn.functional.normalize(torch.randn(n, dtype=torch.float64, generator=generator(1)), dim=0)
    mirror = plane(algebra, normal, 0.4)
    image = position(mirror.sandwich(point(algebra, x)))
    torch.testing.assert_close(image, x - 2 * ((x @ normal) - 0.4).unsqueeze(-1) * normal)
    foot = point(algebra, 0.4 * normal)
    incident = (mirror | foot) if signature in CONFORMAL else (mirror ^ foot)
    assert incident.values.abs().max() < 1e-12


@pytest.mark.parametrize("signature", CONFORMAL, ids=str)
def test_spheres_invert_and_move(signature: tuple[int, int, int]) -> None:
    algebra, n = Algebra(*signature), CONFORMAL[signature]
    center = torch.randn(n, dtype=torch.float64, generator=generator())
    x = torch.randn(6, n, dtype=torch.float64, generator=generator(1))
    ball = sphere(algebra, center, 1.5)
    offset = x - center
    expected = center + offset * (1.5**2 / offset.square().sum(-1, keepdim=True))
    torch.testing.assert_close(position(ball.sandwich(point(algebra, x))), expected)
    moved = translator(algebra, torch.ones(n, dtype=torch.float64)).sandwich(ball)
    at, radius = center_and_radius(moved * 2.0)
    torch.testing.assert_close(at, center + 1)
    torch.testing.assert_close(radius, torch.tensor(1.5, dtype=torch.float64))
    distance = -2 * point(algebra, x).scalar_product(point(algebra, center))
    torch.testing.assert_close(distance, offset.square().sum(-1))


def test_a_circle_goes_through_its_three_points() -> None:
    algebra = Algebra.named("CGA2D")
    angles = torch.tensor([0.1, 1.7, 4.0], dtype=torch.float64)
    on = torch.stack([angles.cos(), angles.sin()], -1) * 2 + torch.tensor([1.0, -3.0], dtype=torch.float64)
    a, b, c = (point(algebra, row) for row in on)
    at, radius = center_and_radius((a ^ b ^ c).polarity())
    torch.testing.assert_close(at, torch.tensor([1.0, -3.0], dtype=torch.float64))
    torch.testing.assert_close(radius, torch.tensor(2.0, dtype=torch.float64))
