"""What one inference costs: a trace in; joules, seconds and square metres out.

Products on the chip are priced by a `CostModel`; what the trace has left digital, and the digital
references, by operations, of which a multiply-accumulate is two.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from secateur.chip import Placement
from secateur.cost.constants import Constant, constants
from secateur.device import Technology
from secateur.errors import SettingError, nearest
from secateur.network.trace import Product, Trace

OTHERS = "other products"


@dataclass(frozen=True)
class LayerCost:
    """One product of an inference.

    Args:
        name: of the weight.
        energy: joules by part.
        time: seconds on the chip; None where the model says nothing of time.
    """

    name: str
    energy: Mapping[str, float]
    time: float | None

    @property
    def joules(self) -> float:
        """All parts together."""
        return sum(self.energy.values())


@dataclass(frozen=True)
class InferenceCost:
    """One inference, layer by layer, one after the other."""

    layers: tuple[LayerCost, ...]

    @property
    def energy(self) -> float:
        """Joules of all layers."""
        return sum(layer.joules for layer in self.layers)

    @property
    def parts(self) -> dict[str, float]:
        """Joules by part, over all layers."""
        total: Counter[str] = Counter()
        for layer in self.layers:
            total.update(layer.energy)
        return dict(total)

    @property
    def time(self) -> float | None:
        """Seconds of all layers; None where the model says nothing of time."""
        times = [layer.time for layer in self.layers]
        return None if None in times else sum(time for time in times if time is not None)


@dataclass(frozen=True)
class CostModel(ABC):
    """A way from counts to joules. Its fields are its constants; `dataclasses.replace` varies one.

    Args:
        gpu_operation: joules of an operation on the reference GPU.
        measured_gpu_operation: joules of an operation on a GPU as measured.
        cpu_operation: joules of an operation on a CPU.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    gpu_operation: float
    measured_gpu_operation: float
    cpu_operation: float

    @classmethod
    def constants(cls) -> dict[str, Constant]:
        """Its constants with units, ranges and origins."""
        return constants("digital", cls.name)

    @classmethod
    def load(cls) -> Self:
        """The model with the values of the constants' file."""
        return cls(**{name: constant.value for name, constant in cls.constants().items()})

    @abstractmethod
    def layer(self, product: Product, technology: Technology) -> LayerCost:
        """The cost of a product on a chip of this technology."""

    @abstractmethod
    def digital(self, macs: int) -> float:
        """Joules of multiply-accumulates that are left to digital hardware."""

    @abstractmethod
    def area(self, placement: Placement) -> dict[str, float]:
        """Square metres of a chip by part; empty where the model says nothing of area."""

    def inference(self, trace: Trace, technology: Technology) -> InferenceCost:
        """The cost of a traced run.

        Raises:
            SettingError: for a product on a chip without converters at its inputs.
        """
        layers = [self._layer(product, technology) for product in trace.products]
        if trace.other_macs:
            layers.append(LayerCost(OTHERS, {"digital": self.digital(trace.other_macs)}, 0.0))
        return InferenceCost(tuple(layers))

    def references(self, trace: Trace) -> dict[str, float]:
        """Joules of the same multiplications on digital hardware, by its name."""
        operations = 2 * trace.macs
        return {
            "gpu": operations * self.gpu_operation,
            "gpu_measured": operations * self.measured_gpu_operation,
            "cpu": operations * self.cpu_operation,
        }

    def saving(self, trace: Trace, technology: Technology) -> float:
        """Share of the reference GPU's energy that the chip saves; negative where it takes more."""
        return 1.0 - self.inference(trace, technology).energy / self.references(trace)["gpu"]

    def _layer(self, product: Product, technology: Technology) -> LayerCost:
        if product.usage is None:
            return LayerCost(product.name, {"digital": self.digital(product.macs)}, 0.0)
        return self.layer(product, technology)


