"""Worker processes that the system has ended: said in words, with a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from joblib.externals.loky.process_executor import TerminatedWorkerError

from secateur.errors import SecateurError

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


def death(remedy: str) -> SecateurError:
    """The refusal for a worker that has died."""
    return SecateurError(
        "A worker process was ended by the system",
        cause="not enough memory: the system ends a process that asks for too much",
        remedy=remedy,
    )
