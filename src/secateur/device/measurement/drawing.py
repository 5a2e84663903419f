"""Goodness of fit, drawn: normal probability plots, and noise against conductance."""

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from secateur.device.measurement.fit import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DATA, _LAW = "#2a6f97", "#b3261e"


def draw_fit(fit: Fit) -> "Figure":
    """One panel for each test, and one for the read noise where it was measured.

    In a probability plot the points of a sample that follows its law lie on the line.
    """
    from matplotlib.figure import Figure

    panels = len(fit.tests) + (fit.noise is not None)
    columns = min(3, max(panels, 1))
    rows = -(-panels // columns) or 1
    figure = Figure(figsize=(3.6 * columns, 3.2 * rows), layout="constrained")
    places = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for name, test in fit.tests.items():
        place = places.pop(0)
        sample = np.sort(test.sample)
        expected = stats.norm.ppf((np.arange(len(sample)) + 0.5) / len(sample))
        place.plot(expected, sample, ".", color=_DATA, ms=3)
        place.axline((0.0, 0.0), slope=1.0, color=_LAW, lw=1.0)
        place.set_title(f"{name} (p = {test.p_value:.2g})", fontsize=9)
        place.set_xlabel("standard normal")
        place.set_ylabel("measured, standardised")
    if fit.noise is not None:
        _draw_noise(places.pop(0), fit)
    for place in places:
        place.remove()
    return figure


def _draw_noise(place: "Axes", fit: Fit) -> None:
    import torch

    noise = fit.noise
    if noise is None:
        return
    place.loglog(1e6 * noise.conductance, 1e6 * noise.deviation, ".", color=_DATA, ms=2, alpha=0.4)
    centres, deviations = noise.binned()
    place.loglog(1e6 * centres, 1e6 * deviations, "o", color=_DATA, ms=5)
    line = np.geomspace(noise.conductance.min(), noise.conductance.max(), 60)
    law = fit.technology.read_deviation(torch.from_numpy(line)).numpy()
    place.loglog(1e6 * line, 1e6 * law, color=_LAW, lw=1.0)
    place.set_title("read noise", fontsize=9)
    place.set_xlabel("conductance / µS")
    place.set_ylabel("standard deviation / µS")
