"""The rule that ships passes the contract that every rule must pass."""

import pytest
from torch import Tensor

from secateur.testing import RuleContract
from secateur.topology import Rule, TopK, top_k


class TestTopK(RuleContract):
    def rule(self) -> Rule:
        return TopK()


class TestTopKWithDeadBand(RuleContract):
    def rule(self) -> Rule:
        return TopK(dead_band=0.1)


class TestGlobalTopK(RuleContract):
    def rule(self) -> Rule:
        return TopK(scope="global")


class TestGlobalTopKWithDeadBand(RuleContract):
    def rule(self) -> Rule:
        return TopK(scope="global", dead_band=0.1)


class _Drifting(TopK):
    """Drops what is beyond the threshold without taking anything in: the count falls."""

    def next(self, scores, masks, counts) -> list[Tensor]:
        return [m & top_k(s, n) for s, m, n in zip(scores, masks, counts, strict=True)]


class _Restless(TopK):
    """Keeps what it pruned a step ago."""

    def next(self, scores, masks, counts) -> list[Tensor]:
        return [top_k(1.0 - m.float(), n) for m, n in zip(masks, counts, strict=True)]


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (_Drifting, "test_it_keeps_exactly_as_many_as_asked"),
        (_Restless, "test_unchanged_scores_flip_nothing"),
    ],
)
def test_the_contract_fails_for_a_rule_that_breaks_it(broken: type, promise: str) -> None:
    class Broken(RuleContract):
        def rule(self) -> Rule:
            return broken()

    with pytest.raises(AssertionError):
        getattr(Broken(), promise)()
