"""SymPy, callables, common subexpressions and C."""

import math
import subprocess
import sys
from typing import Any

import numpy
import pytest
import sympy
import torch

from hypatia_core import HypatiaError, Symbol, is_equivalent, parse_expr
from hypatia_core.symbolic.callables import CALLS

x, y, z = sympy.symbols("x y z", real=True)
p = sympy.Symbol("p", positive=True)
ATOMS = [
    x,
    y,
    x + y,
    x * y,
    x**2 - y,
    2 * x / 3,
    sympy.sqrt(p),
    p ** sympy.Rational(2, 3),
    x / (1 + y**2),
    x - sympy.pi,
]
FUNCTIONS = [
    sympy.exp,
    sympy.sin,
    sympy.cos,
    sympy.tan,
    sympy.atan,
    sympy.sinh,
    sympy.cosh,
    sympy.tanh,
    sympy.asinh,
    sympy.Abs,
    sympy.sign,
    sympy.floor,
    sympy.erf,
    lambda u: sympy.log(1 + u**2),
    lambda u: sympy.sqrt(1 + u**2),
    lambda u: sympy.Max(u, y, 1),
    lambda u: u**3 + 2 * u,
    lambda u: 1 / (1 + sympy.exp(-u)),
    sympy.cot,
    lambda u: u**-2,
]
EXPRESSIONS = [function(atom) for function in FUNCTIONS for atom in ATOMS]


def test_two_hundred_expressions_go_to_sympy_and_back() -> None:
    assert len(EXPRESSIONS) == 200
    for expression in EXPRESSIONS:
        symbol = Symbol.from_sympy(expression)
        again = Symbol.from_sympy(sympy.sympify(symbol))
        point = {"x": 0.7, "y": -0.4, "z": 0.3, "p": 1.9}
        expected = float(expression.subs({x: 0.7, y: -0.4, z: 0.3, p: 1.9}))
        assert symbol.eval(point) == pytest.approx(expected, rel=1e-9, abs=1e-12), expression
        assert again.eval(point) == pytest.approx(expected, rel=1e-9, abs=1e-12), expression
        # SymPy's own printing is read too, where its functions have our names.
        if "sign" not in str(expression) and "cot" not in str(expression):
            assert parse_expr(str(expression)).eval(point) == pytest.approx(expected, rel=1e-9, abs=1e-12), (
                expression
            )


def test_assumptions_go_along() -> None:
    assert Symbol.from_sympy(p).assumptions == {"p": "positive"}
    assert sympy.sympify(Symbol.variable("q", negative=True)).is_negative
    assert sympy.sympify(parse_expr("x**2 + 1/2")) == sympy.Symbol("x", real=True) ** 2 + sympy.Rational(1, 2)
    with pytest.raises(HypatiaError, match="no counterpart"):
        Symbol.from_sympy(sympy.I)


TEXTS = [
    "x**2 + y",
    "gelu(x) + silu(y)",
    "softplus(x*y)",
    "relu(x) - relu_grad(y)",
    "max(x, y)/min(x, 3)",
    "sigmoid(x)*tanh(y)",
    "exp(-x**2)*erf(y)",
    "hypot(x, y) + abs(x)",
    "log1p(x**2) + expm1(y)",
    "floor(x) + sign(y)",
    "pi*x",
    "asinh(x) + atan(y)",
    "-x**3 + 1/3*y",
]


@pytest.mark.parametrize("text", TEXTS)
def test_backends_agree(text: Any) -> None:
    symbol = parse_expr(text)
    values = numpy.array([0.3, -1.2, 2.5]), numpy.array([1.1, 0.4, -0.7])
    expected = [symbol.eval({"x": a, "y": b}) for a, b in zip(*values, strict=True)]
    names = ["x", "y"]
    assert symbol.to_callable(names)(*values) == pytest.approx(expected, rel=1e-12)
    plain = symbol.to_callable(names, backend="math")
    assert [plain(a, b) for a, b in zip(*values, strict=True)] == pytest.approx(expected, rel=1e-12)
    tensors = [torch.tensor(value) for value in values]
    assert symbol.to_callable(names, backend="torch")(*tensors).tolist() == pytest.approx(expected, rel=1e-9)


