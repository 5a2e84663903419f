"""Looks after a Dask cluster while a sweep waits for its workers, and says what it lacks."""

import threading
import time
from collections.abc import Callable
from typing import Any


class Lookout:
    """Looks every second, on a thread of its own, from `with` to its end.

    A cluster without workers may get new ones at any time, so that waiting is right; but not in
    silence.

    Args:
        client: of the cluster.
        address: of its scheduler.
        tell: told in whole sentences, once for each change.
        lost: called where the connection is closed for good, perhaps again and again.
        patience: seconds without a worker, or without an answer, until that is told.
        clock: in seconds.
    """

    def __init__(
        self, client: Any, address: str, *, tell: Callable[[str], None],
        lost: Callable[[], None], patience: float, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._client, self._address, self._patience = client, address, patience
        self._tell, self._lost = tell, lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._clock, self._well, self._lacking = clock, clock(), False

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._lacking:
            # A short sweep may be through before the next look.
            self._note(self._workers())

    def look(self) -> None:
        """Looks once."""
        workers = self._workers()
        if workers is None and self._client.status == "closed":
            self._lost()
        else:
            self._note(workers)

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._patience / 4)):
            self.look()

    def _note(self, workers: int | None) -> None:
        if workers:
            if self._lacking:
                number = f"{workers} worker{'s' if workers > 1 else ''}"
                self._tell(f"The Dask cluster at {self._address} works again: {number}.")
            self._well, self._lacking = self._clock(), False
        elif not self._lacking and self._clock() - self._well >= self._patience:
            self._tell(self._words(workers))
            self._lacking = True

    def _words(self, workers: int | None) -> str:
        if workers is None:
            return (
                f"The Dask scheduler at {self._address} does not answer. Trials wait for it; see "
                "whether it still runs, and whether the network does."
            )
        return (
            f"The Dask scheduler at {self._address} has no worker left. Trials wait for one; start "
            f"some with `dask worker {self._address} --nthreads 1 --nworkers N`."
        )

    def _workers(self) -> int | None:
        """How many there are; None without an answer."""
        scheduler = self._client.scheduler
        if self._client.status != "running" or scheduler is None:
            return None
        try:
            return len(self._client.sync(scheduler.ncores, callback_timeout=self._patience))
        except (OSError, TimeoutError):
            return None
