"""ResNet-50 on a chip: pruning it, selecting, training steps, saving and loading; one thread.

    python -m benchmarks.resnet [--rounds N] [--json]

Network: 25.5 M weights (1 000 classes). The step trains on 32 noise pictures of 64 x 64, as the
recipe of `imagenet-100` searches (keep 0.3, 8-bit inputs, masks at every fourth step); the models
take one step each in turn on the same batch, and the ratio of each step to its dense neighbour is
what counts. Seconds are the process's own on its one thread, so that a busy machine counts little;
those in brackets passed on the wall. The memory is the most that the process has held by then.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.step import flips, record, stepper
from secateur import SimulatedChip, TopK, VoltageRamp, load_, prune_, save
from secateur.experiment.training import keep_freed_memory
from secateur.network import pruned_weights
from secateur.tasks.residual import resnet_50

BATCH, SIDE, CLASSES, WARM = 32, 64, 1000, 2
COMMAND = "python -m benchmarks.resnet --json"


def network() -> nn.Module:
    """ResNet-50 with its channels last, as runs have it."""
    torch.manual_seed(0)
    made = resnet_50(classes=CLASSES)
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def pruned() -> nn.Module:
    """The same on a 40 nm chip with its read noise, searched as the shipped recipe does."""
    chip = SimulatedChip("taox-40nm", seed=0, forming=VoltageRamp())
    return prune_(
        network(), chip, keep_fraction=0.3, rule=TopK(dead_band=0.1), interval=4, input_bits=8
    )


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a call gives; its seconds, those on the wall, and megabytes at their most so far."""
    wall, own = time.perf_counter(), time.process_time()
    result = call()
    row = {"seconds": time.process_time() - own, "wall_s": time.perf_counter() - wall}
    return result, {**row, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}


def selection(model: nn.Module) -> float:
    """Milliseconds of one selection over the scores of all weights, median of seven."""
    weights, rule = list(pruned_weights(model).values()), TopK()
    scores = [weight.scores for weight in weights]
    counts = [round(0.3 * weight.edges) for weight in weights]
    rule.first(scores, counts)
    return statistics.median(
        timed(lambda: rule.first(scores, counts))[1]["seconds"] * 1e3 for _ in range(7)
    )


def steps(model: nn.Module, rounds: int) -> dict[str, dict[str, object]]:
    """Milliseconds of a step and the ratio to the dense one."""
    plain = resnet_50(classes=CLASSES)
    models = {"dense float32": plain, "dense, channels last": network(), "pairs": model}
    steppers = {name: stepper(made) for name, made in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    before = flips(model)
    for number in range(rounds + WARM):
        inputs, targets = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(0, CLASSES, (BATCH,))
        for name, step in steppers.items():
            _, row = timed(partial(step, inputs, targets))
            if number >= WARM:
                times[name].append(row["seconds"] * 1e3)
    rows: dict[str, dict[str, object]] = {}
    for name, values in times.items():
        pairs = zip(values, times["dense float32"], strict=True)
        ratios = [value / base for value, base in pairs]
        rows[name] = {
            "ms": statistics.median(values),
            "ratio": statistics.median(ratios),
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        }
    rows["pairs"]["flips_per_step"] = (flips(model) - before) / (rounds + WARM)
    return rows


def measured(rounds: int, folder: Path) -> dict[str, object]:
    """All figures; the order matters, since the memory of the process only grows."""
    model, pruning = timed(pruned)
    weights = pruned_weights(model).values()
    chip = next(iter(weights)).chip
    path = folder / "model.safetensors"
    select = selection(model)
    _, saving = timed(lambda: save(model, path))
    _, loading = timed(lambda: load_(model, path))
    found = {
        "weights": sum(weight.scores.numel() for weight in weights),
        "macros": chip.placement.macros,
        "prune": pruning,
        "selection_ms": select,
        "save": {**saving, "file_megabytes": path.stat().st_size / 1e6},
        "load": loading,
    }
    return {**record(steps(model, rounds), command=COMMAND), "kind": "resnet", **found}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="for the saved model; otherwise a temporary")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found: dict[str, Any] = measured(options.rounds, Path(folder))
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['weights']} weights on {found['macros']} macros, {os.cpu_count()} cores")
    for name in ("prune", "save", "load"):
        row = found[name]
        print(
            f"{name:10s} {row['seconds']:6.1f} s ({row['wall_s']:.1f} s), {row['megabytes']:.0f} MB"
        )
    print(f"selection  {found['selection_ms']:6.0f} ms")
    for name, row in found["steps"].items():
        low, high = row["ratio_quartiles"]
        print(f"{name:22s} {row['ms']:7.0f} ms   x {row['ratio']:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
