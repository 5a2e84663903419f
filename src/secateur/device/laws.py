"""Laws that a technology chooses from: a table with the word `law` names the formula.

Thin skins over the functions of `deviation` and `drift`: what a law adds is the numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from secateur.device import deviation, drift
from secateur.device.reading import pair_deviation, read_deviation
from secateur.device.units import (
    Coefficients,
    Count,
    Fraction,
    Number,
    Seconds,
    Siemens,
    Spread,
)

# Standard deviations in siemens of cells written to the given conductances.
Spreads: TypeAlias = Callable[[Tensor], Tensor]


class Law(BaseModel, ABC):
    """Numbers of one formula; frozen, without defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    law: str


# --- Spreads against conductance: of written cells, and of reads ---------------------------------


class DeviationLaw(Law):
    """A standard deviation in siemens, for conductances in siemens."""

    @abstractmethod
    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """The published value, the shape of `conductance`.

        Args:
            conductance: siemens by now.
            age: seconds after settling.
            programmed: siemens that the last pulse has left; None where that is the same.
        """

    def scaled(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None, *,
        share: float, at: float,
    ) -> Tensor:  # fmt: skip
        """The deviation, scaled so that a fresh cell at conductance `at` has `share` x `at`."""
        reference = float(self.deviation(torch.tensor(at, dtype=torch.float64)))
        return self.deviation(conductance, age, programmed) * (share * at / reference)

    def of_pairs(
        self, cells: Tensor, age: float | Tensor, programmed: Tensor | None = None, *,
        share: float, at: float,
    ) -> Tensor:  # fmt: skip
        """Deviation of the difference of each pair: variances of independent noises add.

        Args:
            cells: siemens by now, (n, 2).
            age: seconds, (n, 2) or a number.
            programmed: siemens, (n, 2), see `deviation`.
            share: see `scaled`, as `at`.

        Returns:
            Siemens, (n,).
        """
        high, low = self.scaled(cells, age, programmed, share=share, at=at).unbind(dim=1)
        return torch.hypot(high, low)


class Constant(DeviationLaw):
    """The same for every conductance."""

    law: Literal["constant"]

    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """One, whatever the conductance: the technology's own number is the deviation."""
        return torch.ones_like(conductance)


class Proportional(DeviationLaw):
    """A share of the conductance."""

    law: Literal["proportional"]

    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """The conductance: the technology's own number is the share."""
        return conductance

    def scaled(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None, *,
        share: float, at: float,
    ) -> Tensor:  # fmt: skip
        """The share of each conductance, wherever the law is anchored."""
        return read_deviation(conductance, read_noise=share)

    def of_pairs(
        self, cells: Tensor, age: float | Tensor, programmed: Tensor | None = None, *,
        share: float, at: float,
    ) -> Tensor:  # fmt: skip
        """See `pair_deviation`."""
        return pair_deviation(cells[:, 0], cells[:, 1], read_noise=share)


class Polynomial(DeviationLaw):
    """See `polynomial_deviation`."""

    law: Literal["polynomial"]
    coefficients: Coefficients = Field(description="of powers of G / full_scale, constant first")
    full_scale: Annotated[Siemens, Field(gt=0.0)] = Field(description="where G / full_scale is 1")
    lowest: Fraction = Field(description="smallest G / full_scale of the fit")

    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """See `polynomial_deviation`."""
        return deviation.polynomial_deviation(
            conductance, coefficients=self.coefficients, full_scale=self.full_scale,
            lowest=self.lowest,
        )  # fmt: skip


class Saturating(DeviationLaw):
    """See `saturating_deviation`."""

    law: Literal["saturating"]
    amplitude: Siemens = Field(description="of the strongest cells")
    scale: Annotated[Siemens, Field(gt=0.0)] = Field(description="where 63 % of it is reached")

    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """See `saturating_deviation`."""
        return deviation.saturating_deviation(
            conductance, amplitude=self.amplitude, scale=self.scale
        )


