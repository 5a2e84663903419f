"""The order of pulses: every cell once, line by line, and what the others see meanwhile."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.chip.order import PulseOrder, half_selected, line_switches, pulse_order
from secateur.errors import SettingError

SHAPE = (6, 5)
cells = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=30)


def lines(chosen) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = zip(*sorted(chosen, key=hash), strict=True)
    return torch.tensor(rows), torch.tensor(columns)


@given(cells, st.integers(1, 7))
def test_every_cell_is_pulsed_once_with_cells_of_its_column_alone(chosen, at_once):
    rows, columns = lines(chosen)
    order = pulse_order(rows, columns, at_once=at_once)
    assert sorted(order.places.tolist()) == list(range(len(rows)))
    pulsed: dict[int, list[int]] = {}
    for place, pulse in zip(order.places.tolist(), order.pulse.tolist(), strict=True):
        pulsed.setdefault(pulse, []).append(int(columns[place]))
    assert list(pulsed) == list(range(order.pulses))
    assert all(len(set(own)) == 1 and len(own) <= at_once for own in pulsed.values())
    fewest = sum(-(-int((columns == c).sum()) // at_once) for c in columns.unique())
    assert order.pulses == fewest


@given(cells, st.integers(1, 3))
def test_what_half_selected_cells_see_is_what_counting_pulse_by_pulse_gives(chosen, at_once):
    rows, columns = lines(chosen)
    order = pulse_order(rows, columns, at_once=at_once)
    seen = torch.zeros(SHAPE, dtype=torch.int64)
    for pulse in range(order.pulses):
        own = order.places[order.pulse == pulse]
        seen[:, columns[own[0]]] += 1
        seen[rows[own], columns[own]] -= 1
    assert torch.equal(half_selected(rows, columns, order, shape=SHAPE), seen)


@given(cells, st.randoms())
def test_no_other_order_of_single_pulses_half_selects_less_and_few_switch_less(chosen, chance):
    """The half-selection is the same for all; a shuffled order switches more lines, or as many."""
    rows, columns = lines(chosen)
    order = pulse_order(rows, columns)
    mixed = list(range(len(rows)))
    chance.shuffle(mixed)
    other = PulseOrder(torch.tensor(mixed), torch.arange(len(rows)))
    stress = [half_selected(rows, columns, o, shape=SHAPE) for o in (order, other)]
    assert torch.equal(*stress)
    moves = [(columns[o.places][1:] != columns[o.places][:-1]).sum() for o in (order, other)]
    assert moves[0] == len(columns.unique()) - 1 <= moves[1]


def test_lines_that_switch_are_counted():
    """A 3 x 2 block: 2 columns and 6 gates, less the one gate that stays open at the turn."""
    rows, columns = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 0, 0, 1, 1, 1])
    order = pulse_order(rows, columns)
    assert rows[order.places].tolist() == [0, 1, 2, 2, 1, 0]
    assert line_switches(rows, columns, order) == 2 + 6 - 1
    at_once = pulse_order(rows, columns, at_once=3)
    assert at_once.pulses == 2
    assert line_switches(rows, columns, at_once) == 2 + 3
    nothing = torch.zeros(0, dtype=torch.int64)
    assert line_switches(nothing, nothing, pulse_order(nothing, nothing)) == 0


def test_no_cell_at_once_is_refused():
    with pytest.raises(SettingError, match="at_once is 0"):
        pulse_order(torch.tensor([0]), torch.tensor([0]), at_once=0)


@given(cells, st.integers(1, 4))
def test_lines_that_switch_are_those_that_one_sees_going_pulse_by_pulse(chosen, at_once):
    rows, columns = lines(chosen)
    order = pulse_order(rows, columns, at_once=at_once)
    switches, column, gates = 0, None, set()
    for pulse in range(order.pulses):
        own = order.places[order.pulse == pulse]
        now, carrying = set(rows[own].tolist()), int(columns[own[0]])
        switches += len(now - gates) + (carrying != column)
        column, gates = carrying, now
    assert line_switches(rows, columns, order) == switches
