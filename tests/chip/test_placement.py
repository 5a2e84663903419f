"""Placement: every weight has one pair of adjacent cells of its own, and room is never invented."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from secateur.chip import Geometry, Placement, Region, SimulatedChip
from secateur.errors import ChipError, SettingError

SMALL = Geometry(rows=32, columns=24)


def addresses(placement: Placement) -> torch.Tensor:
    """Physical pair addresses of all weights, in the order of the chip's pairs."""
    parts = [region.pair_addresses(placement.geometry) for region in placement.regions]
    return torch.cat(parts)


matrices = st.tuples(st.integers(1, 90), st.integers(1, 60))
kernels = st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(1, 4), st.integers(1, 4))
shapes = st.lists(st.tuples(matrices | kernels, st.booleans()), min_size=1, max_size=6)


@given(shapes)
@example([((300, 700), False), ((513, 257), True), ((64, 16, 3, 3), True)])
def test_no_two_weights_share_a_cell_and_none_lies_outside_its_macro(
    weights: list[tuple[tuple[int, ...], bool]],
) -> None:
    placement = Placement(SMALL)
    regions = [
        placement.place(f"weight {n}", shape, inputs_first=inputs_first)
        for n, (shape, inputs_first) in enumerate(weights)
    ]
    used = addresses(placement)
    assert used.numel() == sum(region.weights for region in regions) == used.unique().numel()
    pairs = placement.macros * SMALL.rows * SMALL.pairs_per_row
    assert int(used.min()) >= 0
    assert int(used.max()) < pairs
    for region in regions:
        for tile in region.tiles:
            assert tile.row + tile.rows <= SMALL.rows
            assert tile.pair_column + tile.pair_columns <= SMALL.pairs_per_row
    assert placement.utilisation == pytest.approx(used.numel() / pairs)
    assert 0.0 < placement.utilisation <= 1.0


@given(matrices | kernels, st.booleans())
def test_rows_are_input_lines_and_columns_output_lines(
    shape: tuple[int, ...], inputs_first: bool
) -> None:
    """Weights of one input lie in one row of a macro, weights of one output in one column."""
    placement = Placement(SMALL)
    region = placement.place("weight", shape, inputs_first=inputs_first)
    inputs, outputs = region.matrix
    first = shape[0]
    assert (inputs if inputs_first else outputs) == first
    assert inputs * outputs == region.weights
    flat = region.pair_addresses(SMALL).view(first, -1)
    grid = flat if inputs_first else flat.T
    row = grid // SMALL.pairs_per_row
    column = grid % SMALL.pairs_per_row
    for tile in region.tiles:
        here = (
            slice(tile.first_input, tile.first_input + tile.rows),
            slice(tile.first_output, tile.first_output + tile.pair_columns),
        )
        assert bool((row[here] == row[here][:, :1]).all())
        assert bool((column[here] == column[here][:1]).all())
        assert int(row[here].unique().numel()) == tile.rows
        assert int(column[here].unique().numel()) == tile.pair_columns


def test_a_weight_is_two_adjacent_cells_of_one_row() -> None:
    chip = SimulatedChip("ideal", geometry=SMALL)
    region = chip.place("weight", (5, 7))
    owner = chip.macro_map(0, "conductance")
    conductance = chip.conductance(region)
    address = region.pair_addresses(SMALL).view(5, 7)
    for o in range(5):
        for i in range(7):
            row, pair = divmod(int(address[o, i]), SMALL.pairs_per_row)
            assert torch.equal(owner[row, 2 * pair : 2 * pair + 2], conductance[o, i])


def test_a_published_network_fits_one_macro() -> None:
    """62 272 weights in 131 072 pairs: FIELD.md, section 1."""
    placement = Placement(Geometry())
    for name, shape in (
        ("conv1", (64, 1, 3, 3)), ("conv2", (16, 64, 3, 3)), ("fc1", (128, 400)), ("fc2", (10, 128))
    ):  # fmt: skip
        placement.place(name, shape)
    assert placement.cells == 2 * 62_272
    assert placement.utilisation == pytest.approx(placement.cells / 512**2 / placement.macros)
    assert placement.macros <= 3


def test_a_weight_larger_than_a_macro_is_cut_by_rows_and_columns() -> None:
    region = Placement(Geometry()).place("large", (700, 1100))
    assert len(region.tiles) == 3 * 3
    assert {tile.rows for tile in region.tiles} == {512, 1100 - 2 * 512}
    assert {tile.pair_columns for tile in region.tiles} == {256, 700 - 2 * 256}


def test_weights_share_a_macro_where_they_fit() -> None:
    placement = Placement(SMALL)
    placement.place("first", (6, 16))
    placement.place("second", (6, 16))
    placement.place("third", (12, 16))
    assert placement.macros == 1
    assert placement.utilisation == 1.0


def test_the_placement_says_who_sits_where() -> None:
    placement = Placement(SMALL)
    placement.place("encoder.weight", (4, 40))
    text = str(placement)
    assert "1 macro(s) of 32 x 24 cells, 320 cells in use (41.7%)" in text
    assert "encoder.weight: 40 inputs x 4 outputs" in text
    assert "macro 0, rows 0-31, columns 0-7" in text
    assert "macro 0, rows 0-7, columns 8-15" in text


@given(shapes)
def test_a_full_chip_refuses_and_nothing_is_placed(
    weights: list[tuple[tuple[int, ...], bool]],
) -> None:
    def picture() -> tuple[object, ...]:
        placement = chip.placement
        used = chip.ledger.form.numel(), placement.utilisation, list(placement.regions)
        return str(placement), chip.ledger.totals(), *used

    chip = SimulatedChip("ideal", geometry=SMALL, macros=1)
    chip.place("first", (1, 1))
    for n, (shape, inputs_first) in enumerate(weights):
        before, refused = picture(), None
        try:
            chip.place(f"weight {n}", shape, inputs_first=inputs_first)
        except ChipError as refusal:
            refused = str(refusal)
        assert (picture() == before) == (refused is not None)
        assert refused is None or f"weight {n}" in refused
    used = addresses(chip.placement)
    assert used.unique().numel() == used.numel() <= SMALL.cells // 2


def test_a_refused_weight_leaves_room_for_a_smaller_one() -> None:
    chip = SimulatedChip("ideal", geometry=SMALL, macros=1)
    chip.place("first", (12, 20))
    # Two tiles, the first of which there is room for.
    with pytest.raises(ChipError, match=r"No room .*second.*more macros"):
        chip.place("second", (24, 12))
    region = chip.place("third", (12, 12))
    assert chip.placement.utilisation == 1.0
    assert region.first_cell == 2 * 12 * 20


@pytest.mark.parametrize(("rows", "columns"), [(0, 512), (512, 1), (-1, 2)])
def test_a_macro_without_a_pair_is_refused(rows: int, columns: int) -> None:
    with pytest.raises(SettingError, match="holds no pair"):
        Geometry(rows=rows, columns=columns)


def test_a_region_of_another_chip_is_refused() -> None:
    placement = Placement(SMALL)
    placement.place("weight", (3, 3))
    foreign = Region("weight", (3, 3), False, 18, ())
    with pytest.raises(ChipError, match="'weight' is not on this chip"):
        placement.check(foreign)
