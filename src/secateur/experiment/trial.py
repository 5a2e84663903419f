"""One trial: one arm on one chip, from data to figures. A pure function of its settings."""

import copy
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from secateur.chip import RecordedChip
from secateur.errors import FileError
from secateur.experiment.anatomy import anatomy_of, save_masks
from secateur.experiment.arms import Arm, MakeChip, arm_named, circuit_from, start_seed
from secateur.experiment.boards import chip_maker
from secateur.experiment.checkpoint import restore_checkpoint, save_checkpoint
from secateur.experiment.endurance import wear_of
from secateur.experiment.evaluate import chip_of, programming_energy_of, pulses_of
from secateur.experiment.maps import save_arrays, save_maps
from secateur.experiment.recipe import Recipe, for_chip
from secateur.experiment.stress import stressed
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
# Share of the sums beyond their converters' range from which a run says so.
_MUCH_SATURATED = 0.1

# Told the epoch and how to measure the model as it stands; may raise to end the trial.
Judge = Callable[[int, Callable[[], Mapping[str, float]]], None]


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


def chip_seed(recipe: Recipe, chip: int) -> int:
    """Of all that is random in the trials on a chip."""
    return key_of(recipe.run.seed, "chip", chip) % 2**31


def trained_in(trial: Trial, recipe: Recipe) -> str:
    """The folder in a run's own where a trial's training is kept: by what it follows from.

    Trials that train the same model to the bit have the same folder: whichever comes later finds
    its model trained.
    """
    own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
    training = arm_named(trial.arm).training(own, seed=chip_seed(recipe, trial.chip))
    if training is None:
        return f"trials/{trial.name}"
    words = json.dumps({"part": trial.part, **training}, sort_keys=True)
    return f"trained/{hashlib.blake2b(words.encode(), digest_size=8).hexdigest()}"


