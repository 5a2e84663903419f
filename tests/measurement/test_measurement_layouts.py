"""Foreign layouts become the recording they describe; what cannot be trusted is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_measurement_table import SAVERS, save_csv

from secateur.chip import RecordedChip, SimulatedChip, record_chip
from secateur.device import Technology
from secateur.device.measurement import fit_reads, import_paper, import_table, load_reads
from secateur.device.recording import Recording
from secateur.errors import FileError, SettingError

LAW = Technology.load("taox-40nm")


def arrays(pairs: int = 3, reads: int = 4) -> dict[str, np.ndarray]:
    """Microsiemens whose digits tell read, column and state."""
    grid = np.arange(reads)[:, None] / 10 + np.arange(2 * pairs)[None]
    return {"set": 100 + grid, "reset": 1 + grid}


def save(folder, kind: str, held: dict[str, np.ndarray]):
    """In one of the forms that arrays come in."""
    if kind in ("npz", "squeezed.npz"):
        path = folder / f"reads.{kind}"
        (np.savez if kind == "npz" else np.savez_compressed)(path, **held)
        return path
    if kind == "h5":
        h5py = pytest.importorskip("h5py")
        path = folder / "reads.h5"
        with h5py.File(path, "w") as file:
            for name, array in held.items():
                file.create_dataset(name, data=array, compression="gzip")
        return path
    for name, array in held.items():
        if kind == "npy":
            np.save(folder / f"{name}.npy", array)
        else:
            np.savetxt(folder / f"{name}.csv", array, delimiter=",")
    return folder


@pytest.mark.parametrize("kind", ["npz", "squeezed.npz", "h5", "npy", "csv"])
def test_halves_of_the_papers_arrays_become_pairs_side_by_side(tmp_path, kind):
    held = arrays()
    out = tmp_path / "out" / "chip.h5"
    import_paper(save(tmp_path, kind, held), out, unit="uS", technology=LAW)
    made = Recording.open(out)
    assert made.as_formed is None
    assert made.set.shape == made.reset.shape == (1, 4, 6)
    for name in ("set", "reset"):
        stored = getattr(made, name)[0]
        np.testing.assert_allclose(stored[:, ::2], 1e-6 * held[name][:, :3], rtol=1e-6)
        np.testing.assert_allclose(stored[:, 1::2], 1e-6 * held[name][:, 3:], rtol=1e-6)
    chip = RecordedChip(out)
    region = chip.place("weight", (3, 1))
    chip.reset(torch.arange(6))
    read = chip.read(region, key=0).view(-1) * 1e6
    assert np.allclose((read.numpy() - 1) // 1, [0, 3, 1, 4, 2, 5])


@pytest.mark.parametrize("suffix", ["pt", "pth", "pkl", "pickle"])
def test_a_pickle_is_refused_with_the_reason_and_never_opened(tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    for importer in (import_table, lambda *a, **k: import_paper(*a, unit="uS", **k)):
        with pytest.raises(SettingError, match=r"runs whatever code.*savez"):
            importer(path, tmp_path / "chip.h5", technology=LAW)


def test_objects_in_an_array_are_never_unpickled(tmp_path):
    held = {"set": np.array([[{"a": 1}, 2]], dtype=object), "reset": np.ones((1, 2))}
    with pytest.raises(SettingError, match="objects"):
        import_paper(save(tmp_path, "npz", held), tmp_path / "c.h5", unit="uS", technology=LAW)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"set": np.ones((2, 4)), "reset": np.ones((2, 6))}, "no reads of pairs"),
        ({"set": np.ones((2, 3)), "reset": np.ones((2, 3))}, "no reads of pairs"),
        ({"set": np.ones((2, 4))}, "No array 'reset'"),
        ({"set": np.ones((2, 4)), "reset": np.ones(4)}, "no table of reads"),
        ({"set": np.asfortranarray(np.ones((2, 4))), "reset": np.ones((2, 4))}, "by columns"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path, held, words):
    with pytest.raises(SettingError, match=words):
        import_paper(save(tmp_path, "npz", held), tmp_path / "c.h5", unit="uS", technology=LAW)
    assert not (tmp_path / "c.h5").exists()


def test_a_truncated_array_is_refused_and_nothing_is_left(tmp_path):
    folder = save(tmp_path, "npy", arrays())
    path = folder / "reset.npy"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileError, match="ends in row 4 of 4"):
        import_paper(folder, tmp_path / "c.h5", unit="uS", technology=LAW)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reset.npy", "set.npy"]


def test_an_unknown_unit_is_refused(tmp_path):
    with pytest.raises(SettingError, match="'us' is no unit"):
        import_paper(tmp_path, tmp_path / "c.h5", unit="us", technology=LAW)


def columns(*, cells=(7, 3, 12, 5), cycles=(0, 4), reads=3) -> dict[str, list]:
    """A table in an order of its own; nanosiemens tell cell, cycle and read."""
    rows = [
        (cell, cycle, state, 1000 * cell + 100 * cycle + 10 * (state == "high") + read)
        for read in range(1, reads + 1)
        for state in ("low", "high")
        for cell in cells
        for cycle in cycles
    ]
    names = ("cell", "cycle", "state", "conductance [nS]")
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


@pytest.mark.parametrize("suffix", SAVERS)
def test_a_table_becomes_a_recording(tmp_path, suffix):
    import_table(
        SAVERS[suffix](tmp_path / f"reads{suffix}", columns()), tmp_path / "out.h5", technology=LAW
    )
    made = Recording.open(tmp_path / "out.h5")
    # Cells by number; the reads of each in their order.
    expected = 1e-9 * (
        1000 * np.array([3, 5, 7, 12])[None, None] + 100 * np.array([0, 4])[:, None, None]
        + np.arange(1, 4)[None, :, None]
    )  # fmt: skip
    np.testing.assert_allclose(made.set, expected + 1e-8, rtol=1e-6)
    np.testing.assert_allclose(made.reset, expected, rtol=1e-6)


def test_a_cell_that_was_read_less_often_is_named(tmp_path):
    held = columns()
    gone = next(n for n, row in enumerate(zip(*held.values(), strict=True)) if row[0] == 12)
    short = {name: [v for n, v in enumerate(values) if n != gone] for name, values in held.items()}
    with pytest.raises(SettingError, match=r"Cell 12 was read 2 times .* others 3"):
        import_table(save_csv(tmp_path / "r.csv", short), tmp_path / "c.h5", technology=LAW)


def test_a_cell_that_lacks_a_state_is_kept_and_refused_when_it_is_used(tmp_path):
    held = columns()
    lacking = [
        n for n, row in enumerate(zip(*held.values(), strict=True)) if row[:3:2] == (7, "low")
    ]
    short = {k: [v for n, v in enumerate(vs) if n not in lacking] for k, vs in held.items()}
    import_table(save_csv(tmp_path / "r.csv", short), tmp_path / "c.h5", technology=LAW)
    made = Recording.open(tmp_path / "c.h5")
    assert np.isnan(made.reset).all(axis=(0, 1)).tolist() == [False, False, True, False]
    RecordedChip(made).place("fits", (1, 1))
    with pytest.raises(Exception, match="Cell 2 has no recorded reads after RESET"):
        RecordedChip(made).place("weight", (2, 1))


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99))
def test_any_even_table_survives_the_way_to_a_recording(
    tmp_path_factory, pairs, cycles, reads, seed
):
    folder = tmp_path_factory.mktemp("any")
    order = np.random.default_rng(seed).permutation(2 * pairs * cycles * reads * 2)
    held = columns(cells=range(1, 2 * pairs + 1), cycles=range(cycles), reads=reads)
    mixed = {name: [values[n] for n in order] for name, values in held.items()}
    import_table(save_csv(folder / "r.csv", mixed), folder / "c.h5", technology=LAW)
    made = Recording.open(folder / "c.h5")
    assert made.set.shape == made.reset.shape == (cycles, reads, 2 * pairs)
    total = 1e-9 * sum(held["conductance [nS]"])
    stored = float(made.set.sum(dtype=np.float64) + made.reset.sum(dtype=np.float64))
    assert stored == pytest.approx(total, rel=1e-6)


def test_a_recording_fits_the_technology_that_made_it(tmp_path):
    """As the table of a bench does: every number within its interval, or near it."""
    known = LAW.with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0, read_noise=0.03)
    chip = SimulatedChip(known, seed=3)
    chip.place("cells", (20, 20))
    record_chip(chip, tmp_path / "chip.h5", reads=6, cycles=5, source="test")
    fit = fit_reads(load_reads(tmp_path / "chip.h5"), like=LAW, name="fitted")
    for name in ("high_conductance", "low_conductance", "read_noise", "high_cycle_spread",
                 "high_device_spread", "low_cycle_spread", "low_device_spread"):  # fmt: skip
        found = fit.estimates[name]
        margin = 0.5 * (found.high - found.low)
        assert found.low - margin < getattr(known, name) < found.high + margin, name
