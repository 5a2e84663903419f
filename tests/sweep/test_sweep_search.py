"""A search by Optuna: seeded, resumable, and sparing with what is hopeless."""

import json
from functools import partial
from statistics import median

import pytest
from test_sweep_run import HerePool
from tiny import plan, recipe

from secateur.errors import SettingError
from secateur.experiment.setting import Trial
from secateur.experiment.sweep import run_sweep
from secateur.experiment.sweep import work as at_work
from secateur.experiment.trial import run_trial

optuna = pytest.importorskip("optuna")
search = pytest.importorskip("secateur.experiment.sweep.search")
OVER = ("search.keep_fraction=0.1..0.9", "training.learning_rate=1e-5..0.5:log",
        "chip.forming=full,ramp")  # fmt: skip


class Stopping(HerePool):
    """A pool after whose so many outcomes the power goes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def outcomes(self, work, orders, *, eager, alone):
        for number, order in enumerate(orders):
            if number == self.number:
                # The worker has ended its trial, and nobody heard of it.
                work(order)
                raise KeyboardInterrupt
            yield work(order)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    out = tmp_path_factory.mktemp("searches") / "whole"
    whole = plan(*OVER, settings={"training.epochs": 3}, optimise="accuracy", trials=12)
    return whole, run_sweep(whole, out, pool=HerePool()), out


def points(results: dict) -> list[tuple]:
    names = [text.partition("=")[0] for text in OVER]
    return [(row["run"], row["state"], *(row[name] for name in names), row["accuracy"])
            for row in results["rows"]]  # fmt: skip


def test_it_tries_as_many_points_as_asked_for_within_the_space(searched):
    _, results, _ = searched
    assert sum(results["states"].values()) == 12
    for row in results["rows"]:
        assert 0.1 <= row["search.keep_fraction"] <= 0.9
        assert 1e-5 <= row["training.learning_rate"] <= 0.5
        assert row["chip.forming"] in ("full", "ramp")


def test_the_best_is_the_best_of_those_that_have_finished(searched):
    _, results, _ = searched
    finished = [row for row in results["rows"] if row["state"] == "finished"]
    assert results["best"]["pruned"]["mean"] == max(row["accuracy"] for row in finished)


def test_hopeless_trials_are_abandoned_and_that_is_recorded(searched):
    """Those whose best so far was below the median of five or more before them at that epoch, no
    others."""
    from secateur.experiment.sweep.search import storage_in

    _, results, out = searched
    tried = optuna.load_study(study_name="pruned", storage=storage_in(out)).trials
    rows = {row["run"]: row for row in results["rows"]}
    finished: list[dict[int, float]] = []
    for number, trial in enumerate(tried):
        values = trial.intermediate_values
        hopeless = [
            epoch for epoch in sorted(values)
            if len(finished) >= 5
            and max(values[e] for e in values if e <= epoch)
            < median(before[epoch] for before in finished)
        ]  # fmt: skip
        row = rows[f"{number:04d}-pruned"]
        assert row["state"] == ("abandoned" if hopeless else "finished")
        if not hopeless:
            finished.append(values)
            continue
        assert (row["epochs"], row["accuracy"]) == (hopeless[0], None)
        place = out / "runs" / row["run"] / "trials/pruned-chip0-validation"
        assert not (place / "result.json").exists()
        told = json.loads((place / "abandoned.json").read_text())
        assert (told["epochs"], told["value"]) == (hopeless[0], values[hopeless[0]])
    assert 0 < len(finished) < len(tried)


def test_interrupted_and_resumed_it_tries_the_same_points_with_the_same_figures(searched, tmp_path):
    whole, results, _ = searched
    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run_sweep(whole, out, pool=Stopping(5))
    again = run_sweep(whole, out, pool=HerePool(), resume=True)
    assert points(again) == points(results)


def test_each_arm_is_tried_as_often_and_one_without_such_settings_once(tmp_path):
    settings = {"run.arms": ["pruned", "digital"], "training.epochs": 1}
    over = ("search.keep_fraction=0.1..0.9",)
    whole = plan(*over, settings=settings, optimise="loss", trials=3)
    results = run_sweep(whole, tmp_path / "sweep", pool=HerePool())
    arms = [row["arm"] for row in results["rows"]]
    assert (arms.count("digital"), arms.count("pruned")) == (1, 3)
    losses = [row["loss"] for row in results["rows"] if row["arm"] == "pruned"]
    assert results["best"]["pruned"]["mean"] == min(losses)


def test_failures_cannot_be_tried_again_in_a_search(searched):
    whole, _, out = searched
    with pytest.raises(SettingError, match="taken its failures"):
        run_sweep(whole, out, pool=HerePool(), resume=True, retry_failed=True)


@pytest.mark.parametrize("hopeless", [False, True])
def test_a_trial_that_another_worker_ends_meanwhile_ends_as_it_did_there(
    tmp_path, monkeypatch, hopeless
):
    """A worker thought dead: its order was sent again, and both are at the trial."""
    out = tmp_path / "sweep"
    over, settings = "search.keep_fraction=0.3,0.5", {"training.epochs": 3}
    whole = plan(over, settings=settings, optimise="accuracy", trials=2)
    trained, told = at_work.run_trial, []

    class Twice(HerePool):
        def outcomes(self, work, orders, *, eager, alone):
            for order in orders:
                monkeypatch.setattr(at_work, "run_trial", partial(slowly, order))
                yield work(order)

    def slowly(order, *arguments, judge, **others):
        """As long as it takes the other worker to end the trial, after the first epoch."""

        def late(epoch, measure):
            if len(told) < 1:
                with monkeypatch.context() as there:
                    there.setattr(at_work, "run_trial", trained)
                    there.setattr(optuna.trial.Trial, "should_prune", lambda trial: hopeless)
                    told.append(search.try_out(order))
            judge(epoch, measure)

        return trained(*arguments, judge=late, **others)

    results = run_sweep(whole, out, pool=Twice())
    assert told[0]["state"] == ("abandoned" if hopeless else "finished")
    assert [row["state"] for row in results["rows"]] == [told[0]["state"], "finished"]
    assert not list(out.rglob("error.json"))
    assert len(list(out.rglob("result.json"))) == (1 if hopeless else 2)
    again = run_sweep(whole, out, pool=HerePool(), resume=True)
    assert again["rows"] == results["rows"]


def test_a_study_that_is_told_by_another_worker_in_the_same_moment_keeps_what_it_was_told(
    tmp_path, monkeypatch
):
    study = optuna.create_study(study_name="pruned", storage=search.storage_in(tmp_path))
    number, told = study.ask().number, search._told

    def late(study, number):
        """The other worker comes between the question and the answer."""
        known = told(study, number)
        if not known:
            study.tell(number, 0.25)
        return known

    monkeypatch.setattr(search, "_told", late)
    for outcome in (
        {"state": "finished", "result": {"figures": {"loss": 0.5}}}, {"state": "failed"},
    ):  # fmt: skip
        search._tell(study, {"number": number, "metric": "loss"}, [outcome])
        assert study.trials[number].value == 0.25
        number = study.ask().number


def test_being_watched_changes_nothing_about_a_trial(tmp_path):
    """Figures between epochs are those of a copy: no draw of the trial itself moves."""
    own = recipe(**{"run.split": "validation"})
    trial = Trial("pruned", "", {}, 0, "validation")
    seen = []
    alone = run_trial(trial, own, tmp_path / "a/trials/trial", data=None, report=lambda line: None)
    watched = run_trial(
        trial, own, tmp_path / "b/trials/trial", data=None, report=lambda line: None,
        judge=lambda epoch, measure: seen.append((epoch, measure()["accuracy"])),
    )  # fmt: skip
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert all(0.0 <= accuracy <= 1.0 for _, accuracy in seen)
    for result in (alone, watched):
        result.pop("wall_time_s")
    assert watched == alone
