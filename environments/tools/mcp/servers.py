"""Which MCP servers an episode asks for: a program in its sandbox, or a service.

    {"name": "time", "command": ["mcp-server-time"], "env": {"TZ": "UTC"}}
    {"name": "crm", "url": "https://crm.example.com/mcp"}

A service's keys are never among them: they are the operator's (operator.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MAX_SERVERS = 8
MAX_WORDS = 64
MAX_BYTES = 16_384
"""Of a command, and of its environment."""
MAX_URL = 2000
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Program:
    """An MCP server that runs in the sandbox, by the policy's rights."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """An MCP server somewhere else, by streamable HTTP."""

    name: str
    url: str
    host: str
    """As the operator allows it: `crm.example.com`, `127.0.0.1:9000`."""


def parse_servers(value: Any) -> tuple[Program | Service, ...]:
    """Raises: ValueError, naming the entry and what is wrong with it."""
    if not isinstance(value, list | tuple) or len(value) > MAX_SERVERS:
        raise ValueError(f"mcp is a list of at most {MAX_SERVERS} servers")
    servers = tuple(_parse(entry) for entry in value)
    names = [server.name for server in servers]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"mcp: two servers are called {twice[0]!r}")
    return servers


def _parse(entry: Any) -> Program | Service:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("mcp: each server has a name of letters, digits, _ and -, which begins with a letter")
    known = {"name", "url"} if "url" in entry else {"name", "command", "env"}
    if unknown := entry.keys() - known:
        raise ValueError(
            f"mcp: {name} has no member {min(map(str, unknown))[:64]!r}; it takes {', '.join(sorted(known))}, and what "
            "a service is to be sent beside a call is the operator's to say (ENVSERVER_MCP_HEADERS_FILE)"
        )
    if "url" in entry:
        return _service(name, entry["url"])
    return Program(name, _command(name, entry.get("command")), _environment(name, entry.get("env", {})))


def _command(name: str, value: Any) -> tuple[str, ...]:
    words = tuple(value) if isinstance(value, list | tuple) else ()
    if not 1 <= len(words) <= MAX_WORDS or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError(f"mcp: {name}: command is a list of 1 to {MAX_WORDS} words, the first of which is a program")
    _check_size(name, "command", "".join(words))
    return words


def _environment(name: str, value: Any) -> dict[str, str]:
    variables: dict[str, str] = {}
    for variable, text in value.items() if isinstance(value, Mapping) else [(None, None)]:
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise ValueError(f"mcp: {name}: env: {str(variable)[:64]!r} is no name of a variable")
        if not isinstance(text, str) or "\0" in text:
            raise ValueError(f"mcp: {name}: env: {variable[:64]} is no text without NUL")
        variables[variable] = text
    _check_size(name, "env", "".join([*variables, *variables.values()]))
    return variables


def _check_size(name: str, member: str, text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"mcp: {name}: {member} is no valid Unicode") from None
    if size > MAX_BYTES:
        raise ValueError(f"mcp: {name}: {member} has {size} bytes, at most {MAX_BYTES} are allowed")


def _service(name: str, url: Any) -> Service:
    wrong = ValueError(f"mcp: {name}: url is an http or https address without a user, a query or a fragment")
    if not isinstance(url, str) or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise wrong
    default = {"http": 80, "https": 443}[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return Service(name, url, shown if port in (None, default) else f"{shown}:{port}")
