"""The command line: `hypatia COMMAND …`, also as `python -m hypatia_core`.

Exit codes: 0 done; 1 it failed, or the answer is no; 2 the command line was wrong; 3 the answer is not known;
130 broken off by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hypatia_core._hypatia_core import HypatiaError, __version__
from hypatia_core.cli import algebra, bench, cache, calibrate, explain, info, rules
from hypatia_core.cli.console import FAILED, INTERRUPTED, Console

#: Each adds its commands to the parser.
COMMANDS = (info, explain, algebra, rules, calibrate, bench, cache)

EXIT_CODES = """\
exit codes:
  0    done
  1    it failed, or the answer is no
  2    the command line was wrong
  3    the answer is not known
  130  broken off by Ctrl-C

completion in bash and zsh: pip install "hypatia-core[completion]", then
  eval "$(register-python-argcomplete hypatia)"
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="hypatia",
        description="Hypatia: an equality-saturation compiler for PyTorch, and the algebra under it.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"hypatia {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code.

    Args:
        arguments: those of the command line, where none are given.

    >>> main(["prove", "x + x", "2*x"])
    proved: x + x = 2*x
      canonical-form: (add x x) = (mul 2 x), where both sides are defined
    0
    """
    whole = parser()
    try:
        import argcomplete
    except ImportError:
        pass
    else:
        argcomplete.autocomplete(whole)
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    chosen = whole.parse_args(given[:cut])
    chosen.more = given[cut + 1 :]
    if chosen.more and not hasattr(chosen, "takes_more"):
        whole.error(f"{chosen.command} takes nothing after --")
    console = Console(as_json=getattr(chosen, "json", False))
    try:
        code: int = chosen.run(chosen, console)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        console.say("broken off")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except HypatiaError as error:
        console.say(f"hypatia: {error}")
        return FAILED
