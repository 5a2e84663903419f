"""The model beside a technology: fitted on its breakdown voltages, predicting its conductances."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from secateur.device.breakdown.drawing import draw_filaments
from secateur.device.breakdown.fit import VoltageFit, fit_voltages
from secateur.device.breakdown.oxide import FormedCells, Oxide, form_oxide, with_forming_of
from secateur.device.technology import Technology
from secateur.files import write_atomically, write_figure


@dataclass(frozen=True)
class FormingReport:
    """A fit, the cells it forms, and the technology it is held against."""

    technology: Technology
    fit: VoltageFit
    formed: FormedCells
    seed: int

    def rows(self) -> list[tuple[str, str, float | None, float]]:
        """Name, unit, value of the technology (None where it has none), value of the model."""
        law, formed = self.technology, self.formed
        volts, logarithm = formed.voltage, formed.conductance.log()
        spread = math.hypot(law.high_device_spread, law.high_cycle_spread)
        # Of a lognormal: the technology's law.
        grown = math.exp(spread**2)
        skew = (grown + 2.0) * math.sqrt(grown - 1.0)
        weakest = float((volts.min() - volts.mean()) / volts.std())
        return [
            ("mean breakdown voltage", "V", law.breakdown_voltage, float(volts.mean())),
            ("its spread", "V", law.breakdown_spread, float(volts.std())),
            ("weakest cell / spreads", "1", self._weakest, weakest),
            ("median conductance", "S", law.high_conductance, float(formed.conductance.median())),
            ("its ln-spread", "1", spread, float(logarithm.std())),
            ("its skewness", "1", skew, float(stats.skew(formed.conductance.numpy()))),
            ("Weibull slope of percolation", "1", None, formed.slope),
        ]

    @property
    def _weakest(self) -> float | None:
        law = self.technology
        if not law.breakdown_cells:
            return None
        return (law.breakdown_lowest - law.breakdown_voltage) / law.breakdown_spread

    def table(self) -> dict[str, Any]:
        """All of it in plain JSON."""
        fit = self.fit
        rows = [
            dict(zip(("name", "unit", "technology", "model"), r, strict=True)) for r in self.rows()
        ]
        return {
            "quantities": rows,
            "oxide": fit.oxide.model_dump(),
            "share": fit.share,
            "share_limit": fit.share_limit,
            "pure_law": fit.pure_law,
            "normal_law": fit.normal_law,
            "slope_law_survives": fit.slope_law_survives,
        }

    def draw(self, path: Path) -> None:
        """Writes the cross-sections.

        Raises:
            SettingError: for a format that is none of PNG, SVG and PDF.
        """
        write_figure(path, draw_filaments(self.fit.oxide, self.formed))

    def write(self, path: Path) -> None:
        """Writes the technology with the model's forming statistics."""
        cells = len(self.formed.voltage)
        made = with_forming_of(self.technology, self.fit.oxide, cells=cells, seed=self.seed)
        write_atomically(path, made.toml().encode())


def forming_report(
    technology: Technology, *, oxide: Oxide | None = None, cells: int = 400, seed: int = 0
) -> FormingReport:
    """Fits an oxide to a technology's breakdown voltages and forms cells of it.

    Args:
        technology: that is to be explained.
        oxide: starting point; the TaOx cells' where None.
        cells: to form, 20 or more.
        seed: of every draw.

    Raises:
        SettingError: see `form_oxide` and `fit_voltages`.
    """
    start = oxide or Oxide.of()
    law = technology
    first = form_oxide(start, cells=cells, seed=seed)
    fit = fit_voltages(
        start, mean=law.breakdown_voltage, spread=law.breakdown_spread,
        lowest=law.breakdown_lowest if law.breakdown_cells else None,
        cells=int(law.breakdown_cells), threshold=first.threshold,
    )  # fmt: skip
    formed = form_oxide(fit.oxide, cells=cells, seed=seed)
    return FormingReport(technology, fit, formed, seed)
