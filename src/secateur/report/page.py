"""Puts the page together: one self-contained HTML file from one or several run directories."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from secateur.errors import FileError, SettingError
from secateur.report import (
    anatomy,
    comparison,
    confusion,
    exhibits,
    gains,
    headline,
    numbers,
    palette,
    provenance,
    search_figures,
    sizes,
    stress,
    summary,
    sweep_figures,
    technologies,
    trade_off,
    training,
    wear,
)
from secateur.report.arms import GRAINS, swatch
from secateur.report.drawing import Plate
from secateur.report.histograms import histogram_plates, wear_plate
from secateur.report.macro_figures import MapPlate, macro_maps, unshown_macros
from secateur.report.maps import ChipMaps, chip_maps
from secateur.report.reading import Result, Run, read_runs
from secateur.report.sweeps import comparisons, sweeps

GENERATOR = b'<meta name="generator" content="secateur'
HEAD_BYTES = 1000
IMAGE_BYTES = 1_900_000
SHOWN_CHIPS = 2
PREFERRED = (*GRAINS, "programmed")


def write_report(run_directories: Sequence[Path], out: Path) -> Path:
    """Writes the report of one or several runs as a single HTML file that needs nothing else.

    Args:
        run_directories: directories that hold a `record.json`; shown in this order.
        out: the file to write; an older page is replaced, only once the new one is complete.

    Returns:
        `out`.

    Raises:
        SettingError: where no directory is given.
        FileError: where a record or its maps cannot be used, where the page cannot be written, or
            where `out` is there and no page of secateur.
    """
    if not run_directories:
        raise SettingError("There is no run to report on", remedy="Give at least one run directory")
    runs = read_runs(list(run_directories))
    return write_page(render(runs), Path(out))


def render(runs: Sequence[Run]) -> str:
    """The page of these runs as HTML."""
    rows = headline.entries(runs)
    measures = {f"{run.split} {run.record.metric_title}" for run in runs}
    shown_chips = max(1, SHOWN_CHIPS // len(runs))
    page = template("page.html.jinja").render(
        title=" · ".join(dict.fromkeys(run.record.title or run.record.task for run in runs)),
        style=style_sheet(),
        several=len(runs) > 1,
        openings=[(run.name, summary.opening(run, rows)) for run in runs],
        measure=measures.pop() if len(measures) == 1 else "score",
        baseline=headline.BASELINE,
        headline=headline.table(rows),
        validated=any(row["validation"] != numbers.DASH for row in headline.table(rows)),
        charts=_charts(runs, rows),
        runs=[_run_page(place, run, shown_chips, len(runs)) for place, run in enumerate(runs)],
        pruned=any(row.result.arm.startswith("pruned") for row in rows),
        created=" · ".join(dict.fromkeys(r.record.created for r in runs if r.record.created)),
        version=", ".join(dict.fromkeys(_version(run) for run in runs)),
    )
    return page.strip() + "\n"


def _version(run: Run) -> str:
    return str(run.record.versions.get("secateur", ""))


def _charts(runs: Sequence[Run], rows: Sequence[headline.Entry]) -> list[Plate]:
    """One chart for each task, metric and split: figures of unlike things share no axis."""
    alike: dict[tuple[str, str, str], list[headline.Entry]] = {}
    for row in rows:
        record = row.run.record
        alike.setdefault((record.task, record.metric, row.run.split), []).append(row)
    charts = [headline.chart(f"r-chart-{n}", some) for n, some in enumerate(alike.values())]
    return [chart for chart in charts if chart is not None]


def _run_page(place: int, run: Run, shown_chips: int, runs: int) -> dict[str, Any]:
    key, results = f"r{place}", headline.shown_results(run)
    search = [result for result in results if result.arm.startswith("pruned")]
    arms, facts = provenance.physics(run)
    return {
        "key": key,
        "name": run.name,
        "title": run.record.title or run.record.task,
        "metric": run.record.metric_title,
        "split": run.split,
        "untrained": [r.arm for r in results if not training.is_trained(r)],
        "training": training.curves(f"{key}-train", _one_for_each_arm(results)),
        "sizes": sizes.sizes_plate(f"{key}-sizes", run),
        "frontier": trade_off.frontier_plate(f"{key}-frontier", run),
        "sweeps": _sweeps(f"{key}-sweep", run),
        "comparisons": _comparisons(f"{key}-words", run),
        "chips": _chips(key, run, shown_chips, IMAGE_BYTES // (shown_chips * runs)),
        "kept": search_figures.kept_plate(f"{key}-kept", _one_for_each_arm(results)),
        "wear": wear.rows(run),
        "wear_words": wear.words(run),
        "pulses": search_figures.pulse_plates(f"{key}-pulses", _one_for_each_arm(search)),
        "confusion": confusion.plates(f"{key}-confusion", run),
        "examples": exhibits.examples(run),
        "curves": exhibits.curve_plates(f"{key}-curve", run),
        "galleries": exhibits.galleries(run),
        "gains": gains.table(run),
        "anatomy": anatomy.table(run),
        "fields": anatomy.fields(run),
        "stress": stress.plates(f"{key}-stress", run),
        "hardships": stress.table(run),
        "memories": technologies.plates(f"{key}-memories", run),
        "figures": gains.figures(run),
        "recipe": provenance.recipe(run),
        "physics_arms": arms,
        "physics": facts,
        "without_chip": provenance.without_chip(run),
        "placements": provenance.placements(run),
        "notes": provenance.notes(run),
        "origin": provenance.origin(run),
        "trials": provenance.trials(run),
    }


def _one_for_each_arm(results: Sequence[Result]) -> list[Result]:
    return list({result.arm: result for result in reversed(results)}.values())[::-1]


def _sweeps(key: str, run: Run) -> list[dict[str, Any]]:
    return [
        {
            "setting": sweep.setting,
            "plate": sweep_figures.accuracy_plate(f"{key}-{place}", run, sweep),
            "words": sweep_figures.crossing_words(sweep),
            "trade_off": trade_off.trade_off_plate(f"{key}-{place}-trade", run, sweep),
            "table": sweep_figures.table(run, sweep),
        }
        for place, sweep in enumerate(sweeps(run))
    ]


def _comparisons(key: str, run: Run) -> list[dict[str, Any]]:
    return [
        {
            "setting": found.setting,
            "words": comparison.words(run, found),
            "table": comparison.table(run, found),
            "plate": comparison.weights_plate(f"{key}-{place}", run, found),
        }
        for place, found in enumerate(comparisons(run))
    ]


@dataclass(frozen=True)
class ChipPage:
    """The pictures of one result's chip; `left_out` says what only the file holds."""

    name: str
    chip: int
    arm: str
    macros: list[MapPlate]
    wear: Plate | None
    plots: list[Plate]
    layers: list[search_figures.LayerPlates]
    left_out: str


