"""The residual networks are the published ones: layers, weights and products."""

import pytest
import torch
from torch import Tensor, nn

from secateur.errors import SettingError
from secateur.tasks import TASKS
from secateur.tasks.residual import Block, Bottleneck, ResidualNetwork, resnet_18, resnet_50


def _products(network: nn.Module, side: int) -> int:
    """Multiplications of one picture."""
    counted = [0]

    def count(layer: nn.Module, _: object, outputs: Tensor) -> None:
        counted[0] += outputs.numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    return counted[0]


def test_fifty_layers_have_the_papers_weights_and_products() -> None:
    """25.5 M weights; 3.8e9 products at 224 x 224 (table 1), with the stride where it has it."""
    network = resnet_50(classes=1000)
    assert sum(p.numel() for p in network.parameters() if p.dim() > 1) == 25_502_912
    main = [n for n, m in network.named_modules()
            if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n]  # fmt: skip
    assert len(main) == 50
    assert round(_products(network, 224) / 1e9, 1) in (3.8, 3.9)


def test_eighteen_layers_in_the_large_form_have_the_papers_products() -> None:
    network = ResidualNetwork(Block, (2, 2, 2, 2), classes=1000)
    assert round(_products(network, 224) / 1e9, 1) == 1.8


def test_the_small_form_keeps_the_sides_until_the_second_floor() -> None:
    network = resnet_18(width=0.125)
    seen = []
    for block in network.blocks:
        block.register_forward_hook(lambda m, i, outputs: seen.append(outputs.shape[-1]))
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert seen == [32, 32, 16, 16, 8, 8, 4, 4]
    assert sum(p.numel() for p in resnet_18().parameters() if p.dim() > 1) == 11_164_352


@pytest.mark.parametrize("block", [Block, Bottleneck])
def test_a_block_whose_convolutions_are_silent_passes_its_input_on(block: type) -> None:
    """The shortcut is the identity where the shape stays."""
    inner = 8 // block.expansion
    made = block(8, inner, stride=1, affine=True).eval()
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    pictures = torch.rand(2, 8, 5, 5)
    torch.testing.assert_close(made(pictures), pictures)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"width": 0.0}, "positive"),
        ({"classes": 1}, "2 or more"),
        ({"classes": 2.5}, "a whole number"),
    ],
)
def test_what_makes_no_network_is_refused(settings: dict, word: str) -> None:
    with pytest.raises(SettingError, match=word):
        TASKS["imagenet-100"].build(settings)
