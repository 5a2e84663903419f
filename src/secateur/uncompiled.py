"""Functions that torch.compile leaves alone."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")


def uncompiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """As `torch.compiler.disable`, which imports the compiler: half of the time it takes to start.

    Where nobody has imported it, nothing is compiled, and the function is called as it is.
    """
    disabled: Callable[_P, _R] | None = None

    @functools.wraps(function)
    def call(*given: _P.args, **settings: _P.kwargs) -> _R:
        nonlocal disabled
        if "torch._dynamo" not in sys.modules:
            return function(*given, **settings)
        if disabled is None:
            # torch's own types leave it out.
            disabled = torch.compiler.disable(function)  # type: ignore[no-untyped-call,unused-ignore]
        return disabled(*given, **settings)

    # The compiler breaks its graph here, where it finds this; otherwise it does so a frame deeper.
    vars(call)["_torchdynamo_disable"] = True
    return call
