"""Which assumption matters most: every constant moved to either end of its range, alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from secateur.cost.inference import CostModel
from secateur.device import Technology
from secateur.device.technology import unit_of
from secateur.network.trace import Trace

# Parameters of the technology that a read depends on; their presets give no range.
READ = ("read_voltage", "read_width")


@dataclass(frozen=True)
class Bar:
    """One constant at both ends of its range.

    Args:
        name: of the constant.
        unit: its symbol.
        low: its lower end.
        high: its upper end.
        at_low: share of the GPU's energy that is saved there.
        at_high: and there.
    """

    name: str
    unit: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """How far the saving moves."""
        return abs(self.at_high - self.at_low)


def tornado(model: CostModel, trace: Trace, technology: Technology) -> list[Bar]:
    """The constants that move the saving, the one that moves it most first.

    A parameter of the technology is halved and doubled, since presets state no ranges.
    """
    bars = [*_of_model(model, trace, technology), *_of_technology(model, trace, technology)]
    return sorted((bar for bar in bars if bar.swing > 0.0), key=lambda bar: -bar.swing)


def _of_model(model: CostModel, trace: Trace, technology: Technology) -> Iterator[Bar]:
    for name, constant in model.constants().items():
        ends = constant.low, constant.high
        low, high = (replace(model, **{name: end}).saving(trace, technology) for end in ends)
        yield Bar(name, constant.unit, *ends, low, high)


def _of_technology(model: CostModel, trace: Trace, technology: Technology) -> Iterator[Bar]:
    for name in READ:
        value = getattr(technology, name)
        ends = value / 2, value * 2
        low, high = (model.saving(trace, technology.with_values(**{name: end})) for end in ends)
        yield Bar(name, unit_of(name), *ends, low, high)
