"""The small records in results/, and the tables of the pages that are made of them.

    python -m benchmarks.results keep RUN_DIRECTORY NAME    a run's figures into results/NAME.json
    python -m benchmarks.results write                      every page's tables anew

A page says where a table belongs: <!-- results:NAME --> ... <!-- /results -->, or
<!-- results:NAME:gains --> for what pruning gains over every baseline of that run.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secateur.experiment.record import summarise
from secateur.report.arms import GRAINS
from secateur.report.reading import read_run
from secateur.report.sweep_figures import crossing_words
from secateur.report.sweeps import sweeps

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_SLOT = re.compile(r"(<!-- results:([\w-]+)(?::(\w+))? -->\n).*?(<!-- /results -->)", re.S)
_KEPT = ("command", "created", "machine", "versions", "seed", "chips", "title", "metrics")
_MEMORY = "chip.technology="
_OURS = tuple(GRAINS)
_AS_IT_IS, _REMEDIED = "as it is", ("programmed", "pruned")
_IN_WORDS = {"norms": "norms renewed", "global": "by array", "column": "by column"}

Record = Mapping[str, Any]


def thinned(record: Record) -> dict[str, Any]:
    """What a table and a doubtful reader need of a run's record: figures of every chip."""
    rows = [
        {
            "arm": result["arm"],
            "variant": result["variant"],
            "part": "test" if result["trials"][0]["test"] else "validation",
            "summary": result["summary"],
            "per_chip": _per_chip(result["trials"], list(record["metrics"])[:2]),
            "pulses": _mean_pulses(result["trials"]),
            **_aged(result["trials"], next(iter(record["metrics"]))),
            **_failed(result["trials"], next(iter(record["metrics"]))),
        }
        for result in record["results"]
    ]
    kind = "variants" if any(row["variant"] for row in rows) else "arms"
    if rows and all(row["variant"].startswith(_MEMORY) and "aged" in row for row in rows):
        kind = "technologies"
    if any("failed" in row for row in rows):
        kind = "failed"
    about = {key: record[key] for key in _KEPT}
    # Where somebody put the run is nothing to the figures.
    about["command"] = re.sub(r" --out \S+", "", record["command"])
    return {"kind": kind, **about, "rows": rows}


def _per_chip(trials: Sequence[Record], metrics: Sequence[str]) -> dict[str, list[float]]:
    """The figures of every chip in the metrics that claims are made in."""
    return {m: [(trial["test"] or trial["validation"])[m] for trial in trials] for m in metrics}


def _mean_pulses(trials: Sequence[Record]) -> dict[str, float]:
    kinds = trials[0]["pulses"]
    return {kind: sum(trial["pulses"][kind] for trial in trials) / len(trials) for kind in kinds}


def _aged(trials: Sequence[Record], metric: str) -> dict[str, Any]:
    """The headline metric after each age, mean of the chips: norms renewed, and by remedy."""
    found: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        for row in trial.get("stress", ()):
            if row["kind"] == "age":
                tried = row["remedied"] if "remedied" in row else {"norms": row["renewed"]}
                plain = {_AS_IT_IS: row["figures"]} if "figures" in row else {}
                for name, figures in {**plain, **tried}.items():
                    ages = found.setdefault(name, {})
                    ages.setdefault(f"{row['value']:g}", []).append(figures[metric])
    means = {
        name: {age: sum(values) / len(values) for age, values in ages.items()}
        for name, ages in found.items()
    }
    return {"aged": means["norms"], "remedied": means} if "norms" in means else {}


