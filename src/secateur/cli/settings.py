"""Options to a recipe: what was asked for, on top of the recipe it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.errors import FileError, SettingError
from secateur.experiment.recipe import Recipe, parse_assignment
from secateur.experiment.sweep.space import values_of

SWEEP_ARMS = ("programmed", "programmed-aware", "pruned", "pruned-cells")
SWEEP_PATH = "chip.values.programming_error"
SWEEP_VALUES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True)
class Asked:
    """What the command line says about a run; None or empty where it says nothing."""

    task: str | None = None
    recipe: Path | None = None
    out: Path | None = None
    resume: bool = False
    options: tuple[tuple[str, str, Any], ...] = ()  # (option, recipe path, value)
    assignments: Sequence[str] = ()
    vary: Sequence[str] = ()
    sweep_programming_error: bool = False


def recipe_of(asked: Asked) -> Recipe:
    """The recipe to run.

    Raises:
        SettingError: for settings that are unknown, impossible or given twice.
        FileError: for a recipe that cannot be read.
    """
    base = _base(asked)
    if asked.task is not None and asked.task != base.task.name:
        raise SettingError(
            f"This is a recipe of the task {base.task.name!r}, not of {asked.task!r}",
            where=str(asked.recipe or asked.out),
            remedy=f"Leave the task out, or write {base.task.name}",
        )
    settings = _settings(asked)
    vary = _vary(asked)
    if vary:
        _once(settings, "run.vary", "--vary")
        settings["run.vary"] = {**base.run.vary, **vary}
    if asked.sweep_programming_error:
        settings.setdefault("run.arms", list(SWEEP_ARMS))
    return base.with_settings(settings, where="command line") if settings else base


def shipped_recipe(task: str) -> Recipe:
    """The recipe a task comes with."""
    import tomllib

    from secateur.tasks import task_named

    found = task_named(task)
    return Recipe.parse(tomllib.loads(found.recipe), where=f"recipe of {task}")


def _base(asked: Asked) -> Recipe:
    if asked.resume and asked.out is None:
        raise SettingError(
            "--resume does not say which run", remedy="Name its directory with --out DIR"
        )
    if asked.recipe is not None:
        return Recipe.read(asked.recipe)
    if asked.resume and asked.out is not None:
        begun = asked.out / "recipe.toml"
        if not begun.is_file():
            raise FileError(
                "There is no run to resume", where=str(asked.out),
                cause="another directory, or a run that stopped before its recipe was written",
                remedy="Give the directory of a run that has begun, or leave --resume out",
            )  # fmt: skip
        return Recipe.read(begun)
    if asked.task is None:
        raise SettingError(
            "No task was named",
            remedy="Write `secateur run TASK` (`secateur tasks` lists them), or give a recipe "
            "with --recipe",
        )
    return shipped_recipe(asked.task)


def _settings(asked: Asked) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for option, path, value in asked.options:
        if value is not None and value != []:
            _once(settings, path, option)
            settings[path] = value
    for text in asked.assignments:
        path, value = parse_assignment(text)
        _once(settings, path, "--set")
        settings[path] = value
    if settings.get("chip.address") is not None:
        # A board multiplies by itself; to have it read once a step and multiply here, say so.
        settings.setdefault("chip.circuit", "read-per-product")
    return settings


def _vary(asked: Asked) -> dict[str, list[Any]]:
    varied: dict[str, list[Any]] = {}
    if asked.sweep_programming_error:
        varied[SWEEP_PATH] = list(SWEEP_VALUES)
    for text in asked.vary:
        path, _, words = (part.strip() for part in text.partition("="))
        values = values_of(words)
        if not path or not values:
            raise SettingError(
                f"--vary {text!r} names no values",
                remedy="Write path=value,value, as in search.keep_fraction=0.3,0.5,0.7",
            )
        _once(varied, path, "--vary")
        varied[path] = values
    return varied


def _once(settings: dict[str, Any], path: str, option: str) -> None:
    if path in settings:
        raise SettingError(
            f"{path} is set twice", where=option,
            cause="an option and --set, or one option two times",
            remedy="Keep one of them",
        )  # fmt: skip
