"""What may be done for a model whose memory has aged, without a pulse: objects that compose."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from secateur.chip import column_scale, global_scale
from secateur.errors import SettingError, nearest
from secateur.network import Scale, compensate_

Renew = Callable[[nn.Module], None]


@dataclass(frozen=True)
class Means:
    """What a remedy may use.

    Args:
        fresh: the model's `calibration_currents`, taken before anything happened to it.
        renew: takes a model's norm statistics anew.
    """

    fresh: Mapping[str, Tensor]
    renew: Renew


class Remedy(ABC):
    """Something done to a model in place; no pulse is sent."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What it does, for tables."""

    @abstractmethod
    def apply(self, model: nn.Module, means: Means) -> None:
        """Does it."""


@dataclass(frozen=True)
class Compensated(Remedy):
    """Outputs are multiplied by what the arrays have lost: see `compensate_`."""

    scale: Scale
    per: str

    @property
    def words(self) -> str:
        """By what."""
        return f"drift compensated by {self.per}"

    def apply(self, model: nn.Module, means: Means) -> None:
        """See `Remedy.apply`."""
        compensate_(model, means.fresh, scale=self.scale)


@dataclass(frozen=True)
class RenewedNorms(Remedy):
    """The norms' statistics are taken anew."""

    words: str = field(default="norms renewed", init=False)

    def apply(self, model: nn.Module, means: Means) -> None:
        """See `Remedy.apply`."""
        means.renew(model)


@dataclass(frozen=True)
class InTurn(Remedy):
    """One remedy after another."""

    remedies: tuple[Remedy, ...]

    @property
    def words(self) -> str:
        """Of each."""
        return ", ".join(remedy.words for remedy in self.remedies)

    def apply(self, model: nn.Module, means: Means) -> None:
        """See `Remedy.apply`."""
        for remedy in self.remedies:
            remedy.apply(model, means)


REMEDIES: dict[str, Remedy] = {
    "global": Compensated(global_scale, "array"),
    "column": Compensated(column_scale, "column"),
    "norms": RenewedNorms(),
}


def remedy_named(name: str) -> Remedy:
    """The remedy of that name; names joined by + are done in turn.

    Raises:
        SettingError: for an unknown name.
    """
    found = []
    for part in name.split("+"):
        if part.strip() not in REMEDIES:
            raise SettingError(
                f"There is no remedy {part.strip()!r}", where=f"stress.remedies: {name!r}",
                remedy=nearest(part.strip(), REMEDIES),
            )  # fmt: skip
        found.append(REMEDIES[part.strip()])
    return found[0] if len(found) == 1 else InTurn(tuple(found))
