"""Time on a chip: what it changes, what it leaves alone, and how it is saved."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from secateur.chip import FixedVoltage, Region, SimulatedChip, column_scale, global_scale
from secateur.device import Technology
from secateur.errors import FileError, SettingError

TAOX = Technology.load("taox-40nm").with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0)
DRIFTING = TAOX.with_values(
    drift_law={"law": "power", "exponent": 0.05, "exponent_spread": 0.02, "reference_age": 20.0}
)
DAY = 86400.0


def placed(technology: Technology = DRIFTING, *, fraction: float = 0.999, seed: int = 0) -> tuple[
    SimulatedChip, Region, Tensor
]:  # fmt: skip
    chip = SimulatedChip(technology, seed=seed, forming=FixedVoltage(fraction=fraction))
    region = chip.place("weight", (60, 40))
    return chip, region, torch.arange(region.cells.start, region.cells.stop)


def now(chip: SimulatedChip, region: Region) -> Tensor:
    return chip.conductance(region).view(-1)


def test_no_time_changes_nothing() -> None:
    chip, region, _ = placed()
    before, known = now(chip, region), copy.deepcopy(chip.statistics(region))
    chip.advance(0.0)
    assert torch.equal(now(chip, region), before)
    assert torch.equal(chip.statistics(region).deviation, known.deviation)


def test_cells_drift_by_exponents_of_their_own() -> None:
    """Their spread is the law's; the same cell drifts alike after every pulse."""
    chip, region, cells = placed()
    exponents = []
    for _ in range(2):
        chip.advance(DAY)
        fall = (now(chip, region) / chip.programmed(region).view(-1)).double().log()
        exponents.append(-fall / torch.log(torch.tensor(1.0 + DAY / 20.0)))
        chip.reset(cells)
        chip.set(cells)
    formed = chip.conducting(cells)
    standardised = (exponents[0][formed] - 0.05) / 0.02
    assert stats.kstest(standardised.numpy(), "norm").pvalue > 1e-3
    torch.testing.assert_close(exponents[0][formed], exponents[1][formed], rtol=1e-3, atol=1e-5)


def test_time_adds_up() -> None:
    """A day and a month are a month and a day."""
    one, region, _ = placed()
    other, _, _ = placed()
    one.advance(DAY)
    one.advance(30 * DAY)
    other.advance(31 * DAY)
    torch.testing.assert_close(now(one, region), now(other, region), rtol=1e-6, atol=0.0)


def test_heat_is_time() -> None:
    hot, region, _ = placed()
    long, _, _ = placed()
    hot.advance(3600.0, temperature=358.15)
    factor = 2.718281828 ** (1.0 / 8.617333262e-5 * (1.0 / 300.0 - 1.0 / 358.15))
    long.advance(3600.0 * factor)
    torch.testing.assert_close(now(hot, region), now(long, region), rtol=1e-5, atol=0.0)


def test_a_pulse_makes_a_cell_young_and_leaves_the_others_old() -> None:
    chip, region, cells = placed()
    chip.advance(30 * DAY)
    old = now(chip, region)
    chip.reset(cells[::3])
    chip.set(cells[::3])
    young = torch.zeros(len(cells), dtype=torch.bool)
    young[::3] = True
    assert torch.equal(now(chip, region)[~young], old[~young])
    assert torch.equal(now(chip, region)[young], chip.programmed(region).view(-1)[young])
    chip.advance(DAY)
    left = (now(chip, region) / chip.programmed(region).view(-1))[chip.conducting(cells)]
    young = young[chip.conducting(cells)]
    assert float(left[young].mean()) == pytest.approx(1.0 - 0.34, abs=0.03)
    assert float(left[~young].mean()) == pytest.approx((30.0 * DAY / 20.0) ** -0.05, abs=0.05)


def test_a_pulse_that_a_cell_does_not_follow_leaves_it_old() -> None:
    chip, region, cells = placed()
    chip.advance(30 * DAY)
    old = now(chip, region)
    chip.set(cells)
    assert torch.equal(now(chip, region), old)