def test_every_function_is_one_row_in_every_language() -> None:
    """Each function of the algebra is written in each language, and the rows agree with the engine."""
    from hypatia_core.symbolic.callables import CALLS

    for name in sorted(set(CALLS) - {"pow"}):
        two = name in ("max", "min", "hypot")
        point = {"x": 1.25 if name == "acosh" else 0.625, **({"y": 0.375} if two else {})}
        symbol = parse_expr(f"({name} x y)" if two else f"({name} x)")
        found = symbol.to_callable(backend="math")(*point.values())
        assert found == pytest.approx(symbol.eval(point), rel=1e-12), name
    assert parse_expr("x**(1/3)").eval({"x": 27.0}) == 3.0


def test_the_torch_function_is_differentiable() -> None:
    symbol = parse_expr("gelu(x)*y")
    a, b = (
        torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True),
        torch.tensor([2.0, 3.0], dtype=torch.float64),
    )
    symbol.to_callable(["x", "y"], backend="torch")(a, b).sum().backward()
    expected = [symbol.derivative("x").eval({"x": s, "y": t}) for s, t in [(0.5, 2.0), (-1.0, 3.0)]]
    assert a.grad is not None and a.grad.tolist() == pytest.approx(expected)


def test_shared_parts_are_named_once() -> None:
    symbol = parse_expr("exp(x*y) + sin(x*y) + t0")
    parts, rest = symbol.cse()
    assert [str(part) for _, part in parts] == ["(mul x y)"]
    assert rest.subs(dict(parts)) == symbol
    with pytest.raises(HypatiaError, match="unknown backend"):
        symbol.to_callable(backend="fortran")
    with pytest.raises(HypatiaError, match="not among the arguments"):
        symbol.to_callable(["x"])


def test_c_compiles_and_agrees(tmp_path: Any) -> None:
    source = parse_expr("gelu(x) + max(y, x**2)/3").to_c("f")
    program = source + '#include <stdio.h>\nint main(void) { printf("%.17g", f(0.7, -0.2)); return 0; }\n'
    (tmp_path / "f.c").write_text(program)
    try:
        subprocess.run(["cc", "-o", "f", "f.c", "-lm"], cwd=tmp_path, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    found = float(subprocess.run([tmp_path / "f"], capture_output=True, check=True, text=True).stdout)
    assert found == pytest.approx(
        parse_expr("gelu(x) + max(y, x**2)/3").eval({"x": 0.7, "y": -0.2}), rel=1e-14
    )


def test_importing_imports_neither_numpy_nor_sympy_for_us() -> None:
    code = (
        "import hypatia_core._hypatia_core, sys; assert 'sympy' not in sys.modules or 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_identities_of_sympy_hold_here() -> None:
    for left, right in [
        (sympy.expand((x + y) ** 5), (x + y) ** 5),
        (sympy.expand_trig(sympy.sin(3 * x)), sympy.sin(3 * x)),
    ]:
        assert is_equivalent(Symbol.from_sympy(left), Symbol.from_sympy(right))


def test_columns_agree_with_single_points() -> None:
    """Blocks of points, with vector instructions where there are some, give what points one by one give."""
    generator = numpy.random.default_rng(0)
    spread = numpy.concatenate([generator.normal(size=700) * scale for scale in (1.0, 30.0, 1e7)])
    points = numpy.concatenate([spread, [0.0, -0.0, 1.0, -1.0, 1e300, -1e300, 5e-324]])
    names = [name for name in CALLS if name not in ("pow", "hypot", "max", "min")]
    forms = [f"({name} x)" for name in names] + ["(pow x 3)", "(pow x -2)", "(pow x 1/3)", "(div 1 x)"]
    for text in forms:
        symbol = parse_expr(text)
        found = symbol.eval({"x": points})
        for x, value in zip(points.tolist(), found.tolist(), strict=True):
            try:
                expected = symbol.eval({"x": x})
            except HypatiaError:
                assert math.isnan(value), (text, x)
                continue
            assert value == pytest.approx(expected, rel=1e-15, abs=5e-324), (text, x)


def test_arrays_of_any_layout_are_taken() -> None:
    symbol = parse_expr("x*y + 1")
    x = numpy.arange(24.0).reshape(4, 6)
    expected = x[:, ::2].T * 3 + 1
    assert (symbol.eval({"x": x[:, ::2].T, "y": 3}) == expected).all()
    assert (symbol.eval({"x": x[:, ::2].T.astype("float32"), "y": numpy.int8(3)}) == expected).all()
    assert (symbol.eval({"x": x[:, ::2].T.astype(">f8"), "y": numpy.full((3, 1), 3)}) == expected).all()
    assert symbol.eval({"x": numpy.zeros((0, 3)), "y": 1.0}).shape == (0, 3)
