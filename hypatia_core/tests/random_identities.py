"""Random identities and near-identities, whose answers are held against mpmath.

    python hypatia_core/tests/random_identities.py [--count 2000] [--seed 0]

A random expression is rewritten by identities that hold where both sides are defined; half of the pairs are
then changed at one place. A wrong "proved" is a point at which mpmath, with 80 digits, has both values and
they differ; a wrong "refuted" is a witness at which it has them equal or has none.

By two rewrites a pair may come to differ: x is exp(log(x)) is exp(log(x**2)/2) where the middle is defined.
"""

import argparse
import random
import sys
import time
from collections import Counter
from fractions import Fraction
from typing import Any

from hypatia_core import HypatiaError, parse_expr, prove_equivalent
from reference_value import UnclearError, UndefinedError, differ, reference_value

LEAVES = ["x", "y", "x", "y", "1", "2", "3", "-1", "1/2", "-2/3", "0", "pi"]
UNARY = [
    *("exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("abs", "sign", "floor", "relu", "sigmoid", "softplus", "erf", "neg", "expm1", "log1p", "silu", "gelu"),
    *("relu_grad", "asinh", "acosh", "atanh"),
]
BINARY = ["add", "sub", "mul", "div", "max", "min", "add", "sub", "mul", "hypot"]
EXPONENTS = ["2", "3", "-1", "-2", "1/2", "1/3", "3/2", "0", "y"]
#: Equal wherever both are defined; `u` and `v` stand for any terms, and a pair is read in both directions.
IDENTITIES = [
    ("u", "(add u 0)"),
    ("u", "(mul 1 u)"),
    ("u", "(neg (neg u))"),
    ("u", "(sub (add u v) v)"),
    ("u", "(div (mul u 3) 3)"),
    ("u", "(div (mul u v) v)"),
    ("u", "(log (exp u))"),
    ("u", "(exp (log u))"),
    ("u", "(pow (sqrt u) 2)"),
    ("u", "(tan (atan u))"),
    ("u", "(sin (asin u))"),
    ("u", "(sub (relu u) (relu (neg u)))"),
    ("u", "(mul (sign u) (abs u))"),
    ("u", "(add (mul u (pow (sin v) 2)) (mul u (pow (cos v) 2)))"),
    ("(abs u)", "(sqrt (pow u 2))"),
    ("(abs u)", "(max u (neg u))"),
    ("(relu u)", "(div (add u (abs u)) 2)"),
    ("(max u v)", "(div (add (add u v) (abs (sub u v))) 2)"),
    ("(min u v)", "(neg (max (neg u) (neg v)))"),
    ("(sin u)", "(mul 2 (mul (sin (div u 2)) (cos (div u 2))))"),
    ("(cos u)", "(sub 1 (mul 2 (pow (sin (div u 2)) 2)))"),
    ("(tan u)", "(div (sin u) (cos u))"),
    ("(acos u)", "(sub (div pi 2) (asin u))"),
    ("(exp u)", "(pow (exp (div u 2)) 2)"),
    ("(exp (add u v))", "(mul (exp u) (exp v))"),
    ("(log (mul u v))", "(add (log (abs u)) (log (abs v)))"),
    ("(log u)", "(div (log (pow u 2)) 2)"),
    ("(sinh u)", "(div (sub (exp u) (exp (neg u))) 2)"),
    ("(cosh u)", "(sqrt (add 1 (pow (sinh u) 2)))"),
    ("(tanh u)", "(sub (mul 2 (sigmoid (mul 2 u))) 1)"),
    ("(sigmoid u)", "(div 1 (add 1 (exp (neg u))))"),
    ("(softplus u)", "(add u (softplus (neg u)))"),
    ("(silu u)", "(mul u (sigmoid u))"),
    ("(expm1 u)", "(sub (exp u) 1)"),
    ("(log1p u)", "(log (add 1 u))"),
    ("(hypot u v)", "(sqrt (add (pow u 2) (pow v 2)))"),
    ("(asinh u)", "(log (add u (sqrt (add 1 (pow u 2)))))"),
    ("(pow u 2)", "(mul u u)"),
    ("(mul u (add v 1))", "(add (mul u v) u)"),
    ("(sub u v)", "(neg (sub v u))"),
    ("(div u v)", "(mul u (pow v -1))"),
    ("(sub (pow u 2) (pow v 2))", "(mul (sub u v) (add u v))"),
    ("(floor u)", "(sub (floor (add u 1)) 1)"),
    ("(sign u)", "(sub (relu_grad u) (relu_grad (neg u)))"),
]
#: What a near-identity has in place of an operator.
NEIGHBOURS = {
    "add": "sub",
    "sub": "add",
    "mul": "div",
    "sin": "cos",
    "cos": "sin",
    "max": "min",
    "min": "max",
    "abs": "neg",
    "sinh": "cosh",
    "cosh": "sinh",
    "relu": "abs",
    "asin": "atan",
    "tanh": "tan",
    "floor": "neg",
    "sqrt": "abs",
    "sigmoid": "tanh",
    "exp": "expm1",
}
Tree = str | list[Any]


def read(text: str) -> Tree:
    """An S-expression as nested lists."""
    tokens = text.replace("(", " ( ").replace(")", " ) ").split()

    def term() -> Tree:
        token = tokens.pop(0)
        if token != "(":
            return token
        parts: list[Any] = []
        while tokens[0] != ")":
            parts.append(term())
        tokens.pop(0)
        return parts

    return term()


def write(tree: Tree) -> str:
    return tree if isinstance(tree, str) else "(" + " ".join(map(write, tree)) + ")"


ROWS = [pair for a, b in IDENTITIES for pair in ((read(a), read(b)), (read(b), read(a)))]


def random_tree(dice: random.Random, depth: int) -> Tree:
    choice = dice.random()
    if depth == 0 or choice < 0.2:
        return dice.choice(LEAVES)
    if choice < 0.55:
        return [dice.choice(UNARY), random_tree(dice, depth - 1)]
    if choice < 0.9:
        return [dice.choice(BINARY), random_tree(dice, depth - 1), random_tree(dice, depth - 1)]
    return ["pow", random_tree(dice, depth - 1), dice.choice(EXPONENTS)]


def matches(pattern: Tree, tree: Tree, bound: dict[str, Tree]) -> bool:
    if pattern in ("u", "v") and isinstance(pattern, str):
        return bound.setdefault(pattern, tree) == tree
    if isinstance(pattern, str) or isinstance(tree, str):
        return pattern == tree
    return len(pattern) == len(tree) and all(matches(p, t, bound) for p, t in zip(pattern, tree, strict=True))


def filled(pattern: Tree, bound: dict[str, Tree]) -> Tree:
    if isinstance(pattern, str):
        return bound.get(pattern, pattern)
    return [filled(part, bound) for part in pattern]


def places(tree: Tree, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    found = [path]
    if not isinstance(tree, str):
        for index in range(1, len(tree)):
            found += places(tree[index], (*path, index))
    return found


def replaced(tree: Tree, path: tuple[int, ...], change: Any) -> Tree:
    if not path:
        changed: Tree = change(tree)
        return changed
    assert not isinstance(tree, str)
    head, *rest = path
    return [replaced(part, tuple(rest), change) if i == head else part for i, part in enumerate(tree)]


def rewritten(dice: random.Random, tree: Tree) -> Tree:
    """The tree with one identity applied at one place."""

    def change(part: Tree) -> Tree:
        fitting = []
        for left, right in ROWS:
            bound: dict[str, Tree] = {}
            if matches(left, part, bound):
                fitting.append((right, bound))
        right, bound = dice.choice(fitting)
        for name in ("u", "v"):
            bound.setdefault(name, dice.choice(["x", "y", "2", "(add x y)"]))
        return filled(right, bound)

    return replaced(tree, dice.choice(places(tree)), change)


def changed(dice: random.Random, tree: Tree) -> Tree:
    """The tree with one thing changed, which may matter or not."""

    def change(part: Tree) -> Tree:
        if isinstance(part, str):
            return dice.choice([leaf for leaf in LEAVES if leaf != part])
        return [NEIGHBOURS.get(part[0], part[0]), *part[1:]]

    return replaced(tree, dice.choice(places(tree)), change)


def points(dice: random.Random) -> list[dict[str, Fraction]]:
    values = [
        Fraction(0),
        Fraction(1),
        Fraction(-1),
        Fraction(1, 2),
        Fraction(-5, 3),
        Fraction(22, 7),
        Fraction(-9),
    ]

    def one() -> Fraction:
        return dice.choice([dice.choice(values), Fraction(dice.randint(-400, 400), dice.randint(1, 90))])

    return [{"x": one(), "y": one()} for _ in range(24)]


def mistake(left: str, right: str, dice: random.Random) -> tuple[str, str | None]:
    """The status of the answer, and what is wrong with it."""
    answer = prove_equivalent(left, right)
    sides = parse_expr(left), parse_expr(right)
    looked = points(dice)
    if answer.status == "refuted":
        assert answer.witness is not None
        looked = [{"x": Fraction(0), "y": Fraction(0), **answer.witness}]
    for point in looked:
        try:
            a, b = (reference_value(side, point) for side in sides)
        except UndefinedError:
            if answer.status == "refuted":
                return answer.status, f"a side is not defined at {point}"
            continue
        except UnclearError:
            continue
        if answer.status == "proved" and differ(a, b):
            return answer.status, f"proved, but {a} and {b} at {point}"
        if answer.status == "refuted" and not differ(a, b, 60):
            return answer.status, f"refuted, but both are {a} at {point}"
    if answer.status == "proved":
        try:
            answer.check()
        except HypatiaError as error:
            return answer.status, f"the proof is not replayed: {error}"
    return answer.status, None


def pair(dice: random.Random) -> tuple[str, str, bool]:
    """Two expressions, and whether nothing but identities is between them."""
    tree = random_tree(dice, dice.choice([1, 2, 2, 3]))
    other = tree
    for _ in range(dice.randint(1, 4)):
        other = rewritten(dice, other)
    equal = dice.random() < 0.5
    return write(tree), write(other if equal else changed(dice, other)), equal


def campaign(seed: int, count: int, budget: int = 100) -> tuple[Counter[str], list[str]]:
    """How often each answer was given, and the wrong ones; pairs of more nodes than `budget` are left out."""
    dice = random.Random(seed)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    while counts.total() < count:
        left, right, equal = pair(dice)
        if left.count(" ") + right.count(" ") > budget:
            continue
        status, why = mistake(left, right, dice)
        counts[f"{'rewritten' if equal else 'changed'} {status}"] += 1
        if why is not None:
            wrong.append(f"{left} against {right}: {why}")
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    counts, wrong = campaign(options.seed, options.count)
    print(*(f"{answer:20s} {number}" for answer, number in sorted(counts.items())), sep="\n")
    print(
        f"{len(wrong)} wrong of {counts.total()} in {time.perf_counter() - started:.0f} s", *wrong, sep="\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
