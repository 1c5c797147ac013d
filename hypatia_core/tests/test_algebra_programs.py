"""Steps of Clifford networks in programs: what they mean, whatever lies behind their operands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from hypatia_core import HypatiaError, channel_map, native, signed_sums
from hypatia_core._hypatia_core import NativeProgram
from hypatia_core.clifford import Algebra
from hypatia_core.executors.native import Native
from test_programs import MACHINES, assert_same, captured, drawn, programs, steps

pytestmark = pytest.mark.usefixtures("one_thread")

aten, hypatia = torch.ops.aten, torch.ops.hypatia
#: Maps of rows of two widths, with and without weights; a coefficient beside 1 and −1, and one of zero.
PLAIN = "3 2 4,0 0 0 1.0,1 1 0 -1.0,2 0 3 0.5,1 0 1 2.0"
WEIGHTED = "3 2 4 2,0 0 0 1.0 1,1 1 0 -1.0 0,2 0 3 0.5 0,2 1 2 0.0 1"
GRADED = channel_map.graded([0, 1, 1, 0], 2)
SPARSE = channel_map.Mixing(2, 3, 2, False, ((0, 0, 0, 1.0), (1, 2, 0, -2.0), (1, 1, 1, 1.0))).text()
SUMS = signed_sums.Sums(3, 2, 0.5, ((0, 0, 1), (1, 0, -1), (2, 1, -1))).text()

TWO = channel_map.identity(2)


Case = tuple[Callable[..., Any], Callable[[], tuple[torch.Tensor, ...]], list[str] | None]
CASES: dict[str, Case] = {
    "a bilinear map between operations of elements": (
        lambda x, y: hypatia.bilinear(x.exp(), y + 1, PLAIN).sigmoid(),
        lambda: (drawn(5, 7, 3), drawn(5, 7, 2)),
        ["rows", "rows", "bilinear", "rows"],
    ),
    "one operand is broadcast": (
        lambda x, y: hypatia.bilinear(x, y, PLAIN) * 2 + 1,
        lambda: (drawn(5, 7, 3), drawn(7, 2)),
        ["rows", "bilinear", "rows"],
    ),
    "an operand lies otherwise": (
        lambda x, y: hypatia.bilinear(x.transpose(0, 1), y, PLAIN).neg(),
        lambda: (drawn(7, 5, 3), drawn(5, 7, 2)),
        ["rows", "bilinear", "rows"],
    ),
    "no batch": (
        lambda x, y: hypatia.bilinear(x, y, PLAIN).neg(),
        lambda: (drawn(3), drawn(2)),
        ["bilinear", "rows"],
    ),
    "weights of channels": (
        lambda x, y, w: hypatia.weighted_bilinear(x, y, w.exp(), WEIGHTED).relu(),
        lambda: (drawn(5, 7, 3), drawn(5, 7, 2), drawn(7, 2)),
        ["rows", "bilinear", "rows"],
    ),
    "the gradient of weights": (
        lambda x, y, g: hypatia.bilinear_weight_gradient(x, y, g * 2, WEIGHTED) + 1,
        lambda: (drawn(5, 7, 3), drawn(5, 7, 2), drawn(5, 7, 4)),
        ["rows", "bilinear_weights", "rows"],
    ),
    "mixed channels": (
        lambda x, w: hypatia.channel_map(x, w, GRADED).sigmoid(),
        lambda: (drawn(6, 5, 4), drawn(3, 5, 2)),
        ["channel_map", "rows"],
    ),
    "mixed channels of a turned weight": (
        lambda x, w: hypatia.channel_map(x + 1, w.transpose(0, 1), SPARSE).sigmoid(),
        lambda: (drawn(2, 6, 5, 3), drawn(5, 3, 2)),
        ["rows", "channel_map", "rows"],
    ),
    "the gradient of such a weight": (
        lambda x, g: hypatia.channel_map_weight_gradient(x, g.exp(), SPARSE) * 2,
        lambda: (drawn(6, 5, 3), drawn(6, 4, 2)),
        ["rows", "channel_map_weights", "rows"],
    ),
    "signed sums of places that lie last": (
        lambda x, c: hypatia.signed_sums(x.transpose(1, 2), c, SUMS).exp(),
        lambda: (drawn(6, 5, 3), drawn(2, 5)),
        ["signed_sums", "rows"],
    ),
    "rows by a matrix": (
        lambda x, m: hypatia.rows_by_matrix(x.transpose(0, 1), m + 1).relu(),
        lambda: (drawn(7, 5, 9), drawn(9, 4)),
        ["rows", "rows", "rows_by_matrix", "rows"],
    ),
    "rows by a matrix, and the squares": (
        lambda x, m: (lambda both: both[0] * both[1])(hypatia.rows_by_matrix_and_squares(x * 2, m)),
        lambda: (drawn(21, 70), drawn(70, 4)),
        ["rows", "rows_by_matrix", "rows"],
    ),
    "a product and squares that are returned": (
        lambda x, m: hypatia.rows_by_matrix_and_squares(x, m.t().exp().t()),
        lambda: (drawn(3, 2, 70), drawn(70, 4)),
        ["rows", "rows_by_matrix"],
    ),
    "the squares alone": (
        lambda x, m: hypatia.rows_by_matrix_and_squares(x, m)[1].sqrt() + 1,
        lambda: (drawn(21, 70), drawn(70, 4)),
        ["rows_by_matrix", "rows"],
    ),
    "an inner product": (
        lambda x, y: hypatia.inner_product(x.exp()[::2], y.view(40)) * y,
        lambda: (drawn(80), drawn(8, 5)),
        ["rows", "inner_product", "rows"],
    ),
    "an inner product that is returned": (
        lambda x, y: hypatia.inner_product(x.t().reshape(40), y * 2),
        lambda: (drawn(8, 5), drawn(40)),
        ["rows", "rows", "inner_product"],
    ),
    "a slice's gradient among places": (
        lambda x, y: aten.slice_backward(x * 2, [6, 3, 4], 2, 1, 9223372036854775807, 1) * y,
        lambda: (drawn(6, 3, 3), drawn(6, 3, 4)),
        ["rows"],
    ),
    "a slice's gradient along another axis": (
        lambda x: aten.slice_backward(x * 2, [7, 5], 0, -4, 6, 1).exp(),
        lambda: (drawn(3, 5),),
        ["rows", "rows", "rows", "rows"],
    ),
    "places that are laid together, read as whole and by place": (
        lambda x, w: hypatia.channel_map(torch.stack([x + 1, x * 2], -1), w, TWO) + torch.stack([x, x], -1),
        lambda: (drawn(6, 5), drawn(5, 5, 1)),
        None,
    ),
    "places under other sizes": (
        lambda x, y: (torch.stack([x, x.exp()], -1).reshape(12, 2) * y).reshape(3, 4, 2).sigmoid(),
        lambda: (drawn(3, 4), drawn(12, 2)),
        None,
    ),
    "places that are broadcast": (
        lambda x, y: torch.stack([x, x.exp()], -1) * y,
        lambda: (drawn(4), drawn(3, 4, 1)),
        None,
    ),
    "places along with one of an operation that takes a product": (
        lambda x, y, z: torch.addmm(torch.stack([x, x.exp()], -1), y, z).relu(),
        lambda: (drawn(4), drawn(4, 3), drawn(3, 2)),
        None,
    ),
    "signed sums without a constant": (
        lambda x: hypatia.signed_sums(x * 2, None, SUMS).transpose(1, 2).exp(),
        lambda: (drawn(6, 3, 5),),
        ["rows", "signed_sums", "rows"],
    ),
}


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("name", list(CASES))
def test_steps_of_algebras_are_the_operations(name: str, make: Callable[[str], Any]) -> None:
    function, inputs, kinds = CASES[name]
    given_inputs = inputs()
    if kinds is not None:
        assert [step["step"] for step in steps(function, *given_inputs)] == kinds
    assert_same(make, function, *given_inputs)


#: Of functions whose last argument is a constant that the graph holds.
OF_CONSTANTS: dict[str, tuple[Callable[..., Any], Callable[[], tuple[torch.Tensor, ...]], list[Any]]] = {
    "places in registers": (
        lambda x, y, at: x.sum(-1, True) * torch.sigmoid(y)[..., at],
        lambda: (drawn(6, 3, 5), drawn(6, 3, 3)),
        [0, 1, 1, 2, 0],
    ),
    "places beside what was read by place": (
        lambda x, at: x * (x * x)[..., at],
        lambda: (drawn(6, 3, 4),),
        [0, 1, -2, 0],
    ),
    "places from behind, of an operand": (
        lambda y, at: y[..., at].exp() + 1,
        lambda: (drawn(6, 3, 4),),
        [-1, 0, -2],
    ),
    "the gradient of places": (
        lambda x, at: aten.index_put(torch.zeros(6, 3, 4), [None, None, at], x * 2, True).exp(),
        lambda: (drawn(6, 3, 3),),
        [0, 2, -2],
    ),
    "a product with a matrix": (
        lambda x, by: aten.matmul(x * x, by).sigmoid(),
        lambda: (drawn(6, 4, 3),),
        [[1.0, 0.0], [0.0, -1.0], [0.5, 0.0]],
    ),
    "places that are returned": (
        lambda x, at: x.exp()[..., at],
        lambda: (drawn(6, 2, 2),),
        [1, 0],
    ),
}


def holding(function: Callable[..., Any], *given: torch.Tensor) -> torch.fx.GraphModule:
    """A function's graph that holds its last argument."""
    module = captured(function, given)
    *_, last = module.graph.find_nodes(op="placeholder")
    module.register_buffer("constant", given[-1])
    with module.graph.inserting_before(last):
        constant = module.graph.get_attr("constant")
    constant.meta["val"] = last.meta["val"]
    last.replace_all_uses_with(constant)
    module.graph.erase_node(last)
    module.recompile()
    return module


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("name", list(OF_CONSTANTS))
def test_constants_of_a_graph_are_read_by_place(name: str, make: Callable[[str], Any]) -> None:
    function, inputs, elements = OF_CONSTANTS[name]
    given, constant = inputs(), torch.tensor(elements)
    module = holding(function, *given, constant)
    (written,) = native.phases(module.graph)[1]
    assert {step["step"] for step in json.loads(written.text)["steps"]} == {"rows"}
    fakes = [node.meta["val"] for node in module.graph.find_nodes(op="placeholder")]
    found = Native(make).compile(module, fakes)(list(given))
    torch.testing.assert_close(found, function(*given, constant))


