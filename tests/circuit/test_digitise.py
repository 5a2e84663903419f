"""Sums become levels, what is beyond the last is counted; noise meets every plane before that."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.nn import functional

from secateur.circuit import (
    Circuit,
    Converters,
    Ideal,
    Layout,
    Levels,
    ReadPerProduct,
    ReadPerStep,
    Wired,
    bit_planes,
    digitise_,
)
from secateur.circuit import converters as converters_module
from secateur.circuit.digitise import straight_through
from secateur.errors import SettingError


def counter() -> Tensor:
    return torch.zeros((), dtype=torch.int64)


@given(st.integers(0, 2**20), st.integers(2, 10), st.floats(0.01, 0.5))
@settings(deadline=None)
def test_the_nearest_level_is_taken_and_the_others_are_counted(
    seed: int, bits: int, step: float
) -> None:
    """Reference: torch's own fake quantisation."""
    sums = 3.0 * torch.randn(40, 7, generator=torch.Generator().manual_seed(seed))
    highest = 2 ** (bits - 1) - 1
    saturated = counter()
    found = digitise_(sums.clone(), step=step, bits=bits, saturated=saturated)
    expected = torch.fake_quantize_per_tensor_affine(sums, step, 0, -highest, highest)
    # Half-way between two levels either is the nearest.
    decided = ((sums / step - 0.5) % 1.0 - 0.5).abs() < 0.499
    torch.testing.assert_close(found[decided], expected[decided])
    beyond = int(((sums / step).round().abs() > highest).sum())
    assert abs(int(saturated) - beyond) <= int((~decided).sum())


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("errors", [False, True])
def test_blocks_give_what_one_pass_gives(channels_last: bool, errors: bool) -> None:
    """Large sums are converted in pieces."""
    draws = torch.Generator().manual_seed(0)
    sums = torch.randn(50, 12, 20, 20, generator=draws)
    if channels_last:
        sums = sums.to(memory_format=torch.channels_last)
    gain = 1.0 + 0.1 * torch.randn(12, 1, 1, generator=draws) if errors else None
    offset = 0.2 * torch.randn(12, 1, 1, generator=draws) if errors else None
    law = {"step": 0.02, "bits": 8, "gain": gain, "offset": offset}
    whole, pieces = counter(), counter()
    each = [digitise_(one.clone(), saturated=pieces, **law) for one in sums.split(1)]
    found = digitise_(sums.clone(), saturated=whole, **law)
    assert torch.equal(found, torch.cat(each))
    assert torch.equal(found, digitise_(sums.clone(), saturated=None, **law))
    assert int(whole) == int(pieces) > 0


def test_the_gradient_passes_where_every_converter_was_in_its_range() -> None:
    draws = torch.Generator().manual_seed(0)
    first, second = (torch.randn(30, 4, generator=draws) for _ in range(2))
    plain = (first + second).requires_grad_()
    result = torch.randn(30, 4, generator=draws)
    found = straight_through(plain, result=result, limits=[(first, 1.0), (second, 0.5)])
    assert torch.equal(found, result)
    upstream = torch.randn(30, 4, generator=draws)
    (gradient,) = torch.autograd.grad((found * upstream).sum(), plain)
    assert torch.equal(gradient, upstream * (first.abs() < 1.0) * (second.abs() < 0.5))


# --- Planes ------------------------------------------------------------------------------------


