"""The symbolic algebra against SymPy and SymEngine, in one run, in alternating rounds, answers checked.

    python benchmarks/symbolic.py [--rounds 5] [--points 1000000] [--name symbolic]

Each task is the same expression for every library, built outside the clock. The figure is the median over the
rounds. SymEngine is compared where it is installed (`pip install symengine`), in the best of its settings.
SymPy's cache of earlier calls is emptied before each of its rounds. Results are kept in benchmarks/results/.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy
import sympy
from records import facts, save

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


Tasks = dict[str, Callable[[], Any]]
OURS = "hypatia"


class Benchmark:
    """The rows of one run."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.rows: list[dict[str, Any]] = []
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)

    def measure(
        self,
        name: str,
        tasks: Tasks,
        check: Callable[[dict[str, Any]], None],
        *,
        rounds: int | None = None,
        beside: bool = False,
    ) -> None:
        """Times of each library, in alternating rounds; the results of the last are checked.

        A row `beside` the six tasks is printed and not counted in the means.
        """
        times: dict[str, list[float]] = {library: [] for library in tasks}
        results: dict[str, Any] = {}
        for _ in range(rounds or self.rounds):
            for library, task in tasks.items():
                sympy.core.cache.clear_cache()
                started = time.perf_counter()
                result = task()
                times[library].append(time.perf_counter() - started)
                results[library] = result
        check(results)
        self.rows.append({"task": name, "beside": beside, "seconds": times})
        medians = {library: statistics.median(values) for library, values in times.items()}
        columns = (f"{library} {value * 1e3:9.3f} ms" for library, value in medians.items())
        ratios = (
            f"{value / medians[OURS]:.2f} of {library}"
            for library, value in medians.items()
            if library != OURS
        )
        self.say(f"{name:42s} {'  '.join(columns)}  | {', '.join(ratios)}")

    def best(self, row: dict[str, Any], library: str) -> float | None:
        """The median of a library's best setting over ours; none where it has no such task."""
        medians = {name: statistics.median(values) for name, values in row["seconds"].items()}
        found = [value for name, value in medians.items() if name.startswith(library)]
        return min(found) / medians[OURS] if found else None


def nothing(results: dict[str, Any]) -> None:
    """For tasks whose results another row checks."""