class _Flicker(DeviationLaw):
    """A read noise that grows while the cell ages: see `noise_growth`."""

    reference_age: Seconds = Field(description="from the pulse to the settled state")
    width: Seconds = Field(description="of the read that the law was measured with")

    def _growth(self, conductance: Tensor, age: float | Tensor) -> Tensor:
        age = torch.as_tensor(age, dtype=torch.float64, device=conductance.device)
        elapsed = age + self.reference_age
        return deviation.noise_growth(elapsed, width=self.width).to(conductance.dtype)


class FlickerPower(_Flicker):
    """See `power_deviation` and `noise_growth`."""

    law: Literal["flicker-power"]
    share: Fraction = Field(description="deviation over conductance at full_scale")
    exponent: Number = Field(description="of G / full_scale in that share")
    cap: Fraction = Field(description="largest deviation over conductance")
    full_scale: Annotated[Siemens, Field(gt=0.0)] = Field(description="where G / full_scale is 1")

    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """See `power_deviation` and `noise_growth`."""
        alone = deviation.power_deviation(
            conductance, share=self.share, exponent=self.exponent, cap=self.cap,
            full_scale=self.full_scale, programmed=programmed,
        )  # fmt: skip
        return alone * self._growth(conductance, age)


class FlickerLogarithmic(_Flicker):
    """See `logarithmic_deviation` and `noise_growth`."""

    law: Literal["flicker-logarithmic"]
    amplitude: Siemens = Field(description="per decade of conductance above 1 uS")

    def deviation(
        self, conductance: Tensor, age: float | Tensor = 0.0, programmed: Tensor | None = None
    ) -> Tensor:
        """See `logarithmic_deviation` and `noise_growth`."""
        alone = deviation.logarithmic_deviation(conductance, amplitude=self.amplitude)
        return alone * self._growth(conductance, age)


# --- What time does -----------------------------------------------------------------------------


class DriftLaw(Law):
    """The conductance of cells that no pulse touches."""

    #: Whether time changes anything at all.
    moves: ClassVar[bool] = True

    @abstractmethod
    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """Siemens after `age` seconds, the shape of `conductance`.

        Args:
            conductance: siemens as programmed.
            age: seconds since then, at the reference temperature.
            frozen: standard normals, drawn at a cell's birth.
            fresh: standard normals, drawn at its last pulse.
            written: the technology's law of programming errors.
        """


class NoDrift(DriftLaw):
    """Time changes nothing."""

    law: Literal["none"]
    moves: ClassVar[bool] = False

    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """The conductance itself."""
        return conductance


class PowerDrift(DriftLaw):
    """See `power_drift`; the exponent is normal from cell to cell, frozen at birth."""

    law: Literal["power"]
    exponent: Number = Field(description="mean exponent")
    exponent_spread: Spread = Field(description="its standard deviation from cell to cell")
    reference_age: Seconds = Field(description="from the pulse to the settled state")

    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """See `power_drift`."""
        exponent = self.exponent + self.exponent_spread * frozen
        return drift.power_drift(
            conductance, age, exponent=exponent, reference_age=self.reference_age
        )


