"""Files that a sweep names: found by workers that stand in another folder than who sent them."""

import json
from pathlib import Path

import pictures
import pytest
from test_sweep_run import HerePool
from tiny import plan, recipe

from secateur.device import Technology
from secateur.errors import SettingError
from secateur.experiment.paths import with_absolute_paths
from secateur.experiment.sweep import Space, run_sweep
from secateur.experiment.sweep.plan import Plan


class ElsewherePool(HerePool):
    """Work in another folder: as on another machine, or of a worker started there."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def outcomes(self, work, orders, *, eager, alone):
        for order in orders:
            with self.monkeypatch.context() as there:
                there.chdir(self.folder)
                outcome = work(order)
            yield outcome


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a technology file, a list of classes and pictures, in which a sweep begins."""
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(Technology.load("taox-40nm").toml(), encoding="utf-8")
    Path("two.txt").write_text("n03\nn01\n", encoding="utf-8")
    Path("elsewhere").mkdir()
    pictures.write_pictures(tmp_path / "data" / "imagenet-100")
    return tmp_path


@pytest.mark.parametrize(
    ("over", "settings"),
    [
        ("search.keep_fraction=0.5", {"chip.technology": "mine.toml"}),
        ("search.keep_fraction=0.5", {"arms.pruned.chip.technology": "mine.toml"}),
        ("chip.technology=mine.toml,taox-40nm", {}),
    ],
)
def test_a_technology_file_is_found_from_another_folder(here, monkeypatch, over, settings):
    made = plan(over, settings=settings)
    results = run_sweep(made, here / "s", pool=ElsewherePool(here / "elsewhere", monkeypatch))
    assert results["states"]["failed"] == 0
    assert results["states"]["finished"] == len(results["rows"]) > 0
    monkeypatch.chdir(here / "elsewhere")
    assert Plan.read(here / "s")[0] == made


@pytest.mark.parametrize("swept", [False, True])
def test_a_list_of_classes_and_the_data_are_found_from_another_folder(here, monkeypatch, swept):
    over = ("task.classes=two.txt",) if swept else ("training.learning_rate=0.1",)
    settings = {} if swept else {"task.classes": "two.txt"}
    made = pictures.plan(*over, **{"network.classes": 2, **settings})
    pool = ElsewherePool(here / "elsewhere", monkeypatch)
    results = run_sweep(made, Path("s"), pool=pool, data=Path("data"))
    assert results["states"]["finished"] == 1
    record = json.loads((here / "s/runs/0000-digital/record.json").read_text())
    assert record["classes"] == ["n03", "n01"]


def test_recordings_become_absolute_and_words_stay_words(here, monkeypatch):
    made = with_absolute_paths(recipe(**{"chip.recording": ["a.h5", "sub/b.h5"]}))
    assert made.chip.recording == (str(here / "a.h5"), str(here / "sub/b.h5"))
    assert with_absolute_paths(recipe(**{"chip.recording": "a.h5"})).chip.recording == str(
        here / "a.h5"
    )
    monkeypatch.setenv("HOME", str(here / "home"))
    mine = with_absolute_paths(recipe(**{"chip.technology": "~/mine.toml"}))
    assert mine.chip.technology == str(here / "home/mine.toml")
    assert with_absolute_paths(made) == made
    assert with_absolute_paths(recipe()) == recipe()
    chosen = pictures.plan("task.side=32", **{"task.classes": ["n01", "n02", "n03"]})
    assert chosen.recipe.task.settings["classes"] == ["n01", "n02", "n03"]


def test_two_names_of_one_file_are_one_value(here):
    space = Space.from_words(["chip.technology=mine.toml,./mine.toml"])
    with pytest.raises(SettingError, match="twice"):
        Plan.of(recipe(), space)
