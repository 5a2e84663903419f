"""Write and verify: the next aim, and how a written cell settles."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.device import next_aim, relaxed


@given(st.floats(1e-6, 5e-5), st.floats(0.5, 2.0))
def test_one_correction_meets_the_target_of_a_cell_without_cycle_noise(
    target: float, frozen: float
) -> None:
    """What comes is what was asked times the cell's own constant factor."""
    wanted = torch.tensor([target], dtype=torch.float64)
    aim = next_aim(wanted, read=wanted * frozen, target=wanted)
    assert float(aim * frozen) == pytest.approx(target)


def test_a_cell_on_target_keeps_its_aim() -> None:
    aim = torch.tensor([3e-6])
    assert torch.equal(next_aim(aim, read=torch.tensor([9e-6]), target=torch.tensor([9e-6])), aim)


def test_corrections_are_bounded_also_for_a_cell_that_reads_nothing() -> None:
    aim, target = torch.full((3,), 1e-5), torch.full((3,), 1e-5)
    following = next_aim(aim, read=torch.tensor([0.0, 1e-9, 1.0]), target=target)
    torch.testing.assert_close(following, torch.tensor([5e-5, 5e-5, 2e-6]))


def test_written_cells_settle_by_a_normal_error_of_the_full_scale() -> None:
    written = torch.full((20_000,), 8e-6, dtype=torch.float64)
    draw = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settled = relaxed(written, draw, deviation=torch.full_like(written, 0.05 * 12e-6))
    standardised = (settled - written) / (0.05 * 12e-6)
    assert stats.kstest(standardised.numpy(), "norm").pvalue > 1e-3


def test_conductances_never_settle_below_zero_and_stay_without_error() -> None:
    written, draw = torch.full((1000,), 1e-7), torch.randn(1000)
    settled = relaxed(written, draw, deviation=torch.tensor(2e-6))
    assert float(settled.min()) == 0.0
    assert torch.equal(relaxed(written, draw, deviation=torch.tensor(0.0)), written)
