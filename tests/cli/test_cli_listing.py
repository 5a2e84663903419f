"""What there is: tasks, arms, technologies, recipes; for people and for programs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from secateur.cli.main import app
from secateur.device import Technology, presets
from secateur.experiment.arms import ARMS
from secateur.experiment.recipe import Recipe
from secateur.tasks import TASKS


def test_tasks_and_arms_are_all_listed(secateur):
    listed = secateur("tasks").stdout
    assert all(task.name in listed and task.title in listed for task in TASKS.values())
    listed = secateur("arms").stdout
    assert all(arm.name in listed and arm.summary in listed for arm in ARMS.values())


def test_lists_as_json_hold_the_same(secateur):
    tasks = json.loads(secateur("tasks", "--json").stdout)
    assert [task["name"] for task in tasks] == list(TASKS)
    assert tasks[0]["classes"] == list(TASKS[tasks[0]["name"]].classes)
    arms = json.loads(secateur("arms", "--json").stdout)
    assert {arm["name"]: arm["summary"] for arm in arms} == {
        arm.name: arm.summary for arm in ARMS.values()
    }


@pytest.mark.parametrize("name", presets())
def test_a_technology_shows_every_parameter_with_unit_and_origin(secateur, name):
    shown = secateur("technologies", name)
    assert shown.exit_code == 0
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    for parameter, _, unit, meaning, provenance in Technology.load(name).parameters():
        line = lines[parameter]
        assert meaning in line
        assert provenance.removeprefix("source: ") in line
        assert ("assumption:" in line) == provenance.startswith("assumption")
        if unit != "1":
            assert line.removeprefix(parameter).split()[1].endswith(unit)


@pytest.mark.parametrize("name", presets())
def test_a_technology_shows_its_laws_and_their_numbers(secateur, name):
    technology = Technology.load(name)
    shown = secateur("technologies", name).stdout
    lines = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    for place, value, _, meaning, provenance in technology.laws():
        assert meaning in lines[place]
        assert provenance.removeprefix("source: ") in lines[place]
        assert not isinstance(value, str) or value in lines[place]
    listed = json.loads(secateur("technologies", name, "--json").stdout)["laws"]
    assert [row["name"] for row in listed] == [row[0] for row in technology.laws()]


def test_a_technology_as_json_is_in_si_units(secateur):
    shown = json.loads(secateur("technologies", "taox-40nm", "--json").stdout)
    technology = Technology.load("taox-40nm")
    assert [p["name"] for p in shown["parameters"]] == [row[0] for row in technology.parameters()]
    for parameter in shown["parameters"]:
        assert parameter["value"] == getattr(technology, parameter["name"])
        assert parameter["assumption"] == parameter["provenance"].startswith("assumption")
    assert {p["assumption"] for p in shown["parameters"]} == {True, False}


def test_technologies_are_listed_with_the_number_of_their_assumptions(secateur):
    assert all(name in secateur("technologies").stdout for name in presets())
    listed = {t["name"]: t for t in json.loads(secateur("technologies", "--json").stdout)}
    assert set(listed) == set(presets())
    rows = Technology.load("taox-40nm").parameters()
    assumed = sum(row[4].startswith("assumption") for row in rows)
    assert listed["taox-40nm"]["assumptions"] == assumed


def test_a_technology_file_can_be_shown(secateur, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("nonsense =", encoding="utf-8")
    refused = secateur("technologies", path)
    assert refused.exit_code == 1
    assert "mine.toml" in refused.stderr


@pytest.mark.parametrize("task", TASKS)
def test_a_recipe_is_complete_and_can_be_read_back(secateur, tmp_path, task):
    path = tmp_path / "recipe.toml"
    path.write_text(secateur("recipe", task).stdout, encoding="utf-8")
    read = Recipe.read(path)
    assert read.task.name == task
    assert read.toml() == path.read_text(encoding="utf-8")
    assert json.loads(secateur("recipe", task, "--json").stdout) == read.table()


def _commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, *path, name)


@pytest.mark.parametrize("path", list(_commands(get_command(app))), ids=" ".join)
def test_help_fits_80_columns_and_gives_flags_no_value(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    assert "…" not in shown.output
    assert "<bool>" not in shown.output
