"""ResNet-50 on a chip: pruning it, selecting, training steps, saving and loading; one thread.

    python -m benchmarks.resnet [--rounds N] [--device NAME] [--precision bf16] [--json]

Network: 25.5 M weights (1 000 classes). The step trains on 32 noise pictures of 64 x 64, as the
recipe of `imagenet-100` searches (keep 0.3, 8-bit inputs, masks at every fourth step); the models
take one step each in turn on the same batch, and the ratio of each step to its dense neighbour is
what counts. Seconds are the process's own on its one thread, so that a busy machine counts little;
those in brackets passed on the wall. On an accelerator only the wall counts, once its work is done.
The memory is the most that the process has held by then. Beside the selection stands what the
published code does instead: it sorts all scores of a layer.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Where:
    """What the steps run on, and whether they multiply in bfloat16."""

    device: torch.device
    bf16: bool = False

    def network(self) -> nn.Module:
        """ResNet-50 with its channels last, as runs have it."""
        torch.manual_seed(0)
        made = resnet_50(classes=CLASSES).to(self.device)
        made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return made

    def pruned(self) -> nn.Module:
        """The same on a 40 nm chip with its read noise, searched as the shipped recipe does."""
        chip = SimulatedChip("taox-40nm", seed=0, forming=VoltageRamp())
        return prune_(
            self.network(), chip, keep_fraction=0.3, rule=TopK(dead_band=0.1), interval=4,
            input_bits=8,
        )  # fmt: skip

    def timed(self, call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """What a call gives; its seconds, those on the wall, megabytes at their most so far."""
        wall, own = time.perf_counter(), time.process_time()
        result = call()
        if on_accelerator := self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        passed, spent = time.perf_counter() - wall, time.process_time() - own
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        row = {"seconds": passed if on_accelerator else spent, "wall_s": passed}
        return result, {**row, "megabytes": held}

    def milliseconds(self, call: Callable[[], Any]) -> float:
        """Of a call, median of seven after one that warms up."""
        self.timed(call)
        return statistics.median(self.timed(call)[1]["seconds"] * 1e3 for _ in range(7))

    def step(self, model: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], None]:
        """One training step of a model, in the precision asked for."""
        step = stepper(model)

        def cast(inputs: torch.Tensor, targets: torch.Tensor) -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                step(inputs, targets)

        return cast


def selection(model: nn.Module, where: Where) -> dict[str, float]:
    """Milliseconds of one selection over the scores of all weights, and of sorting them."""
    weights, rule = list(pruned_weights(model).values()), TopK()
    scores = [weight.scores.detach() for weight in weights]
    counts = [round(0.3 * weight.edges) for weight in weights]
    return {
        "selection_ms": where.milliseconds(lambda: rule.first(scores, counts)),
        "sorting_ms": where.milliseconds(lambda: [s.abs().view(-1).sort() for s in scores]),
    }


def steps(model: nn.Module, rounds: int, where: Where) -> dict[str, dict[str, object]]:
    """Milliseconds of a step and the ratio to the dense one."""
    device, precision = where.device, "bf16" if where.bf16 else "float32"
    plain, first = resnet_50(classes=CLASSES).to(device), f"dense {precision}"
    models = {first: plain, "dense, channels last": where.network(), "pairs": model}
    steppers = {name: where.step(made) for name, made in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    before = flips(model)
    for number in range(rounds + WARM):
        inputs = torch.randn(BATCH, 3, SIDE, SIDE, device=device)
        targets = torch.randint(0, CLASSES, (BATCH,), device=device)
        for name, step in steppers.items():
            _, row = where.timed(partial(step, inputs, targets))
            if number >= WARM:
                times[name].append(row["seconds"] * 1e3)
    rows: dict[str, dict[str, object]] = {}
    for name, values in times.items():
        pairs = zip(values, times[first], strict=True)
        ratios = [value / base for value, base in pairs]
        rows[name] = {
            "ms": statistics.median(values),
            "ratio": statistics.median(ratios),
            "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        }
    rows["pairs"]["flips_per_step"] = (flips(model) - before) / (rounds + WARM)
    return rows


def measured(rounds: int, folder: Path, where: Where, *, command: str) -> dict[str, Any]:
    """All figures; the order matters, since the memory of the process only grows."""
    model, pruning = where.timed(where.pruned)
    weights = pruned_weights(model).values()
    chip = next(iter(weights)).chip
    path = folder / "model.safetensors"
    select = selection(model, where)
    _, saving = where.timed(lambda: save(model, path))
    _, loading = where.timed(lambda: load_(model, path))
    found = {
        "weights": sum(weight.scores.numel() for weight in weights),
        "macros": chip.placement.macros,
        "device": name_of(where.device),
        "prune": pruning,
        **select,
        "save": {**saving, "file_megabytes": path.stat().st_size / 1e6},
        "load": loading,
    }
    return {**record(steps(model, rounds, where), command=command), "kind": "resnet", **found}


def name_of(device: torch.device) -> str:
    """In the maker's words where torch knows them."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="for the saved model; otherwise a temporary")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    where = Where(options.device, bf16=options.precision == "bf16")
    device = "" if options.device.type == "cpu" else f" --device {options.device}"
    precision = " --precision bf16" if where.bf16 else ""
    command = f"python -m benchmarks.resnet{device}{precision} --json"
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measured(options.rounds, Path(folder), where, command=command)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{found['weights']} weights on {found['macros']} macros; {found['device']}, "
        f"{os.cpu_count()} cores"
    )
    for name in ("prune", "save", "load"):
        row = found[name]
        print(
            f"{name:10s} {row['seconds']:6.1f} s ({row['wall_s']:.1f} s), {row['megabytes']:.0f} MB"
        )
    print(f"selection  {found['selection_ms']:6.0f} ms, sorting {found['sorting_ms']:.0f} ms")
    for name, row in found["steps"].items():
        low, high = row["ratio_quartiles"]
        print(f"{name:22s} {row['ms']:7.0f} ms   x {row['ratio']:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
