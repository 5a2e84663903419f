"""Frames: what goes in comes out, and nothing else gets in."""

import time

import msgpack
import pytest
import torch
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import serving

from secateur.chip.keys import is_loopback, make_keys
from secateur.chip.remote import RemoteChip
from secateur.chip.wire import VERSION, FrameError, Limits, packed, unpacked
from secateur.errors import ChipError, FileError, SecateurError, SettingError

DTYPES = [torch.bool, torch.int8, torch.int32, torch.int64, torch.float32]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary()
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
SHAPES = st.lists(st.integers(0, 4), max_size=4)


def frames(header, arrays=()) -> list[bytes]:
    return [bytes(part) for part in packed(header, arrays)]


@given(
    st.dictionaries(st.text().filter(lambda key: key not in ("v", "arrays")), PLAIN, max_size=4),
    st.lists(st.tuples(st.sampled_from(DTYPES), SHAPES), max_size=4),
)
def test_what_is_packed_is_unpacked(header, kinds):
    arrays = [(torch.rand(shape) * 99).to(dtype) for dtype, shape in kinds]
    found, tensors = unpacked(frames(header, arrays), Limits())
    assert {key: found[key] for key in header} == header
    assert [t.dtype for t in tensors] == [a.dtype for a in arrays]
    assert all(map(torch.equal, tensors, arrays))


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_refused_in_words(parts):
    with pytest.raises(FrameError):
        unpacked(parts, Limits())


@given(st.dictionaries(st.text(max_size=6), PLAIN, max_size=4), st.lists(st.binary(max_size=9)),
       PLAIN)  # fmt: skip
def test_headers_that_lie_are_refused_in_words(header, parts, kinds):
    first = msgpack.packb({**header, "v": VERSION, "arrays": kinds})
    try:
        found, arrays = unpacked([first, *parts], Limits())
    except FrameError:
        return
    # What is let through is what the parts are.
    assert len(arrays) == len(parts) == len(found["arrays"])
    assert all(a.numel() * a.element_size() == len(p) for a, p in zip(arrays, parts, strict=True))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (frames({}, [torch.zeros(9)] * 5), "6 parts"),
        (frames({"x": "y" * 2000}), "header has"),
        (frames({}, [torch.zeros(600)]), "2400 bytes"),
        ([msgpack.packb({"v": 2, "arrays": []})], "version 2"),
        ([msgpack.packb([1, 2])], "no map"),
        ([msgpack.packb({"v": 1, "arrays": [["f8", [1]]]}), b"8" * 8], "'f8'"),
        ([msgpack.packb({"v": 1, "arrays": [["f4", [-1]]]}), b""], "shape"),
        ([msgpack.packb({"v": 1, "arrays": [["b1", [2]]]}), b"\x00\x02"], "truth value"),
        ([msgpack.packb({"v": 1, "arrays": [["f4", [1 << 39, 1 << 39]]]}), b""], "came in 0"),
        ([msgpack.packb({"v": 1, "arrays": [["f4", [0, *[1 << 39] * 2]]]}), b""], "empty array"),
    ],
)
def test_refusals_say_what_was_wrong(parts, words):
    with pytest.raises(FrameError, match=words):
        unpacked(parts, Limits(header=1000, array=2000, arrays=4))


# --- Against a server ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A board with a weight, its owner, and a stranger's line to it."""
    with serving(tmp_path_factory.mktemp("board") / "b", limits=Limits(array=1 << 16)) as server:
        chip = RemoteChip(server.address, owner="owner")
        chip.place("w", (4, 5))
        context = zmq.Context()
        line = context.socket(zmq.DEALER)
        line.connect(server.address)
        yield server, chip, line
        chip.close()
        line.close(linger=0)
        context.term()


def pulses(chip) -> list[torch.Tensor]:
    (counts,) = chip._link.ask("ledger", first=0, count=40).result()[1]
    return counts


def asked(line, parts) -> dict:
    line.send_multipart([bytes(part) for part in parts])
    return msgpack.unpackb(line.recv_multipart()[0])


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=99), min_size=1, max_size=6))
def test_noise_at_the_door_changes_nothing(board, parts):
    _, chip, line = board
    before = pulses(chip)
    assert asked(line, parts)["error"]["kind"] == "refused"
    assert torch.equal(pulses(chip), before)


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["issue", "read", "multiply", "convolve", "status", "read_back", "hello"]),
    st.dictionaries(
        st.sampled_from(["id", "kind", "parameters", "region", "key", "window", "owner"]),
        PLAIN | st.sampled_from(["reset", [0, [4, 5]], [[1], [1], [0], [1]], [[1], [0]] * 2, {}]),
    ),
    st.lists(st.tuples(st.sampled_from(DTYPES), SHAPES), max_size=2),
)  # fmt: skip
def test_requests_that_fit_nothing_are_refused_and_the_board_goes_on(board, op, header, kinds):
    """In the owner's own session, in turn: the arguments alone are wrong."""
    _, chip, _ = board
    before, arrays = pulses(chip), [(torch.rand(shape) * 50).to(d) for d, shape in kinds]
    try:
        chip._link.ask(op, arrays, **header).result()
    except SecateurError:
        assert torch.equal(pulses(chip), before)
    else:
        assert op in ("issue", "status", "read", "read_back", "multiply", "convolve")


