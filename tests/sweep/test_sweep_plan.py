"""A plan: counted before it is made, checked before it is run."""

import pytest
from tiny import plan, recipe

from secateur.errors import FileError, SettingError
from secateur.experiment.sweep import Plan, Space, counted
from secateur.experiment.sweep.plan import REFUSE_ABOVE

TWO = ("search.keep_fraction=0.3,0.5", "training.learning_rate=0.05,0.1,0.2")


def test_arms_run_once_for_the_values_that_they_do_not_heed():
    found = plan(*TWO, settings={"run.arms": ["pruned", "digital"], "run.chips": 4})
    configurations = list(found.configurations())
    assert [c.arm for c in configurations] == ["digital"] * 3 + ["pruned"] * 6
    assert configurations[0].settings == {"training.learning_rate": 0.05}
    assert len({c.name for c in configurations}) == 9
    assert counted(found) == 4 * 9


def test_measured_is_the_validation_part_whatever_the_recipe_says():
    assert plan(*TWO).recipe.run.split == "validation"
    assert plan(*TWO, settings={"run.split": "test"}).recipe.run.split == "validation"


def test_settings_reach_the_recipe_of_a_configuration_before_those_of_its_arm():
    own = {"arms": {"pruned": {"search": {"keep_fraction": 0.9}}}}
    base = recipe().parse({**recipe().table(), **own}, where="test")
    made = Plan.of(base, Space.from_words(TWO))
    for configuration in made.configurations():
        seen = made.recipe_of(configuration)
        assert seen.run.arms == ("pruned",)
        found = seen.for_arm("pruned")
        assert found.search.keep_fraction == configuration.settings["search.keep_fraction"]
        assert found.training.learning_rate == configuration.settings["training.learning_rate"]


@pytest.mark.parametrize(
    ("over", "how", "number"),
    [(TWO, {}, 6), (TWO, {"random": 4}, 4), (("search.keep_fraction=0.1..0.9",), {"random": 7}, 7),
     (TWO, {"optimise": "accuracy", "trials": 9}, 9)],
)  # fmt: skip
def test_trials_are_counted(over, how, number):
    assert counted(plan(*over, settings={"run.chips": 3}, **how)) == 3 * number


@pytest.mark.parametrize(
    ("over", "how", "message"),
    [
        (("search.keep_fractoin=0.3,0.5",), {}, "keep_fraction"),
        (("search.keep_fraction=0.3,1.5",), {}, "keep_fraction"),
        (('search.keep_fraction={conv=0.5, "*"=0.3}',), {}, "is no single value"),
        (("chip.technology=taox-40nm,nothing",), {}, "nothing"),
        (("network.chanels=2,4",), {}, "channels"),
        (("search.keep_fraction=0.1..1.5",), {"random": 30}, "keep_fraction"),
        (("search.keep_fraction=0.1..1.5",), {"optimise": "accuracy"}, "keep_fraction"),
        (("search.keep_fraction=0.1..0.5",), {}, "--random N"),
        (TWO, {"random": 2, "optimise": "accuracy"}, "exclude each other"),
        (TWO, {"optimise": "acuracy"}, "Did you mean 'accuracy'"),
        (TWO, {"optimise": "accuracy", "trials": 0}, "tries nothing"),
    ],
)
def test_an_impossible_plan_is_refused_before_anything_runs(over, how, message):
    with pytest.raises(SettingError, match=message):
        plan(*over, **how)


def test_an_exploding_grid_is_counted_and_not_made():
    many = ",".join(map(str, range(1, 200)))
    over = [f"training.{name}={many}" for name in ("epochs", "batch_size", "warm_up")]
    with pytest.raises(SettingError, match=r"7 880 599 trials, more than 100 000"):
        plan(*over)
    assert REFUSE_ABOVE == 100_000


