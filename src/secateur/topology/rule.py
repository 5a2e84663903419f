"""A topology rule: from scores to the next mask.

A rule sees the scores and masks of all weights in one call, so that it can compare within a
layer or across the whole network. Every rule keeps an exact number of edges.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from secateur.errors import SettingError
from secateur.topology.select import (
    Values,
    flat_mask,
    kth_largest,
    magnitudes,
    number,
    places,
    split_like,
    top_k,
)

Scope = Literal["layer", "global"]


class Rule(ABC):
    """Decides which edges are kept. `testing.RuleContract` holds what every rule must obey."""

    def at(self, update: int) -> "Rule":
        """The rule as it stands at a mask update (0 is the first): itself, unless it changes."""
        return self

    def after(self, spent: Callable[[], Sequence[Tensor]]) -> "Rule":
        """The rule for edges that have been flipped that often: itself, unless it looks.

        Args:
            spent: gives int tensors shaped as the scores: pulses that each edge has cost a cell.
        """
        return self

    @property
    def by_weight(self) -> bool:
        """Whether every weight keeps its own count, not only all of them together."""
        return True

    @abstractmethod
    def first(self, scores: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
        """The first masks: boolean, shaped as the scores, `sum(counts)` kept in all."""

    @abstractmethod
    def next(
        self, scores: Sequence[Tensor], masks: Sequence[Tensor], counts: Sequence[int]
    ) -> list[Tensor]:
        """The masks that follow `masks`; the arguments are left as they are."""


@dataclass(frozen=True)
class TopK(Rule):
    """The edges with the largest |score|, with a dead band that spares pulses.

    An edge changes sides only where its |score| is beyond the threshold by the relative
    `dead_band`, and edges enter and leave in equal numbers, best against worst: the kept count
    never drifts. With `dead_band` 0 this is the plain top-k.

    Args:
        scope: "layer" keeps each weight's own count, "global" compares all scores of the network.
        dead_band: relative half width of the band around the threshold, 0 or more.
        narrowing: mask updates over which the band falls to nothing along half a cosine, as a
            learning rate does: what still moves at the end is meant. 0: it stays as it is.

    Raises:
        SettingError: for a negative dead band or narrowing, or an unknown scope.
    """

    scope: Scope = "layer"
    dead_band: float = 0.0
    narrowing: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.dead_band < 1.0:
            raise SettingError(f"dead_band is {self.dead_band}", remedy="Give 0 or more, below 1")
        if self.narrowing < 0:
            raise SettingError(
                f"narrowing is {self.narrowing}", remedy="Give 0 or more mask updates"
            )
        if self.scope not in ("layer", "global"):
            raise SettingError(f"scope is {self.scope!r}", remedy='Give "layer" or "global"')

    def at(self, update: int) -> "TopK":
        """See `Rule.at`: with the dead band that is left."""
        if not self.narrowing:
            return self
        left = 0.5 * (1.0 + math.cos(math.pi * min(update / self.narrowing, 1.0)))
        return replace(self, dead_band=self.dead_band * left, narrowing=0)

    @property
    def by_weight(self) -> bool:
        """See `Rule.by_weight`."""
        return self.scope == "layer"

    def first(self, scores: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
        """The plain top-k."""
        if self.scope == "layer":
            return [top_k(s, count) for s, count in zip(scores, counts, strict=True)]
        flat = torch.cat([s.detach().reshape(-1) for s in scores])
        return split_like(top_k(flat, sum(counts)), scores)

    def next(
        self, scores: Sequence[Tensor], masks: Sequence[Tensor], counts: Sequence[int]
    ) -> list[Tensor]:
        """The next masks, with the dead band around each threshold."""
        if self.scope == "layer":
            triples = zip(scores, masks, counts, strict=True)
            return [swap_across_band(s, m, n, dead_band=self.dead_band) for s, m, n in triples]
        flat = torch.cat([s.detach().reshape(-1) for s in scores])
        mask = torch.cat([m.reshape(-1) for m in masks])
        swapped = swap_across_band(flat, mask, sum(counts), dead_band=self.dead_band)
        return split_like(swapped, scores)


def swap_across_band(scores: Tensor, mask: Tensor, count: int, *, dead_band: float) -> Tensor:
    """The next mask with exactly `count` kept, of which only scores beyond the band have changed.

    Where the count itself has changed (a schedule), the best pruned or the worst kept edges make
    up the difference, whatever the band.

    Args:
        scores: any shape.
        mask: boolean, the same shape; kept edges.
        count: how many to keep.
        dead_band: relative half width of the band around the top-k threshold.
    """
    if dead_band == 0.0 or count == 0:
        return top_k(scores, count)
    magnitude, kept = magnitudes(scores), flat_mask(mask)
    threshold = kth_largest(magnitude, count)
    # The few on the wrong side of the threshold are all that the band has to look at.
    wrong = places((magnitude >= threshold) ^ kept)
    leaves, size = kept[wrong], magnitude[wrong]
    leaving = wrong[leaves & (size < threshold * (1.0 - dead_band))]
    entering = wrong[~leaves & (size > threshold * (1.0 + dead_band))]
    changed = kept.copy() if isinstance(kept, np.ndarray) else kept.clone()
    surplus = number(kept) - count
    if not surplus:
        swaps = min(len(leaving), len(entering))
        leaving = _extreme(magnitude, leaving, swaps, largest=False)
        entering = _extreme(magnitude, entering, swaps, largest=True)
    changed[leaving], changed[entering] = False, True
    if surplus:
        _meet_count(magnitude, changed, surplus - len(leaving) + len(entering))
    return torch.as_tensor(changed).view(mask.shape)


def _extreme(magnitude: Values, candidates: Values, chosen: int, *, largest: bool) -> Values:
    """The candidates of largest or smallest magnitude; earlier places first on ties."""
    if chosen == len(candidates):
        return candidates
    order = (magnitude[candidates] * (-1.0 if largest else 1.0)).argsort(stable=True)
    return candidates[order[:chosen]]


def _meet_count(magnitude: Values, changed: Values, surplus: int) -> None:
    """Drops the worst kept edges or adds the best pruned ones, in place, until the count is met."""
    movable = places(changed if surplus > 0 else ~changed)
    changed[_extreme(magnitude, movable, abs(surplus), largest=surplus < 0)] = surplus < 0
