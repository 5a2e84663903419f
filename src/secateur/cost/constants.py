"""The constants of the cost models: each with its unit, its range, and where it comes from."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from secateur.errors import FileError

UNITS = ("J", "s", "m2", "1")
_FILE = resources.files("secateur.cost") / "constants.toml"


@dataclass(frozen=True)
class Constant:
    """One number of a model.

    Args:
        name: as the model calls it.
        value: in SI units.
        low: lower end of the range that it may lie in.
        high: upper end of that range.
        unit: its symbol; "1" for a pure number.
        meaning: what it is.
        provenance: "source: ..." or "assumption: ...".
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    meaning: str
    provenance: str


@dataclass(frozen=True)
class Claim:
    """What the paper says of one of its tasks, and the shape of its network.

    Args:
        task: its name.
        macs: multiply-accumulates of one inference.
        column_outputs: sums that columns give in one.
        input_bits: bit-planes of every input.
        preprint: share of the GPU's energy that is saved, as in arXiv 2311.07164.
        journal: the same in Nature Communications, 2026.
    """

    task: str
    macs: int
    column_outputs: int
    input_bits: int
    preprint: float
    journal: float

    def implied_column_energy(self, saving: float, *, gpu_operation: float) -> float:
        """Joules per column output and bit-plane at which a saving comes out."""
        digital = 2 * self.macs * gpu_operation
        return (1.0 - saving) * digital / (self.column_outputs * self.input_bits)


def constants(*sections: str) -> dict[str, Constant]:
    """The constants of some sections of the file, by name."""
    return {
        name: _constant(name, entry)
        for section in sections
        for name, entry in _table()[section].items()
    }


def claims() -> dict[str, Claim]:
    """What was published, by task."""
    return {task: Claim(task, **entry) for task, entry in _table()["published"].items()}


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def _constant(name: str, entry: dict[str, Any]) -> Constant:
    kind = "source" if "source" in entry else "assumption"
    try:
        value, low, high = (float(entry[key]) for key in ("value", "low", "high"))
        words = entry["unit"], entry["meaning"], f"{kind}: {entry[kind]}"
    except KeyError as error:
        raise _unusable(name, f"has no {error.args[0]}") from error
    if entry["unit"] not in UNITS or not 0.0 <= low <= value <= high:
        raise _unusable(name, "has a value outside its range, or an unknown unit")
    return Constant(name, value, low, high, *words)


def _unusable(name: str, what: str) -> FileError:
    return FileError(
        f"The constant {name} {what}", where="secateur/cost/constants.toml",
        cause="the installed file was changed", remedy="Install secateur anew",
    )  # fmt: skip
