"""Whole pictures measured: against scikit-learn's own figures, and a slow way patch by patch."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn

from secateur.errors import DivergedError
from secateur.tasks.patches import Fundi
from secateur.tasks.segmentation import SEGMENTATION, predicted, segmented, thinned

SIDE = 16


def fundi(count: int = 2, stride: int = 8) -> Fundi:
    """Noise, of which the brightest pixels are most often vessels."""
    source = torch.Generator().manual_seed(count)
    pictures = torch.randn(count, 40, 36, generator=source)
    noisy = pictures + torch.randn(count, 40, 36, generator=source)
    fields = torch.zeros(count, 40, 36, dtype=torch.bool)
    fields[:, 3:35, 2:34] = True
    return Fundi(
        pictures=pictures * fields, vessels=noisy > 1.5, fields=fields,
        names=[f"eye {n}" for n in range(count)], side=SIDE, patches_per_image=1, stride=stride,
    )  # fmt: skip


class Pixelwise(nn.Module):
    """Its probability of a vessel is the logistic function of scale times brightness, less 0.5."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, patches: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(patches), self.scale * patches - 0.5], dim=1)


def inside(eyes: Fundi) -> tuple[np.ndarray, np.ndarray]:
    probability = torch.sigmoid(eyes.pictures - 0.5)[eyes.fields].double().numpy()
    return probability, eyes.vessels[eyes.fields].numpy()


def test_the_figures_are_scikit_learns_of_the_pixels_in_the_field() -> None:
    eyes = fundi()
    found = segmented(Pixelwise(), eyes)
    probability, vessel = inside(eyes)
    answer = probability >= 0.5
    expected = {
        "roc_auc": metrics.roc_auc_score(vessel, probability),
        "pr_auc": metrics.average_precision_score(vessel, probability),
        "f1": metrics.f1_score(vessel, answer),
        "accuracy": metrics.accuracy_score(vessel, answer),
        "sensitivity": metrics.recall_score(vessel, answer),
        "specificity": metrics.recall_score(~vessel, ~answer),
        "dice": np.mean(
            [metrics.f1_score(v, p) for v, p in zip(
                vessel.reshape(2, -1), answer.reshape(2, -1), strict=True)]
        ),
        "loss": metrics.log_loss(vessel, probability),
    }  # fmt: skip
    assert dict(found.figures) == pytest.approx(expected, abs=1e-6)
    assert list(found.figures)[:-1] == [metric.name for metric in SEGMENTATION]
    assert found.confusion == metrics.confusion_matrix(vessel, answer).tolist()
    assert found.samples == len(vessel) == 2 * 32 * 32


def test_what_is_outside_the_field_does_not_count() -> None:
    eyes = fundi()
    before = segmented(Pixelwise(), eyes).figures
    eyes.vessels[~eyes.fields] = True
    assert segmented(Pixelwise(), eyes).figures == before


def test_a_model_that_knows_has_no_fault_and_one_that_does_not_is_at_chance() -> None:
    eyes = fundi()
    eyes = Fundi(
        pictures=(eyes.vessels.float() * 2 - 1) * eyes.fields, vessels=eyes.vessels,
        fields=eyes.fields, names=eyes.names, side=SIDE, patches_per_image=1, stride=8,
    )  # fmt: skip
    knowing = segmented(Pixelwise(40.0), eyes).figures
    assert [knowing[metric.name] for metric in SEGMENTATION] == [1.0] * len(SEGMENTATION)
    assert knowing["loss"] < 1e-6
    blind = segmented(Pixelwise(0.0), eyes).figures
    assert blind["roc_auc"] == 0.5
    assert blind["pr_auc"] == pytest.approx(eyes.vessels[eyes.fields].double().mean().item())
    assert (blind["sensitivity"], blind["specificity"]) == (0.0, 1.0)


