"""A Dask cluster as a back end of joblib that survives its workers."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from secateur.errors import SettingError
from secateur.experiment.sweep.versions import refuse_mixed

try:
    from distributed import Client, KilledWorker
    from joblib._dask import DaskDistributedBackend
except ImportError as error:
    raise SettingError(
        "Dask is not installed", where="--backend dask",
        remedy="Install it with `pip install secateur[sweep]`, or use --backend local",
    ) from error  # fmt: skip


@dataclass(frozen=True)
class Lost:
    """In the place of an outcome: the cluster has given up an order.

    Args:
        error: what it says.
    """

    error: BaseException

    @property
    def killed(self) -> bool:
        """Whether workers have died over it."""
        return isinstance(self.error, KilledWorker)

    @property
    def cut_off(self) -> bool:
        """Whether it went with the connection to the scheduler."""
        # Its name in concurrent.futures, in asyncio, and what Dask derives from them.
        return isinstance(self.error, (CancelledError, asyncio.CancelledError, ConnectionError))


class SteadyDask(DaskDistributedBackend):  # type: ignore[misc]
    """Joblib's back end for Dask, but for orders that the scheduler gives up.

    Dask sends an order to another worker when one has died, and gives it up after several (among
    them orders that only waited there). Joblib's own back end then never hears of the order again,
    and waits for it for ever. Here its outcome is `Lost`, and all others go on.
    """

    def __init__(self, client: Any) -> None:
        super().__init__(client=client)
        self._given: set[Future[Any]] = set()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """More than one: joblib would do a single worker's jobs in this process."""
        return 2

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> "Future[Any]":
        """See joblib's `ParallelBackendBase.submit`."""
        future: Future[Any] = super().submit(func, callback)

        def given_up(ended: "Future[Any]") -> None:
            self._given.discard(ended)
            if callback is not None and (error := ended.exception()) is not None:
                callback(error)

        self._given.add(future)
        future.add_done_callback(given_up)
        return future

    def give_up(self) -> None:
        """Gives up all orders: the connection is closed, and nobody will tell of them."""
        for future in list(self._given):
            with suppress(InvalidStateError):
                future.set_exception(ConnectionError("the connection is closed"))

    def retrieve_result_callback(self, out: Any) -> Any:
        """See joblib's `ParallelBackendBase.retrieve_result_callback`."""
        # What a trial itself raises is an outcome: an error here is the cluster's own.
        return (
            [Lost(out)] if isinstance(out, BaseException) else super().retrieve_result_callback(out)
        )


def connected(address: str, versions: Mapping[str, str], timeout: float) -> Any:
    """A client of a cluster whose workers can take part in a sweep.

    Args:
        address: of the scheduler.
        versions: each worker must have.
        timeout: seconds to wait for the scheduler and its first worker.

    Raises:
        SettingError: where none answers, none works, or one has other versions or more threads
            than one.
    """
    opened: Any = Client  # It has no types of its own.
    try:
        client = opened(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingError(
            f"No Dask scheduler answers at {address} within {timeout:g} s", where="--scheduler",
            cause=f"it is not running there, or a firewall is between ({type(error).__name__})",
            remedy="Start one with `dask scheduler` and give the address that it prints",
        ) from error  # fmt: skip
    try:
        _check(client, address, versions, timeout)
    except BaseException:
        client.close()
        raise
    return client


def _check(client: Any, address: str, versions: Mapping[str, str], timeout: float) -> None:
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        raise SettingError(
            f"The Dask scheduler at {address} has no worker after {timeout:g} s",
            where="--scheduler",
            remedy=f"Start some with `dask worker {address} --nthreads 1 --nworkers N`",
        ) from error
    for name, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        if worker["nthreads"] != 1:
            raise SettingError(
                f"This worker has {worker['nthreads']} threads", where=name,
                cause="trials side by side in one process would share a generator",
                remedy="Start workers with --nthreads 1, and more of them with --nworkers",
            )  # fmt: skip
    packages = [name for name in versions if name != "python"]
    found = client.get_versions(packages=packages)
    here = _told(found["client"], versions)
    for name, worker in found["workers"].items():
        refuse_mixed(here, _told(worker, versions), where=name)


def _told(found: Mapping[str, Any], compared: Mapping[str, str]) -> dict[str, str]:
    """What Dask has found out about one process; of Python, the version without its last part."""
    versions = {name: str(v) for name, v in found["packages"].items() if name in compared and v}
    return {**versions, "python": ".".join(versions["python"].split(".")[:2])}


def answers(client: Any) -> bool:
    """Whether the scheduler of a client is still there."""
    if client.status != "running":
        return False
    try:
        client.sync(client.scheduler.identity, callback_timeout=10)
    except (OSError, TimeoutError):
        return False
    return True
