"""A training step of the paper's U-Net on the chip against a plain dense one, one thread.

    python -m benchmarks.unet [--rounds N] [--json]

Network: DRIVE's (4.31 M weights), 64 patches of 48 x 48, SGD with momentum, inputs of 6 bits. The
models take one step each in turn on the same batch; the ratio of each step to its dense neighbour
is what counts. Times are the process's own on its one thread, so that a busy machine counts little.
Where the time goes shows in what is left out: masks that stay, and inputs without converters.
"""

import argparse
import json
import statistics
import time

import torch
from torch import Tensor, nn

from benchmarks.step import flips, record, stepper
from secateur import SimulatedChip, TopK, VoltageRamp, prune_
from secateur.experiment.training import keep_freed_memory
from secateur.network import pruned_weights
from secateur.tasks.drive import VesselNetwork

BATCH, SIDE, WARM = 64, 48, 3
NEVER = 1 << 30


def channels_last() -> VesselNetwork:
    """The network as runs have it."""
    network = VesselNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def pruned(*, interval: int, input_bits: int | None = 6) -> nn.Module:
    """The network on a 40 nm chip with its read noise, searched as the shipped recipe does."""
    chip = SimulatedChip("taox-40nm", seed=0, forming=VoltageRamp())
    rule = TopK()
    model = prune_(channels_last(), chip, rule=rule, interval=interval, input_bits=input_bits)
    for weight in pruned_weights(model).values():
        weight.scores.data.mul_(0.004)
    return model


def patches() -> tuple[Tensor, Tensor]:
    """Noise, of which the brightest eighth are vessels, as in DRIVE."""
    inputs = torch.randn(BATCH, 1, SIDE, SIDE)
    return inputs, (inputs[:, 0] > 1.15).to(torch.int64)


def measure(models: dict[str, nn.Module], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of processor time of every step, in turns; the first rounds warm up."""
    steppers = {name: stepper(model) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + WARM):
        inputs, targets = patches()
        for name, step in steppers.items():
            begin = time.process_time()
            step(inputs, targets)
            if number >= WARM:
                times[name].append((time.process_time() - begin) * 1e3)
    return times


def main() -> None:
    """Prints milliseconds per step and the ratio to the dense step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    models = {
        "dense float32": VesselNetwork(),
        "dense, channels last": channels_last(),
        "pairs, as shipped": pruned(interval=2),
        "pairs, masks at every step": pruned(interval=1),
        "pairs, masks that stay": pruned(interval=NEVER),
        "pairs, masks that stay, no converters": pruned(interval=NEVER, input_bits=None),
    }
    times = measure(models, options.rounds)
    rows = {}
    for name, values in times.items():
        ratios = [value / base for value, base in zip(values, times["dense float32"], strict=True)]
        rows[name] = {
            "ms": statistics.median(values),
            "ratio": statistics.median(ratios),
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
            "flips_per_step": flips(models[name]) / (options.rounds + WARM),
        }
    if options.json:
        print(json.dumps(record(rows, command="python -m benchmarks.unet --json"), indent=1))
        return
    for name, row in rows.items():
        low, high = row["ratio_quartiles"]
        print(
            f"{name:38s} {row['ms']:7.0f} ms   x {row['ratio']:.2f} ({low:.2f} to {high:.2f})"
            f"   {row['flips_per_step']:.0f} flips a step"
        )


if __name__ == "__main__":
    main()
