"""Inference at every level of the circuit against plain PyTorch, interleaved, one thread.

    python -m benchmarks.inference [--rounds N] [--json]

Network: the Fashion-MNIST one (62 272 weights), batch 1000, converters of 8 bits at both ends.
Every variant takes its batch in turn; the ratio of each to its plain neighbour is what counts.
Plain is the network as PyTorch makes it; with channels last, which models on the chip have as
well, it is measured too, and every fraction is given of both. A model's first batch, in which
exact wires are solved, is timed on its own: the solution is kept until a conductance changes. Peak
memory is that of a process that runs one variant alone. Training steps (batch 60, masks updated
every fourth step with a dead band of 0.1) are measured likewise.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.step import about, channels_last, images, measure
from secateur import (
    Circuit,
    Converters,
    ReadPerProduct,
    ReadPerStep,
    SimulatedChip,
    TopK,
    Wired,
    prune_,
)
from secateur.experiment.training import keep_freed_memory
from secateur.network import first_order_errors
from secateur.tasks.fashion_mnist import FashionNetwork

BATCH, BITS = 1000, 8
PLAIN, PLAIN_LAST = "plain float32", "plain float32, channels last"
OHMS = {"input_line_resistance": 1.0, "output_line_resistance": 1.0}
LEVELS: dict[str, Circuit] = {
    "converters": Converters(ReadPerStep()),
    "converters, read noise per product": Converters(ReadPerProduct()),
    "converters, read noise per product, IR drop": Converters(Wired(ReadPerProduct(), **OHMS)),
    "bit-serial converters, read noise per product": Converters(
        ReadPerProduct(), bit_serial=True
    ),
}  # fmt: skip
STEPS: dict[str, Circuit] = {
    "read per step": ReadPerStep(),
    "converters": Converters(ReadPerStep()),
    "converters, first-order wires": Converters(Wired(ReadPerStep(), **OHMS)),
}  # fmt: skip


def pruned(circuit: Circuit) -> nn.Module:
    """The network on a 40 nm chip, its converters past their first looks at every batch."""
    chip = SimulatedChip("taox-40nm", seed=0)
    rule = TopK(dead_band=0.1)
    model = prune_(channels_last(), chip, circuit=circuit, input_bits=BITS, rule=rule, interval=4)
    for batch in images(66 * 60)[0].split(60):
        model(batch)
    return model


def plain(name: str) -> nn.Module:
    """The dense network, in the memory format that the name says."""
    return channels_last() if name == PLAIN_LAST else FashionNetwork()


def seconds(model: nn.Module, inputs: Tensor) -> float:
    """Of one batch."""
    begin = time.perf_counter()
    with torch.no_grad():
        model(inputs)
    return time.perf_counter() - begin


def inference(rounds: int) -> dict[str, dict[str, float]]:
    """Images a second of every level, and fractions of the plain networks beside it."""
    inputs, _ = images(BATCH)
    models = {name: plain(name).eval() for name in (PLAIN, PLAIN_LAST)}
    models |= {name: pruned(level).eval() for name, level in LEVELS.items()}
    first = {name: seconds(model, inputs) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 2):
        for name, model in models.items():
            spent = seconds(model, inputs)
            if number >= 2:
                times[name].append(spent)
    rows = {}
    for name, own in times.items():
        rows[name] = {"images_per_second": BATCH / statistics.median(own), "first": first[name]}
        for key, base in (("of_plain", PLAIN), ("of_channels_last", PLAIN_LAST)):
            shares = [b / t for b, t in zip(times[base], own, strict=True)]
            rows[name][key] = statistics.median(shares)
        rows[name]["megabytes"] = _peak_of(name)
    return rows


def training(rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a training step, and the ratio to the dense one beside it."""
    models = {"dense float32": FashionNetwork().train()}
    models |= {name: pruned(level) for name, level in STEPS.items()}
    times = measure(models, rounds)
    rows = {}
    for name, own in times.items():
        ratios = [t / b for t, b in zip(own, times["dense float32"], strict=True)]
        rows[name] = {"ms": statistics.median(own), "ratio": statistics.median(ratios)}
    return rows


def _peak_of(name: str) -> float:
    """Megabytes of a process of its own that runs one variant."""
    command = [sys.executable, "-m", "benchmarks.inference", "--peak-of", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _run_alone(name: str) -> float:
    # Solving the wires exactly has a peak of its own, told by benchmarks.wires.
    level = LEVELS.get(name)
    model = plain(name) if level is None else pruned(level)
    model.eval()
    for _ in range(3):
        seconds(model, images(BATCH)[0])
    # Of this program alone: getrusage's maximum begins with that of the process it came from.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def main() -> None:
    """Prints images per second, fractions of plain PyTorch, megabytes, and training steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak-of", choices=[PLAIN, PLAIN_LAST, *LEVELS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    if options.peak_of:
        print(_run_alone(options.peak_of))
        return
    wired = pruned(LEVELS["converters, read noise per product, IR drop"])
    figures = {
        **about("inference", command="python -m benchmarks.inference --json"),
        "batch": BATCH,
        "first_order_error": max(first_order_errors(wired).values()),
        "levels": inference(options.rounds),
        "steps": training(options.rounds),
    }
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    for name, row in figures["levels"].items():
        print(
            f"{name:48s} {row['images_per_second']:8.0f} images/s   x {row['of_plain']:.3f} of "
            f"plain, {row['of_channels_last']:.3f} of channels last   {row['megabytes']:.0f} MB   "
            f"first batch {row['first']:.1f} s"
        )
    for name, row in figures["steps"].items():
        print(f"step, {name:42s} {row['ms']:8.2f} ms   x {row['ratio']:.2f} of dense")
    print(f"first order of the wires: wrong by up to {figures['first_order_error']:.1%}")


if __name__ == "__main__":
    main()
