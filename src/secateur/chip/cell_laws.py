"""The states of cells: a technology's numbers put into the laws of one cell."""

import math

import torch
from torch import Tensor

from secateur import device
from secateur.chip.placement import Geometry
from secateur.device import Technology
from secateur.keyed import cell_words, first_normals, normals, uniforms


def breakdown(law: Technology, draw: Tensor, *, width: float) -> Tensor:
    """Volts at which each cell breaks down under a pulse of `width` seconds."""
    return device.breakdown_voltage(
        draw, mean=law.breakdown_voltage, spread=law.breakdown_spread,
        slope=law.breakdown_slope, width=width, reference_width=law.forming_width,
    )  # fmt: skip


def set_median(law: Technology, compliance: float | None) -> float:
    """Siemens that a SET which stops at that current aims at; None for the technology's."""
    if compliance is None:
        return law.high_conductance
    return device.median_at_compliance(
        law.high_conductance, compliance=compliance, reference=law.compliance_current
    )


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


def switched(
    law: Technology, own: Tensor, new: Tensor, up: Tensor, *, median: Tensor | float,
    floor: Tensor | None,
) -> Tensor:  # fmt: skip
    """Siemens after one pulse each: a SET where `up`, a RESET elsewhere.

    Args:
        law: of the cells.
        own: words (4, n), frozen at birth.
        new: words (4, n) of this pulse.
        up: mask of those that are SET.
        median: siemens that a SET aims at.
        floor: siemens that a SET leaves at least, or None.
    """
    cycle = first_normals(new)
    left = low_state(law, first_normals(own[1:]), cycle)
    if not bool(up.any()):
        return left
    raised = high_state(law, first_normals(own), cycle, median)
    return torch.where(up, raised if floor is None else torch.maximum(raised, floor), left)


def formed(
    law: Technology,
    frozen: Tensor,
    spare: Tensor,
    cycle: Tensor,
    birth: Tensor,
    *,
    compliance: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """What breakdown leaves of cells: siemens, and masks of those stuck low and stuck high.

    Args:
        law: of the cells.
        frozen: standard normals (n,), of their high states.
        spare: words (2, n) for two more, of which the first is of their low states.
        cycle: standard normals of this pulse.
        birth: uniforms in (0, 1) that say which cells are stuck.
        compliance: amperes that stopped the pulse.
    """
    low, high = device.born_stuck(
        birth, low_fraction=law.stuck_low_fraction, high_fraction=law.stuck_high_fraction
    )
    left = high_state(law, frozen, cycle, set_median(law, compliance))
    # Few are stuck low: the draws of the others are not needed.
    left[low] = low_state(law, normals(spare[:, low])[0], cycle[low])
    return left, low, high


def last_of_ramp(limit: Tensor, steps: Tensor, conducts: Tensor) -> Tensor:
    """Number of the last pulse of a ramp that each cell gets: it forms its pair's weaker cell.

    Args:
        limit: volts at which each cell breaks down, + and - cells in turn.
        steps: volts of the pulses, ascending.
        conducts: mask of the pairs that conduct already: they get the first pulse, and only then
            are seen to.
    """
    last = torch.searchsorted(steps, limit.view(-1, 2).amin(dim=1))
    return last.clamp_(max=len(steps) - 1).masked_fill_(conducts, 0).repeat_interleave(2)


def worn_out(law: Technology, wear: Tensor, spare: Tensor) -> Tensor | None:
    """Mask of the cells whose pulses are beyond their endurance; None where none can be.

    Args:
        law: of the cells.
        wear: SET and RESET pulses of each.
        spare: words (2, n) for two standard normals of each, of which the second is of its
            endurance.
    """
    if int(wear.amax()) < law.endurance * math.exp(-8.0 * law.endurance_spread):
        # Eight spreads below the median: no float32 draw reaches that far.
        return None
    draw = normals(spare)[1]
    return wear > device.endurance_limit(draw, median=law.endurance, spread=law.endurance_spread)


def nearer_high(law: Technology, conductance: Tensor) -> Tensor:
    """Mask of conductances that are nearer to the high state than to the low one, as a ratio."""
    return conductance > math.sqrt(law.low_conductance * law.high_conductance)


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
    cut = torch.zeros(2 * len(pairs), dtype=torch.bool, device=pairs.device)
    if not any(shares):
        return cut
    for line, purpose, share in zip(geometry.lines(pairs), purposes, shares, strict=True):
        if share > 0.0:
            draw = uniforms(cell_words(line, 0, seed=seed, purpose=purpose))[0]
            cut |= device.broken_lines(draw, fraction=share)
    return cut
