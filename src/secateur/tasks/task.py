"""A task: data, network, metric, and the recipe it ships with."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from torch import nn

from secateur.errors import SettingError, nearest
from secateur.tasks.data import Data


@dataclass(frozen=True)
class Task:
    """One classification problem with the network that the paper gives it.

    Args:
        name: the command-line word; its recipe is `recipes/<name>.toml`.
        title: for the report.
        classes: their names, in the order of the labels.
        load: data from `--data` (or None).
        network: makes the network; its keyword arguments are the recipe's `[network]` settings.
        readout: name of the last layer, which the `readout` arm trains digitally.
        input_shape: of one sample.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    load: Callable[[Path | None], Data]
    network: Callable[..., nn.Module]
    readout: str
    input_shape: tuple[int, ...]

    @property
    def recipe(self) -> str:
        """The shipped recipe, TOML text."""
        folder = resources.files("secateur.tasks") / "recipes"
        return (folder / f"{self.name}.toml").read_text(encoding="utf-8")

    def build(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network with the given settings.

        Raises:
            SettingError: for a setting that the network does not have, or of the wrong type.
        """
        known = inspect.signature(self.network).parameters
        for name, value in settings.items():
            if name not in known:
                raise SettingError(
                    f"network.{name} is no setting of {self.name}", remedy=nearest(name, known)
                )
            default = known[name].default
            fits = isinstance(value, type(default)) and isinstance(value, bool) == isinstance(
                default, bool
            )
            if not fits and not (isinstance(default, float) and type(value) is int):
                raise SettingError(
                    f"network.{name} is {value!r}",
                    remedy=f"Give a {type(default).__name__}, as the default {default!r}",
                )
        return self.network(**settings)
