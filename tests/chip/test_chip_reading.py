"""Reading and multiplying: the same law as a draw for every cell."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from secateur.chip import FixedVoltage, Region, SimulatedChip
from secateur.errors import ChipError

MANY = 6000


def placed(
    shape: tuple[int, ...] = (4, 6), inputs_first: bool = False
) -> tuple[SimulatedChip, Region]:
    chip = SimulatedChip("taox-40nm", seed=1, forming=FixedVoltage(fraction=0.7))
    return chip, chip.place("weight", shape, inputs_first=inputs_first)


def as_matrix(region: Region, values: Tensor) -> Tensor:
    """(inputs, outputs) of one value per weight, the slow and plain way."""
    inputs, outputs = region.matrix
    flat, matrix = values.reshape(-1), torch.empty(inputs, outputs, dtype=values.dtype)
    for i in range(inputs):
        for o in range(outputs):
            matrix[i, o] = flat[i * outputs + o if region.inputs_first else o * inputs + i]
    return matrix


def test_reads_are_normal_with_two_percent_of_each_cells_conductance() -> None:
    chip, region = placed((50, 40))
    truth = chip.conductance(region)
    for key in range(3):
        standardised = (chip.read(region, key=key) - truth) / (0.02 * truth)
        assert stats.kstest(standardised.view(-1).double().numpy(), "norm").pvalue > 1e-3


def test_reads_of_other_keys_and_cells_are_uncorrelated() -> None:
    chip, region = placed((50, 40))
    truth = chip.conductance(region)
    noise = torch.stack([((chip.read(region, key=k) - truth) / truth).view(-1) for k in range(4)])
    assert float((torch.corrcoef(noise) - torch.eye(4)).abs().max()) < 5 / 4000**0.5
    pairs = noise[0].view(-1, 2).T
    assert abs(float(torch.corrcoef(pairs)[0, 1])) < 5 / 2000**0.5


@pytest.mark.parametrize("inputs_first", [False, True])
def test_products_have_mean_and_variance_of_the_explicit_sum(inputs_first: bool) -> None:
    """Column noise of variance sum of (sigma(G) V)^2: closed form, and a draw for every cell."""
    chip, region = placed((4, 3, 2), inputs_first)
    inputs, outputs = region.matrix
    voltages = torch.linspace(-0.15, 0.2, inputs)
    plus, minus = chip.conductance(region).double().unbind(dim=-1)
    mean = voltages.double() @ as_matrix(region, plus - minus)
    squares = as_matrix(region, plus.square() + minus.square())
    deviation = 0.02 * (voltages.double().square() @ squares).sqrt()

    at_once = chip.multiply(region, voltages.expand(MANY, inputs), key=5).double()
    reads = torch.stack([chip.read(region, key=key) for key in range(600)])
    differences = (reads[..., 0] - reads[..., 1]).double()
    one_by_one = torch.stack([voltages.double() @ as_matrix(region, d) for d in differences])

    for o in range(outputs):
        standardised = ((at_once[:, o] - mean[o]) / deviation[o]).numpy()
        assert stats.kstest(standardised, "norm").pvalue > 1e-3
        explicit = ((one_by_one[:, o] - mean[o]) / deviation[o]).numpy()
        assert stats.ks_2samp(standardised, explicit).pvalue > 1e-3


def test_every_multiplication_meets_fresh_noise() -> None:
    chip, region = placed()
    currents = chip.multiply(region, torch.full((MANY, 6), 0.1), key=1)
    noise = currents - currents.mean(dim=0)
    assert not bool((currents[1:] == currents[:-1]).all(dim=1).any())
    lagged = torch.corrcoef(torch.stack([noise[1:, 0], noise[:-1, 0]]))[0, 1]
    assert abs(float(lagged)) < 5 / MANY**0.5
    across = torch.corrcoef(noise.T) - torch.eye(4)
    assert float(across.abs().max()) < 5 / MANY**0.5


def test_no_voltage_gives_no_current_and_no_noise() -> None:
    chip, region = placed()
    assert not bool(chip.multiply(region, torch.zeros(3, 6), key=1).any())


def test_an_ideal_chip_multiplies_exactly() -> None:
    chip = SimulatedChip("ideal", seed=2)
    region = chip.place("weight", (5, 300))
    voltages = torch.randn(7, 300, generator=torch.Generator().manual_seed(0))
    plus, minus = chip.conductance(region).unbind(dim=-1)
    expected = voltages.double() @ (plus.double() - minus.double()).T
    torch.testing.assert_close(
        chip.multiply(region, voltages, key=1).double(), expected, rtol=1e-4, atol=1e-10
    )
    assert torch.equal(chip.read(region, key=1), chip.conductance(region))


def test_statistics_are_the_mean_and_deviation_of_reads() -> None:
    chip, region = placed((10, 8))
    reads = torch.stack([chip.read(region, key=key) for key in range(800)])
    difference = reads[..., 0] - reads[..., 1]
    known = chip.statistics(region)
    standard_error = known.deviation / 800**0.5
    assert bool(((difference.mean(dim=0) - known.difference).abs() < 5 * standard_error).all())
    torch.testing.assert_close(difference.std(dim=0), known.deviation, rtol=0.15, atol=0.0)


def test_reads_are_counted() -> None:
    chip, region = placed()
    before = chip.ledger.reads
    chip.read(region, key=1)
    chip.read_back(torch.tensor([0, 1]))
    assert chip.ledger.reads == before + 2


def test_a_copy_of_the_conductances_writes_nothing_back() -> None:
    chip, region = placed()
    before = chip.conductance(region)
    chip.conductance(region).zero_()
    chip.status(region).zero_()
    chip.read(region, key=1).zero_()
    assert torch.equal(chip.conductance(region), before)
    assert bool(chip.status(region).any())


# --- Refusals ----------------------------------------------------------------------------------


def test_reading_what_the_chip_does_not_have_is_refused() -> None:
    chip, region = placed()
    larger = SimulatedChip()
    larger.place("first", (30, 30))
    foreign = larger.place("second", (4, 6))
    readers = (
        lambda: chip.read(foreign, key=1), lambda: chip.status(foreign),
        lambda: chip.statistics(foreign), lambda: chip.conductance(foreign),
        lambda: chip.multiply(foreign, torch.ones(1, 6), key=1),
    )  # fmt: skip
    for read in readers:
        with pytest.raises(ChipError, match="'second' is not on this chip"):
            read()
    for ask in (chip.read_back, chip.conducting):
        for cells in ([region.cells.stop], [-1]):
            with pytest.raises(ChipError, match="is not on this chip"):
                ask(torch.tensor(cells))


def test_a_wrong_number_of_voltages_is_refused_by_name() -> None:
    chip, region = placed()
    with pytest.raises(ChipError, match="5 voltages for 6 input lines"):
        chip.multiply(region, torch.ones(2, 5), key=1)
