"""Where a board's requests come in: who may enter, and who is told that the board is at work."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from secateur.chip.keys import check_secured, key_pair, known_clients
from secateur.chip.wire import Limits, packed
from secateur.errors import ChipError

log = logging.getLogger("secateur.server")
# Messages that are taken in while the board is at work; more wait on the wire.
_QUEUE = 64


class Reception:
    """A server's socket, used by one thread at a time.

    By the serving thread, and while that one is at work by a second one: it takes in what comes and
    tells everybody who waits, every beat, that the board lives. So a user can tell a slow board
    from a dead one.

    Args:
        address: to be served at.
        keys: folder of keys, needed for all but loopback.
        limits: of a message.
        beat: seconds from word to word.

    Raises:
        SettingError: for an address that others can reach, without keys.
        ChipError: where the address is taken.
        FileError: for keys that cannot be read.
    """

    def __init__(self, address: str, *, keys: Path | None, limits: Limits, beat: float) -> None:
        check_secured(address, keys)
        # Only who has a door needs a context of its own: there is one door in each.
        self._context: zmq.Context[zmq.Socket[bytes]] = (
            zmq.Context() if keys is not None else zmq.Context.instance()
        )
        self._socket = self._context.socket(zmq.ROUTER)
        self._door: zmq.Socket[bytes] | None = None
        self._clients: dict[bytes, str] = {}
        if keys is not None:
            self._secure(keys)
        self._socket.setsockopt(zmq.MAXMSGSIZE, max(limits.array, limits.header))
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise ChipError(
                f"The board cannot be served at {address}: {error}",
                cause="another server is there, or the machine has no such address",
                remedy="Give another --port",
            ) from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._arrived: deque[list[Any]] = deque()
        self._beat = beat
        # Whose request the board is at work for, and since when; who holds the lock may use the
        # socket: the serving thread also without it while nobody's is.
        self._lock = threading.Lock()
        self._busy: tuple[bytes, float] | None = None

    def next(self, *, wait: float) -> tuple[bytes, list[Any]] | None:
        """Sender and parts of the next message; None where none comes in so many seconds."""
        if not self._arrived:
            self._take_in(wait)
        if not self._arrived:
            return None
        sender, *parts = self._arrived.popleft()
        return sender.bytes, parts

    def send(self, sender: bytes, parts: list[Any]) -> None:
        """Sends a message to whom it is for; dropped where nobody is there any more."""
        self._socket.send_multipart([sender, *parts], copy=False)

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Meanwhile there is a second thread."""
        over = threading.Event()
        second = threading.Thread(target=self._attend, args=(over,), daemon=True)
        second.start()
        try:
            yield
        finally:
            over.set()
            second.join()

    @contextmanager
    def at_work(self, sender: bytes) -> Iterator[None]:
        """Meanwhile the socket is the second thread's."""
        with self._lock:
            self._busy = (sender, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._busy = None

    def close(self) -> None:
        """Lets go of the address."""
        self._socket.close(linger=0)
        if self._door is not None:
            self._door.close(linger=0)
            self._context.term()

    # --- Inside ------------------------------------------------------------------------------

    def _attend(self, over: threading.Event) -> None:
        while not over.wait(self._beat):
            with self._lock:
                if self._busy is None:
                    continue
                sender, since = self._busy
                seconds = time.monotonic() - since
                if seconds < self._beat:
                    continue
                self._take_in(0.0)
                waiting = {sender, *(message[0].bytes for message in self._arrived)}
                for one in waiting:
                    self.send(one, packed({"n": -1, "at_work": seconds}))

    def _take_in(self, wait: float) -> None:
        """Lets in who knocks, and takes what has come; waits for the first of both."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        if self._door is not None:
            poller.register(self._door, zmq.POLLIN)
        ready = dict(poller.poll(int(1000 * wait)))
        if self._door is not None and self._door in ready:
            self._admit(self._door)
        if self._socket not in ready:
            return
        # While the board is idle one is enough: it is served at once.
        most = _QUEUE if self._busy else 1
        while len(self._arrived) < most and self._socket.poll(0):
            self._arrived.append(self._socket.recv_multipart(copy=False))

    def _secure(self, keys: Path) -> None:
        """CURVE, and a door (ZeroMQ's authentication protocol) that knows the clients."""
        pair, self._clients = key_pair(keys, "board"), known_clients(keys)
        self._socket.curve_secretkey = pair.secret.encode()
        self._socket.curve_publickey = pair.public.encode()
        self._socket.curve_server = True
        self._door = self._context.socket(zmq.REP)
        self._door.bind("inproc://zeromq.zap.01")

    def _admit(self, door: "zmq.Socket[bytes]") -> None:
        version, request, _, address, _, mechanism, *credentials = door.recv_multipart()
        key = credentials[0] if mechanism == b"CURVE" and credentials else b""
        name = self._clients.get(key)
        if name is None:
            log.warning("A client at %s was refused: its key is not known", address.decode())
        code, words = (b"400", b"unknown key") if name is None else (b"200", b"OK")
        user = (name or "").encode()
        door.send_multipart([version, request, code, words, user, b""])
