"""A recorded chip passes the contract, and every read of it is one that was measured."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.chip import Chip, FixedVoltage, RecordedChip, SimulatedChip, record_chip
from secateur.device.recording import Recording, RecordingWriter
from secateur.errors import ChipError, FileError, SettingError
from secateur.testing import ChipContract

READS, CYCLES, SHAPE = 32, 3, (40, 25)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """A half-formed simulated chip, recorded."""
    chip = SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(fraction=0.5))
    chip.place("recorded", SHAPE)
    made = tmp_path_factory.mktemp("recording") / "chip.h5"
    record_chip(chip, made, reads=READS, cycles=CYCLES, source="simulated, seed 3")
    return made


class TestRecordedChip(ChipContract):
    writes_values = False

    @pytest.fixture(autouse=True)
    def _recorded(self, path: Path) -> None:
        self.path = path

    def chip(self) -> Chip:
        return RecordedChip(self.path, seed=1)


def measured(path: Path) -> dict[str, np.ndarray]:
    held = Recording.open(path)
    return {name: np.array(getattr(held, name)) for name in ("as_formed", "reset", "set")}


def among(read: torch.Tensor, stored: np.ndarray) -> np.ndarray:
    """Which cells' reads are, to the bit, among theirs in an array (..., cells)."""
    flat = stored.reshape(-1, stored.shape[-1])[:, : read.numel()]
    return (flat == read.view(-1).numpy()).any(axis=0)


def test_every_read_is_a_stored_one_of_the_state_a_cell_was_brought_to(path):
    chip, stored = RecordedChip(path, seed=2), measured(path)
    region = chip.place("weight", (20, 15))
    cells = torch.arange(600)
    formed = chip.conducting(cells)
    for key in range(5):
        assert among(chip.read(region, key=key), stored["as_formed"]).all()
    chip.reset(cells)
    chip.set(cells[::2])
    up = torch.arange(600) % 2 == 0
    for found in (chip.read(region, key=9), chip.read_back(cells)):
        for state, chosen in (("set", formed & up), ("reset", formed & ~up)):
            assert among(found, stored[state])[chosen.numpy()].all()
        # What was never formed is as it was, whatever pulse it got.
        assert among(found, stored["as_formed"])[~formed.numpy()].all()


def test_a_read_is_one_read_of_the_array_and_all_of_them_come(path):
    """What the cells had in common in a read stays common; none of the reads is left out."""
    chip, stored = RecordedChip(path, seed=2), measured(path)["as_formed"][0]
    region = chip.place("weight", (10, 10))
    seen = set()
    for key in range(400):
        equal = (stored[:, :200] == chip.read(region, key=key).view(-1).numpy()).all(axis=1)
        assert equal.sum() == 1
        seen.add(int(equal.argmax()))
    assert seen == set(range(READS))


def test_a_pulse_draws_one_of_the_recorded_cycles(path):
    """Each cell its own, by pulse number; over many pulses all cycles come equally often."""
    chip, stored = RecordedChip(path, seed=2), measured(path)["set"]
    region = chip.place("weight", SHAPE)
    formed = torch.arange(2000)[chip.conducting(torch.arange(2000))]
    counts = np.zeros(CYCLES)
    for _ in range(4):
        chip.set(formed)
        read = chip.read(region, key=1).view(-1).numpy()
        cycle = (stored == read).any(axis=1)[:, formed.numpy()]
        assert (cycle.sum(axis=0) == 1).all()
        counts += cycle.sum(axis=1)
    expected = counts.sum() / CYCLES
    assert (np.abs(counts - expected) < 5.0 * np.sqrt(expected)).all()


def test_a_multiplication_is_the_sum_over_a_stored_read(path):
    chip, stored = RecordedChip(path, seed=2), measured(path)["as_formed"][0]
    region = chip.place("weight", (4, 6))
    voltages = torch.rand(50, 6)
    currents = chip.multiply(region, voltages, key=3)
    pairs = torch.from_numpy(stored[:, :48]).view(READS, 4, 6, 2)
    possible = torch.einsum("bi,roi->bro", voltages, pairs[..., 0] - pairs[..., 1])
    close = torch.isclose(possible, currents.unsqueeze(1), rtol=1e-4, atol=1e-10).all(dim=2)
    assert bool(close.any(dim=1).all())
    assert len(close.float().argmax(dim=1).unique()) > 10


def test_the_reads_stay_on_disk(path):
    held = Recording.open(path)
    assert all(isinstance(array, np.memmap) for array in (held.set, held.reset, held.as_formed))
    chip = RecordedChip(held)
    assert copy.deepcopy(chip).recording is held


