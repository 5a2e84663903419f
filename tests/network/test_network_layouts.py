"""Channels first or last: a layout of memory, never of numbers."""

import pytest
import torch
from networks import QUIET, pruned, weights_of
from torch import nn

from secateur.circuit import ReadPerProduct, ReadPerStep
from secateur.network import detach_
from secateur.network.weight import memory_format_of

LAST = torch.channels_last
CELLS_OF_WEIGHTS = {"grain": "cell", "score_per": "weight", "keep_fraction": 0.2}


def convolutions() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
        )


PICTURES = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("circuit", [ReadPerStep(), ReadPerProduct()], ids=lambda c: c.label)
def test_a_model_with_its_channels_last_computes_so_from_its_first_layer_on(circuit):
    """One input channel leaves strides open to doubt, and torch would go back to channels first."""
    model = pruned(convolutions().to(memory_format=LAST), circuit=circuit)
    layouts = []
    for layer in model:
        layer.register_forward_hook(
            lambda _, __, out: layouts.append(out.is_contiguous(memory_format=LAST))
        )
    model(PICTURES).sum().backward()
    assert layouts == [True] * len(model)


def test_the_layout_changes_no_number():
    first, last = (
        pruned(network, technology=QUIET, grain="cell")
        for network in (convolutions(), convolutions().to(memory_format=LAST))
    )
    outputs = [model(PICTURES) for model in (first, last)]
    torch.testing.assert_close(*outputs)
    for model, result in zip((first, last), outputs, strict=True):
        result.square().sum().backward()
        assert not result.isnan().any()
        assert all(weight.scores.grad is not None for weight in weights_of(model))
    for one, other in zip(weights_of(first), weights_of(last), strict=True):
        torch.testing.assert_close(one.scores.grad, other.scores.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("search", [{}, {"grain": "cell"}, CELLS_OF_WEIGHTS], ids=str)
def test_a_pruned_model_changes_its_layout_as_any_model_and_keeps_it_when_cast(search):
    """Cells of a convolution have an axis more than torch knows this layout for."""
    model = pruned(convolutions(), **search)
    assert not model(PICTURES).is_contiguous(memory_format=LAST)
    model.to(memory_format=LAST)
    assert model(PICTURES).is_contiguous(memory_format=LAST)
    assert model.double()(PICTURES.double()).is_contiguous(memory_format=LAST)


def test_detached_weights_keep_the_layout():
    plain = detach_(pruned(convolutions().to(memory_format=LAST)))
    assert plain[0].weight.stride() == convolutions().to(memory_format=LAST)[0].weight.stride()


@pytest.mark.parametrize("shape", [(3,), (4, 5), (2, 3, 4), (8, 1, 3, 3), (2, 3, 1, 1), (2,) * 5])
def test_a_contiguous_weight_is_never_taken_for_another_layout(shape):
    assert memory_format_of(torch.empty(shape)) is torch.contiguous_format


@pytest.mark.parametrize(
    ("shape", "last"),
    [((8, 1, 3, 3), LAST), ((4, 6, 1, 1), LAST), ((2, 3, 2, 2, 2), torch.channels_last_3d)],
)
def test_channels_last_is_recognised_by_the_strides_alone(shape, last):
    assert memory_format_of(torch.empty(shape, memory_format=last)) is last


@pytest.mark.parametrize("search", [{}, {"grain": "cell"}, CELLS_OF_WEIGHTS], ids=str)
def test_a_model_shared_between_processes_shares_every_tensor(search):
    """What moves a weight is asked of its tensors laid flat, which must not be copies."""
    model = pruned(convolutions().to(memory_format=LAST), **search).share_memory()
    assert all(tensor.is_shared() for tensor in (*model.parameters(), *model.buffers()))