class ByPlace(nn.Module):
    """Its probability depends on the place in the patch alone."""

    def __init__(self) -> None:
        super().__init__()
        self.share = torch.linspace(0.05, 0.95, SIDE**2).view(SIDE, SIDE)

    def forward(self, patches: Tensor) -> Tensor:
        logits = self.share.logit().expand(len(patches), 1, SIDE, SIDE)
        return torch.cat([torch.zeros_like(logits), logits], dim=1)


@pytest.mark.parametrize("stride", [5, 8, 16])
def test_a_pixels_probability_is_the_mean_over_its_patches(stride: int) -> None:
    eyes, model = fundi(1, stride), ByPlace()
    field = eyes.fields[0]
    total, times = np.zeros((40, 36)), np.zeros((40, 36))
    first = SIDE % stride or stride
    for top in range(first - SIDE, 40, stride):
        for left in range(first - SIDE, 36, stride):
            rows, columns = slice(max(top, 0), top + SIDE), slice(max(left, 0), left + SIDE)
            if field[rows, columns].any():
                part = model.share[max(-top, 0) : 40 - top, max(-left, 0) : 36 - left].numpy()
                total[rows, columns] += part
                times[rows, columns] += 1
    found = predicted(model, eyes)[0]
    np.testing.assert_allclose(found[field], (total / np.maximum(times, 1))[field], atol=1e-6)


def test_the_model_is_measured_in_evaluation_mode_and_goes_on_in_its_own() -> None:
    class Watched(Pixelwise):
        def forward(self, patches: Tensor) -> Tensor:
            assert not self.training
            assert not torch.is_grad_enabled()
            return super().forward(patches)

    model = Watched().train()
    segmented(model, fundi())
    assert model.training


def test_the_curves_are_thin_begin_and_end_at_the_corners_and_keep_their_area() -> None:
    eyes = fundi(12)
    found = segmented(Pixelwise(), eyes)
    roc, pr = found.arrays["curve/roc"], found.arrays["curve/pr"]
    for curve in (roc, pr):
        assert curve.dtype == np.float32
        assert curve.shape[0] == 2
        assert 50 < curve.shape[1] <= 400
    assert (roc[:, 0].tolist(), roc[:, -1].tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert pr[:, -1].tolist() == [0.0, 1.0]
    assert np.trapezoid(roc[1], roc[0]) == pytest.approx(found.figures["roc_auc"], abs=1e-3)
    assert -np.trapezoid(pr[1], pr[0]) == pytest.approx(found.figures["pr_auc"], abs=5e-3)


def test_a_short_curve_stays_as_it_is() -> None:
    x, y = np.array([0.0, 0.2, 1.0]), np.array([0.0, 0.9, 1.0])
    np.testing.assert_array_equal(thinned(x, y), np.float32([x, y]))


def test_the_first_picture_is_shown_as_bytes_and_is_black_outside_the_field() -> None:
    eyes = fundi()
    shown = {n: a for n, a in segmented(Pixelwise(), eyes).arrays.items() if n.startswith("p")}
    layers = ("original", "reference", "predicted")
    assert list(shown) == [f"picture/eye 0/{layer}" for layer in layers]
    field = eyes.fields[0].numpy()
    for bytes_ in shown.values():
        assert (bytes_.dtype, bytes_.shape) == (np.uint8, (40, 36))
        assert not bytes_[~field].any()
    original, reference, answer = shown.values()
    assert np.ptp(original[field]) > 200
    np.testing.assert_array_equal(reference[field] == 255, eyes.vessels[0].numpy()[field])
    expected = 255 * torch.sigmoid(eyes.pictures[0] - 0.5).numpy()
    assert np.abs(answer[field] - expected[field]).max() <= 0.51


def test_a_model_that_diverged_is_refused() -> None:
    with pytest.raises(DivergedError, match=r"not finite.*learning_rate"):
        segmented(Pixelwise(float("nan")), fundi())
