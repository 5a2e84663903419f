"""Data as tasks hand it out: three splits in memory, and the rule that makes them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from secateur.errors import SettingError
from secateur.keyed import key_of, philox


class Samples(ABC):
    """What a training loop draws its batches from."""

    @abstractmethod
    def __len__(self) -> int:
        """Samples of an epoch."""

    @abstractmethod
    def batch(self, places: Tensor, *, key: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some samples.

        Args:
            places: (B,) int64, which of the samples.
            key: of the epoch, for samples that are drawn anew in each: the same key and place
                give the same sample, whatever else is drawn.
        """

    def stream(self, chunks: Iterable[Tensor], *, key: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`batch` of one chunk of places after the other; may work ahead."""
        for places in chunks:
            yield self.batch(places, key=key)

    @abstractmethod
    def joined(self, other: Self) -> Self:
        """These samples and those of another part together, these first: a copy."""

    @abstractmethod
    def examples(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """A few pictures (height, width) from 0 to 1 by their captions, for a report."""


def batches(samples: Samples, size: int = 1000) -> Iterator[tuple[Tensor, Tensor]]:
    """All samples in their order, in batches."""
    yield from samples.stream(torch.split(torch.arange(len(samples)), size), key=0)


@dataclass(frozen=True, eq=False)
class Split(Samples):
    """Samples and their right answers, held in memory.

    Args:
        inputs: (N, ...) float32.
        targets: (N,) int64, the class of each sample.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise SettingError(
                f"A split of {len(self.inputs)} inputs has {len(self.targets)} targets",
                cause="inputs and targets of different files",
                remedy="Give one target for each input",
            )

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, places: Tensor, *, key: int = 0) -> tuple[Tensor, Tensor]:
        """See `Samples.batch`: the same samples in every epoch."""
        return self.inputs[places], self.targets[places]

    def joined(self, other: "Split") -> "Split":
        """See `Samples.joined`."""
        return Split(
            torch.cat([self.inputs, other.inputs]), torch.cat([self.targets, other.targets])
        )

    def examples(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """See `Samples.examples`: the first sample of each class."""
        found = {}
        for label, name in enumerate(classes):
            places = (self.targets == label).nonzero()
            if len(places):
                found[name] = self.inputs[int(places[0])].reshape(self.inputs.shape[-2:])
        return found


Part = TypeVar("Part", bound=Samples)


@dataclass(frozen=True, eq=False)
class Data(Generic[Part]):
    """A task's data.

    Recipes and settings are selected on `validation`; a reported run trains on
    `training_and_validation` and reads `test` once, at its end.

    Args:
        training, validation, test: the parts.
        classes: their names in the order of the labels, where the data name them and not the task.
        notes: sentences about what was left out, for the record.
    """

    training: Part
    validation: Part
    test: Part
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def training_and_validation(self) -> Part:
        """Both together, training first: a copy, made anew at each access."""
        return self.training.joined(self.validation)


def stratified(targets: Tensor, counts: Sequence[Sequence[int]], *, name: str) -> list[Tensor]:
    """Deal the samples of each class out to parts.

    Who goes where depends on `name` and on the sample's position alone: not on a run's seed, nor
    on the version or the thread count of torch, so results of years apart have the same splits.

    Args:
        targets: (N,) classes 0, 1, ...
        counts: one row a class: how many of its samples each part gets. A row's sum may be less
            than the class has: the last part is then whatever is left over.
        name: names this split; another name is another split.

    Returns:
        Ascending positions (int64) for each column of `counts`, and a last tensor with the rest.

    Raises:
        SettingError: a class has fewer samples than its row asks for, or there is no row for it.
    """
    positions = torch.arange(len(targets))
    counters = torch.stack([positions, *[torch.zeros_like(positions)] * 3])
    order = torch.sort(philox(counters, key=key_of("split", name))[0], stable=True).indices
    if len(targets) and int(targets.max()) >= len(counts):
        raise SettingError(f"Class {int(targets.max())} of {name} has no row in the split's counts")
    parts: list[list[Tensor]] = [[] for _ in range(len(counts[0]) + 1)]
    for label, row in enumerate(counts):
        members = order[targets[order] == label]
        if sum(row) > len(members):
            raise SettingError(
                f"Class {label} of {name} has {len(members)} samples, the split wants {sum(row)}"
            )
        for part, dealt in zip(parts, members.tensor_split(list(accumulate(row))), strict=True):
            part.append(dealt)
    return [torch.cat(part).sort().values for part in parts]
