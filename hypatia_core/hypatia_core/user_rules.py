"""Rules of the user's own: two torch functions that are equal, tried as a built-in rule is before use."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch

from hypatia_core._hypatia_core import HypatiaError, UserRule, define_rule
from hypatia_core.sizes import Unsupported
from hypatia_core.trace import traced

#: The rules in force, by name: what `rule` defines holds for the process, like a backend that is registered.
_DEFINED: dict[str, UserRule] = {}


def rule(
    name: str,
    left: Callable[..., torch.Tensor],
    right: Callable[..., torch.Tensor],
    example: Sequence[torch.Tensor],
    *,
    why: str,
    numerics: str = "reassociate",
    both_ways: bool = False,
    conditions: Sequence[str] = (),
) -> UserRule:
    """Teach the search a rule: wherever it finds `left`, it may write `right`.

    Both functions are traced on the example and must consist of operations that the engine knows. The rule
    holds for any shapes and element types that fit, not just for the example's. Axes are counted from the end
    (`ends:[1]` is the last one), so that it holds for tensors of any rank; where that is refuted, they are
    taken as the example has them, counted from the front. Numbers and flags are part of it. It
    is tried on generated instances (shapes with zeros and ones, broadcasting, several
    dtypes, exact arithmetic, special values), as the built-in rules are, and refused with the instance that
    refutes it.

    Args:
        name: a fact in kebab-case; reports show it.
        left: a function of tensors that returns one tensor.
        right: another, of the same parameters.
        example: tensors on which the left side is such a case; only their types count.
        why: why it holds: an identity, a theorem, a citation.
        numerics: the strictest `numerics` option that admits it: 'exact' (equal bit by bit), 'accurate' (errs
            no more), 'reassociate' (equal over the reals for finite inputs), 'reals' (where both sides are
            defined).
        both_ways: whether it is searched from right to left too.
        conditions: as in docs/rules.md, over the parameters' names: `"is-scalar ?s"`; only where all surely
            hold does the rule fire.

    Returns:
        The rule as a row of the rule base. `hypatia_core.user_rules.forget(name)` ends it; programs compiled
        before keep what they are.

    Raises:
        HypatiaError: the functions cannot be a rule, or are not equal; the message shows where.

    >>> import torch, hypatia_core
    >>> product_of_exponentials = hypatia_core.rule(
    ...     "product-of-exponentials",
    ...     lambda x, y: x.exp() * y.exp(),
    ...     lambda x, y: (x + y).exp(),
    ...     [torch.ones(3), torch.ones(3)],
    ...     why="the exponential of a sum is the product of the exponentials",
    ...     numerics="reals",
    ... )
    >>> product_of_exponentials.left
    '(mul (exp ?x) (exp ?y))'
    >>> hypatia_core.user_rules.forget("product-of-exponentials")
    >>> hypatia_core.rule("wrong", lambda x: x.abs(), lambda x: x, [torch.ones(3)], why="it looks so")
    Traceback (most recent call last):
    hypatia_core.HypatiaError: rule refused: wrong, at x: ...
    """
    names = list(inspect.signature(left).parameters)
    if list(inspect.signature(right).parameters) != names:
        raise HypatiaError(f"rule {name!r}: both sides must have the same parameters, by name and in order")
    if len(example) != len(names) or not all(isinstance(x, torch.Tensor) for x in example):
        raise HypatiaError(f"rule {name!r}: the example must be {len(names)} tensors, one for each parameter")
    if not why:
        raise HypatiaError(f"rule {name!r}: say why it holds")
    definition = {
        "name": name,
        "numerics": numerics,
        "why": why,
        "both_ways": both_ways,
        "conditions": list(conditions),
        "variables": names,
    }
    sides = [json.dumps(_wire(name, side, example)) for side in (left, right)]
    defined = define_rule(json.dumps(definition), *sides)
    _DEFINED[name] = defined
    return defined


def _wire(name: str, side: Callable[..., Any], example: Sequence[torch.Tensor]) -> dict[str, Any]:
    try:
        return traced(side, example).wire
    except Unsupported as reason:
        raise HypatiaError(f"rule {name!r}: {reason}") from None


def forget(name: str) -> None:
    """Take a rule out of later searches.

    Raises:
        KeyError: no rule of this name was defined.
    """
    del _DEFINED[name]


def defined() -> list[UserRule]:
    """The rules in force, in the order of their names."""
    return [_DEFINED[name] for name in sorted(_DEFINED)]
