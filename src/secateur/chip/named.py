"""A chip of the user's own, by the name of what makes it: `mylab.board:Chip`."""

import sys
from importlib import import_module
from pathlib import Path

from secateur.chip.chip import Chip
from secateur.errors import SettingError, nearest


def chip_named(path: str) -> Chip:
    """The chip that a module's callable gives: the module is imported, the callable called.

    Modules of the working directory are found as well as installed ones.

    Args:
        path: module:name, as `mylab.board:Chip`.

    Raises:
        SettingError: for a module or name that is not there, or that gives no chip.
    """
    module, colon, name = path.partition(":")
    if not colon or not module or not name:
        raise SettingError(
            f"{path!r} names no chip", remedy="Write module:name, as in mylab.board:Chip"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise SettingError(
            f"There is no module {error.name!r}", where=path,
            cause="it is not installed here, or not in the working directory",
            remedy="Install it, or run where it lies",
        ) from error  # fmt: skip
    if not hasattr(found, name):
        known = [word for word in dir(found) if not word.startswith("_")]
        raise SettingError(f"{module} has no {name!r}", where=path, remedy=nearest(name, known))
    chip = getattr(found, name)()
    if not isinstance(chip, Chip):
        raise SettingError(
            f"{name} gives a {type(chip).__name__}, no chip", where=path,
            remedy="Give a subclass of secateur.chip.Chip that can be made without arguments, or a "
            "function that makes one",
        )  # fmt: skip
    return chip
