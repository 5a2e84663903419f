"""An oxide: from thickness, area, voltage, pulse and compliance to breakdown and conductance."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from secateur.device.breakdown.filament import CONDUCTANCE_QUANTUM, Filament, grown
from secateur.device.breakdown.percolation import (
    Floats,
    site_times,
    spanning_cluster,
    thresholds,
    weibull_slope,
)
from secateur.device.drift import BOLTZMANN
from secateur.device.technology import Technology
from secateur.device.units import Amperes, Count, Electronvolts, Kelvin, Seconds, Siemens, Spread
from secateur.errors import SettingError
from secateur.keyed import key_of


class Oxide(BaseModel):
    """A thin oxide between two electrodes, in SI units. Frozen.

    Defaults are those of the TaOx cells as far as known; what is not is an assumption, said here.
    `fitted` replaces the three that the breakdown voltages determine.

    Raises:
        SettingError: from `of`, for values that cannot be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thickness: float = Field(8e-9, gt=0.0, description="m; 8 nm TaOx, published")
    thickness_spread: Spread = Field(0.0332, description="from cell to cell, over the thickness")
    site: float = Field(1e-9, gt=0.0, description="m; size of a defect, assumption")
    area: float = Field(1e-14, gt=0.0, description="m2; (100 nm)^2, assumption")
    exponent: Count = Field(1.0, description="of time in the number of defects, assumption")
    field_acceleration: float = Field(
        5e-8, gt=0.0, description="m/V; 5 cm/MV, of the order of other oxides, assumption"
    )
    activation_energy: Electronvolts = Field(0.7, description="of defects, assumption")
    slowest: Seconds = Field(2e-8, description="time scale without field and barrier")
    temperature: Kelvin = Field(300.0, description="during forming")
    width: Seconds = Field(1e-6, description="of the forming pulse, assumption")
    compliance: Amperes = Field(3.4e-5, description="current at which growth stops; for 12.2 uS")
    hop: Siemens = Field(CONDUCTANCE_QUANTUM, description="between two defects, assumption")

    @classmethod
    def of(cls, **values: float) -> "Oxide":
        """An oxide of these values, checked."""
        try:
            made = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingError(
                f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}",
                where="oxide", remedy="Known: " + ", ".join(cls.model_fields),
            ) from error  # fmt: skip
        if made.layers < 2 or made.columns < 1.0:
            raise SettingError(
                f"An oxide of {made.layers} layers and {made.columns:g} columns has no path",
                where="oxide", remedy="Give a smaller site, or a thicker and larger oxide",
            )  # fmt: skip
        return made

    @property
    def layers(self) -> int:
        """Sites from electrode to electrode."""
        return round(self.thickness / self.site)

    @property
    def columns(self) -> float:
        """Sites of the area."""
        return self.area / self.site**2

    @property
    def volts_per_efold(self) -> float:
        """Voltage that makes defects e times faster: thickness over field acceleration."""
        return self.thickness / self.field_acceleration

    def generation_time(self, voltage: float | Floats) -> Floats:
        """Seconds in which a site gets one defect on average, at a voltage.

        slowest x exp(Ea / kT - gamma V / h): the field lowers the barrier (E model of
        time-dependent dielectric breakdown; McPherson, J. Appl. Phys. 84, 1998).
        """
        barrier = self.activation_energy / (BOLTZMANN * self.temperature)
        time: Floats = self.slowest * np.exp(barrier - np.asarray(voltage) / self.volts_per_efold)
        return time

    def breakdown_voltage(self, threshold: Floats, thickness: Floats) -> Floats:
        """Volts at which a pulse lasts as long as a cell's threshold.

        Args:
            threshold: of percolation, in units of the generation time.
            thickness: of each cell over the nominal one.
        """
        barrier = self.activation_energy / (BOLTZMANN * self.temperature)
        efolds = math.log(self.slowest / self.width) + barrier + np.log(threshold)
        volts: Floats = thickness * self.volts_per_efold * efolds
        return volts


@dataclass(frozen=True)
class FormedCells:
    """What the model has formed: one entry per cell.

    Args:
        voltage: volts, breakdown.
        conductance: siemens, after forming.
        filaments: what conducts.
        threshold: of percolation, in units of the generation time: what is left of the spread
            without thickness variation.
        slope: Weibull slope of these.
    """

    voltage: Tensor
    conductance: Tensor
    filaments: list[Filament]
    threshold: Tensor
    slope: float


# Columns simulated around each filament. A larger area is more of the same, of which the weakest
# breaks down: that shifts every threshold by the area law, which a test holds the lattice to.
WINDOW = 12


def form_oxide(oxide: Oxide, *, cells: int, seed: int = 0) -> FormedCells:
    """Breaks cells down and grows their filaments.

    Args:
        oxide: its numbers.
        cells: how many, 20 or more.
        seed: of every draw.

    Raises:
        SettingError: for fewer than 20 cells, and where a compliance cannot be reached.
    """
    if cells < 20:
        raise SettingError(
            f"{cells} cells say nothing about a distribution", remedy="Form 20 or more"
        )
    draws = np.random.Generator(np.random.Philox(key_of(seed, "breakdown")))
    shape = (cells, oxide.layers, WINDOW, WINDOW)
    uniforms = draws.random(shape)
    times = site_times(uniforms.clip(1e-300), exponent=oxide.exponent)
    window = thresholds(times)
    slope = weibull_slope(window)
    threshold = window * (oxide.columns / WINDOW**2) ** (-1.0 / slope)
    thickness = 1.0 + oxide.thickness_spread * draws.standard_normal(cells)
    voltage = oxide.breakdown_voltage(threshold, thickness)
    filaments = [
        grown(
            np.argwhere(spanning_cluster(times[n] <= window[n])), layers=oxide.layers,
            stop=oxide.compliance / voltage[n], hop=oxide.hop, draws=draws,
        )
        for n in range(cells)
    ]  # fmt: skip
    conductance = torch.tensor([filament.conductance for filament in filaments])
    return FormedCells(
        torch.from_numpy(voltage), conductance.double(), filaments, torch.from_numpy(threshold),
        slope,
    )  # fmt: skip


def with_forming_of(
    technology: Technology, oxide: Oxide, *, cells: int = 2000, seed: int = 0
) -> Technology:
    """A technology whose forming statistics are the model's instead of fitted distributions.

    Breakdown voltage, its spread, its lowest and its fall with the pulse width, the median formed
    conductance and its ln-spread (less the technology's cycle-to-cycle part) are replaced.
    """
    formed = form_oxide(oxide, cells=cells, seed=seed)
    logarithm = formed.conductance.log()
    frozen = float(logarithm.var()) - technology.high_cycle_spread**2
    return technology.with_origin(
        f"assumption: percolation model of forming: {cells} cells, {oxide!r}",
        breakdown_voltage=float(formed.voltage.mean()),
        breakdown_spread=float(formed.voltage.std()),
        breakdown_cells=cells,
        breakdown_lowest=float(formed.voltage.min()),
        breakdown_slope=oxide.volts_per_efold * math.log(10.0),
        forming_width=oxide.width,
        compliance_current=oxide.compliance,
        high_conductance=float(formed.conductance.median()),
        high_device_spread=math.sqrt(max(frozen, 0.0)),
    )
