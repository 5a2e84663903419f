"""The table at the end of a run, and its numbers."""

import pytest

from secateur.cli.comparison import comparison, legend
from secateur.cli.printing import show
from secateur.cli.quantities import count, percent, quantity, ratio
from secateur.report import Record


def _statistic(mean: float, half: float | None = None) -> dict:
    if half is None:
        return {"mean": mean, "std": None, "interval95": None, "n": 1}
    return {"mean": mean, "std": half / 2, "interval95": [mean - half, mean + half], "n": 3}


def _result(
    arm: str, *, variant: str = "", chip: bool, chips: int = 3, split: str = "test"
) -> dict:
    half = 0.005 if chips > 1 else None
    figures = {"accuracy": 0.91, "loss": 0.3}
    trial = {
        "chip": 0, "test": None, "validation": None,
        "pulses": {"form": 9, "set": 12000, "reset": 15000} if chip else {},
    }  # fmt: skip
    summary = {"accuracy": _statistic(0.91, half)}
    if split != "test":
        summary["validation_accuracy"] = _statistic(0.89, half)
    if chip:
        summary |= {
            "flips_per_edge": _statistic(2.912, half),
            "most_worn_cell": _statistic(1402.6, half),
            "programming_energy_J": _statistic(1.234e-5, half),
        }
    parts = ("test", "validation") if split == "both" else (split,)
    trials = [{**trial, "chip": n, **dict.fromkeys(parts, figures)} for n in range(chips)]
    return {"arm": arm, "variant": variant, "trials": trials, "summary": summary}


def _record(*results: dict) -> Record:
    return Record.model_validate({"task": "digits", "results": list(results)})


def _rows(record: Record, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    show(comparison(record))
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_figures_over_chips_come_with_their_interval(capsys):
    record = _record(_result("digital", chip=False), _result("pruned", chip=True))
    heading, _, digital, pruned = _rows(record, capsys)
    assert heading == [
        "arm", "test accuracy", "test std", "n", "flips/edge", "most worn", "SET", "RESET",
        "energy",
    ]  # fmt: skip
    assert digital == ["digital", "91.00 ± 0.50 %", "0.25 %", "3", "-", "-", "-", "-", "-"]
    assert pruned == [
        "pruned", "91.00 ± 0.50 %", "0.25 %", "3", "2.91", "1 403", "12 000", "15 000", "12.3 µJ",
    ]  # fmt: skip
    assert "3 chips" in legend(record)


def test_a_single_chip_has_no_interval(capsys):
    record = _record(_result("pruned", chip=True, chips=1))
    assert _rows(record, capsys)[2][:4] == ["pruned", "91.00 %", "-", "1"]
    assert "One chip" in legend(record)


def test_a_table_without_a_chip_is_not_told_of_pulses():
    wear = "Most worn: pulses on the cell that had most. SET, RESET and energy"
    assert wear in legend(_record(_result("digital", chip=False), _result("pruned", chip=True)))
    assert legend(_record(_result("digital", chip=False, chips=1))) == (
        "One trial each, so no interval."
    )
    assert legend(_record(_result("digital", chip=False))) == (
        "Means over 3 trials, ± the 95 % interval of the mean; std is over trials."
    )


def test_variants_have_a_column_where_there_are_any(capsys):
    with_variant = _result("pruned", variant="chip.forming=ramp", chip=True)
    heading, _, first, second = _rows(_record(_result("digital", chip=False), with_variant), capsys)
    assert heading[:2] == ["arm", "variant"]
    assert (first[1], second[1]) == ("-", "chip.forming=ramp")


def test_variants_that_an_arm_does_not_heed_are_one_row(capsys):
    varied = {"chip.values.programming_error": 0.0}, {"chip.values.programming_error": 0.1}
    record = _record(*(
        _result(arm, variant=f"{path}={value}", chip=arm != "digital") | {"overrides": overrides}
        for arm in ("digital", "programmed", "pruned")
        for overrides in varied
        for path, value in overrides.items()
    ))  # fmt: skip
    _, _, *rows = _rows(record, capsys)
    assert [row[:2] for row in rows] == [
        ["digital", "-"],
        ["programmed", "chip.values.programming_error=0.0"],
        ["programmed", "chip.values.programming_error=0.1"],
        ["pruned", "-"],
    ]
    assert "Variant -: what was varied makes no difference to that arm" in legend(record)


def test_a_selection_run_is_never_called_a_test(capsys):
    heading, _, row = _rows(_record(_result("digital", chip=False, split="validation")), capsys)
    assert heading == ["arm", "validation accuracy", "validation std", "n"]
    assert row[1] == "89.00 ± 0.50 %"


def test_a_run_on_both_splits_shows_both(capsys):
    heading, _, row = _rows(_record(_result("digital", chip=False, split="both")), capsys)
    assert heading[1:5] == ["validation accuracy", "validation std", "test accuracy", "test std"]
    assert (row[1], row[3]) == ("89.00 ± 0.50 %", "91.00 ± 0.50 %")


def test_a_terminals_width_folds_nothing_in_a_pipe(capsys):
    show("x" * 300)
    assert capsys.readouterr().out == "x" * 300 + "\n"


@pytest.mark.parametrize(
    ("value", "unit", "digits", "words"),
    [
        (1.23456e-5, "J", 3, "12.3 µJ"),
        (12.21e-6, "S", 6, "12.21 µS"),
        (0.2, "V", 6, "200 mV"),
        (1e-6, "s", 6, "1 µs"),
        (9.9999e-7, "J", 3, "1 µJ"),
        (999.96e-9, "J", 6, "999.96 nJ"),
        (0.0, "S", 3, "0 S"),
        (1e-18, "J", 3, "0.001 fJ"),
        (2e13, "J", 3, "2e+04 GJ"),
        (-3.3, "V", 3, "-3.3 V"),
        (0.1403, "1", 6, "0.1403"),
        (1e18, "1", 6, "1e+18"),
        (None, "J", 3, "-"),
    ],
)
def test_quantities_have_si_prefixes(value, unit, digits, words):
    assert quantity(value, unit, digits=digits) == words


def test_other_numbers():
    assert percent(0.91234) == "91.23 %"
    assert percent(0.91234, 0.00456) == "91.23 ± 0.46 %"
    assert count(1234567.4) == "1 234 567"
    assert ratio(2.9149) == "2.91"
    assert percent(None) == count(None) == ratio(None) == "-"
