"""What columns sum: inputs times the conductances of pairs, with the noise of their reads."""

from torch import Tensor

from secateur.chip.chip import PairStatistics
from secateur.chip.placement import Region
from secateur.errors import ChipError
from secateur.keyed import normal


def column_sums(voltages: Tensor, region: Region, known: PairStatistics, *, key: int) -> Tensor:
    """Amperes (B, outputs); the noise of a column is drawn as one, exact in distribution.

    Args:
        voltages: (B, inputs), volts.
        region: that is multiplied by.
        known: mean and deviation of its pairs.
        key: of the noise.

    Raises:
        ChipError: for voltages of another number than there are input lines.
    """
    inputs, _ = region.matrix
    if (given := voltages.shape[-1]) != inputs:
        raise ChipError(f"{given} voltages for {inputs} input lines", where=region.name)
    first, spread = _matrix(region, known.difference), _matrix(region, known.deviation)
    variance = voltages.square() @ spread.square()
    draw = normal(variance.shape, key=key, device=variance.device)
    return voltages @ first + variance.sqrt() * draw


def _matrix(region: Region, values: Tensor) -> Tensor:
    flat = values.reshape(region.shape[0], -1)
    return flat if region.inputs_first else flat.T
