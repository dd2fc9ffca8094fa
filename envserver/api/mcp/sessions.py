"""What a session's id says: which generation of the episode it belongs to, and nothing that is kept anywhere.

Its random part keeps the requests of two clients apart, who may both begin to count at 1. An episode whose world was
replaced has a new generation, and its sessions are over: so a call that is sent again never runs in another world.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from dataclasses import dataclass

from envserver.api.mcp.messages import INVALID_REQUEST, RequestId, RpcError

_ID = re.compile(r"g(\d{1,12})-[A-Za-z0-9_-]{24}")


@dataclass(frozen=True)
class McpSession:
    """One client's."""

    id: str
    generation: int

    @classmethod
    def begin(cls, generation: int) -> McpSession:
        return cls(f"g{generation}-{secrets.token_urlsafe(18)}", generation)

    @classmethod
    def find(cls, given: str | None, generation: int) -> McpSession:
        """Raises: RpcError for one that is none, or over."""
        if given is None:
            raise RpcError(INVALID_REQUEST, "begin with `initialize`, and send Mcp-Session-Id after it", status=400)
        match = _ID.fullmatch(given)
        if match is None or int(match[1]) != generation:
            raise RpcError(INVALID_REQUEST, "this session is over: begin another with `initialize`", status=404)
        return cls(given, generation)

    def name_of(self, number: RequestId) -> str:
        """Of a request, among all of an episode's."""
        return f"{self.id}/{json.dumps(number)}"


def event_id_of(number: RequestId) -> str:
    """By which a stream's client asks for the rest of it."""
    return base64.urlsafe_b64encode(json.dumps(number).encode()).decode()


def request_of(event_id: str) -> RequestId:
    """Raises: RpcError."""
    try:
        number = json.loads(base64.urlsafe_b64decode(event_id.encode("ascii", "replace")))
    except (ValueError, binascii.Error):
        number = None
    if not isinstance(number, str | int):
        raise RpcError(INVALID_REQUEST, "Last-Event-ID is none of this session's", status=400)
    return number
