"""A search for the best settings by Optuna: what to try next, and what is not worth its end.

Each arm has a study of its own in the sweep's directory, and as many trials as the others. The
sampler's draws are keyed by (seed, arm, trial), so that a resumed search with one worker tries what
an uninterrupted one would have.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from secateur.errors import SettingError
from secateur.experiment.recipe import Recipe
from secateur.experiment.sweep.plan import Configuration, Plan
from secateur.experiment.sweep.source import Ended, Source
from secateur.experiment.sweep.space import Range
from secateur.experiment.sweep.work import (
    ABANDONED,
    FAILED,
    FINISHED,
    REFUSED,
    AbandonedError,
    Order,
    Outcome,
    SettledError,
    carry_out,
    forget_tries,
    outcome_in,
    place_of,
)
from secateur.experiment.trial import Judge
from secateur.keyed import key_of

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage
    from optuna.trial import TrialState
except ImportError as error:
    raise SettingError(
        "Optuna is not installed", where="--optimise",
        remedy="Install it with `pip install secateur[sweep]`, or draw points with --random N",
    ) from error  # fmt: skip


class Search(Source):
    """Points that Optuna's TPE suggests, one configuration after the other.

    Args:
        plan: of the sweep.
        out: its directory, which holds the studies.
        order: makes an order of a configuration and a chip.
        workers: that work at a time.
    """

    eager = False

    def __init__(
        self, plan: Plan, out: Path, order: Callable[[Configuration, int], Order], *, workers: int
    ) -> None:
        super().__init__(plan, out)
        self._order, self._workers = order, workers
        kinds = optuna.study.StudyDirection
        direction = kinds.MAXIMIZE if plan.maximise else kinds.MINIMIZE
        self._studies = {
            arm: optuna.create_study(
                study_name=arm, storage=storage_in(out), direction=direction, load_if_exists=True
            )
            for arm in plan.arms
        }
        self._configurations: dict[str, Configuration] = {}
        self._ended: set[tuple[str, int]] = set()

    @property
    def work(self) -> Callable[[Order], Outcome]:
        """See `Source.work`."""
        return try_out

    @property
    def epochs(self) -> int:
        """See `Source.epochs`."""
        return sum(
            self._total(arm) * self._epochs_of(Configuration(0, arm, {})) for arm in self._studies
        )

    def resume(self, *, retry_failed: bool) -> Ended:
        """See `Source.resume`; trials that a kill has interrupted go on with their settings."""
        if retry_failed:
            raise SettingError(
                "A search has taken its failures into account", where="--retry-failed",
                remedy="Leave it out, or begin a search of its own in another --out",
            )  # fmt: skip
        for arm, study in self._studies.items():
            for trial in study.get_trials(deepcopy=False):
                configuration = self._configuration(arm, trial)
                for chip in range(self._plan.recipe.run.chips):
                    place = self._place(configuration, chip)
                    if (ended := outcome_in(place)) is None:
                        forget_tries(place)
                    else:
                        self._ended.add((configuration.name, chip))
                        yield configuration, chip, ended

    def begun(self) -> list[Order]:
        """See `Source.begun`."""
        return [
            self._order_of(arm, trial)
            for arm, study in self._studies.items()
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        ]

    def fresh(self) -> Iterator[Order]:
        """See `Source.fresh`; a point is suggested when a worker is free, all known by then."""
        for arm, study in self._studies.items():
            while (number := len(study.get_trials(deepcopy=False))) < self._total(arm):
                key = key_of(self._plan.recipe.run.seed, "optimise", arm, number)
                study.sampler = optuna.samplers.TPESampler(
                    seed=key % 2**32, constant_liar=self._workers > 1
                )
                yield self._order_of(arm, study.ask())

    def note(self, outcome: Outcome) -> Ended:
        """See `Source.note`."""
        configuration = self._configurations[outcome["run"]]
        for one in outcome["chips"]:
            key = (configuration.name, one["chip"])
            if key not in self._ended:
                self._ended.add(key)
                yield configuration, one["chip"], one

    def _total(self, arm: str) -> int:
        assert self._plan.trials is not None
        return self._plan.trials if self._plan.space_of(arm) is not None else 1

    def _order_of(self, arm: str, trial: Any) -> Order:
        """An order for a whole trial of the search: all chips, one after the other."""
        configuration = self._configuration(arm, trial)
        self._begin(configuration)
        return {
            **self._order(configuration, 0), "trial": trial._trial_id, "number": trial.number,
            "metric": self._plan.metric, "chips": self._plan.recipe.run.chips,
        }  # fmt: skip

    def _configuration(self, arm: str, trial: Any) -> Configuration:
        """A trial's settings; what a kill has kept from being suggested is suggested now."""
        space = self._plan.space_of(arm)
        settings = {} if space is None else dict(trial.params)
        if space is not None and settings.keys() != space.settings.keys():
            live = optuna.trial.Trial(self._studies[arm], trial._trial_id)
            settings = {path: suggested(live, path, v) for path, v in space.settings.items()}
        settings = {path: settings[path] for path in (space.settings if space else ())}
        found = Configuration(trial.number, arm, settings)
        return self._configurations.setdefault(found.name, found)


