"""The report's page in a real browser: it opens without an error, and what it offers works."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agreement import hypatia
from hypatia_core import Report, report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

LAYERS = 12


class Block(nn.Module):
    """Attention without softmax, in the quadratic order, and a small network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        attended = (self.q(x) @ self.k(x).transpose(-2, -1)) @ self.v(x)
        out: Tensor = self.norm(x + attended)
        return out


@pytest.fixture(scope="module")
def transformer() -> Report:
    torch._dynamo.reset()
    model = nn.Sequential(*(Block(16) for _ in range(LAYERS))).eval()
    compiled = hypatia(model, executor="aten", measure=False, profile=True)
    with torch.no_grad():
        compiled(torch.randn(256, 16))
    made = report(compiled)
    torch._dynamo.reset()
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page, with all that it complained of and asked the network for."""

    def __init__(self, browser: Any, path: Path, width: int = 1400, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


@pytest.fixture
def opened(transformer: Report, browser: Any, tmp_path: Path) -> Iterator[Opened]:
    page = Opened(browser, transformer.save(tmp_path / "report.html"))
    yield page
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    page.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_opens_wide_and_narrow_light_and_dark(
    scheme: str, width: int, transformer: Report, browser: Any, tmp_path: Path
) -> None:
    page = Opened(browser, transformer.save(tmp_path / "report.html"), width, scheme)
    assert page.complaints == []
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in background.strip("rgb()").split(","))
    assert (brightness > 600) == (scheme == "light")
    page.page.click("#theme")
    assert page.page.evaluate("getComputedStyle(document.body).backgroundColor") != background
    page.page.close()


def test_repeated_layers_are_folded(opened: Opened, transformer: Report) -> None:
    before = transformer.graphs[0].before
    assert before is not None and [fold["count"] for fold in before.folds] == [LAYERS]
    assert opened.page.text_content("#before .frame-title") == f"× {LAYERS}"
    folded = opened.page.locator("#before .node").count()
    opened.page.click("#unfold")
    assert opened.page.locator("#before .node").count() > 6 * folded
    opened.page.click("#unfold")
    assert opened.page.locator("#before .node").count() == folded


def test_search_finds_and_walks(opened: Opened) -> None:
    opened.page.fill("#search", "layer_norm")
    assert opened.text("#matches") == "2 matches"
    assert opened.page.locator(".node.match").count() == 2
    opened.page.press("#search", "Enter")
    assert opened.text("#matches") == "1 of 2"
    opened.page.fill("#search", "there is no such node")
    assert opened.text("#matches") == "0 matches"
    opened.page.fill("#search", "test_page.py")
    assert not opened.text("#matches").startswith("0")


def test_rewrites_are_stepped_through(opened: Opened, transformer: Report) -> None:
    steps = transformer.graphs[0].steps
    assert len(steps) > 2
    for number, step in enumerate(steps, 1):
        assert opened.text("#step-number") == f"{number} of {len(steps)}"
        assert opened.text("#step h3").startswith(step.rule)
        assert step.why in opened.text("#step")
        assert opened.page.locator("#step math").count() == 3
        if number < len(steps):
            opened.page.click("#next-step")
    assert opened.page.is_disabled("#next-step")
    opened.page.press("#next-step", "ArrowLeft") if opened.page.is_enabled("#next-step") else None
    opened.page.press("#previous-step", "ArrowLeft")
    assert opened.text("#step-number") == f"{len(steps) - 1} of {len(steps)}"


def test_a_node_tells_what_is_known_of_it(opened: Opened) -> None:
    node = opened.page.locator("#before .node", has_text="native_layer_norm").first
    node.hover()
    tip = opened.text("#tip")
    for words in (
        "native_layer_norm",
        "f32[256, 16]",
        "test_page.py:",
        "self.norm(x + attended)",
        "measured",
    ):
        assert words in tip
    node.click()
    assert "test_page.py:" in opened.text("#details")


def test_zoom_and_the_roofline(opened: Opened) -> None:
    scale = "document.querySelector('#before svg g').getAttribute('transform')"
    first = opened.page.evaluate(scale)
    opened.page.click("#zoom-in")
    assert opened.page.evaluate(scale) != first
    opened.page.click("#zoom-fit")
    assert opened.page.locator("#times circle").count() > 3
    assert opened.page.locator("#times .roof").count() == 1


def test_a_report_of_nothing_and_of_several_graphs(browser: Any, tmp_path: Path) -> None:
    empty = Opened(browser, Report().save(tmp_path / "empty.html"))
    assert "No graph was compiled yet" in empty.text("#subtitle") and empty.complaints == []
    torch._dynamo.reset()
    model = nn.Linear(4, 4)
    compiled = hypatia(model, executor="aten")
    with torch.no_grad():
        compiled(torch.ones(2, 4))
    compiled(torch.ones(2, 4)).sum().backward()
    several = Opened(browser, report(compiled).save(tmp_path / "several.html"))
    several.page.click("#tabs button:nth-child(2)")
    assert "joint" in several.text("#subtitle") and several.complaints == []
    torch._dynamo.reset()


def test_names_of_the_model_cannot_break_out(browser: Any, tmp_path: Path) -> None:
    hostile = "</script><script>console.error('out')</script>{{data}}<b>"
    page = Opened(browser, Report(title=hostile).save(tmp_path / "hostile.html"))
    assert page.complaints == [] and page.text("#title") == hostile
