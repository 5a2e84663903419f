"""The search while it runs: scores move, masks follow, the chip is pulsed where a mask changed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from secateur.chip import Chip
from secateur.errors import SettingError
from secateur.network.weight import PrunedWeight
from secateur.topology import Annealed, Rule, keep_count


class Search:
    """Brings the chip to what the scores ask for, before a training forward pass reads it.

    Scores count as changed when an optimizer (or anything else) has written to them since the
    last look; unchanged scores cost nothing. Evaluation never sends a pulse.

    Args:
        chip: that holds all the weights.
        rule: from scores to masks.
        schedule: of the kept fraction.
        interval: mask updates happen at every interval-th change of the scores.
    """

    def __init__(self, chip: Chip, *, rule: Rule, schedule: Annealed, interval: int) -> None:
        if interval < 1:
            raise SettingError(f"interval is {interval}", remedy="Give 1 or more steps")
        self.chip, self.rule, self.schedule, self.interval = chip, rule, schedule, interval
        self.weights: list[PrunedWeight] = []
        self.keep_fractions: list[float] = []
        self.changes = 0
        self.restoring = False
        self._versions: tuple[int, ...] = ()
        self._deployed: list[Tensor] = []

    def add(self, weight: PrunedWeight, keep_fraction: float) -> None:
        """Takes a weight, deployed as its mask says, into the search."""
        keep_count(keep_fraction, weight.edges)
        self.weights.append(weight)
        self.keep_fractions.append(keep_fraction)
        self._deployed.append(weight.mask)
        weight.search = self
        weight.register_load_state_dict_post_hook(self._after_loading)
        self._versions = self._current()

    def counts(self) -> list[int]:
        """Edges to keep in each weight at this point of the schedule."""
        update = self.changes // self.interval
        return [
            keep_count(self.schedule.keep_fraction(asked, update), weight.edges)
            for asked, weight in zip(self.keep_fractions, self.weights, strict=True)
        ]

    @torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
    @torch.no_grad()
    def settle(self) -> None:
        """Selects again and pulses the edges that changed sides, if the scores have changed."""
        versions = self._current()
        if versions == self._versions:
            return
        self._versions = versions
        self.changes += 1
        if self.changes % self.interval:
            return
        scores = [weight.scores for weight in self.weights]
        masks = [weight.mask for weight in self.weights]
        self.deploy(self.rule.next(scores, masks, self.counts()))

    @torch.no_grad()
    def deploy(self, masks: Sequence[Tensor]) -> None:
        """Pulses the chip from the masks it holds to the given ones: RESETs, then SETs."""
        lowered, raised, edges_raised = [], [], []
        for weight, held, mask in zip(self.weights, self._deployed, masks, strict=True):
            flipped = (held.to(mask.device) != mask).view(-1).nonzero().squeeze(1)
            up = mask.view(-1)[flipped]
            edges = flipped[up]
            weight.flips += flipped.numel()
            edges_raised.append(edges)
            raised.append(weight.cells_of(edges))
            lowered.append(weight.cells_of(flipped[~up]))
        self.chip.reset(torch.cat(lowered))
        self.chip.set(torch.cat(raised))
        for n, (weight, mask, edges) in enumerate(
            zip(self.weights, masks, edges_raised, strict=True)
        ):
            if edges.numel():
                weight.note_kept(edges)
            weight.mask = self._deployed[n] = mask

    def resume(self) -> None:
        """Takes what the weights' masks say as already deployed: the chip is restored too."""
        self._deployed = [weight.mask for weight in self.weights]
        self._versions = self._current()

    def _current(self) -> tuple[int, ...]:
        return tuple(weight.scores._version for weight in self.weights)

    def _after_loading(self, *_: object) -> None:
        if self.restoring:
            return
        # A loaded mask is a wish until the chip has been pulsed into it.
        self.deploy([weight.mask for weight in self.weights])