def _failed(trials: Sequence[Record], metric: str) -> dict[str, Any]:
    """The headline metric, mean of the chips, after each share of cells has failed."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        for row in trial.get("stress", ()):
            if row["kind"] == "failed":
                found.setdefault(f"{row['value']:g}", []).append(row["figures"][metric])
    means = {share: sum(values) / len(values) for share, values in found.items()}
    return {"failed": means} if means else {}


def failed_table(record: Record) -> list[str]:
    """One row an arm, one column a share of cells that failed once the network was finished."""
    rows = [row for row in record["rows"] if "failed" in row]
    shares = list(rows[0]["failed"])
    lines = _begin(("cells that fail", *(f"{100 * float(share):g} %" for share in shares)))
    for row in rows:
        figures = " | ".join(f"{100 * row['failed'][share]:.1f} %" for share in shares)
        lines.append(f"| `{row['arm']}` | {figures} |")
    return lines


def technologies_table(record: Record) -> list[str]:
    """One row a memory, one column an arm: the headline metric fresh, and at the greatest age."""
    arms = list(dict.fromkeys(row["arm"] for row in record["rows"]))
    metric = next(iter(record["metrics"]))
    cells: dict[str, dict[str, str]] = {}
    for row in record["rows"]:
        oldest = max(row["aged"], key=float)
        fresh = 100 * row["summary"][metric]["mean"]
        text = f"{fresh:.1f} → {100 * row['aged'][oldest]:.1f}"
        cells.setdefault(row["variant"].removeprefix(_MEMORY), {})[row["arm"]] = text
    lines = _begin(("memory, % fresh → after a year", *(f"`{arm}`" for arm in arms)))
    for memory, texts in cells.items():
        lines.append(f"| `{memory}` | {' | '.join(texts.get(arm, '–') for arm in arms)} |")
    return lines


def remedies_table(record: Record) -> list[str]:
    """One row a memory and arm: the headline metric fresh, and at the greatest age by remedy."""
    rows = [row for row in record["rows"] if "remedied" in row and row["arm"] in _REMEDIED]
    metric = next(iter(record["metrics"]))
    tried = list(dict.fromkeys(name for row in rows for name in row["remedied"]))
    lines = _begin(("memory", "arm", "fresh, %", *(_IN_WORDS.get(name, name) for name in tried)))
    for row in rows:
        values = [row["summary"][metric]["mean"]]
        values += [found[max(found, key=float)] for found in map(row["remedied"].get, tried)]
        figures = " | ".join(f"{100 * value:.1f}" for value in values)
        lines.append(f"| `{row['variant'].removeprefix(_MEMORY)}` | `{row['arm']}` | {figures} |")
    return lines


def arms_table(record: Record) -> list[str]:
    """One row an arm: the headline metrics with their intervals, effort."""
    metrics = dict(list(record["metrics"].items())[:2])
    part = record["rows"][0]["part"]
    heading = (
        "arm", *(f"{part} {title}, %" for title in metrics.values()), "flips per edge",
        "most worn cell", "SET / RESET pulses", "programming",
    )  # fmt: skip
    lines = _begin(heading)
    for row in record["rows"]:
        summary, pulses = row["summary"], row["pulses"]
        switched = f"{_grouped(pulses['set'])} / {_grouped(pulses['reset'])}" if pulses else "–"
        cells = [
            f"`{row['arm']}`", *(_percent(summary[m]) for m in metrics), _flips(summary),
            _mean(summary, "most_worn_cell", _grouped), switched,
            _mean(summary, "programming_energy_J", lambda joules: f"{1e6 * joules:.1f} µJ"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def gains_table(record: Record) -> list[str]:
    """One row a baseline, one column a pruned arm and metric: points, paired by chip."""
    rows = {row["arm"]: row["per_chip"] for row in record["rows"]}
    metrics = dict(list(record["metrics"].items())[:2])
    columns = [(arm, metric) for arm in _OURS if arm in rows for metric in metrics]
    lines = _begin(("over", *(f"`{arm}`, {metrics[metric]}" for arm, metric in columns)))
    for other, theirs in rows.items():
        if other not in _OURS:
            cells = [_gain(rows[arm][metric], theirs[metric]) for arm, metric in columns]
            lines.append(f"| `{other}` | {' | '.join(cells)} |")
    return lines


def _gain(ours: Sequence[float], theirs: Sequence[float]) -> str:
    found = summarise([a - b for a, b in zip(ours, theirs, strict=True)])
    interval = found["interval95"]
    spread = "" if interval is None else f" ± {50 * (interval[1] - interval[0]):.2f}"
    return f"{100 * found['mean']:+.2f}{spread}".replace("-", "−")


def variants_table(record: Record) -> list[str]:
    """One row a varied setting, one column an arm: the headline metric and flips per edge."""
    arms = list(dict.fromkeys(row["arm"] for row in record["rows"]))
    cells = {(row["variant"], row["arm"]): row for row in record["rows"]}
    lines = _begin(("setting", *(f"`{arm}`" for arm in arms)))
    for variant in dict.fromkeys(row["variant"] for row in record["rows"]):
        texts = [_variant(cells.get((variant, arm)), next(iter(record["metrics"]))) for arm in arms]
        # Arms that heed nothing of what was varied run once.
        words = f"`{variant}`" if variant else "whatever it is"
        lines.append(f"| {words} | {' | '.join(texts)} |")
    if "crossings" in record:
        lines += ["", *(f"- {words}" for words in record["crossings"])]
    return lines


def speed_table(record: Record) -> list[str]:
    """One row a variant of the training step."""
    lines = _begin(("", "ms per step", "ratio to dense, median (quartiles)"))
    for name, row in record["steps"].items():
        low, high = row["ratio_quartiles"]
        lines.append(f"| {name} | {row['ms']:.1f} | {row['ratio']:.2f} ({low:.2f} to {high:.2f}) |")
    return lines


def wires_table(record: Record) -> list[str]:
    """One row: an array's effective conductance."""
    side = record["side"]
    heading = ("array", "found in", "peak memory", "then, vectors a second", "error of first order")
    cells = [
        f"{side} × {side}", f"{record['seconds']:.1f} s", f"{record['megabytes']:.0f} MB",
        _grouped(record["vectors_per_second"]), f"{record['first_order_error']:.1%}",
    ]  # fmt: skip
    return [*_begin(heading), f"| {' | '.join(cells)} |"]


