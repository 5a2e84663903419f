"""The record's statistics are Student's, and selection and report never mix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.experiment.record import combine, summarise


@given(st.lists(st.floats(0, 1), min_size=2, max_size=35))
def test_the_interval_is_students(values):
    summary = summarise(values)
    assert summary["mean"] == pytest.approx(np.mean(values), abs=1e-12)
    assert summary["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    low, high = summary["interval95"]
    assert (high - low) / 2 == pytest.approx(half, rel=1e-9, abs=1e-9)


def test_one_chip_has_no_interval():
    assert summarise([0.5]) == {"mean": 0.5, "std": None, "interval95": None, "n": 1}


def result(chip: int, part: str, accuracy: float, *, arm: str = "pruned", variant: str = ""):
    return {
        "arm": arm, "variant": variant, "overrides": {}, "chip": chip, "part": part, "seed": chip,
        "figures": {"accuracy": accuracy, "loss": 1.0}, "flips_per_edge": 2.0,
        "most_worn_cell": 5, "programming_energy_J": None, "history": [part],
    }  # fmt: skip


def test_the_reported_figure_is_the_test_sets_and_validation_stands_beside_it():
    results = [
        result(0, "validation", 0.7), result(0, "test", 0.8),
        result(1, "validation", 0.9), result(1, "test", 0.6),
    ]  # fmt: skip
    (group,) = combine(results)
    assert group["summary"]["accuracy"]["mean"] == pytest.approx(0.7)
    assert group["summary"]["validation_accuracy"]["mean"] == pytest.approx(0.8)
    assert [trial["history"] for trial in group["trials"]] == [["test"], ["test"]]
    assert "programming_energy_J" not in group["summary"]


def test_arms_and_variants_are_kept_apart():
    results = [
        result(0, "test", 0.8), result(0, "test", 0.5, variant="a=1"),
        result(0, "test", 0.4, arm="digital"),
    ]  # fmt: skip
    labels = [group["label"] for group in combine(results)]
    assert labels == ["pruned", "pruned, a=1", "digital"]
