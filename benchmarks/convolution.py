"""What a convolution costs in each of the ways that there are, at the shapes of two networks.

    python benchmarks/convolution.py [--threads 1] [--batch 1]

Prints microseconds (least of rounds that take turns): packed weight, channels last, activation fused;
oneDNN's blocked layout with the activation by itself, as torch's fused kernels do not take that layout; 1×1
as a matrix product; our own windows and, of 3×3 taps side by side, Winograd's tiles; and what a call costs at
a size where there is next to nothing to compute. Beside each time the greatest error against float64, as a
part of the greatest result.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import torch

import hypatia_core  # noqa: F401 - registers its operations

#: Channels in and out, size and stride of the kernel, groups, pixels along a side, how often in the network.
RESNET50 = [
    *((3, 64, 7, 2, 1, 224, 1), (64, 64, 1, 1, 1, 56, 1), (64, 64, 3, 1, 1, 56, 3)),
    *((64, 256, 1, 1, 1, 56, 4), (256, 64, 1, 1, 1, 56, 2), (256, 128, 1, 1, 1, 56, 1)),
    *((128, 128, 3, 2, 1, 56, 1), (128, 512, 1, 1, 1, 28, 4), (256, 512, 1, 2, 1, 56, 1)),
    *((512, 128, 1, 1, 1, 28, 3), (128, 128, 3, 1, 1, 28, 3), (512, 256, 1, 1, 1, 28, 1)),
    *((256, 256, 3, 2, 1, 28, 1), (256, 1024, 1, 1, 1, 14, 6), (512, 1024, 1, 2, 1, 28, 1)),
    *((1024, 256, 1, 1, 1, 14, 5), (256, 256, 3, 1, 1, 14, 5), (1024, 512, 1, 1, 1, 14, 1)),
    *((512, 512, 3, 2, 1, 14, 1), (512, 2048, 1, 1, 1, 7, 3), (1024, 2048, 1, 2, 1, 14, 1)),
    *((2048, 512, 1, 1, 1, 7, 2), (512, 512, 3, 1, 1, 7, 2)),
]
MOBILENETV2 = [
    *((3, 32, 3, 2, 1, 224, 1), (32, 32, 3, 1, 32, 112, 1), (32, 16, 1, 1, 1, 112, 1)),
    *((16, 96, 1, 1, 1, 112, 1), (96, 96, 3, 2, 96, 112, 1), (96, 24, 1, 1, 1, 56, 1)),
    *((24, 144, 1, 1, 1, 56, 2), (144, 144, 3, 1, 144, 56, 1), (144, 24, 1, 1, 1, 56, 1)),
    *((144, 144, 3, 2, 144, 56, 1), (144, 32, 1, 1, 1, 28, 1), (32, 192, 1, 1, 1, 28, 3)),
    *((192, 192, 3, 1, 192, 28, 2), (192, 32, 1, 1, 1, 28, 2), (192, 192, 3, 2, 192, 28, 1)),
    *((192, 64, 1, 1, 1, 14, 1), (64, 384, 1, 1, 1, 14, 4), (384, 384, 3, 1, 384, 14, 4)),
    *((384, 64, 1, 1, 1, 14, 3), (384, 96, 1, 1, 1, 14, 1), (96, 576, 1, 1, 1, 14, 3)),
    *((576, 576, 3, 1, 576, 14, 2), (576, 96, 1, 1, 1, 14, 2), (576, 576, 3, 2, 576, 14, 1)),
    *((576, 160, 1, 1, 1, 7, 1), (160, 960, 1, 1, 1, 7, 3), (960, 960, 3, 1, 960, 7, 3)),
    *((960, 160, 1, 1, 1, 7, 2), (960, 320, 1, 1, 1, 7, 1), (320, 1280, 1, 1, 1, 7, 1)),
]
LAST = torch.channels_last


def least(runs: dict[str, Callable[[], Any]], rounds: int = 10) -> dict[str, float]:
    """Microseconds of each."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            repeats = max(1, int(2e-3 / max(min(best[name], 1.0), 1e-6))) if best[name] < 1 else 3
            begun = time.perf_counter()
            for _ in range(repeats):
                run()
            best[name] = min(best[name], (time.perf_counter() - begun) / repeats)
    return {name: 1e6 * seconds for name, seconds in best.items()}


def errors(runs: dict[str, Callable[[], Any]], exact: torch.Tensor) -> dict[str, float]:
    """The greatest error of each, as a part of the greatest result."""
    found = {}
    for name, run in runs.items():
        result = run()
        result = result.to_dense() if result.is_mkldnn else result
        if result.dim() == 2:
            result = result.view(len(exact), *exact.shape[2:], -1).permute(0, 3, 1, 2)
        found[name] = float((result.double() - exact).abs().max() / exact.abs().max())
    return found


