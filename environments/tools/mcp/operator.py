"""What the operator of this server lets MCP services be: hosts that may be reached, and what they are sent.

An episode names an address; whether this server calls it is not the episode's to say. Nothing is allowed until
ENVSERVER_MCP_HOSTS lists it, a host's name never leads to a private address, and what authorises a call is bound to
the host that it is for, so that no episode can have it sent elsewhere.
"""

from __future__ import annotations

import ipaddress
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class NotAllowedError(ValueError):
    """The operator does not allow this; the message says what would."""


@dataclass(frozen=True)
class Operator:
    """Fixed while the server runs."""

    hosts: frozenset[str] = frozenset()
    """`crm.example.com`, `crm.example.com:8443`, `10.0.0.5:9000`."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By host: sent with each request to it."""

    @classmethod
    def of(cls, hosts: str, headers_file: Path | None) -> Operator:
        """As the configuration has it. Raises: ValueError, OSError."""
        listed = frozenset(host.strip().lower() for host in hosts.split(",") if host.strip())
        headers = _read_headers(headers_file) if headers_file else {}
        if unknown := sorted(headers.keys() - listed):
            raise ValueError(f"{headers_file}: {unknown[0]!r} is not in ENVSERVER_MCP_HOSTS")
        return cls(listed, headers)

    def check_host(self, host: str) -> None:
        """Raises: NotAllowedError."""
        if host.lower() not in self.hosts:
            listed = f"it lists {', '.join(sorted(self.hosts))}" if self.hosts else "it is empty"
            raise NotAllowedError(
                f"this server may not call {host[:200]}: ENVSERVER_MCP_HOSTS must list it, and {listed}"
            )

    def check_address(self, name: str, address: str) -> None:
        """Where the name of an allowed host leads: an address that is not everybody's is only reached by itself.

        Raises: NotAllowedError.
        """
        literal = name.strip("[]").lower()
        if address != literal and not ipaddress.ip_address(address).is_global:
            raise NotAllowedError(f"{name} leads to {address}, a private address: it must be listed and called as that")


def _read_headers(path: Path) -> dict[str, dict[str, str]]:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        raise ValueError(f"{path} holds keys, and others may read or change it: chmod 640")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{path} is no JSON") from None
    if not isinstance(found, dict) or not all(
        isinstance(headers, dict) and all(isinstance(text, str) for text in headers.values())
        for headers in found.values()
    ):
        raise ValueError(f"{path} maps hosts to headers: " + '{"crm.example.com": {"Authorization": "Bearer ..."}}')
    return {host.lower(): dict(headers) for host, headers in found.items()}


_current = Operator()


def configure(operator: Operator) -> None:
    """Once, when the server starts."""
    global _current  # a server has one operator
    _current = operator


def current() -> Operator:
    return _current
