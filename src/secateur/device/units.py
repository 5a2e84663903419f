"""Numbers with their SI unit and their limits, as pydantic checks them."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Unit:
    """The SI unit of a parameter; "1" for a pure number."""

    symbol: str


Siemens = Annotated[float, Unit("S"), Field(ge=0.0, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
Coefficients = Annotated[tuple[_Finite, ...], Unit("S"), Field(min_length=1)]
Volts = Annotated[float, Unit("V"), Field(ge=0.0, allow_inf_nan=False)]
Amperes = Annotated[float, Unit("A"), Field(gt=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Unit("s"), Field(gt=0.0, allow_inf_nan=False)]
Kelvin = Annotated[float, Unit("K"), Field(gt=0.0, allow_inf_nan=False)]
# Not of the SI but accepted for use with it, and what every Arrhenius plot is labelled with.
Electronvolts = Annotated[float, Unit("eV"), Field(ge=0.0, le=10.0)]
Fraction = Annotated[float, Unit("1"), Field(ge=0.0, le=1.0)]
Spread = Annotated[float, Unit("1"), Field(ge=0.0, le=3.0)]
Count = Annotated[float, Unit("1"), Field(gt=0.0)]
CountOrNone = Annotated[float, Unit("1"), Field(ge=0.0, allow_inf_nan=False)]
Number = Annotated[float, Unit("1"), Field(allow_inf_nan=False)]


def unit_symbol(field: FieldInfo) -> str | None:
    """The unit of a field, None where it has none."""
    return next((mark.symbol for mark in field.metadata if isinstance(mark, Unit)), None)
