"""A Dask cluster that shrinks, freezes or ends in the middle of a sweep: told, and nothing lost."""

import threading
import time
from types import SimpleNamespace

import pytest
from test_sweep_run import HerePool, rows, state
from tiny import plan

from secateur.errors import SecateurError
from secateur.experiment.runner import Silent
from secateur.experiment.sweep import run_sweep
from secateur.experiment.sweep.lookout import Lookout
from secateur.experiment.sweep.pools import DaskPool
from secateur.experiment.sweep.versions import COMPARED, versions_here

distributed = pytest.importorskip("distributed")
OVER = ("search.keep_fraction=0.3,0.5,0.7", "training.learning_rate=0.05,0.1")


class After(Silent):
    """Does something once so many trials have ended; notes what it is told."""

    def __init__(self, trials, act, *, told=lambda words: None):
        self.left, self.act, self.tell, self.words = trials, act, told, []

    def trial(self, result):
        self.left -= 1
        if self.left == 0:
            self.act()

    def notice(self, words):
        self.words.append(words)
        self.tell(words)


@pytest.fixture
def cluster():
    """One worker of one thread, all in this process: what is lost is lost at once."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address=None, silence_logs=50,
    ) as made:  # fmt: skip
        yield made


@pytest.fixture
def pool(cluster):
    versions = versions_here(COMPARED)
    made = DaskPool(cluster.scheduler_address, versions=versions, timeout=2.0, patience=2.0)
    yield made
    made.close()


def figures(results):
    return [(row["run"], row["state"], row["accuracy"]) for row in results["rows"]]


def test_without_a_worker_a_sweep_says_so_and_waits_for_one(tmp_path, cluster, pool):
    def another(words):
        if "no worker" in words:
            cluster.scale(1)

    watch = After(2, lambda: cluster.scale(0), told=another)
    results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=pool, watch=watch)
    assert figures(results) == figures(run_sweep(plan(*OVER), tmp_path / "calm", pool=HerePool()))
    address = cluster.scheduler_address
    # A busy machine may also have been slow to answer.
    first = next(n for n, words in enumerate(watch.words) if "has no worker left" in words)
    assert f"scheduler at {address} has no worker left" in watch.words[first]
    assert f"`dask worker {address} --nthreads 1" in watch.words[first]
    assert any("works again: 1 worker." in words for words in watch.words[first + 1 :])


def test_a_scheduler_that_ends_ends_the_sweep_and_finished_trials_are_kept(tmp_path, cluster, pool):
    out = tmp_path / "sweep"
    watch = After(2, cluster.close)
    begun = time.monotonic()
    with pytest.raises(SecateurError, match=r"connection to the Dask scheduler was lost.*--resume"):
        run_sweep(plan(*OVER), out, pool=pool, watch=watch)
    assert time.monotonic() - begun < 30
    kept = state(out)
    assert 2 <= len(rows(out)) <= len(kept) < 6
    results = run_sweep(plan(*OVER), out, pool=HerePool(), resume=True)
    assert results["states"]["finished"] == 6
    assert {path: time for path, time in state(out).items() if path in kept} == kept


def where(order):
    return {"thread": threading.get_ident()}


def test_a_single_worker_works_and_this_process_does_not(pool):
    """Joblib would do a single worker's jobs here, beyond the reach of whoever kills it."""
    found = pool.outcomes(where, ({} for _ in range(3)), eager=True, alone=False)
    threads = [outcome["thread"] for outcome in found]
    assert len(threads) == 3
    assert threading.get_ident() not in threads


def test_orders_that_went_with_a_connection_are_sent_again_where_there_is_a_new_one(tmp_path, pool):
    client = pool._client

    def cut_off():
        """What a client does with its orders when it has lost the scheduler and found it again."""
        client.cancel([distributed.Future(key, client) for key in list(client.futures)])

    results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=pool, watch=After(2, cut_off))
    assert results["states"] == {"finished": 6, "failed": 0, "abandoned": 0}


def test_an_order_given_after_the_connection_was_closed_is_not_waited_for(pool, monkeypatch):
    """As in a search, whose next order is made when the last one has ended."""
    refusals = []

    def orders():
        yield {}
        monkeypatch.setattr(pool._client, "status", "closed")
        yield {}

    def ask():
        try:
            list(pool.outcomes(where, orders(), eager=False, alone=True))
        except SecateurError as refusal:
            refusals.append(str(refusal))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(30)
    assert "connection to the Dask scheduler was lost" in refusals[0]


class FakeClient:
    """A cluster with so many workers, or None for no answer."""

    status, scheduler, answer = "running", type("Scheduler", (), {"ncores": None}), 1

    def sync(self, function, *, callback_timeout):
        if self.answer is None:
            raise TimeoutError
        return dict.fromkeys(range(self.answer), 1)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([1, 1, 2, 1], {}),
        ([1, *[None] * 30, 2], {10: "does not answer", 31: "works again: 2 workers"}),
        ([0] * 30 + [3], {10: "no worker left", 30: "works again: 3 workers"}),
        # Workers that die and are started again are nobody's concern.
        ([1, *[0] * 9] * 3, {}),
    ],
)
def test_what_a_cluster_lacks_is_told_once_and_when_it_is_back(answers, told):
    client, words, at = FakeClient(), {}, SimpleNamespace(second=0)
    lookout = Lookout(
        client, "tcp://host:1", tell=lambda said: words.setdefault(at.second, said),
        lost=pytest.fail, patience=10, clock=lambda: at.second,
    )  # fmt: skip
    for at.second, client.answer in enumerate(answers):
        lookout.look()
    assert list(words) == list(told)
    for moment, part in told.items():
        assert part in words[moment]
        assert "tcp://host:1" in words[moment]
