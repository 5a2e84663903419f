"""A run's directory: begun once, and re-opened by the recipe it was begun with."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from secateur.errors import FileError, SettingError
from secateur.experiment.recipe import Recipe
from secateur.files import write_atomically


def begin_run(recipe: Recipe, out: Path, *, resume: bool, command: str) -> str:
    """Begins or re-opens the run directory; returns the command that began the run."""
    path, begun = out / "recipe.toml", out / "run.json"
    if not resume:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FileError(
                "The output directory is not empty", where=str(out),
                cause="it holds an earlier run",
                remedy="Go on with that run by --resume, or give another --out",
            )  # fmt: skip
        write_atomically(path, recipe.toml().encode())
        write_atomically(begun, json.dumps({"command": command}).encode())
        return command
    if not path.exists():
        raise FileError(
            "There is no run to resume", where=str(out), remedy="Start one without --resume"
        )
    _check_same(Recipe.read(path), recipe, out)
    return str(json.loads(begun.read_text())["command"]) if begun.exists() else command


def _check_same(begun: Recipe, asked: Recipe, out: Path) -> None:
    if begun.run.threads != asked.run.threads:
        raise SettingError(
            f"The run was begun with {begun.run.threads} thread(s) and would go on with "
            f"{asked.run.threads}", where=str(out),
            cause="sums in another order differ in their last bits",
            remedy=f"Resume with --threads {begun.run.threads}",
        )  # fmt: skip
    for path, (old, new) in _differences(begun.table(), asked.table()):
        raise SettingError(
            f"{path} is {old!r} in the run and {new!r} now", where=str(out),
            remedy="Resume without changing settings, or start a new run with another --out",
        )  # fmt: skip


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], at: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{at}{key}.")
        elif a != b:
            yield f"{at}{key}", (a, b)
