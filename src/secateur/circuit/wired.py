"""The wired level: weights are what the output lines see of the cells through resistive lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from secateur.circuit.circuit import Circuit, LinearMap, ReadPerStep
from secateur.circuit.wires import effective_conductance, first_order_conductance
from secateur.errors import SettingError

Model = Literal["exact", "first-order"]


@dataclass(frozen=True)
class Wired(Circuit):
    """Cells on lines that resist: IR drop, at no cost per multiplication.

    A weight is the difference of its cells' effective conductances in the array that its tile is
    read in: the rows of the tile, whose transistors are on, with all cells along them, placed or
    not, every output line at virtual ground. They are found anew when a conductance of that array
    has changed. Read noise is that of the level inside, as it arrives at the output lines to first
    order. The gradient is that of the cells' own weights.

    Args:
        level: how cells are read: `Ideal`, `ReadPerStep` or `ReadPerProduct`.
        input_line_resistance: ohms of a segment of an input line.
        output_line_resistance: ohms of a segment of an output line.
        source_resistance: ohms of a driver.
        sense_resistance: ohms of a sense amplifier's input.
        double_sided: input lines are driven from both ends.
        training: "first-order", cheap, or "exact".
        evaluation: likewise.
        interval: in training, reads of a weight from look to look whether its array has changed.

    Raises:
        SettingError: for a level that has wires or converters already, unknown models, an
            interval below 1, and resistances that are none.
    """

    level: Circuit = field(default_factory=ReadPerStep)
    input_line_resistance: float = field(kw_only=True)
    output_line_resistance: float = field(kw_only=True)
    source_resistance: float = field(default=0.0, kw_only=True)
    sense_resistance: float = field(default=0.0, kw_only=True)
    double_sided: bool = field(default=False, kw_only=True)
    training: Model = field(default="first-order", kw_only=True)
    evaluation: Model = field(default="exact", kw_only=True)
    interval: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if self.level.wires is not None or hasattr(self.level, "level"):
            raise SettingError(
                f"Wires around {type(self.level).__name__}",
                cause="wires come right after the cells, converters at their ends",
                remedy="Write Converters(Wired(ReadPerProduct(), ...), ...)",
            )
        for name in ("training", "evaluation"):
            if getattr(self, name) not in {"exact", "first-order"}:
                raise SettingError(
                    f"{name} is {getattr(self, name)!r}", remedy='Give "exact" or "first-order"'
                )
        if self.interval < 1:
            raise SettingError(f"interval is {self.interval}", remedy="Give 1 or more reads")
        for name, ohms in self._resistances.items():
            if not 0.0 <= ohms < float("inf"):
                raise SettingError(
                    f"{name} is {ohms} ohms",
                    cause="an open line is no line: its cells have conductance 0",
                    remedy="Give 0 or more, finite",
                )

    @property
    def label(self) -> str:
        """Every resistance in words."""
        ends = (self.source_resistance, self.sense_resistance)
        words = f"{self.input_line_resistance:g} and {self.output_line_resistance:g} ohms a segment"
        if any(ends):
            words += f", {ends[0]:g} and {ends[1]:g} ohms at the ends"
        sides = " from both sides" if self.double_sided else ""
        return f"{self.level.label}; wires of {words}, driven{sides or ' from one side'}"

    @property
    def wires(self) -> "Wired":
        """These."""
        return self

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """That of the level inside, for what the output lines see."""
        return self.level.weight(mean, deviation, gain=gain, key=key)

    def add_noise(
        self, outputs: Tensor, linear: LinearMap, inputs: Tensor, deviation: Tensor, *,
        gain: float, key: int | Sequence[int],
    ) -> Tensor:  # fmt: skip
        """As the level inside."""
        return self.level.add_noise(outputs, linear, inputs, deviation, gain=gain, key=key)

    def seen(self, conductance: Tensor, *, segments_below: int, exact: bool) -> Tensor:
        """Effective conductances of the cells of an array, siemens, shaped as `conductance`.

        Args:
            conductance: siemens (rows, columns): the rows that are on, all columns.
            segments_below: of every output line between the last of these rows and the sense
                amplifier, beyond the one that a line ends with anyway.
            exact: or to first order.
        """
        below = segments_below * self.output_line_resistance
        wires = {**self._resistances, "sense_resistance": self.sense_resistance + below}
        model = effective_conductance if exact else first_order_conductance
        return model(conductance, **wires, double_sided=self.double_sided)

    @property
    def _resistances(self) -> dict[str, float]:
        return {
            "input_line_resistance": self.input_line_resistance,
            "output_line_resistance": self.output_line_resistance,
            "source_resistance": self.source_resistance,
            "sense_resistance": self.sense_resistance,
        }
