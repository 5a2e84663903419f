"""A record is read as its schema says, or refused in words that teach."""

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic

from secateur.errors import FileError
from secateur.report import read_run


def small_record(**changes: object) -> synthetic.JsonDict:
    results = [synthetic.result(np.random.default_rng(0), "pruned", chips=2, epochs=2)]
    return synthetic.record(results, chips=2) | changes


def refusal(directory: Path) -> str:
    with pytest.raises(FileError) as caught:
        read_run(directory)
    assert str(directory / "record.json") in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


def test_a_run_is_read_with_its_figures(tmp_path: Path) -> None:
    run = read_run(synthetic.write_run(tmp_path / "run-7", small_record()))
    (result,) = run.record.results
    trials = result.trials
    assert (run.name, run.split) == ("run-7", "test")
    assert run.score(result).mean == pytest.approx(np.mean([t.test["accuracy"] for t in trials]))
    assert run.chip_scores(result) == [t.test["accuracy"] for t in trials]
    assert result.pulses("set") == np.mean([t.pulses["set"] for t in trials])
    assert result.pulses("unheard of") is None


def test_a_selection_run_is_read_on_its_validation_split(tmp_path: Path) -> None:
    content = small_record()
    result = content["results"][0]
    for trial in result["trials"]:
        trial["test"] = None
    # As the experiment writes it: where no test figure was read, the plain figure is the other.
    result["summary"]["accuracy"] = result["summary"]["validation_accuracy"]
    run = read_run(synthetic.write_run(tmp_path, content))
    assert run.split == "validation"
    assert run.score(run.record.results[0]).mean == result["summary"]["accuracy"]["mean"]


def test_fields_of_a_later_secateur_are_let_be(tmp_path: Path) -> None:
    content = small_record(colour_of_the_sky="blue")
    content["results"][0]["trials"][0]["seconds_asleep"] = 3
    assert read_run(synthetic.write_run(tmp_path, content)).record.task == "fashion-mnist"


def test_what_is_null_is_read_as_absent(tmp_path: Path) -> None:
    content = small_record()
    nulls = ("test", "validation", "confusion", "placement", "flips_per_edge", "maps")
    content["results"][0]["trials"][0] |= dict.fromkeys(nulls)
    run = read_run(synthetic.write_run(tmp_path, content))
    assert len(run.chip_scores(run.record.results[0])) == 1


def test_a_directory_without_a_record_is_refused(tmp_path: Path) -> None:
    assert "no record" in refusal(tmp_path)


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, small_record())
    path = tmp_path / "record.json"
    path.write_bytes(path.read_bytes()[:-200])
    assert "truncated" in refusal(tmp_path)


def test_a_record_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b"\xff\xfe\x00{")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("content", [[], {"schema": "aihwkit.results"}, {}, "text"])
def test_a_foreign_record_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / "record.json").write_text(json.dumps(content))
    assert "secateur.record" in refusal(tmp_path)


def test_a_newer_record_is_refused_with_the_way_to_update(tmp_path: Path) -> None:
    synthetic.write_run(tmp_path, small_record(version=2))
    assert "pip install --upgrade secateur" in refusal(tmp_path)


@pytest.mark.parametrize("version", [None, "1", True, 0, 1.5])
def test_a_version_that_is_no_number_is_refused(tmp_path: Path, version: object) -> None:
    synthetic.write_run(tmp_path, small_record(version=version))
    assert "version" in refusal(tmp_path)


def test_a_wrong_type_is_refused_with_its_place(tmp_path: Path) -> None:
    content = small_record()
    content["results"][0]["trials"][1]["chip"] = "second"
    synthetic.write_run(tmp_path, content)
    assert "results.0.trials.1.chip" in refusal(tmp_path)
