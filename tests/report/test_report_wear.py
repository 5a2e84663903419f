"""Wear on the page: of the chip that is worn most, with its place, and the runs that are left."""

import synthetic

from secateur.report import read_run
from secateur.report.wear import rows, words


def test_there_is_a_row_for_each_arm_on_a_chip(full_run):
    run = read_run(full_run)
    found = {row["arm"]: row for row in rows(run)}
    assert set(found) == {arm for arm in synthetic.ACCURACY if synthetic.has_chip(arm)}
    pruned = [t for r in run.record.results if r.arm == "pruned" for t in r.trials]
    # What varied settings did is in their own tables.
    assert int(found["pruned"]["worst"]) in {t.wear["worst"]["pulses"] for t in pruned}
    assert found["pruned"]["place"] == "fc1: macro 0, row 12, column 34"
    assert found["pruned"]["runs"] == "8\u202f000"
    assert found["random"]["runs"] == "no end"


def test_of_several_chips_the_one_that_is_worn_most_is_shown(full_run):
    run = read_run(full_run)
    (result,) = [r for r in run.record.results if r.arm == "programmed" and not r.overrides]
    most = max(trial.wear["worst"]["pulses"] for trial in result.trials)
    shown = [row["worst"] for row in rows(run) if row["arm"] == "programmed"]
    assert str(most) in shown


def test_the_page_says_what_the_projection_rests_on(full_run, full_page):
    page = full_page.read_text(encoding="utf-8")
    assert "runs left" in page
    assert "0.1\u202f% of the cells are worn out" in words(read_run(full_run))
    assert "median endurance 1\u202f000\u202f000 pulses" in page


def test_a_record_without_wear_has_no_table(digital_run, digital_page):
    assert rows(read_run(digital_run)) == []
    assert words(read_run(digital_run)) == ""
    assert "runs left" not in digital_page.read_text(encoding="utf-8")
