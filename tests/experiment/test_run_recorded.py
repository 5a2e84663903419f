"""A run on recorded chips: nothing but stored reads, and the same accuracy as the simulator."""

import json
from pathlib import Path

import pytest
from scipy import stats

from secateur.chip import SimulatedChip, VoltageRamp, record_chip
from secateur.device import Technology
from secateur.device.measurement import fit_reads, load_reads
from secateur.errors import SettingError
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.keyed import key_of
from secateur.network import prune_
from secateur.tasks import task_named

CHIPS = 3
NETWORK = {"channels": 6, "hidden": 24}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[str]:
    """The cells of a run's own chips, recorded before the run."""
    folder, paths = tmp_path_factory.mktemp("recordings"), []
    for number in range(CHIPS):
        seed = key_of(0, "chip", number) % 2**31
        chip = SimulatedChip("taox-40nm", seed=seed, forming=VoltageRamp())
        # Placed as the run will place it; all is kept, so that no pulse is sent.
        prune_(task_named("digits").build(NETWORK), chip, keep_fraction=1.0)
        paths.append(str(folder / f"chip{number}.h5"))
        record_chip(chip, folder / f"chip{number}.h5", reads=8, cycles=2, source="simulated")
    return paths


def digits(**settings) -> Recipe:
    recipe = Recipe.parse(
        {"task": "digits", "network": NETWORK, "training": {"epochs": 3, "batch_size": 30},
         "run": {"arms": ["pruned"], "chips": CHIPS}, "chip": {"forming": "ramp"}}, where="test",
    )  # fmt: skip
    return recipe.with_settings(settings)


def accuracies(record: dict) -> list[float]:
    (group,) = record["results"]
    return [trial["test"]["accuracy"] for trial in group["trials"]]


def agree(one: list[float], other: list[float]) -> bool:
    """Two means of three chips: no more apart than chips are, and by 4 points at most."""
    apart = stats.ttest_ind(one, other, equal_var=False).pvalue
    return apart > 0.01 and abs(sum(one) - sum(other)) / CHIPS < 0.04


def test_recorded_and_simulated_chips_agree_in_accuracy(tmp_path, recordings):
    """The same cells, so that what differs is what a recording leaves out."""
    simulated = accuracies(run_experiment(digits(), tmp_path / "simulated"))
    record = run_experiment(digits(**{"chip.recording": recordings}), tmp_path / "recorded")
    assert min(simulated) > 0.75
    assert agree(simulated, accuracies(record))
    (group,) = record["results"]
    trial = group["trials"][0]
    assert trial["physics"]["forming"] == "as recorded"
    assert trial["physics"]["circuit"] == "stored reads, one per step"
    assert trial["pulses"]["reset"] > 0
    assert (tmp_path / "recorded" / trial["maps"]).is_file()


@pytest.mark.slow
def test_the_simulator_fitted_to_a_recording_agrees_with_it(tmp_path, recordings):
    """Chips drawn anew from the fit of one, against the recorded ones."""
    recorded = run_experiment(digits(**{"chip.recording": recordings}), tmp_path / "recorded")
    like = Technology.load("taox-40nm")
    fit = fit_reads(load_reads(Path(recordings[0])), like=like, name="fitted")
    (tmp_path / "fitted.toml").write_text(fit.technology.toml())
    settings = {"chip.technology": str(tmp_path / "fitted.toml"), "run.seed": 1}
    fitted = run_experiment(digits(**settings), tmp_path / "fitted")
    assert agree(accuracies(recorded), accuracies(fitted))


def test_a_run_on_a_recording_resumes_as_if_it_had_never_stopped(tmp_path, recordings):
    settings = {"chip.recording": recordings[0], "run.chips": 1, "training.epochs": 2}
    whole = run_experiment(digits(**settings), tmp_path / "whole")
    run_experiment(digits(**settings), tmp_path / "cut")
    folder = tmp_path / "cut/trials/pruned-chip0"
    (folder / "result.json").unlink()
    (folder / "checkpoint-0002.safetensors").unlink()
    again = run_experiment(digits(**settings), tmp_path / "cut", resume=True)
    for part in ("test", "history", "pulses", "confusion"):
        first, second = (r["results"][0]["trials"][0][part] for r in (whole, again))
        assert json.dumps(first) == json.dumps(second), part


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"run.chips": 4}, "There are 3 recorded chips"),
        ({"run.arms": ["programmed"]}, "'programmed' cannot run on a recorded chip"),
        ({"chip.values.read_noise": 0.1}, "chip.values cannot be set"),
        ({"chip.circuit": "ideal"}, "chip.circuit cannot be set"),
        ({"converters.output_bits": 8}, "converters.output_bits cannot be set"),
        ({"wires.source_resistance": 1.0}, "wires cannot be set"),
        ({"stress.ages": [1.0]}, "stress cannot be set"),
    ],
)
def test_what_was_not_recorded_is_refused_before_anything_runs(
    tmp_path, recordings, settings, words
):
    recipe = digits(**{"chip.recording": recordings, **settings})
    with pytest.raises(SettingError, match=words):
        run_experiment(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_arms_that_need_no_recording_run_beside_it(tmp_path, recordings):
    arms = {"run.arms": ["digital", "pruned-ideal"], "training.epochs": 1, "run.chips": 1}
    found = run_experiment(digits(**{"chip.recording": recordings, **arms}), tmp_path / "with")
    plain = run_experiment(digits(**arms), tmp_path / "without")
    for one, two in zip(found["results"], plain["results"], strict=True):
        assert one["trials"][0]["test"] == two["trials"][0]["test"]
