"""How a chip is formed: the design knob between Gaussian and near-signed-constant weights."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from secateur.device import Technology, forming_voltage
from secateur.errors import SettingError


class Formable(Protocol):
    """What a forming procedure needs of a chip."""

    technology: Technology

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        ...

    def ramp(
        self, cells: Tensor, *, voltages: Sequence[float], width: float, compliance: float
    ) -> None:
        """See `Chip.ramp`."""
        ...


class Forming(ABC):
    """A procedure of forming pulses for the pairs of a region.

    Args:
        width: seconds; the technology's forming_width where None.
        compliance: amperes that stop these pulses, and a simulated chip's SET pulses after them;
            the technology's where None.
    """

    width: float | None = None
    compliance: float | None = None

    def pulsed(self, technology: Technology) -> Technology:
        """The technology with the width and the current of these pulses: for what they cost."""
        asked = {"forming_width": self.width, "compliance_current": self.compliance}
        own = {name: value for name, value in asked.items() if value is not None}
        return technology.with_values(**own) if own else technology

    def current(self, technology: Technology) -> float:
        """Amperes that stop these pulses.

        Raises:
            SettingError: for so few that a cell would conduct less than after a RESET.
        """
        law = technology
        if self.compliance is None:
            return law.compliance_current
        least = law.compliance_current * law.low_conductance / law.high_conductance
        if self.compliance <= least:
            raise SettingError(
                f"A compliance of {self.compliance:g} A forms cells below their low state",
                where=f"technology {law.name}",
                cause="conductances are proportional to the compliance, and RESET does not follow",
                remedy=f"Give more than {least:.2g} A",
            )
        return self.compliance

    @abstractmethod
    def run(self, chip: Formable, cells: Tensor) -> None:
        """Sends its pulses to the cells (2w and 2w + 1 are a pair)."""


@dataclass(frozen=True)
class FixedVoltage(Forming):
    """One pulse of one amplitude for all cells: the amplitude decides which share is formed.

    Args:
        fraction: expected share of cells to form, above 0 and below 1; the technology's
            breakdown law turns it into an amplitude. 0.999 is full forming, 0.5 leaves half of
            the pairs near +G or -G.
        voltage: amplitude in volts instead, as on the bench.
        width: seconds; the technology's forming_width where None.
        compliance: amperes; the technology's where None.
    """

    fraction: float = 0.999
    voltage: float | None = None
    width: float | None = None
    compliance: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.fraction < 1.0:
            raise SettingError(
                f"The fraction of cells to form is {self.fraction}",
                remedy="Give a share above 0 and below 1, or a voltage",
            )
        refuse_unphysical(voltage=self.voltage, width=self.width, compliance=self.compliance)

    def run(self, chip: Formable, cells: Tensor) -> None:
        """One pulse to every cell."""
        law = chip.technology
        width = self.width or law.forming_width
        voltage = self.voltage or forming_voltage(
            self.fraction, mean=law.breakdown_voltage, spread=law.breakdown_spread,
            slope=law.breakdown_slope, width=width, reference_width=law.forming_width,
        )  # fmt: skip
        chip.form(cells, voltage=voltage, width=width, compliance=self.current(law))


@dataclass(frozen=True)
class VoltageRamp(Forming):
    """Ever higher pulses, for each pair until one of its cells breaks down.

    The other cell stays pristine, so that the pair's weight is +G or -G by chance. Where both
    break down at the same step, both are formed: a smaller step makes that rarer.

    Args:
        start: volts of the first pulse; None starts 5 spreads below the mean breakdown voltage.
        stop: volts not to exceed; None stops 5 spreads above it.
        step: volts from pulse to pulse.
        width: seconds; the technology's forming_width where None.
        compliance: amperes; the technology's where None.
    """

    start: float | None = None
    stop: float | None = None
    step: float = 0.01
    width: float | None = None
    compliance: float | None = None

    def __post_init__(self) -> None:
        refuse_unphysical(
            start=self.start, stop=self.stop, step=self.step, width=self.width,
            compliance=self.compliance,
        )  # fmt: skip
        if self.start is not None and self.stop is not None and self.stop < self.start:
            raise SettingError(f"The ramp stops at {self.stop} V below its start, {self.start} V")

    def voltages(self, technology: Technology) -> list[float]:
        """The amplitudes of the ramp in volts.

        Raises:
            SettingError: where start or stop alone leaves no room for a pulse.
        """
        margin = 5.0 * technology.breakdown_spread
        start = self.start or technology.breakdown_voltage - margin
        stop = self.stop or technology.breakdown_voltage + margin
        if stop < start:
            raise SettingError(
                f"The ramp stops at {stop:g} V below its start, {start:g} V",
                where=f"technology {technology.name}",
                cause="the end that was left out lies 5 spreads from the mean breakdown voltage",
                remedy="Give both start and stop, or neither",
            )
        return [start + n * self.step for n in range(int((stop - start) / self.step + 1e-9) + 1)]

    def run(self, chip: Formable, cells: Tensor) -> None:
        """Pulses the pairs that have not conducted yet, step by step."""
        law = chip.technology
        width = self.width or law.forming_width
        voltages, compliance = self.voltages(law), self.current(law)
        chip.ramp(cells, voltages=voltages, width=width, compliance=compliance)


def refuse_unphysical(**quantities: float | Sequence[float] | None) -> None:
    """Refuses quantities of forming pulses that are not positive and finite; None passes.

    Raises:
        SettingError: naming the first.
    """
    for name, asked in quantities.items():
        for value in asked if isinstance(asked, Sequence) else (asked,):
            if value is not None and not (value > 0.0 and math.isfinite(value)):
                raise SettingError(
                    f"{name} of the forming pulse is {value}",
                    cause="amplitudes, widths and currents are positive in SI units",
                    remedy="Give a positive number of volts, seconds or amperes",
                )
