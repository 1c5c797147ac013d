"""Rounding error of the cancellation examples of Hamming's chapter 3, before and after `improve_accuracy`.

    python benchmarks/accuracy.py [--only NAME ...] [--name accuracy]

R. W. Hamming, "Numerical Methods for Scientists and Engineers", 2nd edition, chapter 3; the 28 examples are
those that FPBench and Herbie use. Errors are mean bits over points spread evenly over the doubles of the
ranges, judged by points that the search has not seen. Results are kept in benchmarks/results/.
"""

import argparse
import sys
import time
from typing import Any

from hypatia_core import improve_accuracy

POSITIVE = (1e-300, 1e300)
LARGE = (1.0, 1e300)
# Name, expression, ranges; a variable without a range takes every finite double.
EXAMPLES: list[tuple[str, str, dict[str, tuple[float, float]]]] = [
    ("2sqrt (3.1)", "sqrt(x + 1) - sqrt(x)", {"x": LARGE}),
    ("2isqrt (3.6)", "1/sqrt(x) - 1/sqrt(x + 1)", {"x": LARGE}),
    ("2frac (3.3.1)", "1/(x + 1) - 1/x", {}),
    ("3frac (3.3.3)", "1/(x + 1) - 2/x + 1/(x - 1)", {}),
    ("2cbrt (3.3.4)", "(x + 1)**(1/3) - x**(1/3)", {"x": LARGE}),
    ("2log (3.3.6)", "log(N + 1) - log(N)", {"N": (1.0, 1e40)}),
    ("exp2 (3.3.7)", "exp(x) - 2 + exp(-x)", {"x": (-710.0, 710.0)}),
    ("2sin (3.3)", "sin(x + e) - sin(x)", {"x": (1.0, 1e4), "e": (1e-14, 1.0)}),
    ("2cos (3.3.5)", "cos(x + e) - cos(x)", {"x": (1.0, 1e4), "e": (1e-14, 1.0)}),
    ("2tan (3.3.2)", "tan(x + e) - tan(x)", {"x": (1.0, 1e4), "e": (1e-14, 1.0)}),
    ("tanhf (3.4)", "(1 - cos(x))/sin(x)", {}),
    ("2atan (3.5)", "atan(N + 1) - atan(N)", {"N": (1.0, 1e100)}),
    ("sintan (3.4.5)", "(x - sin(x))/(x - tan(x))", {"x": (-1e5, 1e5)}),
    ("expm1 (3.7)", "exp(x) - 1", {"x": (-0.5, 0.5)}),
    ("logs (3.8)", "(n + 1)*log(n + 1) - n*log(n) - 1", {"n": (6.8e15, 1e300)}),
    ("invcot (3.9)", "1/x - 1/tan(x)", {"x": (-0.026, 0.026)}),
    ("qlog (3.10)", "log(1 - x)/log(1 + x)", {"x": (-0.5, 0.5)}),
    ("cos2 (3.4.1)", "(1 - cos(x))/(x*x)", {}),
    (
        "expq3 (3.4.2)",
        "e*(exp((a + b)*e) - 1)/((exp(a*e) - 1)*(exp(b*e) - 1))",
        {"a": (-710.0, 710.0), "b": (-710.0, 710.0), "e": (-1.0, 1.0)},
    ),
    ("logq (3.4.3)", "log((1 - e)/(1 + e))", {"e": (-1.0, 1.0)}),
    ("sqrtexp (3.4.4)", "sqrt((exp(2*x) - 1)/(exp(x) - 1))", {}),
    ("2nthrt (3.4.6)", "(x + 1)**(1/n) - x**(1/n)", {"x": LARGE, "n": (1.0, 1e100)}),
    ("expq2 (3.11)", "exp(x)/(exp(x) - 1)", {}),
    ("expax (3.5)", "exp(a*x) - 1", {}),
    ("quad2m (3.2.1)", "(-b - sqrt(b*b - a*c))/a", {}),
    ("quad2p (3.2.1)", "(-b + sqrt(b*b - a*c))/a", {}),
    ("quadm (p42)", "(-b - sqrt(b*b - 4*a*c))/(2*a)", {}),
    ("quadp (p42)", "(-b + sqrt(b*b - 4*a*c))/(2*a)", {}),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="names of examples, by how they begin")
    parser.add_argument("--name", default="accuracy", help="of the files under benchmarks/results/")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    lines = [f"{'example':18s} {'before':>7s} {'after':>7s} {'gain':>6s}  form"]
    print(lines[0])
    for name, text, ranges in EXAMPLES:
        if options.only and not name.startswith(tuple(options.only)):
            continue
        started = time.perf_counter()
        found = improve_accuracy(text, ranges)
        seconds = time.perf_counter() - started
        row = {"example": name, "before": found.error_before, "after": found.error_after}
        rows.append({**row, "form": str(found), "seconds": seconds})
        form = str(found).replace("\n", f"\n{'':42s}")
        gain = found.error_before - found.error_after
        lines.append(f"{name:18s} {found.error_before:7.2f} {found.error_after:7.2f} {gain:6.2f}  {form}")
        print(f"{lines[-1]}  ({seconds:.1f} s)", flush=True)
    gains = [row["before"] - row["after"] for row in rows]
    good, worse = sum(gain >= 10 for gain in gains), sum(gain < 0 for gain in gains)
    lines.append(f"{good} of {len(gains)} gain 10 bits or more in the mean; {worse} got worse")
    print(lines[-1])
    if not options.only:
        from records import facts, save  # the tests read the examples from elsewhere, where it is not found

        machine = facts()
        save(options.name, {"machine": machine, "rows": rows}, [machine["line"], "", *lines])
    return 0


if __name__ == "__main__":
    sys.exit(main())
