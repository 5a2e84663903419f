"""A run: complete, honest about its parts, and the same to the bit however often it is killed."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.chip import FixedVoltage, VoltageRamp
from secateur.circuit import Converters, Ideal, ReadPerStep, Wired
from secateur.errors import DivergedError, FileError, SecateurError, SettingError
from secateur.experiment import runner
from secateur.experiment.arms import ARMS, chip_from, circuit_from
from secateur.experiment.recipe import ARM_NAMES, Recipe
from secateur.experiment.runner import run_experiment

TIMES = ("created", "wall_time_s")


def small(**settings) -> Recipe:
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 3, "batch_size": 30}}, where="test",
    )  # fmt: skip
    return recipe.with_settings(settings)


def without_times(record: dict) -> dict:
    record = copy.deepcopy(record)
    record = {key: value for key, value in record.items() if key not in TIMES}
    for group in record["results"]:
        for trial in group["trials"]:
            trial.pop("wall_time_s")
            trial.pop("notes")
    return record


def test_every_arm_runs_and_the_record_is_complete(tmp_path):
    record = run_experiment(small(**{"training.epochs": 1}), tmp_path / "run")
    assert [group["arm"] for group in record["results"]] == list(ARM_NAMES) == list(ARMS)
    assert json.loads((tmp_path / "run/record.json").read_text()) == record
    assert Recipe.read(tmp_path / "run/recipe.toml") == small(**{"training.epochs": 1})
    for group in record["results"]:
        (trial,) = group["trials"]
        assert 0.0 <= trial["test"]["accuracy"] <= 1.0
        assert trial["validation"] is None
        assert sum(map(sum, trial["confusion"])) == 359
        on_chip = group["arm"] not in ("digital", "digital-quantised")
        assert bool(trial["pulses"]) == on_chip
        assert (trial["maps"] is not None) == on_chip
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    # What `digital-quantised` has trained is what `programmed` writes.
    assert len([json.loads(line) for line in lines]) == len(ARM_NAMES) - 1


def test_a_selection_run_never_reads_the_test_set(tmp_path):
    recipe = small(**{"run.split": "validation", "run.arms": ["digital"]})
    record = run_experiment(recipe, tmp_path / "run")
    (trial,) = record["results"][0]["trials"]
    assert trial["test"] is None
    assert trial["validation"]["accuracy"] > 0.3


def test_both_parts_stand_beside_each_other(tmp_path):
    recipe = small(**{"run.split": "both", "run.arms": ["pruned"]})
    (group,) = run_experiment(recipe, tmp_path / "run")["results"]
    (trial,) = group["trials"]
    assert trial["test"]
    assert trial["validation"]
    assert {"accuracy", "validation_accuracy"} <= set(group["summary"])


def test_chips_differ_and_the_same_seed_repeats(tmp_path):
    recipe = small(**{"run.arms": ["pruned"], "run.chips": 2})
    first = run_experiment(recipe, tmp_path / "a")
    again = run_experiment(recipe, tmp_path / "b")
    assert without_times(first) == without_times(again)
    one, two = first["results"][0]["trials"]
    assert one["history"] != two["history"]
    assert one["pulses"] != two["pulses"]


def test_a_varied_setting_makes_a_variant_each(tmp_path):
    recipe = small(**{
        "run.arms": ["pruned"], "training.epochs": 1,
        "run.vary": {"chip.forming": ("full", "half", "ramp")},
    })  # fmt: skip
    record = run_experiment(recipe, tmp_path / "run")
    assert [group["overrides"] for group in record["results"]] == [
        {"chip.forming": forming} for forming in ("full", "half", "ramp")
    ]
    forms = [group["trials"][0]["physics"]["forming"] for group in record["results"]]
    assert forms == ["full", "half", "ramp"]


def _ended_by_the_system(*_, **__):
    """A trial over which the system ends the process, as it does where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_system_ends_is_told_from_a_fault_and_the_run_goes_on(
    tmp_path, monkeypatch
):
    recipe = small(**{"run.arms": ["pruned"], "run.chips": 2, "training.epochs": 1})
    with monkeypatch.context() as short:
        short.setattr(os, "cpu_count", lambda: 2)
        short.setattr(runner, "_isolated", _ended_by_the_system)
        with pytest.raises(SecateurError, match=r"ended by the system.*memory.*--resume"):
            run_experiment(recipe, tmp_path / "run")
    record = run_experiment(recipe, tmp_path / "run", resume=True)
    assert len(record["results"][0]["trials"]) == 2


def test_an_arm_runs_once_where_a_varied_setting_makes_no_difference_to_it(tmp_path):
    recipe = small(**{
        "run.arms": ["digital", "programmed", "pruned"], "training.epochs": 1,
        "run.vary": {"chip.values.programming_error": (0.0, 0.3)},
    })  # fmt: skip
    record = run_experiment(recipe, tmp_path / "run")
    ran = [folder.name for folder in (tmp_path / "run/trials").iterdir()]
    assert sorted(name.split("-")[0] for name in ran) == ["digital", *["programmed"] * 2, "pruned"]
    losses = {
        (group["arm"], group["overrides"]["chip.values.programming_error"]):
            group["trials"][0]["test"]["loss"]
        for group in record["results"]
    }  # fmt: skip
    assert len(losses) == 6
    assert losses["pruned", 0.0] == losses["pruned", 0.3]
    assert losses["programmed", 0.0] != losses["programmed", 0.3]


