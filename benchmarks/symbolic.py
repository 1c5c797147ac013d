"""The symbolic algebra against SymPy and SymEngine, in one run, in alternating rounds, answers checked.

    python benchmarks/symbolic.py [--rounds 5] [--points 1000000]

Each task is the same expression for every library, built outside the clock. The figure is the median over the
rounds. SymEngine is compared where it is installed (`pip install symengine`).
"""

import argparse
import statistics
import sys
import time

import numpy
import sympy

from hypatia_core import parse_expr, prove_equivalent

try:
    import symengine
except ImportError:
    symengine = None

IDENTITIES = [
    ("(x+{k})**2", "x**2 + 2*{k}*x + {k}**2"),
    ("(x+y)*(x-y) + {k}", "x**2 - y**2 + {k}"),
    ("1/(x+{k}) - 1/(x+{k}+1)", "1/((x+{k})*(x+{k}+1))"),
    ("sin({k}*x)**2 + cos({k}*x)**2", "1"),
    ("sin(2*{k}*x)", "2*sin({k}*x)*cos({k}*x)"),
    ("cos(x)**4 - sin(x)**4 + {k}", "cos(2*x) + {k}"),
    ("sin(x+{k}*y)", "sin(x)*cos({k}*y) + cos(x)*sin({k}*y)"),
    ("exp(x)*exp({k}*y)", "exp(x+{k}*y)"),
    ("cosh({k}*x)**2 - sinh({k}*x)**2", "1"),
    ("tanh({k}*x)", "(exp(2*{k}*x)-1)/(exp(2*{k}*x)+1)"),
    ("(x**3 - {k}**3)/(x-{k})", "x**2 + {k}*x + {k}**2"),
    ("log(exp({k}*x))", "{k}*x"),
    ("sqrt(x**2 + {k})**2", "x**2 + {k}"),
    ("sqrt(x**2*{k})", "sqrt({k})*abs(x)"),
    ("abs({k}*x*y)", "{k}*abs(x)*abs(y)"),
    ("sin(asin(x)/1)*{k}", "{k}*x"),
    ("tan({k}*x)*cos({k}*x)", "sin({k}*x)"),
    ("(1-cos({k}*x))*(1+cos({k}*x))", "sin({k}*x)**2"),
    ("(x+y+{k})**3 - (x+y)**3", "3*{k}*(x+y)**2 + 3*{k}**2*(x+y) + {k}**3"),
    ("log(x**2+{k}) + log(y**2+1)", "log((x**2+{k})*(y**2+1))"),
]
PAIRS = [(left.format(k=k), right.format(k=k)) for k in range(1, 11) for left, right in IDENTITIES]
# The same pairs with the right side changed: none may be proved.
FALSE_PAIRS = [(left, f"({right}) + x/1000") for left, right in PAIRS]


def clock(task):
    started = time.perf_counter()
    result = task()
    return time.perf_counter() - started, result


