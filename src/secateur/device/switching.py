"""SET and RESET: coarse pulses that raise a formed cell to its high state or lower it again."""

from torch import Tensor


def switched_conductance(
    device_draw: Tensor,
    cycle_draw: Tensor,
    *,
    median: float | Tensor,
    device_spread: float,
    cycle_spread: float,
) -> Tensor:
    """Conductance after a pulse: lognormal, with a frozen part and a part drawn per pulse.

    ln G = ln median + device_spread * d + cycle_spread * c. The same law serves forming and SET
    (around the high state) and RESET (around the low one), each with its own numbers.

    Args:
        device_draw: standard normals d, frozen at a cell's birth, any shape.
        cycle_draw: standard normals c, new at every pulse, the same shape.
        median: siemens, a number or one per cell.
        device_spread: standard deviation of ln G from cell to cell.
        cycle_spread: standard deviation of ln G from pulse to pulse of one cell.

    Returns:
        Siemens, the shape of the draws.
    """
    exponent = device_spread * device_draw + cycle_spread * cycle_draw
    return exponent.exp_().mul_(median)


def median_at_compliance(median: float, *, compliance: float, reference: float) -> float:
    """The high state's median in siemens when forming or SET stops at another current.

    Proportional to the compliance current: the voltage left over the cell when the filament stops
    growing is nearly constant (Ielmini, IEEE Trans. Electron Devices 58, 2011).

    Args:
        median: siemens, at the reference current.
        compliance: amperes.
        reference: amperes.
    """
    return median * compliance / reference
