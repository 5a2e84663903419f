"""Measuring a model: accuracy and loss, and what its chip has been through."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from secateur.chip import Chip
from secateur.cost import chip_cost
from secateur.network import ChipWeight
from secateur.tasks import classified


@dataclass(frozen=True)
class Evaluation:
    """Figures of one pass over labelled data.

    Args:
        accuracy: share of right answers.
        loss: mean cross-entropy in nats.
        samples: how many were seen.
        confusion: counts, rows the true classes, columns the answers.
        pulses: of the model's chip by kind; empty without a chip.
        programming_energy: joules of those pulses; None without a chip.
    """

    accuracy: float
    loss: float
    samples: int
    confusion: list[list[int]]
    pulses: dict[str, int]
    programming_energy: float | None


def evaluate(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Runs a classifier over batches of (inputs, targets), in evaluation mode.

    The model is left in the mode it was in. Read noise is on, as the chip's technology has it.

    Args:
        model: gives logits (N, classes).
        loader: any iterable of batches; targets are int64 classes.

    Raises:
        SettingError: for a loader without batches.
    """
    found, chip = classified(model, loader), chip_of(model)
    return Evaluation(
        accuracy=found.figures["accuracy"],
        loss=found.figures["loss"],
        samples=found.samples,
        confusion=found.confusion,
        pulses=pulses_of(chip),
        programming_energy=programming_energy_of(chip),
    )


def chip_of(model: nn.Module) -> Chip | None:
    """The chip that holds a model's weights, if any does."""
    return next((m.chip for m in model.modules() if isinstance(m, ChipWeight)), None)


def pulses_of(chip: Chip | None) -> dict[str, int]:
    """Pulses by kind; empty without a chip."""
    return chip.ledger.totals() if chip else {}


def programming_energy_of(chip: Chip | None) -> float | None:
    """Joules of all pulses so far; None without a chip."""
    return chip_cost(chip).energy if chip else None
