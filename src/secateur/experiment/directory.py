"""A run's directory: begun once, and re-opened by the recipe it was begun with."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from secateur.errors import ChipError, DivergedError, FileError, ModelError, SettingError
from secateur.experiment.recipe import Recipe
from secateur.files import write_atomically

# What a run writes before it has trained anything.
_FIRST = ("recipe.toml", "run.json", "examples.npz", "metrics.jsonl")


@contextmanager
def begun_run(recipe: Recipe, out: Path, *, resume: bool, command: str) -> Iterator[str]:
    """Begins or re-opens the run directory; gives the command that began the run.

    A run that is refused before anything was trained, on a chip of its own, takes back what it
    has written, so that it can be begun anew with other settings.

    Raises:
        FileError, SettingError: as `check_directory`.
    """
    check_directory(recipe, out, resume=resume)
    if resume:
        yield str(_begun_as(out).get("command", command))
        return
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    write_atomically(out / "recipe.toml", recipe.toml().encode())
    begun = {"command": command, "recipe": recipe.table()}
    write_atomically(out / "run.json", json.dumps(begun).encode())
    try:
        yield command
    except (SettingError, ModelError, ChipError, DivergedError):
        if recipe.chip.address is None:
            _take_back(out, made)
        raise


def check_directory(recipe: Recipe, out: Path, *, resume: bool) -> None:
    """Refuses a place that is not free for a run, or not that of the run to be resumed.

    Raises:
        FileError: for a directory with other content, or without a run to resume.
        SettingError: for a recipe that is not the directory's own.
    """
    if not resume:
        check_free(out)
    elif not (out / "recipe.toml").exists():
        raise FileError(
            "There is no run to resume", where=str(out), remedy="Start one without --resume"
        )
    else:
        # The recipe itself may have been edited since.
        table = _begun_as(out).get("recipe")
        path = out / "recipe.toml"
        begun = Recipe.read(path) if table is None else Recipe.parse(table, where=str(path))
        _check_same(begun, recipe, out)


def check_free(out: Path) -> None:
    """Refuses a directory that holds something, and a path that leads through a file.

    Raises:
        FileError: naming what is in the way.
    """
    there = next(place for place in (out, *out.parents) if place.exists())
    if not there.is_dir():
        raise FileError(
            "The output directory cannot be made: this is a file", where=str(there),
            remedy="Give the path of a new or empty directory with --out",
        )  # fmt: skip
    if there != out or not any(out.iterdir()):
        return
    begun = next((kind for name, kind in _KINDS.items() if (out / name).exists()), None)
    raise FileError(
        "The output directory is not empty", where=str(out),
        cause=f"it holds an earlier {begun}" if begun else "it is used for something else",
        remedy=f"{f'Go on with that {begun} by --resume, or g' if begun else 'G'}ive another --out",
    )  # fmt: skip


# --- Inside -----------------------------------------------------------------------------------

_KINDS = {"sweep.json": "sweep", "recipe.toml": "run"}


def _begun_as(out: Path) -> dict[str, Any]:
    """The command and the recipe that the run was begun with, as far as they were written down."""
    path = out / "run.json"
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise FileError(
            f"How this run was begun cannot be read: {error}", where=str(path),
            cause="a file changed by another program",
            remedy="Delete it, and go on by the run's recipe.toml alone",
        ) from error  # fmt: skip


def _take_back(out: Path, made: list[Path]) -> None:
    """Removes what a run has written first, unless there is more."""
    files = {path for path in out.rglob("*") if not path.is_dir()}
    metrics = out / "metrics.jsonl"
    if files - {out / name for name in _FIRST} or (metrics in files and metrics.stat().st_size):
        return
    for path in files:
        path.unlink(missing_ok=True)
    within = sorted((path for path in out.rglob("*")), reverse=True)
    # Another process may have put something there meanwhile.
    with suppress(OSError):
        for folder in (*within, *made):
            folder.rmdir()


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
            f"{path} is {_shown(old)} in the run and {_shown(new)} now", where=str(out),
            cause="an option, or a recipe.toml that was edited",
            remedy="Resume without changing settings, or start a new run with another --out",
        )  # fmt: skip


def _shown(value: Any) -> str:
    return "unset" if value is None else repr(value)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], at: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{at}{key}.")
        elif a != b:
            yield f"{at}{key}", (a, b)
