"""A memory technology: the numbers of one kind of cell, each with its unit and source."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from secateur.device import layout
from secateur.device.laws import AnyDriftLaw, Law, ProgrammingLaw, ReadLaw
from secateur.device.units import (
    Amperes,
    Count,
    CountOrNone,
    Electronvolts,
    Fraction,
    Kelvin,
    Seconds,
    Siemens,
    Spread,
    Volts,
    unit_symbol,
)
from secateur.errors import SettingError, nearest, sentences

_PRESETS = resources.files("secateur.device") / "presets"


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
    breakdown_cells: CountOrNone = Field(
        description="cells whose breakdown was measured, of which the lowest is known; 0 for none"
    )
    breakdown_lowest: Volts = Field(description="forming voltage of the weakest of these cells")
    breakdown_slope: Volts = Field(description="its fall per tenfold pulse width")
    forming_width: Seconds = Field(description="reference width of a forming pulse")
    compliance_current: Amperes = Field(description="current at which forming and SET stop")

    high_conductance: Siemens = Field(description="median after forming or SET")
    high_device_spread: Spread = Field(description="ln-spread from cell to cell, frozen at birth")
    high_cycle_spread: Spread = Field(description="ln-spread from SET to SET of one cell")
    low_conductance: Siemens = Field(description="median after RESET")
    low_device_spread: Spread = Field(description="ln-spread from cell to cell, frozen at birth")
    low_cycle_spread: Spread = Field(description="ln-spread from RESET to RESET of one cell")

    read_noise: Fraction = Field(
        description="standard deviation of a read over the conductance, at high_conductance"
    )
    programming_error: Fraction = Field(
        description="standard deviation left by write-and-verify over high_conductance, there"
    )
    levels: CountOrNone = Field(
        description="levels that a write can ask for, low to high; 0 for any conductance"
    )
    stuck_low_fraction: Fraction = Field(description="cells stuck low from birth")
    stuck_high_fraction: Fraction = Field(description="cells stuck high from birth")
    broken_input_fraction: Fraction = Field(description="input lines open from birth")
    broken_output_fraction: Fraction = Field(description="output lines open from birth")
    endurance: Count = Field(description="median SET and RESET pulses until a cell sticks")
    endurance_spread: Spread = Field(description="ln-spread of the endurance from cell to cell")

    read_disturb: Fraction = Field(
        description="share of its gap to high_conductance that a read closes"
    )
    activation_energy: Electronvolts = Field(description="of ageing")
    reference_temperature: Kelvin = Field(description="at which the laws of time hold")

    read_voltage: Volts = Field(description="input of full scale")
    read_width: Seconds = Field(description="duration of one read")
    switching_voltage: Volts = Field(description="amplitude of SET and RESET pulses")
    switching_current: Amperes = Field(description="current during a SET or RESET pulse")
    switching_width: Seconds = Field(description="duration of a SET or RESET pulse")

    programming_law: ProgrammingLaw = Field(description="programming error over conductance")
    read_law: ReadLaw = Field(description="read noise over conductance and age")
    drift_law: AnyDriftLaw = Field(description="what time does to a conductance")

    provenance: Mapping[str, str] = Field(default_factory=dict, repr=False, exclude=True)

    @classmethod
    def load(cls, source: "str | Path | Technology") -> "Technology":
        """A preset by its name, or a TOML file of the same layout by its path."""
        if isinstance(source, Technology):
            return source
        if isinstance(source, Path) or str(source).endswith(".toml"):
            remedy = "Give the path of a TOML file, or one of: " + ", ".join(presets())
            return cls.parse(layout.read_text(Path(source), remedy=remedy), where=str(source))
        if source not in presets():
            raise SettingError(
                f"There is no technology {source!r}",
                remedy=sentences(nearest(source, presets()), "Or give the path of a TOML file"),
            )
        text = (_PRESETS / f"{source}.toml").read_text(encoding="utf-8")
        return cls.parse(text, where=f"preset {source}")

    @classmethod
    def parse(cls, text: str, *, where: str) -> "Technology":
        """A technology from the text of its file, as `toml` gives it; errors as `load`."""
        return _validated(layout.parse(text, fields=cls.model_fields, where=where), where=where)

    def toml(self) -> str:
        """A file that `load` reads, origins included."""
        return layout.compose(
            self.model_dump(), fields=type(self).model_fields, provenance=self.provenance
        )

    def identity(self) -> dict[str, str | float]:
        """What tells it from others, in plain JSON: numbers as they are, laws in words."""
        values = {name: getattr(self, name) for name in self.model_dump()}
        return {n: str(v) if isinstance(v, Law) else v for n, v in values.items()}

    def with_values(self, **values: Any) -> "Technology":
        """The same technology with other numbers; their provenance becomes "set by the user"."""
        return self.with_origin("assumption: set by the user", **values)

    def with_origin(self, origin: str | Mapping[str, str], **values: Any) -> "Technology":
        """The same technology with numbers that come from somewhere else: a model, a fit.

        Args:
            origin: "source: ..." or "assumption: ...", of all values or one for each.
            values: the numbers.
        """
        origins = dict.fromkeys(values, origin) if isinstance(origin, str) else origin
        provenance = {**self.provenance, **origins}
        merged = {**self.model_dump(), **values, "provenance": provenance}
        return _validated(merged, where=f"technology {self.name}")

    def parameters(self) -> list[tuple[str, float, str, str, str]]:
        """Rows (name, value, unit, meaning, provenance) of every number, laws apart."""
        return [
            (name, getattr(self, name), unit_of(name), field.description or "",
             self.provenance.get(name, "assumption: not stated"))
            for name, field in type(self).model_fields.items()
            if name in _numbers()
        ]  # fmt: skip

    def laws(self) -> list[layout.Row]:
        """Rows as `parameters`: of each law its word, then its numbers, which share its origin."""
        return [
            row
            for name, field in type(self).model_fields.items()
            if isinstance(law := getattr(self, name), Law)
            for row in layout.law_rows(
                name, law, meaning=field.description or "",
                provenance=self.provenance.get(name, "assumption: not stated"),
            )
        ]  # fmt: skip

    # --- Thin skins over the laws ----------------------------------------------------------------

    def read_deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """Standard deviation of one read in siemens, `age` seconds after a cell has settled.

        `programmed` is what its last pulse has left, where time has changed the conductance.
        """
        law, at = self.read_law, self.high_conductance
        return law.scaled(conductance, age, programmed, share=self.read_noise, at=at)

    def pair_deviation(
        self, cells: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """Standard deviation in siemens of the read difference of each pair of cells (n, 2)."""
        law, at = self.read_law, self.high_conductance
        return law.of_pairs(cells, age, programmed, share=self.read_noise, at=at)

    def written_deviation(self, conductance: Tensor) -> Tensor:
        """Standard deviation in siemens that write-and-verify leaves at each conductance."""
        law = self.programming_law
        return law.scaled(conductance, share=self.programming_error, at=self.high_conductance)

    @model_validator(mode="after")
    def _laws_speak_of_these_cells(self) -> "Technology":
        high = torch.tensor(self.high_conductance, dtype=torch.float64)
        for name, law in (("programming_law", self.programming_law), ("read_law", self.read_law)):
            if not float(law.deviation(high)) > 0.0:
                raise ValueError(f"{name} gives no deviation at high_conductance")
        return self


def presets() -> list[str]:
    """Names of the technologies that come with secateur."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in _PRESETS.iterdir()
        if entry.name.endswith(".toml")
    )


def unit_of(parameter: str) -> str:
    """The SI unit symbol of a technology's parameter."""
    symbol = unit_symbol(Technology.model_fields[parameter])
    if symbol is None:
        raise SettingError(f"{parameter} has no unit", remedy=nearest(parameter, _numbers()))
    return symbol


def _numbers() -> list[str]:
    return [name for name, field in Technology.model_fields.items() if unit_symbol(field)]


def _validated(values: Mapping[str, Any], *, where: str) -> Technology:
    try:
        return Technology.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        what = f"{name} = {first['input']!r}: {first['msg']}" if name else first["msg"]
        remedy = "See `secateur technologies taox-40nm`"
        if first["type"] == "missing":
            what = f"{name} is missing"
        elif first["type"] == "extra_forbidden":
            what, remedy = f"{name!r} is no parameter of a technology", nearest(name, _numbers())
        raise SettingError(what, where=where, remedy=remedy) from error
