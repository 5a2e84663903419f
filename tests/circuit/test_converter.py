"""Converters: 2^bits levels, a straight-through gradient, a range that evaluation keeps."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.circuit import InputConverter, quantise
from secateur.errors import SettingError


def calibrated(bits: int = 4, *, signed: bool = False, **options: float) -> InputConverter:
    """A converter that has seen 50 batches of ReLU outputs, or of signed numbers."""
    converter = InputConverter(bits, **options)
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        batch = torch.randn(64, 10, generator=draws)
        converter(batch if signed else batch.relu())
    return converter.eval()


# --- Levels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("signed", [False, True])
def test_all_levels_and_no_others_come_out(bits: int, signed: bool) -> None:
    step = 0.25
    inputs = torch.linspace(-2.0 * 2**bits, 2.0 * 2**bits, 20_001)
    levels = quantise(inputs, step=step, bits=bits, signed=signed).unique() / step
    highest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    assert levels.tolist() == list(range(-highest if signed else 0, highest + 1))
    assert len(levels) == (2**bits - 1 if signed else 2**bits)


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30),
    st.floats(0.015625, 8.0, width=32),
    st.integers(2, 8),
    st.booleans(),
)
def test_the_nearest_level_is_taken(
    values: list[float], step: float, bits: int, signed: bool
) -> None:
    """Reference: torch's own fake quantisation."""
    inputs = torch.tensor(values)
    highest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    lowest = -highest if signed else 0
    quantised = quantise(inputs, step=step, bits=bits, signed=signed)
    reference = torch.fake_quantize_per_tensor_affine(inputs, step, 0, lowest, highest)
    # Half-way between two levels either is the nearest.
    half_way = ((inputs / step - 0.5) % 1.0 - 0.5).abs() > 0.499
    torch.testing.assert_close(quantised[~half_way], reference[~half_way])
    inside = (inputs > lowest * step) & (inputs < highest * step)
    assert bool(((quantised - inputs).abs() <= 0.5001 * step)[inside].all())


@given(st.integers(0, 2**20), st.integers(2, 8), st.booleans())
def test_quantising_twice_is_quantising_once(seed: int, bits: int, signed: bool) -> None:
    inputs = torch.randn(50, generator=torch.Generator().manual_seed(seed))
    once = quantise(inputs, step=0.1, bits=bits, signed=signed)
    assert torch.equal(quantise(once, step=0.1, bits=bits, signed=signed), once)


def test_a_signed_range_is_symmetric() -> None:
    inputs = torch.randn(100, generator=torch.Generator().manual_seed(0))
    plus = quantise(inputs, step=0.3, bits=4, signed=True)
    minus = quantise(-inputs, step=0.3, bits=4, signed=True)
    assert torch.equal(plus, -minus)


def test_arguments_are_left_as_they_are() -> None:
    inputs = torch.randn(10)
    before = inputs.clone()
    quantise(inputs, step=0.5, bits=3, signed=True)
    assert torch.equal(inputs, before)


# --- Gradient ----------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
def test_the_gradient_is_that_of_clipping(signed: bool) -> None:
    """References: torch's fake quantisation, and differences over one step of the staircase."""
    step, bits = 0.25, 3
    highest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    lowest = -highest if signed else 0
    levels = torch.arange(-2 * highest, 2 * highest) + 0.1
    upstream = torch.linspace(0.5, 2.0, levels.numel())
    inputs = (levels * step).requires_grad_()
    quantised = quantise(inputs, step=step, bits=bits, signed=signed)
    (gradient,) = torch.autograd.grad((quantised * upstream).sum(), inputs)

    reference = torch.fake_quantize_per_tensor_affine(inputs, step, 0, lowest, highest)
    (expected,) = torch.autograd.grad((reference * upstream).sum(), inputs)
    torch.testing.assert_close(gradient, expected)

    ahead, behind = (
        quantise(inputs.detach() + side * step, step=step, bits=bits, signed=signed)
        for side in (0.5, -0.5)
    )
    # What rounds to the last level is inside; the mean over a step ends on the level itself.
    plain = ((levels - lowest).abs() > 0.5) & ((levels - highest).abs() > 0.5)
    torch.testing.assert_close(gradient[plain], (upstream * (ahead - behind) / step)[plain])


def test_nothing_flows_outside_the_range() -> None:
    inputs = torch.tensor([-1.0, 0.2, 0.9, 5.0], requires_grad=True)
    quantise(inputs, step=0.1, bits=3, signed=False).sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.tolist() == [0.0, 1.0, 0.0, 0.0]


# --- The range ---------------------------------------------------------------------------------


