"""OWN MEASUREMENTS: from reads of cells to a technology, with intervals, tests and warnings."""

from secateur.device.measurement.components import Estimate, components, grouped, resampled
from secateur.device.measurement.drawing import draw_fit
from secateur.device.measurement.fit import Fit, GoodnessOfFit, fit_reads
from secateur.device.measurement.layouts import import_paper, import_table, refuse_pickled
from secateur.device.measurement.noise import NoiseFit, fit_noise
from secateur.device.measurement.table import Reads, load_reads, reads_from

__all__ = [
    "Estimate",
    "Fit",
    "GoodnessOfFit",
    "NoiseFit",
    "Reads",
    "components",
    "draw_fit",
    "fit_noise",
    "fit_reads",
    "grouped",
    "import_paper",
    "import_table",
    "load_reads",
    "reads_from",
    "refuse_pickled",
    "resampled",
]
