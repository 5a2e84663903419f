"""Keyed randomness of the chip: commands make it, not reads, order, size of commands or copies."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from secateur.chip import FixedVoltage, Geometry, Region, SimulatedChip
from secateur.errors import SettingError


def placed(seed: int = 0, **options: object) -> tuple[SimulatedChip, Region]:
    chip = SimulatedChip("taox-40nm", seed=seed, forming=FixedVoltage(fraction=0.8), **options)
    return chip, chip.place("weight", (20, 15))


def cells_of(region: Region) -> Tensor:
    return torch.arange(region.cells.start, region.cells.stop)


@settings(max_examples=25)
@given(st.integers(0, 2**20), st.integers(1, 6))
def test_the_same_pulses_give_the_same_chip_in_any_order_of_cells_and_reads(
    seed: int, parts: int
) -> None:
    """Pulses of one cell keep their order; those of different cells may interleave freely."""
    draws = torch.Generator().manual_seed(seed)
    plain, region = placed(seed)
    other, _ = placed(seed)
    for _ in range(3):
        for command in ("reset", "set"):
            cells = cells_of(region)[torch.rand(600, generator=draws) < 0.5]
            getattr(plain, command)(cells)
            shuffled = cells[torch.randperm(len(cells), generator=draws)]
            for part in shuffled.chunk(parts):
                other.read(region, key=int(torch.randint(1000, (), generator=draws)))
                getattr(other, command)(part)
                other.read_back(part)
                other.multiply(region, torch.ones(1, 15), key=3)
    assert torch.equal(plain.conductance(region), other.conductance(region))
    assert torch.equal(plain.status(region), other.status(region))


def test_chips_of_other_seeds_differ_in_every_cell() -> None:
    first, region = placed(seed=1)
    second, _ = placed(seed=2)
    formed = (first.status(region) != 0) & (second.status(region) != 0)
    assert int(formed.sum()) > 300
    one, two = first.conductance(region)[formed], second.conductance(region)[formed]
    assert not bool((one == two).any())
    assert abs(float(torch.corrcoef(torch.stack([one, two]))[0, 1])) < 0.25
    assert not torch.equal(first.status(region), second.status(region))


def test_the_same_seed_gives_the_same_chip_whatever_torchs_own_generator_did() -> None:
    torch.manual_seed(0)
    first, region = placed(seed=1)
    torch.randn(100)
    second, _ = placed(seed=1)
    assert torch.equal(first.conductance(region), second.conductance(region))


def test_a_cell_is_known_by_its_place_on_the_chip_not_by_its_weight() -> None:
    """The first row of a macro is the same cells for whatever weight lies there."""
    geometry = Geometry(rows=8, columns=8)
    one = SimulatedChip(seed=3, geometry=geometry)
    two = SimulatedChip(seed=3, geometry=geometry)
    region_one = one.place("by output", (4, 8))
    region_two = two.place("by input", (8, 4), inputs_first=True)
    by_output = one.conductance(region_one)
    by_input = two.conductance(region_two)
    assert torch.equal(by_output.transpose(0, 1), by_input)
    assert torch.equal(one.macro_map(0, "conductance"), two.macro_map(0, "conductance"))


def test_layers_of_equal_shape_have_cells_of_their_own() -> None:
    """The authors' code gave them the same ones."""
    chip = SimulatedChip(seed=3)
    first, second = chip.place("first", (10, 10)), chip.place("second", (10, 10))
    formed = (chip.status(first) != 0) & (chip.status(second) != 0)
    assert not bool((chip.conductance(first) == chip.conductance(second))[formed].any())


def test_reads_are_a_function_of_their_key() -> None:
    chip, region = placed()
    first, same, other = (chip.read(region, key=key) for key in (7, 7, 8))
    assert torch.equal(first, same)
    assert not bool((first == other).any())
    voltages = torch.rand(4, 15)
    products = [chip.multiply(region, voltages, key=key) for key in (7, 7, 8)]
    assert torch.equal(products[0], products[1])
    assert not bool((products[0] == products[2]).any())


def test_a_read_back_belongs_to_the_last_pulse() -> None:
    chip, region = placed()
    cells = cells_of(region)[chip.conducting(cells_of(region))]
    first = chip.read_back(cells)
    assert torch.equal(chip.read_back(cells), first)
    assert torch.equal(chip.read_back(cells[::3]), first[::3])
    truth = chip.conductance(region).view(-1)[cells]
    chip.form(cells, voltage=1.0, width=1e-6, compliance=75e-6)
    # A pulse that moves nothing still is a pulse: the next read back is a new measurement.
    assert torch.equal(chip.conductance(region).view(-1)[cells], truth)
    assert not bool((chip.read_back(cells) == first).all())


@pytest.mark.parametrize("original_first", [True, False])
def test_a_deep_copy_is_an_independent_snapshot(original_first: bool) -> None:
    chip, region = placed()
    chip.reset(cells_of(region)[::2])
    snapshot = copy.deepcopy(chip)
    held = chip.conductance(region), chip.ledger.totals(), chip.status(region)
    pulsed, kept = (chip, snapshot) if original_first else (snapshot, chip)
    pulsed.set(cells_of(region))
    pulsed.place("more", (3, 3))
    assert torch.equal(kept.conductance(region), held[0])
    assert kept.ledger.totals() == held[1]
    assert torch.equal(kept.status(region), held[2])
    assert len(kept.placement.regions) == 1
    # The copy goes on as the original would have: same draws for the same pulses.
    kept.set(cells_of(region))
    assert torch.equal(kept.conductance(region), pulsed.conductance(region))


def test_another_future_draws_pulses_anew_around_what_is_frozen_at_birth() -> None:
    chip, region = placed()
    twin = copy.deepcopy(chip)
    twin.future = 7
    assert torch.equal(twin.conductance(region), chip.conductance(region))
    for one in (chip, twin):
        one.reset(cells_of(region))
        low = one.conductance(region)
        one.set(cells_of(region))
    moved = low != twin.conductance(region)
    own, other = chip.conductance(region)[moved], twin.conductance(region)[moved]
    assert len(own) > 300
    assert not bool((own == other).any())
    # What is frozen is common to both: of the logarithms' variance, the device's share.
    law = chip.technology
    share = law.high_device_spread**2 / (law.high_device_spread**2 + law.high_cycle_spread**2)
    both = torch.stack([own, other]).log()
    assert float(torch.corrcoef(both)[0, 1]) == pytest.approx(share, abs=0.1)
    with pytest.raises(SettingError, match="future"):
        chip.restore(twin.state())


def test_moving_to_the_device_it_is_on_changes_nothing() -> None:
    chip, region = placed()
    before = chip.conductance(region)
    chip.to(torch.device("cpu"))
    assert torch.equal(chip.conductance(region), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_pulses_and_nearly_the_same_conductances() -> None:
    chip, region = placed()
    twin = copy.deepcopy(chip)
    twin.to(torch.device("cuda"))
    for command in ("reset", "set"):
        for one in (chip, twin):
            getattr(one, command)(cells_of(region)[::3])
    more, twin_more = chip.place("more", (9, 9)), twin.place("more", (9, 9))
    assert torch.equal(chip.status(more), twin.status(twin_more).cpu())
    torch.testing.assert_close(
        chip.conductance(region), twin.conductance(region).cpu(), rtol=1e-5, atol=0.0
    )
    assert chip.ledger.totals() == twin.ledger.totals()
    assert twin.read(region, key=1).device.type == "cuda"