def suggested(trial: Any, path: str, values: tuple[Any, ...] | Range) -> Any:
    """A trial's value of one setting."""
    if not isinstance(values, Range):
        return trial.suggest_categorical(path, list(values))
    if values.whole:
        return trial.suggest_int(path, int(values.low), int(values.high), log=values.logarithmic)
    return trial.suggest_float(path, values.low, values.high, log=values.logarithmic)


def storage_in(out: Path) -> JournalStorage:
    """The studies of a sweep: a file to which several processes append."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(JournalFileBackend(str(out / "optuna.journal")))


def try_out(order: Order) -> Outcome:
    """What a worker does with a point: a trial on every chip, unless it is abandoned on the way.

    The study is told how it ended before the order is answered, so that the next point is suggested
    with it in mind.
    """
    pruner_epochs = _epochs(order)
    study = optuna.load_study(
        study_name=order["arm"], storage=storage_in(Path(order["out"])),
        # Hopeless: below the median of the trials before it, once a fifth of the epochs is over.
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=pruner_epochs // 5),
    )  # fmt: skip
    trial = optuna.trial.Trial(study, order["trial"])
    outcomes: list[Outcome] = []
    for chip in range(order["chips"]):
        judge = _judge(trial, order, epochs=pruner_epochs) if chip == 0 else None
        outcome = carry_out({**order, "chip": chip}, judge)
        if outcome["state"] == REFUSED:
            return outcome
        outcomes.append(outcome)
        if outcome["state"] != FINISHED:
            break
    _tell(study, order, outcomes)
    return {"run": order["run"], "state": outcomes[-1]["state"], "chips": outcomes}


def _tell(study: Any, order: Order, outcomes: list[Outcome]) -> None:
    # A worker may have died between telling the study and answering.
    if _told(study, order["number"]):
        return
    state = outcomes[-1]["state"]
    try:
        if state == FINISHED:
            figures = [outcome["result"]["figures"][order["metric"]] for outcome in outcomes]
            study.tell(order["number"], fmean(figures))
        else:
            told = {FAILED: TrialState.FAIL, ABANDONED: TrialState.PRUNED}[state]
            study.tell(order["number"], state=told)
    except (RuntimeError, ValueError):
        # Optuna's words for: another worker was a moment earlier.
        if not _told(study, order["number"]):
            raise


def _told(study: Any, number: int) -> bool:
    """Whether a study knows how its trial has ended."""
    return bool(study.get_trials(deepcopy=False)[number].state.is_finished())


def _judge(trial: Any, order: Order, *, epochs: int) -> Judge:
    """Tells the study how the first chip gets on, epoch by epoch, and asks whether to go on.

    Two workers may be at one trial. Once the other has ended it this one goes no further, or on in
    silence where that ending was deleted.
    """
    place = place_of({**order, "chip": 0})

    def judge(epoch: int, measure: Callable[[], Any]) -> None:
        if epoch >= epochs:
            return
        value = float(measure()[order["metric"]])
        try:
            trial.report(value, epoch)
        except RuntimeError:
            if not _told(trial.study, order["number"]):
                raise
            if outcome_in(place) is not None:
                raise SettledError from None
            return
        if trial.should_prune():
            raise AbandonedError(epoch, value)

    return judge


def _epochs(order: Order) -> int:
    recipe = Recipe.read(Path(order["out"]) / "runs" / order["run"] / "recipe.toml")
    return recipe.for_arm(order["arm"]).training.epochs
