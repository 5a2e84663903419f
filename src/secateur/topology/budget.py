"""A flip budget: an edge that has been flipped often enough stays as it is.

Cells wear out by pulses, and a search pulses a few edges near the threshold again and again. With a
budget around a rule none of them gets more than so many; the others make up for it, so that as
many are kept as before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from secateur.errors import SettingError
from secateur.topology.rule import Rule


@dataclass(frozen=True)
class FlipBudget(Rule):
    """A rule for the edges that have flips left; the others stay on the side where they are.

    What has been spent is not remembered here: the pulses that the cells have received tell it, so
    that a resumed run and the other ranks of a distributed one agree. The inner rule sees the free
    edges alone, and how many of them are to be kept.

    Args:
        rule: for the free edges.
        flips: pulses that an edge may cost any of its cells; pruning it for the first time is one.
        spent: what each edge has cost so far, shaped as the scores; None where nothing has.

    Raises:
        SettingError: for a budget below 1; from `next`, where a schedule asks for more flips than
            are left.
    """

    rule: Rule
    flips: int
    spent: tuple[Tensor, ...] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.flips < 1:
            raise SettingError(f"flips is {self.flips}", remedy="Give a budget of 1 flip or more")

    def at(self, update: int) -> "FlipBudget":
        """See `Rule.at`: with the inner rule as it stands then."""
        return replace(self, rule=self.rule.at(update))

    def after(self, spent: Callable[[], Sequence[Tensor]]) -> "FlipBudget":
        """See `Rule.after`."""
        known = tuple(spent())
        return replace(self, rule=self.rule.after(lambda: known), spent=known)

    @property
    def by_weight(self) -> bool:
        """See `Rule.by_weight`: as the inner rule."""
        return self.rule.by_weight

    def first(self, scores: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
        """The inner rule's: nothing has been spent."""
        return self.rule.first(scores, counts)

    def next(
        self, scores: Sequence[Tensor], masks: Sequence[Tensor], counts: Sequence[int]
    ) -> list[Tensor]:
        """The inner rule's answer for the free edges; the others as in `masks`."""
        free = [spent < self.flips for spent in self.spent or ()]
        if all(bool(own.all()) for own in free):
            return self.rule.next(scores, masks, counts)
        held = [mask[own] for mask, own in zip(masks, free, strict=True)]
        left = self._left(masks, held, counts)
        chosen = [score[own] for score, own in zip(scores, free, strict=True)]
        inner = self.rule
        if isinstance(inner, FlipBudget) and inner.spent is not None:
            parts = zip(inner.spent, free, strict=True)
            inner = replace(inner, spent=tuple(spent[own] for spent, own in parts))
        found = inner.next(chosen, held, left)
        made = [mask.clone() for mask in masks]
        for mask, own, part in zip(made, free, found, strict=True):
            mask[own] = part
        return made

    def _left(
        self, masks: Sequence[Tensor], held: Sequence[Tensor], counts: Sequence[int]
    ) -> list[int]:
        """How many of each weight's free edges are to be kept."""
        kept, own = [int(mask.sum()) for mask in masks], [int(part.sum()) for part in held]
        room = [part.numel() for part in held]
        left = [n - (k - o) for n, k, o in zip(counts, kept, own, strict=True)]
        if not self.rule.by_weight:
            # Only their sum matters: what each keeps now, and the difference wherever it fits.
            more, left = sum(counts) - sum(kept), own
            for n, most in enumerate(room):
                step = max(-left[n], min(more, most - left[n]))
                left[n], more = left[n] + step, more - step
            left[0] += more
        if any(not 0 <= n <= most for n, most in zip(left, room, strict=True)):
            raise SettingError(
                f"A flip budget of {self.flips} leaves too few edges free to keep as many as asked",
                cause="the kept fraction still changes while edges have used up their flips",
                remedy="Give a larger budget, or a schedule that ends sooner",
            )
        return left
