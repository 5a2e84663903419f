"""Where trials run: joblib's back ends, each told what to do when a worker dies.

A pool takes orders and gives outcomes as they come. Orders that were lost with their workers are
simply not among them: whoever asked sends those again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Literal

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from secateur.errors import SecateurError, SettingError
from secateur.experiment.deaths import tied
from secateur.experiment.sweep.work import Order, Outcome

Work = Callable[[Order], Outcome]
Backend = Literal["local", "dask", "ray"]


class Pool(ABC):
    """Runs work on orders in other processes."""

    _tell: Callable[[str], None] | None = None

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many orders it works on at a time."""

    @property
    def certain(self) -> bool:
        """Whether a dead worker takes no order with it but its own."""
        return True

    def speak_to(self, tell: Callable[[str], None]) -> None:
        """From now on tells somebody, in sentences, where work stands still and waits."""
        self._tell = tell

    @abstractmethod
    def outcomes(
        self, work: Work, orders: Iterable[Order], *, eager: bool, alone: bool
    ) -> Iterator[Outcome]:
        """Outcomes in the order in which they come; those of lost orders are missing.

        Args:
            work: on one order.
            orders: taken one by one, as workers are free.
            eager: take all orders at once, where the back end can queue them.
            alone: work on one order at a time.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of what was connected to."""


