"""A memory technology: the numbers of one kind of cell, each with its unit and source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.errors import FileError, SettingError, nearest

_WORDS = ("name", "title")
_PRESETS = resources.files("secateur.device") / "presets"


@dataclass(frozen=True)
class Unit:
    """The SI unit of a parameter; "1" for a pure number."""

    symbol: str


Siemens = Annotated[float, Unit("S"), Field(ge=0.0, allow_inf_nan=False)]
Volts = Annotated[float, Unit("V"), Field(ge=0.0, allow_inf_nan=False)]
Amperes = Annotated[float, Unit("A"), Field(gt=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Unit("s"), Field(gt=0.0, allow_inf_nan=False)]
Fraction = Annotated[float, Unit("1"), Field(ge=0.0, le=1.0)]
Spread = Annotated[float, Unit("1"), Field(ge=0.0, le=3.0)]
Count = Annotated[float, Unit("1"), Field(gt=0.0)]


class Technology(BaseModel):
    """One kind of memory cell, in SI units. Frozen; `model_copy(update=...)` is `with_values`.

    Raises:
        SettingError: from `load` and `with_values`, for unknown names and impossible values.
        FileError: from `load`, for a file that is missing or not a technology.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""

    pristine_conductance: Siemens = Field(description="before forming")
    breakdown_voltage: Volts = Field(description="mean forming voltage at forming_width")
    breakdown_spread: Volts = Field(description="standard deviation of it from cell to cell")
    breakdown_slope: Volts = Field(description="its fall per tenfold pulse width")
    forming_width: Seconds = Field(description="reference width of a forming pulse")
    compliance_current: Amperes = Field(description="current at which forming and SET stop")

    high_conductance: Siemens = Field(description="median after forming or SET")
    high_device_spread: Spread = Field(description="ln-spread from cell to cell, frozen at birth")
    high_cycle_spread: Spread = Field(description="ln-spread from SET to SET of one cell")
    low_conductance: Siemens = Field(description="median after RESET")
    low_device_spread: Spread = Field(description="ln-spread from cell to cell, frozen at birth")
    low_cycle_spread: Spread = Field(description="ln-spread from RESET to RESET of one cell")

    read_noise: Fraction = Field(description="standard deviation of a read over the conductance")
    programming_error: Fraction = Field(
        description="standard deviation left by write-and-verify over high_conductance"
    )
    stuck_low_fraction: Fraction = Field(description="cells stuck low from birth")
    stuck_high_fraction: Fraction = Field(description="cells stuck high from birth")
    endurance: Count = Field(description="median SET and RESET pulses until a cell sticks")
    endurance_spread: Spread = Field(description="ln-spread of the endurance from cell to cell")

    read_voltage: Volts = Field(description="input of full scale")
    read_width: Seconds = Field(description="duration of one read")
    switching_voltage: Volts = Field(description="amplitude of SET and RESET pulses")
    switching_current: Amperes = Field(description="current during a SET or RESET pulse")
    switching_width: Seconds = Field(description="duration of a SET or RESET pulse")

    provenance: Mapping[str, str] = Field(default_factory=dict, repr=False, exclude=True)

    @classmethod
    def load(cls, source: "str | Path | Technology") -> "Technology":
        """A preset by its name, or a TOML file of the same layout by its path."""
        if isinstance(source, Technology):
            return source
        if isinstance(source, Path) or str(source).endswith(".toml"):
            return cls._parse(_read(Path(source)), where=str(source))
        if source not in presets():
            raise SettingError(
                f"There is no technology {source!r}",
                remedy=f"{nearest(source, presets())}; or give the path of a TOML file",
            )
        text = (_PRESETS / f"{source}.toml").read_text(encoding="utf-8")
        return cls._parse(text, where=f"preset {source}")

    @classmethod
    def _parse(cls, text: str, *, where: str) -> "Technology":
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FileError(
                f"Not a TOML file: {error}", where=where, remedy="Mend that line"
            ) from error
        values: dict[str, Any] = {}
        provenance: dict[str, str] = {}
        for key, entry in table.items():
            if key in _WORDS:
                values[key] = entry
                continue
            values[key] = _checked_value(key, entry, where=where)
            kind = "source" if "source" in entry else "assumption"
            provenance[key] = f"{kind}: {entry[kind]}"
        return _validated({**values, "provenance": provenance}, where=where)

    def with_values(self, **values: Any) -> "Technology":
        """The same technology with other numbers; their provenance becomes "set by the user"."""
        provenance = {**self.provenance, **dict.fromkeys(values, "assumption: set by the user")}
        merged = {**self.model_dump(), **values, "provenance": provenance}
        return _validated(merged, where=f"technology {self.name}")

    def parameters(self) -> list[tuple[str, float, str, str, str]]:
        """Rows (name, value, unit, meaning, provenance) of every number."""
        return [
            (name, getattr(self, name), unit_of(name), field.description or "",
             self.provenance.get(name, "assumption: not stated"))
            for name, field in type(self).model_fields.items()
            if name in _numbers()
        ]  # fmt: skip


def presets() -> list[str]:
    """Names of the technologies that come with secateur."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _PRESETS.iterdir()
        if entry.name.endswith(".toml")
    )


def unit_of(parameter: str) -> str:
    """The SI unit symbol of a technology's parameter."""
    marks = Technology.model_fields[parameter].metadata
    return next(mark.symbol for mark in marks if isinstance(mark, Unit))


def _numbers() -> list[str]:
    return [name for name in Technology.model_fields if name not in (*_WORDS, "provenance")]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"This technology cannot be read: {error}",
            where=str(path),
            remedy="Give the path of a TOML file, or one of: " + ", ".join(presets()),
        ) from error


def _checked_value(key: str, entry: Any, *, where: str) -> Any:
    if key not in _numbers():
        raise SettingError(
            f"{key!r} is no parameter of a technology", where=where,
            remedy=nearest(key, _numbers()),
        )  # fmt: skip
    unit = unit_of(key)
    if not isinstance(entry, dict):
        raise SettingError(
            f"{key} is {entry!r}, without a unit and an origin", where=where,
            remedy=f'Make it a table [{key}] with value, unit = "{unit}" and source or assumption',
        )  # fmt: skip
    if entry.get("unit") != unit:
        raise SettingError(
            f"{key} has unit {entry.get('unit')!r}, but {unit!r} is expected",
            where=where,
            remedy=f'Convert the value and write unit = "{unit}"',
        )
    if "value" not in entry or not ("source" in entry or "assumption" in entry):
        raise SettingError(
            f"{key} needs a value, and a source or an assumption",
            where=where,
            cause="a number without an origin cannot be trusted later",
            remedy='Add source = "..." or assumption = "..."',
        )
    return entry["value"]


def _validated(values: Mapping[str, Any], *, where: str) -> Technology:
    try:
        return Technology.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        what = f"{name} = {first['input']!r}: {first['msg']}"
        remedy = "See `secateur technologies taox-40nm`"
        if first["type"] == "missing":
            what = f"{name} is missing"
        elif first["type"] == "extra_forbidden":
            what, remedy = f"{name!r} is no parameter of a technology", nearest(name, _numbers())
        raise SettingError(what, where=where, remedy=remedy) from error
