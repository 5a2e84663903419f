"""Files of measurements: the same table in every format, and bad ones refused in plain words."""

import csv
from pathlib import Path

import numpy as np
import pytest
from bench import measured

from secateur.device.measurement import load_reads, reads_from
from secateur.errors import FileError, SettingError

SMALL = {
    "cell": [1, 1, 2, 2], "state": ["high", "low", "high", "low"],
    "conductance [uS]": [12.0, 1.0, 13.0, 0.9], "cycle": [0, 0, 0, 0],
    "time [ms]": [5, 5, 5, 5], "forming_voltage [mV]": [3400, 3400, 3500, 3500],
}  # fmt: skip


def save_csv(path: Path, columns) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def save_npz(path: Path, columns) -> Path:
    np.savez(path, **{name: np.array(values) for name, values in columns.items()})
    return path


def save_npy(path: Path, columns) -> Path:
    arrays = {name: np.array(values) for name, values in columns.items()}
    kinds = [(name, array.dtype) for name, array in arrays.items()]
    table = np.empty(len(columns["cell"]), dtype=kinds)
    for name, array in arrays.items():
        table[name] = array
    np.save(path, table)
    return path


def save_h5(path: Path, columns) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for heading, values in columns.items():
            name, _, unit = heading.partition(" ")
            words = isinstance(values[0], str)
            file[name] = np.array(values, dtype=h5py.string_dtype()) if words else values
            if unit:
                file[name].attrs["unit"] = unit.strip("[]")
    return path


SAVERS = {".csv": save_csv, ".npz": save_npz, ".npy": save_npy, ".h5": save_h5}


@pytest.mark.parametrize("suffix", SAVERS)
def test_every_format_gives_the_same_reads_in_si_units(tmp_path: Path, suffix: str) -> None:
    reads = load_reads(SAVERS[suffix](tmp_path / f"reads{suffix}", SMALL))
    np.testing.assert_allclose(reads.conductance, [12e-6, 1e-6, 13e-6, 0.9e-6])
    np.testing.assert_allclose(reads.time, 5e-3)
    np.testing.assert_allclose(reads.forming_voltage, [3.4, 3.4, 3.5, 3.5])
    assert reads.high.tolist() == [True, False, True, False]
    assert reads.cell.tolist() == [1, 1, 2, 2]


def test_what_may_be_absent_is_absent() -> None:
    reads = reads_from({n: SMALL[n] for n in ("cell", "state", "conductance [uS]")}, source="x")
    assert reads.time is None
    assert reads.forming_voltage is None
    assert reads.cycle.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conductance [uS]": None}, "conductance is missing"),
        ({"conductance [uS]": None, "conductance": [1, 1, 1, 1]}, "conductance has no unit"),
        ({"conductance [uS]": None, "conductance [ohm]": [1] * 4}, "unit 'ohm'.*uS"),
        ({"conductance [S]": [1e-5] * 4}, "conductance is there twice"),
        ({"conductance [uS]": [1.0, float("nan"), 1.0, 1.0]}, "read 2 is not a finite number"),
        ({"conductance [uS]": [1.0, -1.0, 0.0, 1.0]}, "read 2 is not above zero; so in 2 of 4"),
        ({"conductance [uS]": ["1.0", "12 uS", "1", "1"]}, "read 2 is '12 uS', no number"),
        ({"state": ["high", "on", "high", "low"]}, "state of read 2 is 'on'"),
        ({"cell": [1.5, 1, 2, 2]}, "cell of read 1 is not a whole number"),
        ({"time [ms]": [0, 1, 1, 1]}, "time of read 1 is not above zero"),
        ({"colour": [1, 2, 3, 4]}, "'colour' is no column"),
        ({"cycle": [0, 0]}, "different length"),
    ],
)
def test_bad_tables_are_refused_by_name(change: dict, words: str) -> None:
    columns = {n: v for n, v in {**SMALL, **change}.items() if v is not None}
    with pytest.raises(SettingError, match=words) as caught:
        reads_from(columns, source="bench.csv")
    assert "bench.csv" in str(caught.value)


def test_mixed_units_are_noticed() -> None:
    columns = measured(cells=40, cycles=1, reads=1)
    third = columns["cell"] % 3 == 0
    columns["conductance [uS]"] = np.where(third, 1e3, 1.0) * columns["conductance [uS]"]
    with pytest.raises(SettingError, match=r"two groups a factor of 1.*mixed units"):
        reads_from(columns, source="bench.csv")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no format"):
        load_reads(tmp_path / "reads.xlsx")
    with pytest.raises(FileError, match="cannot be read"):
        load_reads(tmp_path / "absent.csv")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK nothing")
    with pytest.raises(FileError, match="cannot be read"):
        load_reads(broken)
    np.save(tmp_path / "plain.npy", np.ones(4))
    with pytest.raises(SettingError, match="no named fields"):
        load_reads(tmp_path / "plain.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="cannot be read"):
        load_reads(tmp_path / "objects.npy")
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("cell,state,conductance [uS]\n1,high\n", encoding="utf-8")
    with pytest.raises(SettingError, match="Row 2 has 2 entries"):
        load_reads(ragged)
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(SettingError, match="empty"):
        load_reads(tmp_path / "empty.csv")
