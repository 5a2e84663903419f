"""The commands that list what there is: tasks, arms, technologies, recipes."""

from typing import Annotated, Any

import typer
from rich.text import Text

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json, table
from secateur.cli.quantities import quantity


def tasks(as_json: Json = False, debug: Debug = False) -> None:
    """List the tasks.

    A task is a data set, the network that learns it, and a recipe of settings under which it does.

    Examples:

        secateur tasks
        secateur recipe digits    # all settings of one
        secateur run digits       # runs it
    """
    from secateur.tasks import TASKS

    if as_json:
        found = TASKS.values()
        show_json([{"name": t.name, "title": t.title, "classes": list(t.classes)} for t in found])
        return
    listed = table("task", "title", "classes", numbers=("classes",))
    for task in TASKS.values():
        listed.add_row(task.name, task.title, str(len(task.classes)))
    show(listed)


def arms(as_json: Json = False, debug: Debug = False) -> None:
    """List the arms: the ways to a classifier.

    A run compares them on the same data, network and epochs. References come first; the last ones
    prune the chip.

    Examples:

        secateur arms
        secateur run digits --arm digital-quantised --arm pruned
    """
    from secateur.experiment.arms import ARMS

    if as_json:
        show_json([{"name": arm.name, "summary": arm.summary} for arm in ARMS.values()])
        return
    listed = table("arm", "what it is")
    for arm in ARMS.values():
        listed.add_row(arm.name, arm.summary)
    show(listed)


def technologies(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A preset's name, or a TOML file of that layout."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the memory technologies, or all of one.

    With a NAME every parameter is shown with its unit and its source. A value without a source is
    an assumption, and is marked as one. Any value can be replaced in a run. Values in JSON and in
    recipes are in SI units.

    Examples:

        secateur technologies
        secateur technologies taox-40nm
        secateur technologies my-cells.toml --json
        secateur run digits --set chip.values.read_noise=0.05
    """
    if name is None:
        _list_technologies(as_json)
    else:
        _show_technology(name, as_json)


def recipe(
    task: Annotated[str, typer.Argument(metavar="TASK", help="See `secateur tasks`.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the complete recipe of a task.

    It is TOML and holds every setting, defaults included. Its `[arms.NAME]` tables hold what single
    arms set differently.

    Examples:

        secateur recipe digits > mine.toml
        secateur run --recipe mine.toml
    """
    from secateur.cli.settings import shipped_recipe

    shipped = shipped_recipe(task)
    if as_json:
        show_json(shipped.table())
    else:
        show(shipped.toml().rstrip())


def _list_technologies(as_json: bool) -> None:
    from secateur.device import Technology, presets

    found = [Technology.load(name) for name in presets()]
    rows = [
        {
            "name": technology.name,
            "title": technology.title,
            "parameters": len(technology.parameters()),
            "assumptions": sum(_assumed(row[4]) for row in technology.parameters()),
        }
        for technology in found
    ]
    if as_json:
        show_json(rows)
        return
    columns = tuple(rows[0])
    listed = table(*columns, numbers=columns[2:])
    for row in rows:
        listed.add_row(*map(str, row.values()))
    show(listed)


def _show_technology(name: str, as_json: bool) -> None:
    from secateur.device import Technology

    technology = Technology.load(name)
    rows = technology.parameters()
    if as_json:
        keys = ("name", "value", "unit", "meaning", "provenance")
        described = [
            {**dict(zip(keys, row, strict=True)), "assumption": _assumed(row[4])} for row in rows
        ]
        laws = [dict(zip(keys, row, strict=True)) for row in technology.laws()]
        named = {"name": technology.name, "title": technology.title}
        show_json({**named, "parameters": described, "laws": laws})
        return
    listed = table("parameter", "value", "meaning", "origin", numbers=("value",))
    for parameter, value, unit, meaning, provenance in rows:
        style = "yellow" if _assumed(provenance) else ""
        origin = Text(provenance.removeprefix("source: "), style)
        listed.add_row(parameter, quantity(value, unit, digits=6), meaning, origin)
    chosen = table("law", "value", "meaning", "origin", numbers=("value",))
    for place, value, unit, meaning, provenance in technology.laws():
        style = "yellow" if _assumed(provenance) else ""
        origin = Text(provenance.removeprefix("source: ") or "that of its law", style)
        chosen.add_row(place, _law_value(value, unit), meaning, origin)
    assumed = sum(_assumed(row[4]) for row in rows)
    note = f"{assumed} of {len(rows)} values are assumptions, marked so; the others have a source."
    show(f"{technology.name}: {technology.title}", listed, note, chosen)


def _law_value(value: Any, unit: str) -> str:
    if isinstance(value, str):
        return value
    numbers = value if isinstance(value, tuple) else (value,)
    return ", ".join(quantity(number, unit, digits=6) for number in numbers)


def _assumed(provenance: str) -> bool:
    return provenance.startswith("assumption")
