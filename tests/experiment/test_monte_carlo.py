"""Monte-Carlo: draws that are keyed, of what is random after training and of nothing else."""

import copy
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from scipy.stats import binom

from secateur.errors import FileError, SettingError
from secateur.experiment import monte_carlo as module
from secateur.experiment.checkpoint import restore_checkpoint
from secateur.experiment.evaluate import chip_of
from secateur.experiment.monte_carlo import Hardship, drawn, monte_carlo, summaries, yield_of
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.experiment.setting import Trial, set_up, trained_in


def small(**settings) -> Recipe:
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 2, "batch_size": 30},
         "run": {"arms": ["programmed", "pruned", "digital"], "split": "validation", "chips": 2}},
        where="test",
    )  # fmt: skip
    return recipe.with_settings(settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, run_experiment(small(), out)


def figures(found: dict, arm: str) -> list[float]:
    return [row["figures"]["loss"] for row in found["draws"] if row["arm"] == arm]


def test_with_the_trials_own_seed_a_draw_gives_its_figures_to_the_bit(run):
    out, record = run
    for group in record["results"]:
        if group["arm"] == "digital":
            continue
        for chip, told in enumerate(group["trials"]):
            trial = Trial(group["arm"], "", {}, chip, "validation")
            setting = set_up(trial, small(), data=None, folder=out / "trials" / trial.name)
            restore_checkpoint(out / trained_in(trial, small()), setting.trainer)
            setting.trainer.run(lambda line: None)
            twin = drawn(setting, setting.trainer.model, seed=setting.seed, hardship=Hardship())
            assert setting.task.measure(twin, setting.measured).figures == told["validation"]


def test_draws_differ_and_are_dealt_to_all_networks(run):
    found = monte_carlo(run[0], draws=6)
    assert list(found["summary"]) == ["programmed", "pruned"]
    for arm in found["summary"]:
        rows = [row for row in found["draws"] if row["arm"] == arm]
        assert [row["draw"] for row in rows] == list(range(6))
        assert [row["chip"] for row in rows] == [0, 1] * 3
        assert len(set(figures(found, arm))) == 6


def test_few_draws_are_the_first_of_many_in_any_number_of_processes(run):
    few = monte_carlo(run[0], draws=3, arms=["pruned"])
    many = monte_carlo(run[0], draws=5, arms=["pruned"], processes=2)
    assert many["draws"][:3] == few["draws"]


def alone(script: str, run) -> list[str]:
    """What a script prints in a process of its own, without the memory and threads of others."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


WAYS = """
import sys
from pathlib import Path
from secateur.experiment import monte_carlo as module
ways = []
def noting(way, plain):
    return lambda *given, **settings: ways.append(way) or plain(*given, **settings)
for way in ("forked", "started"):
    setattr(module, way, noting(way, getattr(module, way)))
def draws(processes):
    return module.monte_carlo(Path(sys.argv[1]), draws=3, processes=processes)["draws"]
found = [draws(1), draws(2)]
module.can_fork = lambda threads: False
found.append(draws(2))
assert found[0] == found[1] == found[2], found
print(*ways)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no other system forks safely")
def test_forks_and_started_workers_draw_the_same(run):
    assert alone(WAYS, run[0]) == ["forked", "started"]


@pytest.mark.parametrize("arm", ["programmed", "pruned"])
def test_memory_does_not_grow_with_the_number_of_draws(run, monkeypatch, arm):
    """No copy of model and chip is left when the next one is drawn."""
    copies, plain = [], drawn

    def noted(*given, **settings):
        assert not [copy for copy in copies if copy() is not None]
        twin = plain(*given, **settings)
        copies.extend([weakref.ref(twin), weakref.ref(chip_of(twin))])
        return twin

    monkeypatch.setattr(module, "drawn", noted)
    hardship = Hardship(age=10.0, failed=0.1, renew=True)
    gc.disable()  # None goes by chance.
    try:
        monte_carlo(run[0], draws=4, arms=[arm], hardship=hardship)
    finally:
        gc.enable()
    assert len(copies) == 8


def test_without_noise_and_hardship_nothing_is_left_to_draw(tmp_path):
    quiet = small(**{"run.arms": ["pruned"], "run.chips": 1, "chip.values.read_noise": 0.0})
    record = run_experiment(quiet, tmp_path / "run")
    found = monte_carlo(tmp_path / "run", draws=3)
    (trial,) = record["results"][0]["trials"]
    assert set(figures(found, "pruned")) == {trial["validation"]["loss"]}


def test_all_networks_are_measured_on_one_part(tmp_path):
    quiet = {"run.arms": ["pruned"], "run.split": "both", "chip.values.read_noise": 0.0}
    (group,) = run_experiment(small(**quiet), tmp_path / "run")["results"]
    assert figures(found := monte_carlo(tmp_path / "run", draws=2), "pruned") == [
        trial["test"]["loss"] for trial in group["trials"]
    ]
    assert found["part"] == "test"
    # As if the run had been ended before its last trials.
    (tmp_path / "run/trials/pruned-chip0/result.json").unlink()
    assert figures(found := monte_carlo(tmp_path / "run", draws=2), "pruned") == [
        trial["validation"]["loss"] for trial in group["trials"]
    ]
    assert found["part"] == "validation"


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_cells_that_fail_stay_the_cells_of_their_chip(tmp_path, spread):
    """What is frozen at birth stays: without a spread from pulse to pulse, a cell has one low and
    one high state, in every future. With one, it fails to another state in each."""
    still = {"high_cycle_spread": spread, "low_cycle_spread": spread, "read_noise": 0.0}
    law = {f"chip.values.{name}": value for name, value in still.items()}
    recipe = small(**{"run.arms": ["pruned"], "run.chips": 1, "training.epochs": 1, **law})
    run_experiment(recipe, tmp_path / "run")
    trial = Trial("pruned", "", {}, 0, "validation")
    setting = set_up(trial, recipe, data=None, folder=tmp_path / "run/trials" / trial.name)
    restore_checkpoint(tmp_path / "run" / trained_in(trial, recipe), setting.trainer)
    setting.trainer.run(lambda line: None)
    model = setting.trainer.model

    def conductances(chip) -> torch.Tensor:
        return torch.cat([chip.conductance(region).view(-1) for region in chip.placement.regions])

    futures = [
        conductances(chip_of(drawn(setting, model, seed=seed, hardship=Hardship(failed=1.0))))
        for seed in (1, 2)
    ]
    own = copy.deepcopy(chip_of(model))
    everyone = torch.arange(len(futures[0]))
    own.reset(everyone)
    low = conductances(own)
    own.set(everyone)
    high = conductances(own)
    if not spread:
        assert all(bool(((cells == low) | (cells == high)).all()) for cells in futures)
    middle = (low * high).sqrt()
    raised = [(low != high) & (cells > middle) for cells in futures]
    # Half of the cells fail high, and which half is drawn anew.
    twice = raised[0] & raised[1]
    assert float(twice.sum()) == pytest.approx(0.25 * int((low != high).sum()), rel=0.15)
    assert bool(((futures[0] == futures[1])[twice] == (not spread)).all())


def test_hardship_costs_accuracy_and_new_norms_give_some_back(run):
    means = [
        monte_carlo(run[0], draws=4, arms=["programmed"], hardship=hardship)["summary"]
        for hardship in (Hardship(), Hardship(failed=0.3), Hardship(failed=0.3, renew=True))
    ]
    fresh, worn, renewed = (one["programmed"]["loss"]["mean"] for one in means)
    assert fresh < renewed < worn


def test_a_chips_futures_differ_in_how_it_ages(tmp_path):
    """On a memory that drifts, without any noise of reads: what differs is the drift."""
    law = {"chip.technology": "pcm", "chip.values.read_noise": 0.0}
    run_experiment(small(**{"run.arms": ["pruned"], "run.chips": 1, **law}), tmp_path / "run")
    found = monte_carlo(tmp_path / "run", draws=3, hardship=Hardship(age=1e7))
    assert len(set(figures(found, "pruned"))) == 3


def test_a_run_is_left_as_it_was(run):
    def state(folder):
        return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")}

    before = state(run[0])
    monte_carlo(run[0], draws=2, hardship=Hardship(age=10.0, failed=0.1))
    assert state(run[0]) == before


@pytest.mark.parametrize(("arms", "message"), [(["digital"], "on a chip"), (["prund"], "pruned")])
def test_arms_without_draws_are_refused(run, arms, message):
    with pytest.raises(SettingError, match=message):
        monte_carlo(run[0], draws=2, arms=arms)


def test_what_cannot_be_is_refused(run, tmp_path):
    with pytest.raises(SettingError, match="at least 1"):
        monte_carlo(run[0], draws=0)
    with pytest.raises(SettingError, match="share"):
        Hardship(failed=1.5)
    with pytest.raises(SettingError, match="age"):
        Hardship(age=-1.0)
    with pytest.raises(FileError, match="no run directory"):
        monte_carlo(tmp_path)
    run_experiment(small(**{"run.arms": ["digital"], "run.chips": 1}), tmp_path / "run")
    with pytest.raises(FileError, match="with a chip"):
        monte_carlo(tmp_path / "run")


def test_summaries_are_those_of_the_sample():
    values = np.random.default_rng(0).normal(size=40)
    (one,) = summaries([{"x": float(value)} for value in values]).values()
    assert one["mean"] == pytest.approx(values.mean())
    assert one["std"] == pytest.approx(values.std(ddof=1))
    assert one["q05"] == pytest.approx(np.quantile(values, 0.05))
    assert (one["min"], one["max"]) == (values.min(), values.max())


@pytest.mark.parametrize("good", [0, 1, 20, 63, 64])
def test_the_interval_of_a_yield_is_exact(good):
    """At its ends the observed number has a tail of 2.5 % in the binomial law."""
    share, low, high = yield_of([1.0] * good + [0.0] * (64 - good), 0.5)
    assert share == good / 64
    if good:
        assert binom.sf(good - 1, 64, low) == pytest.approx(0.025)
    else:
        assert low == 0.0
    if good < 64:
        assert binom.cdf(good, 64, high) == pytest.approx(0.025)
    else:
        assert high == 1.0
