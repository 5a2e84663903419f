"""Selection: exact counts, the same answer as a sort, and no sort on the way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from secateur.errors import DivergedError, SettingError
from secateur.topology import keep_count, kth_largest, top_k


@st.composite
def scores_and_count(draw: st.DrawFn) -> tuple[Tensor, int]:
    """Signed scores of up to 200 edges, with as few as one distinct value."""
    size, levels = draw(st.integers(1, 200)), draw(st.integers(0, 30))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scores = torch.randint(-levels, levels + 1, (size,), generator=generator) / 7.0
    return scores, draw(st.integers(1, size))


def by_sorting(scores: Tensor, count: int) -> Tensor:
    """The reference: a stable sort, largest first, keeps the lower index among equals."""
    order = np.argsort(-scores.abs().double().numpy(), kind="stable")
    mask = np.zeros(scores.numel(), dtype=bool)
    mask[order[:count]] = True
    return torch.from_numpy(mask).view(scores.shape)


@given(scores_and_count())
def test_top_k_keeps_exactly_the_count_and_equals_a_sort(given_scores: tuple[Tensor, int]) -> None:
    scores, count = given_scores
    mask = top_k(scores, count)
    assert int(mask.sum()) == count
    assert torch.equal(mask, by_sorting(scores, count))


@given(scores_and_count())
def test_kth_largest_equals_a_sort_and_leaves_its_input_alone(
    given_scores: tuple[Tensor, int],
) -> None:
    scores, rank = given_scores
    scores = scores.abs()
    before = scores.clone()
    value = kth_largest(scores, rank)
    assert value == float(scores.sort(descending=True).values[rank - 1])
    assert value == float(torch.kthvalue(scores, scores.numel() - rank + 1).values)
    assert torch.equal(scores, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_type_is_selected_alike(dtype: torch.dtype) -> None:
    scores = torch.randint(-50, 50, (400,), generator=torch.Generator().manual_seed(0)) / 8.0
    assert torch.equal(top_k(scores.to(dtype), 123), by_sorting(scores, 123))


def test_the_sign_of_a_score_does_not_count() -> None:
    scores = torch.tensor([0.1, -3.0, 2.0, -0.5])
    assert top_k(scores, 2).tolist() == [False, True, True, False]
    assert torch.equal(top_k(-scores, 2), top_k(scores, 2))


def test_equal_scores_keep_the_lowest_indices() -> None:
    assert top_k(torch.ones(5), 2).tolist() == [True, True, False, False, False]


def test_scores_in_channels_last_are_selected_by_index_not_by_memory() -> None:
    scores = torch.randint(0, 3, (4, 3, 5, 5), generator=torch.Generator().manual_seed(1)) / 2.0
    mask = top_k(scores.to(memory_format=torch.channels_last), 100)
    assert torch.equal(mask, by_sorting(scores.reshape(-1), 100).view(scores.shape))
    assert mask.is_contiguous()


def test_a_selection_is_no_part_of_the_graph() -> None:
    scores = torch.rand(10, requires_grad=True)
    assert not top_k(scores, 3).requires_grad


def test_scores_that_are_not_numbers_are_refused() -> None:
    scores = torch.rand(100)
    scores[::2] = torch.nan
    for count in (20, 80):
        with pytest.raises(DivergedError, match="not a number"):
            top_k(scores, count)


def test_selection_sorts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a selection in O(n) sorts nothing")

    for module in (torch, torch.Tensor):
        for name in ("sort", "argsort", "topk", "msort"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refuse)
    for name in ("sort", "argsort", "lexsort"):
        monkeypatch.setattr(np, name, refuse)
    scores = torch.rand(50_000, generator=torch.Generator().manual_seed(0))
    assert int(top_k(scores, 25_000).sum()) == 25_000


# --- How many ----------------------------------------------------------------------------------


@given(st.floats(1e-3, 1.0), st.integers(1000, 10**8))
def test_keep_count_is_the_nearest_whole_number(fraction: float, edges: int) -> None:
    count = keep_count(fraction, edges)
    assert 1 <= count <= edges
    assert abs(count - fraction * edges) <= 0.5


@pytest.mark.parametrize(
    ("fraction", "edges", "count"), [(1.0, 7, 7), (0.5, 10, 5), (0.06, 10, 1), (1e-4, 10_000, 1)]
)
def test_keep_count_at_its_ends(fraction: float, edges: int, count: int) -> None:
    assert keep_count(fraction, edges) == count


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.0001, 1.5, 50.0, float("nan"), float("inf")])
def test_a_share_outside_its_range_is_refused_with_the_remedy(fraction: float) -> None:
    with pytest.raises(SettingError, match=r"keep_fraction is .*0\.5"):
        keep_count(fraction, 100)


def test_keeping_nothing_is_refused_and_the_remedy_works() -> None:
    with pytest.raises(SettingError, match="keeps none of 300 edges") as caught:
        keep_count(0.001, 300)
    assert keep_count(float(caught.value.remedy.removeprefix("Give at least ")), 300) == 1