def test_trials_that_train_the_same_model_train_it_once_and_measure_as_if_alone(tmp_path):
    asked = {
        "run.arms": ["digital-quantised", "programmed"], "training.epochs": 2,
        "run.vary": {"chip.values.programming_error": (0.0, 0.3)},
    }  # fmt: skip
    together = run_experiment(small(**asked), tmp_path / "run")
    trained = list((tmp_path / "run/trained").iterdir())
    assert len(trained) == 1
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    for error in (0.0, 0.3):
        alone = small(**{**asked, "run.arms": ["programmed"],
                         "run.vary": {"chip.values.programming_error": (error,)}})  # fmt: skip
        (own,) = without_times(run_experiment(alone, tmp_path / f"{error}"))["results"]
        (same,) = (
            group for group in without_times(together)["results"]
            if group["arm"] == "programmed" and group["overrides"] == own["overrides"]
        )  # fmt: skip
        for trial in (own["trials"][0], same["trials"][0]):
            trial["maps"] = bool(trial["maps"])
        assert same == own
    # A follower that is cut off trains for itself, and comes to the same.
    for path in trained[0].iterdir():
        path.unlink()
    (
        tmp_path / "run/trials/programmed-chip.values.programming_error=0.3-chip0/result.json"
    ).unlink()
    again = run_experiment(small(**asked), tmp_path / "run", resume=True)
    assert without_times(again)["results"] == without_times(together)["results"]


def test_every_level_of_the_circuit_is_in_the_record(tmp_path):
    """Reading, wires and converters, with what they have cut off and how wrong they may be."""
    recipe = small(**{
        "run.arms": ["programmed"], "training.epochs": 1, "chip.circuit": "read-per-product",
        "wires.output_line_resistance": 1.0, "wires.evaluation": "first-order",
        "converters.output_bits": 8, "converters.gain_spread": 0.01,
    })  # fmt: skip
    (group,) = run_experiment(recipe, tmp_path / "run")["results"]
    physics = group["trials"][0]["physics"]
    assert physics["circuit"] == circuit_from(recipe).label
    for words in ("fresh noise", "0 and 1 ohms a segment", "8-bit converters"):
        assert words in physics["circuit"]
    assert 0.0 <= physics["saturated_share"] < 0.05
    assert 0.0 < physics["first_order_error"] < 0.5


def test_ranges_that_cut_nearly_everything_are_told(tmp_path):
    recipe = small(**{
        "run.arms": ["programmed"], "training.epochs": 1, "converters.output_bits": 8,
        "converters.output_headroom": 0.05,
    })  # fmt: skip
    (group,) = run_experiment(recipe, tmp_path / "run")["results"]
    (note,) = group["trials"][0]["notes"]
    assert "beyond their converters' last level" in note
    assert "converters.output_headroom" in note


def test_levels_are_composed_from_settings():
    assert circuit_from(small()) == ReadPerStep()
    assert circuit_from(small(**{"chip.circuit": "ideal"})) == Ideal()
    wires = {"wires.source_resistance": 5.0, "wires.double_sided": True, "wires.interval": 7}
    wired = Wired(
        ReadPerStep(), input_line_resistance=0.0, output_line_resistance=0.0,
        source_resistance=5.0, double_sided=True, interval=7,
    )  # fmt: skip
    assert circuit_from(small(**wires)) == wired
    ends = {"converters.output_bits": 6, "converters.output_headroom": 3.0}
    assert circuit_from(small(**wires, **ends)) == Converters(wired, output_bits=6, headroom=3.0)
    serial = {"converters.bit_serial": True}
    assert circuit_from(small(**serial)) == Converters(output_bits=None, bit_serial=True)


def test_forming_is_made_of_its_word_its_voltage_its_width_and_its_current():
    own = {"chip.forming_width": 1e-5, "chip.forming_compliance": 1e-4}
    for word, forming in (("half", FixedVoltage(0.5)), ("ramp", VoltageRamp())):
        settings = small(**{"chip.forming": word, **own}).chip
        expected = replace(forming, width=1e-5, compliance=1e-4)
        assert chip_from(settings, 0).forming == expected
    volts = small(**{"chip.forming_voltage": 3.5, **own}).chip
    assert chip_from(volts, 0).forming == FixedVoltage(voltage=3.5, width=1e-5, compliance=1e-4)


