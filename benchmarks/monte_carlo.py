"""Monte-Carlo of a trained network over many chips: what a second process brings, and what memory.

    python -m benchmarks.monte_carlo [--run DIR] [--draws N] [--json]

Without --run a network is trained on digits first, to be written to every chip. Each measurement is
one `monte_carlo` in fresh worker processes of one thread, their start included; the ratio is the
median over pairs of measurements, one and two processes in turn. Beside it stands the ratio in
processor time, of one process to the slower one of two: what two free cores give.
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
        {"task": "digits", "training": {"epochs": 1, "batch_size": 30},
         "network": {"channels": 64, "hidden": 256},
         "run": {"arms": [ARM], "split": "validation"}}, where="this benchmark",
    )  # fmt: skip
    run_experiment(recipe, folder)
    return folder


def measured(run: Path, *, draws: int, processes: int) -> tuple[float, float, int]:
    """Seconds, processor seconds of the slowest worker, and the largest peak memory in bytes."""
    get_reusable_executor().shutdown(wait=True)
    begin = time.perf_counter()
    found = monte_carlo(run, draws=draws, processes=processes, apart=True)
    return time.perf_counter() - begin, max(found["cpu_s"]), found["peak_memory_B"]


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
        f"{figures['seconds_2']:.1f} s, {figures['speed_up']:.2f} times faster (in processor "
        f"time {figures['processor_speed_up']:.2f}); peak memory of a process "
        f"{many:.0f} MB, with 4 draws {few:.0f} MB"
    )


def compared(run: Path, *, draws: int, pairs: int) -> dict[str, Any]:
    """One and two processes in turn, so that what else the machine does hits both."""
    ones, twos = [], []
    for _ in range(pairs):
        ones.append(measured(run, draws=draws, processes=1))
        twos.append(measured(run, draws=draws, processes=2))
    few = measured(run, draws=4, processes=1)[2]
    return {
        "kind": "monte-carlo",
        "command": "python -m benchmarks.monte_carlo --json",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(threads=1, processes=2),
        "versions": versions(),
        "draws": draws,
        "seconds_1": statistics.median(one[0] for one in ones),
        "seconds_2": statistics.median(two[0] for two in twos),
        "speed_up": statistics.median(a[0] / b[0] for a, b in zip(ones, twos, strict=True)),
        "processor_speed_up": statistics.median(
            a[1] / b[1] for a, b in zip(ones, twos, strict=True)
        ),
        "megabytes": max(peak for *_, peak in (*ones, *twos)) / 2**20,
        "megabytes_of_4_draws": few / 2**20,
    }


if __name__ == "__main__":
    main()
