"""Which pixels are what: whole pictures predicted patch by patch, and measured in their fields."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secateur.errors import DivergedError
from secateur.tasks.measures import Measured, Metric, evaluating
from secateur.tasks.patches import Fundi

SEGMENTATION = (
    Metric("roc_auc", "ROC-AUC"),
    Metric("pr_auc", "PR-AUC"),
    Metric("f1", "F1"),
    Metric("accuracy", "accuracy"),
    Metric("sensitivity", "sensitivity"),
    Metric("specificity", "specificity"),
    Metric("dice", "Dice, mean of the pictures"),
)
_BATCH = 64
_CURVE_POINTS = 400
_LEAST = 1e-7  # probabilities nearer to 0 or 1 than a float32 tells apart cost no more

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def segmented(model: nn.Module, fundi: Fundi) -> Measured:
    """Predicts whole pictures and compares the pixels inside their fields of view.

    A pixel's probability is the mean over the patches it is in; from 0.5 on it counts as vessel.
    All figures are of the pixels of all pictures together, but for `dice`, the mean of the
    pictures' own. `pr_auc` is the average precision.

    Args:
        model: gives logits (N, 2, side, side) of patches (N, 1, side, side).
        fundi: the pictures.

    Returns:
        Besides figures and confusion the arrays `curve/roc` (2, n: false and true positive rate)
        and `curve/pr` (2, n: recall and precision); and of the first picture
        `picture/NAME/original`, `/reference` and `/predicted`, (H, W) bytes, the last one the
        probability times 255, black outside the field of view.

    Raises:
        DivergedError: for a model whose answers are not finite.
    """
    # Half a second to import, for whoever does anything else.
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    maps = predicted(model, fundi)
    fields = fundi.fields.numpy()
    probability, vessel = maps[fields].astype(np.float64), fundi.vessels.numpy()[fields]
    counts = _counts(probability >= 0.5, vessel)
    (_, false_alarms), (_, hits) = counts
    false_rate, true_rate, _ = roc_curve(vessel, probability)
    precision, recall, _ = precision_recall_curve(vessel, probability)
    quiet, alike = counts[0][0], counts[0][0] + hits
    figures = {
        "roc_auc": float(auc(false_rate, true_rate)),
        "pr_auc": float(average_precision_score(vessel, probability)),
        "f1": _overlap(counts),
        "accuracy": alike / len(vessel),
        "sensitivity": hits / sum(counts[1]),
        "specificity": quiet / (quiet + false_alarms),
        "dice": _mean_dice(maps, fundi),
        "loss": _loss(probability, vessel),
    }
    arrays: dict[str, NDArray[np.generic]] = {
        "curve/roc": thinned(false_rate, true_rate),
        "curve/pr": thinned(recall, precision),
        **_shown(maps, fundi),
    }
    return Measured(figures, len(vessel), counts, arrays)


def predicted(model: nn.Module, fundi: Fundi) -> NDArray[np.float32]:
    """Probability of a vessel (N, H, W), 0 where no patch was laid.

    Raises:
        DivergedError: for a model whose answers are not finite.
    """
    with evaluating(model) as device:
        maps = torch.stack([_map(model, fundi, n, device) for n in range(len(fundi.names))])
    if not bool(maps.isfinite().all()):
        raise DivergedError(
            "The network's answers are not finite numbers", cause="a training that diverged",
            remedy="Lower training.learning_rate",
        )  # fmt: skip
    return maps.numpy()


def thinned(x: Floats, y: Floats, points: int = _CURVE_POINTS) -> NDArray[np.float32]:
    """A curve (2, n) by at most so many of its points, evenly spaced along its length."""
    way = np.concatenate([[0.0], np.hypot(np.diff(x), np.diff(y)).cumsum()])
    between = np.searchsorted(way, np.linspace(0.0, way[-1], points - 1)[1:-1])
    chosen = np.unique([0, *between, len(x) - 1])
    return np.stack([x[chosen], y[chosen]]).astype(np.float32)


def _map(model: nn.Module, fundi: Fundi, image: int, device: torch.device) -> Tensor:
    total, patches = fundi.blank(), fundi.blank()
    for inputs, places in fundi.tiles(image, _BATCH):
        share = model(inputs.to(device)).softmax(dim=1)[:, 1].cpu()
        total.view(-1).index_add_(0, places.flatten(), share.flatten())
        patches.view(-1).index_add_(0, places.flatten(), torch.ones(places.numel()))
    return fundi.without_margin(total / patches.clamp(min=1.0))


def _counts(answers: Flags, vessel: Flags) -> list[list[int]]:
    """Rows: background, vessel; columns: the answers."""
    index = 2 * vessel.astype(np.int64) + answers
    counts: list[list[int]] = np.bincount(index, minlength=4).reshape(2, 2).tolist()
    return counts


def _overlap(counts: list[list[int]]) -> float:
    """F1 and Dice: twice the hits over traced and predicted together."""
    (_, false_alarms), (misses, hits) = counts
    return 2 * hits / (2 * hits + misses + false_alarms)


def _mean_dice(maps: NDArray[np.float32], fundi: Fundi) -> float:
    overlaps = [
        _overlap(_counts(answers[field] >= 0.5, vessels[field]))
        for answers, vessels, field in zip(
            maps, fundi.vessels.numpy(), fundi.fields.numpy(), strict=True
        )
    ]
    return float(np.mean(overlaps))


def _loss(probability: Floats, vessel: Flags) -> float:
    """Mean cross-entropy in nats."""
    right = np.where(vessel, probability, 1.0 - probability)
    return float(-np.log(np.maximum(right, _LEAST)).mean())


def _shown(maps: NDArray[np.float32], fundi: Fundi) -> dict[str, NDArray[np.uint8]]:
    """The first picture, what was traced and what was predicted in it, as bytes."""
    name, field, picture = fundi.names[0], fundi.fields[0].numpy(), fundi.pictures[0].numpy()
    low, high = picture.min(), picture.max()
    layers = {
        "original": (picture - low) / (high - low),
        "reference": fundi.vessels[0].numpy(),
        "predicted": maps[0],
    }
    return {
        f"picture/{name}/{layer}": np.round(255 * np.where(field, values, 0.0)).astype(np.uint8)
        for layer, values in layers.items()
    }
