"""Wires that resist: an array of cells on lines is one effective conductance matrix, exactly.

    driver ──R_source──r─┬──r─┬──r─┬   input line (a row), its cells hang below it
                         g    g    g
                         │    │    │   output lines (columns), sensed at the bottom
                         r    r    r
                      R_sense ... at virtual ground

Lines, cells and drivers are linear, so the currents are a matrix times the voltages. The matrix is
found once whenever a conductance changes; after that IR drop costs nothing per multiplication.
"""

import math

import torch
from torch import Tensor

from secateur.errors import SettingError

# Ohms that change no float64 beside a cell's, but whose reciprocals would leave its range.
_NONE = 1e-30


def effective_conductance(
    conductance: Tensor,
    *,
    input_line_resistance: float,
    output_line_resistance: float,
    source_resistance: float = 0.0,
    sense_resistance: float = 0.0,
    double_sided: bool = False,
) -> Tensor:
    """The conductances that an array with resistive lines seems to have: `currents = voltages @ G`.

    Exact. Input lines (rows) are driven from the left, output lines (columns) end at the bottom in
    virtual ground; one segment lies between driver and first cell and between last cell and sense.
    A row of zeros, whose transistors are off, draws no current; columns whose currents nobody
    looks at belong into the array nevertheless: they load the rows.

    The input lines are eliminated in closed form. Going down the output lines, what lies above is
    kept as its Norton equivalent: an admittance matrix Y and short-circuit currents J for every
    input. A segment r in series turns them into Y (1 + rY)^-1 and (1 + rY)^-1 J, and the next row
    adds its own. Nothing is subtracted, so that thin and thick wires are computed equally well.
    Takes about 2.3 rows x columns^3 + rows^2 x columns^2 multiplications, in float64.

    Args:
        conductance: siemens (rows, columns), 0 or more.
        input_line_resistance: ohms of a segment of an input line.
        output_line_resistance: ohms of a segment of an output line.
        source_resistance: ohms of a driver.
        sense_resistance: ohms of a sense amplifier's input.
        double_sided: whether a second driver feeds each input line at its right end.

    Returns:
        Siemens, float64, shaped as `conductance`.

    Raises:
        SettingError: for conductances or resistances that are negative or not finite.
    """
    check_array(conductance, input_line_resistance, output_line_resistance, source_resistance,
           sense_resistance)  # fmt: skip
    cells = conductance.detach().to(torch.float64)
    right, left = _ladder(
        cells, segment=input_line_resistance, source=source_resistance, double_sided=double_sided
    )
    inputs, columns = cells.shape
    admittance = cells.new_zeros(columns, columns)
    currents = cells.new_zeros(columns, inputs)
    for row in range(inputs):
        if row:
            _in_series(admittance, currents[:, :row], resistance=output_line_resistance)
        own, driven = _row(
            cells[row], right[row], left[row], segment=input_line_resistance,
            source=source_resistance, double_sided=double_sided,
        )  # fmt: skip
        admittance += own
        currents[:, row] = driven
    _in_series(admittance, currents, resistance=output_line_resistance + sense_resistance)
    return currents.T.contiguous()


def first_order_conductance(
    conductance: Tensor,
    *,
    input_line_resistance: float,
    output_line_resistance: float,
    source_resistance: float = 0.0,
    sense_resistance: float = 0.0,
    double_sided: bool = False,
) -> Tensor:
    """`effective_conductance` to first order in the resistances: cheap, and differentiable.

    Each cell is divided by 1 plus the drops that ideal currents would cause along its input line
    and its output line, so that it stays positive. Good where these drops are a few percent;
    `relative_error` says how good.

    Args and errors as `effective_conductance`; the result has the dtype of `conductance`.
    """
    check_array(conductance, input_line_resistance, output_line_resistance, source_resistance,
           sense_resistance)  # fmt: skip
    along = _line_drop(
        conductance, segment=input_line_resistance, end=source_resistance,
        double_sided=double_sided,
    )  # fmt: skip
    columns = conductance.flip(0).T.contiguous()
    down = _line_drop(columns, segment=output_line_resistance, end=sense_resistance)
    return conductance / (1.0 + along + down.T.flip(0))


def effective_deviation(deviation: Tensor, *, conductance: Tensor, effective: Tensor) -> Tensor:
    """Read noise of cells as it arrives at the output lines, to first order.

    A cell's noise current loses at its input line what its voltage loses there, and at its output
    line what its own current loses: by reciprocity the two factors are those of its mean current,
    G_eff / G. Exact for one driven row. Left out is what the other rows lift the output line by,
    and with it the cell's voltage: with inputs of one sign the noise comes out too large, by up
    to the share of the voltage that is lost along the output lines.

    Args:
        deviation: siemens, of each cell, any shape.
        conductance: siemens, of each cell.
        effective: siemens, as `effective_conductance` or its first order give it.
    """
    share = torch.where(conductance > 0.0, effective / conductance, 0.0)
    return deviation * share.to(deviation.dtype)


