"""The launcher's framing: what is encoded comes back, and nothing else is taken for a message."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.launcher import protocol
from envserver.launcher.service import Service

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    frame = protocol.encode(message)
    assert protocol.decode_length(frame[:4]) == len(frame) - 4
    assert protocol.decode_body(frame[4:]) == message


@given(st.integers(0, 2**32 - 1))
def test_a_length_is_taken_within_bounds_only(length: int) -> None:
    header = struct.pack(">I", length)
    if 0 < length <= protocol.MAX_FRAME_BYTES:
        assert protocol.decode_length(header) == length
    else:
        with pytest.raises(ValueError, match=str(length)):
            protocol.decode_length(header)


@given(st.binary(max_size=200))
def test_any_body_is_an_object_or_a_value_error(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(protocol.decode_body(body), dict)


def test_a_body_nested_without_end_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested"):
        protocol.decode_body(b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def _received(sent: bytes) -> dict[str, Any] | None:
    """What the service makes of some bytes and the end of the connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=_send, args=(ours, sent))
        sender.start()
        try:
            return Service._receive(theirs)
        finally:
            sender.join()


def test_a_request_arrives_whole_however_it_is_cut() -> None:
    assert _received(protocol.encode({"op": "list", "pad": "x" * 300_000})) == {"op": "list", "pad": "x" * 300_000}


def test_a_connection_that_ends_between_frames_is_no_error() -> None:
    assert _received(b"") is None


@pytest.mark.parametrize("sent", [b"\0", b"\0\0\0\5{}", b"\0\0\0\1x", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\2[]"])
def test_a_broken_frame_is_a_value_error(sent: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        _received(sent)
