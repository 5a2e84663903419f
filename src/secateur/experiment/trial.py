"""One trial: one arm on one chip, from data to figures. A pure function of its settings."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from secateur.errors import FileError
from secateur.experiment.anatomy import anatomy_of, save_masks
from secateur.experiment.arms import Arm, arm_named, circuit_from, start_seed
from secateur.experiment.checkpoint import restore_checkpoint, save_checkpoint
from secateur.experiment.evaluate import chip_of, programming_energy_of, pulses_of
from secateur.experiment.maps import save_arrays, save_maps
from secateur.experiment.norms import share_norms
from secateur.experiment.processes import Alone, Processes, check_alike
from secateur.experiment.recipe import Recipe
from secateur.experiment.stress import stressed
from secateur.experiment.trackers import Tracked
from secateur.experiment.training import Trainer, keep_freed_memory
from secateur.files import write_atomically
from secateur.keyed import key_of
from secateur.network import (
    ChipWeight,
    ProgrammedWeight,
    PrunedWeight,
    Saturation,
    calibrate_,
    first_order_errors,
    pruned_weights,
    saturations,
)
from secateur.tasks import Data, Measured, Samples, Task, batches, task_named

Part = Literal["test", "validation"]
_CALIBRATION_BATCHES = 64


@dataclass(frozen=True)
class Trial:
    """What is run once.

    Args:
        arm: its name.
        variant: `path=value` of a varied setting, or "".
        overrides: the varied settings.
        chip: number of the chip, from 0.
        part: "validation" trains without the validation part and measures on it; "test" trains
            on both and reads the test set.
    """

    arm: str
    variant: str
    overrides: dict[str, Any]
    chip: int
    part: Part

    @property
    def name(self) -> str:
        """Its folder's name."""
        variant = "".join(c if c.isalnum() or c in "=.-" else "_" for c in self.variant)
        middle = f"-{variant}" if variant else ""
        ending = "-validation" if self.part == "validation" else ""
        return f"{self.arm}{middle}-chip{self.chip}{ending}"


