"""`secateur chip record` and `import`: what they write, what they say, what they refuse."""

import json

import numpy as np
import pytest

from secateur.device.recording import Recording


def test_a_simulated_chip_is_recorded(secateur, empty):
    shown = secateur(
        "chip", "record", "--pairs", 600, "--forming", "half", "--reads", 3, "--cycles", 2,
        "--out", "a.h5",
    )  # fmt: skip
    assert shown.exit_code == 0, shown.stderr
    assert "600 pairs" in shown.stdout
    held = Recording.open("a.h5")
    assert held.cells == 1200
    assert held.set.shape == held.reset.shape == (2, 3, 1200)
    assert 0.4 < held.formed.mean() < 0.6
    assert held.source == "simulated taox-40nm, forming half, seed 0"


def test_a_task_is_recorded_as_a_run_places_it(secateur, empty):
    told = secateur("chip", "record", "--task", "digits", "--reads", 1, "--cycles", 1, "--json")
    said = json.loads(told.stdout)
    assert said["cells"] == 2 * (16 * 9 + 144 * 64 + 640)
    assert said["states"]["as_formed"] == {"cycles": 1, "reads": 1}


def test_a_driver_is_recorded(secateur, empty):
    (empty / "my_board.py").write_text(
        "from secateur.chip import SimulatedChip\ndef Chip():\n    return SimulatedChip('ideal')\n"
    )
    shown = secateur(
        "chip", "record", "--chip", "my_board:Chip", "--pairs", 4, "--reads", 1, "--cycles", 1
    )
    assert shown.exit_code == 0, shown.stderr
    assert Recording.open("chip.h5").source == "chip of my_board:Chip"


def test_arrays_are_imported(secateur, empty):
    np.savez("reads.npz", set=np.full((3, 6), 12.0), reset=np.full((2, 6), 1.0))
    words = ("chip", "import", "reads.npz", "--layout", "paper")
    refused = secateur(*words)
    assert refused.exit_code == 2
    assert "without a unit" in refused.stderr
    shown = secateur(*words, "--unit", "uS", "--json")
    assert json.loads(shown.stdout)["states"] == {
        "reset": {"cycles": 1, "reads": 2}, "set": {"cycles": 1, "reads": 3}
    }  # fmt: skip


def test_a_table_is_imported(secateur, empty):
    rows = [f"{c},{s},{g}" for c in (1, 2) for s, g in (("high", 12), ("low", 1))]
    (empty / "reads.csv").write_text("\n".join(["cell,state,conductance [uS]", *rows]) + "\n")
    words = ("chip", "import", "reads.csv", "--layout", "table")
    assert "units in its heading" in secateur(*words, "--unit", "uS").stderr
    assert "1 pairs" in secateur(*words).stdout


@pytest.mark.parametrize("name", ["weights.pt", "reads.pkl"])
def test_pickles_are_refused_with_the_reason(secateur, empty, name):
    refused = secateur("chip", "import", name, "--layout", "paper", "--unit", "uS")
    assert refused.exit_code == 2
    assert "runs whatever code its author put into it" in refused.stderr


def test_pairs_and_a_task_together_are_refused(secateur, empty):
    refused = secateur("chip", "record", "--task", "digits", "--pairs", 5)
    assert refused.exit_code == 2
    assert "one of --pairs and --task" in refused.stderr
