"""Levels of fidelity: one read per step, and fresh noise per product equal to a draw per cell."""

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from secateur.circuit import Circuit, LinearMap, ReadPerProduct, ReadPerStep

GAIN = 5e4
NOISE = 0.02


def pairs(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mean and read deviation in siemens of pairs, half of whose cells are pristine."""
    draws = torch.Generator().manual_seed(seed)
    cells = 12e-6 * (0.15 * torch.randn(2, *shape, generator=draws)).exp()
    cells[torch.rand(cells.shape, generator=draws) < 0.5] = 1e-7
    return cells[0] - cells[1], NOISE * (cells[0].square() + cells[1].square()).sqrt()


def linear(inputs: Tensor, weight: Tensor) -> Tensor:
    return functional.linear(inputs, weight)


def convolution(inputs: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(inputs, weight, stride=2, padding=1)


def grouped(inputs: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(inputs, weight, dilation=2, groups=2)


def transposed(inputs: Tensor, weight: Tensor) -> Tensor:
    return functional.conv_transpose2d(inputs, weight, stride=2)


CASES = [
    pytest.param(linear, (5, 12), (1, 12), id="linear"),
    pytest.param(convolution, (4, 3, 3, 3), (1, 3, 6, 6), id="convolution"),
    pytest.param(grouped, (4, 2, 2, 2), (1, 4, 5, 5), id="grouped, dilated"),
    pytest.param(transposed, (3, 2, 3, 3), (1, 3, 3, 3), id="transposed"),
]
MANY = 4000


def products(circuit: Circuit, layer: LinearMap, inputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Many multiplications of one input, as one batch: (MANY, outputs)."""
    mean, deviation = pairs(*shape)
    weight = circuit.weight(mean, deviation, gain=GAIN, key=1)
    batch = inputs.expand(MANY, *inputs.shape[1:])
    return circuit.product(layer, batch, weight, deviation, gain=GAIN, key=2).reshape(MANY, -1)


@pytest.mark.parametrize(("layer", "shape", "inputs_shape"), CASES)
def test_noise_per_product_has_the_law_of_a_draw_for_every_cell(
    layer: LinearMap, shape: tuple[int, ...], inputs_shape: tuple[int, ...]
) -> None:
    """Against the slow way: new weights for every multiplication, one output at a time."""
    mean, deviation = pairs(*shape)
    inputs = torch.randn(inputs_shape, generator=torch.Generator().manual_seed(1))
    fast = products(ReadPerProduct(), layer, inputs, shape).double()

    draws = torch.Generator().manual_seed(2)
    slow = torch.stack(
        [
            layer(inputs, GAIN * (mean + deviation * torch.randn(shape, generator=draws)))
            for _ in range(1500)
        ]
    ).reshape(1500, -1).double()  # fmt: skip

    expected = layer(inputs, GAIN * mean).reshape(-1).double()
    variance = layer(inputs.square(), (GAIN * deviation).square()).reshape(-1).double()
    noisy = variance > 1e-12
    assert bool(noisy.any())
    by_mean = (fast.mean(dim=0) - expected)[noisy] / (variance[noisy] / MANY).sqrt()
    assert float(by_mean.abs().max()) < 5.0
    ratio = fast.var(dim=0)[noisy] / slow.var(dim=0)[noisy]
    assert float((ratio - 1.0).abs().max()) < 6.0 * (2.0 / 1500 + 2.0 / MANY) ** 0.5
    for o in noisy.nonzero().squeeze(1)[::5]:
        standardised = ((fast[:, o] - expected[o]) / variance[o].sqrt()).numpy()
        explicit = ((slow[:, o] - expected[o]) / variance[o].sqrt()).numpy()
        assert stats.kstest(standardised, "norm").pvalue > 1e-4
        assert stats.ks_2samp(standardised, explicit).pvalue > 1e-4


@pytest.mark.parametrize(("layer", "shape", "inputs_shape"), CASES)
def test_noise_per_product_is_fresh_for_every_sample_and_output(
    layer: LinearMap, shape: tuple[int, ...], inputs_shape: tuple[int, ...]
) -> None:
    inputs = torch.rand(inputs_shape, generator=torch.Generator().manual_seed(1)) + 0.1
    outputs = products(ReadPerProduct(), layer, inputs, shape)
    noise = outputs - outputs.mean(dim=0)
    noise = noise[:, noise.std(dim=0) > 1e-6][:, :20]
    across = torch.corrcoef(noise.T) - torch.eye(noise.shape[1])
    assert float(across.abs().max()) < 6.0 / MANY**0.5
    in_turn = torch.corrcoef(torch.stack([noise[1:, 0], noise[:-1, 0]]))[0, 1]
    assert abs(float(in_turn)) < 5.0 / MANY**0.5


def test_one_read_per_step_is_shared_by_all_products_of_it() -> None:
    mean, deviation = pairs(5, 12)
    inputs = torch.randn(1, 12)
    outputs = products(ReadPerStep(), linear, inputs, (5, 12))
    torch.testing.assert_close(outputs, outputs[:1].expand(MANY, 5))
    weight = ReadPerStep().weight(mean, deviation, gain=GAIN, key=1)
    assert torch.equal(
        ReadPerStep().product(linear, inputs, weight, deviation, gain=GAIN, key=2),
        linear(inputs, weight),
    )


def test_the_weights_of_one_read_are_normal_around_their_mean() -> None:
    mean, deviation = pairs(100, 80)
    weight = ReadPerStep().weight(mean, deviation, gain=GAIN, key=3)
    standardised = (weight / GAIN - mean) / deviation
    assert stats.kstest(standardised.view(-1).double().numpy(), "norm").pvalue > 1e-3


def test_a_read_is_a_function_of_its_key() -> None:
    mean, deviation = pairs(10, 10)
    reads = [ReadPerStep().weight(mean, deviation, gain=GAIN, key=key) for key in (1, 1, 2)]
    assert torch.equal(reads[0], reads[1])
    assert not bool((reads[0] == reads[2]).any())


def test_a_product_is_a_function_of_its_key() -> None:
    mean, deviation = pairs(5, 12)
    inputs = torch.randn(3, 12)
    outputs = [
        ReadPerProduct().product(linear, inputs, GAIN * mean, deviation, gain=GAIN, key=key)
        for key in (1, 1, 2)
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert not bool((outputs[0] == outputs[2]).any())


def test_noise_per_product_reads_the_mean_weight() -> None:
    mean, deviation = pairs(10, 10)
    weight = ReadPerProduct().weight(mean, deviation, gain=GAIN, key=1)
    assert torch.equal(weight, mean * GAIN)


@pytest.mark.parametrize("circuit", [ReadPerStep(), ReadPerProduct()])
def test_without_noise_all_levels_are_the_plain_product(circuit: Circuit) -> None:
    mean, _ = pairs(5, 12)
    inputs, silent = torch.randn(3, 12), torch.zeros(5, 12)
    weight = circuit.weight(mean, silent, gain=GAIN, key=1)
    outputs = circuit.product(linear, inputs, weight, silent, gain=GAIN, key=2)
    assert torch.equal(outputs, linear(inputs, GAIN * mean))


@pytest.mark.parametrize("circuit", [ReadPerStep(), ReadPerProduct()])
def test_reading_leaves_the_chips_state_as_it_is(circuit: Circuit) -> None:
    """The arguments are views of the chip."""
    mean, deviation = pairs(5, 12)
    held = mean.clone(), deviation.clone()
    weight = circuit.weight(mean, deviation, gain=GAIN, key=1)
    circuit.product(linear, torch.randn(3, 12), weight, deviation, gain=GAIN, key=2)
    weight.zero_()
    assert torch.equal(mean, held[0])
    assert torch.equal(deviation, held[1])


@pytest.mark.parametrize("circuit", [ReadPerStep(), ReadPerProduct()])
@pytest.mark.parametrize(("layer", "shape", "inputs_shape"), CASES)
def test_the_gradient_is_that_of_the_digital_product(
    circuit: Circuit, layer: LinearMap, shape: tuple[int, ...], inputs_shape: tuple[int, ...]
) -> None:
    """Straight through the noise: it neither has a gradient nor changes one."""
    mean, deviation = pairs(*shape)
    weight = circuit.weight(mean, deviation, gain=GAIN, key=1).requires_grad_()
    inputs = torch.randn(inputs_shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    outputs = circuit.product(layer, inputs, weight, deviation, gain=GAIN, key=2)
    upstream = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(2))
    noisy = torch.autograd.grad((outputs * upstream).sum(), (inputs, weight))
    plain = torch.autograd.grad((layer(inputs, weight) * upstream).sum(), (inputs, weight))
    for got, expected in zip(noisy, plain, strict=True):
        torch.testing.assert_close(got, expected)