def ways(row: tuple[int, ...], batch: int) -> tuple[dict[str, Callable[[], Any]], torch.Tensor]:
    """The ways to run one convolution with relu, and what comes of it in float64."""
    mkldnn, own = torch.ops.mkldnn, torch.ops.hypatia
    channels, out, kernel, stride, groups, side, _ = row
    x = torch.randn(batch, channels, side, side)
    weight, bias = torch.randn(out, channels // groups, kernel, kernel), torch.randn(out)
    geometry = ([kernel // 2] * 2, [stride] * 2, [1, 1], groups)
    image, filters = x.contiguous(memory_format=LAST), weight.contiguous(memory_format=LAST)
    packed = mkldnn._reorder_convolution_weight(filters, *geometry, list(x.shape))
    blocked_filters = mkldnn._reorder_convolution_weight(weight, *geometry, list(x.shape))
    blocked = x.to_mkldnn()
    if channels > 3:
        same = torch.eye(channels).view(channels, channels, 1, 1)
        one = ([0, 0], [1, 1], [1, 1], 1)
        packed_same = mkldnn._reorder_convolution_weight(same, *one, list(x.shape))
        blocked = torch.ops.aten.mkldnn_convolution(blocked, packed_same, None, *one)
    columns = weight.reshape(out, -1).t().contiguous()
    found: dict[str, Callable[[], Any]] = {
        "packed, fused": lambda: mkldnn._convolution_pointwise(
            image, packed, bias, *geometry, "relu", [], ""
        ),
        "blocked, relu": lambda: torch.relu_(
            torch.ops.aten.mkldnn_convolution(blocked, blocked_filters, bias, *geometry)
        ),
        "torch, relu": lambda: torch.relu_(
            torch.conv2d(image, filters, bias, stride, kernel // 2, 1, groups)
        ),
    }
    if kernel == stride == 1:
        rows = image.permute(0, 2, 3, 1).view(-1, channels)
        found["product, relu"] = lambda: torch.relu_(torch.addmm(bias, rows, columns))
    elif groups == 1:
        taps = weight.permute(0, 2, 3, 1).reshape(out, -1)
        panels, places = own.panels_of_weight(taps), ([kernel] * 2, [stride] * 2, [kernel // 2] * 2, [1, 1])
        found["own windows"] = lambda: own.convolution_on_panels(
            image, panels, bias, None, out, *places, "relu", [], ""
        )
        for tile in (2, 4) if (kernel, stride) == (3, 1) else ():
            at_points = own.winograd_filters(weight, tile)
            found[f"tiles {tile}×{tile}"] = lambda tile=tile, at_points=at_points: own.winograd_convolution(
                image, at_points, bias, None, out, [1, 1], tile, "relu", [], ""
            )
    exact = torch.conv2d(x.double(), weight.double(), bias.double(), stride, kernel // 2, 1, groups)
    return found, exact.relu_()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    threads, instructions = torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {threads} threads, {instructions}, batch {chosen.batch}")
    with torch.inference_mode():
        tiny = least(ways((16, 16, 3, 1, 16, 7, 1), 1)[0])
        x = torch.randn(1, 16, 7, 7)
        tiny["relu by itself"] = least({"relu": lambda: torch.relu(x)})["relu"]
        print("16 channels, depthwise, 7×7:", ", ".join(f"{name} {us:.1f} µs" for name, us in tiny.items()))
        for network, rows in (("ResNet-50", RESNET50), ("MobileNetV2", MOBILENETV2)):
            sums: dict[str, float] = {}
            print(f"\n{network}: in, out, kernel, stride, groups, side, times")
            for row in rows:
                runs, exact = ways(row, chosen.batch)
                found, wrong = least(runs), errors(runs, exact)
                cells = (f"{name} {us:7.0f} ({wrong[name]:.1e})" for name, us in found.items())
                print(f"{row!s:38}", "  ".join(cells), flush=True)
                for name in ("product, relu", "own windows", "tiles 2×2", "tiles 4×4"):
                    found.setdefault(name, min(found["packed, fused"], found.get("own windows", math.inf)))
                for name, us in (*found.items(), ("the best of each", min(found.values()))):
                    sums[name] = sums.get(name, 0.0) + row[-1] * us / 1e3
            print("in all, ms:", ", ".join(f"{name} {ms:.2f}" for name, ms in sums.items()))


if __name__ == "__main__":
    main()
