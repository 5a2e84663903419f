"""Data as tasks hand it out: three splits in memory, and the rule that makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from secateur.errors import SettingError
from secateur.keyed import key_of, philox


@dataclass(frozen=True, eq=False)
class Split:
    """Samples and their right answers.

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


@dataclass(frozen=True, eq=False)
class Data:
    """A task's data.

    Recipes and settings are selected on `validation`; a reported run trains on
    `training_and_validation` and reads `test` once, at its end.
    """

    training: Split
    validation: Split
    test: Split

    @property
    def training_and_validation(self) -> Split:
        """Both together, training first: a copy, made anew at each access."""
        parts = self.training, self.validation
        return Split(
            torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts])
        )


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
