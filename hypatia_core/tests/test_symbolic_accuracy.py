"""`improve_accuracy`: the rounding error that it measures is the one that another library measures."""

import math
import random
import runpy
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import CRATE
from hypatia_core import (
    HypatiaError,
    improve_accuracy,
    is_equivalent,
    optimize_ast,
    parse_expr,
    prove_equivalent,
)

mpmath = pytest.importorskip("mpmath")
sympy = pytest.importorskip("sympy")
numpy = pytest.importorskip("numpy")

EXAMPLES = runpy.run_path(str(CRATE.parent / "benchmarks" / "accuracy.py"))["EXAMPLES"]
BY_NAME = {name.split()[0]: (text, ranges) for name, text, ranges in EXAMPLES}


def ordinal(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return -(bits & (2**63 - 1)) if bits < 0 else bits


def from_ordinal(place: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<q", abs(place)))[0]
    return -value if place < 0 else value


def errors(
    text: str,
    ranges: Mapping[str, tuple[float, float]],
    functions: Sequence[Callable[..., Any]],
    count: int = 60,
) -> list[float]:
    """Mean bits of error of each function over random doubles, judged by mpmath at 3000 bits."""
    names = sorted(parse_expr(text).free_symbols)
    known = {name: sympy.Symbol(name) for name in names}
    exact = sympy.lambdify(names, sympy.sympify(text, known, rational=True), "mpmath")
    draw = random.Random(7)
    total, found = [0.0] * len(functions), 0
    with mpmath.workprec(3000), numpy.errstate(all="ignore"):
        for _ in range(20 * count):
            ends = [ranges.get(name, (-1.7e308, 1.7e308)) for name in names]
            point = [from_ordinal(draw.randint(ordinal(low), ordinal(high))) for low, high in ends]
            try:
                truth = exact(*map(mpmath.mpf, point))
                if not isinstance(truth, mpmath.mpf) or not math.isfinite(float(truth)):
                    continue
            except (ZeroDivisionError, ValueError, OverflowError):
                continue
            for index, function in enumerate(functions):
                value = function(*(numpy.array([part]) for part in point))[0]
                wrong = abs(ordinal(float(value)) - ordinal(float(truth)))
                total[index] += 64.0 if math.isnan(value) else math.log2(1 + wrong)
            found += 1
            if found == count:
                break
    assert found >= count // 2
    return [part / found for part in total]


@pytest.mark.parametrize("name", ["2sqrt", "2cbrt", "2atan", "sintan", "quadm", "logq", "2nthrt", "expq3"])
def test_the_error_is_what_mpmath_measures(name: str) -> None:
    text, ranges = BY_NAME[name]
    found = improve_accuracy(text, ranges)
    before, after = errors(text, ranges, [parse_expr(text).to_callable(), found.to_callable()])
    assert found.error_before - found.error_after >= 10
    assert before - after >= 10
    assert abs(after - found.error_after) < 8


def test_22_of_hammings_28_examples_gain_10_bits_and_none_gets_worse() -> None:
    assert len(EXAMPLES) == 28
    results = [improve_accuracy(text, ranges) for _, text, ranges in EXAMPLES]
    gains = [found.error_before - found.error_after for found in results]
    assert sum(gain >= 10 for gain in gains) >= 22
    assert min(gains) >= 0


@pytest.mark.parametrize("name", ["2sqrt", "3frac", "exp2", "tanhf", "logq", "2nthrt", "qlog"])
def test_an_exact_form_is_equal(name: str) -> None:
    text, ranges = BY_NAME[name]
    positive = {variable: "positive" for variable, (low, _) in ranges.items() if low > 0}
    exact = [regime.expression for regime in improve_accuracy(text, ranges).regimes if regime.exact]
    assert exact
    for form in exact:
        assert prove_equivalent(form, text, positive).check()


def test_branches_follow_the_sign() -> None:
    found = improve_accuracy("(-b - sqrt(b*b - 4*a*c))/(2*a)")
    assert found.variable == "b" and len(found.regimes) == 2
    below, above = found.regimes
    assert below.high < 0 and below.exact and above.exact
    with pytest.raises(HypatiaError, match="2 forms, by 'b'"):
        _ = found.expression
    point = {"a": 1.0, "b": -1e8, "c": 1.0}
    assert found(**point) == pytest.approx(1e-8, rel=1e-15)
    grid = found(a=numpy.ones(2), b=numpy.array([-1e8, 1e8]), c=1.0)
    assert grid[0] == found(**point) and grid[1] == found(a=1.0, b=1e8, c=1.0)
    with pytest.raises(TypeError, match="expected the variables a, b, c, found a"):
        found(a=1.0)


def test_branches_become_c(tmp_path: Path) -> None:
    found = improve_accuracy("(x - sin(x))/(x - tan(x))", {"x": (-10.0, 10.0)})
    assert len(found.regimes) > 1 and not all(regime.exact for regime in found.regimes)
    source = tmp_path / "f.c"
    main = "#include <stdio.h>\nint main(void) {{ {} return 0; }}\n"
    points = [-3.0, -1e-3, 1e-9, 0.25, 2.0]
    prints = " ".join(f'printf("%.17g\\n", f({point!r}));' for point in points)
    source.write_text(found.to_c("f") + main.format(prints))
    subprocess.run(["cc", str(source), "-o", str(tmp_path / "f"), "-lm"], check=True)
    printed = subprocess.run([str(tmp_path / "f")], check=True, capture_output=True, text=True).stdout
    assert [float(line) for line in printed.split()] == pytest.approx([found(x=p) for p in points], rel=1e-14)


def test_the_answer_is_always_the_same() -> None:
    text, ranges = BY_NAME["quad2p"]
    first, second = improve_accuracy(text, ranges), improve_accuracy(text, ranges)
    assert first.regimes == second.regimes and first.error_after == second.error_after


def test_what_is_accurate_stays() -> None:
    found = improve_accuracy("x + y")
    assert str(found) == "x + y" and found.error_before == found.error_after == 0


@pytest.mark.parametrize(
    ("text", "ranges", "message"),
    [
        ("x", {"y": (0, 1)}, "'y', which does not occur; variables: x"),
        ("x", {"x": (1, 0)}, "is empty"),
        ("x", {"x": (0, math.inf)}, "not a finite double"),
        ("x", {"x": (0,)}, "a least and a greatest value are needed"),
        ("log(x)", {"x": (-2, -1)}, "16 are needed"),
        ("(matmul a b)", {}, "acts on tensors"),
        ("+".join(["x"] * 100), {}, "up to 120"),
    ],
)
def test_bad_input_is_told(text: str, ranges: dict[str, Any], message: str) -> None:
    with pytest.raises(HypatiaError, match=message):
        improve_accuracy(text, ranges)


def test_optimize_ast_by_accuracy_is_idempotent() -> None:
    options = {"cost": "accuracy", "ranges": {"x": (1.0, 1e300)}}
    text = optimize_ast("sqrt(x + 1) - sqrt(x)", options)
    assert text == optimize_ast(text, options) != "sqrt(x + 1) - sqrt(x)"
    assert is_equivalent(text, "sqrt(x + 1) - sqrt(x)")
    with pytest.raises(HypatiaError, match="Costs: nodes, operations, accuracy"):
        optimize_ast("x", {"cost": "beauty"})
    with pytest.raises(HypatiaError, match="ranges go with the cost 'accuracy'"):
        optimize_ast("x", {"ranges": {}})


LEAVES = st.sampled_from(["x", "1", "2", "1/2"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["exp", "log", "sqrt", "sin", "cos"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=12, deadline=None)
@given(TREES)
def test_no_expression_gets_worse(text: str) -> None:
    try:
        found = improve_accuracy(text, {"x": (0.1, 10.0)} if "x" in text else {})
    except HypatiaError:
        return
    assert found.error_after <= found.error_before
    for regime in found.regimes:
        if regime.exact and "x" in text:
            assert prove_equivalent(regime.expression, text, {"x": "positive"}).status != "refuted"
