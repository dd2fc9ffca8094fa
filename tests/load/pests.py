"""Pages that do harm once their button is pressed: one spins, one leaks, one opens windows; each without an end."""

from __future__ import annotations

from typing import Any

from tests.load.own_pages import FINE, Pages

PRESS = 'button "Begin"'
NICE = "/nice"
_PAGE = "<title>{name}</title><h1>{name}</h1><button onclick='{script}'>Begin</button>"
_NICE = (
    "<title>Nice</title><h1>Nice</h1><button onclick='"
    f'fetch("/said", {{method: "POST", body: "{FINE}"}}).then(() => {{ document.title = "Said"; }})'
    "'>Begin</button>"
)
SPIN = "while (1);"
LEAK = "const held = []; setInterval(() => { held.push(new Uint8Array(32 << 20).fill(1)); }, 20);"
OPEN = 'setInterval(() => { window.open("/empty"); }, 20);'

PESTS: dict[str, Pages] = {
    name: {"/": _PAGE.format(name=name, script=script), NICE: _NICE, "/empty": "<title>Empty</title>"}
    for name, script in (("spinner", SPIN), ("leaker", LEAK), ("opener", OPEN))
}
"""Pages by task."""


def goto(path: str) -> dict[str, Any]:
    return {"type": "goto", "url": f"http://own.test{path}"}
