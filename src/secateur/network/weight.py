"""Weights that exist as conductances of a chip's cells."""

from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from secateur.chip import Chip, PairStatistics, Region
from secateur.circuit import Circuit, Ideal, ReadPerProduct, ReadPerStep
from secateur.errors import SettingError
from secateur.keyed import key_of
from secateur.network.board_products import BoardProducts
from secateur.network.edges import Grain
from secateur.network.multiple import summed
from secateur.network.reading import Reading, Uses, WeightSource
from secateur.network.wiring import SeenPairs, layout_of
from secateur.ranks import rank
from secateur.topology import ScorePer, as_quantised, cell_scores, straight_through
from secateur.uncompiled import uncompiled

# Odd, so that no two of 2^63 reads share a key; 2^64 over the golden ratio, so that they spread.
_GOLDEN = 0x9E3779B97F4A7C15


class Settling(Protocol):
    """What a pruned weight asks of its search."""

    changes: int
    restoring: bool

    def settle_now(self) -> None:
        """Brings the chip to what the scores ask for, whatever the interval."""

    def settle(self, asking: "PrunedWeight") -> None:
        """Brings the chip to what the scores ask for."""

    def due(self) -> bool:
        """Whether the next forward pass in training will do so."""
        ...

    def pending(self, weight: "PrunedWeight") -> bool:
        """Whether a weight's scores have changed since the search has last looked."""
        ...

    def note_loaded(self, weight: "PrunedWeight", *, changes: int, pending: bool) -> None:
        """Goes on from a saved state of one weight."""


