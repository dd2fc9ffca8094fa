"""Keys as computer-use models name them, xdotool's way or OpenAI's, as actions of a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from environments.browser.actions import ActionError
from environments.browser.actions.keys import MAX_CHORD_KEYS, MODIFIERS, canonical, split_chord
from environments.browser.actions.members import read_text
from environments.browser.computer.screen import Screen
from environments.environment import JsonObject
from environments.protocols.hints import quoted

_WHOLE_CHORDS: Mapping[str, str] = {"iso_left_tab": "Shift+Tab"}
"""X11's names of what is no key by itself."""

SHORTCUTS: Mapping[str, JsonObject] = {
    "Alt+ArrowLeft": {"type": "back"},
    "Alt+ArrowRight": {"type": "forward"},
    "F5": {"type": "reload"},
    "Control+r": {"type": "reload"},
    "Control+t": {"type": "new_tab"},
    "Control+w": {"type": "close_tab"},
    **{f"Control+{number}": {"type": "switch_tab", "tab": number} for number in range(1, 9)},
}
"""What a browser's window does with keys, and a page never sees: ours has no window."""

MAX_PRESSES = 100
"""In one action: each may be a call to the sandbox of its own."""
MAX_NAMES = MAX_PRESSES + MAX_CHORD_KEYS - 1
"""Of OpenAI's: those that are pressed, and those that are held down with each of them."""

ANSWERS: Mapping[str, bool] = {"Enter": True, "NumpadEnter": True, "Space": True, "Escape": False}
"""What keys do to a dialog."""


def presses(chords: Sequence[str], screen: Screen, count: int = 1) -> list[JsonObject]:
    """The actions that pressing these chords one after another comes to, so many times. Raises: ActionError."""
    if len(chords) * count > MAX_PRESSES:
        raise ActionError(f"these are {len(chords) * count} keys one after another, at most {MAX_PRESSES} are allowed")
    if screen.dialog and chords and (answer := ANSWERS.get(chords[0])) is not None:
        rest = [chord for _ in range(count) for chord in chords][1:]
        return [{"type": "dialog", "accept": answer}, *presses(rest, replace(screen, dialog=False))]
    if len(chords) == 1 and count > 1 and chords[0] not in SHORTCUTS:
        return [{"type": "press", "key": chords[0], "count": count}]
    return [dict(SHORTCUTS.get(chord, {"type": "press", "key": chord})) for _ in range(count) for chord in chords]


def chords_of_text(text: Any) -> list[str]:
    """xdotool's: `ctrl+a`, or several one after another, `Down Down Return`. Raises: ActionError."""
    read = read_text("text", text)
    if read.isspace():
        return ["Space"]
    if not (parts := read.split()):
        raise ActionError("text names no key; name one, such as Return or ctrl+a")
    return [_chord(split_chord(part)) for part in parts]


def chords_of_names(names: Any) -> list[str]:
    """OpenAI's: `["CTRL", "A"]` are pressed together, `["DOWN", "DOWN"]` one after another. Raises: ActionError."""
    if not isinstance(names, list) or not names:
        raise ActionError("keys must be a list of names of keys, at least one")
    parts = [part for name in names for part in _split_name(read_text("a name in keys", name))]
    keys = [_key(part) for part in parts]
    held = [key for key in keys if key in MODIFIERS]
    pressed = [key for key in keys if key not in MODIFIERS]
    return [_joined([*held, key]) for key in pressed] or [_joined(held)]


def modifiers(*values: Any) -> JsonObject:
    """Keys that are held down during a click, in either way of writing, as a member of an action; none for None.

    Raises: ActionError.
    """
    held = dict.fromkeys(key for value in values for key in _held(value))
    return {"modifiers": list(held)} if held else {}


def _held(value: Any) -> list[str]:
    if value is None or value in ("", []):
        return []
    parts = [part for each in (value if isinstance(value, list) else [value]) for part in _split_name(each)]
    keys = [_key(part) for part in parts]
    for key in keys:
        if key not in MODIFIERS:
            raise ActionError(f"{quoted(key)} cannot be held during a click; {', '.join(MODIFIERS)} can")
    return keys


def _split_name(name: Any) -> list[str]:
    text = read_text("a key", name)
    return [text] if text in ("+", " ") else split_chord(text.strip())


def _chord(parts: Sequence[str]) -> str:
    return _joined([_key(part) for part in parts])


def _joined(keys: Sequence[str]) -> str:
    """A letter beside Control or Alt is the key: models write it in either case."""
    *held, last = keys
    if held and "Shift" not in held and len(last) == 1:
        last = last.lower()
    return "+".join([*held, last])


def _key(name: str) -> str:
    key = _WHOLE_CHORDS.get(name.lower()) or canonical(name)
    if key is None:
        raise ActionError(f"there is no key {quoted(name)}; keys are called such as Return, Tab, Page_Down, ctrl, a")
    return key
