"""The search while it runs: scores move, masks follow, the chip is pulsed where a mask changed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from secateur.chip import Chip
from secateur.errors import SettingError
from secateur.network.weight import PrunedWeight, cells_of, weight_of_cells
from secateur.topology import Annealed, Rule, keep_count


class Search:
    """Brings the chip to what the scores ask for, before a training forward pass reads it.

    Scores count as changed when an optimizer (or anything else) has written to them since the
    last look; unchanged scores cost nothing. Evaluation never sends a pulse. The edges of all
    weights are numbered through, in the order of their cells, so that a step is one command of
    each kind whatever the number of weights.

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
        self._edges: list[int] = []
        self._versions: tuple[int, ...] = ()
        self._held = torch.zeros(0, dtype=torch.bool)

    def add(self, weight: PrunedWeight, keep_fraction: float) -> None:
        """Takes a weight, deployed as its mask says, into the search; its cells follow the last's.

        Raises:
            SettingError: for a share that keeps nothing, or cells that do not follow.
        """
        edges = weight.edges
        keep_count(keep_fraction, edges)
        if self.weights and self.weights[-1].region.cells.stop != weight.region.cells.start:
            raise SettingError("The cells of a search's weights must follow one another")
        self.weights.append(weight)
        self.keep_fractions.append(keep_fraction)
        self._edges.append(edges)
        self._held = torch.cat([self._held.to(weight.mask.device), weight.mask.reshape(-1)])
        weight.search = self
        weight.register_load_state_dict_post_hook(self._after_loading)
        self._versions = self._current()

    def counts(self) -> list[int]:
        """Edges to keep in each weight at this point of the schedule."""
        update = self.changes // self.interval
        return [
            keep_count(self.schedule.keep_fraction(asked, update), edges)
            for asked, edges in zip(self.keep_fractions, self._edges, strict=True)
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
        wanted = torch.cat([mask.reshape(-1) for mask in masks])
        flipped = (self._held.to(wanted.device) != wanted).nonzero().squeeze(1)
        raised = wanted[flipped]
        self._pulse(flipped, raised)
        for weight, mask, (start, stop) in zip(
            self.weights, masks, self._parts(flipped), strict=True
        ):
            weight.flips += stop - start
            weight.mask = mask
        self._held = wanted
        self._note(flipped[raised])

    def resume(self) -> None:
        """Takes what the weights' masks say as already deployed: the chip is restored too."""
        self._held = torch.cat([weight.mask.reshape(-1) for weight in self.weights])
        self._versions = self._current()

    def _pulse(self, edges: Tensor, raised: Tensor) -> None:
        """RESETs the edges that are not raised and SETs those that are; formed cells only."""
        first = self.weights[0]
        cells = cells_of(edges, grain=first.grain, first_cell=first.region.first_cell)
        up = raised.unsqueeze(1).expand_as(cells).reshape(-1)
        cells = cells.view(-1)
        formed = self.chip.conducting(cells)
        self.chip.reset(cells[formed & ~up])
        self.chip.set(cells[formed & up])

    def _note(self, edges: Tensor) -> None:
        """Reads edges back that have just been SET, and remembers what they weigh."""
        if not edges.numel():
            return
        first = self.weights[0]
        cells = cells_of(edges, grain=first.grain, first_cell=first.region.first_cell)
        read = weight_of_cells(self.chip.read_back(cells.view(-1)).view_as(cells), edges)
        offset = 0
        for weight, (start, stop) in zip(self.weights, self._parts(edges), strict=True):
            weight.note_kept(edges[start:stop] - offset, read[start:stop])
            offset += weight.scores.numel()

    def _parts(self, edges: Tensor) -> list[tuple[int, int]]:
        """Where each weight's share of ascending edge numbers begins and ends."""
        sizes = torch.tensor([0, *(weight.scores.numel() for weight in self.weights)])
        places = torch.searchsorted(edges, sizes.cumsum(0).to(edges.device)).tolist()
        return list(zip(places[:-1], places[1:], strict=True))

    def _current(self) -> tuple[int, ...]:
        return tuple(weight.scores._version for weight in self.weights)

    def _after_loading(self, *_: object) -> None:
        if self.restoring:
            return
        # A loaded mask is a wish until the chip has been pulsed into it.
        self.deploy([weight.mask for weight in self.weights])
