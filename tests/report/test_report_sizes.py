"""Sub-networks by size: lines of one width, trained networks of several."""

from pathlib import Path

import numpy as np
import synthetic

from secateur.report import read_run, sizes
from secateur.report.reading import Run


def run_of(folder: Path, widths: tuple[float, ...], setting: str = "network.width") -> Run:
    rng, results = np.random.default_rng(0), []
    for arm, size in (("digital-quantised", 4000), ("pruned", 2000)):
        for width in widths:
            made = synthetic.result(
                rng, arm, chips=2, accuracy=0.8 + 0.02 * width, overrides={setting: width}
            )
            for trial in made["trials"]:
                trial["kept"] = round(size * width)
            results.append(made)
    return read_run(synthetic.write_run(folder, synthetic.record(results, chips=2)))


def test_sizes_are_those_of_the_trials_smallest_first(tmp_path: Path) -> None:
    found = sizes.sizes(run_of(tmp_path, (0.5, 1.0, 2.0)))
    assert [size.kept for size in found] == [1000, 2000, 2000, 4000, 4000, 8000]
    assert found[0].arm == "pruned"


def test_sizes_that_another_setting_made_are_not_joined(tmp_path: Path) -> None:
    assert sizes.sizes(run_of(tmp_path, (3.2, 3.5, 3.8), "chip.forming_voltage")) == []


def test_three_sizes_make_a_figure_and_two_do_not(tmp_path: Path) -> None:
    assert sizes.sizes_plate("k", run_of(tmp_path / "two", (0.5, 1.0))) is None
    plate = sizes.sizes_plate("k", run_of(tmp_path / "three", (0.5, 1.0, 2.0)))
    assert plate is not None
    assert plate.legend == ("digital-quantised", "pruned")
    assert "× 0.5" in plate.wide
