"""Fitting the model to breakdown voltages alone, and asking what of the slope law is in them.

Percolation alone would spread breakdown voltages by a law with a long tail of weak cells: its
logarithmic times follow the smallest-extreme-value (Weibull) law. Thickness that differs from
cell to cell spreads them normally. Mean and standard deviation cannot tell the two apart; the
weakest and strongest of many cells can.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from torch import Tensor

from secateur.device.breakdown.oxide import Oxide
from secateur.device.breakdown.percolation import Floats
from secateur.device.drift import BOLTZMANN
from secateur.errors import SettingError

# Standard deviation of the logarithm of a Weibull variable of slope 1.
_EXTREME = math.pi / math.sqrt(6.0)
# Half the 95 % quantile of chi-squared with one degree of freedom, one-sided.
_ALLOWED = 1.353
# Equally likely normal draws that stand for the whole law.
_NODES = 200


@dataclass(frozen=True)
class VoltageFit:
    """What breakdown voltages say about an oxide.

    Args:
        oxide: the fitted one: thickness spread and time scale, and the field acceleration where
            the voltages forbid the assumed one.
        share: of the variance that percolation explains, most likely value; None where no
            extreme was measured, for mean and spread cannot tell.
        share_limit: largest share that the extremes allow at 95 % confidence; 1 without any.
        pure_law: probability of a weakest cell as strong as the measured one, had all spread come
            from percolation; None without one.
        normal_law: the same, had all of it come from the thickness.
    """

    oxide: Oxide
    share: float | None
    share_limit: float
    pure_law: float | None
    normal_law: float | None

    @property
    def slope_law_survives(self) -> bool | None:
        """Whether the measured spread can be that of percolation, at 5 %; None: nobody knows."""
        return None if self.pure_law is None else self.pure_law >= 0.05


def fit_voltages(
    oxide: Oxide, *, mean: float, spread: float, lowest: float | None, cells: int,
    threshold: Tensor, highest: float | None = None,
) -> VoltageFit:  # fmt: skip
    """Fits thickness spread and time scale to measured breakdown voltages.

    Args:
        oxide: starting point: thickness, site, area, and the assumed field acceleration.
        mean: volts.
        spread: volts, standard deviation.
        lowest: volts, of the weakest cell; None where it is not known, and `cells` means nothing.
        cells: measured, 20 or more.
        threshold: of percolation, of many cells, as `form_oxide` finds them.
        highest: volts, of the strongest cell; None where it is not known.

    Raises:
        SettingError: for statistics that cannot be.
    """
    if not (0.0 < spread < mean and (lowest is None or (lowest < mean and cells >= 20))):
        raise SettingError(
            f"Mean {mean} V, standard deviation {spread} V, lowest {lowest} V of {cells} cells "
            "cannot be fitted",
            remedy="Give positive volts, the lowest below the mean, and 20 cells or more",
        )
    low = None if lowest is None else (lowest - mean) / spread
    high = None if highest is None else (highest - mean) / spread
    best, limit = (None, 1.0) if low is None else _shares(low, high, cells)
    efolds = threshold.log()
    own = (float(efolds.std()) * oxide.volts_per_efold / spread) ** 2
    share = min(own, limit)
    efold = oxide.volts_per_efold * math.sqrt(share / own)
    barrier = oxide.activation_energy / (BOLTZMANN * oxide.temperature)
    fitted = oxide.model_copy(
        update={
            "field_acceleration": oxide.thickness / efold,
            "thickness_spread": math.sqrt(1.0 - share) * spread / mean,
            "slowest": oxide.width * math.exp(mean / efold - barrier - float(efolds.mean())),
        }
    )
    return VoltageFit(
        oxide=fitted, share=best, share_limit=limit,
        pure_law=None if low is None else _stronger(low, 1.0, cells),
        normal_law=None if low is None else _stronger(low, 0.0, cells),
    )  # fmt: skip


def mixed_distribution(value: float | Floats, share: float) -> Floats:
    """Cumulative law of a standardised voltage: normal and smallest-extreme-value parts added.

    Args:
        value: deviations from the mean over the standard deviation.
        share: of the variance that the smallest-extreme-value part has.
    """
    value = np.atleast_1d(np.asarray(value, dtype=float))
    if share < 1e-6:
        return np.asarray(stats.norm.cdf(value))
    extreme = stats.gumbel_l(loc=np.euler_gamma / _EXTREME, scale=1.0 / _EXTREME)
    if share > 1.0 - 1e-6:
        return np.asarray(extreme.cdf(value))
    nodes = stats.norm.ppf((np.arange(_NODES) + 0.5) / _NODES)
    rest = (value[:, None] - math.sqrt(1.0 - share) * nodes) / math.sqrt(share)
    return np.asarray(extreme.cdf(rest).mean(axis=1))


def _shares(low: float, high: float | None, cells: int) -> tuple[float, float]:
    """Most likely share of percolation, and the largest that the extremes allow."""
    shares = np.linspace(0.0, 1.0, 101)
    likelihood = np.array([_log_likelihood(low, high, share, cells) for share in shares])
    best = int(likelihood.argmax())
    return float(shares[best]), float(shares[likelihood >= likelihood[best] - _ALLOWED].max())


def _stronger(low: float, share: float, cells: int) -> float:
    return float((1.0 - mixed_distribution(low, share)[0]) ** cells)


def _log_likelihood(low: float, high: float | None, share: float, cells: int) -> float:
    step = 1e-3
    below = float(mixed_distribution(low, share)[0])
    total = _log_density(low, share, step)
    if high is None:
        return total + (cells - 1) * math.log1p(-below)
    above = float(mixed_distribution(high, share)[0])
    return total + _log_density(high, share, step) + (cells - 2) * math.log(above - below)


def _log_density(value: float, share: float, step: float) -> float:
    lower, upper = mixed_distribution(np.array([value - step, value + step]), share)
    return math.log(max(float(upper - lower), 1e-300))
