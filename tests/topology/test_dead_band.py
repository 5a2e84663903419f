"""The dead band: fewer pulses, no drift of the kept count, and slow changes still get through."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from secateur.errors import SettingError
from secateur.topology import TopK, kth_largest, rule, swap_across_band, top_k


def walk(steps: int, edges: int = 400, seed: int = 0, size: float = 0.03) -> list[Tensor]:
    """Scores that wander as under training: a random walk from uniform scores."""
    draws = torch.Generator().manual_seed(seed)
    scores = [torch.rand(edges, generator=draws)]
    for _ in range(steps):
        scores.append(scores[-1] + size * torch.randn(edges, generator=draws))
    return scores


@given(st.integers(0, 2**20), st.floats(0.001, 0.5), st.integers(1, 399))
def test_the_kept_count_never_drifts_and_nothing_flips_inside_the_band(
    seed: int, band: float, count: int
) -> None:
    path = walk(15, seed=seed)
    mask = top_k(path[0], count)
    for scores in path[1:]:
        following = swap_across_band(scores, mask, count, dead_band=band)
        assert int(following.sum()) == count
        threshold = float(kth_largest(scores.abs(), count))
        left, entered = mask & ~following, following & ~mask
        assert bool((scores.abs()[left] < threshold * (1.0 - band)).all())
        assert bool((scores.abs()[entered] > threshold * (1.0 + band)).all())
        assert int(left.sum()) == int(entered.sum())
        mask = following


@given(st.integers(0, 2**20), st.floats(0.01, 0.3))
def test_best_enters_for_worst_and_one_side_beyond_the_band_is_used_up(
    seed: int, band: float
) -> None:
    before, after = walk(1, seed=seed, size=0.2)
    mask = top_k(before, 200)
    following = swap_across_band(after, mask, 200, dead_band=band)
    magnitude, threshold = after.abs(), float(kth_largest(after.abs(), 200))
    could_leave = mask & (magnitude < threshold * (1.0 - band))
    could_enter = ~mask & (magnitude > threshold * (1.0 + band))
    left, entered = mask & ~following, following & ~mask
    assert int(left.sum()) == min(int(could_leave.sum()), int(could_enter.sum()))
    spared, denied = could_leave & ~left, could_enter & ~entered
    if bool(left.any()) and bool(spared.any()):
        assert float(magnitude[left].max()) <= float(magnitude[spared].min())
    if bool(entered.any()) and bool(denied.any()):
        assert float(magnitude[entered].min()) >= float(magnitude[denied].max())


def test_a_wider_band_flips_less() -> None:
    path, flips = walk(60), []
    for band in (0.0, 0.02, 0.1, 0.3):
        mask, total = top_k(path[0], 200), 0
        for scores in path[1:]:
            following = swap_across_band(scores, mask, 200, dead_band=band)
            total += int((following ^ mask).sum())
            mask = following
        flips.append(total)
    assert flips[0] > flips[1] > flips[2] > flips[3] > 0
    assert flips[2] < 0.6 * flips[0]


def published_rule(scores: Tensor, last: Tensor, mask: Tensor, count: int, limit: float) -> Tensor:
    """The authors' hysteresis: a flip needs a relative change of the last step of `limit`."""
    moved = (scores - last).abs() / last.abs() >= limit
    return torch.where(moved, top_k(scores, count), mask)


def test_a_slow_drift_flips_in_the_end_unlike_under_the_published_rule() -> None:
    """An edge that fades by 0.2 % a step for 400 steps must go at last."""
    start = torch.cat([torch.linspace(1.0, 1.2, 10), torch.linspace(0.7, 0.9, 10)])
    drift = torch.ones(20)
    drift[0], drift[10] = 1.0 - 0.002, 1.0 + 0.002
    mask = top_k(start, 10)
    ours, theirs, scores = mask, mask, start
    for _ in range(400):
        last, scores = scores, scores * drift
        ours = swap_across_band(scores, ours, 10, dead_band=0.05)
        theirs = published_rule(scores, last, theirs, 10, limit=0.01)
    assert torch.equal(theirs, mask)
    assert torch.equal(ours, top_k(scores, 10))
    assert not bool(ours[0])
    assert bool(ours[10])


def test_the_published_rule_lets_the_kept_count_drift_and_ours_does_not() -> None:
    """The reason for the rule of pairs: best against worst, in equal numbers."""
    path = walk(100)
    ours = theirs = top_k(path[0], 200)
    for last, scores in pairwise(path):
        ours = swap_across_band(scores, ours, 200, dead_band=0.05)
        theirs = published_rule(scores, last, theirs, 200, limit=0.05)
    assert int(ours.sum()) == 200
    assert int(theirs.sum()) != 200


