"""Read noise behind wires against explicit draws, and the first order with both ends driven."""

import pytest
import torch
from torch import Tensor

from secateur.circuit import (
    Converters,
    Ideal,
    ReadPerProduct,
    Wired,
    effective_conductance,
    effective_deviation,
    first_order_conductance,
    relative_error,
)
from secateur.errors import SettingError

NOISE = 0.05


def cells(rows: int, columns: int, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    spread = torch.randn(rows, columns, generator=draws, dtype=torch.float64)
    return 12e-6 * (0.15 * spread).exp()


@pytest.mark.parametrize("ohms", [2.0, 20.0, 60.0])
def test_noise_behind_wires_is_right_to_first_order(ohms: float) -> None:
    """Against new cells and an exact solution for every draw; the error stays below the drop's.

    With 24 lines of 24 cells, 2, 20 and 60 ohms a segment lose 0.7, 6 and 16 % of the current.
    """
    wires = {"input_line_resistance": ohms, "output_line_resistance": ohms}
    mean, many = cells(24, 24), 600
    draws = torch.Generator().manual_seed(1)
    volts = torch.rand(24, generator=draws, dtype=torch.float64)
    exact = effective_conductance(mean, **wires)
    noise = effective_deviation(NOISE * mean, conductance=mean, effective=exact)
    predicted = (volts.square() @ noise.square()).sqrt()
    ideal = (volts.square() @ (NOISE * mean).square()).sqrt()
    currents = torch.stack([
        volts @ effective_conductance(
            mean * (1.0 + NOISE * torch.randn(24, 24, generator=draws, dtype=torch.float64)),
            **wires,
        )
        for _ in range(many)
    ])  # fmt: skip
    # The root mean square over the columns: the drawn one is known to 1 / sqrt(2 x 24 x 600).
    drawn = (currents - volts @ exact).square().mean().sqrt()
    error = float(predicted.square().mean().sqrt() / drawn - 1.0)
    lost = 1.0 - float((volts @ exact).sum() / (volts @ mean).sum())
    assert abs(error) < 0.6 * lost + 4.0 / (2 * 24 * many) ** 0.5
    # Without the wires' factor it would be off by the drop itself.
    if lost > 0.05:
        assert abs(error) < 0.5 * abs(float(ideal.square().mean().sqrt() / drawn - 1.0))


def test_noise_behind_wires_is_silent_where_nothing_conducts() -> None:
    mean = torch.tensor([[0.0, 1e-6]])
    noise = effective_deviation(0.1 * mean, conductance=mean, effective=0.5 * mean)
    torch.testing.assert_close(noise, torch.tensor([[0.0, 5e-8]]))


@pytest.mark.parametrize("ends", [0.0, 80.0])
@pytest.mark.parametrize("double_sided", [False, True])
def test_the_first_order_is_the_slope_at_no_resistance(double_sided: bool, ends: float) -> None:
    """Its error falls with the square of the resistances."""
    mean = cells(14, 9)
    errors = []
    for share in (1.0, 0.1):
        wires = {
            "input_line_resistance": 8.0 * share, "output_line_resistance": 5.0 * share,
            "source_resistance": ends * share, "sense_resistance": 0.5 * ends * share,
            "double_sided": double_sided,
        }  # fmt: skip
        exact = effective_conductance(mean, **wires)
        first = first_order_conductance(mean, **wires)
        errors.append(float((first - exact).abs().max() / mean.max()))
    assert errors[0] < 0.02
    assert errors[0] / errors[1] == pytest.approx(100.0, rel=0.15)


def test_driven_from_both_ends_the_first_order_loses_less() -> None:
    mean = cells(10, 30)
    wires = {"input_line_resistance": 10.0, "output_line_resistance": 0.0}
    one, both = (first_order_conductance(mean, **wires, double_sided=d) for d in (False, True))
    assert bool((both >= one).all())
    exact = effective_conductance(mean, **wires, double_sided=True)
    assert relative_error(both, exact) < 0.2 * relative_error(one, exact)


OHMS = {"input_line_resistance": 1.0, "output_line_resistance": 2.0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"input_line_resistance": -1.0}, "input_line_resistance is -1.0 ohms"),
        ({"output_line_resistance": float("inf")}, "open line"),
        ({"sense_resistance": float("nan")}, "sense_resistance is nan"),
        ({"training": "none"}, "training is 'none'"),
        ({"interval": 0}, "interval is 0"),
        ({"level": Converters(Ideal())}, "Converters(Wired("),
        ({"level": Wired(Ideal(), **OHMS)}, "Wires around Wired"),
    ],
)
def test_impossible_wires_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError) as refusal:
        Wired(**{**OHMS, **settings})
    assert words in str(refusal.value)


def test_the_level_is_told_in_words() -> None:
    level = Wired(ReadPerProduct(), **OHMS, source_resistance=40.0, double_sided=True)
    assert level.label == (
        "ideal sums, fresh noise for every multiplication; wires of 1 and 2 ohms a segment, "
        "40 and 0 ohms at the ends, driven from both sides"
    )
