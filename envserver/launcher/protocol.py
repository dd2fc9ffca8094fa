"""What server and launcher say to each other, and the client's and the service's ends of the framing.

A request is one JSON object behind its length (4 bytes, big-endian), answered by one such object: the result, or
`{"error": code, "message": ...}`. A connection carries one request at a time; a client that wants several at once
opens several. `import_image` is followed by the archive's bytes until the client shuts its sending side down.
"""

from __future__ import annotations

import json
import struct
from typing import Any

MAX_FRAME_BYTES = 4 << 20
SOCKET_NAME = "launcher.sock"
SANDBOX_DIRECTORY = "s"
"""Below the run directory: one directory a sandbox, that holds its agent's socket."""

AHEAD = "ahead"
"""The one member of a frame that comes before an answer; it says how far the operation is."""

ERROR_CAPACITY = "capacity"
ERROR_IMAGE = "image_not_found"
ERROR_REQUEST = "bad_request"
ERROR_UNKNOWN_SANDBOX = "unknown_sandbox"
ERROR_UNKNOWN_CHECKPOINT = "unknown_checkpoint"
ERROR_CHECKPOINT = "not_dumpable"
"""The sandbox cannot be saved as it is, and runs on."""
ERROR_FAILED = "failed"

_LENGTH = struct.Struct(">I")


def encode(message: dict[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


def decode_length(header: bytes) -> int:
    """Raises: ValueError."""
    length: int = _LENGTH.unpack(header)[0]
    if not 0 < length <= MAX_FRAME_BYTES:
        raise ValueError(f"frame of {length} bytes")
    return length


def decode_body(body: bytes) -> dict[str, Any]:
    """Raises: ValueError."""
    try:
        message = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(message, dict):
        raise ValueError("not an object")  # noqa: TRY004  # malformed input is a ValueError throughout
    return message