def substitution(benchmark: Benchmark, name: str, text: str, *, beside: bool = False) -> None:
    """x ↦ y + 1 everywhere."""
    wide, replacement = parse_expr(text), parse_expr("y + 1")
    theirs, x, y = sympy.sympify(text), sympy.Symbol("x"), sympy.Symbol("y")
    tasks: Tasks = {OURS: lambda: wide.subs({"x": replacement}), "sympy": lambda: theirs.subs(x, y + 1)}
    if symengine:
        fast, swap = symengine.sympify(text), {symengine.Symbol("x"): symengine.Symbol("y") + 1}
        tasks["symengine"] = lambda: fast.subs(swap)

    def same_value(results: dict[str, Any]) -> None:
        values = [results[OURS].eval({"y": 0.25})]
        values += [float(results[library].subs({"y": 0.25})) for library in tasks if library != OURS]
        assert max(values) - min(values) < 1e-9 * abs(values[0]), values

    benchmark.measure(name, tasks, same_value, beside=beside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--name", default="symbolic", help="of the files under benchmarks/results/")
    options = parser.parse_args()
    benchmark = Benchmark(options.rounds)
    x, y, z = sympy.symbols("x y z", real=True)

    # SymEngine collects the terms of the first text to seven while it reads them, and none of the second.
    text = " + ".join(f"x**{i % 7 + 2}*sin(y)/{i + 1}" for i in range(1100))
    distinct = " + ".join(f"x**{i % 7 + 2}*sin({i + 1}*y)/{i + 1}" for i in range(1100))
    tasks: Tasks = {OURS: lambda: parse_expr(text), "sympy": lambda: sympy.sympify(text)}
    if symengine:
        tasks["symengine"] = lambda: symengine.sympify(text)

    def same_value(results: dict[str, Any]) -> None:
        expected = results[OURS].eval({"x": 0.5, "y": 0.25})
        assert abs(float(results["sympy"].subs({"x": 0.5, "y": 0.25})) - expected) < 1e-9

    benchmark.measure("parse 10,000 nodes", tasks, same_value)

    nested = "x*sin(x*cos(x*exp(x)))"
    ours, theirs = parse_expr(nested), sympy.sympify(nested, locals={"x": x})
    tasks = {OURS: lambda: ours.derivative("x", 6), "sympy": lambda: sympy.diff(theirs, x, 6)}
    if symengine:
        fast, variable = symengine.sympify(nested), symengine.Symbol("x")

        def sixth() -> Any:
            result = fast
            for _ in range(6):
                result = result.diff(variable)
            return result

        tasks["symengine"] = sixth

    def same_derivative(results: dict[str, Any]) -> None:
        expected = float(results["sympy"].subs({x: 0.3}))
        assert abs(results[OURS].eval({"x": 0.3}) - expected) < 1e-6 * abs(expected)

    benchmark.measure("6th derivative", tasks, same_derivative)

    power = parse_expr("(x+y+z+1)**20")
    tasks = {OURS: power.expand, "sympy": lambda: sympy.expand((x + y + z + 1) ** 20)}
    if symengine:
        a, b, c = symengine.symbols("x y z")
        tasks["symengine"] = lambda: symengine.expand((a + b + c + 1) ** 20)

    def same_terms(results: dict[str, Any]) -> None:
        assert len(results["sympy"].args) == 1771
        assert abs(results[OURS].eval({"x": 0.1, "y": 0.2, "z": 0.3}) - 1.6**20) < 1e-6

    benchmark.measure("expand (x+y+z+1)**20", tasks, same_terms)

    substitution(benchmark, "substitution in 1,100 distinct terms", distinct)
    substitution(benchmark, "substitution in terms SymEngine collects", text, beside=True)

    def ours_proves() -> int:
        return sum(prove_equivalent(left, right).status == "proved" for left, right in PAIRS)

    def sympy_proves() -> int:
        def read(text: str) -> Any:
            return sympy.sympify(text, locals={"x": x, "y": y})

        return sum(sympy.simplify(read(left) - read(right)) == 0 for left, right in PAIRS)

    proved: dict[str, Any] = {}
    benchmark.measure(
        "200 equality proofs", {OURS: ours_proves, "sympy": sympy_proves}, proved.update, rounds=1
    )
    wrong = sum(prove_equivalent(left, right).status == "proved" for left, right in FALSE_PAIRS)
    benchmark.say(f"    proved of {len(PAIRS)}: {proved}; of {len(FALSE_PAIRS)} false ones proved: {wrong}")
    assert wrong == 0

    formula = "exp(-x**2)*sin(3*y) + sqrt(1 + x**2*y**2)/(2 + cos(x))"
    values = numpy.linspace(-2, 2, options.points), numpy.linspace(0, 5, options.points)
    our_function = parse_expr(formula).to_callable(["x", "y"])
    their_function = sympy.lambdify(sympy.symbols("x y"), sympy.sympify(formula), "numpy")
    tasks = {OURS: lambda: our_function(*values), "sympy": lambda: their_function(*values)}
    if symengine:
        stacked = numpy.stack(values, axis=-1)
        arguments, outputs = symengine.symbols("x y"), [symengine.sympify(formula)]
        for backend in ("lambda", *(["llvm"] if symengine.have_llvm else [])):
            for cse in (False, True):
                function = symengine.Lambdify(arguments, outputs, backend=backend, cse=cse)
                tasks[f"symengine {backend}{' cse' * cse}"] = lambda f=function: f(stacked)[..., 0]  # type: ignore[misc]

    def same_values(results: dict[str, Any]) -> None:
        for found in results.values():
            assert numpy.allclose(found, results[OURS], rtol=1e-12, atol=1e-14)

    benchmark.measure(f"evaluate at {options.points:,} points", tasks, same_values)
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    benchmark.measure("    the same, one thread of ours", tasks, same_values, beside=True)
    os.environ.pop("OMP_NUM_THREADS") if threads is None else os.environ.update(OMP_NUM_THREADS=threads)

    counted = [row for row in benchmark.rows if not row["beside"]]
    ratios = [ratio for row in counted if (ratio := benchmark.best(row, "sympy")) is not None]
    benchmark.say(
        f"SymPy {sympy.__version__}: geometric mean {statistics.geometric_mean(ratios):.1f} times its speed"
    )
    versions = {"sympy": sympy.__version__, "numpy": numpy.__version__}
    if symengine:
        level = {
            row["task"]: ratio for row in counted if (ratio := benchmark.best(row, "symengine")) is not None
        }
        ahead = sum(ratio >= 1 for ratio in level.values())
        benchmark.say(
            f"SymEngine {symengine.__version__}: at least level on {ahead} of {len(level)} tasks it has"
        )
        versions["symengine"] = symengine.__version__
    machine = facts()
    line = ", ".join([machine["line"], *(f"{name} {version}" for name, version in versions.items())])
    data = {"rows": benchmark.rows, "proved": proved, "wrong": wrong}
    save(options.name, {"machine": machine, "versions": versions, **data}, [line, "", *benchmark.lines])
    return 0


if __name__ == "__main__":
    sys.exit(main())
