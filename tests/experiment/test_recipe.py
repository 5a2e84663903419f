"""A recipe is complete, re-runnable, and refuses what it does not know, by name."""

import tomllib

import pytest

from secateur.errors import SettingError
from secateur.experiment.recipe import ARM_NAMES, Recipe, parse_assignment
from secateur.tasks import TASKS


def shipped(task: str) -> Recipe:
    return Recipe.parse(tomllib.loads(TASKS[task].recipe), where=task)


@pytest.mark.parametrize("task", TASKS)
def test_a_shipped_recipe_survives_being_written_and_read(task):
    recipe = shipped(task)
    assert Recipe.parse(tomllib.loads(recipe.toml()), where="again") == recipe


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("arm", ARM_NAMES)
def test_every_arm_of_a_shipped_recipe_is_valid(task, arm):
    assert shipped(task).for_arm(arm).task.name == task


def test_an_arm_sees_its_own_values_and_the_others_do_not():
    recipe = Recipe.parse(
        {"task": "digits", "arms": {"pruned": {"training": {"epochs": 3}}}}, where="here"
    )
    assert recipe.for_arm("pruned").training.epochs == 3
    assert recipe.for_arm("digital").training.epochs == recipe.training.epochs


def test_a_setting_given_by_hand_beats_an_arms_own():
    recipe = Recipe.parse(
        {"task": "digits", "arms": {"pruned": {"training": {"epochs": 3}}}}, where="here"
    )
    changed = recipe.with_settings({"training.epochs": 7})
    assert changed.for_arm("pruned").training.epochs == 7
    only_one = recipe.with_settings({"arms.digital.training.epochs": 9})
    assert only_one.for_arm("pruned").training.epochs == 3
    assert only_one.for_arm("digital").training.epochs == 9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"training.epoch": 3}, ["training.epoch", "'training.epochs'"]),
        ({"serach.grain": "cell"}, ["serach", "'search'"]),
        ({"training.epochs": "many"}, ["training.epochs", "many", "a whole number of at least 1"]),
        ({"training.epochs": 0}, ["training.epochs", "0"]),
        ({"search.grain": "sell"}, ["search.grain", "cell"]),
        ({"run.arms": ["prund"]}, ["prund", "'pruned'"]),
        ({"arms.prund.training.epochs": 3}, ["prund", "'pruned'"]),
        ({"arms.pruned.search.grian": "cell"}, ["search.grian", "'search.grain'"]),
        ({"chip.forming_voltage": -3.4}, ["chip.forming_voltage", "-3.4"]),
        ({"search.keep_fraction": 0.0}, ["search.keep_fraction", "0.0"]),
        (
            {"search.pairs_per_weight": {"conv*": 2, "*": 0}},
            ["search.pairs_per_weight of '*' is 0", "each with a whole number of at least 1"],
        ),
        (
            {"search.keep_fraction": 1.5},
            ["search.keep_fraction is 1.5", "Give a number above 0 and at most 1, or a table"],
        ),
        (
            {"search.keep_fraction": {"conv*": 0.5, "*": 1.5}},
            ["search.keep_fraction of '*' is 1.5", "a number above 0 and at most 1"],
        ),
        ({"stress.ages": [1.0, -1.0]}, ["stress.ages at place 2 is -1.0", "at least 0"]),
        ({"wires.sense_resistance": float("inf")}, ["wires.sense_resistance is inf", "finite"]),
        ({"chip": 3}, ["chip is 3", "a section", "chip.technology", "chip.forming"]),
        ({"training.epochs.more": 3}, ["training.epochs.more", "Write training.epochs=..."]),
        ({"keep_fraction": 0.3}, ["'keep_fraction'", "Did you mean 'search.keep_fraction'?"]),
        ({"search.nonsense": 1}, ["search.nonsense", "Known: search.anneal_epochs, "]),
        ({"run.vary": {"training.epochs": []}}, ["run.vary", "training.epochs"]),
        ({"training.learning_rate": float("nan")}, ["training.learning_rate"]),
        ({"stress.remedies": "norms"}, ["stress.remedies", "a list ["]),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(settings, words):
    with pytest.raises(SettingError) as refusal:
        shipped("digits").with_settings(settings)
    for word in words:
        assert word in str(refusal.value)
    # Words of the validating library, which name nothing that a reader has written.
    assert "constrained" not in str(refusal.value)
    assert "valid" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("training.epochs=5", "training.epochs", 5),
        ("search.keep_fraction = 0.3", "search.keep_fraction", 0.3),
        ("network.hidden_norm=true", "network.hidden_norm", True),
        ("chip.forming=ramp", "chip.forming", "ramp"),
        ('search.keep_fraction={conv1=0.6, "*"=0.5}', "search.keep_fraction",
         {"conv1": 0.6, "*": 0.5}),
    ],
)  # fmt: skip
def test_an_assignment_reads_its_value_as_toml_or_as_a_word(text, path, value):
    assert parse_assignment(text) == (path, value)


@pytest.mark.parametrize("text", ["training.epochs", "=5", ""])
def test_an_assignment_without_its_parts_is_refused(text):
    with pytest.raises(SettingError, match="path=value"):
        parse_assignment(text)
