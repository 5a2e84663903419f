"""The networks are the published ones, and their settings are checked."""

import pytest
import torch

from secateur.chip import SimulatedChip
from secateur.cost.published import comparison_of_counts
from secateur.errors import SettingError
from secateur.network import prune_, pruned_weights
from secateur.network.trace import trace
from secateur.tasks import TASKS, task_named


def weights(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.dim() >= 2)


def test_the_fashion_network_has_the_papers_62_272_weights():
    network = TASKS["fashion-mnist"].build({})
    assert weights(network) == 62_272
    assert network(torch.rand(2, 1, 14, 14)).shape == (2, 10)


def test_the_spoken_network_has_the_papers_68_480_weights_macs_and_column_outputs():
    network = TASKS["spoken-digits"].build({})
    assert weights(network) == 68_480
    assert network(torch.rand(2, 1, 23, 20)).shape == (2, 10)
    assert sum(p.numel() for p in network.parameters()) == 68_480
    prune_(network, SimulatedChip("taox-40nm", seed=0), input_bits=3)
    counted = trace(network, torch.zeros(1, 1, 23, 20))
    assert (counted.macs, counted.column_outputs) == (394_112, 15_178)
    assert comparison_of_counts("spoken-digits", counted).startswith("The paper's counts are met")


def test_the_recurrent_matrices_are_read_once_a_step_of_the_sequence():
    network = TASKS["spoken-digits"].build({})
    seen = []
    network.rnn.register_forward_hook(lambda module, given, made: seen.append(made[0].shape))
    network(torch.rand(2, 1, 23, 20))
    assert seen == [(2, 4, 128)]
    prune_(network, SimulatedChip("taox-40nm", seed=0), input_bits=3)
    before = {name: weight.uses.count for name, weight in pruned_weights(network).items()}
    network(torch.rand(2, 1, 23, 20))
    after = {name: weight.uses.count for name, weight in pruned_weights(network).items()}
    assert {name: after[name] - before[name] for name in after} == {
        "conv1.weight": 1, "conv2.weight": 1, "rnn.weight_ih_l0": 4, "rnn.weight_hh_l0": 4,
        "fc1.weight": 1, "fc2.weight": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["fashion-mnist", "spoken-digits"])
@pytest.mark.parametrize("hidden_norm", [False, True])
def test_a_hidden_norm_adds_no_weight(name, hidden_norm):
    network = TASKS[name].build({"hidden_norm": hidden_norm})
    assert sum(p.numel() for p in network.parameters()) == weights(TASKS[name].build({}))


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
    [({"widht": 2.0}, "width"), ({"width": "2"}, "Give a number,"),
     ({"hidden_norm": 1}, "Give true or false,"), ({"width": -1.0}, "positive")],
)  # fmt: skip
def test_a_wrong_network_setting_is_refused(settings, word):
    for name in ("fashion-mnist", "spoken-digits"):
        with pytest.raises(SettingError, match=word):
            TASKS[name].build(settings)


@pytest.mark.parametrize(
    ("task", "setting", "impossible"),
    [
        *[("digits", name, number) for name in ("channels", "hidden") for number in (-4, 0)],
        *[("fashion-mnist", "hidden_width", number) for number in (0.0, float("inf"))],
        ("fashion-mnist", "depth", 1), ("fashion-mnist", "side", 5), ("imagenet-100", "classes", 1),
        *[
            (task, "width", number)
            for task in TASKS if task != "digits"
            for number in (-1.0, 0.0, float("nan"), float("inf"))
        ],
    ],
)  # fmt: skip
def test_a_size_that_makes_no_network_is_refused_by_its_name(task, setting, impossible):
    with pytest.raises(SettingError, match=rf"network\.{setting} is {impossible}\. Give "):
        TASKS[task].build({setting: impossible})


def test_an_unknown_setting_of_a_task_is_refused_with_the_nearest_by_its_path_or_with_none():
    with pytest.raises(SettingError, match=r"Did you mean 'network\.channels'\?"):
        TASKS["digits"].build({"chanels": 8})
    with pytest.raises(SettingError, match="Leave it out: digits has none"):
        TASKS["digits"].check({"foo": 1})


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(SettingError, match="fashion-mnist"):
        task_named("fashion_mnist")
