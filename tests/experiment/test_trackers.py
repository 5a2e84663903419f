"""Trackers are told of a trial's settings, epochs and result; a missing one is named."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from secateur.errors import SettingError
from secateur.experiment import trackers, trial
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.experiment.setting import Trial
from secateur.experiment.trackers import check_tracker, flattened

recipe = Recipe.parse(
    {"task": "digits", "network": {"channels": 4, "hidden": 12},
     "run": {"arms": ["digital"]}, "training": {"epochs": 2, "batch_size": 30}},
    where="test",
)  # fmt: skip


def test_settings_are_dotted_paths_of_plain_values() -> None:
    table = {"run": {"chips": 2, "arms": ["pruned"]}, "name": "x", "on": True, "none": None}
    assert flattened(table) == {
        "run.chips": 2, "run.arms": '["pruned"]', "name": "x", "on": True, "none": "null",
    }  # fmt: skip


def test_an_unknown_tracker_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match="tensorboard"):
        check_tracker("tensorbord")


@pytest.mark.parametrize("missing", ["mlflow", "wandb", "accelerate"])
def test_a_missing_package_is_named_before_anything_is_run(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trackers, "find_spec", lambda name: None if name == missing else find_spec("json")
    )
    name = "tensorboard" if missing == "accelerate" else missing
    with pytest.raises(SettingError, match=f"pip install {missing}"):
        run_experiment(recipe, tmp_path / "run", track=name)
    assert not (tmp_path / "run").exists()


def test_a_tracker_is_told_that_a_trial_is_over_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Noting:
        """A tracker that notes what it is told."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def log(self, figures: object, step: int) -> None:
            seen.append(f"epoch {step}")

        def close(self) -> None:
            seen.append("over")

    def hopeless(epoch: int, measure: object) -> None:
        raise SettingError("Not worth its end")

    monkeypatch.setattr(trial, "Tracked", Noting)
    own, once = recipe.with_settings({"training.epochs": 2}), Trial("digital", "", {}, 0, "test")
    with pytest.raises(SettingError, match="worth"):
        trial.run_trial(
            once, own, tmp_path / "trials/a", data=None, report=lambda line: None,
            judge=hopeless, track="tensorboard",
        )  # fmt: skip
    assert seen == ["epoch 1", "over"]


def test_a_trial_is_followed_in_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install it")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = run_experiment(recipe, tmp_path / "run", track="tensorboard")
    (told,) = record["results"][0]["trials"]
    seen = EventAccumulator(str(tmp_path / "run/track/digital-chip0"))
    seen.Reload()
    losses = [(event.step, event.value) for event in seen.Scalars("train_loss")]
    assert losses == [
        (line["epoch"], pytest.approx(line["train_loss"], rel=1e-6)) for line in told["history"]
    ]
    (accuracy,) = seen.Scalars("test.accuracy")
    assert accuracy.value == pytest.approx(told["test"]["accuracy"], rel=1e-6)
    assert json.loads((tmp_path / "run/record.json").read_text()) == record
