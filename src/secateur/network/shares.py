"""Which share of its edges each weight keeps."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from secateur.errors import SettingError, nearest
from secateur.network.survey import PlainWeight
from secateur.topology import keep_count

_MANY = 1 << 40  # edges, of which no share keeps none

KeepFraction = float | Mapping[str, float]


def shares_of(
    keep_fraction: KeepFraction, weights: Sequence[PlainWeight], *, edges_per_weight: int
) -> list[float]:
    """The share of each weight: the one number, or that of the first pattern that matches.

    A pattern (with * and ?) matches the name of a weight or of its layer.

    Raises:
        SettingError: for shares that are no numbers in (0, 1], patterns that match nothing,
            weights without an entry, and layers that share a weight but not the entry.
    """
    if not isinstance(keep_fraction, Mapping):
        keep_count(keep_fraction, _MANY)
        shares = [keep_fraction] * len(weights)
    else:
        for pattern, share in keep_fraction.items():
            _count(share, _MANY, where=f"the entry {pattern!r}")
        used: set[str] = set()
        shares = [_share(keep_fraction, weight, used) for weight in weights]
        if idle := [pattern for pattern in keep_fraction if pattern not in used]:
            raise _idle(idle[0], weights)
    for weight, share in zip(weights, shares, strict=True):
        _count(share, weight.value.numel() * edges_per_weight, where=weight.name)
    return shares


def _count(share: float, edges: int, *, where: str) -> None:
    try:
        keep_count(share, edges)
    except SettingError as error:
        error.locate(where)
        raise


def _share(keep_fraction: Mapping[str, float], weight: PlainWeight, used: set[str]) -> float:
    found: dict[str, float] = {}
    for name, layer in zip(weight.names, weight.layers, strict=True):
        pattern = next((p for p in keep_fraction if _matches(p, name, layer)), None)
        if pattern is not None:
            used.add(pattern)
            found[name] = keep_fraction[pattern]
    if not found:
        raise SettingError(
            f"keep_fraction has no entry for {weight.name!r}",
            remedy='Add one, or "*" at the end for all the others',
        )
    if len(set(found.values())) > 1:
        words = " and ".join(f"{name}: {share}" for name, share in found.items())
        raise SettingError(
            f"keep_fraction has two values for one shared weight ({words})",
            cause="these layers are tied, so their weight is one set of edges",
            remedy="Give one of them, or the same value",
        )
    return next(iter(found.values()))


def _matches(pattern: str, name: str, layer: str) -> bool:
    # The module that owns a weight may sit inside the layer: the output projection of attention.
    owner = name.rpartition(".")[0]
    return any(fnmatchcase(word, str(pattern)) for word in (name, layer, owner))


def _idle(pattern: str, weights: Sequence[PlainWeight]) -> SettingError:
    pairs = [pair for w in weights for pair in zip(w.names, w.layers, strict=True)]
    names = [name for pair in pairs for name in pair]
    if any(_matches(pattern, name, layer) for name, layer in pairs):
        return SettingError(
            f"keep_fraction names {pattern!r}, but an entry before it matches the same weights",
            cause="the first entry that matches counts",
            remedy=f"Put {pattern!r} before the more general entry",
        )
    return SettingError(
        f"keep_fraction names {pattern!r}, which matches no weight",
        remedy=nearest(str(pattern), names),
    )
