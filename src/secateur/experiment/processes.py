"""The processes that train one model: alone, or several that a launcher has started together."""

import atexit
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from secateur.errors import ChipError, SettingError
from secateur.ranks import largest, rank, ranks, summed

_WORDS = 4096


class Processes(ABC):
    """What a training asks of those it shares its work with."""

    device: torch.device

    @property
    def rank(self) -> int:
        """This process's; 0 leads, writes and speaks."""
        return rank()

    @property
    def count(self) -> int:
        """How many there are."""
        return ranks()

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @abstractmethod
    def joined(self, model: nn.Module) -> nn.Module:
        """What is called in training, so that every process gets the gradient of all."""

    @abstractmethod
    def waiting(self, model: nn.Module, *, last: bool) -> AbstractContextManager[object]:
        """Around a part of a step: gradients are exchanged in its last part only."""

    @abstractmethod
    def meet(self) -> None:
        """Goes on when all are here."""

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all, in place."""
        return summed(values) / self.count if self.count > 1 else values


class Alone(Processes):
    """One process, on the processor."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def joined(self, model: nn.Module) -> nn.Module:
        """The model."""
        return model

    def waiting(self, model: nn.Module, *, last: bool) -> AbstractContextManager[object]:
        """Nothing is exchanged."""
        return nullcontext()

    def meet(self) -> None:
        """Nobody else comes."""


class Launched(Processes):
    """Processes that `accelerate launch` or `torchrun` has started, each on its own device.

    Raises:
        SettingError: without the package accelerate.
    """

    def __init__(self) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise SettingError(
                "Several processes train together through the package accelerate, which is not "
                "installed",
                remedy='Install it: pip install "secateur[processes]"',
            ) from error
        # Precision is the recipe's, the same with one process and with many.
        self._accelerator = Accelerator(mixed_precision="no")
        self.device = self._accelerator.device
        atexit.register(_leave)

    def joined(self, model: nn.Module) -> nn.Module:
        """The model inside torch's own wrapper, which adds gradients up while they are made.

        Keys make all processes begin alike, and mean to stay so: nothing is sent but gradients.
        """
        if self.count == 1:
            return model
        wrapper = nn.parallel.DistributedDataParallel
        # Older versions of torch have the second name.
        names = ("forward_sync_buffers", "broadcast_buffers")
        known = inspect.signature(wrapper).parameters
        unsent: dict[str, Any] = {next(name for name in names if name in known): False}
        return wrapper(model, init_sync=False, **unsent)

    def waiting(self, model: nn.Module, *, last: bool) -> AbstractContextManager[object]:
        """See `Processes.waiting`."""
        if last or not isinstance(model, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return model.no_sync()

    def meet(self) -> None:
        """See `Processes.meet`."""
        self._accelerator.wait_for_everyone()


def launched() -> bool:
    """Whether a launcher has started this process."""
    return "WORLD_SIZE" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ


def processes() -> Processes:
    """Those that this process belongs to."""
    return Launched() if launched() else Alone()


def check_alone(together: Processes | None, *, boards: bool) -> None:
    """Refuses to run in many processes what one must run.

    Args:
        together: the processes that train each trial, or None.
        boards: whether the chip is a real one, which has one owner.

    Raises:
        SettingError: where each of several processes would run the same, or pulse the same chip.
    """
    if together is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingError(
            "A launcher has started several processes of a command that trains in one",
            remedy="Launch `secateur run`, or start this command without a launcher",
        )
    if together is not None and together.count > 1 and boards:
        raise SettingError(
            "Several processes cannot train on one board", cause="each of them would pulse it",
            remedy="Start `secateur run` without a launcher",
        )  # fmt: skip


def check_precision(precision: str) -> None:
    """Refuses a launcher's precision that is not the recipe's: a record must say what was run.

    Raises:
        SettingError: naming both.
    """
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in ("no", precision):
        raise SettingError(
            f"The launcher asks for {asked}, the recipe for {precision}",
            remedy=f"Give --set training.precision={asked}, and --mixed_precision no to the "
            "launcher",
        )


def agreed(words: str) -> str:
    """What the leading process says: a path that has the time in it is one for all.

    Raises:
        SettingError: for words too long to be passed on.
    """
    if ranks() == 1:
        return words
    said = words.encode() if rank() == 0 else b""
    if len(said) > _WORDS:
        raise SettingError("This path is too long to be passed on", where=words[:80])
    letters = torch.zeros(_WORDS, dtype=torch.int64)
    letters[: len(said)] = torch.tensor(list(said), dtype=torch.int64)
    device = torch.device("cuda") if torch.distributed.get_backend() == "nccl" else letters.device
    heard = summed(letters.to(device)).cpu()
    return bytes(heard[heard > 0].tolist()).decode()


def check_alike(numbers: Callable[[], Tensor], *, what: str, remedy: str) -> None:
    """Refuses to go on where processes that must be alike are not.

    Args:
        numbers: float64 that say what is compared; asked for only where there are others.
        what: is not alike.
        remedy: of that.

    Raises:
        ChipError: on every rank, where any number differs.
    """
    if ranks() == 1:
        return
    found = numbers()
    # What is no number is compared as such: it is unequal to itself, and a maximum may pass it by.
    own = torch.cat([found.nan_to_num(), found.isnan().to(found), found.isinf().to(found)])
    if bool((largest(own.clone()) != -largest(-own)).any()):
        raise ChipError(f"{what} differ from process to process", remedy=remedy)


def _leave() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
