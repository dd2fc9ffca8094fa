"""An MCP server for tests, which keeps the protocol or breaks it as it is told. Standard library alone.

It is read as text and runs in a sandbox. Its tools do what they are called; `count` counts in memory and in a file, so
that a test can tell what is lost with the process, and how often a call reached it.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

Content = dict[str, Any]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
counts = count(1)


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def hear() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    message: dict[str, Any] = json.loads(line)
    return message


def text(said: object) -> Content:
    return {"content": [{"type": "text", "text": str(said)}]}


def ask(method: str) -> dict[str, Any]:
    say({"id": f"mine-{method}", "method": method, "params": {}})
    return hear()


def count_up(_: str) -> Content:
    with open("marks", "a") as marks:  # noqa: PTH123
        marks.write("x")
    return text(next(counts))


def picture(_: str) -> Content:
    return {"content": [{"type": "image", "mimeType": "image/png", "data": PNG}, *text("drawn")["content"]]}


def kinds(_: str) -> Content:
    jpeg = {"type": "image", "mimeType": "image/jpeg", "data": "AAAA"}
    link = {"type": "resource_link", "uri": "file:///a", "name": "A"}
    inner = {"type": "resource", "resource": {"uri": "file:///b", "text": "inside"}}
    return {"content": [jpeg, link, inner, {"type": "smell"}]}


def junk(_: str) -> Content:
    sys.stdout.write("not json\n[1, null]\n")
    return text("after junk")


def hang(_: str) -> Content:
    while True:  # until its input ends
        hear()


def ask_for_more(_: str) -> Content:
    refused = [ask(method)["error"]["code"] for method in ("roots/list", "sampling/createMessage")]
    return text([ask("ping")["result"], *refused])


def shout(_: str) -> Content:
    sys.stdout.write("x" * (17 << 20))
    return text("")


def grow(_: str) -> Content:
    TOOLS["new"] = lambda _: text("new tool")
    say({"method": "notifications/tools/list_changed"})
    return text("grown")


TOOLS: dict[str, Callable[[str], Content]] = {
    "count": count_up,
    "echo": text,
    "environment": lambda said: text(os.environ.get(said)),
    "picture": picture,
    "kinds": kinds,
    "structured": lambda _: {"content": [], "structuredContent": {"answer": 42}},
    "fail": lambda _: {**text("it is broken"), "isError": True},
    "refuse": text,
    "die": lambda _: os._exit(3),
    "die_afterwards": lambda _: text("last words"),
    "junk": junk,
    "hang": hang,
    "ask": ask_for_more,
    "big": lambda said: text(said * 1_000_000),
    "shout": shout,
    "grow": grow,
}


def listed(cursor: str | None) -> dict[str, Any]:
    """In two pages."""
    names = list(TOOLS)[:5] if cursor is None else list(TOOLS)[5:]
    tools = [{"name": name, "description": f"Does {name}.", "inputSchema": SCHEMA} for name in names]
    return {"tools": tools, **({"nextCursor": "more"} if cursor is None else {})}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        about = {"name": "scripted", "version": "1"}
        return {"result": {"protocolVersion": params["protocolVersion"], "capabilities": {}, "serverInfo": about}}
    if method == "tools/list":
        return {"result": listed(params.get("cursor"))}
    if params["name"] == "refuse":
        return {"error": {"code": -32602, "message": "not like that"}}
    return {"result": TOOLS[params["name"]](params["arguments"]["text"])}


def main() -> None:
    sys.stdout.write("Starting up...\n")
    while True:
        message = hear()
        if "id" in message:
            params = message.get("params", {})
            say({"id": message["id"], **answer(message["method"], params)})
            if params.get("name") == "die_afterwards":
                os._exit(0)


if __name__ == "__main__":
    main()