class PowerDriftByState(DriftLaw):
    """See `power_drift`; mean and spread of the exponent follow `exponent_by_state`.

    The exponent is the magnitude of a normal: where the spread is wide, none drifts upward.
    """

    law: Literal["power-by-state"]
    mean_slope: Number = Field(description="of the mean exponent, per e-fold of conductance")
    mean_offset: Number = Field(description="mean exponent at full_scale")
    mean_lowest: Number = Field(description="smallest mean exponent")
    mean_highest: Number = Field(description="largest mean exponent")
    spread_slope: Number = Field(description="of the exponent's spread, per e-fold")
    spread_offset: Number = Field(description="spread at full_scale")
    spread_lowest: Fraction = Field(description="smallest spread")
    spread_highest: Fraction = Field(description="largest spread")
    full_scale: Annotated[Siemens, Field(gt=0.0)] = Field(description="where G / full_scale is 1")
    reference_age: Seconds = Field(description="from the pulse to the settled state")

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> "PowerDriftByState":
        if self.mean_lowest > self.mean_highest or self.spread_lowest > self.spread_highest:
            raise ValueError("a lowest value must not be above the highest one")
        return self

    def mean(self, conductance: Tensor) -> Tensor:
        """Mean exponent of cells at a conductance."""
        return drift.exponent_by_state(
            conductance, slope=self.mean_slope, offset=self.mean_offset,
            lowest=self.mean_lowest, highest=self.mean_highest, full_scale=self.full_scale,
        )  # fmt: skip

    def spread(self, conductance: Tensor) -> Tensor:
        """Standard deviation of the exponent among cells at a conductance."""
        return drift.exponent_by_state(
            conductance, slope=self.spread_slope, offset=self.spread_offset,
            lowest=self.spread_lowest, highest=self.spread_highest, full_scale=self.full_scale,
        )  # fmt: skip

    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """See `power_drift`."""
        exponent = (self.mean(conductance) + self.spread(conductance) * frozen).abs()
        return drift.power_drift(
            conductance, age, exponent=exponent, reference_age=self.reference_age
        )


class LogarithmicDrift(DriftLaw):
    """See `logarithmic_drift`; the fall is normal from cell to cell, frozen at birth."""

    law: Literal["logarithmic"]
    fall: Siemens = Field(description="mean fall per e-fold of time")
    fall_spread: Siemens = Field(description="its standard deviation from cell to cell")
    reference_age: Seconds = Field(description="from the pulse to the settled state")

    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """See `logarithmic_drift`."""
        fall = self.fall + self.fall_spread * frozen
        return drift.logarithmic_drift(
            conductance, age, fall=fall, reference_age=self.reference_age
        )


class Relaxation(DriftLaw):
    """See `widened`: the spread of written cells becomes that of another law."""

    law: Literal["relaxation"]
    reference_age: Seconds = Field(description="at which the programming law holds")
    late_age: Seconds = Field(description="at which the late law holds")
    late: Annotated[Polynomial | Saturating, Field(discriminator="law")] = Field(
        description="spread of written cells at late_age"
    )

    @model_validator(mode="after")
    def _late_is_later(self) -> "Relaxation":
        if not self.late_age > self.reference_age:
            raise ValueError("late_age must be above reference_age")
        return self

    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """See `widened`."""
        return drift.widened(
            conductance, age, fresh, early=written(conductance),
            late=self.late.deviation(conductance), reference_age=self.reference_age,
            late_age=self.late_age,
        )  # fmt: skip


class Retention(DriftLaw):
    """See `retained`; the time constant is lognormal from cell to cell, frozen at birth."""

    law: Literal["retention"]
    floor: Siemens = Field(description="where a lost state ends")
    time_constant: Seconds = Field(description="median, at the reference temperature")
    time_constant_spread: Spread = Field(description="its ln-spread from cell to cell")
    stretch: Count = Field(description="exponent of time: 1 for a single barrier")

    def aged(
        self, conductance: Tensor, age: Tensor, frozen: Tensor, fresh: Tensor,
        *, written: Spreads,
    ) -> Tensor:  # fmt: skip
        """See `retained`."""
        constant = self.time_constant * torch.exp(self.time_constant_spread * frozen.double())
        return drift.retained(
            conductance, age, floor=self.floor, time_constant=constant, shape=self.stretch
        )


_By = Field(discriminator="law")
ProgrammingLaw: TypeAlias = Annotated[Constant | Polynomial | Saturating, _By]
ReadLaw: TypeAlias = Annotated[
    Proportional | Polynomial | Saturating | FlickerPower | FlickerLogarithmic, _By
]  # fmt: skip
AnyDriftLaw: TypeAlias = Annotated[
    NoDrift | PowerDrift | PowerDriftByState | LogarithmicDrift | Relaxation | Retention, _By
]
