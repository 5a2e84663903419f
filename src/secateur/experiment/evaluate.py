"""Measuring a model: accuracy and loss, and what its chip has been through."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.chip import Chip
from secateur.cost import chip_cost
from secateur.errors import SettingError
from secateur.network import ChipWeight


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


@torch.no_grad()
def evaluate(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Runs a classifier over batches of (inputs, targets), in evaluation mode.

    The model is left in the mode it was in. Read noise is on, as the chip's technology has it.

    Args:
        model: gives logits (N, classes).
        loader: any iterable of batches; targets are int64 classes.

    Raises:
        SettingError: for a loader without batches.
    """
    was_training = model.training
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    losses, samples, confusion = 0.0, 0, torch.zeros(0, 0, dtype=torch.int64)
    for inputs, answers in loader:
        logits, targets = model(inputs.to(device)), answers.to(device)
        losses += float(F.cross_entropy(logits, targets, reduction="sum"))
        samples += len(targets)
        classes = logits.shape[1]
        index = (targets * classes + logits.argmax(dim=1)).cpu()
        counts = torch.bincount(index, minlength=classes**2).view(classes, classes)
        confusion = counts if not confusion.numel() else confusion + counts
    model.train(was_training)
    if not samples:
        raise SettingError("There is nothing to evaluate on", cause="an empty loader")
    chip = chip_of(model)
    return Evaluation(
        accuracy=int(confusion.diagonal().sum()) / samples,
        loss=losses / samples,
        samples=samples,
        confusion=confusion.tolist(),
        pulses=chip.ledger.totals() if chip else {},
        programming_energy=chip_cost(chip).energy if chip else None,
    )


def chip_of(model: nn.Module) -> Chip | None:
    """The chip that holds a model's weights, if any does."""
    return next((m.chip for m in model.modules() if isinstance(m, ChipWeight)), None)
