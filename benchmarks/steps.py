"""Where the time of a model goes that runs as programs of our own kernels: by step, and outside of them.

    python benchmarks/steps.py MODEL [--batch 1] [--threads 2] [--calls 15] [--most 20]

MODEL is a row of `benchmarks/models.py`. A program is run once as it is and once step by step with a clock
between the steps; of the calls the median counts. What is outside is the rest of the same calls:
operations of torch, and Python. No decision of an earlier process is recalled.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict

import torch
import zoo
from records import facts

import hypatia_core
from hypatia_core import _hypatia_core


class TimedProgram:
    """A program that notes, while it is asked to, what each of its steps takes."""

    #: Seconds of each run, by program and step; None while nothing is noted.
    noted: dict[tuple[TimedProgram, int], list[float]] | None = None
    #: Seconds of each call's programs, run as they are.
    whole: list[float]

    def __init__(self, text: str) -> None:
        self.program = _Program(text)

    def run(self, addresses: list[int], threads: int) -> None:
        """Runs it, and once more by steps where they are noted."""
        begun = time.perf_counter()
        self.program.run(addresses, threads)
        spent = time.perf_counter() - begun
        if TimedProgram.noted is not None:
            TimedProgram.whole[-1] += spent
            for step, seconds in enumerate(self.program.times(addresses, threads)):
                TimedProgram.noted[self, step].append(seconds)


_Program = _hypatia_core.NativeProgram


def main() -> int:
    """Compiles one model, and prints where its time goes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=[row.name for row in zoo.ROWS])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--most", type=int, default=20, help="so many steps are printed, the longest first")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    _hypatia_core.NativeProgram = TimedProgram  # type: ignore[assignment, misc]
    work = zoo.work(chosen.model, chosen.batch)
    with torch.no_grad():
        options = {"executor": "native", "cache": False}
        model = hypatia_core.compile(work.model.eval(), work.inputs, options=options)
        model(*work.inputs)
        (graph,) = hypatia_core.report(model).graphs
        if graph.executor != "native":
            print(f"{chosen.model} is not run by programs: {graph.executor} was chosen")
            return 1
        TimedProgram.noted, TimedProgram.whole, outside = defaultdict(list), [], []
        for call in range(chosen.calls):
            TimedProgram.whole.append(0.0)
            begun = time.perf_counter()
            model(*work.inputs)
            spent = time.perf_counter() - begun
            by_steps = sum(times[call] for times in TimedProgram.noted.values())
            outside.append(spent - TimedProgram.whole[-1] - by_steps)
    steps = {key: statistics.median(times) for key, times in TimedProgram.noted.items()}
    kinds: defaultdict[str, float] = defaultdict(float)
    for (program, step), seconds in steps.items():
        kinds[program.program.kinds[step]] += seconds
    around = statistics.median(outside)
    call = around + statistics.median(TimedProgram.whole)
    print(facts()["line"])
    print(f"{chosen.model}, batch {chosen.batch}: {1e3 * call:.2f} ms a call")
    rest = [("outside of programs", around), *sorted(kinds.items(), key=lambda kind: -kind[1])]
    for name, seconds in rest:
        print(f"  {name:22s}{1e3 * seconds:8.2f} ms {seconds / call:6.1%}")
    print(f"the {min(chosen.most, len(steps))} longest of {len(steps)} steps:")
    for (program, step), seconds in sorted(steps.items(), key=lambda item: -item[1])[: chosen.most]:
        print(f"  {1e6 * seconds:8.0f} µs  {str(program.program).splitlines()[step]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
