"""What to do about a refusal or a fallback: one row a kind of reason."""

from __future__ import annotations

import re

#: What a reason says, and what helps.
ROWS: list[tuple[str, str]] = [
    (r"no C\+\+ compiler", "install a C++ compiler (Debian: apt-get install g++), or be content with 'aten'"),
    (
        r"reads the layout of memory",
        "replace as_strided, view(dtype) and set_ by operations on values: reshape, narrow, permute",
    ),
    (r"it has effects", "move the effect (a custom operation, a collective) out of the compiled function"),
    (
        r"size that is known only at run time|known only at run time|inputs do not tell",
        "take .item(), nonzero() and boolean indexing out of the compiled function, or mark the size by "
        "torch._dynamo.mark_dynamic",
    ),
    (
        r"could not be captured",
        "run the model under torch.compile(backend='aot_eager'): what fails there is torch's to capture; "
        "TORCH_LOGS=graph_breaks tells the place",
    ),
    (
        r"errs .* where the original errs",
        "nothing: the result would have been less accurate. Ask for numerics='accurate' to search only among "
        "what is never less accurate",
    ),
    (
        r"is not equal to the original's",
        "with numerics='exact' only equal bits are accepted: 'accurate' or 'reassociate' admit more",
    ),
    (
        r"has another type than the original's|the engine panicked|a rule proved unsound",
        "this is a fault of Hypatia: please report it with what `hypatia info` prints",
    ),
    (
        r"no float64 run",
        "nothing has to be done: the comparison was made with the original instead, which is stricter",
    ),
    (r"share memory, and would no more", "return .clone() of one of the outputs"),
    (
        r"not compiled, for .* are predicted",
        "nothing: by times of its parts it is not the fastest; candidates='all' compiles it all the same",
    ),
    (r"failed when run|^\w+ failed", "choose another executor, e.g. options={'executor': 'aten'}"),
]


def remedy(reason: str) -> str | None:
    """What helps against a refusal; None where nothing is known.

    >>> remedy("inductor: no C++ compiler was found: install one (Debian: apt-get install g++)")
    "install a C++ compiler (Debian: apt-get install g++), or be content with 'aten'"
    """
    return next((cure for pattern, cure in ROWS if re.search(pattern, reason)), None)
