"""Read noise: a constant share of the conductance, independent from cell to cell."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.device import noisy_read, pair_deviation, read_deviation

CONDUCTANCES = st.floats(1e-8, 1e-3)


def standard_normals(*shape: int, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draws, dtype=torch.float64)


def test_reads_are_normal_around_the_conductance() -> None:
    conductance = torch.rand(20_000, generator=torch.Generator().manual_seed(1)).double() * 2e-5
    read = noisy_read(conductance, standard_normals(20_000), read_noise=0.02)
    standardised = (read - conductance) / (0.02 * conductance)
    assert stats.kstest(standardised.numpy(), "norm").pvalue > 1e-3


@given(CONDUCTANCES, st.floats(0.0, 0.5))
def test_the_deviation_is_a_share_of_the_conductance(conductance: float, noise: float) -> None:
    cell = torch.tensor([conductance], dtype=torch.float64)
    deviation = read_deviation(cell, read_noise=noise)
    assert float(deviation) == pytest.approx(noise * conductance, rel=1e-9, abs=0.0)


def test_without_noise_a_read_is_the_conductance() -> None:
    conductance = torch.rand(100)
    assert torch.equal(noisy_read(conductance, torch.randn(100), read_noise=0.0), conductance)


@given(CONDUCTANCES, CONDUCTANCES, st.floats(0.0, 0.5))
def test_the_noises_of_a_pair_add_in_squares(high: float, low: float, noise: float) -> None:
    pair = torch.tensor([high, low], dtype=torch.float64)
    deviation = pair_deviation(pair[0], pair[1], read_noise=noise)
    assert float(deviation) == pytest.approx(noise * np.hypot(high, low), rel=1e-9, abs=0.0)


def test_a_pairs_deviation_is_that_of_the_difference_of_two_reads() -> None:
    high, low = torch.full((40_000,), 12e-6).double(), torch.full((40_000,), 5e-6).double()
    difference = noisy_read(high, standard_normals(40_000, seed=2), read_noise=0.02)
    difference -= noisy_read(low, standard_normals(40_000, seed=3), read_noise=0.02)
    deviation = pair_deviation(high, low, read_noise=0.02)
    standardised = (difference - (high - low)) / deviation
    assert stats.kstest(standardised.numpy(), "norm").pvalue > 1e-3


def test_a_pairs_deviation_leaves_its_arguments_alone() -> None:
    high, low = torch.tensor([3.0]), torch.tensor([4.0])
    assert float(pair_deviation(high, low, read_noise=1.0)) == 5.0
    assert (float(high), float(low)) == (3.0, 4.0)
