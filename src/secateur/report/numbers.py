"""Numbers as the page writes them: few digits, real minus signs, thin spaces, SI prefixes."""

import math
from collections.abc import Mapping

from secateur.report.reading import Statistic

DASH = "–"
THIN = "\u202f"
MINUS = "\u2212"
PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction of 1 as a percentage: 0.9123 → "91.2 %"."""
    return DASH if value is None else f"{percent_number(value, digits)}{THIN}%"


def percent_number(value: float | None, digits: int = 1) -> str:
    """A fraction of 1 as a percentage without its sign: 0.9123 → "91.2"."""
    return DASH if value is None else signed(f"{100 * value:.{digits}f}")


def points(value: float | None) -> str:
    """A difference of fractions in percentage points, signed: -0.011 → "−1.1"."""
    if value is None:
        return DASH
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else signed(text)


def interval_percent(statistic: Statistic | None, digits: int = 1) -> str:
    """The 95 % interval in percent: "90.5 – 91.9"."""
    if statistic is None or statistic.interval is None:
        return DASH
    low, high = statistic.interval
    return f"{percent_number(low, digits)} – {percent_number(high, digits)}"


def plain(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits, whole numbers grouped by thin spaces."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == int(value) or abs(value) >= 10 ** (digits - 1):
        return signed(f"{round(value):,}".replace(",", THIN))
    return signed(f"{value:.{digits}g}")


def count(value: float | None) -> str:
    """A count rounded to a whole number: 124544.3 → "124 544"."""
    return DASH if value is None else signed(f"{round(value):,}".replace(",", THIN))


def with_prefix(value: float | None, unit: str) -> str:
    """A quantity with an SI prefix: 1.23e-5 J → "12.3 µJ"."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return f"0{THIN}{unit}"
    power = min(max(3 * math.floor(math.log10(abs(value)) / 3), min(PREFIXES)), max(PREFIXES))
    return f"{plain(value / 10**power)}{THIN}{PREFIXES[power]}{unit}"


def duration(seconds: float | None) -> str:
    """A time as a person says it: 81.2 → "1 min 21 s"."""
    if seconds is None:
        return DASH
    if seconds < 60:
        return f"{seconds:.1f}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest}{THIN}s"


def signed(text: str) -> str:
    """The text with its hyphens as minus signs."""
    return text.replace("-", MINUS)


def number_of(amount: int, thing: str, things: str = "") -> str:
    """An amount with its noun: "1 chip", "3 chips"."""
    return f"{amount} {thing if amount == 1 else things or thing + 's'}"


def value_words(value: object) -> str:
    """A setting's value as a person reads it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return signed(f"{value:.6g}")
    if isinstance(value, int):
        return signed(str(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(value_words(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_words(item)}" for key, item in value.items()) or "none"
    return str(value)
