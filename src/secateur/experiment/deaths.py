"""The ends of worker processes: said in words where the system ended one, and with their parent."""

import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Generic, ParamSpec, TypeVar

from joblib.externals.loky.process_executor import TerminatedWorkerError

from secateur.errors import SecateurError

Given = ParamSpec("Given")
Found = TypeVar("Found")
_LOOK = 1.0  # second

AGAIN = (
    "Free memory and go on with --resume, which keeps all finished epochs; or start anew with more "
    "--threads, so that fewer trials run side by side, or a smaller training.batch_size"
)


@contextmanager
def deaths_explained(remedy: str) -> Iterator[None]:
    """Around the use of worker processes.

    Args:
        remedy: what to do, once there is memory.

    Raises:
        SecateurError: where one of them has died.
    """
    try:
        yield
    except TerminatedWorkerError as error:
        raise death(remedy) from error


@contextmanager
def left_early(outcomes: Generator[Found]) -> Iterator[Generator[Found]]:
    """Around a loop over what a pool of joblib's finds, which may be left before its end.

    joblib would warn of the tasks that are cancelled then, which is what leaving is for.
    """
    try:
        yield outcomes
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\d+ tasks (which|have)", category=UserWarning)
            outcomes.close()


def death(remedy: str) -> SecateurError:
    """The refusal for a worker that has died."""
    return SecateurError(
        "A worker process was ended by the system",
        cause="not enough memory: the system ends a process that asks for too much",
        remedy=remedy,
    )


@dataclass(frozen=True)
class Tied(Generic[Given, Found]):
    """Work for a worker process, which ends with the process that has sent it.

    Otherwise a killed run's workers would go on, and write beside those of the run that resumes it.

    Args:
        work: that can be sent.
        sender: number of the process.
    """

    work: Callable[Given, Found]
    sender: int

    def __call__(self, *given: Given.args, **named: Given.kwargs) -> Found:
        """What the work finds."""
        parent = multiprocessing.parent_process()
        # Known even where it has ended while this process was still starting.
        if parent is not None and parent.pid == self.sender:
            _end_with(self.sender)
        return self.work(*given, **named)


def tied(work: Callable[Given, Found]) -> Tied[Given, Found]:
    """Work that its worker leaves off where this process ends."""
    return Tied(work, os.getpid())


@cache
def _end_with(parent: int) -> None:
    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        # As if killed: what is written is written whole, and gone on with.
        os._exit(1)

    threading.Thread(target=look, daemon=True, name="ends with its parent").start()
