"""What every topology rule must obey."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from secateur.topology import Rule

# One method serves many subclasses, each with a rule of its own: that is the point of a contract.
_inherited = settings(suppress_health_check=[HealthCheck.differing_executors], deadline=None)


@dataclass(frozen=True)
class Problem:
    """Scores of a few weights, before and after a learning step, and how many to keep of each."""

    scores: list[Tensor]
    moved: list[Tensor]
    counts: list[int]
    next_counts: list[int]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small weights of any shape, with many equal scores: ties are where exact counts break."""
    shapes = draw(
        st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=3)
    )
    seed = draw(st.integers(0, 2**31))
    levels = draw(st.integers(1, 40))
    draws = torch.Generator().manual_seed(seed)

    def some_scores(shape: Sequence[int]) -> Tensor:
        return torch.randint(-levels, levels + 1, tuple(shape), generator=draws) / levels

    scores = [some_scores(shape) for shape in shapes]
    moved = [s + 0.3 * some_scores(s.shape) for s in scores]
    counts = [draw(st.integers(1, s.numel())) for s in scores]
    if draw(st.booleans()):
        return Problem(scores, moved, counts, counts)
    return Problem(scores, moved, counts, [draw(st.integers(1, s.numel())) for s in scores])


class RuleContract:
    """Exact counts, whatever the scores; nothing moves without a reason; arguments stay as given.

    Subclasses give `rule`, a new rule at every call.
    """

    def rule(self) -> Rule:
        """The rule under test."""
        raise NotImplementedError("give the rule under test")

    @_inherited
    @given(problems())
    def test_it_keeps_exactly_as_many_as_asked(self, problem: Problem) -> None:
        """The kept count is `sum(counts)`, on ties too, at first and ever after."""
        rule = self.rule()
        masks = rule.first(problem.scores, problem.counts)
        assert sum(int(m.sum()) for m in masks) == sum(problem.counts)
        masks = rule.next(problem.moved, masks, problem.next_counts)
        assert sum(int(m.sum()) for m in masks) == sum(problem.next_counts)

    @_inherited
    @given(problems())
    def test_masks_are_boolean_and_shaped_as_their_scores(self, problem: Problem) -> None:
        """One mask a weight, contiguous: a network takes flat views of them."""
        rule = self.rule()
        first = rule.first(problem.scores, problem.counts)
        for masks in (first, rule.next(problem.moved, first, problem.next_counts)):
            assert [m.shape for m in masks] == [s.shape for s in problem.scores]
            assert all(m.dtype == torch.bool and m.is_contiguous() for m in masks)

    @_inherited
    @given(problems())
    def test_it_leaves_its_arguments_as_they_are(self, problem: Problem) -> None:
        """Neither scores nor the masks that the chip holds are written to."""
        rule = self.rule()
        scores = [s.clone() for s in problem.moved]
        masks = rule.first(problem.scores, problem.counts)
        held = [m.clone() for m in masks]
        rule.next(problem.moved, masks, problem.next_counts)
        assert all(map(torch.equal, problem.moved, scores))
        assert all(map(torch.equal, masks, held))

    @_inherited
    @given(problems())
    def test_the_same_question_has_the_same_answer(self, problem: Problem) -> None:
        """What a rule remembers is in its arguments: resumed runs and other ranks agree."""
        first = [self.rule().first(problem.scores, problem.counts) for _ in range(2)]
        assert all(map(torch.equal, *first))
        later = [self.rule().next(problem.moved, first[0], problem.next_counts) for _ in range(2)]
        assert all(map(torch.equal, *later))

    @_inherited
    @given(problems())
    def test_unchanged_scores_flip_nothing(self, problem: Problem) -> None:
        """A pulse needs a reason."""
        rule = self.rule()
        masks = rule.first(problem.scores, problem.counts)
        assert all(map(torch.equal, rule.next(problem.scores, masks, problem.counts), masks))

    def test_scores_in_any_memory_format_give_the_same_masks(self) -> None:
        """A model in channels-last has strided scores."""
        rule, draws = self.rule(), torch.Generator().manual_seed(0)
        old, new = (torch.rand(4, 3, 5, 5, generator=draws) for _ in range(2))
        plain = rule.first([old], [150])
        strided = rule.first([old.to(memory_format=torch.channels_last)], [150])
        assert torch.equal(plain[0], strided[0])
        later = rule.next([new.to(memory_format=torch.channels_last)], strided, [150])
        assert torch.equal(rule.next([new], plain, [150])[0], later[0])
