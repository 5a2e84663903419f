"""A topology rule: from scores to the next mask.

A rule sees the scores and masks of all weights in one call, so that it can compare within a
layer or across the whole network. Every rule keeps an exact number of edges.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from secateur.errors import SettingError
from secateur.topology.select import kth_largest, split_like, top_k

Scope = Literal["layer", "global"]


class Rule(ABC):
    """Decides which edges are kept. `testing.RuleContract` holds what every rule must obey."""

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

    Raises:
        SettingError: for a negative dead band or an unknown scope.
    """

    scope: Scope = "layer"
    dead_band: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.dead_band < 1.0:
            raise SettingError(f"dead_band is {self.dead_band}", remedy="Give 0 or more, below 1")
        if self.scope not in ("layer", "global"):
            raise SettingError(f"scope is {self.scope!r}", remedy='Give "layer" or "global"')

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
    if dead_band == 0.0:
        return top_k(scores, count)
    magnitude = scores.detach().abs().reshape(-1)
    threshold = float(kth_largest(magnitude, count))
    kept = mask.reshape(-1)
    surplus = int(kept.sum()) - count
    leaving = (kept & (magnitude < threshold * (1.0 - dead_band))).nonzero().squeeze(1)
    entering = (magnitude > threshold * (1.0 + dead_band)).logical_and_(~kept).nonzero().squeeze(1)
    if surplus:
        return _meet_count(magnitude, kept, surplus, leaving, entering).view(mask.shape)
    swaps = min(leaving.numel(), entering.numel())
    changed = kept.clone()
    if swaps:
        changed[_extreme(magnitude, leaving, swaps, largest=False)] = False
        changed[_extreme(magnitude, entering, swaps, largest=True)] = True
    return changed.view(mask.shape)


def _extreme(magnitude: Tensor, places: Tensor, number: int, *, largest: bool) -> Tensor:
    """The `number` places of largest or smallest magnitude; earlier places first on ties."""
    if number == places.numel():
        return places
    order = torch.sort(magnitude[places], descending=largest, stable=True).indices
    return places[order[:number]]


def _meet_count(
    magnitude: Tensor, kept: Tensor, surplus: int, leaving: Tensor, entering: Tensor
) -> Tensor:
    """Swaps what the band allows, then drops the worst or adds the best until the count is met."""
    changed = kept.clone()
    changed[leaving], changed[entering] = False, True
    surplus = surplus - leaving.numel() + entering.numel()
    if surplus:
        movable = (changed if surplus > 0 else ~changed).nonzero().squeeze(1)
        chosen = _extreme(magnitude, movable, abs(surplus), largest=surplus < 0)
        changed[chosen] = surplus < 0
    return changed
