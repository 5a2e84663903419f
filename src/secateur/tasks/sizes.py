"""Sizes that make a network, and those that make none."""

import math

from secateur.errors import SettingError


def check_factor(name: str, value: float) -> None:
    """Refuses what multiplies no layer to a size.

    Raises:
        SettingError: for a factor of 0, below, infinite, or that is no number.
    """
    if not 0 < value < math.inf:
        raise SettingError(f"network.{name} is {value}", remedy="Give a positive factor")


def check_count(name: str, value: int, *, least: int = 1) -> None:
    """Refuses too few of something.

    Raises:
        SettingError: for fewer than `least`.
    """
    if value < least:
        raise SettingError(f"network.{name} is {value}", remedy=f"Give {least} or more")
