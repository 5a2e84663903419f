"""A pruning plan as it is written and read: JSON with a versioned schema, and CSV to look at."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secateur.errors import FileError
from secateur.files import write_atomically

SCHEMA, VERSION = "secateur.plan", 1
Command = Literal["RESET", "SET"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Pulse(_Part):
    """What a pulse is, in SI units, which the file's names have at their end."""

    voltage: float = Field(alias="voltage_V", gt=0)
    width: float = Field(alias="width_s", gt=0)
    current_limit: float = Field(alias="current_limit_A", gt=0)
    read_voltage: float = Field(alias="read_voltage_V", gt=0)
    settling: float = Field(
        alias="settling_s", ge=0, description="of a line that switches: an assumption"
    )
    at_once: int = Field(ge=1, description="cells of a column that one pulse may serve")


class Steps(_Part):
    """Cells in the order in which they are pulsed; one entry each.

    `conductance` is as read before; `current` what the pulse begins with, up to its limit;
    `read_current` what a read carries before it; cells of one `pulse` are pulsed together.
    """

    cell: list[int]
    row: list[int]
    column: list[int]
    weight: list[str]
    pulse: list[int]
    conductance: list[float] = Field(alias="conductance_S")
    current: list[float] = Field(alias="current_A")
    read_current: list[float] = Field(alias="read_current_A")

    @model_validator(mode="after")
    def _as_long_as_each_other(self) -> "Steps":
        lengths = {len(getattr(self, name)) for name in type(self).model_fields}
        if len(lengths) > 1:
            raise ValueError("its lists are of different lengths")
        if len(set(self.cell)) < len(self.cell):
            raise ValueError("a cell is named twice")
        return self


class MacroPlan(_Part):
    """All that is done to one macro, and what it takes."""

    macro: int = Field(ge=0)
    reset: Steps
    set: Steps
    pulses: int
    line_switches: int
    half_selected_most: int
    half_selected_mean: float
    energy: float = Field(alias="energy_J")
    time: float = Field(alias="time_s")


class Totals(_Part):
    """Over all macros."""

    reset: int
    set: int
    pulses: int
    line_switches: int
    energy: float = Field(alias="energy_J")
    time: float = Field(alias="time_s")


class Plan(_Part):
    """A pruning plan; see `make_plan`.

    Args:
        run: directory of the run.
        trial: folder of the trial in it.
        identity: of the chip, as `Chip.identity` gives it.
        order: what the order of pulses is and why, in words.
        checks: to run afterwards.
    """

    schema_: Literal["secateur.plan"] = Field(alias="schema")
    version: Literal[1]
    run: str
    trial: str
    arm: str
    variant: str
    chip: int
    seed: int
    identity: dict[str, Any]
    pulse: Pulse
    order: str
    totals: Totals
    checks: list[dict[str, Any]]
    macros: list[MacroPlan]

    def write(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        content = json.dumps(self.model_dump(by_alias=True), indent=1)
        write_atomically(path, content.encode())

    def write_csv(self, path: Path) -> None:
        """Writes a row for each cell that is pulsed, in order."""
        write_atomically(path, self.csv().encode())

    def csv(self) -> str:
        """A heading, and a row for each cell that is pulsed, in order."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([
            "command", "macro", "pulse", "row", "column", "cell", "weight", "voltage [V]",
            "width [s]", "current [A]", "read current before [A]",
        ])  # fmt: skip
        for command in ("RESET", "SET"):
            for macro in self.macros:
                s = macro.reset if command == "RESET" else macro.set
                for n in range(len(s.cell)):
                    writer.writerow([
                        command, macro.macro, s.pulse[n], s.row[n], s.column[n], s.cell[n],
                        s.weight[n], self.pulse.voltage, self.pulse.width, s.current[n],
                        s.read_current[n],
                    ])  # fmt: skip
        return text.getvalue()

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """A plan that was written.

        Raises:
            FileError: for a file that is missing, no plan, of another version, or changed.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content, dict) or content.get("schema") != SCHEMA:
                raise ValueError(f"it does not call itself a {SCHEMA}")
            if content.get("version") != VERSION:
                raise ValueError(f"its version is {content.get('version')}, not {VERSION}")
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            what = f"{place}: {first['msg']}"
        except (OSError, ValueError) as error:
            what = str(error)
        raise FileError(
            f"This is no pruning plan: {what}", where=str(path),
            cause="another file, or one that was changed",
            remedy="Give the .json file that `secateur plan` has written",
        )  # fmt: skip
