"""Write and verify: how near it comes, what it costs, and the error that stays."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from secateur.chip import FixedVoltage, Region, SimulatedChip
from secateur.device import Technology
from secateur.errors import ChipError

TAOX = Technology.load("taox-40nm").with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0)
HIGH = TAOX.high_conductance


def placed(technology: Technology = TAOX, fraction: float = 0.999) -> tuple[
    SimulatedChip, Region, Tensor
]:  # fmt: skip
    chip = SimulatedChip(technology, seed=0, forming=FixedVoltage(fraction=fraction))
    region = chip.place("weight", (70, 70))
    cells = torch.arange(region.cells.start, region.cells.stop)
    return chip, region, cells[chip.conducting(cells)]


def error(chip: SimulatedChip, region: Region, cells: Tensor, targets: Tensor) -> Tensor:
    """Of the true conductances, over the high one."""
    return (chip.conductance(region).view(-1)[cells] - targets).double() / HIGH


def spread_out(cells: Tensor, lowest: float, highest: float) -> Tensor:
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))
    return torch.linspace(lowest, highest, len(cells))[order] * HIGH


def test_without_cycle_noise_two_sets_meet_any_target_above_the_low_state() -> None:
    exact = TAOX.with_values(
        high_cycle_spread=0.0, low_cycle_spread=0.0, read_noise=0.0, programming_error=0.0
    )
    chip, region, cells = placed(exact)
    targets = spread_out(cells, 0.4, 1.2)
    report = chip.write_verify(cells, targets, tolerance=1e-4, attempts=3)
    assert report.missed.numel() == 0
    assert float(error(chip, region, cells, targets).abs().max()) <= 1.01e-4
    assert int(chip.ledger.set.max()) == 2


def test_written_cells_are_within_tolerance_as_read() -> None:
    quiet = TAOX.with_values(programming_error=0.0, read_noise=0.0)
    chip, region, cells = placed(quiet)
    targets = spread_out(cells, 0.3, 1.0)
    report = chip.write_verify(cells, targets, tolerance=0.03, attempts=30)
    assert report.missed.numel() == 0
    assert float(error(chip, region, cells, targets).abs().max()) <= 0.03 + 1e-6


def test_the_error_that_stays_is_the_technologys_programming_error() -> None:
    """Normal, of 5 % of the high conductance, whatever the target."""
    exact = TAOX.with_values(high_cycle_spread=0.0, low_cycle_spread=0.0, read_noise=0.0)
    for share in (0.02, 0.05, 0.1):
        chip, region, cells = placed(exact.with_values(programming_error=share))
        targets = spread_out(cells, 0.6, 1.0)
        chip.write_verify(cells, targets, tolerance=1e-4)
        settled = error(chip, region, cells, targets) / share
        assert stats.kstest(settled.numpy(), "norm").pvalue > 1e-3


def test_the_presets_error_is_the_programming_error_and_hardly_more() -> None:
    chip, region, cells = placed()
    targets = spread_out(cells, 0.4, 1.0)
    report = chip.write_verify(cells, targets)
    met = ~torch.isin(cells, report.missed)
    deviation = float(error(chip, region, cells, targets)[met].std())
    assert TAOX.programming_error < deviation < 1.2 * TAOX.programming_error


def test_low_targets_are_met_too_and_a_low_state_above_its_target_is_not_accepted() -> None:
    """Half of a programmed network's cells are to stay low: its accuracy hangs on them as well."""
    quiet = TAOX.with_values(programming_error=0.0, read_noise=0.0)
    chip, region, cells = placed(quiet)
    targets = torch.full((len(cells),), TAOX.low_conductance)
    chip.reset(cells)
    too_high = int((error(chip, region, cells, targets) > 0.02).sum())
    assert too_high > 0.2 * len(cells)
    report = chip.write_verify(cells, targets, tolerance=0.02, attempts=10)
    off = error(chip, region, cells, targets).abs() > 0.02 + 1e-6
    assert torch.equal(cells[off], report.missed.sort().values)
    assert int(off.sum()) < 0.1 * len(cells)


def test_a_cell_that_is_on_target_after_its_reset_gets_no_set() -> None:
    exact = Technology.load("ideal")
    chip, region, cells = placed(exact)
    report = chip.write_verify(cells, torch.zeros(len(cells)))
    assert report.pulses == len(cells)
    assert chip.ledger.totals()["set"] == 0
    assert not bool(error(chip, region, cells, torch.zeros(len(cells))).any())


def test_cells_that_cannot_be_written_are_missed_pulses_counted() -> None:
    faulty = TAOX.with_values(stuck_low_fraction=0.1, stuck_high_fraction=0.1)
    chip, region, _ = placed(faulty, fraction=0.5)
    cells = torch.arange(region.cells.start, region.cells.stop)
    pristine = cells[~chip.conducting(cells)]
    held = chip.conductance(region)
    report = chip.write_verify(cells, torch.full((len(cells),), 0.6 * HIGH), attempts=4)
    assert bool(torch.isin(pristine, report.missed).all())
    assert not bool(chip.conducting(pristine).any())
    stuck = (chip.conductance(region) == held).view(-1)
    assert bool(torch.isin(cells[stuck], report.missed).all())
    assert int(stuck.sum()) > len(pristine) + 0.15 * (len(cells) - len(pristine))
    assert bool((chip.ledger.set[pristine] == 4).all())


