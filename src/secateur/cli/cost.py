"""`secateur cost`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json, table
from secateur.cli.quantities import NONE, count, quantity

if TYPE_CHECKING:
    from secateur.cost import Search
    from secateur.experiment.recipe import Recipe

_BAR = 32
_REFERENCES = {
    "gpu": "GPU, peak (the reference)", "gpu_measured": "GPU, as measured", "cpu": "CPU",
}  # fmt: skip


def cost(
    task: Annotated[str, typer.Argument(metavar="TASK", help="See `secateur tasks`.")],
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="calibrated|components",
            help="Prices: one constant from the paper's claims, or a sum over published parts.",
        ),
    ] = "calibrated",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", show_default=False,
            help="Any setting of `secateur recipe TASK`; may be given again.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False,
            help="Take the search's pulses from the `pruned` arm of this finished run.",
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False,
            help="Write the breakdown and the tornado chart as one HTML page.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Count what a task's pruned network costs: energy, time, area, pulses.

    The network is pruned on a fresh simulated chip, as the recipe says, and runs once on one input;
    no data is needed. Counts are exact; prices are those of the model, whose constants all have a
    source or are marked as assumptions. Savings are against the reference GPU at its peak. JSON is
    in SI units.

    Examples:

        secateur cost fashion-mnist
        secateur cost fashion-mnist --model components --figures cost.html
        secateur cost digits --set converters.input_bits=6 --set chip.technology=my-cells.toml
        secateur cost fashion-mnist --run runs/fashion --json
    """
    from secateur.cli.settings import Asked, recipe_of
    from secateur.cost import cost_model

    priced = cost_model(model)
    recipe = recipe_of(Asked(task=task, assignments=set_ or ())).for_arm("pruned")
    stated = _statement(recipe, priced, run)
    if figures is not None:
        from secateur.report.cost_page import write_cost_page

        write_cost_page(stated, figures)
    if as_json:
        show_json(stated)
    else:
        _print(stated)


def _statement(recipe: "Recipe", priced: Any, run: Path | None) -> dict[str, Any]:
    import torch

    from secateur.cost import pulses_to_write, statement, usual_search
    from secateur.experiment.arms import arm_named, technology_of
    from secateur.experiment.evaluate import chip_of
    from secateur.network.trace import trace
    from secateur.tasks import task_named

    task = task_named(recipe.task.name)
    # Before anything is formed: a wrong directory shall not cost a minute.
    searched = None if run is None else _search_of(run)
    torch.manual_seed(recipe.run.seed)
    network = task.build(recipe.network)
    writing = pulses_to_write(network, technology_of(recipe.chip))
    pruned = arm_named("pruned").attach(network, recipe, task=task, steps=1, seed=recipe.run.seed)
    chip = chip_of(pruned)
    assert chip is not None
    return statement(
        priced, trace(pruned, torch.zeros(1, *task.input_shape)), chip, task=task.name,
        search=searched or usual_search(chip), writing=writing,
    )  # fmt: skip


def _search_of(run: Path) -> "Search":
    from secateur.cost import Search
    from secateur.errors import FileError
    from secateur.report.reading import read_run

    results = [result for result in read_run(run).record.results if result.arm == "pruned"]
    pulses = [results[0].pulses(kind) for kind in ("set", "reset")] if results else [None]
    known = [number for number in pulses if number is not None]
    if len(known) < 2:
        raise FileError(
            "This run has no pulses of the arm `pruned`", where=str(run),
            remedy="Give the directory of a run with that arm, or leave --run out",
        )  # fmt: skip
    return Search(sum(known), f"source: the ledger of {run}")


def _print(stated: dict[str, Any]) -> None:
    words = f"One inference of {stated['task']} on {stated['macros']} macro(s) of "
    show(f"{words}{stated['technology']}; model {stated['model']}: {stated['summary']}.\n")
    show(_layers(stated), "", _parts(stated), "", _sides(stated), "")
    show(_programming(stated), "", _break_even(stated), "")
    show("What moves the saving, each constant alone from end to end of its range:", "")
    show(_tornado(stated), "", *stated["notes"])
    assumed = [c["name"] for c in stated["constants"] if c["provenance"].startswith("assumption")]
    show(f"Assumptions, without a published source: {', '.join(assumed)}; the technology's own.")


