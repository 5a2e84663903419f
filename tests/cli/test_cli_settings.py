"""Options become a recipe: all of them, once each, on the right base."""

from pathlib import Path

import pytest

from secateur.cli.settings import (
    SWEEP_ARMS,
    SWEEP_PATH,
    SWEEP_VALUES,
    Asked,
    recipe_of,
    shipped_recipe,
)
from secateur.errors import FileError, SettingError


def test_without_options_the_shipped_recipe_is_run():
    assert recipe_of(Asked(task="digits")) == shipped_recipe("digits")


def test_options_and_assignments_override_it():
    recipe = recipe_of(
        Asked(
            task="digits",
            options=(("--chips", "run.chips", 3), ("--arm", "run.arms", ["pruned"])),
            assignments=["search.keep_fraction=0.25", "chip.forming=half", "search.grain = 'cell'"],
        )
    )
    assert (recipe.run.chips, recipe.run.arms) == (3, ("pruned",))
    assert recipe.search.keep_fraction == 0.25
    assert recipe.chip.forming == "half"
    assert recipe.search.grain == "cell"
    untouched = shipped_recipe("digits")
    assert recipe.training == untouched.training
    assert recipe.run.seed == untouched.run.seed


def test_zero_is_a_value_and_none_is_not():
    options = (("--seed", "run.seed", 0), ("--epochs", "training.epochs", None))
    base = Asked(task="digits", assignments=["run.seed=7"])
    assert recipe_of(base).run.seed == 7
    with pytest.raises(SettingError, match=r"run\.seed is set twice"):
        recipe_of(Asked(task="digits", options=options, assignments=["run.seed=7"]))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("search.dead_band=0.0,0.05, 0.1", (0.0, 0.05, 0.1)),
        ("search.dead_band=[0.0, 0.05]", (0.0, 0.05)),
        ("chip.forming=full,half,ramp", ("full", "half", "ramp")),
        ("chip.forming=ramp", ("ramp",)),
        ("network.hidden_norm=true,false", (True, False)),
        ("training.epochs=1,2", (1, 2)),
    ],
)
def test_varied_values_keep_their_types(text, values):
    varied = recipe_of(Asked(task="digits", vary=[text])).run.vary
    assert varied == {text.partition("=")[0]: values}
    assert [type(value) for value in varied.popitem()[1]] == [type(value) for value in values]


def test_several_settings_can_be_varied():
    vary = ["search.dead_band=0.0,0.1", "chip.forming=full,ramp"]
    assert set(recipe_of(Asked(task="digits", vary=vary)).run.vary) == {
        "search.dead_band",
        "chip.forming",
    }


@pytest.mark.parametrize(
    "text", ["search.dead_band", "search.dead_band=", "search.dead_band=[]", "=1,2"]
)
def test_varying_nothing_is_refused(text):
    with pytest.raises(SettingError, match="names no values"):
        recipe_of(Asked(task="digits", vary=[text]))


def test_the_sweep_takes_the_arms_it_is_about_unless_told_otherwise():
    swept = recipe_of(Asked(task="digits", sweep_programming_error=True)).run
    assert swept.arms == SWEEP_ARMS
    assert swept.vary == {SWEEP_PATH: SWEEP_VALUES}
    asked = Asked(
        task="digits",
        sweep_programming_error=True,
        options=(("--arm", "run.arms", ["programmed"]),),
    )
    assert recipe_of(asked).run.arms == ("programmed",)


@pytest.mark.parametrize(
    "asked",
    [
        Asked(task="digits", assignments=["training.epochs=1", "training.epochs=2"]),
        Asked(task="digits", vary=["chip.forming=full", "chip.forming=half"]),
        Asked(task="digits", sweep_programming_error=True, vary=[f"{SWEEP_PATH}=0.1"]),
        Asked(task="digits", vary=["chip.forming=full"], assignments=["run.vary={}"]),
    ],
)
def test_a_setting_given_twice_is_refused(asked):
    with pytest.raises(SettingError, match="set twice"):
        recipe_of(asked)


def test_a_recipe_file_names_its_task(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('task = "digits"\n[training]\nepochs = 3\n', encoding="utf-8")
    assert recipe_of(Asked(recipe=path)).training.epochs == 3
    assert recipe_of(Asked(task="digits", recipe=path)).task.name == "digits"
    with pytest.raises(SettingError, match=r"recipe of the task 'digits', not of 'fashion-mnist'"):
        recipe_of(Asked(task="fashion-mnist", recipe=path))


def test_a_resumed_run_has_its_own_recipe(tmp_path: Path):
    begun = recipe_of(Asked(task="digits", assignments=["training.epochs=3"]))
    (tmp_path / "recipe.toml").write_text(begun.toml(), encoding="utf-8")
    assert recipe_of(Asked(resume=True, out=tmp_path)) == begun
    other = recipe_of(Asked(resume=True, out=tmp_path, assignments=["training.epochs=4"]))
    assert other.training.epochs == 4  # which the runner then refuses


def test_what_cannot_be_resumed_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match="--out"):
        recipe_of(Asked(resume=True))
    with pytest.raises(FileError, match="no run to resume"):
        recipe_of(Asked(resume=True, out=tmp_path))


def test_a_run_needs_a_task():
    with pytest.raises(SettingError, match="No task was named"):
        recipe_of(Asked())
