"""The page of a sweep: what was best, on what it depends, and what failed."""

import re

import numpy as np
import pytest
import synthetic_sweep
from test_report_page import Page, text_of

from secateur.errors import FileError
from secateur.report.interactions import pairs_of
from secateur.report.monte_carlo_page import write_monte_carlo
from secateur.report.page import write_page
from secateur.report.parallel import parallel_plate, strong
from secateur.report.sweep_page import write_sweep_page
from secateur.report.sweep_reading import SweepResults, means_by, read_results, scales

CONTENT = synthetic_sweep.results()


@pytest.fixture(scope="module")
def results() -> SweepResults:
    return SweepResults.model_validate(CONTENT)


def test_the_page_is_sound_and_needs_nothing_from_anywhere(sweep_page):
    page, text = Page(text_of(sweep_page)), text_of(sweep_page)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in text
    assert write_page(text, sweep_page) == sweep_page  # by `--resume`, a page is written anew


def test_the_opening_names_the_best_of_each_arm(sweep_page, results):
    words = re.search(r'<div class="opening">(.*?)</div>', text_of(sweep_page), re.DOTALL)[1]
    assert "4 settings varied jointly" in words
    assert "27 finished, 2 failed" in words
    assert "digital was best at 92.0\u202f%" in words
    assert "pruned was best at 90.0\u202f%" in words
    assert "search.keep_fraction = 0.6" in words or "search.keep_fraction = 0.4" in words
    assert "the test set is unread" in words


def test_every_row_of_the_ranking_is_a_configuration_with_its_figure(sweep_page, results):
    rows = [row for row in Page(text_of(sweep_page)).rows if len(row) == 9 and row[0] != "arm"]
    shown = {row[-1]: row for row in rows if row[-1]} or {row[0]: row for row in rows}
    assert len(rows) >= 2 + 3 + 12
    assert any(row[5] == "92.00" for row in rows)
    assert any(row[1:4] == ["–"] * 3 for row in rows), "what an arm does not heed is a dash"
    assert shown


def test_failures_are_told_once_with_their_number_and_as_text(sweep_page):
    assert "2 trials: The loss became &lt;nan&gt; in epoch 1." in text_of(sweep_page)


def test_means_along_a_setting_are_those_of_its_configurations(results):
    own = [one for one in results.ranking if one.arm == "pruned"]
    means = means_by(own, "search.keep_fraction")
    expected = np.mean([
        synthetic_sweep.accuracy(0.4, band, forming)
        for band in synthetic_sweep.BANDS for forming in synthetic_sweep.FORMING
    ])  # fmt: skip
    assert means[0.4,] == pytest.approx(expected)


def test_an_interaction_is_found_and_an_additive_pair_has_none(results):
    strength = {(p.rows[0], p.columns[0]): p.strength for p in pairs_of(results, "pruned")}
    together = strength["search.keep_fraction", "chip.forming"]
    apart = strength["search.keep_fraction", "search.dead_band"]
    assert apart == pytest.approx(0.0, abs=1e-9)
    assert together > 0.01


def test_settings_lie_on_fitting_axes(results):
    found = {scale.setting: scale for scale in scales(results)}
    assert found["chip.forming"].values == ("half", "full")
    assert [found["chip.forming"].place(word) for word in ("half", "full")] == [0, 1]
    assert found["training.learning_rate"].logarithmic
    assert not found["search.dead_band"].logarithmic
    assert [scale.setting for scale in scales(results, "digital")] == ["training.learning_rate"]


def test_the_best_tenth_of_each_arm_is_drawn_strongly(results):
    assert strong(results) == {
        one.run
        for arm, number in (("digital", 1), ("pruned", 2))
        for one in [o for o in results.ranking if o.arm == arm][:number]
    }


def test_a_sweep_with_nothing_to_compare_has_a_page_all_the_same(tmp_path):
    one = CONTENT["best"]["digital"]
    few = synthetic_sweep.results(ranking=[one], best={"digital": one})
    page = write_sweep_page(synthetic_sweep.write(tmp_path / "a", few), tmp_path / "a.html")
    assert "What it depends on" not in text_of(page)
    none = synthetic_sweep.results(ranking=[], best={})
    page = write_sweep_page(synthetic_sweep.write(tmp_path / "b", none), tmp_path / "b.html")
    assert "No configuration has finished on all its chips." in text_of(page)
    assert parallel_plate("key", SweepResults.model_validate(few)) is None


def test_a_loss_is_shown_as_it_is_and_not_in_percent(tmp_path):
    content = synthetic_sweep.results(metric="loss", metric_title="loss", maximise=False)
    page = write_sweep_page(synthetic_sweep.write(tmp_path, content), tmp_path / "page.html")
    assert "validation loss</th>" in text_of(page)
    assert "was best at 0.92 with" in text_of(page)


def test_what_are_no_results_is_refused(tmp_path):
    with pytest.raises(FileError, match="no results of a sweep"):
        read_results(tmp_path)
    synthetic_sweep.write(tmp_path, {**CONTENT, "schema": "secateur.record"})
    with pytest.raises(FileError, match="schema"):
        read_results(tmp_path)


def test_draws_are_told_with_their_yield_and_kept_as_a_table(tmp_path):
    draws = [
        {"arm": "programmed", "chip": 0, "draw": n, "figures": {"accuracy": 0.8 + 0.002 * n}}
        for n in range(50)
    ]
    one = {"mean": 0.849, "std": 0.03, "min": 0.8, "max": 0.898, "q05": 0.8049, "q95": 0.8931}
    found = {
        "task": "digits", "part": "test", "draws": draws, "at_least": 0.85,
        "hardship": {"age": 3600.0, "failed": 0.01, "renew": True},
        "summary": {"programmed": {"accuracy": one}}, "yield": {"programmed": (0.5, 0.355, 0.645)},
    }  # fmt: skip
    written = write_monte_carlo(found, "accuracy", tmp_path / "draws")
    text = text_of(written)
    assert "1 h 0 min old and with 1.0\u202f% of the cells failed" in text
    assert "50.0\u202f% of the draws of programmed reach 85.0\u202f%" in text
    assert 'aria-label="Histograms of the test accuracy' in text
    lines = (tmp_path / "draws/draws.csv").read_text().splitlines()
    assert lines[0] == "arm,chip,draw,accuracy"
    assert len(lines) == 51
    assert write_page(text, written) == written  # a page of ours: the next one takes its place