def inference_table(record: Record) -> list[str]:
    """One row a level of the circuit: inference, memory, and a training step where measured."""
    heading = (
        "", "images a second", "of plain", "of plain, channels last", "peak memory", "first batch",
    )  # fmt: skip
    lines = _begin(heading)
    for name, row in record["levels"].items():
        cells = [
            name, _grouped(row["images_per_second"]), f"{row['of_plain']:.2f}",
            f"{row['of_channels_last']:.2f}", f"{row['megabytes']:.0f} MB", f"{row['first']:.1f} s",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *_begin(("training step", "ms", "ratio to dense"))]
    for name, row in record["steps"].items():
        lines.append(f"| {name} | {row['ms']:.1f} | {row['ratio']:.2f} |")
    error = f"{record['first_order_error']:.1%}"
    return [*lines, "", f"In this network the first order is wrong by up to {error} of a current."]


def selection_table(record: Record) -> list[str]:
    """One row: selecting the best half of so many scores, and sorting them."""
    heading = ("scores", "the best half, exactly", "sorted instead")
    cells = (_grouped(record["edges"]), f"{record['ms']:.0f} ms", f"{record['sort_ms']:.0f} ms")
    return [*_begin(heading), f"| {' | '.join(cells)} |"]


def resnet_table(record: Record) -> list[str]:
    """ResNet-50 on a chip: once-only costs, then the training step."""
    prune, kept, load = record["prune"], record["save"], record["load"]
    rows = (
        ("`prune_`", f"{prune['seconds']:.1f} s, {prune['megabytes'] / 1e3:.1f} GB at most"),
        ("selection over all scores", f"{record['selection_ms']:.0f} ms"),
        ("sorting all scores instead", f"{record['sorting_ms']:.0f} ms"),
        (f"`save`, {kept['file_megabytes'] / 1e3:.1f} GB", f"{kept['seconds']:.1f} s"),
        ("`load_`", f"{load['seconds']:.1f} s"),
    )
    lines = _begin((f"{_grouped(record['weights'])} weights on {record['macros']} macros", ""))
    return [*lines, *(f"| {what} | {value} |" for what, value in rows), "", *speed_table(record)]


def remote_table(record: Record) -> list[str]:
    """One row a way to take a step, then where the time of the board's goes."""
    steps = record["steps"]
    bases = [name for name in steps if any(name in row for row in steps.values())]
    lines = _begin(("", "a step", "processor time", *(f"of {base}" for base in bases)))
    for name, row in steps.items():
        ratios = " | ".join(f"{row[base]:.2f}" if base in row else "–" for base in bases)
        lines.append(f"| {name} | {row['ms']:.1f} ms | {row['processor_ms']:.1f} ms | {ratios} |")
    lines += ["", *_begin(("of a step on the board", "ms"))]
    lines += [f"| {part} | {ms:.1f} |" for part, ms in record["spent"].items()]
    return [*lines, "", f"A small file made durable takes {record['sync_ms']:.1f} ms there."]


def monte_carlo_table(record: Record) -> list[str]:
    """One row a clock: all draws by one process and by two, and from where two are worth it."""
    draws = record["draws"]
    heading = ("", f"{draws} draws, one process", "two", "times faster", "1.8 times from")
    lines = _begin(heading)
    for clock in ("wall", "processor"):
        row = record[clock]
        one, two = (row[name]["seconds"] for name in ("one process", "two processes"))
        enough = f"{row['worth_from_draws']} draws" if row["worth_from_draws"] else "–"
        lines.append(f"| {clock} | {one:.1f} s | {two:.1f} s | {row['speed_up']:.2f} | {enough} |")
    few, many = record["megabytes_of_few"], record["megabytes"]
    memory = f"Memory of a process: {few:.0f} MB for 4 draws, {many:.0f} MB for {draws}."
    return [*lines, "", memory]


