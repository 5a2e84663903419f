"""Cell numbers of commands: foreign and repeated ones are refused, at any size of command."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.errors import ChipError


@given(st.lists(st.integers(0, 40), max_size=30), st.sampled_from([41, 100_000]))
def test_repeated_cells_are_found_in_any_order(cells: list[int], total: int) -> None:
    """Few cells of a large chip are sorted, many are marked: both must find them."""
    named = torch.tensor(cells, dtype=torch.int64)
    if len(set(cells)) == len(cells):
        refuse_repeated(named, total=total)
        return
    with pytest.raises(ChipError, match="named twice") as caught:
        refuse_repeated(named, total=total)
    repeated = {cell for cell in cells if cells.count(cell) > 1}
    assert int(caught.value.what.split()[1]) in repeated


@pytest.mark.parametrize(("cells", "culprit"), [([0, -1], -1), ([3, 10], 10), ([-5, 99], -5)])
def test_foreign_cells_are_named(cells: list[int], culprit: int) -> None:
    with pytest.raises(ChipError, match=f"Cell {culprit} is not on this chip.*10 cells"):
        refuse_foreign(torch.tensor(cells), total=10)


def test_no_cells_are_no_mistake() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    refuse_foreign(none, total=0)
    refuse_repeated(none, total=0)


@pytest.mark.parametrize("order", ["rising", "any"])
def test_the_check_of_a_large_command_takes_no_sort(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = torch.arange(100_000)
    if order == "any":
        cells = torch.randperm(100_000, generator=torch.Generator().manual_seed(0))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a large command is checked in O(n)")

    for module in (torch, torch.Tensor):
        for name in ("sort", "argsort", "unique"):
            monkeypatch.setattr(module, name, refuse)
    refuse_repeated(cells, total=120_000)
    # The patch is seen: a repeated cell is looked for by a sort.
    with pytest.raises(AssertionError, match="checked in O"):
        refuse_repeated(torch.cat([cells, cells[:1]]), total=120_000)