def test_evaluation_before_any_training_is_refused_with_the_remedy() -> None:
    with pytest.raises(SettingError, match=r"no range yet.*training mode"):
        InputConverter(4).eval()(torch.rand(3))


def test_evaluation_keeps_the_range_whatever_comes() -> None:
    converter = calibrated()
    before = copy.deepcopy(converter.state_dict())
    for inputs in (100.0 * torch.rand(50), -torch.rand(50), torch.zeros(5)):
        converter(inputs)
    assert all(torch.equal(converter.state_dict()[name], value) for name, value in before.items())


def test_a_result_does_not_depend_on_its_batch_or_its_order() -> None:
    converter = calibrated()
    inputs = torch.randn(64, 10, generator=torch.Generator().manual_seed(1))
    whole = converter(inputs)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(converter(inputs[order]), whole[order])
    assert torch.equal(torch.cat([converter(part) for part in inputs.split(7)]), whole)


def test_training_follows_the_inputs_and_evaluation_uses_what_it_found() -> None:
    small, large = calibrated(), InputConverter(4)
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        large(5.0 * torch.randn(64, 10, generator=draws).relu())
    ratio = float(large.full_scale / small.full_scale)
    assert ratio == pytest.approx(5.0, rel=1e-5)
    levels = large.eval()(torch.linspace(0.0, 100.0, 1000)).unique()
    assert len(levels) == 16
    assert float(levels.max()) == pytest.approx(float(large.full_scale))


def test_the_range_is_headroom_times_the_root_mean_square_but_no_further_than_the_peak() -> None:
    inputs = torch.tensor([0.0, 3.0, 4.0, 0.0])
    root_mean_square = (25.0 / 4) ** 0.5
    for headroom, full_scale in ((1.0, root_mean_square), (100.0, 4.0)):
        converter = InputConverter(4, headroom=headroom)
        converter(inputs)
        assert float(converter.full_scale) == pytest.approx(full_scale)


def test_the_range_is_an_exponential_average() -> None:
    converter = InputConverter(4, headroom=100.0, momentum=0.25)
    expected = None
    for peak in (1.0, 2.0, 8.0):
        converter(torch.tensor([peak, 0.5 * peak]))
        expected = peak if expected is None else expected + 0.25 * (peak - expected)
        assert float(converter.full_scale) == pytest.approx(expected)


def test_the_first_negative_input_settles_the_sign() -> None:
    converter = InputConverter(4)
    converter(torch.rand(10))
    assert not bool(converter.signed)
    converter(torch.randn(10))
    assert bool(converter.signed)
    converter(torch.rand(10))
    assert bool(converter.signed)
    assert float(converter.eval()(torch.tensor([-1e6]))) == pytest.approx(
        -float(converter.full_scale)
    )


def test_inputs_that_are_all_zero_come_out_as_zero_and_move_no_range() -> None:
    """A recurrent layer's first state is zero, at the start of every sequence."""
    fresh = InputConverter(4)
    outputs = fresh(torch.zeros(5))
    assert outputs.tolist() == [0.0] * 5
    assert float(fresh.full_scale) == 0.0
    fresh(torch.tensor([2.0, 1.0]))
    full_scale = float(fresh.full_scale)
    fresh(torch.zeros(5))
    assert float(fresh.full_scale) == full_scale > 0.0


@pytest.mark.parametrize("steps", [4, 8])
def test_the_range_follows_all_time_steps_of_a_sequence(steps: int) -> None:
    """A recurrent layer's converter is called once per time step, its first state is zero."""
    converter = InputConverter(4, every=1)
    for scale in [1.0] * 20 + [10.0] * 400:
        for step in range(steps):
            converter(torch.full((3,), 0.0 if step == 0 else scale))
    assert float(converter.full_scale) == pytest.approx(10.0, rel=0.1)


def test_the_range_is_part_of_the_state() -> None:
    trained, loaded = calibrated(signed=True), InputConverter(4)
    loaded.load_state_dict(trained.state_dict())
    inputs = torch.randn(30)
    assert torch.equal(loaded.eval()(inputs), trained(inputs))


def test_more_bits_are_nearer() -> None:
    inputs = torch.rand(500, generator=torch.Generator().manual_seed(3))
    errors = [float((calibrated(bits)(inputs) - inputs).abs().mean()) for bits in (2, 4, 8)]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@pytest.mark.parametrize("bits", [0, 1, 17, -4])
def test_impossible_bits_are_refused(bits: int) -> None:
    with pytest.raises(SettingError, match=f"input_bits is {bits}"):
        InputConverter(bits)