def run_trial(
    trial: Trial, recipe: Recipe, folder: Path, *, data: Path | None,
    report: Callable[[dict[str, Any]], None], together: Processes | None = None,
    track: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains and measures one trial, from its newest checkpoint where there is one.

    The result is written to `result.json` last of all: a folder with that file is finished.

    Args:
        trial: what to run.
        recipe: of the whole run.
        folder: of this trial.
        data: where the task looks for its data first.
        report: told one line of figures after every epoch.
        together: the processes that train it, all of which call this; one where None. The leading
            one writes.
        track: a tracker's name, or None.
    """
    together = together or Alone()
    finished = _finished(folder)
    together.meet()
    if finished is not None:
        return finished
    torch.set_num_threads(recipe.run.threads)
    keep_freed_memory()
    begin = time.perf_counter()
    task, arm = task_named(recipe.task.name), arm_named(trial.arm)
    own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
    seed = key_of(recipe.run.seed, "chip", trial.chip) % 2**31
    loaded = task.load(data, own.task.settings)
    training, measured = _parts(loaded, trial.part)
    trainer = _trainer(arm, task, own, training, seed=seed, together=together)
    notes = [*loaded.notes, *_begin(folder, trainer, seed)]
    tracked = _tracked(trial, own, folder, track) if track and together.leads else None

    def after_epoch(line: dict[str, Any]) -> None:
        if not together.leads:
            return
        save_checkpoint(folder, trainer)
        where = {"arm": trial.arm, "variant": trial.variant, "chip": trial.chip}
        report({**where, "split": trial.part, "epochs": trainer.epochs, **line})
        if tracked:
            tracked.log(line, trainer.progress.epoch)

    trainer.run(after_epoch)
    model = trainer.model
    if arm.finish(model, own, seed=seed):
        _calibrate(model, training, batch_size=own.training.batch_size)
        renew_norms(model, training, batch_size=own.training.batch_size)
    saturations(model, reset=True)
    found = task.measure(model, measured)
    result = _result(trial, own, trainer, found, seed=seed, notes=notes)
    result["stress"] = stressed(
        model, own.stress, seed=seed,
        measure=lambda twin: dict(task.measure(twin, measured).figures),
        renew=lambda twin: renew_norms(twin, training, batch_size=own.training.batch_size),
    )  # fmt: skip
    if not together.leads:
        return result
    if tracked:
        tracked.log({trial.part: found.figures}, trainer.progress.epoch)
        tracked.close()
    if trial.chip == 0 and trial.part == "test" and chip_of(model) is not None:
        save_maps(folder / "maps.npz", model)
        result["maps"] = f"trials/{folder.name}/maps.npz"
    if result["anatomy"]:
        save_masks(folder / "masks.npz", pruned_weights(model))
        result["masks"] = f"trials/{folder.name}/masks.npz"
    if trial.chip == 0 and found.arrays:
        save_arrays(folder / "arrays.npz", found.arrays)
        result["arrays"] = f"trials/{folder.name}/arrays.npz"
    result["wall_time_s"] = round(time.perf_counter() - begin, 3)
    write_atomically(folder / "result.json", json.dumps(result, indent=1).encode())
    return result


@torch.no_grad()
def renew_norms(model: nn.Module, samples: Samples, *, batch_size: int) -> None:
    """Takes the norms' running statistics anew from one pass over data; nothing else changes.

    The pass runs with the norms' cumulative average, so that every batch counts alike.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for inputs, _ in batches(samples, batch_size):
        if len(inputs) == batch_size:
            model(inputs.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _calibrate(model: nn.Module, samples: Samples, *, batch_size: int) -> None:
    """Finds ranges for converters at output lines that no training has seen."""
    if saturations(model):
        first = itertools.islice(batches(samples, batch_size), _CALIBRATION_BATCHES)
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        calibrate_(model, (inputs.to(device) for inputs, _ in first))


def _finished(folder: Path) -> dict[str, Any] | None:
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"A trial's result cannot be read: {error}", where=str(path),
            remedy="Delete the trial's folder and resume; the trial is then run again",
        ) from error  # fmt: skip
    return dict(result)


def _parts(data: Data[Any], part: Part) -> tuple[Any, Any]:
    if part == "validation":
        return data.training, data.validation
    return data.training_and_validation, data.test


def _begin(folder: Path, trainer: Trainer, seed: int) -> list[str]:
    """Goes on from the newest checkpoint, if there is one; notes for the result."""
    notes = restore_checkpoint(folder, trainer)
    epoch, together = trainer.progress.epoch, trainer.together
    check_alike(
        lambda: torch.tensor([float(epoch)], dtype=torch.float64).to(together.device),
        what="The checkpoints that processes see",
        remedy="Put the run directory on a disk that all of them share",
    )  # fmt: skip
    if together.rank:
        # What torch itself draws, for dropout, is another's on every rank.
        torch.manual_seed(key_of(seed, "torch", together.rank, epoch))
    return notes


def _tracked(trial: Trial, recipe: Recipe, folder: Path, track: str) -> Tracked:
    settings = {**recipe.table(), "trial": trial.name}
    return Tracked(track, project=trial.name, folder=folder.parents[1] / "track", settings=settings)


def _trainer(
    arm: Arm, task: Task, recipe: Recipe, training: Samples, *, seed: int, together: Processes
) -> Trainer:
    torch.manual_seed(key_of(seed, "torch"))
    steps = max(len(training) // recipe.training.batch_size, 1)
    # Convolutions and norms take a quarter less time on a CPU with the channels last.
    network = task.build(recipe.network)
    # torch's own stubs know `to` with a memory format only as a keyword of tensors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if together.count > 1:
        share_norms(network)
    network.to(together.device)
    model = arm.attach(network, recipe, task=task, steps=steps, seed=seed)
    start = start_seed(recipe, seed) if arm.heeds("search.seed") else seed
    order = key_of(start, "order")
    return Trainer(model, training, recipe.training, seed=order, together=together)


def _result(
    trial: Trial, recipe: Recipe, trainer: Trainer, found: Measured, *, seed: int,
    notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    model = trainer.model
    weights = pruned_weights(model)
    chip = chip_of(model)
    edges = sum(weight.edges for weight in weights.values())
    flips = sum(weight.flips for weight in weights.values())
    return {
        **asdict(trial),
        "seed": seed,
        "figures": dict(found.figures),
        "confusion": found.confusion,
        "history": trainer.progress.history,
        "pulses": pulses_of(chip),
        "edges": edges or None,
        "kept": _connections(model),
        "flips_per_edge": flips / edges if edges else None,
        "most_worn_cell": chip.ledger.most_worn if chip else None,
        "keep_fraction": {name: _kept(weight) for name, weight in weights.items()},
        "placement": chip and {
            "macros": chip.placement.macros,
            "utilisation": chip.placement.utilisation,
            "text": str(chip.placement),
        },
        "programming_energy_J": programming_energy_of(chip),
        "physics": _physics(recipe, model),
        "notes": notes,
        "anatomy": {name: anatomy_of(w) for name, w in weights.items() if not _keeps_all(w)},
        "maps": None,
        "masks": None,
        "arrays": None,
    }  # fmt: skip


def _connections(model: nn.Module) -> int:
    """Kept edges, and every other weight of two dimensions or more."""
    held = [module for module in model.modules() if isinstance(module, ChipWeight)]
    pruned = {id(weight.scores) for weight in held if isinstance(weight, PrunedWeight)}
    digital = sum(p.numel() for p in model.parameters() if p.dim() > 1 and id(p) not in pruned)
    return digital + sum(
        int(weight.mask.sum()) if isinstance(weight, PrunedWeight) else weight.shape.numel()
        for weight in held
    )


def _kept(weight: PrunedWeight) -> float:
    return int(weight.mask.sum()) / weight.edges


def _keeps_all(weight: PrunedWeight) -> bool:
    return int(weight.mask.sum()) == weight.edges


def _physics(recipe: Recipe, model: nn.Module) -> dict[str, Any]:
    chip = chip_of(model)
    quantised = any(hasattr(module, "full_scale") for module in model.modules())
    physics: dict[str, Any] = {
        "input_bits": recipe.converters.input_bits if quantised else "float32"
    }
    if chip is None:
        return {**physics, "weights": "digital, float32"}
    law = chip.technology
    written = any(isinstance(module, ProgrammedWeight) for module in model.modules())
    return {
        **physics,
        "technology": law.name,
        "forming": "full" if written else _forming_words(recipe),
        "circuit": circuit_from(recipe).label,
        "read_noise": law.read_noise,
        "cycle_spread_high": law.high_cycle_spread,
        "cycle_spread_low": law.low_cycle_spread,
        "stuck_fraction": law.stuck_low_fraction + law.stuck_high_fraction,
        **({"programming_error": law.programming_error} if written else {}),
        **({} if written else {"grain": recipe.search.grain}),
        **_errors_of_circuit(model),
    }


def _errors_of_circuit(model: nn.Module) -> dict[str, float]:
    """What converters have cut off in the evaluation, and how wrong first-order wires were."""
    counts = saturations(model).values()
    errors = first_order_errors(model).values()
    found = {}
    if counts:
        total = Saturation(sum(c.conversions for c in counts), sum(c.saturated for c in counts))
        found["saturated_share"] = total.share
    if errors:
        found["first_order_error"] = max(errors)
    return found


def _forming_words(recipe: Recipe) -> str:
    voltage = recipe.chip.forming_voltage
    return recipe.chip.forming if voltage is None else f"{voltage} V"
