"""`secateur chip`: the model's report, its picture, and the technology it writes."""

import json

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
