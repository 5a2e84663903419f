"""What the benchmark of many draws makes of its seconds."""

import pytest
from benchmarks.monte_carlo import FEW, WORTH, _of_clock, in_turn, worth_from


def test_the_first_free_process_takes_the_next_part() -> None:
    assert in_turn([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert in_turn([1.0, 1.0, 3.0], 2) == 4.0
    assert in_turn([1.0, 1.0, 3.0], 1) == 5.0


def test_start_and_draw_are_told_apart_and_give_the_number_of_draws_that_is_worth_it() -> None:
    """One process: 2 s and 0.4 s a draw; two: 2.5 s and 0.21 s."""
    taken = {
        (draws, processes): [start + draws * draw] * 3
        for draws in (FEW, 64)
        for processes, start, draw in ((1, 2.0, 0.4), (2, 2.5, 0.21))
    }
    found = _of_clock(taken, 64)
    assert found["one process"]["start_s"] == pytest.approx(2.0)
    assert found["two processes"]["draw_s"] == pytest.approx(0.21)
    assert found["speed_up"] == pytest.approx((2.0 + 64 * 0.4) / (2.5 + 64 * 0.21))
    enough = found["worth_from_draws"]
    assert (2.0 + enough * 0.4) / (2.5 + enough * 0.21) >= WORTH
    assert (2.0 + (enough - 1) * 0.4) / (2.5 + (enough - 1) * 0.21) < WORTH


def test_where_each_draw_takes_two_processes_too_long_no_number_is_enough() -> None:
    assert worth_from({"start_s": 2.0, "draw_s": 0.4}, {"start_s": 2.0, "draw_s": 0.23}) is None