@given(st.integers(2, 9), st.booleans(), st.integers(0, 2**20))
@settings(deadline=None)
def test_shifted_planes_add_up_to_the_inputs(bits: int, signed: bool, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    highest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    codes = torch.randint(-highest if signed else 0, highest + 1, (30,), generator=draws)
    inputs = codes.float() * 0.37
    planes = list(bit_planes(inputs, Levels(0.37, bits, signed)))
    assert len(planes) == bits
    assert all(bool(((plane / 0.37 - 0.5).abs() == 0.5).all()) for _, plane in planes)
    total = sum((shift * plane for shift, plane in planes), torch.zeros(30))
    torch.testing.assert_close(total, inputs)


# --- Noise -------------------------------------------------------------------------------------

ROWS, OUTPUTS, GAIN, MANY = 24, 5, 5e4, 4000
LEVELS = Levels(0.25, 3, signed=True)


def pairs() -> tuple[Tensor, Tensor]:
    """Mean and read deviation in siemens, on two macros of 16 and 8 rows."""
    draws = torch.Generator().manual_seed(0)
    cells = 12e-6 * (0.3 * torch.randn(2, OUTPUTS, ROWS, generator=draws)).exp()
    return cells[0] - cells[1], 0.05 * (cells[0].square() + cells[1].square()).sqrt()


def bound(level: Circuit) -> Circuit:
    where = torch.zeros(2, OUTPUTS, dtype=torch.int64)
    spans = ((0, 16), (16, ROWS))
    return level.bound(Layout((OUTPUTS, ROWS), False, spans, where, where, seed=0))


def explicit(inputs: Tensor, *, bits: int | None, ranges: list[float], serial: bool) -> Tensor:
    """The slow way: new cells for every read of every plane and macro, then the converter."""
    mean, deviation = pairs()
    draws = torch.Generator().manual_seed(7)
    planes = list(bit_planes(inputs, LEVELS)) if serial else [(1, inputs)]
    results = []
    for _ in range(MANY):
        total = torch.zeros(OUTPUTS)
        for shift, plane in planes:
            for (first, last), full_scale in zip(((0, 16), (16, ROWS)), ranges, strict=True):
                draw = torch.randn(OUTPUTS, ROWS, generator=draws)
                cells = GAIN * (mean + deviation * draw)
                sums = (cells[:, first:last] @ plane[0, first:last]).clone()
                if bits is not None:
                    step = full_scale / (2 ** (bits - 1) - 1)
                    sums = digitise_(sums, step=step, bits=bits, saturated=counter())
                total += shift * sums
        results.append(total)
    return torch.stack(results).double()


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("bits", [None, 4, 8])
def test_noise_meets_the_sums_before_they_are_converted(serial: bool, bits: int | None) -> None:
    """One analog read, and bit-planes, each with fresh noise: the law of a draw for every cell."""
    mean, deviation = pairs()
    codes = torch.randint(-3, 4, (1, ROWS), generator=torch.Generator().manual_seed(3))
    inputs = codes.float() * LEVELS.step
    ranges = [3.0, 2.0]
    if bits is None and not serial:
        level: Circuit = ReadPerProduct()
    else:
        level = bound(Converters(ReadPerProduct(), output_bits=bits, bit_serial=serial))
        level.ranges = list(ranges)  # type: ignore[attr-defined]
        level.eval()  # type: ignore[attr-defined]
    weight = level.weight(mean, deviation, gain=GAIN, key=1)
    batch = inputs.expand(MANY, ROWS)
    fast = level.product(
        functional.linear, batch, weight, deviation, gain=GAIN, key=2, levels=LEVELS
    ).double()
    slow = explicit(inputs, bits=bits, ranges=ranges, serial=serial)
    spread = slow.std(dim=0)
    assert float(spread.min()) > 0.0
    error = (fast.mean(dim=0) - slow.mean(dim=0)) / (spread * (2.0 / MANY) ** 0.5)
    assert float(error.abs().max()) < 4.5
    ratio = fast.var(dim=0) / slow.var(dim=0)
    assert float((ratio - 1.0).abs().max()) < 6.0 * (4.0 / MANY) ** 0.5
    for output in range(OUTPUTS):
        assert stats.ks_2samp(fast[:, output], slow[:, output]).pvalue > 1e-4


def test_the_variances_of_planes_add_with_their_shifts_squared() -> None:
    """Closed form: sum over planes and inputs of (2^b deviation x bit)^2."""
    mean, deviation = pairs()
    inputs = torch.full((1, ROWS), 3.0) * LEVELS.step
    level = bound(Converters(ReadPerProduct(), output_bits=None, bit_serial=True))
    weight = level.weight(mean, deviation, gain=GAIN, key=1)
    batch = inputs.expand(20_000, ROWS)
    outputs = level.product(
        functional.linear, batch, weight, deviation, gain=GAIN, key=2, levels=LEVELS
    )
    # Three steps are the planes of shift 1 and 2.
    expected = (1 + 4) * LEVELS.step**2 * (GAIN * deviation).square().sum(dim=1)
    torch.testing.assert_close(outputs.var(dim=0), expected, rtol=0.05, atol=0.0)


@pytest.mark.parametrize("level", [ReadPerStep(), Ideal()])
def test_without_noise_per_product_the_same_inputs_give_the_same_codes(level: Circuit) -> None:
    mean, deviation = pairs()
    converters = bound(Converters(level))
    weight = converters.weight(mean, deviation, gain=GAIN, key=1)
    assert torch.equal(weight, level.weight(mean, deviation, gain=GAIN, key=1))
    batch = torch.ones(50, ROWS)
    outputs = converters.product(functional.linear, batch, weight, deviation, gain=GAIN, key=2)
    assert torch.equal(outputs, outputs[:1].expand_as(outputs))


LAYERS = {
    "linear": (functional.linear, (OUTPUTS, ROWS), (6, ROWS), False),
    "sequence": (functional.linear, (OUTPUTS, ROWS), (3, 4, ROWS), False),
    "alone": (functional.linear, (OUTPUTS, ROWS), (ROWS,), False),
    "convolution": (functional.conv2d, (OUTPUTS, 3, 3, 3), (6, 3, 5, 5), False),
    "one picture": (functional.conv2d, (OUTPUTS, 3, 3, 3), (3, 5, 5), False),
    "grouped": (partial(functional.conv2d, groups=2), (4, 3, 2, 2), (6, 6, 4, 4), False),
    "transposed": (functional.conv_transpose2d, (6, 4, 2, 2), (5, 6, 3, 3), True),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_planes_in_one_product_are_planes_one_by_one(monkeypatch, kind: str, training: bool):
    """The same noise, codes, ranges, counts and gradients, however many are multiplied at once."""
    linear, shape, size, inputs_first = LAYERS[kind]
    draws = torch.Generator().manual_seed(0)
    mean, deviation = (1e-5 * torch.randn(shape, generator=draws) for _ in range(2))
    steps = torch.randint(-3, 4, size, generator=draws)
    rows = shape[0] if inputs_first else math.prod(shape[1:])
    columns = math.prod(shape) // rows
    spans = ((0, rows // 2), (rows // 2, rows))
    where = torch.arange(columns).expand(2, columns)
    layout = Layout(shape, inputs_first, spans, where, where, seed=0)
    asked = Converters(
        ReadPerProduct(), output_bits=6, bit_serial=True, gain_spread=0.02, offset_spread=0.01,
        columns_per_converter=1,
    )  # fmt: skip
    found = []
    for stacked in (1, 1 << 19):
        monkeypatch.setattr(converters_module, "_STACKED", stacked)
        level = asked.bound(layout).train(training)
        level.ranges = [1.0, 1.5]
        weight = level.weight(mean, 0.05 * deviation.abs(), gain=GAIN, key=1).requires_grad_()
        inputs = (steps * LEVELS.step).requires_grad_()
        outputs = level.product(
            linear, inputs, weight, 0.05 * deviation.abs(), gain=GAIN, key=2, levels=LEVELS
        )
        outputs.square().sum().backward()
        counts = (level.conversions, int(level.saturated))
        found.append(
            (outputs.detach(), weight.grad, inputs.grad, torch.tensor(level.ranges), counts)
        )
    (*slow, counted), (*fast, as_counted) = found
    assert counted == as_counted
    for ours, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


# --- Bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"output_bits": 1}, "output_bits is 1"),
        ({"output_bits": None}, "convert nothing"),
        ({"columns_per_converter": 0}, "columns_per_converter is 0"),
        ({"gain_spread": -0.1}, "gain_spread is -0.1"),
        ({"offset_spread": 1.5}, "offset_spread is 1.5"),
        ({"headroom": 0.0}, "headroom is 0.0"),
        ({"headroom": float("nan")}, "headroom is nan"),
        ({"momentum": 0.0}, "momentum is 0.0"),
        ({"every": 0}, "every is 0"),
        ({"level": Converters()}, "Converters around converters"),
    ],
)
def test_impossible_converters_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Converters(**arguments)  # type: ignore[arg-type]
    assert words in str(refusal.value)


def test_converters_of_no_weight_multiply_nothing() -> None:
    mean, deviation = pairs()
    with pytest.raises(SettingError, match="belong to no weight"):
        Converters().product(
            functional.linear, torch.ones(1, ROWS), mean, deviation, gain=1.0, key=0
        )


def test_the_level_is_told_in_words() -> None:
    wires = Wired(Ideal(), input_line_resistance=1.0, output_line_resistance=1.0)
    level = Converters(wires, output_bits=6, bit_serial=True, gain_spread=0.01)
    assert level.label == (
        "ideal sums, no read noise; wires of 1 and 1 ohms a segment, driven from one side; "
        "bit-serial inputs; 6-bit converters for 8 pairs each (spread of gain 0.01)"
    )
    assert bound(level).label == level.label
