"""WIRED CELLS: inputs and conductances in, outputs out."""

from secateur.circuit.circuit import Circuit, LinearMap, ReadPerProduct, ReadPerStep
from secateur.circuit.converter import InputConverter, quantise
from secateur.circuit.netlist import spice_netlist
from secateur.circuit.wires import (
    effective_conductance,
    first_order_conductance,
    relative_error,
)

__all__ = [
    "Circuit",
    "InputConverter",
    "LinearMap",
    "ReadPerProduct",
    "ReadPerStep",
    "effective_conductance",
    "first_order_conductance",
    "quantise",
    "relative_error",
    "spice_netlist",
]