class ChipWeight(WeightSource):
    """A weight (G+ - G-) x gain of the pairs of a region, read anew at every forward pass.

    `scale` is what `compensate_` has found: outputs are multiplied by it, digitally.

    Moving the module moves a simulated chip with it. Its numbers stay float32 whatever dtype the
    model is cast to; what it reads is cast to that dtype. A deep copy of a model holds a snapshot
    of its chip.

    Args:
        chip: owner of the conductances.
        region: where on the chip.
        circuit: level of fidelity.
        gain: weights per siemens, 1 / g0.
        seed: of the read noise.
        like: a tensor of the model's dtype and memory format, such as the weight it replaces.
        pairs: that a weight is the sum of; the region holds all of them, see `multiple`.
    """

    gain: Tensor
    scale: Tensor | None

    def __init__(
        self, chip: Chip, region: Region, *, circuit: Circuit, gain: float, seed: int,
        like: Tensor, pairs: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.chip, self.region, self.circuit, self.seed = chip, region, circuit, seed
        self.pairs = pairs
        self.dtype, self.memory_format = like.dtype, memory_format_of(like)
        self.uses = Uses()
        # Siemens of its cells, where the chip multiplies and gradients go by what was last read.
        self.last_read: Tensor | None = None
        self.seen = SeenPairs(circuit.wires, region) if circuit.wires else None
        # Converters have ranges of their own for every weight: a submodule.
        self.level = circuit.bound(layout_of(region, seed=chip.seed))
        self.register_buffer(
            "gain", torch.tensor(gain, dtype=torch.float64, device=_device_of(chip))
        )
        self._gain = gain
        # Digital, found by `compensate_`: outputs are multiplied by it.
        self.register_buffer("scale", None)

    @uncompiled
    def forward(self) -> Reading:
        """See `WeightSource.forward`; torch.compile breaks its graph here, once."""
        return super().forward()

    @uncompiled
    def read(self) -> Reading:
        """One read of the region."""
        key = self._next_key()
        known = self.statistics()
        if known is None and isinstance(self.circuit, ReadPerProduct):
            weight = self._learnable(self._laid_out(self._as_last_read())).to(self.dtype)
            board = BoardProducts(self.chip, self.region, self._gain)
            return self._reading(weight, None, None, key, board)
        if known is None:
            self._check_level()
            cells = self.chip.read(self.region, key=key)
            weight, deviation = (cells[..., 0] - cells[..., 1]).mul_(self._gain), None
        else:
            deviation = known.deviation
            weight = self.level.weight(known.difference, deviation, gain=self._gain, key=key)
        weight = self._learnable(self._laid_out(weight)).to(self.dtype)
        return self._reading(weight, deviation, self.level, key)

    def _reading(
        self, weight: Tensor, deviation: Tensor | None, level: Circuit | None, key: int,
        board: BoardProducts | None = None,
    ) -> Reading:  # fmt: skip
        # A second key, so that noise per product is independent of noise per read.
        return Reading(
            weight, deviation, self._gain, level, key ^ 1, self.scale, board, self.pairs,
            self.region.inputs_first,
        )  # fmt: skip

    def statistics(self) -> PairStatistics | None:
        """Mean and noise of the pairs as the circuit sees them; None where the chip knows none."""
        if self.seen is None:
            return self.chip.statistics(self.region)
        found = self.seen(self.chip, read=self.uses.count)
        assert found is None or isinstance(found, PairStatistics)
        return found

    @property
    def goes_by_last_read(self) -> bool:
        """Whether the chip multiplies, and gradients go by the conductances last read."""
        asked = isinstance(self.circuit, ReadPerProduct)
        return asked and self.chip.statistics(self.region) is None

    def _check_level(self) -> None:
        if not isinstance(self.circuit, Ideal | ReadPerStep):
            raise SettingError(
                f"{type(self.circuit).__name__} needs the mean and noise of each cell, which this "
                "chip does not know", where=self.region.name,
                cause="a real chip has its wires and converters itself",
                remedy="Choose ReadPerProduct (the chip multiplies) or ReadPerStep (it is read)",
            )  # fmt: skip

    def _as_last_read(self) -> Tensor:
        """The weight by the conductances last read: at first, and after each pulse."""
        if self.last_read is None:
            cells = torch.arange(self.region.cells.start, self.region.cells.stop)
            self.last_read = self.chip.read_back(cells.to(self.device)).to(self.device)
        pairs = self.last_read.view(-1, 2)
        return (pairs[:, 0] - pairs[:, 1]).mul_(self._gain).view(self.region.shape)

    def note_read(self, cells: Tensor, read: Tensor) -> None:
        """Takes over what was read of cells after a pulse, where it keeps what was last read."""
        if self.last_read is not None:
            self.last_read[cells - self.region.first_cell] = read.to(self.last_read.device)

    def plain(self) -> Tensor:
        """The weight as one more read of the chip gives it."""
        cells = self.chip.read(self.region, key=self._next_key())
        weight = (cells[..., 0] - cells[..., 1]).mul_(self._gain)
        if self.scale is not None:
            first = self.scale.dim() * int(self.region.inputs_first)
            weight *= self.scale.view(*(1,) * first, -1, *(1,) * (weight.dim() - 1 - first))
        if self.pairs > 1:
            weight = summed(weight, self.pairs, inputs_first=self.region.inputs_first)
        return self._laid_out(weight).to(self.dtype)

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        shape = list(self.region.shape)
        shape[self._axis] //= self.pairs
        return torch.Size(shape)

    @property
    def _axis(self) -> int:
        """The one that counts inputs, along which the pairs of a weight lie."""
        return 0 if self.region.inputs_first else 1

    @property
    def device(self) -> torch.device:
        """Where its numbers are."""
        return self.gain.device

    def get_extra_state(self) -> Tensor:
        """The number of reads so far: read noise goes on from there."""
        return torch.tensor(self.uses.count)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the number of reads."""
        self.uses.count = int(state)

    def expect(self, scale: Tensor | None) -> None:
        """Makes room for the scale of a state that is about to be loaded, or for none."""
        held = None if scale is None else torch.empty_like(scale, device=self.device)
        self.register_buffer("scale", held)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.expect(arguments[0].get(f"{arguments[1]}scale"))
        super()._load_from_state_dict(*arguments)  # type: ignore[no-untyped-call,unused-ignore]
        self._gain = float(self.gain)
        self.last_read = None

    def _next_key(self) -> int:
        # What is the same for every read is worked out once for each rank.
        stream = _stream(self.seed, rank(), self.region.first_cell)
        return (stream + self.uses.next() * _GOLDEN) % 2**63

    def _learnable(self, weight: Tensor) -> Tensor:
        return weight

    def _laid_out(self, weight: Tensor) -> Tensor:
        if self.memory_format is torch.contiguous_format:
            return weight
        # `contiguous` would leave a weight of one input channel as it is, and its layer's outputs.
        return torch.empty_like(weight, memory_format=self.memory_format).copy_(weight)

    def _apply(self, fn: Any, recurse: bool = True) -> "ChipWeight":
        # Casting a model to half or double must not touch the physics: only the device follows.
        # Asked flat, as a memory format for images has no meaning for the cells of their pairs.
        def follow(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor.flatten()).device)

        super()._apply(follow, recurse)  # type: ignore[no-untyped-call,unused-ignore]
        like = torch.empty([2] * len(self.shape), dtype=self.dtype, device=self.device)
        like = fn(like.to(memory_format=self.memory_format))
        self.dtype, self.memory_format = like.dtype, memory_format_of(like)
        self.chip.to(self.device)
        self.last_read = None
        return self


class ProgrammedWeight(ChipWeight):
    """A trained weight written to the chip the conventional way; nothing of it is learned here."""


class PrunedWeight(ChipWeight):
    """A weight whose edges are kept or pruned by score.

    A kept edge is in the high state, a pruned one in the low state with its residual conductance.
    State-dict keys: `scores`, `mask`, `kept_weight`, `available`, `gain` and the counts of
    `get_extra_state`. Loading a state dict pulses the chip into its mask; what the kept edges
    weigh and which edges there are is known from this chip and not taken over.

    Args:
        grain: "pair": an edge is a pair; "cell": an edge is one cell of a pair, + or -.
        available: mask of the edges with a formed cell; the others can never be kept.
        scores: one per edge: the shape of the region, for cells with a last axis of 2; or one per
            weight, of either sign.
        mask: kept edges, the shape of the region, for cells with a last axis of 2.
        kept_weight: signed weight of each edge when kept, as last read; the shape of the mask.
        score_per: what has a score.
    """

    mask: Tensor
    kept_weight: Tensor
    available: Tensor

    def __init__(
        self, chip: Chip, region: Region, *, circuit: Circuit, gain: float, seed: int,
        like: Tensor, grain: Grain, available: Tensor, scores: Tensor, mask: Tensor,
        kept_weight: Tensor, pairs: int = 1, score_per: ScorePer = "edge",
    ) -> None:  # fmt: skip
        super().__init__(
            chip, region, circuit=circuit, gain=gain, seed=seed, like=like, pairs=pairs
        )
        self.grain, self.score_per = grain, score_per
        self.scores = nn.Parameter(scores)
        self.register_buffer("mask", mask)
        self.register_buffer("kept_weight", kept_weight)
        self.register_buffer("available", available)
        self.edges = self._formed = int(available.sum())
        self.flips = 0
        self.search: Settling | None = None

    @property
    def edge_scores(self) -> Tensor:
        """A score for every edge, shaped as the mask; 0 where there is no such edge."""
        if self.score_per == "edge":
            return self.scores
        return cell_scores(self.scores, pairs=self.pairs, axis=self._axis) * self.available

    @uncompiled
    def settle(self) -> None:
        """In training, brings the chip to what the scores ask for."""
        if self.training and self.search is not None:
            self.search.settle(self)

    def get_extra_state(self) -> Tensor:
        """Reads, score changes the search has seen, flips, and whether a change is pending."""
        changes, pending = 0, False
        if self.search is not None:
            changes, pending = self.search.changes, self.search.pending(self)
        return torch.tensor([self.uses.count, changes, self.flips, int(pending)])

    def set_extra_state(self, state: Tensor) -> None:
        """Restores what `get_extra_state` gave."""
        self.uses.count, changes, self.flips, pending = (int(number) for number in state)
        if self.search is not None:
            self.search.note_loaded(self, changes=changes, pending=bool(pending))

    def set_gain(self, gain: float) -> None:
        """Changes the scale of the weights: what is remembered of kept edges scales along."""
        self.kept_weight.mul_(gain / self._gain)
        self._gain = gain
        self.gain.fill_(gain)

    def note_kept(self, edges: Tensor, differences: Tensor) -> None:
        """Remembers what edges weigh, from what was read after they were SET.

        Args:
            edges: int64, flat indices of the mask.
            differences: siemens, signed, one per edge.
        """
        if edges.numel():
            self.kept_weight.view(-1)[edges] = differences * self._gain

    def lose(self, edges: Tensor) -> int:
        """Takes edges out of the search whose cells no longer follow; returns how many were in it.

        They are then as those that were never formed.

        Args:
            edges: int64, flat indices of the mask.
        """
        edges = edges[self.available.view(-1)[edges]]
        self.available.view(-1)[edges] = False
        self.edges = int(self.available.sum())
        self.kept_weight.view(-1)[edges] = 0.0
        self.hold_lost()
        return len(edges)

    def still_kept(self) -> Tensor:
        """The mask without edges that were lost."""
        return self.mask & self.available if self.edges < self._formed else self.mask

    def hold_lost(self) -> bool:
        """Keeps lost edges' own scores at 0, which momentum would move; whether any is lost."""
        lost = self.edges < self._formed
        if lost and self.score_per == "edge":
            self.scores.data.mul_(self.available)
        return lost

    def _learnable(self, weight: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and self.scores.requires_grad):
            return weight
        if self.score_per == "weight":
            return as_quantised(self.scores, weight=weight, axis=self._axis)
        return straight_through(self.scores, weight=weight, kept_weight=self.kept_weight)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        state, prefix, errors = arguments[0], arguments[1], arguments[6]
        # Loading copies in place: the mask that the chip holds must stay readable beside it.
        self.mask = self.mask.clone()
        if self.search is not None and self.search.restoring:
            super()._load_from_state_dict(*arguments)
            self.edges = int(self.available.sum())
            return
        mask = state.get(f"{prefix}mask")
        if mask is not None and mask.shape == self.mask.shape:
            lost = int((mask.to(self.device) & ~self.available).sum())
            if lost:
                errors.append(
                    f"{prefix}mask keeps {lost} edges of which no cell is formed on this chip: a "
                    "mask found on another chip. Prune on that chip, or search anew on this one."
                )
                return
        gain, kept, available = self._gain, self.kept_weight.clone(), self.available.clone()
        super()._load_from_state_dict(*arguments)
        self.kept_weight, self.available = kept.mul_(self._gain / gain), available


@lru_cache(maxsize=4096)
def _stream(seed: int, process: int, first_cell: int) -> int:
    return key_of(seed, process, "read", first_cell)


def memory_format_of(tensor: Tensor) -> torch.memory_format:
    """Channels-last where strides say so beyond doubt, contiguous otherwise."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.dim())
    if last is None:
        return torch.contiguous_format
    strides = torch.empty(tensor.shape, memory_format=last, device="meta").stride()
    beyond_doubt = tensor.stride() == strides and tensor.stride() != _contiguous(tensor.shape)
    return last if beyond_doubt else torch.contiguous_format


def _contiguous(shape: torch.Size) -> tuple[int, ...]:
    return torch.empty(shape, device="meta").stride()


def _device_of(chip: Chip) -> torch.device:
    return chip.ledger.form.device