@given(st.integers(0, 2**20), st.integers(1, 400), st.integers(1, 400), st.sampled_from([0.0, 0.1]))
def test_a_changed_count_is_met_exactly_whatever_the_band(
    seed: int, old: int, new: int, band: float
) -> None:
    before, after = walk(1, seed=seed)
    following = swap_across_band(after, top_k(before, old), new, dead_band=band)
    assert int(following.sum()) == new


def test_a_lower_count_drops_the_worst_and_a_higher_adds_the_best() -> None:
    scores = torch.rand(300, generator=torch.Generator().manual_seed(5))
    for old, new in ((200, 120), (120, 200)):
        following = swap_across_band(scores, top_k(scores, old), new, dead_band=0.2)
        assert torch.equal(following, top_k(scores, new))


@given(st.integers(0, 2**20), st.integers(1, 400))
def test_without_a_band_it_is_the_plain_top_k(seed: int, count: int) -> None:
    before, after = walk(1, seed=seed)
    following = TopK().next([after], [top_k(before, count)], [count])
    assert torch.equal(following[0], top_k(after, count))


def test_only_candidates_beyond_the_band_are_ever_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step moves few scores across the threshold: nothing of the network's size is sorted."""
    before, after = walk(1, edges=200_000, size=0.005)
    mask, sizes, extreme = top_k(before, 100_000), [], rule._extreme

    def spy(magnitude: Any, candidates: Any, chosen: int, *, largest: bool) -> Any:
        sizes.append(len(candidates))
        return extreme(magnitude, candidates, chosen, largest=largest)

    monkeypatch.setattr(rule, "_extreme", spy)
    swap_across_band(after, mask, 100_000, dead_band=0.005)
    assert sizes
    assert 0 < max(sizes) < 0.01 * 200_000


# --- Within layers or across the network -------------------------------------------------------


@pytest.mark.parametrize("band", [0.0, 0.1])
def test_global_scope_compares_all_scores_of_the_network(band: float) -> None:
    draws = torch.Generator().manual_seed(0)
    old = [torch.rand(4, 5, generator=draws), 3.0 * torch.rand(30, generator=draws)]
    new = [s + 0.2 * torch.randn(s.shape, generator=draws) for s in old]
    rule = TopK(scope="global", dead_band=band)
    masks = rule.first(old, [10, 15])
    flat = torch.cat([s.view(-1) for s in old])
    assert torch.equal(torch.cat([m.view(-1) for m in masks]), top_k(flat, 25))
    # The layer of larger scores gets more than its own count: that is what global means.
    assert int(masks[1].sum()) > 15
    following = rule.next(new, masks, [10, 15])
    flat = torch.cat([s.view(-1) for s in new])
    held = torch.cat([m.view(-1) for m in masks])
    expected = swap_across_band(flat, held, 25, dead_band=band)
    assert torch.equal(torch.cat([m.view(-1) for m in following]), expected)


def test_layer_scope_keeps_every_layers_own_count() -> None:
    scores = [torch.rand(20), 100.0 * torch.rand(30)]
    masks = TopK(dead_band=0.1).first(scores, [10, 15])
    assert [int(m.sum()) for m in masks] == [10, 15]


@pytest.mark.parametrize(
    "setting", [{"dead_band": -0.1}, {"dead_band": 1.0}, {"scope": "model"}, {"narrowing": -1}]
)
def test_impossible_settings_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(setting))):
        TopK(**setting)


@given(st.integers(1, 500), st.floats(0.01, 0.5))
def test_a_narrowing_band_is_whole_at_first_half_at_half_time_and_gone_at_the_end(
    narrowing: int, band: float
) -> None:
    rule = TopK(dead_band=band, narrowing=2 * narrowing)
    widths = [rule.at(update).dead_band for update in range(2 * narrowing + 3)]
    assert widths[0] == pytest.approx(band)
    assert widths[narrowing] == pytest.approx(band / 2)
    assert widths[2 * narrowing :] == [0.0] * 3
    assert all(after <= before for before, after in pairwise(widths))


def test_a_rule_that_does_not_narrow_is_the_same_at_every_update() -> None:
    steady = TopK(dead_band=0.1)
    assert steady.at(0) is steady
    assert steady.at(10_000) is steady