def test_pristine_cells_do_not_age() -> None:
    chip, region, cells = placed(fraction=0.5)
    chip.advance(1e9, reads=1e15)
    pristine = ~chip.conducting(cells)
    assert int(pristine.sum()) > 1000
    assert set(now(chip, region)[pristine].tolist()) == {
        float(torch.tensor(TAOX.pristine_conductance))
    }


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["set", "reset", "write", "wait", "read"]), min_size=4, max_size=14),
    st.integers(0, 1000),
)
def test_counted_pulses_and_the_clock_explain_every_conductance(
    commands: list[str], seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    chip, region, cells = placed(fraction=0.5, seed=seed)
    for command in commands:
        left, held = chip.programmed(region).view(-1), now(chip, region)
        counts = chip.ledger.counts(cells)
        some = cells[torch.rand(len(cells), generator=draws) < 0.2]
        if command == "write":
            chip.write_verify(some, torch.full((len(some),), 8e-6), attempts=2)
        elif command == "wait":
            chip.advance(float(torch.rand((), generator=draws)) * DAY, reads=1e6)
        elif command == "read":
            chip.read(region, key=seed)
        else:
            getattr(chip, command)(some)
        still = chip.ledger.counts(cells) == counts
        assert torch.equal(chip.programmed(region).view(-1)[still], left[still])
        if command != "wait":
            assert torch.equal(now(chip, region)[still], held[still])
        else:
            assert bool(still.all())
        plus, minus = chip.conductance(region).unbind(dim=-1)
        assert torch.equal(chip.statistics(region).difference, plus - minus)
        expected = 0.02 * (plus.square() + minus.square()).sqrt()
        torch.testing.assert_close(chip.statistics(region).deviation, expected, rtol=1e-6, atol=0.0)


def test_reads_disturb_low_cells_only() -> None:
    chip, region, cells = placed(TAOX.with_values(read_disturb=1e-9, drift_law={"law": "none"}))
    chip.reset(cells[::2])
    before = now(chip, region)
    chip.advance(0.0, reads=2e9)
    gap = (TAOX.high_conductance - before).clamp_min(0.0) * chip.conducting(cells)
    expected = before + gap * (1.0 - torch.tensor(-2.0).exp())
    torch.testing.assert_close(now(chip, region), expected, rtol=1e-5, atol=0.0)


def test_relaxation_is_drawn_anew_with_every_pulse_and_frozen_until_the_next() -> None:
    law = {
        "law": "relaxation", "reference_age": 1.0, "late_age": DAY,
        "late": {"law": "saturating", "amplitude": 1e-6, "scale": 1e-7},
    }  # fmt: skip
    written = {"law": "saturating", "amplitude": 5e-7, "scale": 1e-7}
    error = 5e-7 / TAOX.high_conductance
    chip, region, cells = placed(
        TAOX.with_values(drift_law=law, programming_law=written, programming_error=error)
    )
    moved = []
    for _ in range(2):
        chip.advance(DAY)
        first = now(chip, region) - chip.programmed(region).view(-1)
        chip.advance(3 * DAY)
        second = now(chip, region) - chip.programmed(region).view(-1)
        assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) > 0.999
        moved.append(first)
        chip.reset(cells)
        chip.set(cells)
    assert abs(float(torch.corrcoef(torch.stack(moved))[0, 1])) < 0.06
    assert float(moved[0].std()) == pytest.approx((1e-12 - 25e-14) ** 0.5, rel=0.05)


def test_read_noise_grows_where_its_law_says_so() -> None:
    law = {"law": "flicker-logarithmic", "amplitude": 5e-8, "reference_age": 1.0, "width": 1e-6}
    chip, region, cells = placed(TAOX.with_values(read_law=law, drift_law={"law": "none"}))
    fresh = chip.statistics(region).deviation.clone()
    chip.advance(1e6)
    grown = (torch.tensor(1e6 / 2e-6).log() / torch.tensor(1.0 / 2e-6).log()).sqrt()
    torch.testing.assert_close(
        chip.statistics(region).deviation, fresh * grown, rtol=1e-5, atol=0.0
    )
    one = chip.read(region, key=1) - chip.conductance(region)
    expected = chip.technology.read_deviation(chip.conductance(region), 1e6)
    formed = chip.conducting(cells)
    assert float((one / expected).view(-1)[formed].std()) == pytest.approx(1.0, abs=0.05)
    back = chip.read_back(cells) - now(chip, region)
    assert float((back / expected.view(-1))[formed].std()) == pytest.approx(1.0, abs=0.05)


def test_an_aged_pcm_chip_reads_with_the_noise_share_of_what_was_programmed() -> None:
    chip, region, cells = placed(Technology.load("pcm"))
    chip.advance(30 * DAY)
    law, gone = chip.technology, chip.programmed(region)
    expected = law.read_deviation(chip.conductance(region), 30 * DAY, gone)
    assert float((expected / law.read_deviation(chip.conductance(region), 30 * DAY)).min()) < 0.9
    one = chip.read(region, key=1) - chip.conductance(region)
    assert float((one / expected).view(-1).std()) == pytest.approx(1.0, abs=0.05)
    pairs = torch.hypot(*expected.unbind(dim=-1))
    torch.testing.assert_close(chip.statistics(region).deviation, pairs, rtol=1e-5, atol=0.0)
    known = chip.cell_statistics(cells).deviation
    torch.testing.assert_close(known, expected.view(-1), rtol=1e-5, atol=0.0)


