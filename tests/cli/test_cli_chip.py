"""`secateur chip`: the model's report, its picture, and the technology it writes."""

import csv
import json

import numpy as np
import pytest

from secateur.device import Technology


def test_forming_is_explained_and_written(secateur, tmp_path):
    picture, path = tmp_path / "filaments.png", tmp_path / "percolation.toml"
    shown = secateur("chip", "form", "--cells", 40, "--explain", picture, "--out", path)
    assert shown.exit_code == 0
    assert "breakdown voltage" in shown.stdout
    assert "cannot be that of percolation alone" in shown.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    made = Technology.load(path)
    assert "percolation model" in made.provenance["high_device_spread"]


def test_forming_as_json_says_whether_the_slope_law_survives(secateur):
    told = json.loads(secateur("chip", "form", "--cells", 40, "--json").stdout)
    assert told["slope_law_survives"] is False
    assert {row["name"] for row in told["quantities"]} >= {"mean breakdown voltage", "its skewness"}


def test_too_few_cells_are_refused_without_a_traceback(secateur):
    refused = secateur("chip", "form", "--cells", 3)
    assert refused.exit_code != 0
    assert "say nothing about a distribution" in refused.stderr


def _reads(path):
    draws = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", "cycle", "state", "conductance [uS]"])
        for cell in range(40):
            own = 20.0 * np.exp(0.2 * draws.standard_normal())
            for cycle in range(4):
                now = own * np.exp(0.05 * draws.standard_normal())
                for _ in range(3):
                    writer.writerow(
                        [cell, cycle, "high", now * (1 + 0.01 * draws.standard_normal())]
                    )
    return path


def test_measurements_become_a_technology(secateur, tmp_path):
    path, plots = tmp_path / "mine.toml", tmp_path / "fit.svg"
    measured = _reads(tmp_path / "reads.csv")
    shown = secateur("chip", "fit", measured, "--out", path, "--plots", plots)
    assert shown.exit_code == 0
    assert "Warning: the low state was not measured" in shown.stdout
    assert "<svg" in plots.read_text(encoding="utf-8")
    made = Technology.load(path)
    assert made.name == "mine"
    assert abs(made.high_conductance - 20e-6) < 2.5e-6
    told = json.loads(secateur("chip", "fit", measured, "--out", path, "--json").stdout)
    noise = told["estimates"]["read_noise"]
    assert noise["low"] < 0.01 < noise["high"]
    assert set(told["tests"]) == {"high state", "high state, cycles"}


def test_what_is_formed_is_what_is_written(secateur, tmp_path):
    path = tmp_path / "formed.toml"
    said = secateur("chip", "form", "--cells", 60, "--seed", 5, "--out", path, "--json")
    rows = {row["name"]: row["model"] for row in json.loads(said.stdout)["quantities"]}
    written = Technology.load(path)
    assert written.high_conductance == pytest.approx(rows["median conductance"])
    assert written.breakdown_voltage == pytest.approx(rows["mean breakdown voltage"])


@pytest.mark.parametrize("name", ["cut.npz", "cut.npy"])
def test_a_file_that_was_cut_off_is_refused_without_a_traceback(secateur, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 no more" if name.endswith("npz") else b"")
    refused = secateur("chip", "fit", path, "--out", tmp_path / "mine.toml")
    assert refused.exit_code != 0
    assert "cannot be read" in refused.stderr
    assert not (tmp_path / "mine.toml").exists()


def test_measurements_with_a_gap_are_refused_without_a_traceback(secateur, tmp_path):
    path = tmp_path / "reads.csv"
    path.write_text("cell,state,conductance [uS]\n1,high,nan\n", encoding="utf-8")
    refused = secateur("chip", "fit", path, "--out", tmp_path / "mine.toml")
    assert refused.exit_code != 0
    assert "not a finite number" in refused.stderr
    assert not (tmp_path / "mine.toml").exists()
