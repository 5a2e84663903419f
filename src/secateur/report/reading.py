"""Reads a run directory: `record.json`, checked against the schema the page understands."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from secateur.errors import FileError

SCHEMA = "secateur.record"
VERSION = 1


def _absent_as_empty(value: object) -> object:
    return {} if value is None else value


Numbers = Annotated[dict[str, float | None], BeforeValidator(_absent_as_empty)]
Facts = Annotated[dict[str, Any], BeforeValidator(_absent_as_empty)]


class _Part(BaseModel):
    """A frozen piece of the record; fields a later secateur adds in the same version are let be."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Statistic(_Part):
    """A figure over the chips of one result, in the unit of the figure itself."""

    mean: float | None = None
    std: float | None = None
    interval95: tuple[float | None, float | None] | None = None
    n: int = 0

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, where one could be estimated."""
        low, high = self.interval95 or (None, None)
        return None if low is None or high is None else (low, high)


class PlacementNote(_Part):
    """Who sits where: macros in use, the share of their cells taken, and the chip's own words."""

    macros: int | None = None
    utilisation: float | None = None
    text: str = ""


class Trial(_Part):
    """One chip of one result."""

    chip: int
    seed: int | None = None
    test: Numbers = {}
    validation: Numbers = {}
    confusion: list[list[float]] | None = None
    history: list[Numbers] = []
    pulses: Numbers = {}
    edges: int | None = None
    kept: int | None = None
    flips_per_edge: float | None = None
    most_worn_cell: float | None = None
    keep_fraction: Numbers = {}
    placement: PlacementNote | None = None
    physics: Facts = {}
    notes: list[str] = []
    wall_time_s: float | None = None
    maps: str | None = None
    arrays: str | None = None
    stress: list[dict[str, Any]] = []
    wear: Facts = {}
    anatomy: Annotated[dict[str, Facts], BeforeValidator(_absent_as_empty)] = {}

    @property
    def has_chip(self) -> bool:
        """Whether a chip took part."""
        return bool(self.pulses) or self.placement is not None


class Result(_Part):
    """An arm, or a variant of one, over its chips."""

    arm: str
    variant: str = ""
    label: str = ""
    overrides: Facts = {}
    trials: list[Trial]
    summary: Annotated[dict[str, Statistic | None], BeforeValidator(_absent_as_empty)] = {}

    @property
    def name(self) -> str:
        """The words that stand for this result on the page."""
        return self.label or (f"{self.arm}, {self.variant}" if self.variant else self.arm)

    @property
    def has_chip(self) -> bool:
        """Whether any of its trials ran on a chip."""
        return any(trial.has_chip for trial in self.trials)

    def statistic(self, key: str) -> Statistic | None:
        """The summary of `key`, or None where it is absent or has no mean."""
        found = self.summary.get(key)
        return found if found is not None and found.mean is not None else None

    def pulses(self, kind: str) -> float | None:
        """Mean over the chips of the pulses of one kind; None where no trial counted them."""
        counts = [t.pulses[kind] for t in self.trials if t.pulses.get(kind) is not None]
        numbers = [count for count in counts if count is not None]
        return sum(numbers) / len(numbers) if numbers else None


class Record(_Part):
    """What `record.json` says of a run."""

    task: str
    title: str = ""
    classes: list[str] = []
    metric: str = "accuracy"
    metrics: dict[str, str] = {}
    command: str = ""
    created: str = ""
    wall_time_s: float | None = None
    versions: Facts = {}
    machine: Facts = {}
    seed: int | None = None
    chips: int | None = None
    recipe: Facts = {}
    results: list[Result]
    agreements: list[dict[str, Any]] = []

    @property
    def metric_title(self) -> str:
        """The headline metric's name for people."""
        return self.metrics.get(self.metric, self.metric)

    @property
    def headline_metrics(self) -> dict[str, str]:
        """Names and titles of the first two metrics: what claims are made in."""
        return dict(list((self.metrics or {self.metric: self.metric}).items())[:2])


@dataclass(frozen=True)
class Run:
    """A run directory and its record.

    Args:
        directory: where the run lies.
        record: its checked record.
    """

    directory: Path
    record: Record

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.directory.resolve().name

    @property
    def split(self) -> str:
        """The split the headline is read on: "test", or "validation" for a selection run."""
        tested = any(trial.test for result in self.record.results for trial in result.trials)
        return "test" if tested else "validation"

    def score(self, result: Result) -> Statistic | None:
        """The headline statistic of a result, a fraction of 1, on this run's split."""
        metric = self.record.metric
        if self.split == "test":
            return result.statistic(metric) if any(t.test for t in result.trials) else None
        return result.statistic(f"validation_{metric}") or result.statistic(metric)

    def chip_scores(self, result: Result) -> list[float]:
        """The headline figure of each chip, fractions of 1, on this run's split."""
        read = [getattr(trial, self.split).get(self.record.metric) for trial in result.trials]
        return [value for value in read if value is not None]


def read_run(directory: Path) -> Run:
    """Reads the record of a run directory.

    Args:
        directory: a directory that holds `record.json`.

    Raises:
        FileError: where the record is missing, truncated, foreign, newer or of the wrong shape.
    """
    path = directory / "record.json"
    content = _content(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise FileError(
            f"The file does not call itself a {SCHEMA}",
            where=str(path),
            cause="it was written by another program",
            remedy="Give the directory of a finished `secateur run`",
        )
    _check_version(content.get("version"), path)
    try:
        return Run(directory=directory, record=Record.model_validate(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the record"
        raise FileError(
            f"The record's {place} is not as the schema says: {first['msg']}",
            where=str(path),
            cause="the file was edited, or written by a faulty program",
            remedy="Run again, or restore the file",
        ) from None


def read_runs(directories: list[Path]) -> list[Run]:
    """Reads several run directories, in the order given."""
    return [read_run(Path(os.fspath(directory))) for directory in directories]


def _content(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(
            "There is no record to report on",
            where=str(path),
            cause="this is not a run directory, or its run never finished",
            remedy="Give the directory of a finished `secateur run`, or resume it with --resume",
        ) from None
    except ValueError as error:
        raise FileError(
            f"The record cannot be read as JSON: {error}",
            where=str(path),
            cause="the file is truncated or was edited",
            remedy="Run again with --resume to have it written anew",
        ) from None
    except OSError as error:
        raise FileError(
            f"The record cannot be read: {error.strerror}",
            where=str(path),
            remedy="Check that the file exists and that you may read it",
        ) from None


def _check_version(version: object, path: Path) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise FileError(
            f"The record's version is {version!r}, not a whole number from 1",
            where=str(path),
            cause="the file was edited, or written by a faulty program",
            remedy="Run again, or restore the file",
        )
    if version > VERSION:
        raise FileError(
            f"The record has version {version}; this secateur reads versions up to {VERSION}",
            where=str(path),
            cause="it was written by a newer secateur",
            remedy="Update secateur: pip install --upgrade secateur",
        )
