"""A run's directory: its own, never another's; empty again where nothing was trained."""

import pytest

from secateur.errors import FileError, SecateurError, SettingError
from secateur.experiment import directory
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment


def small(**settings) -> Recipe:
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 1, "batch_size": 30}}, where="test",
    )  # fmt: skip
    return recipe.with_settings(settings)


def test_another_setting_is_refused_on_resume_by_name(tmp_path):
    run_experiment(small(**{"run.arms": ["random"]}), tmp_path / "run")
    changed = small(**{"run.arms": ["random"], "search.keep_fraction": 0.4})
    with pytest.raises(SettingError, match=r"search\.keep_fraction is 0\.5"):
        run_experiment(changed, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("search.keep_fraction", 0.4, "is 0.5 in the run and 0.4 now"),
        ("search.keep_fraction", {"*": 0.5}, r"is 0.5 in the run and \{'\*': 0.5\} now"),
        ("chip.values.read_voltage", 0.3, "is unset in the run and 0.3 now"),
    ],
)
def test_a_recipe_edited_in_the_directory_is_refused_by_the_settings_name(
    tmp_path, path, value, words
):
    run_experiment(small(**{"run.arms": ["random"]}), tmp_path / "run")
    recipe = tmp_path / "run/recipe.toml"
    recipe.write_text(Recipe.read(recipe).with_settings({path: value}).toml(), encoding="utf-8")
    with pytest.raises(SettingError, match=f"{path} {words}.*edited"):
        run_experiment(Recipe.read(recipe), tmp_path / "run", resume=True)


def test_an_earlier_run_is_never_overwritten(tmp_path):
    recipe = small(**{"run.arms": ["random"]})
    run_experiment(recipe, tmp_path / "run")
    before = (tmp_path / "run/record.json").read_bytes()
    with pytest.raises(FileError, match="--resume"):
        run_experiment(recipe, tmp_path / "run")
    assert (tmp_path / "run/record.json").read_bytes() == before


@pytest.mark.parametrize(
    "settings",
    [
        # Found before anything is written; while the model is built; in the first epoch.
        {"search.keep_fraction": 1e-5}, {"chip.macros": 1, "network.hidden": 4000},
        {"training.learning_rate": 1e30},
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_is_trained_leaves_nothing_behind(tmp_path, settings):
    (tmp_path / "empty").mkdir()
    for out in ("new/run", "empty"):
        with pytest.raises(SecateurError):
            run_experiment(small(**{"run.arms": ["pruned"]}, **settings), tmp_path / out)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_what_is_refused_after_something_was_trained_stays(tmp_path):
    checkpoint = tmp_path / "run/trained/0123/checkpoint-0001.safetensors"

    def trained_and_refused():
        with directory.begun_run(small(), tmp_path / "run", resume=False, command="run"):
            checkpoint.parent.mkdir(parents=True)
            checkpoint.touch()
            raise SettingError("Too late")

    with pytest.raises(SettingError, match="Too late"):
        trained_and_refused()
    assert checkpoint.exists()
    assert Recipe.read(tmp_path / "run/recipe.toml") == small()


@pytest.mark.parametrize("below", ["", "run"])
def test_a_file_where_a_directory_is_wanted_is_called_one(tmp_path, below):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileError, match=r"this is a file \(.*notes\.txt\)"):
        run_experiment(small(), tmp_path / "notes.txt" / below)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_directory_that_holds_no_run_is_not_said_to_hold_one(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileError, match=r"used for something else\. Give another --out\.$"):
        run_experiment(small(), tmp_path)


def test_a_share_that_keeps_no_edge_is_found_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "write_atomically", None)
    recipe = small(**{"run.arms": ["digital", "pruned"], "search.keep_fraction": 1e-5})
    with pytest.raises(SettingError, match=r"keep_fraction 1e-05 keeps none.*search: conv\.weight"):
        run_experiment(recipe, tmp_path / "run")
