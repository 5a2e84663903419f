"""The search while it runs: scores move, masks follow, the chip is pulsed where a mask changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from secateur.chip import Chip
from secateur.errors import SettingError
from secateur.network.weight import PrunedWeight, cells_of, weight_of_cells
from secateur.topology import Annealed, Rule, keep_count


class Search:
    """Brings the chip to what the scores ask for, before a training forward pass reads it.

    Scores count as changed when they were written to in place, or, since a write through `.data`
    leaves no trace, when those of a sample have other values than before. Evaluation never sends a
    pulse. The edges of all weights are numbered through, in the order of their cells, so that a
    step is one command of each kind whatever the number of weights.

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
        self._seen: list[Tensor] = []
        self._known: list[tuple[int, int]] = []
        self._held = torch.zeros(0, dtype=torch.bool)

    def add(self, weight: PrunedWeight, keep_fraction: float) -> None:
        """Takes a weight, deployed as its mask says, into the search; its cells follow the last's.

        Raises:
            SettingError: for a share that keeps nothing, or cells that do not follow.
        """
        keep_count(keep_fraction, weight.edges)
        if self.weights and self.weights[-1].region.cells.stop != weight.region.cells.start:
            raise SettingError("The cells of a search's weights must follow one another")
        self.weights.append(weight)
        self.keep_fractions.append(keep_fraction)
        self._seen.append(_sample(weight.scores).clone())
        self._known = [_stamp(weight) for weight in self.weights]
        self._held = torch.cat([self._held.to(weight.mask.device), weight.mask.reshape(-1)])
        weight.search = self
        register = weight.register_load_state_dict_post_hook
        register(self._after_loading)  # type: ignore[no-untyped-call,unused-ignore]

    def counts(self) -> list[int]:
        """Edges to keep in each weight at this point of the schedule."""
        update = self.changes // self.interval
        return [
            keep_count(self.schedule.keep_fraction(asked, update), weight.edges)
            for asked, weight in zip(self.keep_fractions, self.weights, strict=True)
        ]

    @torch.no_grad()
    def begin(self) -> None:
        """The first masks. All formed edges are kept before, so that only RESETs are needed."""
        self.deploy(self.rule.first([weight.scores for weight in self.weights], self.counts()))
        for weight in self.weights:
            weight.flips = 0

    @torch.no_grad()
    def settle(self, asking: PrunedWeight) -> None:
        """Selects again and pulses the edges that changed sides, if the scores have changed.

        Args:
            asking: the weight about to be read, whose sample is compared.
        """
        if not self._changed(asking):
            return
        self._look()
        self.changes += 1
        if self.changes % self.interval == 0:
            self._select()

    @torch.no_grad()
    def settle_now(self) -> None:
        """Selects by the scores as they are, whatever the interval: the end of a search."""
        self._look()
        self._select()

    def _look(self) -> None:
        self._seen = [_sample(weight.scores).clone() for weight in self.weights]
        self._known = [_stamp(weight) for weight in self.weights]

    def _select(self) -> None:
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

    # --- Saving ------------------------------------------------------------------------------

    def pending(self, weight: PrunedWeight) -> bool:
        """Whether a weight's scores have changed since the search has last looked."""
        place = self.weights.index(weight)
        return self._written(place) or self._differs(place)

    def note_loaded(self, weight: PrunedWeight, *, changes: int, pending: bool) -> None:
        """Goes on from a saved state of one weight, whose scores have been loaded.

        Args:
            weight: that was loaded.
            changes: score changes the saved search had seen.
            pending: whether the saved scores had changed since it last looked.
        """
        self.changes = changes
        seen = _sample(weight.scores).clone()
        # Scores that are no number differ from any: the next training pass looks anew.
        self._seen[self.weights.index(weight)] = seen.fill_(torch.nan) if pending else seen
        self._known = [_stamp(weight) for weight in self.weights]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """While it lasts, loaded masks are what the chip holds already: it is restored too."""
        self.restoring = True
        try:
            yield
        finally:
            self.restoring = False
        self._held = torch.cat([weight.mask.reshape(-1) for weight in self.weights])

    def _after_loading(self, *_: object) -> None:
        if not self.restoring:
            # A loaded mask is a wish until the chip has been pulsed into it.
            self.deploy([weight.mask for weight in self.weights])

    # --- Inside ------------------------------------------------------------------------------

    def _pulse(self, edges: Tensor, raised: Tensor) -> None:
        """RESETs the edges that are not raised and SETs those that are; formed cells only."""
        first = self.weights[0]
        cells = cells_of(edges, grain=first.grain, first_cell=first.region.first_cell)
        up = raised.unsqueeze(1).expand_as(cells).reshape(-1)
        cells = cells.view(-1)
        formed = self.chip.conducting(cells)
        self.chip.switch(cells[formed], up[formed])

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
        return list(pairwise(places))

    def _changed(self, asking: PrunedWeight) -> bool:
        for place, weight in enumerate(self.weights):
            if self._written(place):
                return True
            suspect = weight is asking or _stamp(weight) != self._known[place]
            if suspect and self._differs(place):
                return True
        self._known = [_stamp(weight) for weight in self.weights]
        return False

    def _written(self, place: int) -> bool:
        owner, version = _stamp(self.weights[place])
        known_owner, known_version = self._known[place]
        # The parameters of a copied model are others, whose versions start anew.
        return owner == known_owner and version != known_version

    def _differs(self, place: int) -> bool:
        return not _same(_sample(self.weights[place].scores), self._seen[place])


def _stamp(weight: PrunedWeight) -> tuple[int, int]:
    return id(weight.scores), weight.scores._version


def _sample(scores: Tensor) -> Tensor:
    """About a thousand scores, evenly spread: a write through `.data` is that of an optimizer."""
    flat = scores.detach().reshape(-1)
    return flat[:: max(flat.numel() // 1024, 1)]


def _same(first: Tensor, second: Tensor) -> bool:
    """Equality to the bit; on a CPU NumPy compares several times as fast as torch."""
    if first.device.type != "cpu":
        return torch.equal(first, second.to(first.device))
    return np.array_equal(first.numpy().view(np.int32), second.cpu().numpy().view(np.int32))