def test_a_copy_is_a_snapshot_and_a_state_comes_back(path):
    chip = RecordedChip(path, seed=2)
    region = chip.place("weight", (10, 10))
    twin = copy.deepcopy(chip)
    chip.reset(torch.arange(50))
    state = chip.state()
    chip.set(torch.arange(80))
    assert int(twin.ledger.switching.sum()) == 0
    twin.restore(state)
    assert twin.ledger.totals() == {"form": 200, "set": 0, "reset": 50}
    chip.restore(state)
    assert torch.equal(chip.read(region, key=4), twin.read(region, key=4))
    assert torch.equal(chip.status(region), twin.status(region))


def test_a_state_of_another_recording_is_refused(path, tmp_path):
    other = SimulatedChip("taox-40nm", seed=4)
    other.place("recorded", (10, 10))
    record_chip(other, tmp_path / "other.h5", reads=2, source="another")
    chips = [RecordedChip(path), RecordedChip(tmp_path / "other.h5")]
    for chip in chips:
        chip.place("weight", (5, 5))
    with pytest.raises(SettingError, match="recording is"):
        chips[0].restore(chips[1].state())


def test_a_model_larger_than_the_recording_is_refused_before_anything_is_placed(path):
    chip = RecordedChip(path)
    chip.place("first", (30, 30))
    with pytest.raises(ChipError, match="1800 of the chip's 2000 cells"):
        chip.place("second", (101, 1))
    assert chip.placement.cells == chip.ledger.form.numel() == 1800
    chip.place("third", (100, 1))


def write(path: Path, *, lacking: str = "", technology=None) -> Path:
    """Four cells, two reads, of which cell 3 lacks a state."""
    law = SimulatedChip(technology or "taox-40nm").technology
    writer = RecordingWriter(
        path, technology=law, source="made up", shapes={"set": (1, 2), "reset": (1, 2)},
        formed=np.ones(4, bool), form=np.ones(4, np.int32),
    )  # fmt: skip
    with writer:
        for state, value in (("set", 12e-6), ("reset", 1e-6)):
            row = np.full(4, value)
            row[3] = np.nan if state == lacking else value
            for read in range(2):
                writer.write(state, 0, read, row)
    return path


@pytest.mark.parametrize(("state", "words"), [("set", "forming|SET"), ("reset", "RESET")])
def test_a_cell_without_recorded_reads_is_refused_by_name(tmp_path, state, words):
    chip = RecordedChip(write(tmp_path / "chip.h5", lacking=state))
    with pytest.raises(ChipError, match=f"Cell 3 has no recorded reads after ({words})"):
        chip.place("weight", (2, 1))
    assert chip.placement.cells == 0
    chip.place("weight", (1, 1))


def test_without_reads_as_formed_it_begins_with_the_set_ones(tmp_path):
    chip = RecordedChip(write(tmp_path / "chip.h5"))
    region = chip.place("weight", (2, 1))
    assert bool((chip.read(region, key=1) == np.float32(12e-6)).all())
    assert bool((chip.status(region) == chip.HIGH).all())


def test_a_read_that_failed_once_is_refused_as_it_is_written(tmp_path):
    law = SimulatedChip("taox-40nm").technology
    writer = RecordingWriter(
        tmp_path / "chip.h5", technology=law, source="made up",
        shapes={"set": (1, 2), "reset": (1, 2)}, formed=np.ones(4, bool),
        form=np.ones(4, np.int32),
    )  # fmt: skip
    row = np.full(4, 1e-5)

    def reads():
        with writer:
            writer.write("set", 0, 0, row)
            writer.write("set", 0, 1, np.where(np.arange(4) == 1, np.nan, row))

    with pytest.raises(SettingError, match=r"Read 2 of cell 1"):
        reads()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_recording_is_refused(path, tmp_path):
    h5py = pytest.importorskip("h5py")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["set"] = np.ones((1, 2, 4))
    linked = write(tmp_path / "linked.h5")
    with h5py.File(linked, "a") as file:
        del file["set"]
        file["set"] = h5py.ExternalLink(str(path), "set")
    squeezed = write(tmp_path / "squeezed.h5")
    with h5py.File(squeezed, "a") as file:
        values = file["set"][:]
        del file["set"]
        file.create_dataset("set", data=values, compression="gzip")
    for name in ("cut", "text", "other", "linked", "squeezed", "missing"):
        with pytest.raises(FileError):
            Recording.open(tmp_path / f"{name}.h5")


def test_equal_recordings_have_one_identity_and_others_another(tmp_path):
    one, two = (write(tmp_path / f"{n}.h5") for n in "ab")
    other = write(tmp_path / "c.h5", lacking="reset")
    digests = [Recording.open(path).digest for path in (one, two, other)]
    assert digests[0] == digests[1] != digests[2]
