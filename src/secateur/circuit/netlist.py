"""An array as a SPICE netlist, so that a circuit simulator can be asked the same question."""

from collections.abc import Iterator

from torch import Tensor

from secateur.circuit.wires import check_array
from secateur.errors import SettingError


def spice_netlist(
    conductance: Tensor,
    voltages: Tensor,
    *,
    input_line_resistance: float,
    output_line_resistance: float,
    source_resistance: float = 0.0,
    sense_resistance: float = 0.0,
) -> str:
    """The circuit of `effective_conductance`, with an operating point to print.

    The current into virtual ground of output line j, from 1, is that of the voltage source
    `Vsense<j>`. Cells of 0 S are left out; a resistance of 0 ohms is a short.

    Args:
        conductance: siemens (rows, columns).
        voltages: volts (rows,) on the input lines.
        input_line_resistance: ohms of a segment of an input line.
        output_line_resistance: ohms of a segment of an output line.
        source_resistance: ohms of a driver.
        sense_resistance: ohms of a sense amplifier's input.

    Raises:
        SettingError: for voltages that do not fit the rows, and for conductances or resistances
            that are negative or not finite.
    """
    check_array(
        conductance, input_line_resistance, output_line_resistance, source_resistance,
        sense_resistance,
    )  # fmt: skip
    rows, columns = conductance.shape
    if voltages.shape != (rows,):
        raise SettingError(f"Voltages of shape {tuple(voltages.shape)} for {rows} input lines")
    lines = [f"* {rows} input lines by {columns} output lines"]
    for i in range(1, rows + 1):
        lines.append(f"Vin{i} in{i} 0 {_number(float(voltages[i - 1]))}")
        lines += _resistor(f"source{i}", f"in{i}", f"r{i}_0", source_resistance)
        for j in range(1, columns + 1):
            lines += _resistor(f"row{i}_{j}", f"r{i}_{j - 1}", f"r{i}_{j}", input_line_resistance)
            siemens = float(conductance[i - 1, j - 1])
            if siemens:
                lines += _resistor(f"cell{i}_{j}", f"r{i}_{j}", f"c{i}_{j}", 1.0 / siemens)
            below = f"c{i + 1}_{j}" if i < rows else f"sense{j}"
            lines += _resistor(f"column{i}_{j}", f"c{i}_{j}", below, output_line_resistance)
    for j in range(1, columns + 1):
        lines += _resistor(f"amplifier{j}", f"sense{j}", f"ground{j}", sense_resistance)
        lines.append(f"Vsense{j} ground{j} 0 0")
    currents = " ".join(f"i(Vsense{j})" for j in range(1, columns + 1))
    lines += [
        ".options reltol=1e-12 abstol=1e-21 vntol=1e-15 gmin=1e-30 numdgt=15",
        ".control", "set numdgt=15", "op", f"print {currents}", "quit 0", ".endc", ".end", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _resistor(name: str, first: str, second: str, ohms: float) -> Iterator[str]:
    # SPICE knows no resistor of 0 ohms; a source of 0 volts is a short.
    yield f"R{name} {first} {second} {_number(ohms)}" if ohms else f"V{name} {first} {second} 0"


def _number(value: float) -> str:
    return f"{value:.17g}"
