"""The vessel network is the published one, and a run of it is measured on whole pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from secateur.errors import SettingError
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.tasks import TASKS
from secateur.tasks.drive import VesselNetwork

TASK = TASKS["drive"]


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def test_the_network_has_the_papers_19_layers_and_4_31_million_weights() -> None:
    layers = convolutions(VesselNetwork())
    assert len(layers) == 19
    assert sum(layer.weight.numel() for layer in layers) == 4_313_440
    assert all(layer.bias is None for layer in layers)


def test_a_patch_takes_the_papers_products_and_column_outputs() -> None:
    network, counts = VesselNetwork(), [0, 0]

    def count(layer: nn.Conv2d, _: object, outputs: torch.Tensor) -> None:
        counts[0] += outputs.numel() * layer.weight[0].numel()
        counts[1] += outputs.numel()

    for layer in convolutions(network):
        layer.register_forward_hook(count)
    assert TASK.input_shape == (1, 64, 64)
    network(torch.zeros(1, *TASK.input_shape))
    assert counts == [624_295_936, 942_080]


@pytest.mark.parametrize("shape", [(16, 16), (48, 48), (32, 64)])
def test_every_pixel_gets_an_answer(shape: tuple[int, int]) -> None:
    network = VesselNetwork(width=0.125)
    assert network(torch.rand(3, 1, *shape)).shape == (3, 2, *shape)


def test_an_answer_heeds_pixels_on_every_floor() -> None:
    network = VesselNetwork(width=0.125).eval()
    patch = torch.rand(1, 1, 64, 64, requires_grad=True)
    network(patch)[0, 1, 32, 32].backward()
    assert patch.grad is not None
    # Beyond what two convolutions of 3 x 3 see without going down, and to the patch's far end.
    assert patch.grad[0, 0, 32, 40:].any()
    assert patch.grad[0, 0, :8].any()


def test_width_scales_the_channels_and_must_be_positive() -> None:
    layers = convolutions(VesselNetwork(width=0.5))
    assert (layers[0].out_channels, layers[-1].in_channels) == (16, 16)
    with pytest.raises(SettingError, match="positive"):
        VesselNetwork(width=0.0)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"task.sides": 48}, "side"),
        ({"task.channel": 2}, "a word"),
        ({"task.stride": 2.5}, "a whole number"),
    ],
)
def test_a_wrong_task_setting_is_refused_before_anything_is_read(
    tmp_path: Path, settings: dict[str, object], word: str
) -> None:
    recipe = Recipe.parse({"task": "drive"}, where="test").with_settings(settings)
    with pytest.raises(SettingError, match=word):
        run_experiment(recipe, tmp_path / "run", data=tmp_path)


def test_a_run_on_the_chip_is_measured_on_whole_pictures(everyone: Path, tmp_path: Path) -> None:
    recipe = Recipe.parse(
        {
            "task": {"name": "drive", "side": 32, "patches_per_image": 16, "stride": 32},
            "run": {"arms": ["pruned"], "split": "validation"},
            "training": {"epochs": 2, "batch_size": 16},
            "converters": {"input_bits": 6},
            "network": {"width": 0.125},
        },
        where="test",
    )
    record = run_experiment(recipe, tmp_path / "run", data=everyone)
    assert record["metric"] == "roc_auc"
    assert list(record["metrics"]) == [metric.name for metric in TASK.metrics]
    (trial,) = record["results"][0]["trials"]
    # The made-up vessels are dark: a few steps are enough to find them better than by chance.
    assert trial["validation"]["roc_auc"] > 0.7
    assert sum(map(sum, trial["confusion"])) > 4 * 200_000
    assert trial["placement"]["utilisation"] > 0
    with np.load(tmp_path / "run" / trial["arrays"]) as arrays:
        assert {"curve/roc", "curve/pr", "picture/28_training/predicted"} <= set(arrays)
    lines = (tmp_path / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert all(json.loads(line)["train_accuracy"] <= 1 for line in lines)
