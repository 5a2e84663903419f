"""SET and RESET on the chip: where conductances go, what stays, what wears out, what is stuck."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from secateur.chip import FixedVoltage, Region, SimulatedChip
from secateur.device import Technology

TAOX = Technology.load("taox-40nm")
HEALTHY = TAOX.with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0)


def placed(
    technology: Technology = HEALTHY, *, seed: int = 0, side: int = 100, fraction: float = 0.999
) -> tuple[SimulatedChip, Region, Tensor]:
    """A chip of side x side weights, and the numbers of its formed cells."""
    chip = SimulatedChip(technology, seed=seed, forming=FixedVoltage(fraction=fraction))
    region = chip.place("weight", (side, side))
    cells = torch.arange(region.cells.start, region.cells.stop)
    return chip, region, cells[chip.conducting(cells)]


def truth(chip: SimulatedChip, region: Region, cells: Tensor) -> Tensor:
    return chip.conductance(region).view(-1)[cells].double()


def test_reset_and_set_follow_the_laws_of_their_states() -> None:
    chip, region, cells = placed()
    for command, median, spreads in (
        (chip.reset, TAOX.low_conductance, (TAOX.low_device_spread, TAOX.low_cycle_spread)),
        (chip.set, TAOX.high_conductance, (TAOX.high_device_spread, TAOX.high_cycle_spread)),
    ):
        command(cells)
        law = stats.lognorm(s=math.hypot(*spreads), scale=median)
        assert stats.kstest(truth(chip, region, cells).numpy(), law.cdf).pvalue > 1e-3


def test_a_set_raises_to_a_new_conductance_around_the_cells_own_median() -> None:
    chip, region, cells = placed()
    formed = truth(chip, region, cells)
    history = [formed]
    for _ in range(20):
        chip.reset(cells)
        low = truth(chip, region, cells)
        chip.set(cells)
        history.append(truth(chip, region, cells))
        assert bool((low < formed).all())
        assert bool((low < history[-1]).all())
        # Two of a million float32 may coincide.
        assert int((history[-1] == history[-2]).sum()) < 5
    logs = torch.stack(history).log()
    # The part of the cycle is the assumed 5 %, the rest is the cell's own and stays.
    assert float(logs.var(dim=0).mean().sqrt()) == pytest.approx(TAOX.high_cycle_spread, rel=0.02)
    own = logs.mean(dim=0)
    assert float(own.std()) == pytest.approx(TAOX.high_device_spread, rel=0.03)
    first, second = logs[:10].mean(dim=0), logs[10:].mean(dim=0)
    assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) > 0.95
    increments = ((logs[1:] - logs[:-1]) / (math.sqrt(2.0) * TAOX.high_cycle_spread)).view(-1)
    assert stats.kstest(increments[::7].numpy(), "norm").pvalue > 1e-3


def test_the_low_state_has_a_frozen_and_a_new_part_too() -> None:
    chip, region, cells = placed()
    history = []
    for _ in range(20):
        chip.reset(cells)
        history.append(truth(chip, region, cells).log())
        chip.set(cells)
    logs = torch.stack(history)
    assert float(logs.var(dim=0).mean().sqrt()) == pytest.approx(TAOX.low_cycle_spread, rel=0.02)
    assert float(logs.mean(dim=0).std()) == pytest.approx(
        math.hypot(TAOX.low_device_spread, TAOX.low_cycle_spread / math.sqrt(20)), rel=0.03
    )


def test_a_second_reset_or_set_in_a_row_moves_nothing_but_counts() -> None:
    chip, region, cells = placed(side=20)
    for command, kind in ((chip.set, "set"), (chip.reset, "reset"), (chip.reset, "reset")):
        before, count = truth(chip, region, cells), chip.ledger.totals()[kind]
        moved = kind == "reset" and chip.ledger.totals()["reset"] == 0
        command(cells)
        assert bool((truth(chip, region, cells) != before).all()) == moved
        assert chip.ledger.totals()[kind] == count + len(cells)


def test_set_and_reset_never_form_a_pristine_cell() -> None:
    chip, region, _ = placed(fraction=0.5, side=40)
    everything = torch.arange(region.cells.start, region.cells.stop)
    pristine = everything[~chip.conducting(everything)]
    assert len(pristine) > 1000
    for _ in range(3):
        chip.set(everything)
        chip.reset(everything)
    assert not bool(chip.conducting(pristine).any())
    assert bool((truth(chip, region, pristine).float() == TAOX.pristine_conductance).all())
    assert bool((chip.status(region).view(-1)[pristine] == chip.PRISTINE).all())


def test_forming_again_leaves_formed_cells_as_they_are() -> None:
    chip, region, cells = placed(side=20)
    before = truth(chip, region, cells)
    chip.form(cells, voltage=5.0, width=1e-6, compliance=75e-6)
    assert torch.equal(truth(chip, region, cells), before)


# --- Stuck and worn cells ----------------------------------------------------------------------


def test_stuck_cells_come_in_their_shares_and_never_move_though_pulses_count() -> None:
    faulty = TAOX.with_values(stuck_low_fraction=0.05, stuck_high_fraction=0.03)
    chip, region, cells = placed(faulty, seed=1)
    formed = truth(chip, region, cells)
    chip.reset(cells)
    low = truth(chip, region, cells)
    chip.set(cells)
    high = truth(chip, region, cells)
    still = (formed == low) & (low == high)
    stuck_low = still & (formed < 0.4 * TAOX.high_conductance)
    stuck_high = still & ~stuck_low
    assert stats.binomtest(int(stuck_low.sum()), len(cells), 0.05).pvalue > 1e-3
    assert stats.binomtest(int(stuck_high.sum()), len(cells), 0.03).pvalue > 1e-3
    assert bool((chip.ledger.wear(cells) == 2).all())
    status = chip.status(region).view(-1)[cells]
    assert bool((status[stuck_low] == chip.LOW).all())
    assert bool((status[stuck_high] == chip.HIGH).all())
    # The others did move, both times.
    assert bool(((formed != low) & (low != high))[~still].all())


def test_the_presets_chip_has_its_one_in_a_thousand_stuck_cells_of_either_kind() -> None:
    chip, region, cells = placed(TAOX, side=150)
    formed = truth(chip, region, cells)
    chip.reset(cells)
    still = int((truth(chip, region, cells) == formed).sum())
    assert stats.binomtest(still, len(cells), 0.002).pvalue > 1e-3


def test_worn_cells_stick_at_their_last_state_by_the_law_of_endurance() -> None:
    short = HEALTHY.with_values(endurance=20)
    chip, region, cells = placed(short, seed=2, side=60)
    survived = torch.zeros(len(cells))
    before, alive = truth(chip, region, cells), torch.ones(len(cells), dtype=torch.bool)
    for pulse in range(1, 121):
        (chip.reset if pulse % 2 else chip.set)(cells)
        now = truth(chip, region, cells)
        moved = now != before
        # What has stuck once never moves again.
        assert not bool((moved & ~alive).any())
        alive, before = moved, now
        survived[moved] = pulse
    law = stats.lognorm(s=TAOX.endurance_spread, scale=20)
    for limit in (5, 10, 20, 40, 80, 119):
        worn = int((survived < limit).sum())
        assert stats.binomtest(worn, len(cells), law.cdf(limit)).pvalue > 1e-3
    assert chip.ledger.most_worn == 120


def test_a_worn_cell_keeps_counting_and_its_status_tells_where_it_stuck() -> None:
    chip, region, cells = placed(HEALTHY.with_values(endurance=2, endurance_spread=0.0), side=5)
    chip.reset(cells)
    chip.set(cells)
    high = truth(chip, region, cells)
    chip.reset(cells)
    assert torch.equal(truth(chip, region, cells), high)
    assert bool((chip.status(region).view(-1)[cells] == chip.HIGH).all())
    assert bool((chip.ledger.wear(cells) == 3).all())


# --- The ideal chip ----------------------------------------------------------------------------


def test_the_ideal_chip_returns_to_the_same_weight_and_resets_to_nothing() -> None:
    chip, region, cells = placed(Technology.load("ideal"), side=30)
    formed = truth(chip, region, cells)
    chip.reset(cells)
    assert not bool(truth(chip, region, cells).any())
    chip.set(cells)
    assert torch.equal(truth(chip, region, cells), formed)
    assert float(formed.log().std()) == pytest.approx(0.149, rel=0.06)
