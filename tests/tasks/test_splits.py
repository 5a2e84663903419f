"""Splits are fixed, disjoint, complete and balanced."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from secateur.errors import SettingError
from secateur.tasks.data import Data, Split, stratified


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), share=st.floats(0, 0.5))
def test_every_sample_is_dealt_once_and_each_class_as_asked(
    labels: list[int], share: float
) -> None:
    targets = torch.tensor(labels)
    counts = [[int(share * labels.count(label))] * 2 for label in range(4)]
    parts = stratified(targets, counts, name="any")
    assert torch.cat(parts).sort().values.tolist() == list(range(len(labels)))
    for column, part in enumerate(parts[:-1]):
        assert part.tolist() == sorted(part.tolist())
        dealt = targets[part].bincount(minlength=4).tolist()
        assert dealt == [row[column] for row in counts]


def test_a_split_is_the_same_everywhere_and_for_ever() -> None:
    # A change of this list makes all earlier results incomparable.
    targets = torch.arange(40) % 2
    dealt, _ = stratified(targets, [[4], [4]], name="pinned")
    assert dealt.tolist() == [8, 9, 11, 18, 21, 22, 31, 38]


def test_a_split_ignores_torchs_own_seed_but_not_its_name() -> None:
    targets = torch.arange(400) % 2
    torch.manual_seed(1)
    first, _ = stratified(targets, [[50], [50]], name="one")
    torch.manual_seed(2)
    again, _ = stratified(targets, [[50], [50]], name="one")
    other, _ = stratified(targets, [[50], [50]], name="other")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dealing_does_not_follow_the_order_of_the_file() -> None:
    dealt, _ = stratified(torch.zeros(10_000, dtype=torch.int64), [[2_000]], name="spread")
    # Mean position of a random fifth: 5000 with a standard error of about 58.
    assert abs(dealt.double().mean().item() - 5_000) < 4 * 58


def test_a_class_that_is_too_small_or_unknown_is_refused() -> None:
    with pytest.raises(SettingError, match="Class 1 of few has 1 samples, the split wants 2"):
        stratified(torch.tensor([0, 0, 1]), [[1], [2]], name="few")
    with pytest.raises(SettingError, match="Class 2 of few has no row"):
        stratified(torch.tensor([0, 2]), [[1], [1]], name="few")


def test_inputs_without_their_targets_are_refused() -> None:
    with pytest.raises(SettingError, match="3 inputs has 2 targets"):
        Split(torch.zeros(3, 1), torch.zeros(2, dtype=torch.int64))


def test_the_reported_run_trains_on_training_and_validation_and_not_on_test() -> None:
    training, validation, test = (
        Split(torch.full((n, 1), float(n)), torch.full((n,), n)) for n in (3, 2, 1)
    )
    both = Data(training, validation, test).training_and_validation
    assert both.inputs.flatten().tolist() == [3, 3, 3, 2, 2]
    assert both.targets.tolist() == [3, 3, 3, 2, 2]
    assert (len(both), len(test)) == (5, 1)
