"""Weights that exist as conductances of a chip's cells."""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from secateur.chip import Chip, Region
from secateur.circuit import Circuit
from secateur.keyed import key_of
from secateur.network.reading import Reading, Uses, WeightSource, rank
from secateur.topology import straight_through

Grain = Literal["pair", "cell"]


class Settling(Protocol):
    """What a pruned weight asks of its search."""

    changes: int

    def settle(self) -> None:
        """Brings the chip to what the scores ask for."""


class ChipWeight(WeightSource):
    """A weight (G+ - G-) x gain of the pairs of a region, read anew at every forward pass.

    Moving the module moves a simulated chip with it; its numbers stay float32 whatever dtype the
    model is cast to. A deep copy of a model holds a snapshot of its chip.

    Args:
        chip: owner of the conductances.
        region: where on the chip.
        circuit: level of fidelity.
        gain: weights per siemens, 1 / g0.
        seed: of the read noise.
    """

    gain: Tensor

    def __init__(
        self, chip: Chip, region: Region, *, circuit: Circuit, gain: float, seed: int
    ) -> None:
        super().__init__()
        self.chip, self.region, self.circuit, self.seed = chip, region, circuit, seed
        self.uses = Uses()
        self.register_buffer("gain", torch.tensor(gain, dtype=torch.float64))
        self._gain = gain

    @torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
    def _read(self) -> tuple[Tensor, Tensor | None, int]:
        key = key_of(self.seed, rank(), "read", self.region.name, self.uses.next())
        known = self.chip.statistics(self.region)
        if known is None:
            cells = self.chip.read(self.region, key=key)
            return (cells[..., 0] - cells[..., 1]).mul_(self._gain), None, key
        weight = self.circuit.weight(known.difference, known.deviation, gain=self._gain, key=key)
        return weight, known.deviation, key

    def forward(self) -> Reading:
        """One read of the region."""
        weight, deviation, key = self._read()
        # A second key, so that noise per product is independent of noise per read.
        return Reading(weight, deviation, self._gain, self.circuit, key ^ 1)

    def plain(self) -> Tensor:
        """The weight as one more read of the chip gives it."""
        key = key_of(self.seed, rank(), "read", self.region.name, self.uses.next())
        cells = self.chip.read(self.region, key=key)
        return (cells[..., 0] - cells[..., 1]).mul_(self._gain)

    def get_extra_state(self) -> Tensor:
        """The number of reads so far: read noise goes on from there."""
        return torch.tensor(self.uses.count)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the number of reads."""
        self.uses.count = int(state)

    def _apply(self, fn: Any, recurse: bool = True) -> "ChipWeight":
        super()._apply(fn, recurse)
        # Casting a model to half or double must not touch the physics: only the device follows.
        for name, buffer in self._buffers.items():
            if buffer is not None and buffer.is_floating_point():
                self._buffers[name] = buffer.to(torch.float64 if name == "gain" else torch.float32)
        self.chip.to(self.gain.device)
        return self

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)  # type: ignore[no-untyped-call]
        self._gain = float(self.gain)


class ProgrammedWeight(ChipWeight):
    """A trained weight written to the chip the conventional way; nothing of it is learned here."""


class PrunedWeight(ChipWeight):
    """A weight whose edges are kept or pruned by score.

    A kept edge is in the high state, a pruned one in the low state with its residual conductance.
    State-dict keys: `scores`, `mask`, `kept_weight`, `gain` and the count of reads.

    Args:
        grain: "pair": an edge is a weight; "cell": an edge is one cell of a pair, + or -.
        available: mask of the edges with a formed cell; the others have score 0 for ever.
        scores: one per edge: the weight's shape, for cells with a last axis of 2.
        mask: kept edges, the shape of the scores.
        kept_weight: signed weight of each edge when kept, as last read; the shape of the scores.
    """

    mask: Tensor
    kept_weight: Tensor
    available: Tensor

    def __init__(
        self, chip: Chip, region: Region, *, circuit: Circuit, gain: float, seed: int,
        grain: Grain, available: Tensor, scores: Tensor, mask: Tensor, kept_weight: Tensor,
    ) -> None:  # fmt: skip
        super().__init__(chip, region, circuit=circuit, gain=gain, seed=seed)
        self.grain = grain
        self.scores = nn.Parameter(scores)
        self.register_buffer("mask", mask)
        self.register_buffer("kept_weight", kept_weight)
        self.register_buffer("available", available)
        self.flips = 0
        self.search: Settling | None = None

    def forward(self) -> Reading:
        """One read; in training the chip is first brought to what the scores ask for."""
        if self.training and self.search is not None:
            self.search.settle()
        reading = super().forward()
        if not (torch.is_grad_enabled() and self.scores.requires_grad):
            return reading
        weight = straight_through(
            self.scores, weight=reading.weight, kept_weight=self.kept_weight
        )
        return Reading(weight, reading.deviation, self._gain, self.circuit, reading.key)

    def get_extra_state(self) -> Tensor:
        """Reads so far, score changes the search has seen, flips of this weight's mask."""
        changes = self.search.changes if self.search else 0
        return torch.tensor([self.uses.count, changes, self.flips])

    def set_extra_state(self, state: Tensor) -> None:
        """Restores what `get_extra_state` gave."""
        self.uses.count, changes, self.flips = (int(number) for number in state)
        if self.search:
            self.search.changes = changes

    def _load_from_state_dict(self, *arguments: Any) -> None:
        # Loading copies in place: the mask that the chip holds must stay readable beside it.
        self.mask = self.mask.clone()
        super()._load_from_state_dict(*arguments)

    @property
    def edges(self) -> int:
        """Edges that can be kept."""
        return int(self.available.sum())

    def set_gain(self, gain: float) -> None:
        """Changes the scale of the weights: what is remembered of kept edges scales along."""
        self.kept_weight.mul_(gain / self._gain)
        self._gain = gain
        self.gain.fill_(gain)

    def note_kept(self, edges: Tensor, differences: Tensor) -> None:
        """Remembers what edges weigh, from what was read after they were SET.

        Args:
            edges: int64, flat indices of the scores.
            differences: siemens, signed, one per edge.
        """
        if edges.numel():
            self.kept_weight.view(-1)[edges] = differences * self._gain


def cells_of(edges: Tensor, *, grain: Grain, first_cell: int) -> Tensor:
    """Numbers of the cells behind edges, (n, 2) for pairs, (n, 1) for cells.

    Args:
        edges: int64, numbered from the region's first.
        grain: of the edges.
        first_cell: the region's.
    """
    if grain == "cell":
        return (edges + first_cell).unsqueeze(1)
    first = 2 * edges + first_cell
    return torch.stack([first, first + 1], dim=1)


def weight_of_cells(read: Tensor, edges: Tensor) -> Tensor:
    """The signed difference in siemens that edges contribute, from the reads of their cells.

    Args:
        read: siemens, shaped as `cells_of`.
        edges: as there: a cell's sign is that of its column.
    """
    if read.shape[1] == 2:
        return read[:, 0] - read[:, 1]
    return read[:, 0] * (1.0 - 2.0 * (edges & 1))
