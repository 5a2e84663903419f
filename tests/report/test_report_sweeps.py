"""What was varied is found in the record, and where curves cross is computed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import synthetic

from secateur.report import read_run
from secateur.report.crossings import crossings
from secateur.report.headline import name_of, shown_results
from secateur.report.reading import Run
from secateur.report.sweep_figures import crossing_words
from secateur.report.sweeps import comparisons, in_recipe, shipped, sweeps
from secateur.report.trade_off import Offer, frontier, trade_off_curves

ERROR, BAND = "chip.programming_error", "search.dead_band"


def exact(arm: str, mean: float, half: float = 0.01, **overrides: object) -> synthetic.JsonDict:
    """A result whose summary is exactly this; overrides are written with __ for the dot."""
    changed = {key.replace("__", "."): value for key, value in overrides.items()}
    one = synthetic.result(
        np.random.default_rng(0), arm, chips=3, epochs=1, accuracy=mean, overrides=changed
    )
    interval = [mean - half, mean + half]
    one["summary"]["accuracy"] = {"mean": mean, "std": 0.004, "interval95": interval, "n": 3}
    return one


def run_of(directory: Path, results: Sequence[synthetic.JsonDict]) -> Run:
    return read_run(synthetic.write_run(directory, synthetic.record(results, chips=3)))


def test_a_value_is_looked_up_at_its_dotted_path() -> None:
    recipe = {"chip": {"wires": {"ohms": 2.0}}}
    assert in_recipe(recipe, "chip.wires.ohms") == 2.0
    assert in_recipe(recipe, "chip.wires.farads") is None
    assert in_recipe(recipe, "chip.wires.ohms.deeper") is None


def test_the_result_without_overrides_joins_the_curve_at_the_recipes_value(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        [
            exact("programmed", 0.86),  # the recipe has 0.05
            exact("programmed", 0.90, chip__programming_error=0.0),
            exact("programmed", 0.70, chip__programming_error=0.2),
            exact("pruned", 0.80),
        ],
    )
    (sweep,) = sweeps(run)
    (curve,) = sweep.curves
    assert sweep.setting == ERROR
    assert [(p.value, p.mean) for p in curve.points] == [(0.0, 0.90), (0.05, 0.86), (0.2, 0.70)]
    assert [(arm, level.mean) for arm, level in sweep.levels] == [("pruned", 0.80)]


def test_an_arms_own_setting_in_the_recipe_is_its_value(tmp_path: Path) -> None:
    content = synthetic.record(
        [exact("pruned", 0.88), exact("pruned", 0.87, search__dead_band=0.2)], chips=3
    )
    content["recipe"] = content["recipe"] | {"arms": {"pruned": {"search": {"dead_band": 0.01}}}}
    (sweep,) = sweeps(read_run(synthetic.write_run(tmp_path, content)))
    assert sweep.values == [0.01, 0.2]


def test_the_crossing_is_where_straight_lines_meet(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        [
            exact("programmed", 0.90, chip__programming_error=0.0),
            exact("programmed", 0.70, chip__programming_error=0.2),
            exact("pruned", 0.85),
        ],
    )
    (crossing,) = crossings(sweeps(run)[0])
    assert crossing.value == pytest.approx(0.05)  # 0.90 - x = 0.85
    assert crossing.height == pytest.approx(0.85)
    # Half widths of 0.01 each: the intervals overlap while the means are within 0.02.
    assert crossing.overlap == pytest.approx((0.03, 0.07), abs=0.001)
    assert crossing_words(sweeps(run)[0]) == [
        "programmed falls below pruned at 0.05 (their intervals overlap from 0.03 to 0.07)."
    ]


@pytest.mark.parametrize(
    ("programmed", "pruned", "expected"),
    [
        # The last fall, whatever chance does before it.
        ((0.84, 0.86, 0.70, 0.60), (0.85, 0.85, 0.85, 0.85), 0.1 + 0.1 / 16),
        ((0.90, 0.80, 0.86, 0.60), (0.85, 0.85, 0.85, 0.85), 0.2 + 0.1 / 26),
        # Nor where both have come down to guessing.
        ((0.90, 0.80, 0.50, 0.101), (0.85, 0.84, 0.60, 0.100), 0.1 * 5 / 9),
        ((0.90, 0.80, 0.10, 0.10), (0.85, 0.84, 0.10, 0.10), 0.1 * 5 / 9),
        # A rise, where nothing falls.
        ((0.79, 0.80, 0.80, 0.80), (0.90, 0.90, 0.70, 0.70), 0.15),
        # A touch is no crossing.
        ((0.98, 0.99, 0.97, 0.86), (0.99, 0.99, 0.99, 0.99), None),
        ((0.90, 0.80, 0.85, 0.90), (0.80, 0.80, 0.80, 0.80), None),
    ],
)
def test_of_several_crossings_the_last_fall_counts(
    tmp_path: Path, programmed: tuple[float, ...], pruned: tuple[float, ...], expected: float | None
) -> None:
    errors = (0.0, 0.1, 0.2, 0.3)
    run = run_of(tmp_path, [
        exact(arm, height, chip__programming_error=error)
        for arm, heights in (("programmed", programmed), ("pruned", pruned))
        for error, height in zip(errors, heights, strict=True)
    ])  # fmt: skip
    (crossing,) = crossings(sweeps(run)[0])
    assert crossing.value == (None if expected is None else pytest.approx(expected))
    # Above before it falls, and throughout where it is never below.
    falls = programmed[0] > pruned[0] or max(programmed) > max(pruned)
    assert crossing.above == falls


def test_a_pruned_arm_that_moves_is_crossed_as_a_curve(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        [
            exact("programmed", 0.90, chip__programming_error=0.0),
            exact("programmed", 0.70, chip__programming_error=0.2),
            exact("pruned", 0.80, chip__programming_error=0.0),
            exact("pruned", 0.90, chip__programming_error=0.2),
        ],
    )
    (crossing,) = crossings(sweeps(run)[0])
    assert crossing.value == pytest.approx(0.2 / 3)  # 0.90 - x = 0.80 + x / 2
    assert crossing.height == pytest.approx(0.80 + 0.1 / 3)


def test_curves_that_never_meet_are_said_not_to(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        [
            exact("programmed-aware", 0.80, chip__programming_error=0.0),
            exact("programmed-aware", 0.70, chip__programming_error=0.2),
            exact("pruned-cells", 0.88),
        ],
    )
    (crossing,) = crossings(sweeps(run)[0])
    assert (crossing.value, crossing.overlap) == (None, None)
    assert crossing_words(sweeps(run)[0]) == [
        "programmed-aware stays below pruned-cells from 0 to 0.2."
    ]


def test_an_arm_that_a_setting_leaves_alone_to_the_bit_is_a_level(tmp_path: Path) -> None:
    results = synthetic.varied_only(np.random.default_rng(0), chips=3)
    run = run_of(tmp_path, results)
    (sweep,) = sweeps(run)
    assert [curve.arm for curve in sweep.curves] == ["programmed"]
    assert [arm for arm, _ in sweep.levels] == ["pruned", "digital-quantised"]
    assert len(crossings(sweep)) == 1


def test_a_setting_that_moves_nothing_is_no_sweep(tmp_path: Path) -> None:
    values = (0.0, 0.1)
    run = run_of(tmp_path, [exact("random", 0.1, chip__programming_error=v) for v in values])
    assert sweeps(run) == []


def test_where_only_variants_ran_the_headline_takes_those_the_recipe_has(tmp_path: Path) -> None:
    run = run_of(tmp_path, synthetic.varied_only(np.random.default_rng(0), chips=3))
    assert [r.overrides[ERROR] for r in shown_results(run)] == [0.05, 0.05, 0.05]


def test_an_arm_that_nothing_touches_stands_for_itself(tmp_path: Path) -> None:
    values = (0.01, 0.3)  # neither is the recipe's
    run = run_of(tmp_path, [exact("random", 0.1, search__dead_band=value) for value in values])
    (shown,) = shown_results(run)
    assert name_of(run, shown) == "random"


def test_a_technologys_number_is_told_by_the_physics_of_the_same_arm(tmp_path: Path) -> None:
    swept = exact("programmed", 0.7, chip__values__programming_error=0.3)
    other = exact("programmed", 0.9, search__dead_band=0.2)
    for result, told in ((swept, 0.3), (other, 0.07)):
        for trial in result["trials"]:
            trial["physics"]["programming_error"] = told
    run = run_of(tmp_path, [swept, other])
    for result in run.record.results:
        assert shipped(run, result, "chip.values.programming_error") == 0.07


def test_an_arm_is_never_left_out_of_the_headline(tmp_path: Path) -> None:
    values = (0.01, 0.3)  # neither is the recipe's
    results = [exact("pruned", 0.8 + v, search__dead_band=v) for v in values]
    run = run_of(tmp_path, [*results, exact("digital", 0.9)])
    assert [r.name for r in shown_results(run)] == [
        "pruned, search.dead_band=0.01",
        "pruned, search.dead_band=0.3",
        "digital",
    ]


def test_words_are_compared_with_the_recipes_value_first(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        [
            exact("pruned", 0.87),  # the recipe has half
            exact("pruned", 0.88, chip__forming="ramp"),
            exact("pruned", 0.86, chip__forming="full"),
            exact("digital", 0.91, chip__forming="ramp"),
            exact("digital", 0.91, chip__forming="full"),
        ],
    )
    (comparison,) = comparisons(run)
    assert comparison.values == ("half", "full", "ramp")
    assert comparison.shipped == {"pruned": "half"}
    assert comparison.untouched == ("digital",)
    means = {v: run.score(r).mean for v, r in comparison.cells["pruned"].items()}
    assert means == {"half": 0.87, "full": 0.86, "ramp": 0.88}
    assert sweeps(run) == []


def test_a_yes_or_no_is_a_word_and_not_a_number(tmp_path: Path) -> None:
    run = run_of(tmp_path, [exact("pruned", 0.87), exact("pruned", 0.88, search__per_layer=False)])
    assert [c.setting for c in comparisons(run)] == ["search.per_layer"]
    assert sweeps(run) == []


def test_only_curves_whose_flips_change_have_a_price(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = run_of(tmp_path, synthetic.dead_band_sweep(rng, 3) + synthetic.programming_sweep(rng, 3))
    by_setting = {sweep.setting: trade_off_curves(sweep) for sweep in sweeps(run)}
    assert [curve.arm for curve in by_setting[BAND]] == ["pruned", "pruned-cells"]
    assert by_setting[ERROR] == []


def test_the_frontier_holds_what_nothing_beats() -> None:
    offers = [
        Offer("pruned", flips, percent, "")
        for flips, percent in ((1.0, 87.0), (2.0, 86.0), (2.5, 88.0), (3.0, 88.0), (9.0, 88.5))
    ]
    assert [(o.flips, o.percent) for o in frontier(offers)] == [
        (1.0, 87.0),
        (2.5, 88.0),
        (9.0, 88.5),
    ]
