"""Drift given back digitally: what arrays have lost in common, found on a few calibration reads."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from secateur.chip import global_scale
from secateur.errors import SettingError
from secateur.keyed import generator, key_of
from secateur.network.weight import ChipWeight

# Currents (n, outputs) of a fresh array and of the aged one to the factors of its outputs.
Scale = Callable[[Tensor, Tensor], Tensor]

# Vectors of a calibration, and reads of each, whose mean is taken.
_VECTORS, _READS = 64, 32


def calibration_currents(model: nn.Module, *, key: int = 0) -> dict[str, Tensor]:
    """What each weight's array answers to calibration voltages, to be compared with later.

    Random voltages up to the read voltage, the same whenever they are asked for, each read
    several times and averaged. Taken on the cells alone, without lines and converters. No pulse.

    Args:
        model: on a chip; without weights there the result is empty.
        key: of the noise of these reads: another one each time.

    Returns:
        Amperes by the names of weights, (n, outputs of the layer).
    """
    return {name: _currents(weight, key_of(key, name)) for name, weight in _weights(model)}


def compensate_(
    model: nn.Module, fresh: Mapping[str, Tensor], *, scale: Scale = global_scale, key: int = 1
) -> nn.Module:
    """Multiplies the outputs of each weight by what its array has lost since `fresh`.

    Digitally, behind the converters; no pulse is sent. A factor found earlier gives way. A line
    that gives no current by now keeps the factor 1, since none revives it.

    Args:
        model: on a chip, changed in place.
        fresh: `calibration_currents` of this model, taken before it aged.
        scale: `chip.global_scale`, one factor for a weight, or `chip.column_scale`, one for each
            output of its layer.
        key: of the noise of the calibration reads, another than that of `fresh`.

    Returns:
        The model.

    Raises:
        SettingError: for currents of another model.
    """
    now = calibration_currents(model, key=key)
    if {n: c.shape for n, c in now.items()} != {n: c.shape for n, c in fresh.items()}:
        raise SettingError(
            "The calibration currents belong to another model",
            cause="taken before its weights were put on the chip, or of other layers",
            remedy="Take them of this model with calibration_currents, before it ages",
        )
    for name, weight in _weights(model):
        weight.scale, live = None, now[name].abs().amax(dim=0) > 0.0
        factors = torch.ones_like(now[name][0])
        if bool(live.any()):
            found = scale(fresh[name][:, live], now[name][:, live])
            factors[live] = found
            weight.scale = factors if found.dim() else found
    return model


def uncompensate_(model: nn.Module) -> nn.Module:
    """Takes the factors of `compensate_` away; returns the model."""
    for _, weight in _weights(model):
        weight.scale = None
    return model


def _currents(weight: ChipWeight, key: int) -> Tensor:
    """Amperes (n, outputs): the columns of a kernel's places all belong to their output."""
    region, chip = weight.region, weight.chip
    inputs, _ = region.matrix
    draw = torch.rand(_VECTORS, inputs, generator=generator(key_of(region.first_cell, "volts")))
    voltages = (chip.technology.read_voltage * draw).to(weight.device)
    currents = chip.multiply(region, voltages.repeat(_READS, 1), key=key)
    mean = currents.view(_READS, _VECTORS, -1).mean(dim=0)
    if not region.inputs_first:
        return mean
    return mean.view(_VECTORS, region.shape[1], -1).transpose(1, 2).flatten(0, 1)


def _weights(model: nn.Module) -> list[tuple[str, ChipWeight]]:
    return [(n, m) for n, m in model.named_modules() if isinstance(m, ChipWeight)]
