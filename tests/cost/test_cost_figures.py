"""The figures of an account show what the account says."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from secateur.report import palette
from secateur.report.cost_figures import breakdown_plate, tornado_plate
from secateur.report.drawing import Frame, Plate

ACCOUNT: dict[str, Any] = {
    "model": "components",
    "energy_J": 4e-7,
    "saving_percent": 60.0,
    "parts_J": {"cells": 1e-7, "converters": 3e-7},
    "layers": [
        {"name": "conv1.weight", "energy_J": 3e-7, "parts_J": {"cells": 1e-7, "converters": 2e-7}},
        {"name": "fc1.weight", "energy_J": 1e-7, "parts_J": {"converters": 1e-7}},
    ],
    "tornado": [
        {"name": "activity", "saving_percent_low": 70.0, "saving_percent_high": 45.0},
        {"name": "driver_energy", "saving_percent_low": 62.0, "saving_percent_high": 57.0},
    ],
}


@pytest.mark.parametrize("make", [breakdown_plate, tornado_plate])
def test_a_figure_names_every_row_in_both_widths(make) -> None:
    drawn: Plate = make("cost", ACCOUNT)
    rows = ACCOUNT["layers"] if make is breakdown_plate else ACCOUNT["tornado"]
    for svg in (drawn.wide, drawn.narrow):
        ET.fromstring(str(svg))
        assert all(f">{row['name']}<" in svg for row in rows)
        assert not {colour.light for colour in palette.COLOURS} & set(svg.split('"'))
    assert "components" in drawn.caption


def test_the_breakdown_stacks_every_part_of_a_layer() -> None:
    axes = drawn_by("_breakdown_drawer")
    ends = {}
    for bar in axes.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = max(ends.get(row, 0.0), bar.get_x() + bar.get_width())
    # In nanojoules.
    assert ends == pytest.approx({0: 300.0, 1: 100.0})
    assert axes.get_xlabel() == "nJ"


def test_the_bars_of_a_tornado_reach_from_the_saving_to_its_ends() -> None:
    reached = [bar.get_x() + bar.get_width() for bar in drawn_by("_tornado_drawer").patches]
    assert reached == pytest.approx([70.0, 45.0, 62.0, 57.0])
    assert {bar.get_x() for bar in drawn_by("_tornado_drawer").patches} == {60.0}


def drawn_by(drawer: str):
    from secateur.report import cost_figures

    return getattr(cost_figures, drawer)(ACCOUNT)(Frame(1080, narrow=False)).axes[0]
