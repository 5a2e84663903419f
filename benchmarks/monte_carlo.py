"""Monte-Carlo of a trained network over many chips: what a second process brings, and what memory.

    python -m benchmarks.monte_carlo [--run DIR --arm ARM] [--draws N] [--pairs N] [--json]

Without --run a network is trained on digits first, to be written to every chip. What is measured is
the command, `secateur monte-carlo`, from its start to its page: with few draws and with all, by one
process and by two in turn, so that what else the machine does hits both. Beside seconds on the wall
stand those of a processor: of all that follows on one another, which is what free cores would take.
Few and many draws tell the start from what each draw takes, and so from which number of draws on
two processes are a given number of times faster.
"""

import argparse
import heapq
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.step import about
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment

ARM = "programmed"
FEW = 4
WORTH = 1.8


@dataclass(frozen=True)
class Taken:
    """What one command has taken: seconds on the wall, of processors one after the other, bytes."""

    wall: float
    processor: float
    memory: int


def trained(folder: Path) -> Path:
    """A run of digits with trained weights that are written to a chip."""
    recipe = Recipe.parse(
        {"task": "digits", "training": {"epochs": 1, "batch_size": 30},
         "network": {"channels": 64, "hidden": 256},
         "run": {"arms": [ARM], "split": "validation"}}, where="this benchmark",
    )  # fmt: skip
    run_experiment(recipe, folder)
    return folder


def measured(run: Path, arm: str, *, draws: int, processes: int) -> Taken:
    """One command in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as out:
        words = ["monte-carlo", run, "--arm", arm, "--draws", draws, "--jobs", processes,
                 "--out", out, "--json"]  # fmt: skip
        before, begin = _spent(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "secateur", *map(str, words)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        wall, spent = time.perf_counter() - begin, _spent() - before
    found = json.loads(done.stdout)
    alone = spent - sum(found["cpu_s"])
    return Taken(wall, alone + in_turn(found["cpu_s"], processes), found["peak_memory_B"])


def in_turn(parts: Sequence[float], processes: int) -> float:
    """How long so many processes are at parts of which the first free one takes the next."""
    free = [0.0] * processes
    for part in parts:
        heapq.heapreplace(free, free[0] + part)
    return max(free)


def _spent() -> float:
    """Processor seconds of all commands that have ended, and of their own processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Prints the speed-up of two processes, and peak memory for few and for all draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a finished run with an arm on a chip")
    parser.add_argument("--arm", default=ARM)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or trained(Path(folder) / "run")
        figures = compared(run, options.arm, draws=options.draws, pairs=options.pairs)
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    for clock in ("wall", "processor"):
        one, two = figures[clock]["one process"], figures[clock]["two processes"]
        enough = figures[clock]["worth_from_draws"]
        print(
            f"{clock}: {options.draws} draws take one process {one['seconds']:.1f} s, two "
            f"{two['seconds']:.1f} s, {figures[clock]['speed_up']:.2f} times faster; start "
            f"{one['start_s']:.1f} and {two['start_s']:.1f} s, each draw {one['draw_s']:.3f} and "
            f"{two['draw_s']:.3f} s; {WORTH} times from {enough or 'no number of'} draws on"
        )
    few, many = figures["megabytes_of_few"], figures["megabytes"]
    print(f"peak memory of a process {many:.0f} MB, with {FEW} draws {few:.0f} MB")


def compared(run: Path, arm: str, *, draws: int, pairs: int) -> dict[str, Any]:
    """All four kinds of command in turn, so many times."""
    kinds = [(number, processes) for number in (FEW, draws) for processes in (1, 2)]
    taken: dict[tuple[int, int], list[Taken]] = {kind: [] for kind in kinds}
    for _ in range(pairs):
        for number, processes in kinds:
            taken[number, processes].append(
                measured(run, arm, draws=number, processes=processes)
            )  # fmt: skip
    few, many = (
        max(one.memory for kind, all_ in taken.items() if kind[0] == number for one in all_)
        for number in (FEW, draws)
    )
    clocks = {
        clock: _of_clock(
            {kind: [getattr(one, clock) for one in all_] for kind, all_ in taken.items()}, draws
        )
        for clock in ("wall", "processor")
    }
    return {
        **about("monte-carlo", command="python -m benchmarks.monte_carlo --json", processes=2),
        "arm": arm,
        "draws": draws,
        "pairs": pairs,
        **clocks,
        "megabytes": many / 2**20,
        "megabytes_of_few": few / 2**20,
    }


def _of_clock(taken: dict[tuple[int, int], list[float]], draws: int) -> dict[str, Any]:
    """Medians of one clock: of the ratio by pairs, of the start, and of what each draw takes."""
    found: dict[str, Any] = {}
    for processes, name in ((1, "one process"), (2, "two processes")):
        few, all_ = taken[FEW, processes], taken[draws, processes]
        pairs = list(zip(few, all_, strict=True))
        draw = statistics.median((many - some) / (draws - FEW) for some, many in pairs)
        found[name] = {
            "seconds": statistics.median(all_), "draw_s": draw,
            "start_s": statistics.median(few) - FEW * draw,
        }  # fmt: skip
    ones, twos = taken[draws, 1], taken[draws, 2]
    found["speed_up"] = statistics.median(a / b for a, b in zip(ones, twos, strict=True))
    found["worth_from_draws"] = worth_from(found["one process"], found["two processes"])
    return found


def worth_from(one: dict[str, float], two: dict[str, float]) -> int | None:
    """The number of draws from which on two processes are WORTH times faster; None if never."""
    gained = one["draw_s"] - WORTH * two["draw_s"]
    lost = WORTH * two["start_s"] - one["start_s"]
    return max(1, math.ceil(lost / gained)) if gained > 0.0 else None


if __name__ == "__main__":
    main()
