"""A user's end of the wire: requests in order, answers when they are asked for, cuts mended."""

import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq
from torch import Tensor
from zmq.utils.monitor import parse_monitor_message

from secateur.chip.command import UnansweredError
from secateur.chip.keys import check_secured, key_pair, read_key
from secateur.chip.wire import FrameError, Limits, check_sizes, packed, unpacked
from secateur.errors import ChipError, SecateurError, SettingError

# Requests under way at most: more would fill the memory of a board that is slow.
_WINDOW = 32
# Seconds from a connection that failed to the next.
_PAUSE = 0.02


class Request:
    """One request, and its answer once there is one."""

    def __init__(
        self, link: "Link", header: dict[str, Any], arrays: Sequence[Tensor],
        on_reply: Callable[[dict[str, Any], list[Tensor]], None] | None = None,
    ) -> None:  # fmt: skip
        self._link, self.header, self.arrays = link, header, list(arrays)
        self.on_reply = on_reply
        self.reply: tuple[dict[str, Any], list[Tensor]] | None = None

    def done(self) -> bool:
        """Whether the answer is there."""
        if self.reply is None:
            self._link.look()
        return self.reply is not None

    def result(self) -> tuple[dict[str, Any], list[Tensor]]:
        """Waits for the answer.

        Raises:
            UnansweredError: where the board does not answer, or has been lent again since.
            ChipError: where the board refuses the request.
        """
        while self.reply is None:
            self._link.wait()
        header, arrays = self.reply
        if "error" in header:
            # Only what was looked at was refused: another session's request may have been given.
            looked = header["error"].get("kind") == "refused"
            raise _refusal(header["error"], ChipError if looked else UnansweredError)
        return header, arrays