class LocalPool(Pool):
    """Processes of this machine. One that dies breaks the pool, and all orders in it are lost.

    Args:
        processes: at the same time.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes

    @property
    def workers(self) -> int:
        """See `Pool.workers`."""
        return self._processes

    @property
    def certain(self) -> bool:
        """See `Pool.certain`."""
        return False

    def outcomes(
        self, work: Work, orders: Iterable[Order], *, eager: bool, alone: bool
    ) -> Iterator[Outcome]:
        """See `Pool.outcomes`."""
        at_once = 1 if alone else self._processes
        # Even a single process shall be another one: joblib would run one job in this.
        pool = Parallel(
            n_jobs=max(2, at_once), backend="loky", batch_size=1, pre_dispatch=at_once,
            return_as="generator_unordered",
        )  # fmt: skip
        try:
            yield from pool(delayed(tied(work))(order) for order in orders)
        except TerminatedWorkerError:
            return

    def close(self) -> None:
        """See `Pool.close`: joblib ends idle processes itself."""


class DaskPool(Pool):
    """The workers of a Dask cluster, however they were started.

    Args:
        address: of the scheduler.
        versions: each worker must have.
        timeout: seconds to wait for the scheduler and its first worker.
        patience: seconds without any worker until that is told.

    Raises:
        SettingError: for a cluster that cannot be reached or used.
    """

    def __init__(
        self, address: str, *, versions: dict[str, str], timeout: float = 15.0,
        patience: float = 10.0,
    ) -> None:  # fmt: skip
        from secateur.experiment.sweep.dask import connected

        self._address, self._client = address, connected(address, versions, timeout)
        self._patience, self._seen = patience, 1

    @property
    def workers(self) -> int:
        """See `Pool.workers`: as many as there were when the scheduler answered last."""
        with suppress(OSError, TimeoutError):
            found = self._client.scheduler_info(n_workers=-1).get("workers", ())
            self._seen = len(found) or self._seen
        return self._seen

    def outcomes(
        self, work: Work, orders: Iterable[Order], *, eager: bool, alone: bool
    ) -> Iterator[Outcome]:
        """See `Pool.outcomes`; workers that join later are given orders too where eager."""
        from secateur.experiment.sweep.dask import Lost, SteadyDask, answers
        from secateur.experiment.sweep.lookout import Lookout

        backend = SteadyDask(self._client)
        lookout = Lookout(
            self._client, self._address, tell=self._say, lost=backend.give_up,
            patience=self._patience,
        )  # fmt: skip
        pool = Parallel(
            backend=backend, batch_size=1, n_jobs=-1,
            pre_dispatch="all" if eager else 1 if alone else self.workers,
            return_as="generator_unordered",
        )  # fmt: skip
        with lookout:
            for outcome in pool(delayed(work)(order) for order in orders):
                if not isinstance(outcome, Lost):
                    yield outcome
                elif not answers(self._client):
                    raise SecateurError(
                        "The connection to the Dask scheduler was lost", where=self._address,
                        cause="it has ended, or the network has",
                        remedy="Start it again and go on with --resume; finished trials are kept",
                    )  # fmt: skip
                elif not (outcome.killed or outcome.cut_off):
                    raise SecateurError(
                        f"A worker cannot work: {type(outcome.error).__name__}: {outcome.error}",
                        where=self._address, cause="its environment lacks a package",
                        remedy="Start the workers from the environment that runs "
                        "`secateur sweep`",
                    )  # fmt: skip

    def close(self) -> None:
        """See `Pool.close`."""
        self._client.close()

    def _say(self, words: str) -> None:
        if self._tell is not None:
            self._tell(words)


class RayPool(Pool):
    """The workers of a Ray cluster, through Ray's own back end for joblib.

    Args:
        address: of the cluster, or None for the one Ray finds or starts.

    Raises:
        SettingError: without Ray, and for a cluster that cannot be reached.
    """

    def __init__(self, address: str | None) -> None:
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as error:
            raise SettingError(
                "Ray is not installed", where="--backend ray",
                remedy="Install it (`pip install ray`) where the sweep and its workers run, or use "
                "--backend dask or local",
            ) from error  # fmt: skip
        try:
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, configure_logging=False)
        except Exception as error:
            raise SettingError(
                f"No Ray cluster answers at {address or 'its usual address'}: {error}",
                where="--scheduler", cause="it is not running there, or a firewall is between",
                remedy="Start it with `ray start --head` and give the address that it prints",
            ) from error  # fmt: skip
        register_ray()
        self._ray: Any = ray

    @property
    def workers(self) -> int:
        """See `Pool.workers`."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    @property
    def certain(self) -> bool:
        """See `Pool.certain`."""
        return False

    def outcomes(
        self, work: Work, orders: Iterable[Order], *, eager: bool, alone: bool
    ) -> Iterator[Outcome]:
        """See `Pool.outcomes`; in rounds of as many orders as there are workers.

        Ray's back end gives results only when all it was given have ended. A dead worker's error
        ends the round.
        """
        at_once, waiting = 1 if alone else self.workers, iter(orders)
        with parallel_config(backend="ray"), Parallel(n_jobs=max(2, at_once), batch_size=1) as pool:
            while some := list(islice(waiting, at_once)):
                try:
                    yield from pool(delayed(work)(order) for order in some)
                except self._ray.exceptions.RayError:
                    return

    def close(self) -> None:
        """See `Pool.close`."""
        self._ray.shutdown()


def pool_of(
    backend: str, *, scheduler: str | None, processes: int, versions: dict[str, str]
) -> Pool:
    """The pool that a command asks for.

    Args:
        backend: "local", "dask" or "ray".
        scheduler: address of the cluster.
        processes: of this machine, where local.
        versions: each worker must have.

    Raises:
        SettingError: for a back end that is unknown, not installed, or cannot be reached.
    """
    if backend == "local":
        if scheduler is not None:
            raise SettingError(
                "A scheduler was given, but no cluster is asked for", where="--scheduler",
                remedy="Add --backend dask or --backend ray",
            )  # fmt: skip
        if processes < 1:
            raise SettingError(f"--jobs {processes} runs nothing", remedy="Give at least 1")
        return LocalPool(processes)
    if backend == "ray":
        return RayPool(scheduler)
    if backend != "dask":
        raise SettingError(
            f"There is no back end {backend!r}", where="--backend",
            remedy="Give local, dask or ray",
        )  # fmt: skip
    if scheduler is None:
        raise SettingError(
            "--backend dask does not say where the cluster is",
            remedy="Add --scheduler tcp://HOST:8786, the address that `dask scheduler` prints",
        )
    return DaskPool(scheduler, versions=versions)
