"""What the searches have learnt, on the page: means over chips, agreement by arm and layer."""

from pathlib import Path

import numpy as np
import synthetic

from secateur.report import anatomy, read_run
from secateur.report.reading import Run


def run_of(folder: Path) -> Run:
    rng = np.random.default_rng(0)
    results = [synthetic.result(rng, arm, chips=2) for arm in ("digital", "pruned")]
    for place, trial in enumerate(results[1]["trials"]):
        found = {"output_dispersion": 2.0 + place, "input_dispersion": None, "idle_outputs": 0,
                 "idle_inputs": 3, "flipped": 0.25}  # fmt: skip
        field = [[0.5, 0.4], [0.6, 0.5 + 0.2 * place]]
        trial["anatomy"] = {"conv1": found | {"kept_by_position": field}, "fc1": found}
    content = synthetic.record(results, chips=2)
    content["agreements"] = [
        {"arm": "pruned", "overrides": settings, "part": part, "between": "starts",
         "layer": "fc1", "mean": mean, "n": 2}
        for settings, part, mean in (
            ({"search.interval": 2}, "test", 0.9), ({}, "validation", 0.8), ({}, "test", 0.31)
        )
    ]  # fmt: skip
    return read_run(synthetic.write_run(folder, content))


def test_a_row_is_a_layer_with_means_over_the_chips(tmp_path: Path) -> None:
    first, second = anatomy.table(run_of(tmp_path))
    assert (first["layer"], second["layer"]) == ("conv1", "fc1")
    assert (first["outputs"], first["inputs"], first["idle"]) == ("2.5", "–", "0 / 3")
    assert (first["flipped"], first["starts"]) == ("25", "–")
    assert (second["chips"], second["starts"]) == ("–", "0.31")


def test_a_receptive_field_is_the_mean_of_the_chips(tmp_path: Path) -> None:
    (plate,) = anatomy.fields(run_of(tmp_path))
    assert (plate.title, plate.rows, plate.columns) == ("conv1, pruned", 2, 2)
    assert "40.0\u202f% to 60.0\u202f%" in plate.alt