def test_repeated_and_early_requests_are_refused(board):
    """Whoever records the owner's messages cannot use them again."""
    _, chip, line = board
    session, number = chip._link._session, chip._link._number
    before = pulses(chip)
    command = {"op": "issue", "id": "r", "kind": "reset", "parameters": {}, "session": session}
    cells = [torch.arange(9)]
    for n in (1, number - 1, number, number + 2, 10**9, -1):
        reply = asked(line, packed({**command, "n": n}, cells))
        assert reply["error"]["kind"] == "order", n
        assert "expected" in reply["error"]["what"]
    assert torch.equal(pulses(chip), before)


def test_a_stranger_without_the_session_is_refused(board):
    _, chip, line = board
    before = pulses(chip)
    command = {"op": "issue", "id": "s", "kind": "reset", "parameters": {}, "n": 1}
    for session in (None, b"", bytes(16), "x", 3, [], {}):
        reply = asked(line, packed({**command, "session": session}, [torch.arange(9)]))
        assert reply["error"]["kind"] == "unknown"
    # Nor is the owner's name enough, which whoever asks is told.
    for name in ("stranger", "owner"):
        hello = {"op": "hello", "n": 0, "owner": name, "most": 1 << 20}
        reply = asked(line, packed({**hello, "token": b"0123456789abcdef"}))
        assert reply["error"]["kind"] == "busy"
        assert "in use by 'owner'" in reply["error"]["what"]
        assert chip._link._token.decode() not in str(reply)
        for token in (None, b"", b"short", "0123456789abcdef", 7):
            reply = asked(line, packed({**hello, "token": token}))
            assert "no token" in reply["error"]["what"]
    assert torch.equal(pulses(chip), before)


def test_a_lease_does_not_run_out_while_the_board_itself_is_at_work(tmp_path, monkeypatch):
    with serving(tmp_path / "b", lease=0.3) as server:
        chip = RemoteChip(server.address, owner="owner")
        region = chip.place("w", (4, 5))
        slow = server.board.chip
        read = slow.read
        monkeypatch.setattr(slow, "read", lambda *a, **k: (time.sleep(0.6), read(*a, **k))[1])
        chip.read(region, key=1)
        with pytest.raises(ChipError, match="in use by 'owner'"):
            RemoteChip(server.address, owner="other")
        chip.close()


def test_a_message_beyond_the_limit_never_arrives_and_harms_nobody(board):
    server, chip, _ = board
    context = zmq.Context()
    line = context.socket(zmq.DEALER)
    line.connect(server.address)
    line.send_multipart([b"x" * (1 << 22)])
    assert not line.poll(300)
    line.close(linger=0)
    context.term()
    assert pulses(chip).shape == (3, 40)


# --- Keys ------------------------------------------------------------------------------------


def test_keys_let_in_who_has_them_and_nobody_else(tmp_path, caplog):
    make_keys(tmp_path / "lab")
    make_keys(tmp_path / "other")
    (tmp_path / "other/board.public").write_bytes((tmp_path / "lab/board.public").read_bytes())
    with serving(tmp_path / "b", keys=tmp_path / "lab") as server:
        with pytest.raises(ChipError, match=r"does not let|has not answered"):
            RemoteChip(server.address, keys=tmp_path / "other", timeout=2.0, patience=1.0)
        assert "its key is not known" in caplog.text
        with pytest.raises(ChipError, match=r"does not let|has not answered"):
            RemoteChip(server.address, timeout=0.6, patience=0.3)
        chip = RemoteChip(server.address, keys=tmp_path / "lab")
        assert chip.place("w", (3, 4)).weights == 12
        chip.close()


def test_secrets_are_their_owners_and_are_never_overwritten(tmp_path):
    paths = make_keys(tmp_path / "keys")
    assert {p.name for p in paths if p.stat().st_mode & 0o077} == {"board.public", "client.public"}
    with pytest.raises(FileError, match="already"):
        make_keys(tmp_path / "keys")


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://192.168.1.7:5757",
                                     "tcp://127.example.org:5757",
                                     "tcp://127.0.0.1:0;192.168.1.7:5757"])  # fmt: skip
def test_what_others_can_reach_needs_keys_on_both_sides(tmp_path, address):
    assert not is_loopback(address)
    with pytest.raises(SettingError, match="no keys"), serving(tmp_path / "b", address=address):
        pass
    with pytest.raises(SettingError, match="no keys"):
        RemoteChip(address)


def test_loopback_is_told_from_the_rest():
    assert all(map(is_loopback, ["tcp://127.0.0.1:5", "tcp://localhost:5", "tcp://[::1]:5",
                                 "ipc:///tmp/x"]))  # fmt: skip
    for wrong in ("127.0.0.1:5", "http://x", "tcp://"):
        with pytest.raises(SettingError, match="no address"):
            is_loopback(wrong)