@dataclass(frozen=True)
class Calibrated(CostModel):
    """One constant for everything a column output takes in one bit-plane.

    Args:
        column_energy: that constant, joules.
    """

    name: ClassVar[str] = "calibrated"
    summary: ClassVar[str] = "one constant per column output and bit-plane, from the paper's claims"

    column_energy: float

    def layer(self, product: Product, technology: Technology) -> LayerCost:
        """See `CostModel.layer`: the technology makes no difference."""
        events = product.column_outputs * planes(product)
        return LayerCost(product.name, {"column outputs": events * self.column_energy}, None)

    def digital(self, macs: int) -> float:
        """See `CostModel.digital`: as on the reference GPU."""
        return 2 * macs * self.gpu_operation

    def area(self, placement: Placement) -> dict[str, float]:
        """See `CostModel.area`: nothing."""
        return {}


@dataclass(frozen=True)
class Components(CostModel):
    """The sum of cells, drivers, converters, buffers and digital arithmetic.

    Clock, control, leakage, wires between macros and memory off the chip are not counted. Fields
    are explained in `constants.toml`.
    """

    name: ClassVar[str] = "components"
    summary: ClassVar[str] = "bottom-up, from published figures of the parts near 40 nm"

    conversion_energy: float
    conversion_time: float
    conversions_per_pair: float
    columns_per_converter: float
    front_end_energy: float
    driver_energy: float
    activity: float
    shift_add_energy: float
    buffer_energy: float
    output_bits: float
    multiplication_energy: float
    addition_energy: float
    cell_area: float
    converter_area: float
    driver_area: float

    def layer(self, product: Product, technology: Technology) -> LayerCost:
        """See `CostModel.layer`."""
        usage, bits = product.usage, planes(product)
        if usage is None:
            raise ValueError(f"{product.name} is digital")
        pulsed = self.activity * bits
        conversions = usage.conversions * bits * self.conversions_per_pair
        inputs = product.vectors * product.rows * bits
        outputs = product.column_outputs
        law = technology
        energy = {
            "cells": pulsed * read_energy(
                usage.conductance, voltage=law.read_voltage, width=law.read_width
            ),
            "drivers": pulsed * usage.lines * self.driver_energy,
            "converters": conversions * (self.front_end_energy + self.conversion_energy),
            "shift and add": conversions * self.shift_add_energy,
            "buffers": (inputs + outputs * self.output_bits) * self.buffer_energy,
            "digital": outputs * (self.multiplication_energy + 2 * self.addition_energy),
        }  # fmt: skip
        waiting = min(product.columns, self.columns_per_converter) * self.conversions_per_pair
        time = usage.turns * bits * (law.read_width + waiting * self.conversion_time)
        return LayerCost(product.name, energy, time)

    def digital(self, macs: int) -> float:
        """See `CostModel.digital`: arithmetic only, weights are at hand."""
        return macs * (self.multiplication_energy + self.addition_energy)

    def area(self, placement: Placement) -> dict[str, float]:
        """See `CostModel.area`: whole macros, used or not."""
        shape, macros = placement.geometry, placement.macros
        pairs = macros * shape.pairs_per_row
        converters = pairs * self.conversions_per_pair / self.columns_per_converter
        return {
            "cells": macros * shape.cells * self.cell_area,
            "converters": converters * self.converter_area,
            "drivers": macros * shape.rows * self.driver_area,
        }


COST_MODELS: dict[str, type[CostModel]] = {model.name: model for model in (Calibrated, Components)}


def cost_model(name: str) -> CostModel:
    """The model of that name, with the values of the constants' file.

    Raises:
        SettingError: for an unknown name.
    """
    if name not in COST_MODELS:
        raise SettingError(f"There is no cost model {name!r}", remedy=nearest(name, COST_MODELS))
    return COST_MODELS[name].load()


def read_energy(conductance: float, *, voltage: float, width: float) -> float:
    """Joules that a read pulse puts into cells: V^2 G t.

    Args:
        conductance: siemens, of all cells together.
        voltage: volts.
        width: seconds.
    """
    return voltage**2 * conductance * width


def planes(product: Product) -> int:
    """Bit-planes of a product's inputs, one read each.

    Raises:
        SettingError: where no converter says how many bits they have.
    """
    if product.bits is None:
        raise SettingError(
            "The inputs of this product have no number of bits", where=product.name,
            cause="the model was put on the chip without converters",
            remedy="Give input_bits to prune_, program_ or quantise_",
        )  # fmt: skip
    return product.bits
