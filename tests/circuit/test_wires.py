"""IR drop: exact against nodal analysis and ngspice, and lawful as any linear network."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

from secateur.circuit import (
    effective_conductance,
    first_order_conductance,
    relative_error,
    spice_netlist,
)
from secateur.errors import SettingError

WIRES = {"input_line_resistance": 2.5, "output_line_resistance": 1.5}
FULL = {**WIRES, "source_resistance": 40.0, "sense_resistance": 15.0}


def array(rows: int, columns: int, *, seed: int = 0, scale: float = 1e-5) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return scale * torch.rand(rows, columns, generator=draws, dtype=torch.float64)


def by_nodal_analysis(
    cells: Tensor, *, input_line_resistance: float, output_line_resistance: float,
    source_resistance: float = 0.0, sense_resistance: float = 0.0, double_sided: bool = False,
) -> np.ndarray:  # fmt: skip
    """Kirchhoff's laws at every node, solved by sparse LU; all resistances above 0."""
    rows, columns = cells.shape
    entries: list[tuple[int, int, float]] = []

    def connect(a: int, b: int | None, siemens: float) -> None:
        entries.append((a, a, siemens))
        if b is not None:
            entries.extend([(b, b, siemens), (a, b, -siemens), (b, a, -siemens)])

    def row_node(i: int, j: int) -> int:
        return i * columns + j

    def column_node(i: int, j: int) -> int:
        return rows * columns + i * columns + j

    drive = 1.0 / (source_resistance + input_line_resistance)
    sense = 1.0 / (sense_resistance + output_line_resistance)
    for i in range(rows):
        connect(row_node(i, 0), None, drive)
        if double_sided:
            connect(row_node(i, columns - 1), None, drive)
        for j in range(columns):
            connect(row_node(i, j), column_node(i, j), float(cells[i, j]))
            if j + 1 < columns:
                connect(row_node(i, j), row_node(i, j + 1), 1.0 / input_line_resistance)
            if i + 1 < rows:
                connect(column_node(i, j), column_node(i + 1, j), 1.0 / output_line_resistance)
    for j in range(columns):
        connect(column_node(rows - 1, j), None, sense)
    a, b, values = zip(*entries, strict=True)
    nodes = 2 * rows * columns
    solve = splu(coo_matrix((values, (a, b)), shape=(nodes, nodes)).tocsc()).solve
    driven = np.zeros((nodes, rows))
    for i in range(rows):
        driven[row_node(i, 0), i] += drive
        if double_sided:
            driven[row_node(i, columns - 1), i] += drive
    bottom = [column_node(rows - 1, j) for j in range(columns)]
    return sense * solve(driven)[bottom].T


@pytest.mark.parametrize("double_sided", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 12), (40, 25)])
def test_currents_are_those_of_nodal_analysis(shape, double_sided):
    cells = array(*shape)
    ours = effective_conductance(cells, **FULL, double_sided=double_sided)
    np.testing.assert_allclose(
        ours.numpy(), by_nodal_analysis(cells, **FULL, double_sided=double_sided), rtol=1e-9
    )


@pytest.mark.parametrize("ohms", [1e-3, 1.0, 1e3, 1e5])
def test_thin_wires_and_thick_ones_are_computed_alike(ohms):
    """From wires nobody would notice to wires as bad as the cells."""
    wires = {"input_line_resistance": ohms, "output_line_resistance": 0.5 * ohms}
    cells = array(16, 16)
    np.testing.assert_allclose(
        effective_conductance(cells, **wires).numpy(), by_nodal_analysis(cells, **wires), rtol=1e-7
    )


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize(
    ("rows", "columns", "wires"),
    [(3, 5, WIRES), (24, 17, FULL), pytest.param(64, 64, FULL, marks=pytest.mark.slow)],
)
def test_currents_are_those_of_ngspice(rows, columns, wires, tmp_path):
    cells = array(rows, columns, seed=rows)
    volts = torch.linspace(-0.2, 0.2, rows, dtype=torch.float64)
    theirs = by_ngspice(spice_netlist(cells, volts, **wires), columns, tmp_path)
    ours = volts @ effective_conductance(cells, **wires)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9, atol=1e-9 * ours.abs().max())


def by_ngspice(netlist: str, columns: int, folder: Path) -> np.ndarray:
    path = folder / "array.cir"
    path.write_text(netlist)
    printed = subprocess.run(
        ["ngspice", "-b", str(path)], capture_output=True, text=True, check=True
    ).stdout
    found = dict(re.findall(r"i\(vsense(\d+)\) = (\S+)", printed))
    return np.array([float(found[str(j)]) for j in range(1, columns + 1)])


def test_currents_are_those_of_badcrossbar():
    peer = pytest.importorskip(
        "badcrossbar", reason="badcrossbar is not installed (pip install --no-deps)"
    )
    cells, volts = array(256, 256) + 1e-6, torch.rand(256, dtype=torch.float64)
    solution = peer.compute(
        volts.unsqueeze(1).numpy(), 1.0 / cells.numpy(), r_i_word_line=1.3, r_i_bit_line=0.7,
        node_voltages=False, all_currents=False,
    )  # fmt: skip
    ours = volts @ effective_conductance(
        cells, input_line_resistance=1.3, output_line_resistance=0.7
    )
    np.testing.assert_allclose(ours.numpy(), solution.currents.output.reshape(-1), rtol=1e-9)


