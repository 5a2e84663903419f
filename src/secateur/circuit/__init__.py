"""WIRED CELLS: inputs and conductances in, outputs out."""

from secateur.circuit.circuit import (
    Circuit,
    Ideal,
    Layout,
    Levels,
    LinearMap,
    ReadPerProduct,
    ReadPerStep,
)
from secateur.circuit.converter import InputConverter, quantise
from secateur.circuit.converters import BoundConverters, Converters
from secateur.circuit.digitise import digitise_
from secateur.circuit.netlist import spice_netlist
from secateur.circuit.planes import bit_planes
from secateur.circuit.wired import Wired
from secateur.circuit.wires import (
    effective_conductance,
    effective_deviation,
    first_order_conductance,
    relative_error,
)

__all__ = [
    "BoundConverters",
    "Circuit",
    "Converters",
    "Ideal",
    "InputConverter",
    "Layout",
    "Levels",
    "LinearMap",
    "ReadPerProduct",
    "ReadPerStep",
    "Wired",
    "bit_planes",
    "digitise_",
    "effective_conductance",
    "effective_deviation",
    "first_order_conductance",
    "quantise",
    "relative_error",
    "spice_netlist",
]
