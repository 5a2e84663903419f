"""WIRED CELLS: inputs and conductances in, outputs out."""

from secateur.circuit.circuit import Circuit, LinearMap, ReadPerProduct, ReadPerStep
from secateur.circuit.converter import InputConverter, quantise

__all__ = ["Circuit", "InputConverter", "LinearMap", "ReadPerProduct", "ReadPerStep", "quantise"]
