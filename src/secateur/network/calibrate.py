"""Ranges of converters found on data without training, and what was beyond them."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.circuit import BoundConverters, InputConverter
from secateur.errors import SettingError
from secateur.network.weight import ChipWeight


@dataclass(frozen=True)
class Saturation:
    """Sums that converters at output lines were given in evaluation, and those beyond their range.

    Args:
        conversions: how many.
        saturated: how many of them were cut to the last level.
    """

    conversions: int
    saturated: int

    @property
    def share(self) -> float:
        """Saturated over all; 0 where there were none."""
        return self.saturated / self.conversions if self.conversions else 0.0


@torch.no_grad()
def calibrate_(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """Finds the ranges of a model's converters on data, in evaluation of all the rest.

    Those at output lines are found anew; those at input lines where they have none yet, as after
    `program_` of a plain model. No pulse is sent, nothing else of the model changes.

    Args:
        model: on a chip.
        batches: of inputs that the model is called with.

    Raises:
        SettingError: without a batch.
    """
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        raise SettingError("There is nothing to calibrate on", cause="an empty loader")
    outputs = [m for m in model.modules() if isinstance(m, BoundConverters)]
    inputs = [m for m in model.modules() if isinstance(m, InputConverter) and not m.full_scale]
    before = {module: module.training for module in model.modules()}
    ranges = {converter: converter.get_extra_state() for converter in (*outputs, *inputs)}
    for converter in outputs:
        converter.forget()
    model.eval()
    for found in (*outputs, *inputs):
        found.training = True
    try:
        for batch in itertools.chain([first], remaining):
            model(batch)
    except BaseException:
        for found, state in ranges.items():
            found.set_extra_state(state)
        raise
    finally:
        for module, training in before.items():
            module.training = training
    return model


def saturations(model: nn.Module, *, reset: bool = False) -> dict[str, Saturation]:
    """What each weight's converters at output lines have counted in evaluation since a reset.

    Args:
        model: on a chip; without such converters the result is empty.
        reset: counts from 0 afterwards.
    """
    found = {}
    for module in model.modules():
        if isinstance(module, ChipWeight) and isinstance(module.level, BoundConverters):
            level = module.level
            found[module.region.name] = Saturation(level.conversions, int(level.saturated))
            if reset:
                level.reset_counts()
    return found


def first_order_errors(model: nn.Module) -> dict[str, float]:
    """How wrong the first order of the wires is for each weight, as its array is now.

    The largest error of an output line's current, over the exact one, with equal voltages. Finds
    the exact conductances where they are not known yet. Empty without wires.
    """
    found = {}
    for module in model.modules():
        if isinstance(module, ChipWeight) and module.seen is not None:
            error = module.seen.first_order_error(module.chip)
            if error is not None:
                found[module.region.name] = error
    return found
