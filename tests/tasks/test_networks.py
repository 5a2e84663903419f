"""The networks are the published ones, and their settings are checked."""

import pytest
import torch

from secateur.errors import SettingError
from secateur.tasks import TASKS, task_named


def weights(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.dim() >= 2)


def test_the_fashion_network_has_the_papers_62_272_weights():
    network = TASKS["fashion-mnist"].build({})
    assert weights(network) == 62_272
    assert network(torch.rand(2, 1, 14, 14)).shape == (2, 10)


@pytest.mark.parametrize("hidden_norm", [False, True])
def test_a_hidden_norm_adds_no_weight(hidden_norm):
    network = TASKS["fashion-mnist"].build({"hidden_norm": hidden_norm})
    assert sum(p.numel() for p in network.parameters()) == 62_272


def test_width_scales_every_layer_but_input_and_output():
    network = TASKS["fashion-mnist"].build({"width": 2})
    assert (network.conv1.out_channels, network.fc1.out_features) == (128, 256)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_the_readout_layer_is_the_last_one(task):
    network = task.build({})
    assert [name for name, _ in network.named_children()][-1] == task.readout
    # Vessels are answered pixel by pixel, so the last layer there is a convolution.
    assert getattr(network, task.readout).weight.shape[0] == len(task.classes)


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"widht": 2.0}, "width"), ({"width": "2"}, "float"), ({"hidden_norm": 1}, "bool"),
     ({"width": -1.0}, "positive")],
)  # fmt: skip
def test_a_wrong_network_setting_is_refused(settings, word):
    with pytest.raises(SettingError, match=word):
        TASKS["fashion-mnist"].build(settings)


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(SettingError, match="fashion-mnist"):
        task_named("fashion_mnist")
