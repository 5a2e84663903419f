"""A trace: every product of a model with its weights, counted while the model runs once."""

import contextlib
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from secateur.chip import Region
from secateur.circuit import BoundConverters, InputConverter, LinearMap
from secateur.errors import ModelError
from secateur.network.attach import quantise_
from secateur.network.layers import Convolution
from secateur.network.reading import Reading, WeightSource
from secateur.network.survey import CHIP_MODULES, PRUNABLE
from secateur.network.weight import ChipWeight


@dataclass(frozen=True)
class Usage:
    """What a product uses of a chip for one bit-plane of its inputs, summed over its vectors.

    Args:
        lines: input lines driven.
        conversions: column outputs converted, a pair being one; a column that is cut into tiles
            is converted once for each.
        turns: reads that follow one another: tiles of one macro take turns.
        conductance: siemens of the cells met, as read from the chip.
    """

    lines: int
    conversions: int
    turns: int
    conductance: float

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.lines + other.lines, self.conversions + other.conversions,
            self.turns + other.turns, self.conductance + other.conductance,
        )  # fmt: skip


@dataclass(frozen=True)
class Product:
    """All multiplications by one weight.

    Args:
        name: path of the weight in the model.
        rows: inputs of one vector.
        columns: outputs of one vector.
        vectors: how many vectors were multiplied.
        bits: of the converters before it: one bit-plane each, the sign's included; None for float.
        usage: of a chip; None where the weight is digital.
    """

    name: str
    rows: int
    columns: int
    vectors: int
    bits: int | None
    usage: Usage | None

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations."""
        return self.rows * self.columns * self.vectors

    @property
    def column_outputs(self) -> int:
        """Sums that columns give."""
        return self.columns * self.vectors


@dataclass(frozen=True)
class Trace:
    """What one run of a model multiplies.

    Args:
        products: one for each use of a weight in a layer, in the order of the run.
        other_macs: multiply-accumulates without such a weight: of queries with keys, and of
            digital layers of a kind that could not be on a chip.
    """

    products: tuple[Product, ...]
    other_macs: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the run."""
        return sum(product.macs for product in self.products) + self.other_macs

    @property
    def column_outputs(self) -> int:
        """Sums that columns give in the run."""
        return sum(product.column_outputs for product in self.products)


@torch.no_grad()
def trace(model: nn.Module, *inputs: Any) -> Trace:
    """Runs a model once in evaluation mode and counts its products.

    The model is left as it was: a copy of it runs. The copy shares the chip, which gets reads but
    no pulse. Converters need no range yet. A convolution counts every position of its window,
    padding included; a transposed one multiplies each input position once, and what its columns
    give is added up digitally.

    Args:
        model: pruned, programmed, quantised, or plain.
        inputs: what it is called with; one sample gives the counts of one inference.

    Raises:
        ModelError: where the model multiplies by nothing.
    """
    chips = {id(m.chip): m.chip for m in model.modules() if isinstance(m, ChipWeight)}
    twin = copy.deepcopy(model, memo=dict(chips)).eval()
    # Plain layers get weight sources too, where they can; the meter counts those that cannot.
    with contextlib.suppress(ModelError):
        quantise_(twin, input_bits=None, where=lambda _, m: isinstance(m, PRUNABLE))
    for module in twin.modules():
        if isinstance(module, InputConverter) and module.full_scale == 0.0:
            module.full_scale = 1.0
        if isinstance(module, BoundConverters):
            module.ranges = [known or 1.0 for known in module.ranges]
    found = _Count()
    _watch_(twin, found)
    # Attention's own products are counted as matrix products, not as a fused kernel.
    with found.meter, sdpa_kernel(SDPBackend.MATH):
        twin(*inputs)
    result = Trace(tuple(found.products.values()), found.others())
    if not result.macs:
        raise ModelError("This model multiplies nothing", cause="it has no layer with weights")
    return result


class _Count:
    """The products met so far, and a meter of everything that is multiplied."""

    def __init__(self) -> None:
        self.products: dict[str, Product] = {}
        self.meter = FlopCounterMode(display=False)
        self.seen = 0

    def note(self, product: Product) -> None:
        """Adds a product to those of the same weight and layer."""
        before = self.products.get(product.name)
        if before is not None:
            both = (before.usage, product.usage)
            usage = both[0] + both[1] if both[0] and both[1] else None
            vectors = before.vectors + product.vectors
            product = replace(product, vectors=vectors, usage=usage)
        self.products[product.name] = product

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """What is multiplied inside is noted as a product, and no other."""
        before = self.meter.get_total_flops()
        yield
        self.seen += self.meter.get_total_flops() - before

    def others(self) -> int:
        """Multiply-accumulates that no product is noted for."""
        # The meter counts two operations for each.
        return (self.meter.get_total_flops() - self.seen) // 2


