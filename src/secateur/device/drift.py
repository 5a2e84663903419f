"""Drift and retention: what time makes of a conductance that no pulse touches.

`age` is the time in seconds since a cell has settled from its last pulse, at the technology's
reference temperature; at age 0 every law gives the programmed conductance back, to the bit.
"""

import math

import torch
from torch import Tensor

# Electronvolts per kelvin (CODATA 2018, exact).
BOLTZMANN = 8.617333262e-5


def power_drift(
    conductance: Tensor, age: Tensor, *, exponent: float | Tensor, reference_age: float
) -> Tensor:
    """G (t / t0)^-nu, with t = t0 + age: structural relaxation of an amorphous volume.

    Source: Ielmini et al., IEEE Trans. Electron Devices 54, 2007.

    Args:
        conductance: siemens at t0, any shape.
        age: seconds, a number or the same shape.
        exponent: nu, a number or one per cell.
        reference_age: seconds t0 from the pulse to the settled state.
    """
    return conductance * torch.exp(-exponent * log_time(age, reference_age=reference_age)).to(
        conductance.dtype
    )


def logarithmic_drift(
    conductance: Tensor, age: Tensor, *, fall: float | Tensor, reference_age: float
) -> Tensor:
    """G - fall ln(t / t0), with t = t0 + age, never below zero.

    Args:
        conductance: siemens at t0, any shape.
        age: seconds, a number or the same shape.
        fall: siemens per e-fold of time, a number or one per cell.
        reference_age: seconds t0.
    """
    lost = fall * log_time(age, reference_age=reference_age)
    return (conductance - lost.to(conductance.dtype)).clamp_min(0.0)


def widened(
    conductance: Tensor, age: Tensor, draw: Tensor, *, early: Tensor, late: Tensor,
    reference_age: float, late_age: float,
) -> Tensor:  # fmt: skip
    """G plus a normal deviation whose variance grows with the logarithm of time.

    The spread that write-and-verify leaves is `early` at t0 and has become `late` at `late_age`;
    in between, and after, the variance is linear in ln t (assumption). `early` is in the
    conductance already, so only what has come on top is drawn; a law that narrows with time adds
    nothing.

    Args:
        conductance: siemens at t0, any shape.
        age: seconds, a number or the same shape.
        draw: standard normals, the same shape.
        early: siemens, spread at t0, the same shape.
        late: siemens, spread at late_age, the same shape.
        reference_age: seconds t0.
        late_age: seconds, above t0.
    """
    grown = log_time(age, reference_age=reference_age) / math.log(late_age / reference_age)
    added = (late.square() - early.square()).clamp_min(0.0) * grown
    return (conductance + (added.sqrt() * draw).to(conductance.dtype)).clamp_min(0.0)


def retained(
    conductance: Tensor, age: Tensor, *, floor: float, time_constant: float | Tensor, shape: float
) -> Tensor:
    """floor + (G - floor) exp(-(age / tau)^shape): a state that is lost towards a floor.

    A stretched exponential; cells at or below the floor stay where they are.

    Args:
        conductance: siemens as programmed, any shape.
        age: seconds, a number or the same shape.
        floor: siemens.
        time_constant: seconds tau, a number or one per cell.
        shape: 1 for a single barrier, below 1 for a distribution of barriers.
    """
    age = torch.as_tensor(age, dtype=torch.float64, device=conductance.device)
    kept = torch.exp(-((age / time_constant) ** shape)).to(conductance.dtype)
    lost = (conductance - floor).clamp_min(0.0) * (1.0 - kept)
    return conductance - lost


def exponent_by_state(
    conductance: Tensor, *, slope: float, offset: float, lowest: float, highest: float,
    full_scale: float,
) -> Tensor:  # fmt: skip
    """slope ln(G / full_scale) + offset, held within lowest to highest.

    Mean and spread of PCM's drift exponent follow it: Nandakumar et al., ICECS 2019.

    Args:
        conductance: siemens, any shape.
        slope: per e-fold of conductance.
        offset: at full scale.
        lowest: of the range.
        highest: of the range.
        full_scale: siemens.
    """
    return (slope * (conductance / full_scale).log() + offset).clamp(lowest, highest)


def arrhenius_factor(
    temperature: float, *, activation_energy: float, reference_temperature: float
) -> float:
    """How many times faster cells age at a temperature: exp(Ea / k (1/T0 - 1/T)).

    Args:
        temperature: kelvin, T.
        activation_energy: electronvolts, Ea.
        reference_temperature: kelvin, T0, where the factor is 1.
    """
    difference = 1.0 / reference_temperature - 1.0 / temperature
    return math.exp(activation_energy / BOLTZMANN * difference)


def disturbed(conductance: Tensor, reads: Tensor, *, share: float, towards: float) -> Tensor:
    """A conductance after reads that each close a share of its gap to the high state.

    Reads have the polarity of a SET, so cells below `towards` rise; those above it stay.

    Args:
        conductance: siemens, any shape.
        reads: since the last pulse, a number or the same shape.
        share: of the gap, by one read.
        towards: siemens.
    """
    reads = torch.as_tensor(reads, dtype=torch.float64, device=conductance.device)
    closed = -torch.expm1(reads * math.log1p(-share)) if share < 1.0 else (reads > 0.0).double()
    return conductance + (towards - conductance).clamp_min(0.0) * closed.to(conductance.dtype)


def log_time(age: float | Tensor, *, reference_age: float) -> Tensor:
    """ln((t0 + age) / t0), float64; 0 at age 0."""
    return torch.log1p(torch.as_tensor(age, dtype=torch.float64) / reference_age)
