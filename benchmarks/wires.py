"""The effective conductance of an array with resistive lines: time, memory, and what it saves.

    python -m benchmarks.wires [--side N] [--json]

One thread. Once found, a multiplication with IR drop is an ordinary product: its rate is measured
beside it, and so is the error of the first-order model.
"""

import argparse
import json
import resource
import time

import torch

from benchmarks.step import about
from secateur.circuit import effective_conductance, first_order_conductance, relative_error

WIRES = {"input_line_resistance": 1.0, "output_line_resistance": 1.0}


def main() -> None:
    """Prints seconds, megabytes and vectors per second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    # Lognormal as the cells of taox-40nm: 12.35 microsiemens, 15 % spread.
    cells = 1.235e-5 * (0.15 * torch.randn(options.side, options.side, generator=draws)).exp()
    before = _peak_megabytes()
    begin = time.perf_counter()
    exact = effective_conductance(cells, **WIRES)
    found = time.perf_counter() - begin
    vectors = torch.rand(1000, options.side, generator=draws)
    product = exact.float()
    begin = time.perf_counter()
    for _ in range(10):
        vectors @ product
    rate = 10 * len(vectors) / (time.perf_counter() - begin)
    figures = {
        **about("wires", command="python -m benchmarks.wires --json"),
        "side": options.side,
        "seconds": found,
        "megabytes": _peak_megabytes(),
        "megabytes_of_python_and_torch": before,
        "vectors_per_second": rate,
        "first_order_error": relative_error(first_order_conductance(cells, **WIRES), exact),
        "current_lost": 1.0 - float(exact.sum() / cells.double().sum()),
    }
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    print(
        f"{options.side} x {options.side}: {found:.1f} s, peak {figures['megabytes']:.0f} MB "
        f"({before:.0f} before); then {rate:.0f} vectors a second; 1 ohm a segment loses "
        f"{figures['current_lost']:.1%} of the current, which the first order gets right "
        f"to {figures['first_order_error']:.1%}"
    )


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
