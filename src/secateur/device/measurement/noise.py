"""Read noise from repeated reads: its size, and how it depends on the conductance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.device.measurement.components import Estimate, Floats, Groups, resampled

# Spread of ln G below which a dependence on it cannot be seen.
_NARROW = 0.25
_BINS = 12


@dataclass(frozen=True)
class NoiseFit:
    """What repeated reads say.

    Args:
        conductance: siemens, mean of each group of reads.
        deviation: siemens, of the reads in it.
        share: deviation over conductance in the high state.
        exponent: of the conductance in the deviation; None where the range is too narrow.
    """

    conductance: Floats
    deviation: Floats
    share: Estimate
    exponent: Estimate | None

    def law(self) -> dict[str, Any]:
        """Proportional where the exponent may be 1, otherwise a parabola through binned noise."""
        if self.exponent is None or self.exponent.low <= 1.0 <= self.exponent.high:
            return {"law": "proportional"}
        full = float(self.conductance.max())
        centres, deviations = self.binned()
        weights = 1.0 / deviations
        fitted = np.polyfit(centres / full, deviations, 2, w=weights)
        return {
            "law": "polynomial", "coefficients": tuple(float(c) for c in fitted[::-1]),
            "full_scale": full, "lowest": float(centres.min()) / full,
        }  # fmt: skip

    def binned(self) -> tuple[Floats, Floats]:
        """Mean conductance and noise of groups of like conductance, in siemens."""
        order = np.argsort(self.conductance)
        parts = np.array_split(order, min(_BINS, max(3, len(order) // 10)))
        centres = np.array([self.conductance[part].mean() for part in parts])
        noise = np.array([(self.deviation[part] ** 2).mean() ** 0.5 for part in parts])
        return centres, noise


def fit_noise(fresh: dict[str, Groups], *, draws: np.random.Generator) -> NoiseFit | None:
    """Read noise of cells read more than once after a pulse; None without such cells.

    Args:
        fresh: reads of the high and the low state.
        draws: of the resampling.
    """
    high = fresh["high"]
    if not (high.reads > 1).any():
        return None
    free = np.maximum(high.reads - 1, 0)
    relative = high.variance / high.mean**2

    def share(weights: Floats) -> Floats:
        chosen = weights[high.cell] * free
        return np.array([(chosen @ relative / chosen.sum()) ** 0.5])

    (size,) = resampled(share, high.cells, draws=draws)
    both = [groups for groups in fresh.values() if groups.cells]
    conductance = np.concatenate([g.mean[g.reads > 1] for g in both])
    variance = np.concatenate([g.variance[g.reads > 1] for g in both])
    count = np.concatenate([g.reads[g.reads > 1] for g in both])
    logs = np.log(conductance)
    exponent = None
    if logs.std() > _NARROW and (variance > 0.0).all():
        # The mean logarithm of a sample variance depends on its size: compare like with like.
        chosen = count == np.bincount(count).argmax()
        x, y = logs[chosen], 0.5 * np.log(variance[chosen])

        def slope(weights: Floats) -> Floats:
            total = weights.sum()
            across = x - weights @ x / total
            return np.array([(weights * across) @ y / ((weights * across) @ across)])

        (exponent,) = resampled(slope, len(x), draws=draws)
    return NoiseFit(conductance, variance**0.5, size, exponent)