def relative_error(approximate: Tensor, exact: Tensor) -> float:
    """Largest error of a column's current, over the exact one, with equal voltages on all rows."""
    wrong, right = approximate.to(exact.dtype).sum(dim=0), exact.sum(dim=0)
    return float(((wrong - right).abs() / right.abs().clamp_min(1e-300)).max())


def check_array(conductance: Tensor, *resistances: float) -> None:
    """Refuses what is no array of cells on lines.

    Raises:
        SettingError: for conductances or resistances that are negative or not finite.
    """
    if conductance.dim() != 2 or not conductance.numel():
        raise SettingError(
            f"An array of shape {tuple(conductance.shape)} has no rows and columns",
            remedy="Give conductances (rows, columns)",
        )
    wrong = ~torch.isfinite(conductance) | (conductance < 0.0)
    if bool(wrong.any()):
        row, column = (int(n) for n in wrong.nonzero()[0])
        raise SettingError(
            f"The conductance in row {row}, column {column} is {float(conductance[row, column])} S",
            cause="a measurement that failed, or a difference of two cells",
            remedy="Give 0 or more, finite; an open cell has 0",
        )
    for resistance in resistances:
        if not (math.isfinite(resistance) and resistance >= 0.0):
            raise SettingError(
                f"A resistance is {resistance} ohms",
                cause="an open line is no line: its cells have conductance 0",
                remedy="Give 0 or more, finite",
            )


def _line_drop(cells: Tensor, *, segment: float, end: float, double_sided: bool = False) -> Tensor:
    """Share of the voltage missing at every cell of lines (rows), for ideal currents.

    Driven from the left, cell k's current g_k lowers cell j by g_k times the resistance that their
    ways from the driver share, `end` + `segment` x min(j, k), from 1.
    """
    # The segment before a cell carries the currents of it and of all behind it.
    behind = cells.flip(1).cumsum(dim=1).flip(1)
    drop = behind.cumsum(dim=1).mul(segment).add(behind[:, :1], alpha=end)
    whole = 2.0 * end + (cells.shape[1] + 1) * segment
    if not double_sided or whole < _NONE:
        return drop
    # The other driver lifts a point at resistance a from the left one by a / whole of its share.
    steps = torch.arange(1, cells.shape[1] + 1, dtype=cells.dtype, device=cells.device)
    away = end + segment * steps
    return drop - (cells @ away).unsqueeze(1) * (away / whole)


def _ladder(
    cells: Tensor, *, segment: float, source: float, double_sided: bool
) -> tuple[Tensor, Tensor]:
    """Admittances (rows, columns) of the lines seen from each cell's node, its own cell left out.

    Output lines held at ground. To the right: what comes after the next segment. To the left: the
    driver and all cells before.
    """
    columns = cells.shape[1]
    right, left = torch.zeros_like(cells), torch.zeros_like(cells)
    if segment + source < _NONE:
        return right, left.fill_(math.inf)
    left[:, 0] = 1.0 / (segment + source)
    if double_sided:
        right[:, -1] = 1.0 / (segment + source)
    for n in range(1, columns):
        left[:, n] = _series(left[:, n - 1] + cells[:, n - 1], segment)
        m = columns - 1 - n
        right[:, m] = _series(right[:, m + 1] + cells[:, m + 1], segment)
    return right, left


def _series(admittance: Tensor, resistance: float) -> Tensor:
    return admittance / (1.0 + resistance * admittance)


def _row(
    cells: Tensor, right: Tensor, left: Tensor, *, segment: float, source: float,
    double_sided: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One input line eliminated: its admittance (columns, columns) among the output lines' nodes,
    and the currents (columns,) that 1 V on it drives into them."""
    if segment + source < _NONE:
        return torch.diag(cells), cells
    total = left + cells + right
    # An ampere into node p raises it by 1 / total, and node q behind it by that times what every
    # segment between them leaves. Logarithms, since a long bad line would underflow.
    reach = -torch.log1p(segment * (cells + right)).cumsum(0)
    here, there = -reach - total.log() + cells.log(), reach + cells.log()
    mutual = here.unsqueeze(1) + there
    # Of p before q and q before p one is meant: the lesser, as no node rises above its source.
    admittance = torch.minimum(mutual, mutual.T).exp_().neg_()
    admittance.diagonal().copy_(cells * (left + right) / total)
    driven = (there - total[0].log() - reach[0]).exp_()
    if double_sided:
        driven += (here + reach[-1]).exp_()
    return admittance, driven / (segment + source)


def _in_series(admittance: Tensor, currents: Tensor, *, resistance: float) -> None:
    """A resistance in every output line below what `admittance` and `currents` stand for."""
    if resistance == 0.0:
        return
    matrix = resistance * admittance
    matrix.diagonal().add_(1.0)
    factor = torch.linalg.cholesky(matrix)
    solved = torch.cholesky_solve(admittance, factor)
    # Symmetric but for rounding, which would grow from row to row.
    torch.add(solved, solved.T, out=admittance).mul_(0.5)
    currents.copy_(torch.cholesky_solve(currents, factor))
