"""The space of a sweep: what each setting may be, and the points that are taken from it."""

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from secateur.errors import SettingError
from secateur.experiment.recipe import parse_value
from secateur.keyed import key_of

Value: TypeAlias = float | int | str | bool
Point: TypeAlias = dict[str, Any]

# What belongs to the run as a whole, and would change no trial.
_OF_THE_RUN = ("run", "arms", "stress")


@dataclass(frozen=True)
class Range:
    """Every number from `low` to `high`; whole numbers where both ends are.

    Args:
        low: lower end, included.
        high: upper end, included.
        logarithmic: drawn evenly in the logarithm.

    Raises:
        SettingError: for ends that are no range.
    """

    low: float
    high: float
    logarithmic: bool = False

    def __post_init__(self) -> None:
        ends = f"{self.low}..{self.high}"
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not finite or not self.low < self.high:
            raise SettingError(f"{ends} is no range", remedy="Write the lower end first")
        if self.logarithmic and self.low <= 0:
            raise SettingError(
                f"{ends} has no logarithm at its lower end", remedy="Begin above 0, or leave :log"
            )

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> int | None:
        """How many numbers it holds; None where not only whole ones."""
        return int(self.high) - int(self.low) + 1 if self.whole else None

    def draw(self, randomness: random.Random) -> float:
        """One of its numbers."""
        low, high = self.low, self.high
        if self.whole and not self.logarithmic:
            return randomness.randint(int(low), int(high))
        if not self.logarithmic:
            return randomness.uniform(low, high)
        drawn = math.exp(randomness.uniform(math.log(low), math.log(high)))
        return round(drawn) if self.whole else min(max(drawn, low), high)