def _chips(key: str, run: Run, number: int, image_bytes: int) -> dict[str, Any]:
    """The chips that are shown, and the names of the results whose maps stay in their files."""
    candidates = sorted(headline.shown_results(run), key=_preference)
    with_maps = [r for r in candidates if any(trial.maps for trial in r.trials)]
    shown: list[ChipPage] = []
    unread: list[str] = []
    for result in with_maps:
        maps = chip_maps(run, result) if len(shown) < number else None
        if maps is not None:
            shown.append(_chip(f"{key}-chip{len(shown)}", run, result, maps, image_bytes))
        else:
            unread.append(headline.name_of(run, result))
    return {"shown": shown, "others": unread}


def _preference(result: Result) -> int:
    known = result.arm in PREFERRED
    return PREFERRED.index(result.arm) if known else len(PREFERRED)


def _chip(key: str, run: Run, result: Result, maps: ChipMaps, image_bytes: int) -> ChipPage:
    macros = macro_maps(maps)
    left = image_bytes - sum(len(plate.source) for plate in macros)
    layers, missing = [], []
    for layer in search_figures.layer_maps(maps):
        if layer.bytes <= left:
            layers.append(layer)
            left -= layer.bytes
        else:
            missing.append(layer.name)
    hidden = unshown_macros(maps)
    words = [
        f"{numbers.number_of(hidden, 'more macro')}" if hidden else "",
        f"the masks and scores of {', '.join(missing)}" if missing else "",
    ]
    return ChipPage(
        name=headline.name_of(run, result),
        chip=maps.chip,
        arm=result.arm,
        macros=macros,
        wear=wear_plate(f"{key}-wear", maps),
        plots=histogram_plates(f"{key}-hist", maps),
        layers=layers,
        left_out=" and ".join(word for word in words if word),
    )


def template(name: str) -> Template:
    """One of this room's pages, ready to render."""
    environment = Environment(
        loader=PackageLoader("secateur.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(swatch=swatch, setting_name=setting_name)
    return environment.get_template(name)


def setting_name(name: str) -> Markup:
    """A setting's name, which a narrow column may break after dots and underscores only."""
    parts = re.split(r"(?<=[._ ])", name)
    return Markup("<wbr>").join(Markup("<span>{}</span>").format(part) for part in parts)


def style_sheet() -> Markup:
    """The style of every page, colours for light and dark included."""
    own = files("secateur.report").joinpath("page.css").read_text(encoding="utf-8")
    return Markup(palette.style_sheet() + own)


def write_page(page: str, out: Path) -> Path:
    """Writes a page, replacing an older page only once this one is complete.

    Raises:
        FileError: where it cannot be written, or another file than a page has that name.
    """
    beside = out.with_name(out.name + ".part")
    try:
        if out.is_file() and not _is_page(out):
            raise FileError(
                "The file that is there is no report page of secateur, so it is left as it is",
                where=str(out),
                cause="a name that was given by mistake, or a page that was edited",
                remedy="Give another name for the page, or move that file away",
            )
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, out)
    except FileError:
        raise
    except OSError as error:
        beside.unlink(missing_ok=True) if beside.is_file() else None
        raise FileError(
            f"The report cannot be written: {error.strerror}",
            where=str(out),
            cause="the directory is missing or not yours to write to, or the disk is full",
            remedy="Give another file with --out, or free some space",
        ) from None
    return out


def _is_page(path: Path) -> bool:
    """Whether a file names secateur in the head that all its pages share, or holds nothing."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    # The first pages had the name in their titles only.
    return not head or GENERATOR in head or "– secateur</title>".encode() in head
