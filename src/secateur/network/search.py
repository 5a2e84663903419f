"""The search while it runs: scores move, masks follow, the chip is pulsed where a mask changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor

from secateur.chip import Chip
from secateur.errors import SettingError
from secateur.network.edges import cells_of, weight_of_cells
from secateur.network.watch import Watch
from secateur.network.weight import PrunedWeight
from secateur.topology import Annealed, Rule, flipped_edges, keep_count

# Edges that one command pulses.
_PART = 1 << 21


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
        self._watches: list[Watch] = []
        self._held = torch.zeros(0, dtype=torch.bool)
        self._starts = [0]

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
        self._starts.append(self._starts[-1] + weight.mask.numel())
        self._watches.append(Watch(weight))
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
        lost = self.deploy(self.rule.first([w.edge_scores for w in self.weights], self.counts()))
        if lost:
            self._select()
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

    def due(self) -> bool:
        """Whether the next forward pass in training will select again and send pulses."""
        changed = any(self._changed(weight) for weight in self.weights)
        return changed and (self.changes + 1) % self.interval == 0

    def _spent(self) -> list[Tensor]:
        """Pulses that each edge has cost the more worn of its cells, shaped as its mask."""
        wear = self.chip.spent()
        own = [(w, wear[w.region.cells].to(w.mask.device)) for w in self.weights]
        return [
            (cells if w.grain == "cell" else cells.view(-1, 2).amax(dim=1)).view(w.mask.shape)
            for w, cells in own
        ]

    def _look(self) -> None:
        for watch in self._watches:
            watch.look()

    def _select(self) -> None:
        standing = self.rule.at(self.changes // self.interval)
        held = [weight.hold_lost() for weight in self.weights]
        if any(held):
            self._look()
        lost = True
        # Every turn loses an edge, so that this ends.
        while lost:
            scores = [weight.edge_scores for weight in self.weights]
            # A rule with a dead band would keep a lost edge for want of one to take its place.
            masks = [weight.still_kept() for weight in self.weights]
            rule = standing.after(self._spent)
            lost = bool(self.deploy(rule.next(scores, masks, self.counts())))

    @torch.no_grad()
    def deploy(self, masks: Sequence[Tensor]) -> int:
        """Pulses the chip from the masks it holds to the given ones: RESETs, then SETs.

        Returns:
            How many edges were lost: a cell of theirs was looked at and did not follow. They are
            not available any more; the masks are as asked for all the same.
        """
        wanted = torch.cat([mask.reshape(-1) for mask in masks])
        flipped = flipped_edges(self._held.to(wanted.device), wanted)
        raised = wanted[flipped]
        stuck = self._pulse(flipped, raised)
        for weight, mask, (start, stop) in zip(
            self.weights, masks, self._parts(flipped), strict=True
        ):
            weight.flips += stop - start
            weight.mask = mask
        self._held = wanted
        self._note(flipped, raised)
        return self._lose(stuck) if stuck.numel() else 0

    # --- Saving ------------------------------------------------------------------------------

    def pending(self, weight: PrunedWeight) -> bool:
        """Whether a weight's scores have changed since the search has last looked."""
        watch = self._watches[self.weights.index(weight)]
        return watch.written() or watch.differs()

    def note_loaded(self, weight: PrunedWeight, *, changes: int, pending: bool) -> None:
        """Goes on from a saved state of one weight, whose scores have been loaded.

        Args:
            weight: that was loaded.
            changes: score changes the saved search had seen.
            pending: whether the saved scores had changed since it last looked.
        """
        self.changes = changes
        watch = self._watches[self.weights.index(weight)]
        if pending:
            watch.never_seen()
        else:
            watch.look()

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

    def _pulse(self, edges: Tensor, raised: Tensor) -> Tensor:
        """RESETs the edges that are not raised and SETs those that are; formed cells only.

        Returns:
            Cells that were looked at and did not follow.
        """
        first = self.weights[0]
        lost = [edges[:0]]
        # In parts, which only a large network's first masks fill: numbers of cells take memory.
        for some, above in zip(torch.split(edges, _PART), torch.split(raised, _PART), strict=True):
            cells = cells_of(some, grain=first.grain, first_cell=first.region.first_cell)
            up = above.unsqueeze(1).expand_as(cells).reshape(-1)
            cells = cells.view(-1)
            formed = self.chip.conducting(cells)
            lost.append(self.chip.switch_verify(cells[formed], up[formed]))
        return torch.cat(lost)

    def _lose(self, cells: Tensor) -> int:
        """Takes the edges of cells that do not follow out of the search, for good."""
        first = self.weights[0]
        edges = (cells - first.region.first_cell) >> int(first.grain == "pair")
        edges = torch.unique(edges)
        lost = 0
        parts = zip(self.weights, self._starts, self._parts(edges), strict=False)
        for weight, offset, (start, stop) in parts:
            lost += weight.lose(edges[start:stop] - offset)
        for watch in self._watches:
            watch.look()
        return lost

    def _note(self, flipped: Tensor, raised: Tensor) -> None:
        """Reads edges back that have just been SET, and remembers what they weigh.

        Those that have been RESET too, where weights go by what was last read of their cells: also
        before they have read any, as a resumed run must ask what the one before has asked.
        """
        every = any(weight.goes_by_last_read for weight in self.weights)
        edges = flipped if every else flipped[raised]
        if not edges.numel():
            return
        first = self.weights[0]
        cells = cells_of(edges, grain=first.grain, first_cell=first.region.first_cell)
        read = self.chip.read_back(cells.view(-1)).view_as(cells)
        weighs = weight_of_cells(read, edges)
        kept = raised if every else torch.ones_like(edges, dtype=torch.bool)
        parts = zip(self.weights, self._starts, self._parts(edges), strict=False)
        for weight, offset, (start, stop) in parts:
            own, up = slice(start, stop), kept[start:stop]
            weight.note_kept(edges[own][up] - offset, weighs[own][up])
            weight.note_read(cells[own].reshape(-1), read[own].reshape(-1))

    def _parts(self, edges: Tensor) -> list[tuple[int, int]]:
        """Where each weight's share of ascending edge numbers begins and ends."""
        starts = torch.tensor(self._starts, device=edges.device)
        return list(pairwise(torch.searchsorted(edges, starts).tolist()))

    def _changed(self, asking: PrunedWeight) -> bool:
        for watch, weight in zip(self._watches, self.weights, strict=True):
            if watch.written() or ((weight is asking or watch.replaced()) and watch.differs()):
                return True
        return False
