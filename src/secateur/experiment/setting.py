"""What a trial is, and all that it consists of before its first step."""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from secateur.experiment.arms import Arm, MakeChip, arm_named, start_seed
from secateur.experiment.boards import chip_maker
from secateur.experiment.norms import renew_norms, share_norms
from secateur.experiment.processes import Alone, Processes
from secateur.experiment.recipe import Recipe, for_chip
from secateur.experiment.training import Trainer
from secateur.keyed import key_of
from secateur.network import calibrate_, saturations
from secateur.tasks import Samples, Task, batches, task_named

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

    @property
    def words(self) -> str:
        """What it is, for messages."""
        return f"arm {self.arm}, chip {self.chip}" + (f", {self.variant}" if self.variant else "")


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


@dataclass(frozen=True)
class Setting:
    """All that a trial consists of before its first step.

    Args:
        task: what is learned.
        arm: how.
        recipe: as the arm sees it.
        seed: of the chip and of all else that is random.
        training: the part that is trained on.
        measured: the part that is measured on.
        trainer: of the fresh model.
        make_chip: the chip that weights are written to.
        notes: about the data.
    """

    task: Task
    arm: Arm
    recipe: Recipe
    seed: int
    training: Samples
    measured: Any
    trainer: Trainer
    make_chip: MakeChip
    notes: tuple[str, ...] = ()

    def finish(self, model: nn.Module, *, seed: int) -> None:
        """What an arm does after training; weights that it writes need ranges and norms anew.

        Args:
            model: trained; changed in place.
            seed: of the chip that is written to.
        """
        if self.arm.finish(model, self.recipe, seed=seed, make_chip=self.make_chip):
            size = self.recipe.training.batch_size
            _calibrate(model, self.training, batch_size=size)
            renew_norms(model, self.training, batch_size=size)


@dataclass(frozen=True)
class Parts:
    """What a trial sees of its task's data.

    Args:
        training: the part that is trained on.
        measured: the part that is measured on.
        notes: about the data.
    """

    training: Samples
    measured: Any
    notes: tuple[str, ...] = ()


def parts_of(trial: Trial, recipe: Recipe, *, data: Path | None) -> Parts:
    """Loads a trial's data.

    Args:
        trial: whose.
        recipe: of the whole run.
        data: where the task looks for its data first.
    """
    own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
    loaded = task_named(own.task.name).load(data, own.task.settings)
    if trial.part == "validation":
        return Parts(loaded.training, loaded.validation, loaded.notes)
    return Parts(loaded.training_and_validation, loaded.test, loaded.notes)


def set_up(
    trial: Trial, recipe: Recipe, *, data: Path | None, folder: Path,
    together: Processes | None = None, parts: Parts | None = None,
) -> Setting:  # fmt: skip
    """Loads a trial's data and builds its model, on a freshly formed chip where it has one.

    Args:
        trial: which.
        recipe: of the whole run.
        data: where the task looks for its data first.
        folder: of the trial, for the journal of a board.
        together: the processes that train it; one where None.
        parts: of the data, where they have been loaded.
    """
    together = together or Alone()
    task, arm = task_named(recipe.task.name), arm_named(trial.arm)
    own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
    own = for_chip(own, trial.chip)
    seed, make_chip = chip_seed(recipe, trial.chip), chip_maker(folder)
    seen = parts or parts_of(trial, recipe, data=data)
    trainer = _trainer(
        arm, task, own, seen.training, seed=seed, make_chip=make_chip, together=together
    )
    return Setting(
        task, arm, own, seed, seen.training, seen.measured, trainer, make_chip, seen.notes
    )


@torch.no_grad()
def _calibrate(model: nn.Module, samples: Samples, *, batch_size: int) -> None:
    """Finds ranges for converters at output lines that no training has seen."""
    if saturations(model):
        first = itertools.islice(batches(samples, batch_size), _CALIBRATION_BATCHES)
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        calibrate_(model, (inputs.to(device) for inputs, _ in first))


def _trainer(
    arm: Arm, task: Task, recipe: Recipe, training: Samples, *, seed: int,
    make_chip: MakeChip, together: Processes,
) -> Trainer:  # fmt: skip
    torch.manual_seed(key_of(seed, "torch"))
    steps = len(training) // recipe.training.batch_size
    # Convolutions and norms take a quarter less time on a CPU with the channels last.
    network = task.build(recipe.network)
    # torch's own stubs know `to` with a memory format only as a keyword of tensors.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if together.count > 1:
        share_norms(network)
    network.to(together.device)
    model = arm.attach(network, recipe, task=task, steps=steps, seed=seed, make_chip=make_chip)
    start = start_seed(recipe, seed) if arm.heeds("search.seed") else seed
    order = key_of(start, "order")
    return Trainer(model, training, recipe.training, seed=order, together=together)
