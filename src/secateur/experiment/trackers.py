"""Trackers that people watch their runs with, through Accelerate; off unless asked for."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from secateur.errors import SettingError, nearest

Tracker = Literal["tensorboard", "mlflow", "wandb"]


def check_tracker(name: str) -> None:
    """Refuses a tracker that is unknown or not installed, before anything is run.

    Raises:
        SettingError: naming the package to install.
    """
    if name not in get_args(Tracker):
        raise SettingError(
            f"There is no tracker {name!r}",
            where="--track",
            remedy=nearest(name, get_args(Tracker)),
        )
    missing = [package for package in ("accelerate", name) if find_spec(package) is None]
    if missing:
        words = " and ".join(missing)
        raise SettingError(
            f"Tracking with {name} needs {words}, not installed here", where="--track",
            remedy=f"pip install {' '.join(missing)}",
        )  # fmt: skip


class Tracked:
    """One trial in a tracker: its settings, a line of figures after every epoch, its result.

    Args:
        name: of the tracker.
        project: under which the tracker files it.
        folder: where trackers that keep files put them.
        settings: of the trial, nested.
    """

    def __init__(
        self, name: str, *, project: str, folder: Path, settings: Mapping[str, Any]
    ) -> None:
        check_tracker(name)
        from accelerate import Accelerator

        folder.mkdir(parents=True, exist_ok=True)
        self._accelerator = Accelerator(
            mixed_precision="no", log_with=name, project_dir=str(folder)
        )
        self._accelerator.init_trackers(project, config=flattened(settings))

    def log(self, figures: Mapping[str, Any], step: int) -> None:
        """Notes the numbers among some figures at a step."""
        numbers = {
            path: float(value)
            for path, value in flattened(figures).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self._accelerator.log(numbers, step=step)

    def close(self) -> None:
        """Everything is written."""
        for tracker in self._accelerator.trackers:
            tracker.finish()


def flattened(table: Mapping[str, Any], at: str = "") -> dict[str, float | int | str | bool]:
    """A nested mapping by dotted paths; what is neither number, word nor truth, as JSON."""
    found: dict[str, float | int | str | bool] = {}
    for key, value in table.items():
        path = f"{at}{key}"
        if isinstance(value, Mapping):
            found |= flattened(value, f"{path}.")
        elif isinstance(value, int | float | str):
            found[path] = value
        else:
            found[path] = json.dumps(value)
    return found