def test_zeros_of_a_constant_matrix_hide_nothing_that_is_not_finite() -> None:
    matrix, x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), drawn(3, 4, 3)
    module = holding(lambda x, by: aten.matmul(x + 1, by).neg(), x, matrix)
    run = Native(NativeProgram).compile(module, [x])
    for place in range(3):
        holed = x.clone()
        holed[1, 2, place] = torch.inf
        found = run([holed])
        torch.testing.assert_close(found, -((holed + 1) @ matrix), equal_nan=True)


def test_indices_out_of_reach_are_torchs_error() -> None:
    module = holding(lambda x, at: x.exp()[..., at].neg() + 1, drawn(4, 3), torch.tensor([0, 1]))
    module.constant = torch.tensor([0, 3])
    assert "index" in native.divided(module.graph).outside()
    with pytest.raises(IndexError):
        Native(NativeProgram).compile(module, [drawn(4, 3)])([drawn(4, 3)])


@pytest.mark.parametrize("make", MACHINES)
def test_a_geometric_product_is_one_program_with_its_gate(make: Callable[[str], Any]) -> None:
    algebra = Algebra(3)

    def gated(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        product = algebra.multivector(x) * algebra.multivector(y)
        return product.values * torch.sigmoid((product.values * product.values).sum(-1, True) * w)

    assert_same(make, gated, drawn(4, 6, 8), drawn(4, 6, 8), drawn(6, 1))


def test_what_does_not_fit_is_refused() -> None:
    (written,) = programs(lambda x, y: hypatia.bilinear(x, y, PLAIN).neg(), drawn(4, 3), drawn(4, 2))
    assert NativeProgram(written.text) is not None
    changes: list[tuple[Callable[[Any], Any], str]] = [
        (lambda step: step["table"]["terms"].append([3, 0, 0, 1.0, 0]), "outside"),
        (lambda step: step.update(rows=9), "does not lie in buffer"),
        (lambda step: step.update(weight=step["x"]), "where the table has none"),
        (lambda step: step["table"].pop("widths"), "widths"),
    ]
    for change, said in changes:
        changed = json.loads(written.text)
        change(changed["steps"][0])
        with pytest.raises(HypatiaError, match=said):
            NativeProgram(json.dumps(changed))


def test_a_product_and_squares_that_do_not_fit_are_refused() -> None:
    (written,) = programs(lambda x, m: hypatia.rows_by_matrix_and_squares(x, m), drawn(4, 3), drawn(3, 2))
    assert NativeProgram(written.text) is not None
    changes: list[tuple[Callable[[Any], Any], str]] = [
        (lambda step: step.update(depth=4), "does not lie in buffer"),
        (lambda step: step.update(squares=step["result"]), "squares|meet|written"),
        (lambda step: step.update(columns=3), "does not lie in buffer"),
    ]
    for change, said in changes:
        changed = json.loads(written.text)
        change(changed["steps"][0])
        with pytest.raises(HypatiaError, match=said):
            NativeProgram(json.dumps(changed))


def test_coefficients_that_are_no_numbers_stay_outside() -> None:
    text = "1 1 1,0 0 0 inf"
    assert programs(lambda x, y: hypatia.bilinear(x, y, text).neg(), drawn(4, 1), drawn(4, 1)) == []
