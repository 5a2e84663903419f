"""Numbers as the terminal shows them."""

import math

NONE = "-"
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def quantity(value: float | None, unit: str, *, digits: int = 3) -> str:
    """A value with an SI prefix: 1.23e-5 J is "12.3 µJ". Pure numbers have the unit "1"."""
    if value is None:
        return NONE
    if unit == "1":
        return f"{value:.{digits}g}"
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    rounded = float(f"{value:.{digits - 1}e}")
    power = 3 * math.floor(math.log10(abs(rounded)) / 3)
    power = min(max(power, min(_PREFIXES)), max(_PREFIXES))
    return f"{rounded / 10.0**power:.{digits}g} {_PREFIXES[power]}{unit}"


def percent(value: float | None, half_width: float | None = None) -> str:
    """A fraction of 1 as a percentage, with the half width of its interval where there is one."""
    if value is None:
        return NONE
    spread = "" if half_width is None else f" ± {100 * half_width:.2f}"
    return f"{100 * value:.2f}{spread} %"


def count(value: float | None) -> str:
    """A count to the nearest whole number, in groups of three digits."""
    return NONE if value is None else f"{value:,.0f}".replace(",", " ")


def ratio(value: float | None) -> str:
    """A number to two places."""
    return NONE if value is None else f"{value:.2f}"