class Link:
    """A session with a board's server that outlives cuts and restarts.

    Requests that have no answer are sent again in their order in a new session. That is without
    harm: commands have ids that the board remembers, and reads have keys. Who has
    given up may ask again.

    Args:
        address: of the server.
        owner: who asks, for others to read.
        token: of the owner's own: who has it takes the board over from a process that was killed.
        on_greeting: told what the board says of itself, at every new session.
        keys: folder with `client.secret`, `client.public` and `board.public`.
        patience: seconds without a word after which a new connection is made; a board at work
            says so every second.
        timeout: seconds without a word after which it is given up.
        limits: of the messages that are accepted here.

    Raises:
        SettingError: for an address that others can reach, without keys.
        FileError: for keys that cannot be read.
        ChipError: where nobody answers, or the board is another's.
    """

    def __init__(
        self, address: str, *, owner: str, token: str,
        on_greeting: Callable[[dict[str, Any]], None], keys: Path | None = None,
        patience: float = 10.0, timeout: float = 60.0, limits: Limits,
    ) -> None:  # fmt: skip
        check_secured(address, keys)
        if len(token) < 16:
            raise SettingError(
                f"A token of {len(token)} characters", cause="who guesses it could take the board",
                remedy="Give 16 or more, as `secrets.token_hex(16)` makes them",
            )  # fmt: skip
        self.address, self.owner, self._greeted = address, owner, on_greeting
        self._token = token.encode()
        self._patience, self._timeout, self._keys = patience, timeout, keys
        # Shared by the process: one of its own would wait, when it is collected, for sockets that
        # were left open.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: Any = None
        self._closing: weakref.finalize[..., Any] | None = None
        # What is accepted here, and what the board accepts.
        self._limits, self._there = limits, Limits()
        self._waiting: OrderedDict[int, Request] = OrderedDict()
        self._session, self._number = b"", 1
        self._process = os.getpid()
        self._progress = time.monotonic()
        try:
            self._greet()
        except BaseException:
            # Whoever keeps the error keeps the link: it must not go on knocking.
            self._drop()
            raise

    def ask(
        self, op: str, arrays: Sequence[Tensor] = (), *,
        on_reply: Callable[[dict[str, Any], list[Tensor]], None] | None = None, **header: Any,
    ) -> Request:  # fmt: skip
        """Sends a request without waiting for its answer; `on_reply` is told once it is there.

        Raises:
            ChipError: for a request that is too large for a message; after `close`, and in another
                process than the link's own.
        """
        self._line()
        now = time.monotonic()
        # Nobody was waiting, or whoever was has given up: the time counts from now.
        if not self._waiting or now > self._progress + self._timeout:
            self._progress = now
        while len(self._waiting) >= _WINDOW:
            self.wait()
        request = Request(self, {"op": op, **header}, arrays, on_reply)
        self._send(request)
        return request

    @property
    def most(self) -> int:
        """Bytes that an array may have, there and back."""
        return min(self._limits.array, self._there.array)

    def look(self) -> None:
        """Takes the answers that have come, making a new connection where the line was cut.

        Raises:
            ChipError: as `wait`.
        """
        if not self._take(0) and self._waiting and self._monitor.poll(0):
            self._mend()

    def wait(self) -> None:
        """Waits for an answer, making a new connection where there is none.

        Raises:
            ChipError: where the board has said nothing for longer than the timeout.
        """
        if not self._take(self._patience):
            self._mend()

    def settle(self) -> None:
        """Waits until everything asked is answered."""
        while self._waiting:
            self.wait()

    def close(self) -> None:
        """Gives the board back and lets go of the connection."""
        if self._socket is not None:
            self._patience = self._timeout = min(1.0, self._timeout)
            try:
                with suppress(SecateurError):
                    self.ask("bye").result()
            finally:
                self._drop()
                self._waiting.clear()

    # --- Inside ------------------------------------------------------------------------------

    def _line(self) -> "zmq.Socket[bytes]":
        if self._socket is None:
            raise ChipError("The board was given back", where=self.address,
                            remedy="Make a new RemoteChip to use it again")  # fmt: skip
        if os.getpid() != self._process:
            raise ChipError(
                "A process was forked from the one that uses the board", where=self.address,
                cause="a connection cannot be used from both",
                remedy="Make the RemoteChip in the process that is to use it",
            )  # fmt: skip
        return self._socket

    def _send(self, request: Request) -> None:
        parts = self._parts(request, self._number)
        check_sizes(parts, self._there, what=f"{request.header['op']!r} of the board")
        self._waiting[self._number] = request
        self._number += 1
        self._put(parts)

    def _parts(self, request: Request, number: int) -> list[Any]:
        header = {**request.header, "n": number, "session": self._session}
        return packed(header, request.arrays)

    def _put(self, parts: list[Any]) -> None:
        """Hands a message to the line.

        A line that was cut takes none, now or ever: whoever waits for the answer finds it cut.
        """
        with suppress(zmq.Again):
            self._line().send_multipart(parts, flags=zmq.NOBLOCK, copy=False)

    def _take(self, seconds: float) -> bool:
        """Takes the answers that come in a time; False where none has, or the line was cut."""
        line, poller = self._line(), zmq.Poller()
        poller.register(line, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        ready = dict(poller.poll(int(1000 * seconds)))
        if line not in ready:
            return False
        while self._waiting and (message := self._received()) is not None:
            header, arrays = message
            if "at_work" in header:
                self._progress = time.monotonic()
                continue
            error = header.get("error", {}).get("kind")
            if error in ("unknown", "order"):
                self._mend()
                return True
            request = self._waiting.pop(header.get("n", -1), None)
            if request is not None:
                request.reply = (header, arrays)
                self._progress = time.monotonic()
                if request.on_reply is not None:
                    request.on_reply(header, arrays)
        return True

    def _received(self) -> tuple[dict[str, Any], list[Tensor]] | None:
        try:
            parts = self._line().recv_multipart(flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return unpacked([part.buffer for part in parts], self._limits)

    def _mend(self) -> None:
        """A new session, in which all that waits is asked again."""
        if time.monotonic() > self._progress + self._timeout:
            raise self._silent()
        self._greet()

    def _greet(self) -> None:
        if not self._waiting:
            self._progress = time.monotonic()
        while (header := self._welcome()) is None:
            if time.monotonic() > self._progress + self._timeout:
                raise self._silent()
            time.sleep(_PAUSE)
        self._session = header["session"]
        self._there = Limits(*header["limits"])
        self._greeted(header)
        # First numbered, then sent: if this is cut short, every request is still waited for.
        self._waiting = OrderedDict(enumerate(self._waiting.values(), 1))
        self._number = len(self._waiting) + 1
        for number, request in list(self._waiting.items()):
            self._put(self._parts(request, number))

    def _welcome(self) -> dict[str, Any] | None:
        """What the board answers to a greeting on a new line; None where it is silent or cut."""
        self._connect()
        ask = int.from_bytes(os.urandom(6), "little")
        hello = {"op": "hello", "n": 0, "owner": self.owner, "token": self._token, "ask": ask,
                 "most": self._limits.array}  # fmt: skip
        self._put(packed(hello))
        now = time.monotonic()
        until = now + min(self._patience, max(self._progress + self._timeout - now, 0.0))
        while self._heard(until - time.monotonic()) and (message := self._received()) is not None:
            header, _ = message
            if "error" in header:
                raise _refusal(header["error"], UnansweredError)
            if header.get("ask") == ask:
                return header
            if "at_work" in header:
                self._progress = time.monotonic()
                until = self._progress + self._patience
        return None

    def _heard(self, seconds: float) -> bool:
        """Whether the server answers in a time; refused keys end the wait."""
        end = time.monotonic() + seconds
        line, poller = self._line(), zmq.Poller()
        poller.register(line, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while (left := end - time.monotonic()) > 0:
            ready = dict(poller.poll(int(1000 * left) + 1))
            if line in ready:
                return True
            if self._monitor in ready:
                event = parse_monitor_message(self._monitor.recv_multipart())["event"]
                if event in (zmq.EVENT_HANDSHAKE_FAILED_AUTH,
                             zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL):  # fmt: skip
                    raise UnansweredError(
                        "The board does not let this client in", where=self.address,
                        cause="its folder of keys has not got this client's public key, or one of "
                        "the two has no keys at all",
                        remedy="Put client.public into the folder of the board's server",
                    )  # fmt: skip
                if event == zmq.EVENT_DISCONNECTED:
                    return False
        return False

    def _connect(self) -> None:
        # Before the old line is given up: a key that cannot be read leaves everything as it is.
        keys = None if self._keys is None else (
            key_pair(self._keys, "client"), read_key(self._keys / "board.public")
        )  # fmt: skip
        self._drop()
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 100)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.setsockopt(zmq.MAXMSGSIZE, max(self._limits.array, self._limits.header))
        if keys is not None:
            pair, board = keys
            socket.curve_publickey = pair.public.encode()
            socket.curve_secretkey = pair.secret.encode()
            socket.curve_serverkey = board.encode()
        monitor = _monitor_of(socket)
        self._socket, self._monitor = socket, monitor
        self._closing = weakref.finalize(self, _close, socket, monitor)
        # At exit everything goes at once, and another thread may be using the line.
        self._closing.atexit = False
        socket.connect(self.address)

    def _drop(self) -> None:
        if self._closing is not None:
            self._closing()
        self._socket = None

    def _silent(self) -> ChipError:
        return UnansweredError(
            f"The board has not answered for {self._timeout:g} s", where=self.address,
            cause="its server is not running, or keys that do not belong to it",
            remedy="Start it with `secateur chip serve`; `secateur run --resume` then goes on",
        )  # fmt: skip


def _monitor_of(socket: "zmq.Socket[bytes]") -> "zmq.Socket[bytes]":
    """Tells that a line was cut or refused."""
    monitor: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
    # A line may be cut again and again while nobody looks, and at a limit the thread that tells of
    # it, ZeroMQ's own, would stop for ever.
    monitor.setsockopt(zmq.RCVHWM, 0)
    address = f"inproc://secateur.{os.urandom(8).hex()}"
    events = (zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
              | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)  # fmt: skip
    socket.monitor(address, events)
    monitor.connect(address)
    return monitor


def _close(socket: "zmq.Socket[bytes]", monitor: "zmq.Socket[bytes]") -> None:
    """In this order: an event for a monitor that is gone would stop ZeroMQ's own thread."""
    socket.disable_monitor()
    monitor.close(linger=0)
    socket.close(linger=0)


def _refusal(error: Any, kind: type[ChipError]) -> ChipError:
    if not isinstance(error, dict):
        return FrameError("The board's answer cannot be read")
    words = {name: str(error.get(name, "")) for name in ("what", "where", "cause", "remedy")}
    return kind(**words)
