"""Reads the results of a sweep: configurations with their settings and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.errors import FileError
from secateur.report.sweep_figures import is_wide
from secateur.report.sweeps import is_number


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Ranked(_Part):
    """A configuration whose every trial has finished, and the figure that decides, summarised."""

    arm: str
    run: str
    settings: dict[str, Any]
    mean: float
    interval95: tuple[float, float] | None
    n: int


class SweepResults(_Part):
    """What `results.json` of a sweep holds, as far as a page shows it."""

    schema_: Literal["secateur.sweep-results"] = Field(alias="schema")
    version: Literal[1]
    task: str
    title: str
    kind: Literal["grid", "random", "optimise"]
    space: dict[str, Any]
    metric: str
    metric_title: str
    maximise: bool
    command: str
    created: str
    wall_time_s: float
    versions: dict[str, str]
    machine: dict[str, Any]
    recipe: dict[str, Any]
    states: dict[str, int]
    ranking: tuple[Ranked, ...]
    best: dict[str, Ranked]
    rows: tuple[dict[str, Any], ...]

    @property
    def arms(self) -> list[str]:
        """Those of the ranking, in its order."""
        return list(dict.fromkeys(one.arm for one in self.ranking))

    @property
    def in_percent(self) -> bool:
        """Whether the figure is a share, as all metrics are, and not a loss."""
        return self.metric != "loss"

    def shown(self, value: float) -> float:
        """A figure as the page shows it."""
        return 100 * value if self.in_percent else value


def read_results(folder: Path) -> SweepResults:
    """The results of a sweep's directory.

    Raises:
        FileError: where there are none, or others than expected.
    """
    path = folder / "results.json"
    try:
        return SweepResults.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileError(
            f"This directory holds no results of a sweep: {error.strerror}", where=str(path),
            remedy="Give the directory of a sweep that has ended",
        ) from error  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise FileError(
            f"The results cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            where=str(path), cause="another version of secateur, or another program, wrote it",
        ) from error  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """Where a setting's values lie on an axis: numbers as they are, words one after the other.

    Args:
        setting: its dotted path.
        values: all that occur, in order.
        numeric: whether they are numbers.
    """

    setting: str
    values: tuple[Any, ...]
    numeric: bool

    @property
    def logarithmic(self) -> bool:
        """Whether only a logarithmic axis tells them apart."""
        return self.numeric and is_wide(self.values)

    def place(self, value: Any) -> float:
        """On the axis."""
        return float(value) if self.numeric else float(self.values.index(value))


def scales(results: SweepResults, arm: str | None = None) -> list[Scale]:
    """Of every setting that takes two values or more, in those configurations that heed it."""
    found = []
    for setting in results.space:
        taken = [
            one.settings[setting]
            for one in results.ranking
            if setting in one.settings and arm in (None, one.arm)
        ]
        numeric = all(is_number(value) for value in taken)
        # The order in which words were given is an order that somebody has chosen.
        given = results.space[setting] if isinstance(results.space[setting], list) else []
        order = sorted(set(taken)) if numeric else [value for value in given if value in taken]
        if len(order) > 1:
            found.append(Scale(setting, tuple(order), numeric))
    return found


def means_by(configurations: Sequence[Ranked], *settings: str) -> dict[tuple[Any, ...], float]:
    """Mean figure of the configurations that share their values of some settings."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for one in configurations:
        if all(setting in one.settings for setting in settings):
            key = tuple(one.settings[setting] for setting in settings)
            groups.setdefault(key, []).append(one.mean)
    return {key: sum(means) / len(means) for key, means in groups.items()}
