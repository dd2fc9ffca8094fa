"""Files that an action uploads: their names and contents, as the policy wrote them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from environments.browser.actions.members import ActionError, Member, Viewport, read_text, within
from environments.environment import JsonObject
from environments.protocols.hints import did_you_mean, quoted

MAX_FILES = 10
MAX_BYTES = 1 << 20
"""Of all files of one action together."""
MAX_NAME_BYTES = 255
MAX_TYPE_CHARS = 100

UNKNOWN_TYPE = "application/octet-stream"
TYPES: Mapping[str, str] = {
    ".csv": "text/csv",
    ".gif": "image/gif",
    ".htm": "text/html",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webp": "image/webp",
    ".xml": "application/xml",
    ".zip": "application/zip",
}
"""By ending; the machine's own table would make an episode depend on the machine."""

_MEMBERS = ("name", "content", "content_base64", "mime_type")


@dataclass(frozen=True)
class Files(Member):
    """A list of files. The driver gets `name`, `content_base64` and `mime_type` of each."""

    def _schema(self) -> JsonObject:
        members = {
            "name": {"type": "string", "minLength": 1, "description": "The file's name, without folders"},
            "content": {"type": "string", "description": "Its content as text"},
            "content_base64": {"type": "string", "description": "Its content in base64, instead of content"},
            "mime_type": {"type": "string", "description": "Such as text/csv; told from the name when left out"},
        }
        file = {
            "type": "object",
            "properties": members,
            "required": ["name"],
            "oneOf": [{"required": ["content"]}, {"required": ["content_base64"]}],
            "additionalProperties": False,
        }
        return {"type": "array", "items": file, "maxItems": MAX_FILES}

    def read(self, name: str, value: Any, viewport: Viewport) -> list[JsonObject]:
        if not isinstance(value, list) or len(value) > MAX_FILES:
            raise ActionError(f"{name} must be a list of at most {MAX_FILES} files; none takes those away")
        contents = [_content(within(name, f"[{number}]"), file) for number, file in enumerate(value)]
        if (size := sum(map(len, contents))) > MAX_BYTES:
            raise ActionError(f"{name} are {size} bytes together, at most {MAX_BYTES} are allowed")
        return [
            _file(within(name, f"[{number}]"), *each) for number, each in enumerate(zip(value, contents, strict=True))
        ]


def _content(name: str, file: Any) -> bytes:
    if not isinstance(file, dict):
        raise ActionError(f"{name} is {quoted(file)}, must be an object with 'name' and 'content'")
    for key in file:
        if key not in _MEMBERS:
            raise ActionError(f"{name} has no member {quoted(key)}; {did_you_mean(key, _MEMBERS)}")
    given = [key for key in ("content", "content_base64") if key in file]
    if not given:
        raise ActionError(f"{name} has neither 'content' nor 'content_base64': it needs one of them")
    if len(given) > 1:
        raise ActionError(f"{name} has both 'content' and 'content_base64': it takes only one of them")
    if given == ["content"]:
        text = file["content"]
        if not isinstance(text, str):
            raise ActionError(f"{within(name, '.content')} is {quoted(text)}, must be a string")
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            raise ActionError(f"{name}.content has a lone surrogate at character {error.start}") from None
    try:
        return base64.b64decode(file["content_base64"], validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ActionError(f"{within(name, '.content_base64')} is no base64") from None


def _file(name: str, file: Mapping[str, Any], content: bytes) -> JsonObject:
    title = read_text(within(name, ".name"), file.get("name"))
    if not title or title in (".", "..") or "/" in title or "\\" in title:
        raise ActionError(f"{within(name, '.name')} is {quoted(title)}, must be a file's name without folders")
    if len(title.encode()) > MAX_NAME_BYTES:
        raise ActionError(f"{within(name, '.name')} is longer than {MAX_NAME_BYTES} bytes")
    return {"name": title, "content_base64": base64.b64encode(content).decode(), "mime_type": _type(name, file, title)}


def _type(name: str, file: Mapping[str, Any], title: str) -> str:
    if "mime_type" not in file:
        return TYPES.get(PurePosixPath(title).suffix.lower(), UNKNOWN_TYPE)
    kind = read_text(within(name, ".mime_type"), file["mime_type"])
    main, slash, sub = kind.partition("/")
    if len(kind) > MAX_TYPE_CHARS or not (slash and _is_token(main) and _is_token(sub)):
        raise ActionError(f"{within(name, '.mime_type')} is {quoted(kind)}, must be such as 'text/csv'")
    return kind


def _is_token(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("+", "").replace(".", "").isalnum()