def _watch_(model: nn.Module, found: _Count) -> None:
    """Puts a watch in the place of every weight source."""
    for path, holder in list(model.named_modules()):
        if isinstance(holder, CHIP_MODULES):
            for key, source in list(holder._modules.items()):
                if isinstance(source, WeightSource):
                    name = f"{path}.{key}".removeprefix(".")
                    holder._modules[key] = _Watched(name, source, holder, found)


class _Watched(WeightSource):
    """A weight source whose products are counted."""

    def __init__(self, name: str, source: WeightSource, holder: nn.Module, found: _Count) -> None:
        super().__init__()
        self.name, self.source, self.found = name, source, found
        self.bits = next((m.bits for m in holder.modules() if isinstance(m, InputConverter)), None)
        convolution = getattr(holder, "convolution", None)
        self.convolution = convolution if isinstance(convolution, Convolution) else None
        self.cells: Tensor | None = None
        if isinstance(source, ChipWeight):
            # Siemens of each pair.
            self.cells = source.chip.read(source.region, key=0).sum(dim=-1, dtype=torch.float64)

    def settle(self) -> None:
        """As the source does."""
        self.source.settle()

    def read(self) -> Reading:
        """One read of the source."""
        read = self.source.read()
        values: dict[str, Any] = {f.name: getattr(read, f.name) for f in fields(Reading)}
        return _WatchedReading(**values, watch=self._multiplied, apart=self.found.apart)

    def plain(self) -> Tensor:
        """As the source has it."""
        return self.source.plain()

    @property
    def shape(self) -> torch.Size:
        """As the source has it."""
        return self.source.shape

    def _multiplied(self, first: int, weight: Tensor, inputs: Tensor, outputs: Tensor) -> None:
        groups = self.convolution.groups if self.convolution else 1
        place = self.source.region if isinstance(self.source, ChipWeight) else self.source
        transposed = bool(getattr(place, "inputs_first", False))
        pairs = self.source.pairs if isinstance(self.source, ChipWeight) else 1
        if transposed:
            rows, columns = weight.shape[0] // groups // pairs, weight[0].numel()
            vectors = inputs.numel() // rows
        else:
            rows, columns = weight[0].numel() // pairs, weight.shape[0] // groups
            vectors = outputs.numel() // columns
        usage = None
        if isinstance(self.source, ChipWeight) and self.cells is not None:
            steps = range(groups)
            corners = [(g * rows, first) if transposed else (0, first + g * columns) for g in steps]
            cells = float(self.cells[first : first + weight.shape[0]].sum())
            usage = usage_of(
                self.source.region, corners, rows=pairs * rows, columns=columns,
                times=vectors // groups, conductance=cells,
            )  # fmt: skip
        self.found.note(Product(self.name, rows, columns, vectors, self.bits, usage))


@dataclass(frozen=True)
class _WatchedReading(Reading):
    """A reading that tells of its products; its parts do so too."""

    watch: Callable[[int, Tensor, Tensor, Tensor], None] = lambda *_: None
    apart: Callable[[], Any] = contextlib.nullcontext
    first: int = 0

    def product(
        self, linear: LinearMap, inputs: Tensor, converter: nn.Module | None = None
    ) -> Tensor:
        """See `Reading.product`."""
        with self.apart():
            outputs = super().product(linear, inputs, converter)
        self.watch(self.first, self.weight, inputs, outputs)
        return outputs

    def part(self, start: int, stop: int) -> Reading:
        """See `Reading.part`."""
        return replace(super().part(start, stop), first=self.first + start)  # type: ignore[call-arg]


def usage_of(
    region: Region, corners: list[tuple[int, int]], *, rows: int, columns: int, times: int,
    conductance: float,
) -> Usage:  # fmt: skip
    """What reading rectangles of a region's matrix uses of the chip.

    Args:
        region: with its tiles.
        corners: first input and first output of each rectangle; they are read one by one.
        rows: inputs of each.
        columns: outputs of each.
        times: how often all of them are read.
        conductance: siemens of all their cells together.
    """
    lines = conversions = turns = 0
    for top, left in corners:
        macros: Counter[int] = Counter()
        for tile in region.tiles:
            height = _overlap(top, rows, tile.first_input, tile.rows)
            width = _overlap(left, columns, tile.first_output, tile.pair_columns)
            if height and width:
                lines, conversions = lines + height, conversions + width
                macros[tile.macro] += 1
        turns += max(macros.values())
    return Usage(times * lines, times * conversions, times * turns, times * conductance)


def _overlap(first: int, length: int, other: int, extent: int) -> int:
    return max(min(first + length, other + extent) - max(first, other), 0)