def test_a_recipe_that_varies_settings_of_its_own_is_refused():
    with pytest.raises(SettingError, match=r"run\.vary"):
        plan(*TWO, settings={"run.vary": {"search.dead_band": [0.0, 0.1]}})


@pytest.mark.parametrize("how", [{}, {"optimise": "accuracy"}])
@pytest.mark.parametrize(
    ("over", "settings", "message"),
    [
        (TWO, {"stress.remedies": ["nomrs"]}, "Did you mean 'norms'"),
        (("chip.circuit=ideal,read-per-step",), {"chip.recording": "a.h5"}, "for a recorded chip"),
        (("chip.recording=a.h5,b.h5",), {"run.chips": 2}, "1 recorded chips, and run.chips asks"),
        (TWO, {"chip.recording": "a.h5", "run.arms": ["programmed"]}, "cannot run on a recorded"),
    ],
)
def test_what_a_run_would_refuse_is_refused_before_anything_runs(over, settings, message, how):
    """The checks of `secateur run`, for every configuration."""
    with pytest.raises(SettingError, match=message):
        plan(*over, settings=settings, **how)


def test_only_what_an_arm_heeds_is_walked(monkeypatch):
    found = plan(*TWO, "search.dead_band=0.0,0.1", settings={"run.arms": ["digital", "pruned"]})
    walked, grid = [], Space.grid

    def watched(space):
        for point in grid(space):
            walked.append(point)
            yield point

    monkeypatch.setattr(Space, "grid", watched)
    configurations = list(found.configurations())
    assert [c.settings for c in configurations] == walked
    assert len(walked) == 3 + 12


def test_a_search_is_checked_at_points_that_it_may_try():
    """The recipe's own value of a swept setting is none of them."""
    settings = {"chip.technology": "none-such"}
    over = (*TWO, "chip.technology=taox-40nm,hfox")
    assert counted(plan(*over, settings=settings, optimise="loss", trials=3)) == 3


def test_who_begins_a_sweep_is_asked_before_its_configurations_are_looked_at():
    asked = []
    with pytest.raises(SettingError, match="nothing"):
        plan("chip.technology=taox-40nm,nothing", ask=asked.append)
    assert asked == [2]

    def no(number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan("chip.technology=taox-40nm,nothing", ask=no)


def test_more_draws_than_anybody_waits_for_are_refused_whatever_arms_heed():
    with pytest.raises(SettingError, match="1 000 000 trials, more than 100 000"):
        plan("search.keep_fraction=0.1..0.9", settings={"run.arms": ["digital"]}, random=10**6)


BOARD = "tcp://127.0.0.1:5757"


@pytest.mark.parametrize("settings", [{"chip.address": BOARD}, {"arms.pruned.chip.address": BOARD}])
def test_a_board_is_no_part_of_a_sweep(settings):
    """Several workers would pulse one real chip: refused without asking it."""
    with pytest.raises(SettingError, match=r"cannot use a board \(tcp://127.*`secateur run`"):
        plan(*TWO, settings=settings)
    with pytest.raises(SettingError, match=r"from board to board.*has one owner"):
        Space.from_words([f"chip.address={BOARD},tcp://127.0.0.1:5858"])


@pytest.mark.parametrize("how", [{}, {"random": 3}, {"optimise": "loss", "trials": 5}])
def test_a_plan_comes_back_from_its_directory(tmp_path, how):
    made = plan(*TWO, **how)
    made.write(tmp_path / "sweep", command="the words typed")
    assert Plan.read(tmp_path / "sweep") == (made, "the words typed")
    with pytest.raises(FileError, match="--resume"):
        made.write(tmp_path / "sweep", command="")


def test_a_directory_without_a_readable_plan_is_refused(tmp_path):
    with pytest.raises(FileError, match="no sweep to resume"):
        Plan.read(tmp_path)
    (tmp_path / "sweep.json").write_text('{"kind": "grid"}')
    with pytest.raises(FileError, match="cannot be read"):
        Plan.read(tmp_path)
