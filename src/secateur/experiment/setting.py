"""A trial before its first step: data, model and chip, to be trained or to be taken up again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from secateur.experiment.arms import Arm, MakeChip, arm_named, chip_from
from secateur.experiment.recipe import Recipe, for_chip
from secateur.experiment.training import Trainer
from secateur.experiment.trial import (
    Trial,
    calibrate_sums,
    chip_seed,
    parts_of,
    renew_norms,
    trainer_of,
)
from secateur.tasks import Samples, Task, task_named


@dataclass(frozen=True)
class Setting:
    """All that a trial consists of.

    Args:
        task: what is learned.
        arm: how.
        recipe: as the arm and the chip see it.
        seed: of the chip and of all else that is random.
        training: the part that is trained on.
        measured: the part that is measured on.
        trainer: of the fresh model.
    """

    task: Task
    arm: Arm
    recipe: Recipe
    seed: int
    training: Samples
    measured: Any
    trainer: Trainer

    def finish(self, model: nn.Module, *, seed: int) -> None:
        """What an arm does after training; weights that it writes need ranges and norms anew.

        Args:
            model: trained; changed in place.
            seed: of the chip that is written to.
        """
        make: MakeChip = chip_from
        if self.arm.finish(model, self.recipe, seed=seed, make_chip=make):
            size = self.recipe.training.batch_size
            calibrate_sums(model, self.training, batch_size=size)
            renew_norms(model, self.training, batch_size=size)


def set_up(trial: Trial, recipe: Recipe, *, data: Path | None) -> Setting:
    """Loads a trial's data and builds its model, on a simulated chip where it has one.

    Args:
        trial: which.
        recipe: of the whole run.
        data: where the task looks for its data first.
    """
    task, arm = task_named(recipe.task.name), arm_named(trial.arm)
    own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
    own, seed = for_chip(own, trial.chip), chip_seed(recipe, trial.chip)
    training, measured = parts_of(task.load(data, own.task.settings), trial.part)
    trainer = trainer_of(arm, task, own, training, seed=seed, make_chip=chip_from)
    return Setting(task, arm, own, seed, training, measured, trainer)
