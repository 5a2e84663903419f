"""Selecting the best half of 23 million scores, one thread: the selection, and what a sort takes.

python -m benchmarks.selection [--edges N] [--json]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.step import about
from secateur.experiment.training import keep_freed_memory
from secateur.topology import top_k


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Prints both times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, default=23_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    edges = options.edges
    torch.set_num_threads(1)
    keep_freed_memory()
    scores = torch.randn(edges, generator=torch.Generator().manual_seed(0))
    top_k(scores, edges // 2)
    ours = milliseconds(lambda: top_k(scores, edges // 2), 7)
    sort = milliseconds(lambda: scores.abs().sort(), 1)
    if options.json:
        kept = about("selection", command="python -m benchmarks.selection --json")
        print(json.dumps({**kept, "edges": edges, "ms": ours, "sort_ms": sort}, indent=1))
        return
    print(f"{edges} scores: exact top-k {ours:.0f} ms, a sort {sort:.0f} ms")


if __name__ == "__main__":
    main()
