"""The maps of a chip: what can be shown is shown, what is corrupt is refused."""

from pathlib import Path

import numpy as np
import pytest
import synthetic

from secateur.errors import FileError
from secateur.report import read_run
from secateur.report.macro_figures import in_use, macro_maps
from secateur.report.maps import MacroMaps, chip_maps, read_maps
from secateur.report.wear import rows


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **{name.replace("__", "/"): a for name, a in arrays.items()})
    return path


def test_arrays_find_their_rooms(tmp_path: Path) -> None:
    ones = np.ones((2, 3), np.float32)
    path = write(
        tmp_path / "maps.npz",
        macro__10__final=ones,
        macro__2__final=2 * ones,
        macro__2__pulses=ones.astype(np.int32),
        **{"weight__block.0.conv__mask": ones > 0, "cells__after_set": ones[0], "what__else": ones},
    )
    maps = read_maps(path, chip=4)
    assert maps.chip == 4
    assert list(maps.macros) == ["2", "10"]
    assert maps.macros["2"].as_formed is None
    assert maps.macros["2"].final[0, 0] == 2
    assert maps.layers["block.0.conv"].mask.all()
    assert maps.cells["after_set"].shape == (3,)


def test_of_cells_worn_alike_the_map_names_the_one_of_the_table(tmp_path: Path) -> None:
    pulses = np.zeros((8, 8), np.int32)
    pulses[4, 7] = pulses[5, 2] = 6
    result = synthetic.result(np.random.default_rng(0), "pruned", chips=1, epochs=1)
    worst = {"cell": 7, "weight": "fc1", "macro": 1, "row": 5, "column": 2, "pulses": 6}
    result["trials"][0]["wear"]["worst"] = worst | {"of_endurance": 6e-6}
    result["trials"][0]["maps"] = "maps.npz"
    run = read_run(synthetic.write_run(tmp_path, synthetic.record([result], chips=1)))
    write(tmp_path / "maps.npz", macro__0__pulses=pulses, macro__1__pulses=pulses)
    first, second = macro_maps(chip_maps(run, run.record.results[0]))
    assert rows(run)[0]["place"] == "fc1: macro 1, row 5, column 2"
    assert "row 5 and column 2, saw 6" in second.caption
    assert "row 4 and column 7, saw 6" in first.caption  # the table tells nothing of this macro


def test_a_macro_in_little_use_is_shown_where_cells_were_formed() -> None:
    formed = np.full((64, 64), 1e-7, np.float32)
    formed[8:20, 4:30] = np.random.default_rng(0).uniform(8e-6, 2e-5, (12, 26))
    pulses = (formed > 1e-5).astype(np.int32)
    part, words = in_use(MacroMaps(as_formed=formed, pulses=pulses))
    assert np.array_equal(part.as_formed, formed[8:20, 4:30])
    assert part.pulses.sum() == pulses.sum()
    assert part.final is None
    assert "rows 8–19 and columns 4–29 of 64 × 64" in words


def test_a_macro_in_full_use_is_shown_whole() -> None:
    formed = np.random.default_rng(0).uniform(1e-6, 2e-5, (64, 64))
    macro = MacroMaps(as_formed=formed)
    assert in_use(macro) == (macro, "")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "maps.npz", macro__0__final=np.random.default_rng(0).random((64, 64)))
    path.write_bytes(path.read_bytes()[:-90])
    with pytest.raises(FileError, match="truncated"):
        read_maps(path)


def test_a_pickled_array_is_never_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "maps.npz", cells__after_set=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FileError, match="cannot be read"):
        read_maps(path)


def test_an_array_of_the_wrong_shape_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "maps.npz", macro__0__final=np.zeros(5))
    with pytest.raises(FileError, match="macro/0/final"):
        read_maps(path)


def run_with_maps(directory: Path, maps: str) -> Path:
    result = synthetic.result(np.random.default_rng(0), "pruned", chips=1, epochs=2)
    result["trials"][0]["maps"] = maps
    return synthetic.write_run(directory, synthetic.record([result], chips=1))


def test_maps_outside_of_the_run_directory_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "secret.npz", cells__after_set=np.zeros(3))
    run = read_run(run_with_maps(tmp_path / "run", "../secret.npz"))
    with pytest.raises(FileError, match="outside"):
        chip_maps(run, run.record.results[0])


def test_maps_that_are_gone_are_simply_absent(tmp_path: Path) -> None:
    run = read_run(run_with_maps(tmp_path / "run", "trials/pruned-chip0/maps.npz"))
    assert chip_maps(run, run.record.results[0]) is None