def test_pulses_are_reported_as_counted_and_no_more_sets_than_attempts() -> None:
    chip, _, cells = placed()
    before = chip.ledger.totals()
    report = chip.write_verify(cells, spread_out(cells, 0.1, 1.0), attempts=6)
    after = chip.ledger.totals()
    assert report.pulses == sum(after.values()) - sum(before.values())
    assert after["form"] == before["form"]
    assert int(chip.ledger.set.max()) == 6
    assert bool((chip.ledger.reset[cells] >= chip.ledger.set[cells]).all())


def test_a_set_to_a_small_current_never_lowers_a_cell() -> None:
    """A low state above its target stays or is RESET anew: a SET only raises."""
    still = TAOX.with_values(
        low_cycle_spread=0.0, programming_error=0.0, read_noise=0.0, high_cycle_spread=0.0
    )
    chip, region, cells = placed(still)
    chip.reset(cells)
    low = chip.conductance(region).view(-1)[cells]
    chip.write_verify(cells, torch.zeros(len(cells)), tolerance=0.0, attempts=3)
    assert torch.equal(chip.conductance(region).view(-1)[cells], low)


def test_written_cells_can_be_written_again_and_reset() -> None:
    chip, region, cells = placed()
    chip.write_verify(cells, spread_out(cells, 0.2, 1.0))
    targets = spread_out(cells, 0.4, 0.9)
    report = chip.write_verify(cells, targets)
    met = ~torch.isin(cells, report.missed)
    assert float(error(chip, region, cells, targets)[met].std()) < 1.2 * TAOX.programming_error
    chip.reset(cells)
    low = chip.conductance(region).view(-1)[cells]
    assert float(low.median()) == pytest.approx(TAOX.low_conductance, rel=0.05)


def test_a_written_cell_counts_as_the_state_it_is_nearer_to() -> None:
    chip, region, cells = placed(TAOX.with_values(programming_error=0.0))
    targets = spread_out(cells, 0.05, 1.0)
    report = chip.write_verify(cells, targets)
    met = ~torch.isin(cells, report.missed)
    middle = (TAOX.low_conductance * HIGH) ** 0.5
    clear = met & ((targets - middle).abs() > 0.1 * HIGH)
    status = chip.status(region).view(-1)[cells]
    assert torch.equal(status[clear] == chip.HIGH, targets[clear] > middle)
    assert {chip.LOW, chip.HIGH} == set(status.tolist())


def test_a_set_raises_every_written_cell_and_lowers_none() -> None:
    chip, region, cells = placed()
    chip.write_verify(cells, spread_out(cells, 0.1, 1.2))
    written = chip.conductance(region).view(-1)[cells]
    worn = chip.ledger.wear(cells)
    chip.set(cells)
    raised = chip.conductance(region).view(-1)[cells]
    assert bool((raised >= written).all())
    assert float(raised[written < 0.5 * HIGH].median()) == pytest.approx(HIGH, rel=0.03)
    assert torch.equal(chip.ledger.wear(cells), worn + 1)
    assert bool((chip.status(region).view(-1)[cells] == chip.HIGH).all())
    # High cells: another SET finds nothing to raise.
    chip.set(cells)
    assert torch.equal(chip.conductance(region).view(-1)[cells], raised)


def test_a_memory_of_two_states_is_in_one_of_them_after_a_write() -> None:
    sound = Technology.load("stt-mram").with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0)
    chip, region, cells = placed(sound)
    law = chip.technology
    high = torch.arange(len(cells)) % 2 == 0
    chip.write_verify(cells, torch.where(high, law.high_conductance, law.low_conductance))
    status = chip.status(region).view(-1)[cells]
    assert torch.equal(status == chip.HIGH, high)
    written = chip.conductance(region).view(-1)[cells]
    chip.switch(cells, high)
    assert torch.equal(chip.conductance(region).view(-1)[cells], written)
    chip.switch(cells, ~high)
    assert torch.equal(chip.status(region).view(-1)[cells] == chip.HIGH, ~high)


@pytest.mark.parametrize(
    ("targets", "attempts"),
    [([1e-6], 10), ([1e-6, -1e-6], 10), ([1e-6, float("nan")], 10), ([1e-6, 1e-6], 0)],
)
def test_impossible_orders_are_refused_without_a_pulse(targets: list[float], attempts: int) -> None:
    chip, _, cells = placed()
    before = chip.ledger.totals()
    with pytest.raises(ChipError, match="Cannot write"):
        chip.write_verify(cells[:2], torch.tensor(targets), attempts=attempts)
    assert chip.ledger.totals() == before
