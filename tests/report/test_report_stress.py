"""Hardships on the page: means over chips, in words a person says."""

from pathlib import Path

import numpy as np
import pytest
import synthetic

from secateur.report import read_run, stress
from secateur.report.reading import Run


def run_of(folder: Path) -> Run:
    rng = np.random.default_rng(0)
    results = [synthetic.result(rng, arm, chips=2) for arm in ("digital", "pruned")]
    for chip, trial in enumerate(results[1]["trials"]):
        trial["stress"] = [
            {"kind": kind, "value": value, "figures": {"accuracy": 0.5 + 0.1 * chip},
             "remedied": {"norms": {"accuracy": 0.7 + 0.1 * chip},
                          "column+norms": {"accuracy": 0.8}}}
            for kind, value in (("age", 86400.0), ("age", 3.16e7), ("failed", 0.05))
        ]  # fmt: skip
    return read_run(synthetic.write_run(folder, synthetic.record(results, chips=2)))


def test_a_row_is_a_hardship_with_means_over_the_chips(tmp_path: Path) -> None:
    found = stress.table(run_of(tmp_path))
    rows = found["rows"]
    assert found["remedies"] == [
        "as it is", "norms renewed", "compensated by column, norms renewed"
    ]  # fmt: skip
    assert [row["what"] for row in rows] == ["1 day", "1 year", "5.0\u202f% failed"]
    assert {(row["arm"], *row["figures"]) for row in rows} == {("pruned", "55.0", "75.0", "80.0")}


def test_records_of_earlier_runs_knew_renewed_norms_only() -> None:
    row = {"kind": "age", "value": 1.0, "figures": {"accuracy": 0.5}, "renewed": {"accuracy": 0.6}}
    assert stress.remedied(row) == {"as it is": {"accuracy": 0.5}, "norms": {"accuracy": 0.6}}


def test_a_plate_needs_two_points_to_draw_a_line(tmp_path: Path) -> None:
    plates = stress.plates("k", run_of(tmp_path))
    assert [plate.title for plate in plates] == [
        "After some time: norms renewed",
        "After some time: compensated by column, norms renewed",
    ]
    assert all(plate.legend == ("pruned",) for plate in plates)


@pytest.mark.parametrize(
    ("seconds", "words"), [(30.0, "30 s"), (7200.0, "2 hours"), (2.6e6, "1 month")]
)
def test_a_time_is_said_as_a_person_says_it(seconds: float, words: str) -> None:
    assert stress.in_words("age", seconds) == words
