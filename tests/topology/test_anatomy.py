"""What a mask is compared with is a mask at random: laws, limits and a closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom
from torch import Tensor

from secateur.errors import SettingError
from secateur.topology import agreement, degrees, dispersion, kept_by_position, top_k


def random_mask(shape: tuple[int, ...], count: int, seed: int) -> Tensor:
    return top_k(torch.rand(shape, generator=torch.Generator().manual_seed(seed)) + 0.1, count)


@given(st.integers(0, 2**20), st.integers(1, 119))
def test_degrees_of_both_sides_add_up_to_the_kept_edges(seed: int, count: int) -> None:
    for shape in ((12, 10), (4, 5, 3, 2), (6, 10, 2)):
        outputs, inputs = degrees(random_mask(shape, count, seed))
        assert int(outputs.sum()) == int(inputs.sum()) == count
        assert (len(outputs), len(inputs)) == shape[:2]


def test_a_random_mask_has_the_dispersion_of_one_on_average() -> None:
    shape, count = (20, 30), 240
    draws = [degrees(random_mask(shape, count, seed)) for seed in range(100)]
    for side, nodes in ((0, 20), (1, 30)):
        found = [dispersion(draw[side], edges=600) for draw in draws]
        # The mean of 100 draws; a variance of n degrees has a relative spread of sqrt(2 / n).
        error = math.sqrt(2 / nodes / 100)
        assert sum(found) / len(found) == pytest.approx(1.0, abs=4 * error)


def test_the_expected_variance_is_the_hypergeometric_one() -> None:
    degree = torch.tensor([0, 4, 2, 2])
    reference = hypergeom(M=24, n=8, N=6).var()
    assert dispersion(degree, edges=24) == pytest.approx(2.0 / reference)


def test_even_degrees_disperse_less_than_chance_and_a_hub_more() -> None:
    even, hub = torch.tensor([5, 5, 5, 5]), torch.tensor([20, 0, 0, 0])
    assert dispersion(even, edges=80) == 0.0
    assert dispersion(hub, edges=80) > 10.0


def test_where_nothing_can_vary_there_is_no_dispersion() -> None:
    assert math.isnan(dispersion(torch.tensor([4, 4]), edges=8))


def test_agreement_is_one_with_itself_and_below_zero_with_the_opposite() -> None:
    mask = random_mask((8, 9), 36, 0)
    assert agreement(mask, mask) == pytest.approx(1.0)
    assert agreement(mask, ~mask) == pytest.approx(-1.0)


def test_independent_masks_agree_by_chance_alone() -> None:
    found = [
        agreement(random_mask((20, 30), 180, 2 * seed), random_mask((20, 30), 180, 2 * seed + 1))
        for seed in range(60)
    ]
    assert sum(found) / len(found) == pytest.approx(0.0, abs=0.02)


@given(st.integers(0, 2**20), st.integers(1, 71), st.integers(1, 71))
def test_agreement_with_as_many_edges_is_symmetric(seed: int, count: int, shift: int) -> None:
    one, other = random_mask((8, 9), count, seed), random_mask((8, 9), count, seed + shift)
    assert agreement(one, other) == pytest.approx(agreement(other, one))


def test_the_receptive_field_is_the_share_at_each_position() -> None:
    mask = torch.zeros(4, 2, 3, 3, dtype=torch.bool)
    mask[:, :, 1, 1] = True
    mask[0, 0, 0, 0] = True
    field = kept_by_position(mask)
    assert field[1, 1] == 1.0
    assert field[0, 0] == pytest.approx(1 / 8)
    assert float(field.sum()) == pytest.approx(1 + 1 / 8)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(SettingError, match="cannot be compared"):
        agreement(torch.ones(2, 3, dtype=torch.bool), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(SettingError, match="no inputs and outputs"):
        degrees(torch.ones(3, dtype=torch.bool))
