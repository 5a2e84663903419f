"""The paper's three experiments, one after the other, each a run directory of its own."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from secateur.errors import SettingError, nearest
from secateur.experiment.claims import CLAIMED_GAINS
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import Watch, run_experiment
from secateur.tasks import task_named

# A chip of the U-Net takes as long as a hundred of the others.
CHIPS: Mapping[str, int] = {"fashion-mnist": 3, "spoken-digits": 3, "drive": 1}


def experiments(
    tasks: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> dict[str, Recipe]:
    """The recipes of the paper's experiments by their tasks.

    Args:
        tasks: which of them; all if empty.
        settings: by dotted path, for all of them alike.

    Raises:
        SettingError: for a task that is none of the paper's, or settings that cannot be.
    """
    for task in tasks:
        if task not in CLAIMED_GAINS:
            raise SettingError(
                f"{task!r} is no experiment of the paper", remedy=nearest(task, CLAIMED_GAINS)
            )
    chosen = [task for task in CLAIMED_GAINS if not tasks or task in tasks]
    return {task: _recipe(task, settings or {}) for task in chosen}


def reproduce(
    recipes: Mapping[str, Recipe], out: Path, *, data: Path | None = None, command: str = "",
    watch: Callable[[], AbstractContextManager[Watch]],
) -> Iterator[tuple[str, Path]]:  # fmt: skip
    """Runs the experiments in turn, going on with those that have begun.

    Data of all of them are looked for before the first one starts.

    Args:
        recipes: from `experiments`.
        out: folder of the run directories, which are named as the tasks.
        data: where data sets are looked for first.
        command: for the records.
        watch: makes a watch for one run.

    Yields:
        Task and run directory of each finished experiment.

    Raises:
        FileError: for data that are missing, or a directory with other content.
        SettingError: for a directory that was begun with another recipe.
    """
    for task, recipe in recipes.items():
        task_named(task).load(data, recipe.task.settings)
    for task, recipe in recipes.items():
        folder = out / task
        with watch() as told:
            run_experiment(
                recipe, folder, data=data, resume=(folder / "recipe.toml").is_file(),
                command=command, watch=told,
            )  # fmt: skip
        yield task, folder


def _recipe(task: str, settings: Mapping[str, Any]) -> Recipe:
    shipped = Recipe.parse(tomllib.loads(task_named(task).recipe), where=f"recipe of {task}")
    return shipped.with_settings({"run.chips": CHIPS[task], **settings})
