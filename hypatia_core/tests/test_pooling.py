"""Pooling as a part of programs: the same as torch's, or left to torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from hypatia_core._hypatia_core import NativeProgram
from hypatia_core.executors.native import Native
from test_programs import MACHINES, Make, assert_same, captured, steps

pytestmark = pytest.mark.usefixtures("one_thread")

#: Windows, and sizes of images that they do not all cover.
WINDOWS: dict[str, tuple[tuple[Any, ...], tuple[int, int]]] = {
    "2×2": ((2,), (8, 6)),
    "2×2 of odd images": ((2,), (9, 7)),
    "overlapping": ((3, 2), (9, 8)),
    "oblong": (((1, 3), (2, 1)), (8, 9)),
    "dilated": ((2, 1, 0, (2, 3)), (7, 8)),
    "as large as the image": ((3,), (3, 3)),
    "padded": ((3, 2, 1), (9, 8)),
    "padded, as ResNet does": ((3, 2, 1), (12, 12)),
    "padded at every position": ((3, 1, 1), (5, 6)),
    "padded across alone": (((2, 3), 1, (0, 1)), (5, 6)),
    "padded and dilated": (((3, 2), (2, 1), (1, 1), (2, 3)), (9, 8)),
    "one row, padded": ((3, 2, 1), (1, 9)),
    "one pixel, padded": ((3, 1, 1), (1, 1)),
    "reaching beyond": ((2, 2, 0, 1, True), (9, 7)),
    "padded and reaching beyond": ((3, 2, 1, 1, True), (8, 10)),
}
#: What torch keeps: images and arguments.
LEFT: dict[str, tuple[tuple[Any, ...], tuple[int, int]]] = {
    "large": ((4, 2), (9, 8)),
    "large, padded": ((4, 2, 2), (9, 8)),
    "with windows that have no pixel": ((2, 1, 1, 3), (2, 5)),
}


def images(channels: int, sizes: tuple[int, int]) -> torch.Tensor:
    x = torch.randn(2, channels, *sizes)
    x.view(-1)[3::17], x.view(-1)[5::31] = math.nan, -math.inf
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", MACHINES)
@pytest.mark.parametrize("channels", [1, 3, 8, 33])
@pytest.mark.parametrize("name", WINDOWS)
def test_the_greatest_of_windows(name: str, channels: int, make: Make) -> None:
    windows, sizes = WINDOWS[name]
    x = images(channels, sizes)
    # What comes before and after is fused with it, or not; what is returned lies as torch lays it.
    assert_same(make, lambda x: functional.max_pool2d(x * 2, *windows), x)
    assert_same(make, lambda x: functional.max_pool2d(x.relu(), *windows) + 1, x)
    assert_same(make, lambda x: torch.cat([functional.max_pool2d(x * 2, *windows)] * 2, 1), x)


def test_it_is_a_step_of_rows() -> None:
    x = images(8, (8, 8))
    assert {step["step"] for step in steps(lambda x: functional.max_pool2d(x * 2, 2) + 1, x)} == {"rows"}
    padded = steps(lambda x: functional.max_pool2d(x * 2, 3, 2, 1) + 1, x)
    assert {step["step"] for step in padded} == {"rows"}
    # Sizes that are the same in any order.
    assert_same(NativeProgram, lambda x: functional.max_pool2d(x * 2, 3, 1, 1), images(4, (4, 4)))
    assert_same(NativeProgram, lambda x: functional.max_pool2d(x * 2, 2), images(4, (8, 8)))


@pytest.mark.parametrize("name", [*LEFT, "indices", "channels apart"])
def test_what_is_left_to_torch(name: str) -> None:
    windows, sizes = LEFT.get(name, ((2,), (8, 6)))
    x = images(8, sizes)
    if name == "channels apart":
        x = x.contiguous()

    def pooled(x: torch.Tensor) -> Any:
        if name == "indices":
            return functional.max_pool2d_with_indices((x * 2).relu(), *windows)
        return (functional.max_pool2d((x * 2).relu(), *windows) * 3).sigmoid()

    account = Native().account(captured(pooled, [x]))
    assert "max_pool2d_with_indices" in account
    assert_same(NativeProgram, pooled, x)
