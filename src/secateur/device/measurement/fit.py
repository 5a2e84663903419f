"""From reads of cells to a technology: every fitted number with its interval, nothing guessed."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from secateur.device.measurement.components import (
    Estimate,
    Floats,
    Groups,
    components,
    grouped,
    resampled,
)
from secateur.device.measurement.noise import NoiseFit, fit_noise
from secateur.device.measurement.table import Reads
from secateur.device.technology import Technology, unit_of
from secateur.errors import SettingError
from secateur.keyed import key_of

# Memories differ less than that in what their high states conduct, units more.
_OTHER_UNIT = 300.0
_FEWEST_CELLS, _FEW_CELLS, _FEW_CYCLES, _FEW_TIMES = 5, 20, 5, 3
# Shapiro and Wilk's test is calibrated up to so many samples.
_MOST_TESTED = 5000
_REJECTED = 0.01


@dataclass(frozen=True)
class GoodnessOfFit:
    """Whether a distribution is what its law says.

    Args:
        law: the law in words.
        sample: standardised values that should be standard normals.
        p_value: of Shapiro and Wilk's test.
    """

    law: str
    sample: Floats
    p_value: float


@dataclass
class Fit:
    """What measurements say about a technology, and what they do not.

    Args:
        technology: the fitted one; what was not measured is `like`'s, marked as an assumption.
        cells: how many were measured.
        estimates: fitted parameters by name.
        tests: of the laws, by name.
        warnings: where the data cannot support a number.
        noise: what the read noise was fitted on; None without repeated reads.
    """

    technology: Technology
    cells: int
    estimates: dict[str, Estimate] = field(default_factory=dict)
    tests: dict[str, GoodnessOfFit] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    noise: NoiseFit | None = None

    def set(self, values: dict[str, Estimate], source: str) -> None:
        """Takes numbers over, with their origin."""
        self.estimates |= values
        origins = {
            name: f"source: fit of {source}: 95 % within {e.low:.4g} and {e.high:.4g} "
            f"{unit_of(name)}, {self.cells} cells"
            for name, e in values.items()
        }
        numbers = {name: estimate.value for name, estimate in values.items()}
        self.technology = self.technology.with_origin(origins, **numbers)

    def test(self, name: str, law: str, sample: Floats) -> None:
        """Holds a sample against the normal law."""
        spread = sample.std(ddof=1) if len(sample) > 2 else 0.0
        if not spread > 0.0:
            return
        standard = (sample - sample.mean()) / spread
        p_value = float(stats.shapiro(standard[:_MOST_TESTED]).pvalue)
        self.tests[name] = GoodnessOfFit(law, standard, p_value)
        if p_value < _REJECTED:
            self.warnings.append(
                f"{name}: the data are not {law} (p = {p_value:.1g}); look at the plots before you "
                "trust its tails"
            )


def fit_reads(reads: Reads, *, like: Technology, name: str, seed: int = 0) -> Fit:
    """Fits a technology to measurements.

    Args:
        reads: of cells, see `load_reads`.
        like: technology that gives what was not measured.
        name: of the fitted one.
        seed: of the resampling behind the intervals.

    Raises:
        SettingError: for fewer than 5 cells, or no read in the high state.
    """
    cells = len(np.unique(reads.cell))
    if cells < _FEWEST_CELLS or not reads.high.any():
        raise SettingError(
            f"{cells} cells with {int(reads.high.sum())} reads in the high state cannot be fitted",
            where=reads.source, remedy="Measure 5 cells or more after forming or SET",
        )  # fmt: skip
    draws = np.random.Generator(np.random.Philox(key_of(seed, "fit")))
    assumed = {row[0]: f"assumption: as {like.name}; not measured" for row in like.parameters()}
    assumed |= {row[0]: assumed.get(row[0], f"assumption: as {like.name}; not measured")
                for row in like.laws() if row[4]}  # fmt: skip
    title = f"Fit of {Path(reads.source).name}: {cells} cells"
    fit = Fit(like.with_origin(assumed, name=name, title=title), cells)
    if cells < _FEW_CELLS:
        fit.warnings.append(f"{cells} cells are few: no interval of a spread can be trusted")
    _fit_forming(fit, reads, draws)
    fresh = _fresh(reads)
    _fit_read_noise(fit, reads, fresh, draws)
    for state in ("high", "low"):
        _fit_state(fit, reads, fresh, state, draws)
    _doubt_unit(fit, like)
    if fit.noise is not None:
        _settle_read_law(fit, reads.source)
    _fit_drift(fit, reads, draws)
    for parameter, estimate in fit.estimates.items():
        if estimate.high - estimate.low > abs(estimate.value):
            fit.warnings.append(
                f"{parameter}: the data hardly support it; the interval is wider than the value"
            )
    return fit


# --- Parts --------------------------------------------------------------------------------------


def _doubt_unit(fit: Fit, like: Technology) -> None:
    """Warns where a unit of another power of a thousand is likelier than such a memory."""
    found = fit.estimates["high_conductance"].value
    if not like.high_conductance / _OTHER_UNIT < found < like.high_conductance * _OTHER_UNIT:
        fit.warnings.append(
            f"high_conductance: {found:.3g} S is far from the {like.high_conductance:.3g} S of "
            f"{like.name}; is the unit in the heading that of the numbers?"
        )


def _fit_forming(fit: Fit, reads: Reads, draws: np.random.Generator) -> None:
    if reads.forming_voltage is None:
        fit.warnings.append("forming voltages were not recorded: those of the assumption stay")
        return
    groups = grouped(reads.cell, np.zeros_like(reads.cell), reads.forming_voltage)
    if float(groups.variance.max()) > 1e-12:
        cell = int(np.unique(reads.cell)[int(groups.variance.argmax())])
        raise SettingError(
            f"Cell {cell} has several forming voltages", where=reads.source,
            cause="a cell is formed once", remedy="Give the same voltage in all its rows",
        )  # fmt: skip
    volts = groups.mean

    def moments(weights: Floats) -> Floats:
        mean = weights @ volts / weights.sum()
        variance = weights @ (volts - mean) ** 2 / (weights.sum() - 1.0)
        return np.array([mean, variance**0.5])

    mean, spread = resampled(moments, groups.cells, draws=draws)
    fit.set({"breakdown_voltage": mean, "breakdown_spread": spread}, reads.source)
    fit.technology = fit.technology.with_origin(
        f"source: {reads.source}", breakdown_cells=len(volts), breakdown_lowest=float(volts.min())
    )
    fit.test("forming voltage", "normal from cell to cell", volts)


def _fit_read_noise(
    fit: Fit, reads: Reads, fresh: dict[str, Groups], draws: np.random.Generator
) -> None:
    fit.noise = fit_noise(fresh, draws=draws)
    if fit.noise is None:
        fit.warnings.append(
            "no cell was read twice after a pulse: read noise stays an assumption, and is taken "
            "off the spreads"
        )
        return
    fit.set({"read_noise": fit.noise.share}, reads.source)


def _settle_read_law(fit: Fit, source: str) -> None:
    """The law once the high conductance is known; a proportional one needs no second look."""
    noise = fit.noise
    if noise is None:
        return
    if noise.exponent is None:
        fit.warnings.append(
            "reads span too narrow a range of conductances to tell how noise depends on it: "
            "proportional is assumed"
        )
        origin = "assumption: proportional; the reads do not tell how noise depends on conductance"
        fit.technology = fit.technology.with_origin({"read_law": origin}, read_law=noise.law())
        return
    origin = f"noise grows as G^{noise.exponent.value:.3g}, 95 % within "
    origin = f"source: fit of {source}: {origin}{noise.exponent.low:.3g} and "
    origin += f"{noise.exponent.high:.3g}"
    law = noise.law()
    at = fit.technology.high_conductance
    fit.technology = fit.technology.with_origin({"read_law": origin}, read_law=law)
    if law["law"] == "polynomial":
        centre = float(fit.technology.read_law.deviation(_tensor(at))) / at
        wide = noise.share
        ratio = centre / wide.value
        share = Estimate(centre, wide.low * ratio, wide.high * ratio)
        fit.set({"read_noise": share}, source)


def _fit_state(
    fit: Fit, reads: Reads, fresh: dict[str, Groups], state: str, draws: np.random.Generator
) -> None:
    groups = fresh[state]
    if groups.cells < _FEWEST_CELLS:
        fit.warnings.append(f"the {state} state was not measured: that of the assumption stays")
        return
    law = fit.technology
    noise = law.read_noise
    assumed = float(getattr(law, f"{state}_cycle_spread"))

    def statistic(weights: Floats) -> Floats:
        mean, device, cycle = components(groups, weights, noise=noise)
        if np.isnan(cycle):
            device = max(device**2 - assumed**2, 0.0) ** 0.5
        return np.array([np.exp(mean), device, cycle])

    median, device, cycle = resampled(statistic, groups.cells, draws=draws)
    parameter = {"high": "high_conductance", "low": "low_conductance"}[state]
    values = {parameter: median, f"{state}_device_spread": device}
    pulses = np.bincount(groups.cell)
    if np.isnan(cycle.value):
        fit.warnings.append(
            f"{state}_cycle_spread: no cell was cycled; the assumed one stays, and is taken off "
            "the spread from cell to cell"
        )
    else:
        values[f"{state}_cycle_spread"] = cycle
        if float(np.median(pulses)) < _FEW_CYCLES:
            fit.warnings.append(
                f"{state}_cycle_spread: {np.median(pulses):.0f} cycles of a cell are too few to "
                "tell it from the spread between cells with any certainty"
            )
    fit.set(values, reads.source)
    logs = np.log(groups.mean)
    means = np.bincount(groups.cell, logs) / pulses
    fit.test(f"{state} state", "lognormal from cell to cell", means)
    inside = (logs - means[groups.cell])[pulses[groups.cell] > 1]
    if len(inside):
        fit.test(f"{state} state, cycles", "lognormal from cycle to cycle", inside)


def _fit_drift(fit: Fit, reads: Reads, draws: np.random.Generator) -> None:
    if reads.time is None:
        fit.warnings.append("times were not recorded: drift stays an assumption")
        return
    high = reads.high
    pulse = np.stack([reads.cell, reads.cycle])[:, high]
    _, place = np.unique(pulse, axis=1, return_inverse=True)
    place = place.ravel()
    later, logs = np.log(reads.time[high]), np.log(reads.conductance[high])
    count = np.bincount(place)
    later = later - (np.bincount(place, later) / count)[place]
    logs = logs - (np.bincount(place, logs) / count)[place]
    _, cell = np.unique(reads.cell[high], return_inverse=True)
    span = np.bincount(cell, later**2)
    if len(np.unique(reads.time[high])) < _FEW_TIMES or not (span > 0.0).all():
        fit.warnings.append("fewer than 3 times after a pulse: drift stays an assumption")
        return
    exponent = -np.bincount(cell, later * logs) / span
    uncertain = fit.technology.read_noise**2 / span

    def statistic(weights: Floats) -> Floats:
        mean = weights @ exponent / weights.sum()
        variance = weights @ (exponent - mean) ** 2 / (weights.sum() - 1.0)
        return np.array([mean, max(variance - weights @ uncertain / weights.sum(), 0.0) ** 0.5])

    mean, spread = resampled(statistic, len(exponent), draws=draws)
    fit.estimates |= {"drift_law.exponent": mean, "drift_law.exponent_spread": spread}
    origin = (
        f"source: fit of {reads.source}: 95 % of the exponent within {mean.low:.3g} and "
        f"{mean.high:.3g}, of its spread within {spread.low:.3g} and {spread.high:.3g}"
    )
    law = {
        "law": "power", "exponent": mean.value, "exponent_spread": spread.value,
        "reference_age": float(reads.time.min()),
    }  # fmt: skip
    fit.technology = fit.technology.with_origin({"drift_law": origin}, drift_law=law)
    fit.test("drift exponent", "normal from cell to cell", exponent)


def _fresh(reads: Reads) -> dict[str, Groups]:
    """First reads after each pulse, by state: before drift has done anything."""
    keep = np.ones(len(reads.cell), dtype=bool)
    if reads.time is not None:
        pulses = np.stack([reads.cell, reads.cycle, reads.high])
        _, place = np.unique(pulses, axis=1, return_inverse=True)
        place = place.ravel()
        first = np.full(int(place.max()) + 1, np.inf)
        np.minimum.at(first, place, reads.time)
        keep = reads.time <= first[place] * (1.0 + 1e-9)
    found = {}
    for state, high in (("high", True), ("low", False)):
        chosen = keep & (reads.high == high)
        found[state] = grouped(reads.cell[chosen], reads.cycle[chosen], reads.conductance[chosen])
    return found


def _tensor(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)
