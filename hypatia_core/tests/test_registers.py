"""What row programs are compiled to: nothing of their loops is left to any processor's code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hypatia_core import _hypatia_core

#: Functions that `registers.rs` compiles for registers, a job inlined in each.
JOB = re.compile(r"registers\d+in_(?:wide_)?registers")
#: What is called where it is not inlined; compiled for any processor, and once for each row.
LEFT_OUT = re.compile(r"4iter|closure|FnMut|call_mut|impl.*4fill")
#: Row programs are the only job that takes powers by the library of C.
POWER = re.compile(r"<pow@")


def calls_of_jobs(listing: str) -> list[list[str]]:
    """Calls in each function of a listing that is a job."""
    found: list[list[str]] = []
    calls: list[str] = []
    for line in listing.splitlines():
        head = re.match(r"[0-9a-f]+ <(.+)>:$", line)
        if head:
            calls = []
            if JOB.search(head[1]):
                found.append(calls)
        elif call := re.search(r"\bcallq?\s+(.+)$", line):
            calls.append(call[1])
    return found


def test_a_call_is_seen() -> None:
    listing = (
        "00000000000a0000 <_ZN13_hypatia_core9registers17in_wide_registers17h01E>:\n"
        "   a0000:\tcall   2d6790 <_ZN101_$LT$core..iter..Zip$u20$as$u20$core4iter3new17h02E>\n"
        "   a0005:\tcall   *0x28b45f(%rip)        # 702108 <pow@GLIBC_2.29>\n"
        "00000000000b0000 <_ZN5other17h03E>:\n   b0000:\tcall   2d6790 <_ZN4core3any17h04E>\n"
    )
    (calls,) = calls_of_jobs(listing)
    assert [bool(LEFT_OUT.search(call)) for call in calls] == [True, False]
    assert [bool(POWER.search(call)) for call in calls] == [False, True]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="no objdump")
def test_row_programs_leave_nothing_of_their_loops_to_calls() -> None:
    command = ["objdump", "-d", "--no-show-raw-insn", str(Path(_hypatia_core.__file__))]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "precondition_check" in listing:  # what debug assertions ask of unsafe code
        pytest.skip("the library is a development build")
    jobs = [calls for calls in calls_of_jobs(listing) if any(map(POWER.search, calls))]
    if not jobs:
        pytest.skip("the library has no symbols, or none of x86-64")
    assert len(jobs) == 2, "one for each width of registers"
    assert not [call for calls in jobs for call in calls if LEFT_OUT.search(call)]
