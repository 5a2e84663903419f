"""What each weight gets of a setting: one value for all of them, or values by their names."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from secateur.errors import ModelError, SettingError, nearest
from secateur.network.survey import PlainWeight
from secateur.topology import keep_count

KeepFraction = float | Mapping[str, float]
PairsPerWeight = int | Mapping[str, int]

_MANY = 1 << 40  # edges, of which no share keeps none
_Value = TypeVar("_Value", int, float)


def shares_of(
    keep_fraction: KeepFraction, weights: Sequence[PlainWeight], *, edges: Sequence[int]
) -> list[float]:
    """The share of its edges that each weight keeps, by `_by_name`.

    Raises:
        SettingError: for shares that are no numbers in (0, 1] or keep none of as many `edges`, and
            as `_by_name`.
    """
    shares = _by_name(
        "keep_fraction", keep_fraction, weights, check=lambda share: keep_count(share, _MANY)
    )
    for weight, share, count in zip(weights, shares, edges, strict=True):
        try:
            keep_count(share, count)
        except SettingError as error:
            error.locate(weight.name)
            raise
    return shares


def pairs_of(pairs_per_weight: PairsPerWeight, weights: Sequence[PlainWeight]) -> list[int]:
    """The pairs that each weight is the sum of, by `_by_name`.

    Raises:
        ModelError: for several pairs of a layer that cannot have them.
        SettingError: for what is no whole number above 0, and as `_by_name`.
    """
    pairs = _by_name("pairs_per_weight", pairs_per_weight, weights, check=_check_pairs)
    for weight, count in zip(weights, pairs, strict=True):
        grouped = weight.inputs_first and weight.outputs > weight.value.shape[1]
        if count > 1 and grouped:
            raise ModelError(
                "A transposed convolution in groups has one pair a weight", where=weight.name,
                remedy="Leave its pairs_per_weight at 1, or the layer digital with `where`",
            )  # fmt: skip
    return pairs


def _check_pairs(pairs: int) -> None:
    if not isinstance(pairs, int) or isinstance(pairs, bool) or pairs < 1:
        raise SettingError(
            f"pairs_per_weight is {pairs!r}", remedy="Give a whole number, 1 or more"
        )


def _by_name(
    setting: str, value: _Value | Mapping[str, _Value], weights: Sequence[PlainWeight], *,
    check: Callable[[_Value], object],
) -> list[_Value]:  # fmt: skip
    """What each weight gets: the one value, or that of the first pattern that matches.

    A pattern (with * and ?) matches the name of a weight or of its layer.

    Raises:
        SettingError: as `check` does, for patterns that match nothing, weights without an entry,
            and layers that share a weight but not the entry.
    """
    if not isinstance(value, Mapping):
        check(value)
        return [value] * len(weights)
    for pattern, one in value.items():
        try:
            check(one)
        except SettingError as error:
            error.locate(f"the entry {pattern!r}")
            raise
    used: set[str] = set()
    values = [_entry(setting, value, weight, used) for weight in weights]
    if idle := [pattern for pattern in value if pattern not in used]:
        raise _idle(setting, idle[0], weights)
    return values


def _entry(
    setting: str, entries: Mapping[str, _Value], weight: PlainWeight, used: set[str]
) -> _Value:
    found: dict[str, _Value] = {}
    for name, layer in zip(weight.names, weight.layers, strict=True):
        pattern = next((p for p in entries if _matches(p, name, layer)), None)
        if pattern is not None:
            used.add(pattern)
            found[name] = entries[pattern]
    if not found:
        raise SettingError(
            f"{setting} has no entry for {weight.name!r}",
            remedy='Add one, or "*" at the end for all the others',
        )
    if len(set(found.values())) > 1:
        words = " and ".join(f"{name}: {value}" for name, value in found.items())
        raise SettingError(
            f"{setting} has two values for one shared weight ({words})",
            cause="these layers are tied, so their weight is one set of edges",
            remedy="Give one of them, or the same value",
        )
    return next(iter(found.values()))


def _matches(pattern: str, name: str, layer: str) -> bool:
    # The module that owns a weight may sit inside the layer: the output projection of attention.
    owner = name.rpartition(".")[0]
    return any(fnmatchcase(word, str(pattern)) for word in (name, layer, owner))


def _idle(setting: str, pattern: str, weights: Sequence[PlainWeight]) -> SettingError:
    pairs = [pair for w in weights for pair in zip(w.names, w.layers, strict=True)]
    names = [name for pair in pairs for name in pair]
    if any(_matches(pattern, name, layer) for name, layer in pairs):
        return SettingError(
            f"{setting} names {pattern!r}, but an entry before it matches the same weights",
            cause="the first entry that matches counts",
            remedy=f"Put {pattern!r} before the more general entry",
        )
    return SettingError(
        f"{setting} names {pattern!r}, which matches no weight",
        remedy=nearest(str(pattern), names),
    )