def test_state_and_copies_carry_the_clock() -> None:
    chip, region, cells = placed()
    chip.advance(DAY)
    chip.reset(cells[:100])
    saved, twin = chip.state(), copy.deepcopy(chip)
    chip.advance(50 * DAY)
    chip.set(cells[:100])
    later = now(chip, region)
    other, _, _ = placed()
    other.restore(saved)
    for same in (other, twin):
        same.advance(50 * DAY)
        same.set(cells[:100])
        assert torch.equal(now(same, region), later)
        assert torch.equal(same.statistics(region).deviation, chip.statistics(region).deviation)
    del saved.tensors["age_changed"]
    with pytest.raises(FileError, match="age_changed"):
        other.restore(saved)


def test_a_weight_placed_later_is_younger() -> None:
    chip, region, _ = placed()
    chip.advance(DAY)
    second = chip.place("second", (10, 10))
    assert torch.equal(chip.conductance(second), chip.programmed(second))
    chip.advance(DAY)
    left = [(chip.conductance(r) / chip.programmed(r)).median() for r in (region, second)]
    assert float(left[0]) < float(left[1]) < 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seconds": -1.0}, "seconds = -1"),
        ({"seconds": float("nan")}, "seconds = nan"),
        ({"seconds": 1.0, "reads": -1.0}, "reads = -1"),
        ({"seconds": 1.0, "temperature": -40.0}, "-40.0 K is no temperature.*Celsius"),
    ],
)
def test_impossible_times_are_refused(arguments: dict[str, float], words: str) -> None:
    chip, region, _ = placed()
    before = now(chip, region)
    with pytest.raises(SettingError, match=words):
        chip.advance(**arguments)
    assert torch.equal(now(chip, region), before)


# --- Broken lines ------------------------------------------------------------------------------


def test_broken_lines_are_whole_lines_in_the_asked_shares() -> None:
    broken = TAOX.with_values(broken_input_fraction=0.1, broken_output_fraction=0.05)
    chip, region, cells = placed(broken)
    chip.place("other", (400, 300))
    grid = chip.macro_map(0, "conductance")
    dead = grid[:, : 2 * 40] == 0.0
    rows = dead[:40].all(dim=1)
    columns = dead[:40][~rows].all(dim=0)
    assert 1 <= int(columns.sum()) <= 12
    assert 0.02 < float((grid == 0.0).all(dim=1).float().mean()) < 0.2
    assert bool((chip.conductance(region) > 0.0).any())
    assert not bool(chip.conducting(cells)[now(chip, region) == 0.0].any())
    chip.set(cells)
    chip.reset(cells)
    assert bool((now(chip, region)[~chip.conducting(cells)] <= TAOX.pristine_conductance).all())
    assert int(rows.sum()) < 40


def test_a_broken_line_carries_no_current_and_no_noise() -> None:
    chip, region, cells = placed(TAOX.with_values(broken_input_fraction=1.0))
    assert not bool(chip.conducting(cells).any())
    assert int(chip.ledger.form.sum()) == len(cells)
    assert not bool(chip.read(region, key=1).any())
    assert not bool(chip.multiply(region, torch.ones(3, 40), key=1).any())


# --- Compensation ------------------------------------------------------------------------------


def test_a_common_factor_is_undone_exactly() -> None:
    fresh = torch.randn(20, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factors = torch.linspace(0.5, 0.9, 7, dtype=torch.float64)
    torch.testing.assert_close(column_scale(fresh, fresh * factors), 1.0 / factors)
    assert float(global_scale(fresh, 0.8 * fresh)) == pytest.approx(1.25)


def test_compensation_brings_drifted_products_nearer() -> None:
    law = {"law": "power", "exponent": 0.05, "exponent_spread": 0.003, "reference_age": 20.0}
    chip, region, _ = placed(TAOX.with_values(drift_law=law))
    inputs = torch.rand(200, 40, generator=torch.Generator().manual_seed(1)) * 0.2
    fresh = chip.multiply(region, inputs, key=1)
    chip.advance(30 * DAY)
    aged = chip.multiply(region, inputs, key=2)
    lost = float((aged - fresh).norm())
    by_array = float((aged * global_scale(fresh, aged) - fresh).norm())
    by_column = float((aged * column_scale(fresh, aged) - fresh).norm())
    assert by_column < by_array < lost


def test_scales_that_cannot_be_found_are_refused() -> None:
    some = torch.ones(3, 2)
    gone = torch.tensor([[1.0, 0.0]] * 3)
    with pytest.raises(SettingError, match="output line 1"):
        column_scale(some, gone)
    with pytest.raises(SettingError, match="array reads zero"):
        global_scale(some, torch.zeros(3, 2))
    with pytest.raises(SettingError, match="shapes"):
        global_scale(some, torch.ones(3, 1))
    with pytest.raises(SettingError, match="not finite"):
        column_scale(some, some * float("nan"))