@dataclass(frozen=True)
class Space:
    """Settings by their dotted paths, each with its values or its range.

    Args:
        settings: at least one.

    Raises:
        SettingError: for no settings, none or equal values, and paths that no trial heeds.
    """

    settings: Mapping[str, tuple[Value, ...] | Range]

    def __post_init__(self) -> None:
        if not self.settings:
            raise SettingError(
                "Nothing is swept",
                remedy="Say what with --over PATH=V1,V2,..., or use `secateur run`",
            )
        for path, values in self.settings.items():
            if path.partition(".")[0] in _OF_THE_RUN:
                raise SettingError(
                    f"{path} is no setting of a single trial", where="--over",
                    remedy="Set it for the whole sweep with --set or its option",
                )  # fmt: skip
            if path == "chip.address":
                raise SettingError(
                    "A sweep cannot go from board to board", where="--over",
                    cause="several workers would pulse a board at once, and it has one owner",
                    remedy="Sweep simulated chips, then run `secateur run` once with each board",
                )  # fmt: skip
            if isinstance(values, tuple):
                _check_values(path, values)

    @property
    def size(self) -> int | None:
        """How many points it has; None with a range in it that is not of whole numbers."""
        sizes = [len(v) if isinstance(v, tuple) else v.size for v in self.settings.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def heeded(self, heeds: Any) -> "Space | None":
        """The part of it whose paths satisfy `heeds`; None if none does."""
        kept = {path: values for path, values in self.settings.items() if heeds(path)}
        return Space(kept) if kept else None

    def mapped(self, change: Callable[[str, Value], Value]) -> "Space":
        """A space of other values, each made of a path and a value; ranges stay as they are."""
        return Space({
            path: v if isinstance(v, Range) else tuple(change(path, value) for value in v)
            for path, v in self.settings.items()
        })  # fmt: skip

    def grid(self) -> Iterator[Point]:
        """Every combination, the last setting changing fastest.

        Raises:
            SettingError: with a range in it.
        """
        listed = {path: v for path, v in self.settings.items() if isinstance(v, tuple)}
        for path in self.settings.keys() - listed.keys():
            raise SettingError(
                f"{path} has a range, which is no list of values", where="--over",
                remedy="Name values, or draw from it with --random N or --optimise METRIC",
            )  # fmt: skip
        return (dict(zip(listed, p, strict=True)) for p in itertools.product(*listed.values()))

    def draws(self, number: int, *, seed: int) -> Iterator[Point]:
        """So many different points; those of a smaller number come first in a larger one.

        Raises:
            SettingError: where the space has no more points than that.
        """
        if number < 1:
            raise SettingError(f"--random {number} draws nothing", remedy="Draw at least 1")
        if self.size is not None and number > self.size:
            raise SettingError(
                f"--random {number} of a space of {self.size} combinations",
                remedy="Draw fewer, or give more values or wider ranges",
            )
        return itertools.islice(self._different(seed), number)

    def _different(self, seed: int) -> Iterator[Point]:
        seen: set[str] = set()
        for count in itertools.count():
            randomness = random.Random(key_of(seed, "sweep", count))
            point = {
                path: randomness.choice(values)
                if isinstance(values, tuple)
                else values.draw(randomness)
                for path, values in self.settings.items()
            }
            # As words: 1, 1.0 and true are three values, and equal to Python.
            if (key := json.dumps(point)) not in seen:
                seen.add(key)
                yield point

    def table(self) -> dict[str, Any]:
        """As plain JSON values: `Space.parse` of it gives an equal space."""
        return {
            path: {"low": v.low, "high": v.high, "logarithmic": v.logarithmic}
            if isinstance(v, Range)
            else list(v)
            for path, v in self.settings.items()
        }

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> "Space":
        """A space from what `table` gives."""
        return cls({p: Range(**v) if isinstance(v, dict) else tuple(v) for p, v in table.items()})

    @classmethod
    def from_words(cls, texts: Sequence[str]) -> "Space":
        """A space from texts such as `path=v1,v2`, `path=0.1..0.9` and `path=1e-4..1:log`.

        Raises:
            SettingError: for other texts, and paths given twice.
        """
        settings: dict[str, tuple[Value, ...] | Range] = {}
        for text in texts:
            path, _, words = (part.strip() for part in text.partition("="))
            if not path or not words:
                raise SettingError(
                    f"--over {text!r} names no values",
                    remedy="Write path=value,value or path=low..high, as in "
                    "search.keep_fraction=0.3,0.5 or training.learning_rate=0.01..1:log",
                )
            if path in settings:
                raise SettingError(
                    f"{path} is swept twice", where="--over", remedy="Name its values in one --over"
                )
            settings[path] = _range(words) or tuple(values_of(words))
        return cls(settings)


def values_of(words: str) -> list[Any]:
    """A TOML array, a table, or values between commas."""
    whole = parse_value(words) if words.startswith(("[", "{")) else None
    if isinstance(whole, (list, dict)):
        return whole if isinstance(whole, list) else [whole]
    return [parse_value(word.strip()) for word in words.split(",")] if words else []


def _range(words: str) -> Range | None:
    ends, _, scale = words.partition(":")
    low, dots, high = (part.strip() for part in ends.partition(".."))
    if not dots:
        return None
    numbers = [parse_value(low), parse_value(high)]
    known = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    if not known or scale.strip() not in ("", "log"):
        raise SettingError(
            f"{words!r} is no range", where="--over",
            remedy="Write low..high or low..high:log, as in 0.01..1:log",
        )  # fmt: skip
    return Range(numbers[0], numbers[1], scale.strip() == "log")


def _check_values(path: str, values: tuple[Value, ...]) -> None:
    if not values:
        raise SettingError(f"{path} has no values", where="--over", remedy="Name at least one")
    for value in values:
        if not isinstance(value, (bool, int, float, str)):
            raise SettingError(
                f"{path} = {value!r} is no single value", where="--over",
                remedy="Name numbers, words, true or false",
            )  # fmt: skip
    twice = [v for n, v in enumerate(values) if (type(v), v) in {(type(w), w) for w in values[:n]}]
    if twice:
        raise SettingError(
            f"{path} has the value {twice[0]!r} twice", where="--over", remedy="Name it once"
        )
