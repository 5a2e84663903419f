"""`secateur apply` a second time, by processes of their own: no pulse is given twice."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secateur.chip import Journal

# A board whose cells are two files, so that they outlive its process: all follow, none is stuck.
# Where a file says so, its process dies within a pulse, when half of the cells have got theirs.
BENCH = """
import os
from pathlib import Path

import numpy as np
import torch

from secateur.chip import DrivenChip, Geometry

SIDE = 512
KINDS = ("form", "set", "reset")


class Chip(DrivenChip):
    def __init__(self):
        super().__init__("taox-40nm", geometry=Geometry(SIDE, SIDE), macros=1)
        law = self.technology
        self.states = np.array(
            [law.pristine_conductance, law.low_conductance, law.high_conductance], dtype="float32"
        )
        new = not Path("cells").exists()
        self.cells = np.memmap("cells", "int8", "w+" if new else "r+", shape=SIDE * SIDE)
        self.pulses = np.memmap("pulses", "int32", "w+" if new else "r+", shape=(3, SIDE * SIDE))

    def send_form(self, cells, *, voltage, width, compliance):
        self._pulse(0, cells, 2)

    def send_switch(self, cells, *, up):
        self._pulse(1 if up else 2, cells, 2 if up else 1)

    def measure(self, cells):
        return torch.from_numpy(self.states[self.cells[self._address(cells)]])

    def _pulse(self, kind, cells, state):
        places = self._address(cells)
        left = Path("left")
        if left.exists():
            count = int(left.read_text()) - 1
            left.write_text(str(count))
            if count < 0:
                left.unlink()
                places = places[: len(places) // 2]
        self.cells[places] = state
        self.pulses[kind, places] += 1
        if len(places) < len(cells):
            os._exit(9)

    def _address(self, cells):
        macro, row, column = self.where(cells).T.numpy()
        return row * SIDE + column
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Path:
    """Of a small search on a simulated chip."""
    folder = tmp_path_factory.mktemp("search")
    done = _secateur(
        folder, "run", "digits", "--arm", "pruned", "--epochs", "1", "--out", "run",
        "--set", "network.channels=2", "--set", "network.hidden=8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = _secateur(folder, "plan", "run")
    assert done.returncode == 0, done.stderr
    return folder / "run" / "plan.json"


@pytest.fixture
def bench(tmp_path) -> Path:
    """The folder of a board whose cells have never been pulsed."""
    (tmp_path / "bench.py").write_text(BENCH, encoding="utf-8")
    return tmp_path


def _secateur(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "secateur", *words], check=False, text=True, timeout=300,
        cwd=folder, capture_output=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def _apply(folder: Path, plan: Path, chip: str, *more: str) -> subprocess.CompletedProcess[str]:
    return _secateur(
        folder, "apply", str(plan), "--chip", chip, "--journal", "journal", "--force", *more
    )


def applied(folder: Path, plan: Path, chip: str) -> dict[str, Any]:
    done = _apply(folder, plan, chip, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pulses(folder: Path) -> np.ndarray:
    """That the cells have got, by kind and cell, as the board itself knows."""
    return np.fromfile(folder / "pulses", "int32").reshape(3, -1)


def planned(plan: Path) -> tuple[int, int]:
    totals = json.loads(plan.read_text())["totals"]
    return totals["set"], totals["reset"]


@contextmanager
def served(folder: Path, *, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The board's server and its address; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "secateur", "chip", "serve", "--port", str(port),
         "--chip", "bench:Chip", "--state", "server"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().rpartition(" ")[2].strip()
    finally:
        process.kill()
        process.communicate()


def check_every_cell_got_one(folder: Path, plan: Path) -> None:
    """Every cell was formed once, every cell of the plan was RESET once, and the journal knows."""
    given = pulses(folder)
    cells = int(given[0].sum())
    assert int(given.max()) == 1
    # All are high once formed, so that nothing is to be SET.
    assert given.sum(axis=1).tolist() == [cells, 0, planned(plan)[1]]
    with Journal(folder / "journal") as book:
        assert book.in_doubt() == []
        certain, possible = (book.counts(cells, possible=p).totals() for p in (False, True))
    for kind, true in zip(("form", "set", "reset"), given.sum(axis=1).tolist(), strict=True):
        assert certain[kind] <= true <= certain[kind] + possible[kind]
        # Of one command at most.
        assert possible[kind] < 0.5 * cells


def check_nothing_is_left(second: dict[str, Any], plan: Path) -> None:
    assert {kind for kind, count in second["pulses"].items() if count} == set()
    assert second["spared"] == sum(planned(plan))
    assert second["astray"] == []


def test_a_driver_that_has_been_applied_to_gets_no_pulse_again(bench, plan):
    first = applied(bench, plan, "bench:Chip")
    assert first["pulses"]["reset"] == planned(plan)[1] > 100
    check_every_cell_got_one(bench, plan)
    second = applied(bench, plan, "bench:Chip")
    check_every_cell_got_one(bench, plan)
    check_nothing_is_left(second, plan)
    assert second["before"] == second["after"] == first["after"]


@pytest.mark.parametrize("left", [1, 12])
def test_a_driver_that_was_cut_off_in_a_pulse_goes_on_and_gives_none_twice(bench, plan, left):
    """At the forming of a weight, or at a line of the plan; the third time nothing is left."""
    (bench / "left").write_text(str(left))
    assert _apply(bench, plan, "bench:Chip", "--json").returncode == 9
    second = applied(bench, plan, "bench:Chip")
    check_every_cell_got_one(bench, plan)
    assert any("possibly did" in note for note in second["notes"])
    third = _apply(bench, plan, "bench:Chip")
    assert f"Pulses: none; {sum(planned(plan))} cells were as asked for already" in third.stdout
    check_every_cell_got_one(bench, plan)


def test_a_served_driver_whose_server_was_killed_in_a_pulse_and_again_later(bench, plan):
    """The application that is under way waits for it, and the next one has nothing to do."""
    (bench / "left").write_text("12")
    with ThreadPoolExecutor() as aside:
        with served(bench) as (server, address):
            first = aside.submit(applied, bench, plan, address)
            assert server.wait(timeout=120) == 9
        with served(bench, port=int(address.rpartition(":")[2])):
            # With what the board has possibly given.
            assert first.result()["pulses"]["reset"] >= planned(plan)[1]
    check_every_cell_got_one(bench, plan)
    with served(bench) as (_, address):
        second = applied(bench, plan, address)
    check_every_cell_got_one(bench, plan)
    check_nothing_is_left(second, plan)
