"""What a host's name means to a browser: an address in one of its many spellings, this machine, or a plain name."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import unquote

MAX_HOST = 253

LOCAL_NAMES = frozenset(
    "localhost localhost6 ip6-localhost ip6-loopback broadcasthost metadata metadata.goog instance-data".split()
)
LOCAL_DOMAINS = (".localhost", ".localdomain", ".localdomain6", ".internal")
"""Names of this machine, of its network, and of what a cloud tells its machines."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_UNSEEN = re.compile("[\u00ad\u034f\u180b-\u180e\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]")
"""What a browser drops from a name: it cannot be seen."""
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def as_browsers_see(host: str) -> str:
    """A host with all of its disguises off: escapes, wide and unseen characters, other dots. Not to be gone to."""
    text = _UNSEEN.sub("", unquote(host)).translate(_DOTS)
    return unicodedata.normalize("NFKC", text).casefold().translate(_DOTS)


def inner_address_problem(host: str) -> str | None:
    """Why nothing may go to this host, were it served or allowed; None for a name, and for a plain public address."""
    name = host.removesuffix(".")
    if host.startswith("["):
        return _ipv6_problem(host.strip("[]"))
    if name in LOCAL_NAMES or f".{name}".endswith(LOCAL_DOMAINS):
        return "is a name of this machine or its network"
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return None
    number = _ipv4_number(name.split("."))
    if number is None:
        return None  # no browser takes it
    address = ipaddress.IPv4Address(number)
    if str(address) != host:
        return f"is another way to write the address {address}"
    return None if _is_public(address) else "is an address of this machine or of a private network"


def name_problem(host: str) -> str | None:
    """Why a host is no plain one, as the end of a sentence about its address."""
    if not host:
        return "has no host"
    if host.startswith("["):
        return None if _ipv6(host[1:-1]) is not None and host.endswith("]") else "has a malformed host"
    if not host.isascii() or "%" in host:
        return "has a host that is not plain ASCII: write it as a browser shows it, xn--…"
    if host.endswith("."):
        return "has a host that ends with a dot"
    if len(host) > MAX_HOST or not _NAME.fullmatch(host.lower()):
        return "has a malformed host"
    last = host.rpartition(".")[2]
    if _NUMBER.fullmatch(last) and _ipv4_number(host.split(".")) is None:
        return "has a malformed host"
    return None


def _ipv4_number(labels: list[str]) -> int | None:
    """As inet_aton reads it, which is how browsers do: one to four numbers, decimal, octal or hexadecimal."""
    if len(labels) > 4:
        return None
    numbers = [_number(label) for label in labels]
    *bytes_, last = numbers
    if last is None or any(each is None or each > 0xFF for each in bytes_):
        return None
    room = 8 * (5 - len(labels))
    if last >= 1 << room:
        return None
    value = last
    for place, each in enumerate(bytes_):
        value += (each or 0) << (24 - 8 * place)
    return value


def _number(label: str) -> int | None:
    if not _NUMBER.fullmatch(label) or len(label) > 100:
        return None
    try:
        if label[:2].lower() == "0x":
            return int(label[2:] or "0", 16)
        return int(label, 8 if len(label) > 1 and label[0] == "0" else 10)
    except ValueError:  # an octal number with an 8 or 9 in it
        return None


def _ipv6(text: str) -> ipaddress.IPv6Address | None:
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None


def _ipv6_problem(text: str) -> str | None:
    address = _ipv6(text)
    if address is None:
        return None
    if not _is_public(address):
        return "is an address of this machine or of a private network"
    inner = address.ipv4_mapped or address.sixtofour or address.teredo or address in _NAT64
    return "is an address with another one in it" if inner else None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)
