"""A swapped linear or convolutional layer computes what the plain one does."""

import pytest
import torch
from networks import Holder, assert_same, twin
from torch import nn

from secateur.network import quantise_

LAYERS = {
    "linear": (nn.Linear(5, 3), (4, 5)),
    "linear without bias": (nn.Linear(5, 3, bias=False), (4, 5)),
    "linear on one vector": (nn.Linear(5, 3), (5,)),
    "linear on sequences": (nn.Linear(5, 3), (2, 3, 5)),
    "conv1d": (nn.Conv1d(4, 6, 3), (2, 4, 9)),
    "conv1d unbatched": (nn.Conv1d(4, 6, 3), (4, 9)),
    "conv1d same": (nn.Conv1d(4, 6, 4, padding="same", dilation=2), (2, 4, 9)),
    "conv1d replicate": (nn.Conv1d(4, 6, 3, padding=2, padding_mode="replicate"), (2, 4, 9)),
    "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 4, 7, 6)),
    "conv2d grouped": (nn.Conv2d(4, 6, 3, groups=2, dilation=2), (2, 4, 7, 8)),
    "conv2d depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), (2, 4, 7, 8)),
    "conv2d reflect": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 4, 5, 6)),
    "conv2d circular": (nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="circular"), (2, 4, 5, 6)),
    "conv2d same circular": (
        nn.Conv2d(4, 6, 4, padding="same", padding_mode="circular"), (2, 4, 5, 6),
    ),
    "conv2d unbatched": (nn.Conv2d(4, 6, 3), (4, 5, 6)),
    "conv3d": (nn.Conv3d(2, 4, (1, 2, 3), groups=2, stride=(1, 2, 1)), (2, 2, 3, 5, 6)),
    "conv3d valid": (nn.Conv3d(2, 4, 2, padding="valid"), (1, 2, 3, 3, 3)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    "transposed 1d padded": (nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1), (2, 4, 5)),
    "transposed 2d": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 5, 3),
    ),
    "transposed 2d dilated": (nn.ConvTranspose2d(4, 6, 3, dilation=2, bias=False), (4, 5, 3)),
    "transposed 3d": (nn.ConvTranspose3d(2, 4, 2, stride=2), (1, 2, 2, 3, 2)),
}  # fmt: skip


def call(model, inputs, **keywords):
    return model(inputs, **keywords)


def swapped(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    plain = Holder(twin(layer)).double()
    return plain, quantise_(twin(plain), input_bits=None)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_are_those_of_the_plain_layer(name):
    layer, shape = LAYERS[name]
    plain, chip_like = swapped(layer)
    assert type(chip_like.layer).__name__ == "ChipLayer"
    assert_same(plain, chip_like, call, [torch.randn(shape, dtype=torch.float64)])


@pytest.mark.parametrize("size", [[10], [11]])
def test_output_size_chooses_among_the_shapes_a_transposed_convolution_can_give(size):
    plain, chip_like = swapped(nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1))
    inputs = torch.randn(2, 4, 6, dtype=torch.float64)
    if size == [10]:
        with pytest.raises(ValueError, match="requested an output size"):
            chip_like(inputs, output_size=size)
        size = [12]
    outputs = chip_like(inputs, output_size=size)
    assert outputs.shape[2:] == torch.Size(size)
    torch.testing.assert_close(outputs, plain(inputs, output_size=size))


def test_output_size_is_refused_where_it_means_nothing():
    _, chip_like = swapped(nn.Conv1d(4, 6, 3))
    with pytest.raises(TypeError, match="transposed"):
        chip_like(torch.randn(2, 4, 6, dtype=torch.float64), output_size=[4])


def test_settings_and_names_of_the_plain_layer_can_still_be_looked_up():
    plain, chip_like = swapped(nn.Conv2d(4, 6, 3, stride=2))
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "groups", "padding_mode"):
        assert getattr(chip_like.layer, name) == getattr(plain.layer, name)
    assert chip_like.layer.weight.shape == plain.layer.weight.shape
    assert "Conv2d(4, 6, kernel_size=(3, 3), stride=(2, 2))" in repr(chip_like)
    _, without = swapped(nn.Linear(2, 3, bias=False))
    assert without.layer.in_features == 2
    assert "bias=False" in repr(without)


def test_hooks_on_a_layer_go_on_to_its_counterpart_and_back():
    from secateur.network import detach_

    model, seen = Holder(nn.Linear(3, 2)), []
    model.layer.register_forward_hook(lambda *_: seen.append("after"))
    model.layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    quantise_(model, input_bits=None)
    model(torch.randn(1, 3))
    assert seen == ["before", "after"]
    detach_(model)(torch.randn(1, 3))
    assert seen == ["before", "after"] * 2
