"""A task: data, network, metrics, and the recipe it ships with."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

from torch import nn

from secateur.errors import SettingError, kind_in_words, nearest
from secateur.tasks.data import Data
from secateur.tasks.measures import CLASSIFICATION, Measured, Metric, classified_split


@dataclass(frozen=True)
class Task:
    """One problem with the network that the paper gives it.

    Args:
        name: the command-line word; its recipe is `recipes/<name>.toml`.
        title: for the report.
        classes: their names, in the order of the labels; `Data.classes` goes before them.
        loader: data from `--data` (or None); its keyword arguments are the recipe's `[task]`
            settings.
        network: makes the network; its keyword arguments are the recipe's `[network]` settings.
        readout: name of the last layer, which the `readout` arm trains digitally.
        input_shape: of one sample.
        metrics: what a model is measured by, the headline first.
        measure: a model on one part of the data.
        paths: `[task]` settings that name a file where they are a word.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    loader: Callable[..., Data[Any]]
    network: Callable[..., nn.Module]
    readout: str
    input_shape: tuple[int, ...]
    metrics: tuple[Metric, ...] = CLASSIFICATION
    measure: Callable[[nn.Module, Any], Measured] = classified_split
    paths: tuple[str, ...] = ()

    @property
    def recipe(self) -> str:
        """The shipped recipe, TOML text."""
        folder = resources.files("secateur.tasks") / "recipes"
        return (folder / f"{self.name}.toml").read_text(encoding="utf-8")

    def load(self, data: Path | None, settings: Mapping[str, Any] | None = None) -> Data[Any]:
        """The data, with the recipe's `[task]` settings.

        Args:
            data: where they are looked for first.
            settings: of the loader.

        Raises:
            SettingError: as `check`.
            FileError: for data that are missing or damaged.
        """
        self.check(settings or {})
        return self.loader(data, **settings or {})

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuses settings that the loader does not have, or of the wrong type.

        Raises:
            SettingError: with the nearest name.
        """
        _check(self.loader, settings, section="task", task=self.name)

    def build(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network with the given settings.

        Raises:
            SettingError: for a setting that the network does not have, or of the wrong type.
        """
        _check(self.network, settings, section="network", task=self.name)
        return self.network(**settings)


def _check(
    function: Callable[..., object], settings: Mapping[str, Any], *, section: str, task: str
) -> None:
    parameters = inspect.signature(function).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    annotations = {p.name: p.annotation for p in parameters}
    for name, value in settings.items():
        if name not in known:
            remedy = nearest(name, known, prefix=f"{section}.")
            raise SettingError(
                f"{section}.{name} is no setting of {task}",
                remedy=remedy if known else f"Leave it out: {task} has none in this section",
            )
        default = known[name]
        others = [get_origin(kind) or kind for kind in get_args(annotations[name])]
        kinds = (type(default), *others)
        fits = isinstance(value, kinds) and isinstance(value, bool) == isinstance(default, bool)
        if not fits and not (isinstance(default, float) and type(value) is int):
            words = dict.fromkeys(map(kind_in_words, kinds))
            raise SettingError(
                f"{section}.{name} is {value!r}",
                remedy=f"Give {' or '.join(words)}, as the default {default!r}",
            )