def test_without_resistance_cells_are_what_they_are():
    cells = array(6, 8)
    nothing = {"input_line_resistance": 0.0, "output_line_resistance": 0.0}
    assert torch.equal(effective_conductance(cells, **nothing), cells)
    assert torch.equal(first_order_conductance(cells, **nothing), cells)


@pytest.mark.parametrize("line", ["input_line_resistance", "output_line_resistance"])
@pytest.mark.parametrize("ends", [0.0, 30.0])
def test_a_line_without_resistance_is_the_limit_of_a_little(line, ends):
    wires = {**WIRES, "source_resistance": ends, "sense_resistance": ends}
    limit = effective_conductance(array(9, 7), **{**wires, line: 0.0})
    little = effective_conductance(array(9, 7), **{**wires, line: 1e-9})
    torch.testing.assert_close(limit, little, rtol=1e-9, atol=0.0)


def test_a_single_cell_is_in_series_with_its_wires():
    cell = torch.tensor([[2e-5]])
    ohms = 1.0 / 2e-5 + sum(FULL.values())
    assert float(effective_conductance(cell, **FULL)) == pytest.approx(1.0 / ohms, rel=1e-6)


def test_rows_that_are_off_drop_out_and_the_line_before_the_others_remains():
    cells = array(8, 6)
    cells[2] = 0.0
    off = effective_conductance(cells, **FULL)
    assert torch.equal(off[2], torch.zeros(6, dtype=torch.float64))
    without = effective_conductance(torch.cat([cells[:2], cells[3:]]), **FULL)
    assert bool((without[:2] > off[:2]).all())


def test_columns_that_nobody_looks_at_load_their_rows():
    cells = array(8, 6)
    alone = effective_conductance(cells[:, :3], **FULL)
    loaded = effective_conductance(cells, **FULL)[:, :3]
    assert bool((loaded.sum(dim=0) < alone.sum(dim=0)).all())


def test_a_second_driver_lessens_the_drop():
    cells = array(10, 30)
    one, two = (effective_conductance(cells, **FULL, double_sided=both) for both in (False, True))
    assert bool((two > one).all())
    assert bool((two[:, -1] / one[:, -1] > two[:, 0] / one[:, 0]).all())


# --- Laws of linear networks --------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 8), st.integers(1, 8))
ohms = st.floats(0.0, 1e4)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Tensor, dict[str, float]]:
    cells = array(
        *draw(shapes), seed=draw(st.integers(0, 1000)), scale=10.0 ** -draw(st.integers(3, 7))
    )
    names = (*WIRES, "source_resistance", "sense_resistance")
    return cells, {name: draw(ohms) for name in names}


@settings(deadline=None)
@given(networks())
def test_an_array_is_passive(network):
    """No current is negative, and no cell conducts better than it does."""
    cells, wires = network
    seen = effective_conductance(cells, **wires)
    assert bool((seen >= 0.0).all())
    assert bool(seen.sum() <= cells.sum() * (1 + 1e-12))


@settings(deadline=None)
@given(networks())
def test_an_array_is_reciprocal(network):
    """Driven from where it was sensed, and turned around, it is the same network."""
    cells, wires = network
    turned = cells.T.flip(0, 1)
    back = effective_conductance(
        turned, input_line_resistance=wires["output_line_resistance"],
        output_line_resistance=wires["input_line_resistance"],
        source_resistance=wires["sense_resistance"], sense_resistance=wires["source_resistance"],
    )  # fmt: skip
    ours = effective_conductance(cells, **wires)
    torch.testing.assert_close(back.T.flip(0, 1), ours, rtol=1e-9, atol=1e-20)


@settings(deadline=None)
@given(networks(), st.sampled_from(["input_line_resistance", "output_line_resistance"]))
def test_more_resistance_means_less_current(network, line):
    cells, wires = network
    total = effective_conductance(cells, **wires).sum()
    worse = effective_conductance(cells, **{**wires, line: wires[line] + 10.0}).sum()
    assert float(worse) <= float(total) * (1 + 1e-12)


# --- First order ----------------------------------------------------------------------------------


def test_the_first_order_model_is_right_to_first_order():
    """Its error falls with the square of the resistances."""
    cells = array(20, 30)
    errors = []
    for factor in (0.01, 0.1):
        wires = {name: factor * value for name, value in FULL.items()}
        exact = effective_conductance(cells, **wires)
        errors.append(relative_error(first_order_conductance(cells, **wires), exact))
    assert errors[1] / errors[0] == pytest.approx(100.0, rel=0.2)
    assert errors[0] < 1e-5


def test_the_first_order_model_is_differentiable():
    in_units = array(4, 5, scale=1.0).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda cells: 1e5 * first_order_conductance(1e-5 * cells, **FULL), (in_units,)
    )


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1e-6, math.nan, math.inf])
def test_cells_that_no_array_has_are_refused(value):
    cells = array(3, 4)
    cells[1, 2] = value
    for model in (effective_conductance, first_order_conductance):
        with pytest.raises(SettingError, match="row 1, column 2"):
            model(cells, **FULL)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", FULL)
def test_wires_that_no_array_has_are_refused(name, value):
    with pytest.raises(SettingError, match="resistance"):
        effective_conductance(array(3, 4), **{**FULL, name: value})


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 4)])
def test_what_is_no_array_is_refused(shape):
    with pytest.raises(SettingError, match="no rows and columns"):
        effective_conductance(torch.zeros(shape), **FULL)


def test_a_netlist_needs_a_voltage_for_each_row():
    with pytest.raises(SettingError, match="3 input lines"):
        spice_netlist(array(3, 4), torch.zeros(4), **WIRES)
