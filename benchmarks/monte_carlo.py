"""Monte-Carlo of a trained network over many chips: what a second process brings, and what memory.

    python -m benchmarks.monte_carlo [--run DIR] [--draws N] [--json]

Without --run a small network is trained and pruned on digits first. Each measurement is one
`monte_carlo` in fresh worker processes of one thread, their start included; the ratio is the median
over pairs of measurements, one and two processes in turn.
"""

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joblib.externals.loky import get_reusable_executor

from secateur.experiment.monte_carlo import monte_carlo
from secateur.experiment.recipe import Recipe
from secateur.experiment.record import machine, versions
from secateur.experiment.runner import run_experiment

ARM = "programmed"


def trained(folder: Path) -> Path:
    """A run of digits with trained weights that are written to a chip."""
    recipe = Recipe.parse(
        {"task": "digits", "training": {"epochs": 2, "batch_size": 30},
         "run": {"arms": [ARM], "split": "validation"}}, where="this benchmark",
    )  # fmt: skip
    run_experiment(recipe, folder)
    return folder


def measured(run: Path, *, draws: int, processes: int) -> tuple[float, int]:
    """Seconds, and the largest peak memory of a worker in bytes."""
    get_reusable_executor().shutdown(wait=True)
    begin = time.perf_counter()
    found = monte_carlo(run, draws=draws, processes=processes, apart=True)
    return time.perf_counter() - begin, found["peak_memory_B"]


def main() -> None:
    """Prints the speed-up of two processes, and peak memory for few and for all draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a finished run with an arm on a chip")
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or trained(Path(folder) / "run")
        figures = compared(run, draws=options.draws, pairs=options.pairs)
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    few, many = figures["megabytes_of_4_draws"], figures["megabytes"]
    print(
        f"{options.draws} draws: one process {figures['seconds_1']:.1f} s, two "
        f"{figures['seconds_2']:.1f} s, {figures['speed_up']:.2f} times faster; peak memory of a "
        f"process {many:.0f} MB, with 4 draws {few:.0f} MB"
    )


def compared(run: Path, *, draws: int, pairs: int) -> dict[str, Any]:
    """One and two processes in turn, so that what else the machine does hits both."""
    ones, twos, peaks = [], [], []
    for _ in range(pairs):
        for processes, times in ((1, ones), (2, twos)):
            seconds, peak = measured(run, draws=draws, processes=processes)
            times.append(seconds)
            peaks.append(peak)
    few = measured(run, draws=4, processes=1)[1]
    return {
        "kind": "monte-carlo",
        "command": "python -m benchmarks.monte_carlo --json",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(threads=1, processes=2),
        "versions": versions(),
        "draws": draws,
        "seconds_1": statistics.median(ones),
        "seconds_2": statistics.median(twos),
        "speed_up": statistics.median(a / b for a, b in zip(ones, twos, strict=True)),
        "megabytes": max(peaks) / 2**20,
        "megabytes_of_4_draws": few / 2**20,
    }


if __name__ == "__main__":
    main()
