"""Parts of a work side by side, in processes that are forked from this one where that is safe.

What this process has imported and read is theirs too: nothing is started or read again, and its
memory is shared until somebody writes there.
"""

import gc
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed

from secateur.errors import SecateurError
from secateur.experiment.deaths import death, deaths_explained

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def can_fork(threads: int) -> bool:
    """Whether a fork of this process can work on, with so many threads of its own.

    It cannot where another thread may hold a lock, or a GPU is in use; and OpenMP's threads do not
    survive a fork.
    """
    alone = threads == 1 and threading.active_count() == 1
    untouched = not torch.cuda.is_initialized()  # type: ignore[no-untyped-call,unused-ignore]
    return sys.platform == "linux" and alone and untouched


def forked(
    work: Callable[[Part], Answer], parts: Sequence[Part], *, at_once: int, remedy: str
) -> list[Answer]:
    """The answers to all parts, in their order, each from a fork of this process.

    Args:
        work: on one part; whatever it raises is raised here.
        parts: of it.
        at_once: forks at the same time.
        remedy: where one of them dies.

    Raises:
        SecateurError: where one of them dies.
    """
    context = multiprocessing.get_context("fork")
    answers: dict[int, Answer] = {}
    running: dict[Connection, tuple[int, Any]] = {}
    left = list(enumerate(parts))[::-1]
    # A search for cycles writes to all it looks at, which would then be shared no more.
    gc.freeze()
    try:
        while left or running:
            while left and len(running) < at_once:
                number, part = left.pop()
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_answer, args=(there, work, part))
                process.start()
                # Closed here, the end of the fork is the end of what it says.
                there.close()
                running[here] = number, process
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                number, process = running.pop(pipe)
                answers[number] = _heard(pipe, process, remedy)
                process.join()
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
        gc.unfreeze()
    return [answers[number] for number in range(len(parts))]


def started(
    work: Callable[[Part], Answer], parts: Sequence[Part], *, at_once: int, remedy: str
) -> list[Answer]:
    """The same from joblib's workers, which are started anew; see `forked`."""
    with deaths_explained(remedy):
        pool = Parallel(n_jobs=at_once, batch_size=1, pre_dispatch=at_once)
        found: list[Answer] = pool(delayed(work)(part) for part in parts)
    return found


def _answer(pipe: Connection, work: Callable[[Part], Answer], part: Part) -> None:
    # An interrupt is for the process that has forked, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        told: tuple[bool, Any] = (True, work(part))
    except Exception as error:
        told = (False, error)
    pipe.send(told)


def _heard(pipe: Connection, process: Any, remedy: str) -> Any:
    try:
        well, said = pipe.recv()
    except EOFError as end:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            raise death(remedy) from end
        raise SecateurError(
            f"A worker process ended without an answer, exit code {process.exitcode}",
            cause="what it said last, above; a negative code is the signal that ended it",
            remedy=remedy,
        ) from end
    finally:
        pipe.close()
    if not well:
        raise said
    return said
