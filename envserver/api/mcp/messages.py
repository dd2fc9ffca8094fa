"""JSON-RPC 2.0 as MCP uses it: one request or notification in a body, one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from envserver_sdk.errors import Problem

JsonObject = dict[str, Any]
RequestId = str | int

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Revisions of the protocol, the newest first. Later ones have no sessions, by which a repeated call is known."""
PRIMING_VERSION = "2025-11-25"
"""From which on a stream may begin with an event without data, by which it can be taken up again."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
UNSUPPORTED_VERSION = -32022
PROBLEM = -32000
"""One of our problem documents, in `data`."""
MAX_ID_LENGTH = 256
MAX_NUMBER = 1 << 53


class RpcError(Exception):
    """What is answered instead of a result; `status` is that of the HTTP response."""

    def __init__(self, code: int, message: str, *, data: Any = None, status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.status = code, message, data, status

    @classmethod
    def of(cls, problem: Problem, status: int = 200) -> RpcError:
        return cls(PROBLEM, problem.detail, data=problem.document(), status=status)


@dataclass(frozen=True)
class Message:
    """What a client sent."""

    method: str | None
    """None for an answer, of which we expect none."""
    params: JsonObject
    id: RequestId | None
    """None for a notification."""

    @classmethod
    def parse(cls, value: Any) -> Message:
        """Raises: RpcError."""
        if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
            raise RpcError(INVALID_REQUEST, "the body must be one JSON-RPC 2.0 message", status=400)
        method, params, number = value.get("method"), value.get("params", {}), value.get("id")
        if method is None and ("result" in value or "error" in value):
            return cls(None, {}, None)
        if not isinstance(method, str) or not isinstance(params, dict):
            raise RpcError(INVALID_REQUEST, "`method` must be a string and `params` an object", status=400)
        if "id" in value and not _is_id(number):
            raise RpcError(
                INVALID_REQUEST, f"`id` must be an integer or at most {MAX_ID_LENGTH} characters", status=400
            )
        return cls(method, params, number)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_ID_LENGTH
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def encode_result(number: RequestId | None, result: JsonObject) -> bytes:
    return to_json({"jsonrpc": "2.0", "id": number, "result": result}, inf_nan_mode="null")


def encode_error(number: RequestId | None, error: RpcError) -> bytes:
    body: JsonObject = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return to_json({"jsonrpc": "2.0", "id": number, "error": body}, inf_nan_mode="null")


def encode_notification(method: str) -> bytes:
    return to_json({"jsonrpc": "2.0", "method": method})
