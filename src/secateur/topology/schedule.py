"""How the kept fraction moves during a search."""

from dataclasses import dataclass

from secateur.errors import SettingError


@dataclass(frozen=True)
class Annealed:
    """Falls from everything kept to the asked fraction along a cubic, then stays.

    Zhu and Gupta, "To prune, or not to prune" (2017), equation 1, with an initial fraction of 1.

    Args:
        updates: number of mask updates over which the fraction falls; 0 asks for it at once.

    Raises:
        SettingError: for a negative number of updates.
    """

    updates: int = 0

    def __post_init__(self) -> None:
        if self.updates < 0:
            raise SettingError(f"updates is {self.updates}", remedy="Give 0 or more mask updates")

    def keep_fraction(self, asked: float, update: int) -> float:
        """The fraction to keep at the given update (0 is the first)."""
        if update >= self.updates:
            return asked
        return asked + (1.0 - asked) * (1.0 - update / self.updates) ** 3