def scaling_table(record: Record) -> list[str]:
    """One row a size, one column an arm: accuracy, and the energy of an inference."""
    arms = list(dict.fromkeys(row["arm"] for row in record["rows"]))
    part = record["rows"][0]["part"]
    energies = (f"`{arm}`, an inference" for arm in arms)
    lines = _begin(("weights", *(f"`{arm}`" for arm in arms), *energies))
    for weights in dict.fromkeys(row["weights"] for row in record["rows"]):
        rows = {row["arm"]: row for row in record["rows"] if row["weights"] == weights}
        accuracy = (f"{_percent(rows[arm]['accuracy'])} %" for arm in arms)
        energy = (f"{1e9 * rows[arm]['inference_J']:.0f} nJ" for arm in arms)
        lines.append(f"| {_grouped(weights)} | {' | '.join((*accuracy, *energy))} |")
    return [*lines, "", f"Accuracy on the {part} set."]


TABLES: dict[str, Callable[[Record], list[str]]] = {
    "arms": arms_table, "variants": variants_table, "speed": speed_table,
    "wires": wires_table, "gains": gains_table, "inference": inference_table,
    "technologies": technologies_table, "remedies": remedies_table, "failed": failed_table,
    "selection": selection_table, "resnet": resnet_table, "remote": remote_table,
    "monte-carlo": monte_carlo_table, "scaling": scaling_table,
}  # fmt: skip


def made(record: Record, kind: str | None = None) -> str:
    """The table of a record, its own or of another kind, with where and how it was measured."""
    return "\n".join([*TABLES[kind or record["kind"]](record), "", provenance(record), ""])


def provenance(record: Record) -> str:
    """One line: the command, the chips, the seed, the machine."""
    machine, versions = record["machine"], record["versions"]
    threads = f"{machine['processes']} process(es) of {machine['threads_per_process']} thread(s)"
    chips = f"{record['chips']} chip(s), seed {record['seed']}; " if "chips" in record else ""
    return (
        f"`{record['command']}`: {chips}{threads} on {machine['cores']} cores of "
        f"{machine['processor']}; torch {versions['torch']}; {record['created'][:10]}."
    )


def filled(page: str) -> str:
    """A page's text with every table made anew from its record."""

    def table(slot: "re.Match[str]") -> str:
        record = json.loads((ROOT / "results" / f"{slot[2]}.json").read_text(encoding="utf-8"))
        return slot[1] + made(record, slot[3]) + slot[4]

    return _SLOT.sub(table, page)


def _begin(heading: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(heading)} |", "|---" * len(heading) + "|"]


def _percent(statistic: Record, digits: int = 2) -> str:
    mean = f"{100 * statistic['mean']:.{digits}f}"
    interval = statistic["interval95"]
    return mean if interval is None else f"{mean} ± {50 * (interval[1] - interval[0]):.{digits}f}"


def _variant(row: Record | None, metric: str) -> str:
    if row is None:
        return "–"
    flips = row["summary"].get("flips_per_edge")
    effort = f", {flips['mean']:.1f} flips" if flips else ""
    return f"{_percent(row['summary'][metric])} %{effort}"


def _flips(summary: Record) -> str:
    # Arms without a search keep what they began with.
    flips = summary.get("flips_per_edge")
    return f"{flips['mean']:.2f}" if flips and flips["mean"] else "–"


def _mean(summary: Record, name: str, words: Callable[[float], str]) -> str:
    return words(summary[name]["mean"]) if name in summary else "–"


def _grouped(number: float) -> str:
    return f"{round(number):,}".replace(",", " ")


def _crossings(run: Path) -> dict[str, list[str]]:
    """Where written weights become worse than pruned ones, a sentence each, where that was run."""
    found = [s for s in sweeps(read_run(run)) if s.setting == "chip.values.programming_error"]
    told = [words for sweep in found for words in crossing_words(sweep)]
    return {"crossings": told} if told else {}


def main() -> None:
    """Keeps a run's figures, or writes the pages' tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    keep = actions.add_parser("keep", help="a run's figures into results/NAME.json")
    keep.add_argument("run", type=Path)
    keep.add_argument("name")
    actions.add_parser("write", help="every page's tables anew")
    options = parser.parse_args()
    if options.action == "keep":
        record = json.loads((options.run / "record.json").read_text(encoding="utf-8"))
        kept = {**thinned(record), **_crossings(options.run)}
        path = ROOT / "results" / f"{options.name}.json"
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
