"""Forming: full, half and ramped chips have the weights that their physics predicts."""

import math
import time

import pytest
import torch
from scipy import stats
from torch import Tensor

from secateur.chip import Chip, FixedVoltage, Forming, SimulatedChip, VoltageRamp
from secateur.device import Technology
from secateur.errors import SettingError

TAOX = Technology.load("taox-40nm")
SPREAD = 0.149  # ln-spread of formed cells


def formed(forming: Forming, *, seed: int = 0, technology: Technology = TAOX) -> Tensor:
    """Conductances of 20 000 pairs in siemens, (pairs, 2), and as status."""
    chip = SimulatedChip(technology, seed=seed, forming=forming)
    region = chip.place("weight", (100, 200))
    return chip.conductance(region).view(-1, 2)


def conducting(conductance: Tensor) -> Tensor:
    return conductance > 2.0 * TAOX.pristine_conductance


def within(count: int, number: int, share: float) -> bool:
    return stats.binomtest(count, number, share).pvalue > 1e-3


# --- Full --------------------------------------------------------------------------------------


def test_full_forming_forms_nearly_all_cells() -> None:
    conductance = formed(FixedVoltage())
    assert within(int(conducting(conductance).sum()), 40_000, 0.999)


def test_full_forming_gives_near_gaussian_weights_of_the_expected_spread() -> None:
    """sigma = sqrt(2) x CV x G: FIELD.md, section 2."""
    healthy = TAOX.with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0)
    conductance = formed(FixedVoltage(), technology=healthy)
    both = conductance[conducting(conductance).all(dim=1)].double()
    difference = (both[:, 0] - both[:, 1]).numpy()
    cells = stats.lognorm(s=SPREAD, scale=TAOX.high_conductance)
    assert difference.std() == pytest.approx(math.sqrt(2.0) * cells.std(), rel=0.02)
    assert abs(stats.skew(difference)) < 0.1
    assert abs(stats.kurtosis(difference)) < 0.3
    assert stats.kstest(both.reshape(-1).numpy(), cells.cdf).pvalue > 1e-3


def test_the_two_cells_of_a_pair_are_independent() -> None:
    conductance = formed(FixedVoltage())
    both = conductance[conducting(conductance).all(dim=1)].log()
    assert abs(float(torch.corrcoef(both.T)[0, 1])) < 5.0 / math.sqrt(20_000)


# --- Half --------------------------------------------------------------------------------------


def test_half_forming_gives_a_quarter_plus_a_quarter_minus_and_half_near_zero() -> None:
    state = conducting(formed(FixedVoltage(fraction=0.5)))
    plus, minus = state[:, 0] & ~state[:, 1], ~state[:, 0] & state[:, 1]
    both, none = state.all(dim=1), ~state.any(dim=1)
    assert all(within(int(kind.sum()), 20_000, 0.25) for kind in (plus, minus, both, none))


@pytest.mark.parametrize(("volts", "share"), [(3.4, 0.39), (3.5, 0.72), (3.6, 0.93), (3.8, 0.999)])
def test_a_source_line_voltage_forms_the_measured_share(volts: float, share: float) -> None:
    state = conducting(formed(FixedVoltage(voltage=volts)))
    assert float(state.float().mean()) == pytest.approx(share, abs=0.01)


def test_the_fraction_asked_for_is_formed_whatever_the_pulse_width() -> None:
    for width in (1e-7, 1e-6, 1e-4):
        state = conducting(formed(FixedVoltage(fraction=0.3, width=width)))
        assert within(int(state.sum()), 40_000, 0.3)


def test_a_longer_pulse_of_the_same_voltage_forms_more() -> None:
    shares = [
        float(conducting(formed(FixedVoltage(voltage=3.4, width=width))).float().mean())
        for width in (1e-7, 1e-6, 1e-5)
    ]
    assert shares[0] + 0.1 < shares[1] < shares[2] - 0.1


