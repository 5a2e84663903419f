"""`secateur chip`: from the physics of cells, and from measurements, to a technology."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secateur.cli.board import keys, serve
from secateur.cli.command import Command, Debug, Group, Json
from secateur.cli.export import export
from secateur.cli.printing import show, show_json, table
from secateur.cli.quantities import percent, quantity
from secateur.cli.recording import import_recording, record

if TYPE_CHECKING:
    from secateur.device.breakdown import VoltageFit

chip = typer.Typer(
    name="chip", cls=Group, no_args_is_help=True, rich_markup_mode="markdown",
    help="Where a chip's randomness comes from, your own measurements, circuits, and boards.",
)  # fmt: skip

_Technology = Annotated[
    str,
    typer.Option(metavar="NAME", help="Preset or TOML file that gives what is not modelled."),
]


def form(
    technology: _Technology = "taox-40nm",
    *,
    cells: Annotated[int, typer.Option(metavar="N", help="Cells to form in the model.")] = 400,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every draw.")] = 0,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Draw filaments of a weak, a typical and a strong cell: PNG, SVG or PDF.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            show_default=False,
            help="Write the technology with the model's forming statistics.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Form cells by a percolation model of dielectric breakdown.

    Defects appear in a thin oxide until a path of them joins the electrodes; the path grows until
    the compliance stops it. Thickness spread and time scale are fitted to the technology's
    breakdown voltages; the spread and skew of the conductances are then predicted.

    Examples:

        secateur chip form
        secateur chip form --explain filaments.png
        secateur chip form --cells 2000 --out percolation.toml
    """
    from secateur.device import Technology
    from secateur.device.breakdown import forming_report

    report = forming_report(Technology.load(technology), cells=cells, seed=seed)
    if explain is not None:
        report.draw(explain)
    if out is not None:
        report.write(out)
    if as_json:
        show_json(report.table())
        return
    listed = table("quantity", "technology", "model", numbers=("technology", "model"))
    for name, unit, measured, modelled in report.rows():
        listed.add_row(name, quantity(measured, unit), quantity(modelled, unit))
    pictures = [str(path) for path in (explain, out) if path is not None]
    show(listed, _verdict(report.fit), *pictures)


def _verdict(fit: "VoltageFit") -> str:
    if fit.pure_law is None:
        return (
            "Whether the spread of breakdown voltages can be that of percolation alone, the "
            "technology does not say: it knows no weakest cell (breakdown_cells is 0)."
        )
    verdict = "can be" if fit.slope_law_survives else "cannot be"
    return (
        f"The spread of breakdown voltages {verdict} that of percolation alone: a weakest cell "
        f"this strong would have a probability of {percent(fit.pure_law)}. The extremes leave "
        f"percolation at most {percent(fit.share_limit)} of the variance; the rest is thickness."
    )


def fit(
    measurements: Annotated[
        Path, typer.Argument(metavar="MEASUREMENTS", help="A .csv, .npz, .npy, .h5 or .hdf5 file.")
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.toml", help="The technology to write.")] = Path(
        "fitted.toml"
    ),
    like: _Technology = "taox-40nm",
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Draw how well the laws fit: PNG, SVG or PDF.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Fit a technology to your own measurements.

    One row for each read of a cell. Columns: `cell` (its number), `state` (high or low),
    `conductance [uS]` (or S, mS, nS); and where known `cycle` (number of the SET and RESET),
    `time [s]` since the pulse, `forming_voltage [V]`. Repeated reads give the read noise, cycles
    the spread from cycle to cycle, times the drift. What was not measured is taken from --like
    and marked as an assumption.

    Examples:

        secateur chip fit reads.csv --out mine.toml --plots fit.png
        secateur technologies mine.toml
        secateur run digits --set chip.technology=mine.toml
    """
    from secateur.device import Technology, unit_of
    from secateur.device.measurement import draw_fit, fit_reads, load_reads
    from secateur.files import write_atomically, write_figure

    found = fit_reads(load_reads(measurements), like=Technology.load(like), name=out.stem)
    if plots is not None:
        write_figure(plots, draw_fit(found))
    write_atomically(out, found.technology.toml().encode())
    units = {n: "1" if "." in n else unit_of(n) for n in found.estimates}
    if as_json:
        estimates = {
            n: {"value": e.value, "low": e.low, "high": e.high, "unit": units[n]}
            for n, e in found.estimates.items()
        }
        tests = {n: {"law": t.law, "p_value": t.p_value} for n, t in found.tests.items()}
        show_json({"estimates": estimates, "tests": tests, "warnings": found.warnings})
        return
    listed = table("parameter", "value", "95 % from", "to", numbers=("value", "95 % from", "to"))
    for name, e in found.estimates.items():
        listed.add_row(name, *(quantity(v, units[name]) for v in (e.value, e.low, e.high)))
    tested = table("test", "law", "p", numbers=("p",))
    for name, test in found.tests.items():
        tested.add_row(name, test.law, quantity(test.p_value, "1"))
    show(listed, tested, *(f"Warning: {words}." for words in found.warnings), str(out))
    if plots is not None:
        show(str(plots))


chip.command(cls=Command)(form)
chip.command(cls=Command)(fit)
chip.command(cls=Command)(export)
chip.command(cls=Command)(record)
chip.command(cls=Command, name="import")(import_recording)
chip.command(cls=Command)(serve)
chip.command(cls=Command)(keys)