def measure(name, tasks, rounds, check):
    """Median seconds of each library, in alternating rounds; every result is checked."""
    times = {library: [] for library in tasks}
    results = {}
    for _ in range(rounds):
        for library, task in tasks.items():
            seconds, results[library] = clock(task)
            times[library].append(seconds)
    check(results)
    medians = {library: statistics.median(values) for library, values in times.items()}
    ours = medians["hypatia"]
    ratios = "  ".join(
        f"{library} {value * 1e3:10.3f} ms ({value / ours:8.1f}x)" for library, value in medians.items()
    )
    print(f"{name:34s} {ratios}")
    return medians


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=1_000_000)
    options = parser.parse_args()
    x, y, z = sympy.symbols("x y z", real=True)
    all_medians = []

    text = " + ".join(f"x**{i % 7 + 2}*sin(y)/{i + 1}" for i in range(1100))
    tasks = {"hypatia": lambda: parse_expr(text), "sympy": lambda: sympy.sympify(text)}
    if symengine:
        tasks["symengine"] = lambda: symengine.sympify(text)

    def same_value(results):
        point = {"x": 0.5, "y": 0.25}
        expected = results["hypatia"].eval(point)
        assert abs(float(results["sympy"].subs(point)) - expected) < 1e-9

    all_medians.append(measure("parse 10,000 nodes", tasks, min(options.rounds, 3), same_value))

    nested = "x*sin(x*cos(x*exp(x)))"
    ours, theirs = parse_expr(nested), sympy.sympify(nested, locals={"x": x})
    tasks = {"hypatia": lambda: ours.derivative("x", 6), "sympy": lambda: sympy.diff(theirs, x, 6)}
    if symengine:
        fast, variable = symengine.sympify(nested), symengine.Symbol("x")

        def sixth():
            result = fast
            for _ in range(6):
                result = result.diff(variable)
            return result

        tasks["symengine"] = sixth

    def same_derivative(results):
        expected = float(results["sympy"].subs({x: 0.3}))
        assert abs(results["hypatia"].eval({"x": 0.3}) - expected) < 1e-6 * abs(expected)

    all_medians.append(measure("6th derivative", tasks, min(options.rounds, 3), same_derivative))

    power = parse_expr("(x+y+z+1)**20")
    tasks = {"hypatia": power.expand, "sympy": lambda: sympy.expand((x + y + z + 1) ** 20)}
    if symengine:
        a, b, c = symengine.symbols("x y z")
        tasks["symengine"] = lambda: symengine.expand((a + b + c + 1) ** 20)

    def same_terms(results):
        assert len(results["sympy"].args) == 1771
        assert abs(results["hypatia"].eval({"x": 0.1, "y": 0.2, "z": 0.3}) - 1.6**20) < 1e-6

    all_medians.append(measure("expand (x+y+z+1)**20", tasks, min(options.rounds, 3), same_terms))

    wide = parse_expr(text)
    wide_sympy = sympy.sympify(text)
    replacement, replacement_sympy = parse_expr("y + 1"), sympy.Symbol("y") + 1
    tasks = {
        "hypatia": lambda: wide.subs({"x": replacement}),
        "sympy": lambda: wide_sympy.subs(sympy.Symbol("x"), replacement_sympy),
    }
    if symengine:
        wide_fast, swap = symengine.sympify(text), {symengine.Symbol("x"): symengine.Symbol("y") + 1}
        tasks["symengine"] = lambda: wide_fast.subs(swap)
    all_medians.append(
        measure("substitution in 10,000 nodes", tasks, min(options.rounds, 3), lambda results: None)
    )

    def ours_proves():
        return sum(prove_equivalent(left, right).status == "proved" for left, right in PAIRS)

    def sympy_proves():
        read = lambda text: sympy.sympify(text, locals={"x": x, "y": y})  # noqa: E731
        return sum(sympy.simplify(read(left) - read(right)) == 0 for left, right in PAIRS)

    proved = {}
    all_medians.append(
        measure("200 equality proofs", {"hypatia": ours_proves, "sympy": sympy_proves}, 1, proved.update)
    )
    wrong = sum(prove_equivalent(left, right).status == "proved" for left, right in FALSE_PAIRS)
    print(f"    proved of {len(PAIRS)}: {proved}; of {len(FALSE_PAIRS)} false ones proved: {wrong}")
    assert wrong == 0

    formula = "exp(-x**2)*sin(3*y) + sqrt(1 + x**2*y**2)/(2 + cos(x))"
    values = numpy.linspace(-2, 2, options.points), numpy.linspace(0, 5, options.points)
    our_function = parse_expr(formula).to_callable(["x", "y"])
    their_function = sympy.lambdify(sympy.symbols("x y"), sympy.sympify(formula), "numpy")
    tasks = {"hypatia": lambda: our_function(*values), "sympy": lambda: their_function(*values)}
    if symengine:
        fast_function = symengine.Lambdify(symengine.symbols("x y"), [symengine.sympify(formula)])
        stacked = numpy.stack(values, axis=-1)
        tasks["symengine"] = lambda: fast_function(stacked)[..., 0]

    def same_values(results):
        for found in results.values():
            assert numpy.allclose(found, results["hypatia"], rtol=1e-12)

    all_medians.append(measure(f"evaluate at {options.points:,} points", tasks, options.rounds, same_values))

    ratio = statistics.geometric_mean(medians["sympy"] / medians["hypatia"] for medians in all_medians)
    print(f"geometric mean against SymPy {sympy.__version__}: {ratio:.1f}x")
    if symengine:
        level = sum(m.get("symengine", 0) >= m["hypatia"] for m in all_medians if "symengine" in m)
        tried = sum("symengine" in m for m in all_medians)
        print(f"at least level with SymEngine {symengine.__version__} on {level} of {tried}")


if __name__ == "__main__":
    sys.exit(main())
