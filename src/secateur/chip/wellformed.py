"""Whether a command is one at all: what comes with each kind, before a cell is looked at."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from secateur.errors import ChipError


def check_command(
    kind: str, cells: Tensor, values: Tensor | None, parameters: Mapping[str, Any]
) -> None:
    """Refuses what no chip could be told.

    Whether a chip has the cells, and can do it, is the chip's to say.

    Args:
        kind: of command.
        cells: int64 (n,).
        values: boolean (n,) of `switch`, float32 (n,) and finite of `write_verify`, otherwise None.
        parameters: all of the kind's, and no others.

    Raises:
        ChipError: naming what does not fit.
    """
    if cells.dtype != torch.int64 or cells.dim() != 1:
        raise _refused(kind, f"cells of {_in_words(cells)}", "Give a list of numbers, int64")
    _check_values(kind, cells, values)
    asked = _PARAMETERS.get(kind, {})
    if set(parameters) != set(asked):
        raise _refused(
            kind, f"the parameters {', '.join(map(str, parameters)) or 'none'}",
            f"Give {', '.join(asked) or 'none'}",
        )  # fmt: skip
    for name, fits in asked.items():
        if not fits(parameters[name]):
            raise _refused(
                kind, f"{name} {parameters[name]!r:.40}", f"Give {name} as `Chip.{kind}` says"
            )


def _check_values(kind: str, cells: Tensor, values: Tensor | None) -> None:
    dtype = {"switch": torch.bool, "write_verify": torch.float32}.get(kind)
    if dtype is None and values is not None:
        raise _refused(kind, f"values of {_in_words(values)}", "Give none")
    if dtype is None:
        return
    # Of another kind, ~ and sums would count pulses that nobody has given.
    if values is None or values.dtype != dtype or values.shape != cells.shape:
        found = "no values" if values is None else f"values of {_in_words(values)}"
        raise _refused(kind, f"{found} for {len(cells)} cells", f"Give one {str(dtype)[6:]} a cell")
    if kind == "write_verify" and not bool(values.isfinite().all()):
        raise _refused(kind, "a target that is no finite number", "Give siemens, 0 or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_count, value))


_PULSE: dict[str, Callable[[Any], bool]] = {"width": _is_number, "compliance": _is_number}
_PARAMETERS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "place": {
        "name": lambda value: isinstance(value, str),
        "shape": _is_shape,
        "inputs_first": lambda value: isinstance(value, bool),
    },
    "form": {"voltage": _is_number, **_PULSE},
    "ramp": {"voltages": _are_numbers, **_PULSE},
    "write_verify": {
        "tolerance": lambda value: _is_number(value) and value >= 0.0,
        "attempts": _is_count,
    },
}


def _in_words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype)[6:]} {tuple(tensor.shape)}"


def _refused(kind: str, what: str, remedy: str) -> ChipError:
    return ChipError(f"A {kind} with {what} is no command", remedy=remedy)