def _layers(stated: dict[str, Any]) -> Table:
    keys = ("macs", "column_outputs", "conversions", "bit_planes", "read_pulses",
            "digital_operations")  # fmt: skip
    columns = tuple(key.replace("_", " ") for key in keys)
    listed = table(
        "layer", *columns, "energy", "share", "time",
        numbers=(*columns, "energy", "share", "time"),
    )  # fmt: skip
    total = {**stated["counts"], "name": "all", **{k: stated[k] for k in ("energy_J", "time_s")}}
    for row in [*stated["layers"], total]:
        listed.add_row(
            row["name"], *(count(row.get(key)) for key in keys),
            quantity(row["energy_J"], "J"), _share(row["energy_J"], stated["energy_J"]),
            quantity(row["time_s"], "s"),
        )  # fmt: skip
    return listed


def _parts(stated: dict[str, Any]) -> Table:
    listed = table("part", "energy", "share", "area", numbers=("energy", "share", "area"))
    parts, areas = stated["parts_J"], stated["areas_m2"]
    for name in dict.fromkeys([*parts, *areas]):
        joules = parts.get(name)
        share = NONE if joules is None else _share(joules, stated["energy_J"])
        listed.add_row(name, quantity(joules, "J"), share, _area(areas.get(name)))
    return listed


def _sides(stated: dict[str, Any]) -> Table:
    """Both models and the digital references side by side."""
    names = ("energy", "saving", "time", "area")
    listed = table("one inference by", *names, numbers=names)
    for name, short in stated["models"].items():
        listed.add_row(
            f"the chip, {name}", quantity(short["energy_J"], "J"),
            f"{short['saving_percent']:.1f} %", quantity(short["time_s"], "s"),
            _area(short["area_m2"]),
        )  # fmt: skip
    for key, words in _REFERENCES.items():
        listed.add_row(words, quantity(stated["references_J"][key], "J"), NONE, NONE, NONE)
    return listed


def _programming(stated: dict[str, Any]) -> Table:
    names = ("pulses", "energy", "time, one by one")
    listed = table("programming", *names, numbers=names)
    words = {"forming": "forming, once", "search": "search, SET and RESET",
             "write_and_verify": "instead: forming, writing and verifying"}  # fmt: skip
    for key, entry in stated["programming"].items():
        row = count(entry["pulses"]), quantity(entry["energy_J"], "J")
        listed.add_row(words[key], *row, quantity(entry["time_s"], "s"))
    return listed


def _break_even(stated: dict[str, Any]) -> str:
    even = stated["break_even"]
    origin = stated["programming"]["search"]["origin"]
    if even["inferences"] is None:
        return "Never breaks even: an inference takes more energy than on the reference GPU."
    return (
        f"Breaks even after {count(even['inferences'])} inferences for the pulses of forming and "
        f"search ({origin}); and after {even['inferences_per_training_sample']:.3g} more for each "
        "training sample of each epoch, forward on the chip and backward on the GPU."
    )


def _tornado(stated: dict[str, Any]) -> Table:
    names = ("low", "high", "saving at low", "at high")
    listed = table("constant", *names, "", numbers=names)
    bars = stated["tornado"]
    ends = [bar[f"saving_percent_{end}"] for bar in bars for end in ("low", "high")]
    ends.append(stated["saving_percent"])
    for bar in bars:
        low, high = (bar[f"saving_percent_{end}"] for end in ("low", "high"))
        listed.add_row(
            bar["name"], *(_value(bar[end], bar["unit"]) for end in ("low", "high")),
            f"{low:.1f} %", f"{high:.1f} %",
            _drawn(low, high, base=stated["saving_percent"], start=min(ends), stop=max(ends)),
        )  # fmt: skip
    return listed


def _drawn(low: float, high: float, *, base: float, start: float, stop: float) -> str:
    """A bar from end to end, with a rule where the saving is with every constant as it is."""
    width = (stop - start) or 1.0
    first, last, rule = (
        round((_BAR - 1) * (place - start) / width)
        for place in (min(low, high), max(low, high), base)
    )
    cells = ["█" if first <= n <= last else " " for n in range(_BAR)]
    cells[rule] = "│"
    return "".join(cells).rstrip()


def _value(value: float, unit: str) -> str:
    return _area(value) if unit == "m2" else quantity(value, unit)


def _area(value: float | None) -> str:
    return NONE if value is None else f"{1e12 * value:,.0f} µm²".replace(",", " ")


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %"
