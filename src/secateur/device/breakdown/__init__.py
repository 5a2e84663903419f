"""WHERE THE RANDOMNESS COMES FROM: dielectric breakdown as percolation, filaments as resistors."""

from secateur.device.breakdown.drawing import draw_filaments
from secateur.device.breakdown.filament import (
    CONDUCTANCE_QUANTUM,
    Filament,
    grown,
    network_conductance,
)
from secateur.device.breakdown.fit import VoltageFit, fit_voltages, mixed_distribution
from secateur.device.breakdown.oxide import FormedCells, Oxide, form_oxide, with_forming_of
from secateur.device.breakdown.percolation import (
    column_failure,
    percolates,
    site_times,
    spanning_cluster,
    thresholds,
    weibull_slope,
)
from secateur.device.breakdown.report import FormingReport, forming_report

__all__ = [
    "CONDUCTANCE_QUANTUM",
    "Filament",
    "FormedCells",
    "FormingReport",
    "Oxide",
    "VoltageFit",
    "column_failure",
    "draw_filaments",
    "fit_voltages",
    "form_oxide",
    "forming_report",
    "grown",
    "mixed_distribution",
    "network_conductance",
    "percolates",
    "site_times",
    "spanning_cluster",
    "thresholds",
    "weibull_slope",
    "with_forming_of",
]