@pytest.mark.parametrize("arm", ARMS)
def test_a_setting_that_an_arm_does_not_heed_changes_nothing(tmp_path, arm):
    """Where `heeds` says no, another value gives the same figures to the bit."""
    other = {
        "chip.forming": "half", "search.keep_fraction": 0.3, "converters.input_bits": 3,
        "chip.values.programming_error": 0.3, "converters.output_bits": 5,
        "wires.output_line_resistance": 5.0,
    }  # fmt: skip
    ignored = {path: value for path, value in other.items() if not ARMS[arm].heeds(path)}
    plain = small(**{"run.arms": [arm], "training.epochs": 1})
    records = [
        run_experiment(recipe, tmp_path / name)
        for name, recipe in (("a", plain), ("b", plain.with_settings(ignored)))
    ]
    first, second = (record["results"][0]["trials"][0] for record in records)
    assert first["test"] == second["test"]
    assert first["pulses"] == second["pulses"]


def start(out: Path, *extra: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "secateur", "run", "digits", "--out", str(out), *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize("arm", ["pruned-cells", "programmed-aware"])
def test_killed_at_any_moment_and_resumed_the_record_is_the_same(tmp_path, arm):
    settings = ["--arm", arm, "--epochs", "12", "--set", "network.channels=8"]
    whole = start(tmp_path / "whole", *settings)
    assert whole.wait(timeout=120) == 0, whole.stderr.read().decode()
    out = tmp_path / "cut"
    run, kills = start(out, *settings), 0
    for epoch in (2, 5, 9):
        folder = f"trials/{arm}-chip0" if arm == "pruned-cells" else "trained/*"
        deadline = time.monotonic() + 60
        # Just after a checkpoint, in the middle of the next epoch.
        while not list(out.glob(f"{folder}/checkpoint-{epoch:04d}.*")) and run.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        if run.poll() is None:
            time.sleep(0.02)
            os.killpg(run.pid, signal.SIGKILL)
            kills += 1
        run.wait()
        run.stderr.close()
        run = start(out, "--resume")
    assert run.wait(timeout=120) == 0, run.stderr.read().decode()
    assert kills >= 1
    records = [json.loads((d / "record.json").read_text()) for d in (tmp_path / "whole", out)]
    for record in records:
        record["command"] = record["command"].replace(str(tmp_path / "whole"), str(out))
    assert without_times(records[0]) == without_times(records[1])


def test_a_truncated_checkpoint_is_passed_over_for_the_one_before_it(tmp_path):
    recipe = small(**{"run.arms": ["pruned"]})
    whole = run_experiment(recipe, tmp_path / "run")
    trial = tmp_path / "run/trials/pruned-chip0"
    (trial / "result.json").unlink()
    newest = sorted(trial.glob("checkpoint-*"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    again = run_experiment(recipe, tmp_path / "run", resume=True)
    (note,) = again["results"][0]["trials"][0]["notes"]
    assert newest.name in note
    assert without_times(again) == without_times(whole)


def test_checkpoints_that_are_all_unreadable_are_refused(tmp_path):
    recipe = small(**{"run.arms": ["pruned"]})
    run_experiment(recipe, tmp_path / "run")
    trial = tmp_path / "run/trials/pruned-chip0"
    (trial / "result.json").unlink()
    for checkpoint in trial.glob("checkpoint-*"):
        checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(FileError, match="checkpoints"):
        run_experiment(recipe, tmp_path / "run", resume=True)


def test_another_thread_count_is_refused_on_resume(tmp_path):
    run_experiment(small(**{"run.arms": ["random"]}), tmp_path / "run")
    changed = small(**{"run.arms": ["random"], "run.threads": 2})
    with pytest.raises(SettingError, match="--threads 1"):
        run_experiment(changed, tmp_path / "run", resume=True)


def test_a_diverging_run_says_which_trial_and_promises_no_checkpoint(tmp_path):
    recipe = small(**{"run.arms": ["digital"], "run.chips": 4, "training.learning_rate": 1e30})
    with warnings.catch_warnings():
        # joblib's own, of trials that it has not run to their end.
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(DivergedError) as refusal:
            run_experiment(recipe, tmp_path / "run")
    words = str(refusal.value)
    assert re.search(r"in epoch 1 \(arm digital, chip [0-3]\)\.", words)
    assert "Lower training.learning_rate" in words
    assert "checkpoint" not in words


def test_a_batch_larger_than_the_training_data_is_refused_with_their_number(tmp_path):
    # 1 438 are trained on where the validation part is among them, 1 079 where it is not.
    for split, samples in (("test", 1438), ("validation", 1079), ("both", 1079)):
        settings = {"run.arms": ["digital"], "run.split": split}
        recipe = small(**settings, **{"training.batch_size": samples + 1})
        with pytest.raises(SettingError, match=rf"batch_size is {samples + 1}.* {samples} samples"):
            run_experiment(recipe, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_chip_that_is_too_small_is_refused(tmp_path):
    recipe = small(**{"run.arms": ["pruned"], "chip.macros": 1, "network.hidden": 4000})
    with pytest.raises(Exception, match="No room"):
        run_experiment(recipe, tmp_path / "run")
