"""How large an error or a noise is, against the conductance: published laws, in siemens."""

from collections.abc import Sequence

import torch
from torch import Tensor


def polynomial_deviation(
    conductance: Tensor, *, coefficients: Sequence[float], full_scale: float, lowest: float
) -> Tensor:
    """Sum of c_n x^n with x = G / full_scale, as NeuRRAM's and PCM's written cells were fitted.

    Sources: Wan et al., Nature 608, 2022; Nandakumar et al., ICECS 2019; Milo et al.,
    IRPS 2021. A polynomial says nothing outside the range it was fitted in: x is held within
    lowest to 1, and the deviation above zero.

    Args:
        conductance: siemens, any shape.
        coefficients: siemens, c_0 first.
        full_scale: siemens, at x = 1.
        lowest: smallest x of the fit.
    """
    share = (conductance / full_scale).clamp(lowest, 1.0)
    total = torch.zeros_like(share)
    for coefficient in reversed(coefficients):
        total = total * share + coefficient
    return total.clamp_min(0.0)


def saturating_deviation(conductance: Tensor, *, amplitude: float, scale: float) -> Tensor:
    """A (1 - exp(-G / B)), as the currents of SONOS cells spread.

    Source: Agrawal et al., IEDM 2022, 21.7.

    Args:
        conductance: siemens, any shape.
        amplitude: siemens, A.
        scale: siemens, B.
    """
    return -amplitude * torch.expm1(-conductance / scale)


def power_deviation(
    conductance: Tensor, *, share: float, exponent: float, cap: float, full_scale: float,
    programmed: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """G min(share (P / full_scale)^exponent, cap): the 1/f noise of PCM.

    Source: Nandakumar et al., ICECS 2019, there with 0.0088, -0.65, 0.2. The share belongs to the
    state that was programmed, P, and follows the drifted conductance G.

    Args:
        conductance: siemens by now, any shape.
        share: deviation over conductance at full scale.
        exponent: below zero where weak cells are the noisier ones.
        cap: largest deviation over conductance.
        full_scale: siemens.
        programmed: siemens that the last pulse has left, likewise; None where nothing drifted.
    """
    state = conductance if programmed is None else programmed
    # A power in float32 has other last digits in a vector than alone.
    relative = share * (state.double() / full_scale).pow(exponent)
    return (conductance * relative.clamp_max(cap)).to(conductance.dtype)


def logarithmic_deviation(conductance: Tensor, *, amplitude: float) -> Tensor:
    """amplitude log10(G / 1 uS), zero below 1 uS: the read noise of CMO/HfOx cells.

    Fitted there: an amplitude of 0.0277 uS.

    Args:
        conductance: siemens, any shape.
        amplitude: siemens per decade.
    """
    return amplitude * (conductance / 1e-6).clamp_min(1.0).log10()


def noise_growth(elapsed: Tensor, *, width: float) -> Tensor:
    """sqrt(ln((t + w) / 2w)): 1/f noise seen by a read of width w a time t after programming.

    Source: Nandakumar et al., ICECS 2019. Zero before t = w, where the law ends.

    Args:
        elapsed: seconds t since programming.
        width: seconds w.
    """
    return ((elapsed + width) / (2.0 * width)).clamp_min(1.0).log().sqrt()
