"""The frames of the WebSocket: the same members as JSON text or as MessagePack.

    client → server   {id, method, params}
    server → client   {id, status, result} or {id, problem}, after any number of {id, event}

A stored result is JSON already. The JSON codec puts those very bytes into its frame; the MessagePack one has
to unpack them, and is for clients that move many files and pictures: their bytes travel in it as they are.
"""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any

import msgpack
from pydantic_core import from_json, to_json

from envserver.api.parsing import check_value, parse_json
from envserver_sdk.errors import InvalidRequest

Frame = str | bytes
CallId = int | str


class Codec(ABC):
    """One subprotocol. `decode` raises InvalidRequest."""

    subprotocol: str

    @abstractmethod
    def decode(self, frame: Frame, max_depth: int) -> Any: ...

    @abstractmethod
    def result(self, call_id: CallId, status: int, body: bytes) -> Frame:
        """`body` is encoded JSON."""

    @abstractmethod
    def file(self, call_id: CallId, path: str, data: bytes) -> Frame: ...

    @abstractmethod
    def file_data(self, params: dict[str, Any]) -> bytes:
        """Take the bytes of a file out of the parameters."""

    @abstractmethod
    def problem(self, call_id: CallId | None, body: bytes) -> Frame: ...

    @abstractmethod
    def event(self, call_id: CallId, event: dict[str, Any]) -> Frame: ...


class JsonCodec(Codec):
    subprotocol = "envserver.json"

    def decode(self, frame: Frame, max_depth: int) -> Any:
        return parse_json(frame, max_depth)

    def result(self, call_id: CallId, status: int, body: bytes) -> Frame:
        return (b'{"id":%s,"status":%d,"result":%s}' % (to_json(call_id), status, body)).decode()

    def file(self, call_id: CallId, path: str, data: bytes) -> Frame:
        encoded = base64.b64encode(data).decode()
        return self.result(call_id, 200, to_json({"path": path, "size_bytes": len(data), "data_base64": encoded}))

    def file_data(self, params: dict[str, Any]) -> bytes:
        data = params.pop("data_base64", None)
        try:
            if isinstance(data, str):
                return base64.b64decode(data, validate=True)
        except binascii.Error:
            pass
        raise InvalidRequest("data_base64 must be base64")

    def problem(self, call_id: CallId | None, body: bytes) -> Frame:
        return (b'{"id":%s,"problem":%s}' % (to_json(call_id), body)).decode()

    def event(self, call_id: CallId, event: dict[str, Any]) -> Frame:
        return to_json({"id": call_id, "event": event}).decode()


class MsgpackCodec(Codec):
    subprotocol = "envserver.msgpack"

    def decode(self, frame: Frame, max_depth: int) -> Any:
        if isinstance(frame, str):
            raise InvalidRequest("MessagePack comes in binary frames")
        try:
            value = msgpack.unpackb(frame, raw=False, strict_map_key=True, timestamp=0)
        except (ValueError, msgpack.UnpackException) as error:
            raise InvalidRequest(f"this is no MessagePack: {type(error).__name__}") from None
        params = value.get("params") if isinstance(value, dict) else None
        data = params.pop("data", None) if isinstance(params, dict) else None
        check_value(value, max_depth)
        if isinstance(params, dict) and data is not None:
            params["data"] = data
        return value

    def result(self, call_id: CallId, status: int, body: bytes) -> Frame:
        value = from_json(body)
        _pictures_to_bytes(value)
        return _pack({"id": call_id, "status": status, "result": value})

    def file(self, call_id: CallId, path: str, data: bytes) -> Frame:
        return _pack({"id": call_id, "status": 200, "result": {"path": path, "size_bytes": len(data), "data": data}})

    def file_data(self, params: dict[str, Any]) -> bytes:
        data = params.pop("data", None)
        if not isinstance(data, bytes):
            raise InvalidRequest("data must be bytes")
        return data

    def problem(self, call_id: CallId | None, body: bytes) -> Frame:
        return _pack({"id": call_id, "problem": from_json(body)})

    def event(self, call_id: CallId, event: dict[str, Any]) -> Frame:
        return _pack({"id": call_id, "event": event})


def _pictures_to_bytes(result: Any) -> None:
    """Those in the observations of steps and beginnings, in place; what is no base64 stays as it is."""
    if not isinstance(result, dict):
        return
    for several in ("episodes", "results"):  # of a fork or a group, of a batch
        for each in result[several] if isinstance(result.get(several), list) else ():
            _pictures_to_bytes(each)
    observation = result.get("observation")
    images = observation.get("images") if isinstance(observation, dict) else None
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and image.keys() == {"format", "data"}:
            with suppress(binascii.Error, TypeError, ValueError):
                image["data"] = base64.b64decode(image["data"], validate=True)


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, default=_pack_large)
    return packed


def _pack_large(value: Any) -> str:
    """Integers beyond 64 bits, which MessagePack lacks, go as their digits."""
    return str(value)


CODECS: dict[str, Codec] = {codec.subprotocol: codec for codec in (JsonCodec(), MsgpackCodec())}
"""By subprotocol, in the order of preference; a client that asks for none gets JSON."""
