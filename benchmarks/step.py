"""A training step on the chip against a plain dense one, interleaved, one thread, one process.

    python -m benchmarks.step [--rounds N] [--json]

Network: the Fashion-MNIST one (62 272 weights), batch 60, SGD with momentum. Every variant takes
steps in turn in blocks of ten on the same changing batches, so that a machine that slows down
slows all of them down; the ratio of each block to its dense neighbour is what counts. Masks are
updated at every fourth step, as in the shipped recipe, with a dead band of 0.1, which is what is
left of the recipe's half way, unless said otherwise. Models on the chip have their channels last,
as in a run; the dense network is also measured that way.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur import Circuit, ReadPerProduct, ReadPerStep, SimulatedChip, TopK, prune_
from secateur.cli.settings import shipped_recipe
from secateur.experiment.record import machine, versions
from secateur.experiment.training import keep_freed_memory
from secateur.network import pruned_weights
from secateur.tasks.fashion_mnist import FashionNetwork

BATCH, BLOCK = 60, 10


def images(count: int) -> tuple[Tensor, Tensor]:
    """Ten random pictures with noise on them: data that can be learned, made on the spot."""
    source = torch.Generator().manual_seed(0)
    pictures = torch.rand(10, 1, 14, 14, generator=source)
    labels = torch.randint(0, 10, (count,), generator=source)
    noise = torch.randn(count, 1, 14, 14, generator=source)
    return (pictures[labels] + 0.5 * noise).clamp(0, 1), labels


def stepper(model: nn.Module) -> Callable[[Tensor, Tensor], None]:
    """One training step of a model."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return step


def channels_last() -> FashionNetwork:
    """The network with its convolutions' channels last, as runs have it."""
    network = FashionNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def pruned(
    circuit: Circuit, *, dead_band: float = 0.0, interval: int = 1, **edges: Any
) -> nn.Module:
    """The network on a 40 nm chip with its read noise, converters of 4 bits."""
    chip = SimulatedChip("taox-40nm", seed=0)
    rule = TopK(dead_band=dead_band)
    return prune_(
        channels_last(), chip, rule=rule, interval=interval, circuit=circuit, input_bits=4, **edges
    )


def main() -> None:
    """Prints milliseconds per step and the ratio to the dense step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--default-allocator", action="store_true", help="leave glibc's thresholds as they are"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.default_allocator:
        keep_freed_memory()
    torch.manual_seed(0)
    usual = {"dead_band": 0.1, "interval": 4}
    search = shipped_recipe("fashion-mnist").for_arm("pruned-summed").search
    summed = {
        name: getattr(search, name)
        for name in ("grain", "pairs_per_weight", "keep_fraction", "score_per", *usual)
    }
    models = {
        "dense float32": FashionNetwork(),
        "dense, channels last": channels_last(),
        "pairs, read per step": pruned(ReadPerStep(), **usual),
        "cells, read per step": pruned(ReadPerStep(), grain="cell", **usual),
        "cells, sums of pairs": pruned(ReadPerStep(), **summed),
        "pairs, read per product": pruned(ReadPerProduct(), **usual),
        "pairs, masks at every step": pruned(ReadPerStep()),
    }
    times = measure(models, options.rounds)
    dense = times["dense float32"]
    rows = {}
    for name, values in times.items():
        ratios = [value / base for value, base in zip(values, dense, strict=True)]
        rows[name] = {
            "ms": statistics.median(values),
            "ratio": statistics.median(ratios),
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
            "flips_per_step": flips(models[name]) / (BLOCK * (options.rounds + 2)),
        }
    if options.json:
        print(json.dumps(record(rows, command="python -m benchmarks.step --json"), indent=1))
        return
    for name, row in rows.items():
        low, high = row["ratio_quartiles"]
        print(
            f"{name:32s} {row['ms']:7.2f} ms   x {row['ratio']:.2f} ({low:.2f} to {high:.2f})"
            f"   {row['flips_per_step']:.0f} flips a step"
        )


def record(rows: dict[str, dict[str, object]], *, command: str) -> dict[str, object]:
    """The rows with the command, machine and versions that they came from."""
    return {**about("speed", command=command), "steps": rows}


def about(kind: str, *, command: str, processes: int = 1) -> dict[str, object]:
    """What every record says of where its figures come from."""
    return {
        "kind": kind,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(threads=1, processes=processes),
        "versions": versions(),
    }


def measure(models: dict[str, nn.Module], rounds: int) -> dict[str, list[float]]:
    """Milliseconds per step of every block, the models taking turns; two rounds warm up."""
    inputs, targets = images(6000)
    steppers = {name: stepper(model) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 2):
        batches = [((number * BLOCK + n) * BATCH) % (len(targets) - BATCH) for n in range(BLOCK)]
        for name, step in steppers.items():
            begin = time.perf_counter()
            for first in batches:
                step(inputs[first : first + BATCH], targets[first : first + BATCH])
            if number >= 2:
                times[name].append((time.perf_counter() - begin) / BLOCK * 1e3)
    return times


def flips(model: nn.Module) -> int:
    """Mask flips of a model so far."""
    return sum(weight.flips for weight in pruned_weights(model).values())


if __name__ == "__main__":
    main()
