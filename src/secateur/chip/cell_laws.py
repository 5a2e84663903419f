"""The states of cells: a technology's numbers put into the laws of one cell."""

import math

import torch
from torch import Tensor

from secateur import device
from secateur.chip.placement import Geometry
from secateur.device import Technology
from secateur.keyed import cell_words, uniforms


def breakdown(law: Technology, draw: Tensor, *, width: float) -> Tensor:
    """Volts at which each cell breaks down under a pulse of `width` seconds."""
    return device.breakdown_voltage(
        draw, mean=law.breakdown_voltage, spread=law.breakdown_spread,
        slope=law.breakdown_slope, width=width, reference_width=law.forming_width,
    )  # fmt: skip


def high_state(law: Technology, frozen: Tensor, cycle: Tensor, median: float | Tensor) -> Tensor:
    """Siemens after forming or a SET, around the given median."""
    return device.switched_conductance(
        frozen, cycle, median=median,
        device_spread=law.high_device_spread, cycle_spread=law.high_cycle_spread,
    )  # fmt: skip


def low_state(law: Technology, frozen: Tensor, cycle: Tensor) -> Tensor:
    """Siemens after a RESET."""
    return device.switched_conductance(
        frozen, cycle, median=law.low_conductance,
        device_spread=law.low_device_spread, cycle_spread=law.low_cycle_spread,
    )  # fmt: skip


def formed(
    law: Technology, frozen: Tensor, cycle: Tensor, birth: Tensor, *, compliance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What breakdown leaves of cells: siemens, and masks of those stuck low and stuck high.

    Args:
        law: of the cells.
        frozen: their standard normals, two or more rows.
        cycle: those of this pulse.
        birth: uniforms in (0, 1) that say which cells are stuck.
        compliance: amperes that stopped the pulse.
    """
    low, high = device.born_stuck(
        birth, low_fraction=law.stuck_low_fraction, high_fraction=law.stuck_high_fraction
    )
    median = device.median_at_compliance(
        law.high_conductance, compliance=compliance, reference=law.compliance_current
    )
    left = high_state(law, frozen[0], cycle, median)
    return torch.where(low, low_state(law, frozen[1], cycle), left), low, high


def nearer_high(law: Technology, conductance: Tensor) -> Tensor:
    """Mask of conductances that are nearer to the high state than to the low one, as a ratio."""
    return conductance > math.sqrt(law.low_conductance * law.high_conductance)


def worn_out(law: Technology, wear: Tensor, draw: Tensor) -> Tensor:
    """Mask of cells that have had more pulses than they bear.

    Args:
        law: of the cells.
        wear: SET and RESET pulses each has received.
        draw: their frozen standard normals of endurance.
    """
    if int(wear.amax()) < law.endurance * math.exp(-8.0 * law.endurance_spread):
        # Eight spreads below the median: no float32 draw reaches that far.
        return torch.zeros_like(wear, dtype=torch.bool)
    return wear > device.endurance_limit(draw, median=law.endurance, spread=law.endurance_spread)


def on_open_lines(
    law: Technology, pairs: Tensor, geometry: Geometry, *, seed: int, purposes: tuple[int, int]
) -> Tensor:
    """Mask of the cells that a broken input or output line cuts off, + and - cells in turn.

    Args:
        law: with the shares of broken lines.
        pairs: int64, physical pair addresses.
        geometry: of the macros.
        seed: of the chip.
        purposes: of the draws for input and for output lines.
    """
    shares = (law.broken_input_fraction, law.broken_output_fraction)
    cut = pairs.new_zeros(2 * len(pairs)).bool()
    for line, purpose, share in zip(geometry.lines(pairs), purposes, shares, strict=True):
        if share > 0.0:
            draw = uniforms(cell_words(line, 0, seed=seed, purpose=purpose))[0]
            cut |= device.broken_lines(draw, fraction=share)
    return cut
