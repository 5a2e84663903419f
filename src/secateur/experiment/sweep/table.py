"""The table of a sweep: a row for every trial that has ended, whole at any moment."""

import csv
import io
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from secateur.experiment.sweep.plan import Configuration, Plan
from secateur.experiment.sweep.work import FINISHED, Outcome
from secateur.files import write_atomically

Row = dict[str, Any]
_EFFORT = ("flips_per_edge", "most_worn_cell", "programming_energy_J")
_PULSES = ("form", "set", "reset")
# A table of ten thousand rows takes a tenth of a second to write.
_SECONDS_BETWEEN = 1.0


class Table:
    """Rows by run and chip, in `trials.csv`, and in `trials.parquet` where pyarrow is there.

    Args:
        plan: of the sweep.
        out: its directory.
    """

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan, self._out = plan, out
        self._rows: dict[tuple[str, int], Row] = {}
        self._written = 0.0

    @property
    def rows(self) -> list[Row]:
        """All rows, in the order of the runs."""
        return [self._rows[key] for key in sorted(self._rows)]

    def add(self, configuration: Configuration, chip: int, outcome: Outcome) -> None:
        """Adds a row, in the place of an earlier one of the same trial."""
        row = row_of(self._plan, configuration, chip, outcome)
        self._rows[configuration.name, chip] = row
        if time.monotonic() - self._written >= _SECONDS_BETWEEN:
            self.write()

    def write(self) -> None:
        """Writes what there is, whole or not at all."""
        rows = self.rows
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_atomically(self._out / "trials.csv", as_csv(rows, columns))
        if rows and find_spec("pyarrow") is not None:
            write_atomically(self._out / "trials.parquet", as_parquet(rows, columns))
        self._written = time.monotonic()


def row_of(plan: Plan, configuration: Configuration, chip: int, outcome: Outcome) -> Row:
    """One trial in a row: what it was, how it ended, what it measured and cost."""
    result: Mapping[str, Any] = outcome.get("result") or {}
    settings = {path: configuration.settings.get(path) for path in plan.space.settings}
    pulses = result.get("pulses") or {}
    return {
        "run": configuration.name, "arm": configuration.arm, "chip": chip, **settings,
        "state": outcome["state"],
        **dict(_figures(plan, result)),
        "epochs": len(result["history"]) if result else outcome.get("epochs"),
        **{name: result.get(name) for name in _EFFORT},
        **{f"{kind}_pulses": pulses.get(kind) for kind in _PULSES},
        "wall_time_s": result.get("wall_time_s"),
        "error": outcome.get("error"),
    }  # fmt: skip


def mean_of(rows: Sequence[Row], metric: str) -> float | None:
    """The mean of a figure over a configuration's chips; None where one is missing."""
    values = [row.get(metric) for row in rows if row["state"] == FINISHED]
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(rows) else None


def as_csv(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    """Rows as CSV; what is unknown is empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    """Rows as Parquet; a column whose values are of several kinds is one of words."""
    import pyarrow
    import pyarrow.parquet

    arrays = {name: _alike([row.get(name) for row in rows]) for name in columns}
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    return bytes(buffer.getvalue())


def _alike(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]


def _figures(plan: Plan, result: Mapping[str, Any]) -> Mapping[str, float]:
    """All figures of a result; of another trial, only that there are none."""
    return dict(result["figures"]) if result else {plan.metric: None}  # type: ignore[dict-item]
