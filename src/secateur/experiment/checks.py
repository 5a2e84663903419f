"""What is refused before anything runs: settings with which no trial could begin."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from secateur.errors import SettingError
from secateur.experiment.arms import Arm, technology_of
from secateur.experiment.recipe import Recipe, for_chip
from secateur.experiment.recording import refuse_unrecorded
from secateur.experiment.remedies import remedy_named
from secateur.tasks import task_named


def check_settings(own: Recipe, arm: Arm, *, chips: int) -> None:
    """Refuses settings that an arm cannot be run with; its network is not built for that.

    Args:
        own: the recipe as the arm sees it.
        arm: to run.
        chips: how many.

    Raises:
        SettingError: naming the first such setting.
        FileError: for a technology or a recording that cannot be read.
    """
    refuse_unrecorded(own, arm)
    technology_of(for_chip(own, chips - 1).chip)
    for remedy in own.stress.remedies:
        remedy_named(remedy)
    task_named(own.task.name).check(own.task.settings)


def check_network(own: Recipe, arm: Arm) -> None:
    """Refuses a network that cannot be built, and one that the arm cannot be run with.

    Args:
        own: the recipe as the arm sees it.
        arm: to run.

    Raises:
        SettingError: naming the first setting that is to blame.
    """
    task = task_named(own.task.name)
    arm.check(task.build(own.network), own, task=task)


def check_outputs(own: Recipe, classes: Sequence[str]) -> None:
    """Refuses a network that does not answer with as many classes as the data have.

    Args:
        own: the recipe as an arm sees it.
        classes: of the data.

    Raises:
        SettingError: with both numbers.
    """
    task = task_named(own.task.name)
    last = task.build(own.network).get_submodule(task.readout)
    outputs = len(cast(Tensor, last.weight))
    if outputs != len(classes):
        raise SettingError(
            f"The data have {len(classes)} classes, the network {outputs} outputs",
            remedy=f"Give --set network.classes={len(classes)}, or choose classes with "
            "task.classes",
        )
