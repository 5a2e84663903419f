"""torch.compile gives the same outputs; the graph breaks at the chip."""

import pytest
import torch
from networks import QUIET, Tagger, batches, conductances, pruned, train, twin, weights_of
from torch import nn

from secateur.circuit import ReadPerProduct
from secateur.network import quantise_

LEVELS = {"read per step": {}, "read per product": {"circuit": ReadPerProduct()}}


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("level", "technology"), [("read per step", QUIET), ("read per product", "taox-40nm")]
)
def test_training_and_evaluation_are_those_of_the_plain_model(level, technology):
    settings = {"technology": technology, "grain": "cell", **LEVELS[level]}
    eager, compiled = pruned(**settings), pruned(**settings)
    fast = torch.compile(compiled, backend="aot_eager")
    torch.testing.assert_close(train(fast, 6), train(eager, 6))
    assert torch.equal(conductances(compiled), conductances(eager))
    assert [w.uses.count for w in weights_of(compiled)] == [w.uses.count for w in weights_of(eager)]
    inputs, _ = next(batches(1))
    torch.testing.assert_close(fast.eval()(inputs), eager.eval()(inputs))


@pytest.mark.filterwarnings("ignore")
def test_every_kind_of_layer_and_the_converters_compile():
    plain = Tagger()
    eager, compiled = (pruned(twin(plain), input_bits=4) for _ in range(2))
    fast = torch.compile(compiled, backend="eager")
    inputs = torch.randn(4, 3, 6)
    for _ in range(2):
        torch.testing.assert_close(fast(inputs), eager(inputs))
    torch.testing.assert_close(fast.eval()(inputs), eager.eval()(inputs))


@pytest.mark.parametrize("level", LEVELS)
def test_steps_are_compiled_once_not_for_every_read(level):
    model = pruned(**LEVELS[level])
    fast = torch.compile(model, backend="eager")
    train(fast, 3)
    with torch._dynamo.config.patch(error_on_recompile=True):
        train(fast, 3)


def test_noise_injected_in_training_does_not_compile_anew_either():
    model = quantise_(nn.Sequential(nn.Linear(12, 4)), input_bits=None, weight_noise=0.1)
    fast = torch.compile(model, backend="eager")
    inputs, _ = next(batches(1))
    fast(inputs), fast(inputs)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert not torch.equal(fast(inputs), fast(inputs))


@pytest.mark.slow
def test_the_default_compiler_agrees_too():
    eager, compiled = pruned(), pruned()
    fast = torch.compile(compiled)
    torch.testing.assert_close(train(fast, 3), train(eager, 3))