def test_the_compliance_tunes_the_conductance() -> None:
    usual, half = formed(FixedVoltage()), formed(FixedVoltage(compliance=37.5e-6))
    state = conducting(usual).all(dim=1)
    ratio = (half / usual)[state]
    # Stuck-low cells do not follow the compliance.
    assert float(ratio.median()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("forming", [FixedVoltage, VoltageRamp])
def test_a_set_stops_at_the_current_that_forming_stopped_at(forming: type[Forming]) -> None:
    """Or the pairs that come back would be weaker than those that were never pruned."""
    chip = SimulatedChip(TAOX, forming=forming(compliance=150e-6))  # type: ignore[call-arg]
    region = chip.place("weight", (100, 100))
    cells = torch.arange(20_000)
    cells = cells[conducting(chip.conductance(region)).view(-1)]
    chip.reset(cells)
    chip.set(cells)
    again = chip.conductance(region).view(-1)[cells]
    assert float(again.median()) == pytest.approx(2.0 * TAOX.high_conductance, rel=0.02)


def test_a_current_that_leaves_less_than_a_reset_does_is_refused() -> None:
    least = TAOX.compliance_current * TAOX.low_conductance / TAOX.high_conductance
    SimulatedChip(TAOX, forming=FixedVoltage(compliance=1.01 * least)).place("weight", (2, 2))
    for forming in (FixedVoltage(compliance=0.99 * least), VoltageRamp(compliance=0.99 * least)):
        chip = SimulatedChip(TAOX, forming=forming)
        with pytest.raises(SettingError, match="below their low state"):
            chip.place("weight", (2, 2))
        assert not any(chip.ledger.totals().values())


@pytest.mark.parametrize(
    "wrong", [{"voltage": -3.0}, {"width": 0.0}, {"compliance": -75e-6}, {"voltage": math.inf}]
)
def test_a_pulse_that_cannot_be_is_refused_and_not_counted(wrong: dict[str, float]) -> None:
    chip = SimulatedChip(TAOX)
    cells = torch.arange(chip.place("weight", (2, 3)).cells.stop)
    before, (name,) = chip.ledger.totals(), wrong
    pulse = {"voltage": 3.4, "width": 1e-6, "compliance": 75e-6, **wrong}
    with pytest.raises(SettingError, match=f"{name} of the forming pulse is"):
        chip.form(cells, **pulse)
    voltages = [pulse.pop("voltage"), 3.6]
    with pytest.raises(SettingError, match=f"{name} of the forming pulse is"):
        chip.ramp(cells, voltages=voltages, **pulse)
    assert chip.ledger.totals() == before


# --- Ramp --------------------------------------------------------------------------------------


def test_a_ramp_leaves_nearly_all_pairs_with_exactly_one_formed_cell() -> None:
    state = conducting(formed(VoltageRamp()))
    number = state.sum(dim=1)
    assert float((number == 1).float().mean()) > 0.96
    assert float((number == 0).float().mean()) < 0.001
    one = state[number == 1]
    assert within(int(one[:, 0].sum()), len(one), 0.5)


def test_a_ramps_weights_are_near_signed_constants() -> None:
    conductance = formed(VoltageRamp())
    single = conductance[conducting(conductance).sum(dim=1) == 1].double()
    magnitude = (single[:, 0] - single[:, 1]).abs()
    assert float(magnitude.std() / magnitude.mean()) == pytest.approx(SPREAD, rel=0.15)
    assert float(magnitude.median()) == pytest.approx(
        TAOX.high_conductance - TAOX.pristine_conductance, rel=0.01
    )


def test_a_smaller_step_forms_both_cells_of_fewer_pairs_as_predicted() -> None:
    """Both break in one step where their breakdown voltages fall into it: step x integral f^2."""
    for step in (0.04, 0.01):
        state = conducting(formed(VoltageRamp(step=step)))
        expected = step / (2.0 * math.sqrt(math.pi) * TAOX.breakdown_spread)
        both = int(state.all(dim=1).sum())
        assert abs(both - 20_000 * expected) < 5.0 * math.sqrt(20_000 * expected)


class _PulseByPulse(SimulatedChip):
    """Ramps as a chip does that has no procedure of its own."""

    ramp = Chip.ramp


@pytest.mark.parametrize(
    "forming",
    [
        VoltageRamp(),
        VoltageRamp(start=3.2, stop=3.5, step=0.03),
        VoltageRamp(start=3.4, stop=3.4),
        VoltageRamp(step=0.02, width=1e-5, compliance=50e-6),
    ],
)
def test_a_ramp_at_once_equals_pulse_by_pulse_to_the_bit(forming: VoltageRamp) -> None:
    ends = []
    for kind in (SimulatedChip, _PulseByPulse):
        chip = kind("taox-40nm", seed=9, forming=forming)
        regions = [chip.place(name, (80, 60)) for name in ("first", "second")]
        ends.append(
            [chip.ledger.form, chip.ledger.set, chip.ledger.reset]
            + [
                quantity(region)
                for region in regions
                for quantity in (chip.conductance, chip.status)
            ]
            + [part for region in regions for part in vars(chip.statistics(region)).values()]
        )
    assert all(map(torch.equal, *ends))


def test_a_second_ramp_over_formed_pairs_is_the_same_to_the_bit_as_well() -> None:
    """Pairs that conduct already get the first pulse, which may form their other cell."""
    ends = []
    for kind in (SimulatedChip, _PulseByPulse):
        chip = kind("taox-40nm", seed=2, forming=FixedVoltage(fraction=0.3))
        region = chip.place("weight", (80, 60))
        cells = torch.arange(region.cells.start, region.cells.stop)
        before = chip.conducting(cells)
        chip.ramp(cells, voltages=[3.42, 3.5, 3.6], width=1e-6, compliance=75e-6)
        assert int(chip.conducting(cells).sum()) > int(before.sum())
        ends.append([chip.ledger.form, chip.conductance(region), chip.status(region)])
    assert all(map(torch.equal, *ends))


def test_no_voltage_is_no_pulse() -> None:
    chip = SimulatedChip(forming=FixedVoltage(voltage=1.0))
    region = chip.place("weight", (4, 4))
    before = chip.ledger.totals()
    cells = torch.arange(region.cells.start, region.cells.stop)
    chip.ramp(cells, voltages=[], width=1e-6, compliance=75e-6)
    assert chip.ledger.totals() == before


def test_a_million_weights_are_ramped_in_seconds() -> None:
    chip = SimulatedChip(forming=VoltageRamp())
    start = time.process_time()
    chip.place("large", (1000, 1000))
    assert time.process_time() - start < 3.0


# --- Settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match="fraction of cells"):
        FixedVoltage(fraction=fraction)


@pytest.mark.parametrize("name", ["voltage", "width", "compliance"])
@pytest.mark.parametrize("value", [0.0, -3.4, float("nan"), float("inf")])
def test_pulses_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(SettingError, match=name):
        FixedVoltage(**{name: value})


@pytest.mark.parametrize(
    "setting", [{"step": 0.0}, {"step": -0.01}, {"start": -1.0}, {"start": 3.5, "stop": 3.4}]
)
def test_ramps_that_are_none_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(SettingError):
        VoltageRamp(**setting)


def test_a_ramp_that_starts_above_its_implied_end_is_refused() -> None:
    with pytest.raises(SettingError, match="below its start"):
        SimulatedChip(forming=VoltageRamp(start=5.0)).place("weight", (2, 2))


def test_the_ramp_spans_the_breakdown_voltages() -> None:
    steps = VoltageRamp().voltages(TAOX)
    assert steps[0] == pytest.approx(3.433 - 5 * 0.114)
    assert steps[-1] == pytest.approx(3.433 + 5 * 0.114, abs=0.01)
    assert VoltageRamp(start=3.0, stop=3.3, step=0.1).voltages(TAOX) == pytest.approx(
        [3.0, 3.1, 3.2, 3.3]
    )


@pytest.mark.parametrize("fault", ["broken_output_fraction", "broken_input_fraction"])
def test_a_ramp_on_open_lines_is_the_one_sent_pulse_by_pulse(fault):
    law = TAOX.with_values(**{fault: 0.1})
    fast, slow = (SimulatedChip(law, seed=4, forming=FixedVoltage(voltage=0.1)) for _ in range(2))
    for chip, ramp in ((fast, SimulatedChip.ramp), (slow, Chip.ramp)):
        region = chip.place("weight", (60, 40))
        cells = torch.arange(region.cells.start, region.cells.stop)
        voltages = [3.0 + 0.02 * n for n in range(50)]
        ramp(chip, cells, voltages=voltages, width=1e-6, compliance=75e-6)
    assert torch.equal(fast.ledger.form, slow.ledger.form)
    assert torch.equal(fast.status(region), slow.status(region))
