"""Files that a recipe names, under names that are the same wherever a process stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.experiment.recipe import Recipe, set_path
from secateur.tasks import Task, task_named


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, those of single arms included.

    A worker may stand in another folder than who sent it an order.
    """
    task, table = task_named(recipe.task.name), recipe.table()
    for section in (table, *table["arms"].values()):
        for path in _paths(task):
            first, name = path.split(".")
            if (value := section.get(first, {}).get(name)) is not None:
                set_path(section, path, absolute_value(path, value, task=task))
    return Recipe.parse(table, where="recipe")


def absolute_value(path: str, value: Any, *, task: Task) -> Any:
    """A setting's value, made absolute where it names files.

    Args:
        path: of the setting.
        value: of it.
        task: whose own settings may name files too.
    """
    if path not in _paths(task):
        return value
    if isinstance(value, str):
        return _absolute(value) if _names_file(path, value) else value
    # A list of recordings is one of files; a list of anything else, as of classes, is one of words.
    listed = path == "chip.recording" and isinstance(value, Sequence)
    return [_absolute(one) for one in value] if listed else value


def _paths(task: Task) -> tuple[str, ...]:
    own = tuple(f"task.{name}" for name in task.paths)
    return ("chip.technology", "chip.recording", "chip.keys", *own)


def _names_file(path: str, value: str) -> bool:
    # A technology is a preset or a file.
    return value.endswith(".toml") if path == "chip.technology" else bool(value)


def _absolute(name: str) -> str:
    return str(Path(name).expanduser().absolute())
