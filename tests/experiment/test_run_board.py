"""A run on a board: killed and cut wherever it may be, it ends as if nothing had happened."""

import json
import threading

import numpy as np
import pytest
import torch
from faults import Counts, endure, make_chip

from secateur.chip import Journal
from secateur.chip.board import Board
from secateur.chip.server import Server
from secateur.errors import SettingError
from secateur.experiment.boards import open_board
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment

TIMES = ("wall_time_s", "notes")


def recipe(epochs: int, **search) -> Recipe:
    return Recipe.parse(
        {"task": "digits", "network": {"channels": 3, "hidden": 10},
         "chip": {"circuit": "read-per-product"}, "run": {"arms": ["pruned"]},
         "search": search, "training": {"epochs": epochs, "batch_size": 60}}, where="test",
    )  # fmt: skip


def ending(folder, state) -> dict:
    """All that a run leaves behind, on both sides."""
    result = json.loads((folder / "result.json").read_text())
    board = Board(make_chip, state)
    with Journal(folder / "journal.sqlite") as journal:
        counts = journal.counts(board.chip.placement.cells)
        doubts = journal.in_doubt()
    found = {
        "result": {key: value for key, value in result.items() if key not in TIMES},
        "masks": dict(np.load(folder / "masks.npz")),
        "cells": {n: t for n, t in board.chip.state().tensors.items() if n != "reads"},
        "journal": {kind: getattr(counts, kind) for kind in ("form", "set", "reset")},
        "doubts": doubts,
    }
    board.close()
    return found


def survived(
    tmp_path, *, epochs: int, events: int, seed: int, seconds: float = 300.0, **search
) -> Counts:
    ends = []
    for name, number in (("whole", 0), ("disturbed", events)):
        folder = tmp_path / name / "trials" / "trial"
        state = tmp_path / name / "board.sqlite"
        run = recipe(epochs, **search)
        counts = endure(run, folder, state, events=number, seed=seed, seconds=seconds)
        ends.append(ending(folder, state))
    whole, disturbed = ends
    assert whole["doubts"] == disturbed["doubts"] == []
    assert all(np.array_equal(whole["masks"][n], m) for n, m in disturbed["masks"].items())
    assert whole["result"] == disturbed["result"]
    for name, tensor in whole["cells"].items():
        assert torch.equal(tensor, disturbed["cells"][name]), name
    for kind, counted in disturbed["journal"].items():
        assert torch.equal(counted, disturbed["cells"][kind]), kind
    return counts


def test_a_run_survives_kills_of_both_sides_and_cuts(tmp_path):
    counts = survived(tmp_path, epochs=1, events=15, seed=1)
    assert min(counts.client, counts.server, counts.cuts) >= 3


def test_a_run_with_a_flip_budget_survives_them(tmp_path):
    """What has been spent is what the run has asked for, though the board is ahead of it."""
    counts = survived(tmp_path, epochs=1, events=9, seed=2, flip_budget=2)
    assert min(counts.client, counts.server) >= 2


def test_a_run_that_does_not_end_is_no_survivor(tmp_path):
    with pytest.raises(AssertionError, match=r"no end in 0.2 s, after Counts"):
        survived(tmp_path, epochs=100, events=0, seed=1, seconds=0.2)


@pytest.mark.slow
def test_a_run_survives_two_hundred_of_them(tmp_path):
    # This seed has found a read that a resumed run asked otherwise than the one before it.
    counts = survived(tmp_path, epochs=12, events=270, seed=3, seconds=3600.0)
    print(counts)
    assert counts.all >= 200
    assert min(counts.client, counts.server, counts.cuts) >= 40


def test_a_board_that_is_refused_is_given_back_with_its_journal(tmp_path):
    held = Board(make_chip, tmp_path / "board")
    server = Server(lambda: held.chip, held, serial=held.serial, address="tcp://127.0.0.1:*")
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), daemon=True)
    thread.start()
    of_it = recipe(1).with_settings({"chip.address": server.address})
    other = of_it.with_settings({"chip.technology": "hfox"})
    for settings, journal, words in (
        (other, "one", "not what the recipe says"), (of_it, "two", "journal of another chip"),
    ):  # fmt: skip
        with Journal(tmp_path / "two") as book:
            book.set_note("chip", "{}")
        # What is raised holds on to the frames that it has passed.
        with pytest.raises(SettingError, match=words) as refused:
            open_board(settings.chip, tmp_path / journal)
        chip = open_board(of_it.chip, tmp_path / "one")
        chip.close()
        del refused
    stop.set()
    thread.join()
    server.close()
    held.close()


def test_one_board_is_one_chip(tmp_path):
    board = recipe(1).with_settings({"chip.address": "tcp://127.0.0.1:9"})
    with pytest.raises(SettingError, match="one board is one chip"):
        run_experiment(board.with_settings({"run.chips": 2}), tmp_path / "a")
    with pytest.raises(SettingError, match="2 trials would share"):
        run_experiment(board.with_settings({"run.arms": ["pruned", "random"]}), tmp_path / "b")
