"""What a model is measured by: figures of one pass over samples, in evaluation mode."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from secateur.errors import SettingError
from secateur.tasks.data import Split, batches


@dataclass(frozen=True)
class Metric:
    """A figure from 0 to 1, the higher the better.

    Args:
        name: its key in a record.
        title: its name for people.
    """

    name: str
    title: str


CLASSIFICATION = (Metric("accuracy", "accuracy"),)


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pass over samples found.

    Args:
        figures: the task's metrics by name, its first metric first, and `loss` in nats.
        samples: how many targets were compared.
        confusion: counts, rows the true classes, columns the answers.
        arrays: curves and pictures for the report, by name.
    """

    figures: Mapping[str, float]
    samples: int
    confusion: list[list[int]]
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients, then the mode it was in; gives the model's device."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next((p.device for p in model.parameters()), torch.device("cpu"))
    finally:
        model.train(was_training)


def classified(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Measured:
    """Accuracy, loss and confusion of a classifier.

    Args:
        model: gives logits (N, classes).
        loader: any iterable of batches; targets are int64 classes (N,).

    Raises:
        SettingError: for a loader without batches.
    """
    losses, samples, confusion = 0.0, 0, torch.zeros(0, 0, dtype=torch.int64)
    with evaluating(model) as device:
        for inputs, answers in loader:
            logits, targets = model(inputs.to(device)), answers.to(device)
            losses += float(F.cross_entropy(logits, targets, reduction="sum"))
            samples += len(targets)
            classes = logits.shape[1]
            index = (targets * classes + logits.argmax(dim=1)).cpu()
            counts = torch.bincount(index, minlength=classes**2).view(classes, classes)
            confusion = counts if not confusion.numel() else confusion + counts
    if not samples:
        raise SettingError("There is nothing to evaluate on", cause="an empty loader")
    figures = {
        "accuracy": int(confusion.diagonal().sum()) / samples,
        "loss": losses / samples,
    }
    return Measured(figures, samples, confusion.tolist())


def classified_split(model: nn.Module, split: Split) -> Measured:
    """`classified` of a split in its order."""
    return classified(model, batches(split))
