"""Gains are paired by chip; every measure is shown; curves and pictures stand side by side."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from scipy.stats import ttest_rel
from test_report_page import Page

from secateur.errors import FileError
from secateur.report import gains, read_run
from secateur.report.exhibits import curve_plates, examples, galleries
from secateur.report.page import render
from secateur.report.reading import Run

METRICS = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "dice": "Dice"}


def run_of(folder: Path, figures: dict[str, list[dict[str, float]]], **about: Any) -> Run:
    """A run with these test figures, one dictionary a chip, by arm."""
    rng, results = np.random.default_rng(0), []
    for arm, chips in figures.items():
        made = synthetic.result(rng, arm, chips=len(chips))
        for trial, values in zip(made["trials"], chips, strict=True):
            trial["test"] = {**values, "loss": 0.1}
        results.append(made)
    content = synthetic.record(results, chips=2) | about
    return read_run(synthetic.write_run(folder, content))


def accuracies(*values: float) -> list[dict[str, float]]:
    return [{"accuracy": value} for value in values]


def test_a_gain_is_that_of_a_paired_t_test(tmp_path: Path) -> None:
    ours, theirs = (0.90, 0.86, 0.89, 0.93), (0.88, 0.85, 0.85, 0.92)
    run = run_of(tmp_path, {"pruned": accuracies(*ours), "digital": accuracies(*theirs)})
    pruned, digital = run.record.results
    found = gains.gain(run, pruned, digital, "accuracy")
    reference = ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found is not None
    assert found["interval95"] == pytest.approx([reference.low, reference.high])
    assert found["mean"] == pytest.approx(0.02)


def test_only_chips_that_both_ran_on_are_compared(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"pruned": accuracies(0.9, 0.8), "digital": accuracies(0.7)})
    pruned, digital = run.record.results
    found = gains.gain(run, pruned, digital, "accuracy")
    assert found is not None
    assert (found["n"], found["mean"], found["interval95"]) == (1, pytest.approx(0.2), None)
    assert gains.gain(run, pruned, digital, "dice") is None


def test_the_table_sets_each_grain_against_each_baseline(tmp_path: Path) -> None:
    figures = {
        "digital-quantised": accuracies(0.90, 0.90),
        "random": accuracies(0.10, 0.10),
        "pruned": accuracies(0.89, 0.89),
        "pruned-cells": accuracies(0.91, 0.91),
    }
    found = gains.table(run_of(tmp_path, figures))
    assert found is not None
    assert [column["arm"] for column in found["columns"]] == ["pruned", "pruned-cells"]
    rows = {row["arm"]: row["cells"] for row in found["rows"]}
    assert rows["digital-quantised"] == ["−1.0 ± 0.0", "+1.0 ± 0.0"]
    assert rows["random"] == ["+79.0 ± 0.0", "+81.0 ± 0.0"]


def test_without_both_sides_there_is_no_table(tmp_path: Path) -> None:
    for arm in ("pruned", "digital"):
        assert gains.table(run_of(tmp_path / arm, {arm: accuracies(0.9)})) is None


def test_gains_are_in_the_first_two_metrics_and_figures_in_all(tmp_path: Path) -> None:
    ours = [{"roc_auc": 0.97, "pr_auc": 0.90, "dice": 0.80}]
    theirs = [{"roc_auc": 0.98, "pr_auc": 0.88, "dice": 0.70}]
    run = run_of(tmp_path, {"digital": theirs, "pruned": ours}, metric="roc_auc", metrics=METRICS)
    table, figures = gains.table(run), gains.figures(run)
    assert table is not None
    assert figures is not None
    assert [column["metric"] for column in table["columns"]] == ["ROC-AUC", "PR-AUC"]
    assert table["rows"][0]["cells"] == ["−1.0", "+2.0"]
    assert figures["metrics"] == list(METRICS.values())
    assert figures["rows"][1]["cells"] == ["97.0", "90.0", "80.0"]


def with_arrays(folder: Path, arrays: dict[str, Any]) -> Run:
    rng = np.random.default_rng(0)
    results = [synthetic.result(rng, arm, chips=1) for arm in ("digital", "pruned")]
    for made in results:
        name = f"{made['arm']}.npz"
        folder.mkdir(exist_ok=True)
        np.savez(folder / name, **arrays)
        made["trials"][0]["arrays"] = name
    return read_run(synthetic.write_run(folder, synthetic.record(results, chips=1)))


def test_curves_have_a_line_an_arm(tmp_path: Path) -> None:
    run = with_arrays(tmp_path, {"curve/roc": np.array([[0.0, 0.1, 1.0], [0.0, 0.8, 1.0]])})
    (plate,) = curve_plates("k", run)
    assert plate.legend == ("digital", "pruned")
    assert "true positive rate against false positive rate" in plate.wide


def test_a_gallery_shows_the_original_once_and_the_arms_of_interest(tmp_path: Path) -> None:
    picture = np.zeros((4, 6), np.uint8)
    names = ("original", "reference", "predicted")
    run = with_arrays(tmp_path, {f"picture/01_test/{name}": picture for name in names})
    (gallery,) = galleries(run)
    assert gallery.name == "01_test"
    assert [plate.title for plate in gallery.plates] == ["original", "reference", "by pruned"]


def test_examples_are_those_of_the_run_directory(tmp_path: Path) -> None:
    run = with_arrays(tmp_path, {})
    assert examples(run) == []
    np.savez(tmp_path / "examples.npz", shirt=np.eye(5, dtype=np.float32))
    (plate,) = examples(run)
    assert (plate.title, plate.rows, plate.columns) == ("shirt", 5, 5)


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    run = with_arrays(tmp_path, {"curve/roc": np.zeros(3)})
    with pytest.raises(FileError, match="curve/roc"):
        curve_plates("k", run)
    (tmp_path / "examples.npz").write_bytes(b"no zip file")
    with pytest.raises(FileError, match="cannot be read"):
        examples(run)


def test_a_run_with_nothing_to_compare_shows_what_it_sees_under_its_own_heading(
    tmp_path: Path,
) -> None:
    run = run_of(tmp_path, {"pruned": accuracies(0.9)})
    assert headings_of(run, below=2) == ["Result"]
    np.savez(tmp_path / "examples.npz", shirt=np.eye(5, dtype=np.float32))
    assert headings_of(run, below=2) == ["Result", "What the networks see"]


def test_measures_and_pictures_are_no_comparison_with_baselines(tmp_path: Path) -> None:
    picture, curve = np.zeros((4, 6), np.uint8), np.array([[0.0, 1.0], [0.0, 1.0]])
    arrays = {f"picture/01/{name}": picture for name in ("original", "predicted")}
    run = with_arrays(tmp_path, arrays | {"curve/roc": curve})
    assert headings_of(run, below=3) == [
        "Result", "Against every baseline", "Every measure",
        "What the networks see, and what they make of it", "Picture 01",
    ]  # fmt: skip


def headings_of(run: Run, *, below: int) -> list[str]:
    """Those before the training, down to a level."""
    words = [words for level, words in Page(render([run])).headings if 2 <= level <= below]
    return words[: words.index("Training")]
