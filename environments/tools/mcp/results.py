"""What an MCP tool's result is to a policy: text, PNG pictures, and a word for what neither text nor picture shows.

Results come from programs that nobody vouches for: every member is checked before it is shown.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from environments.environment import JsonObject
from environments.tools.mcp.listing import MAX_DEPTH, clean, depth_of
from environments.tools.tool import ToolResult

PNG = b"\x89PNG\r\n\x1a\n"
MAX_BLOCKS = 1000
MAX_PICTURES = 16
MAX_PICTURE_BYTES = 4 << 20


def show_result(result: Mapping[str, Any], notes: list[str], members: JsonObject | None = None) -> ToolResult:
    """`notes` stand before everything else: what became of the server, say."""
    texts, pictures = list(notes), list[bytes]()
    given = result.get("content")
    blocks = given[:MAX_BLOCKS] if isinstance(given, list) else []
    for block in blocks:
        picture = _picture(block)
        if picture is not None and len(pictures) < MAX_PICTURES:
            pictures.append(picture)
        else:
            texts.append(_text(block))
    structured = result.get("structuredContent")
    if structured is not None and not any(_is_text(block) for block in blocks):
        shown = depth_of(structured) <= MAX_DEPTH
        texts.append(json.dumps(structured, ensure_ascii=False) if shown else "[nested too deep to be shown]")
    text = clean("\n".join(texts))
    return ToolResult(text, tuple(pictures), error=result.get("isError") is True, members=members or {})


def _is_text(block: Any) -> bool:
    return isinstance(block, Mapping) and block.get("type") == "text"


def _picture(block: Any) -> bytes | None:
    """A PNG, if the block is one."""
    if not isinstance(block, Mapping) or block.get("type") != "image" or block.get("mimeType") != "image/png":
        return None
    data = block.get("data")
    if not isinstance(data, str) or len(data) > MAX_PICTURE_BYTES * 4 // 3:
        return None
    try:
        decoded = base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        return None
    return decoded if decoded.startswith(PNG) else None


def _text(block: Any) -> str:
    if not isinstance(block, Mapping):
        return "[something that is no content]"
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind in ("image", "audio"):
        return f"[{kind}, {_word(block.get('mimeType'))}: not shown]"
    if kind == "resource_link":
        named = ": ".join(_word(block[key]) for key in ("name", "description") if block.get(key))
        return f"[resource {_word(block.get('uri'))}{f', {named}' if named else ''}]"
    if kind == "resource" and isinstance(block.get("resource"), Mapping):
        resource = block["resource"]
        if isinstance(resource.get("text"), str):
            return f"[resource {_word(resource.get('uri'))}]\n{resource['text']}"
        return f"[resource {_word(resource.get('uri'))}, {_word(resource.get('mimeType'))}: not shown]"
    return f"[{_word(kind)}: not shown]"


def _word(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 500 else f"{text[:500]}..."