def run_trial(
    trial: Trial, recipe: Recipe, folder: Path, *, data: Path | None,
    report: Callable[[dict[str, Any]], None], judge: Judge | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains and measures one trial, from its newest checkpoint where there is one.

    The result is written to `result.json` last of all: a folder with that file is finished. The
    checkpoints are in the folder that `trained_in` names, two above.

    Args:
        trial: what to run.
        recipe: of the whole run.
        folder: of this trial.
        data: where the task looks for its data first.
        report: told one line of figures after every epoch.
        judge: told the epoch, and how to measure the model as it stands, on a copy: no draw of
            the trial depends on whether that was done. What it raises ends the trial.
    """
    finished = _finished(folder)
    if finished is not None:
        return finished
    torch.set_num_threads(recipe.run.threads)
    keep_freed_memory()
    begin = time.perf_counter()
    task, arm = task_named(recipe.task.name), arm_named(trial.arm)
    own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
    own = for_chip(own, trial.chip)
    seed, trained = chip_seed(recipe, trial.chip), folder.parent.parent / trained_in(trial, recipe)
    loaded = task.load(data, own.task.settings)
    training, measured = parts_of(loaded, trial.part)
    make_chip = chip_maker(folder)
    trainer = trainer_of(arm, task, own, training, seed=seed, make_chip=make_chip)
    notes = restore_checkpoint(trained, trainer)

    def after_epoch(line: dict[str, Any]) -> None:
        save_checkpoint(trained, trainer)
        where = {"arm": trial.arm, "variant": trial.variant, "chip": trial.chip}
        report({**where, "split": trial.part, "epochs": trainer.epochs, **line})
        if judge is not None:
            judge(trainer.progress.epoch, partial(_as_it_stands, task, trainer.model, measured))

    trainer.run(after_epoch, before_pulses=_follows(trained, trainer))
    folder.mkdir(parents=True, exist_ok=True)
    model = trainer.model
    if arm.finish(model, own, seed=seed, make_chip=make_chip):
        calibrate_sums(model, training, batch_size=own.training.batch_size)
        renew_norms(model, training, batch_size=own.training.batch_size)
    saturations(model, reset=True)
    found = task.measure(model, measured)
    result = _result(trial, own, trainer, found, seed=seed, notes=notes)
    result["stress"] = stressed(
        model, own.stress, seed=seed,
        measure=lambda twin: dict(task.measure(twin, measured).figures),
        renew=lambda twin: renew_norms(twin, training, batch_size=own.training.batch_size),
    )  # fmt: skip
    chip = chip_of(model)
    if trial.chip == 0 and trial.part == "test" and save_maps(folder / "maps.npz", model):
        result["maps"] = f"trials/{folder.name}/maps.npz"
    if result["anatomy"]:
        save_masks(folder / "masks.npz", pruned_weights(model))
        result["masks"] = f"trials/{folder.name}/masks.npz"
    if trial.chip == 0 and found.arrays:
        save_arrays(folder / "arrays.npz", found.arrays)
        result["arrays"] = f"trials/{folder.name}/arrays.npz"
    if chip is not None:
        chip.close()
        result["notes"] += getattr(chip, "notes", [])
    result["wall_time_s"] = round(time.perf_counter() - begin, 3)
    write_atomically(folder / "result.json", json.dumps(result, indent=1).encode())
    return result


def _follows(folder: Path, trainer: Trainer) -> Callable[[], None] | None:
    """Keeps a model in step with a chip that cannot be brought back: a checkpoint each time."""
    chip = chip_of(trainer.model)
    if chip is None or chip.saves:
        return None
    return lambda: save_checkpoint(folder, trainer)


def _as_it_stands(task: Task, model: nn.Module, samples: Any) -> Mapping[str, float]:
    """Figures of a copy of a model and its chip."""
    return task.measure(copy.deepcopy(model), samples).figures


@torch.no_grad()
def renew_norms(model: nn.Module, samples: Samples, *, batch_size: int) -> None:
    """Takes the norms' running statistics anew from one pass over data; nothing else changes.

    The pass runs with the norms' cumulative average, so that every batch counts alike.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for inputs, _ in batches(samples, batch_size):
        if len(inputs) == batch_size:
            model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def calibrate_sums(model: nn.Module, samples: Samples, *, batch_size: int) -> None:
    """Finds ranges for converters at output lines that no training has seen."""
    if saturations(model):
        first = itertools.islice(batches(samples, batch_size), _CALIBRATION_BATCHES)
        calibrate_(model, (inputs for inputs, _ in first))


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


def parts_of(data: Data[Any], part: Part) -> tuple[Any, Any]:
    """What is trained on, and what is measured on."""
    if part == "validation":
        return data.training, data.validation
    return data.training_and_validation, data.test


def trainer_of(
    arm: Arm, task: Task, recipe: Recipe, training: Samples, *, seed: int,
    make_chip: MakeChip,
) -> Trainer:  # fmt: skip
    """A trainer of an arm's fresh model."""
    torch.manual_seed(key_of(seed, "torch"))
    steps = max(len(training) // recipe.training.batch_size, 1)
    # Convolutions and norms take a quarter less time on a CPU with the channels last.
    network = task.build(recipe.network)
    # torch's own stubs know `to` with a memory format only as a keyword of tensors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = arm.attach(network, recipe, task=task, steps=steps, seed=seed, make_chip=make_chip)
    start = start_seed(recipe, seed) if arm.heeds("search.seed") else seed
    return Trainer(model, training, recipe.training, seed=key_of(start, "order"))


def _result(
    trial: Trial, recipe: Recipe, trainer: Trainer, found: Measured, *, seed: int,
    notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    model = trainer.model
    weights = pruned_weights(model)
    chip, physics = chip_of(model), _physics(recipe, model)
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
        "wear": wear_of(chip) if chip else None,
        "keep_fraction": {name: _kept(weight) for name, weight in weights.items()},
        "placement": chip and {
            "macros": chip.placement.macros,
            "utilisation": chip.placement.utilisation,
            "text": str(chip.placement),
        },
        "programming_energy_J": programming_energy_of(chip),
        "physics": physics,
        "notes": [*notes, *_on_saturation(trial, physics)],
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
    recorded = isinstance(chip, RecordedChip)
    return {
        **physics,
        "technology": law.name,
        "forming": "full" if written else "as recorded" if recorded else _forming_words(recipe),
        "circuit": _stored_words(recipe) if recorded else circuit_from(recipe).label,
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


def _on_saturation(trial: Trial, physics: dict[str, Any]) -> list[str]:
    share = physics.get("saturated_share", 0.0)
    if share < _MUCH_SATURATED:
        return []
    return [
        f"{trial.arm}: {share:.0%} of the sums were beyond their converters' last level, and were "
        "cut to it. Raise converters.output_headroom, if the ranges are too small."
    ]


def _stored_words(recipe: Recipe) -> str:
    step = recipe.chip.circuit == "read-per-step"
    return f"stored reads, one {'per step' if step else 'for every multiplication'}"


def _forming_words(recipe: Recipe) -> str:
    if recipe.chip.address is not None:
        return "the board's own"
    voltage = recipe.chip.forming_voltage
    return recipe.chip.forming if voltage is None else f"{voltage} V"
