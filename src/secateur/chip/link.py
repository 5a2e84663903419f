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
from secateur.chip.line import REFUSED, close, line
from secateur.chip.wire import FrameError, Limits, check_sizes, packed, unpacked
from secateur.errors import ChipError, SecateurError, SettingError

# Requests under way at most: more would fill the memory of a board that is slow.
_WINDOW = 32
# Seconds from a connection that failed to the next.
_PAUSE = 0.02
# Seconds of one try, where nobody waits or the time is over: a board at work says so before.
_TRY = 3.0


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
        """Whether the answer is there; see `Link.look`."""
        if self.reply is None:
            self._link.look()
        return self.reply is not None

    def result(self) -> tuple[dict[str, Any], list[Tensor]]:
        """Waits for the answer.

        Raises:
            UnansweredError: as `Link.wait`, and where the board has been lent again since.
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
    harm: commands have ids that the board remembers, and reads have keys. Who has given up may ask
    again.

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
        self._patience, self._timeout = patience, timeout
        # Read once: a folder that is gone later is no failure of a command.
        self._keys = None if keys is None else (
            key_pair(keys, "client"), read_key(keys / "board.public")
        )  # fmt: skip
        # Shared by the process: one of its own would wait, when it is collected, for sockets that
        # were left open.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: Any = None
        self._closing: weakref.finalize[..., Any] | None = None
        # What is accepted here, and what the board accepts.
        self._limits, self._there = limits, Limits()
        self._waiting: OrderedDict[int, Request] = OrderedDict()
        # Empty while no board has greeted back on this line.
        self._session, self._number = b"", 1
        self._closed, self._process = False, os.getpid()
        # Its lines are told apart by the board: a greeting on an older one may be read late.
        self._name, self._lines, self._tried = os.urandom(8), 0, 0.0
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
            ChipError: for a request that is too large for a message.
            UnansweredError: as `wait`: there may be too many under way.
        """
        self._check()
        now = time.monotonic()
        # Nobody was waiting, or all the time went by: it counts from now.
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
        """Takes the answers that have come.

        Where the line was cut there is one try to make a new one, and after a failure another as
        often as `patience` says; that nobody is there is for `wait` to tell.

        Raises:
            UnansweredError: after `close`, and in a process that was forked.
        """
        self._check()
        if self._session:
            self._take(0)
            again = not self._session or self._monitor.poll(0) != 0
        else:
            again = time.monotonic() > self._tried + self._patience
        if again and self._waiting:
            with suppress(UnansweredError):
                self._begin(self._welcome(_TRY))

    def wait(self) -> None:
        """Waits for an answer, making a new connection where there is none.

        Raises:
            UnansweredError: where the board has said nothing for longer than the timeout, is
                another's or another one, or does not let this client in; after `close`, and in a
                process that was forked.
        """
        self._check()
        if not self._session or not self._take(self._patience):
            self._greet()

    def settle(self) -> None:
        """Waits until everything asked is answered.

        Raises:
            UnansweredError: as `wait`.
        """
        while self._waiting:
            self.wait()

    def close(self) -> None:
        """Gives the board back and lets go of the connection; what waits is given up.

        In a process that was forked it does nothing: the board is the other one's.
        """
        if self._closed or os.getpid() != self._process:
            return
        self._patience = self._timeout = min(1.0, self._timeout)
        try:
            with suppress(SecateurError):
                self.ask("bye").result()
        finally:
            self._closed = True
            self._drop()
            self._waiting.clear()

    # --- Inside ------------------------------------------------------------------------------

    def _check(self) -> None:
        """Refuses use after `close` and in a forked process.

        Raises:
            UnansweredError: what is under way may have been carried out.
        """
        if os.getpid() != self._process:
            raise UnansweredError(
                "A process was forked from the one that uses the board", where=self.address,
                cause="a connection cannot be used from both",
                remedy="Make the RemoteChip in the process that is to use it",
            )  # fmt: skip
        if self._closed:
            raise UnansweredError("The board was given back", where=self.address,
                                  remedy="Make a new RemoteChip to use it again")  # fmt: skip

    def _send(self, request: Request) -> None:
        parts = self._parts(request, self._number)
        check_sizes(parts, self._there, what=f"{request.header['op']!r} of the board")
        self._waiting[self._number] = request
        self._number += 1
        # Without a session it is sent once there is one.
        if self._session:
            self._put(parts)

    def _parts(self, request: Request, number: int) -> list[Any]:
        header = {**request.header, "n": number, "session": self._session}
        return packed(header, request.arrays)

    def _put(self, parts: list[Any]) -> None:
        """Hands a message to the line.

        One that was refused takes none, now or ever: whoever waits for the answer makes another.
        """
        assert self._socket is not None
        with suppress(zmq.Again):
            self._socket.send_multipart(parts, flags=zmq.NOBLOCK, copy=False)

    def _take(self, seconds: float) -> bool:
        """Takes the answers that come in a time; False where none has, or the line was cut."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        if self._socket not in dict(poller.poll(int(1000 * seconds))):
            return False
        while self._waiting and (message := self._received()) is not None:
            header, arrays = message
            if "at_work" in header:
                self._progress = time.monotonic()
                continue
            error = header.get("error", {}).get("kind")
            if error in ("unknown", "order"):
                self._session = b""
                return False
            request = self._waiting.pop(header.get("n", -1), None)
            if request is not None:
                request.reply = (header, arrays)
                self._progress = time.monotonic()
                if request.on_reply is not None:
                    request.on_reply(header, arrays)
        return True

    def _received(self) -> tuple[dict[str, Any], list[Tensor]] | None:
        assert self._socket is not None
        try:
            parts = self._socket.recv_multipart(flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return unpacked([part.buffer for part in parts], self._limits)

    def _greet(self) -> None:
        """A new session, in which all that waits is asked again; tried once, however late it is."""
        if not self._waiting:
            self._progress = time.monotonic()
        while not self._begin(self._welcome(self._patience)):
            if time.monotonic() > self._progress + self._timeout:
                raise self._silent()
            time.sleep(_PAUSE)

    def _begin(self, header: dict[str, Any] | None) -> bool:
        if header is None:
            return False
        self._there = Limits(*header["limits"])
        self._greeted(header)
        # First numbered, then sent: if this is cut short, every request is still waited for.
        self._waiting = OrderedDict(enumerate(self._waiting.values(), 1))
        self._session, self._number = header["session"], len(self._waiting) + 1
        for number, request in list(self._waiting.items()):
            self._put(self._parts(request, number))
        return True

    def _welcome(self, patience: float) -> dict[str, Any] | None:
        """What the board answers to a greeting on a new line; None where it is silent or cut."""
        self._connect()
        ask = int.from_bytes(os.urandom(6), "little")
        hello = {"op": "hello", "n": 0, "owner": self.owner, "token": self._token, "ask": ask,
                 "most": self._limits.array, "link": self._name, "line": self._lines}  # fmt: skip
        self._put(packed(hello))
        now = time.monotonic()
        until = now + min(patience, max(self._progress + self._timeout - now, _TRY))
        while self._heard(until - time.monotonic()) and (message := self._received()) is not None:
            header, _ = message
            if "error" in header:
                raise _refusal(header["error"], UnansweredError)
            if header.get("ask") == ask:
                return header
            if "at_work" in header:
                self._progress = time.monotonic()
                until = self._progress + patience
        return None

    def _heard(self, seconds: float) -> bool:
        """Whether the server answers in a time.

        Raises:
            UnansweredError: where it does not let this client in.
        """
        end = time.monotonic() + seconds
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while (left := end - time.monotonic()) > 0:
            ready = dict(poller.poll(int(1000 * left) + 1))
            if self._socket in ready:
                return True
            if self._monitor in ready:
                event = parse_monitor_message(self._monitor.recv_multipart())["event"]
                if event in REFUSED:
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
        self._drop()
        self._tried, self._lines = time.monotonic(), self._lines + 1
        socket, monitor = line(self._context)
        self._closing = weakref.finalize(self, close, self._process, socket, monitor)
        # At exit everything goes at once, and another thread may be using the line.
        self._closing.atexit = False
        socket.setsockopt(zmq.MAXMSGSIZE, max(self._limits.array, self._limits.header))
        if self._keys is not None:
            pair, board = self._keys
            socket.curve_publickey = pair.public.encode()
            socket.curve_secretkey = pair.secret.encode()
            socket.curve_serverkey = board.encode()
        socket.connect(self.address)
        self._socket, self._monitor = socket, monitor

    def _drop(self) -> None:
        self._socket, self._session = None, b""
        if self._closing is not None:
            self._closing()

    def _silent(self) -> ChipError:
        return UnansweredError(
            f"The board has not answered for {self._timeout:g} s", where=self.address,
            cause="its server is not running, or keys that do not belong to it",
            remedy="Start it with `secateur chip serve`; `secateur run --resume` then goes on",
        )  # fmt: skip


def _refusal(error: Any, kind: type[ChipError]) -> ChipError:
    if not isinstance(error, dict):
        return FrameError("The board's answer cannot be read")
    words = {name: str(error.get(name, "")) for name in ("what", "where", "cause", "remedy")}
    return kind(**words)
