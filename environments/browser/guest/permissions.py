"""What pages ask permission for. They are given none, and DevTools has no event for it: a script in each page tells.

It says so through the console, where a page may say the same of itself; nothing depends on it but what a policy reads.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

KINDS = (
    "geolocation", "notifications", "push", "camera", "microphone", "screen", "clipboard", "midi", "bluetooth", "usb",
    "serial", "hid", "fonts", "windows", "idle",
)  # fmt: skip
"""Those of which this is told."""
MAX_ORIGIN = 300

MARK = f"asks for a permission {secrets.token_hex(8)}:"

ASKING_JS = """(() => {
  const { debug } = console, { stringify } = JSON, { apply } = Reflect, origin = window.origin;
  const tell = (kind) => { try { apply(debug, console, [MARK + stringify([kind, origin])]); } catch {} };
  const watch = (holder, name, kinds) => {
    const asked = holder && holder[name];
    if (typeof asked !== "function") return;
    const heard = { apply: (method, self, given) => {
      for (const kind of kinds(given[0] || {})) tell(kind);
      return apply(method, self, given);
    } };
    const found = Object.getOwnPropertyDescriptor(holder, name);
    if (found) Object.defineProperty(holder, name, { ...found, value: new Proxy(asked, heard) });
  };
  const of = (name) => window[name] && window[name].prototype;
  for (const [holder, name, kind] of [
    [of("Geolocation"), "getCurrentPosition", "geolocation"], [of("Geolocation"), "watchPosition", "geolocation"],
    [window.Notification, "requestPermission", "notifications"], [of("PushManager"), "subscribe", "push"],
    [of("MediaDevices"), "getDisplayMedia", "screen"], [of("Navigator"), "requestMIDIAccess", "midi"],
    [of("Clipboard"), "read", "clipboard"], [of("Clipboard"), "readText", "clipboard"],
    [of("Bluetooth"), "requestDevice", "bluetooth"], [of("USB"), "requestDevice", "usb"],
    [of("Serial"), "requestPort", "serial"], [of("HID"), "requestDevice", "hid"],
    [window, "queryLocalFonts", "fonts"], [window, "getScreenDetails", "windows"],
    [window.IdleDetector, "requestPermission", "idle"],
  ]) watch(holder, name, () => [kind]);
  watch(of("MediaDevices"), "getUserMedia", (wanted) =>
    [["video", "camera"], ["audio", "microphone"]].filter(([member]) => wanted[member]).map(([, kind]) => kind));
})()""".replace("MARK", json.dumps(MARK))


def asked_for(said: str) -> dict[str, str] | None:
    """What a line on the console tells of that; None of any other."""
    if not said.startswith(MARK):
        return None
    try:
        told: Any = json.loads(said.removeprefix(MARK))
        kind, origin = told
    except (TypeError, ValueError, RecursionError):
        return None
    if kind not in KINDS or not isinstance(origin, str):
        return None
    return {"permission": kind, "origin": origin[:MAX_ORIGIN], "answer": "declined"}
