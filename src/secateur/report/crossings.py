"""Where writing weights becomes worse than pruning: crossings of curves, and how sure they are."""

from dataclasses import dataclass
from itertools import pairwise

from secateur.report.arms import GRAINS
from secateur.report.sweeps import Curve, Point, Sweep


@dataclass(frozen=True)
class Crossing:
    """Where a programmed curve falls through a pruned one.

    Args:
        pruned: the pruned arm.
        programmed: the programmed arm.
        value: the setting where the interpolated mean falls below the pruned one for the last time,
            or if it never does, rises above it; None where they do not cross.
        overlap: between which values the 95 % intervals overlap; None where that is unknown.
        height: the accuracy at the crossing, a fraction of 1.
        above: whether the programmed arm is the better one before; where they do not meet, always.
    """

    pruned: str
    programmed: str
    value: float | None
    overlap: tuple[float, float] | None
    height: float | None
    above: bool


def crossings(sweep: Sweep) -> list[Crossing]:
    """Where each programmed curve meets each pruned one, by straight lines between the points."""
    programmed = [curve for curve in sweep.curves if curve.arm.startswith("programmed")]
    pruned = {curve.name: curve for curve in sweep.curves if curve.arm in GRAINS}
    flat = {arm: score for arm, score in sweep.levels if arm in GRAINS}
    found = []
    for curve in programmed:
        for name, level in flat.items():
            reference = Curve(
                name, (), tuple(Point(p.value, p.result, level) for p in curve.points)
            )
            found.append(_crossing(reference, curve))
        found += [_crossing(reference, curve) for reference in pruned.values()]
    return found


def _crossing(pruned: Curve, programmed: Curve) -> Crossing:
    grid, gap, heights = _gap(pruned, programmed)
    value = height = None
    # Where they only touch they do not cross.
    apart = [(x, g, h) for x, g, h in zip(grid, gap, heights, strict=True) if g]
    above = bool(apart) and apart[0][1] > 0
    changes = [(left, right) for left, right in pairwise(apart) if (left[1] > 0) != (right[1] > 0)]
    falls = [change for change in changes if change[0][1] > 0]
    if changes:
        # The last fall counts: before it curves that lie close cross by chance, and so they do
        # after it where both have come down to guessing.
        (left, one, low), (right, other, high) = (falls or changes)[-1]
        share = one / (one - other)
        value, height = left + share * (right - left), low + share * (high - low)
        above = one > 0
    return Crossing(
        pruned.name, programmed.name, value, _overlap(pruned, programmed), height, above
    )


def _gap(pruned: Curve, programmed: Curve) -> tuple[list[float], list[float], list[float]]:
    """Values both curves cover, programmed minus pruned there, and the pruned height."""
    values = {p.value for p in (*pruned.points, *programmed.points)}
    first = max(pruned.points[0].value, programmed.points[0].value)
    last = min(pruned.points[-1].value, programmed.points[-1].value)
    grid = sorted(value for value in values if first <= value <= last)
    heights = [_at(pruned, value) for value in grid]
    gap = [_at(programmed, value) - height for value, height in zip(grid, heights, strict=True)]
    return grid, gap, heights


def _at(curve: Curve, value: float, end: int | None = None) -> float:
    """A curve's mean (or one end of its interval) at a value, by straight lines."""

    def height(point: Point) -> float:
        return point.mean if end is None or point.ends is None else point.ends[end]

    for left, right in pairwise(curve.points):
        if left.value <= value <= right.value:
            share = (value - left.value) / (right.value - left.value)
            return height(left) + share * (height(right) - height(left))
    return height(curve.points[0])


def _overlap(pruned: Curve, programmed: Curve) -> tuple[float, float] | None:
    """The first and the last value of a fine grid at which the two intervals overlap."""
    if any(point.ends is None for point in (*pruned.points, *programmed.points)):
        return None
    grid, _, _ = _gap(pruned, programmed)
    if len(grid) < 2:
        return None
    steps = 400
    fine = [grid[0] + (grid[-1] - grid[0]) * step / steps for step in range(steps + 1)]
    both = [
        value
        for value in fine
        if _at(programmed, value, 1) >= _at(pruned, value, 0)
        and _at(pruned, value, 1) >= _at(programmed, value, 0)
    ]
    return (both[0], both[-1]) if both else None
