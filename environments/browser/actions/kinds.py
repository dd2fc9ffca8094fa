"""Every kind of action: its description for a model, its members, and what they have to do with each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from environments.browser.actions.files import Files
from environments.browser.actions.keys import MODIFIERS
from environments.browser.actions.members import (
    Choice,
    Chord,
    Coordinate,
    Flag,
    Items,
    Member,
    Number,
    Point,
    Ref,
    Text,
)
from environments.browser.actions.rules import AtLeastOne, ExactlyOne, OnlyWhen, Place, Rule

MAX_TYPED = 5_000
MAX_FILLED = 100_000
MAX_URL = 8_000
MAX_QUERY = 500
MAX_ANSWER = 20_000
MAX_WAIT_S = 30.0
MAX_HOLD_S = 30.0
MAX_SCROLL = 100_000
MAX_COUNT = 100
MAX_VIA = 100
MAX_VALUES = 100
MAX_TABS = 1000
MAX_OFFSET = 1_000_000_000
BUTTONS = ("left", "middle", "right")
READABLE = ("snapshot", "html", "text", "screenshot")


@dataclass(frozen=True)
class Kind:
    description: str
    members: Mapping[str, Member]
    rules: tuple[Rule, ...] = ()


_ELEMENT = Ref("The element, by its ref in the page's text, such as e12")
_REF = Ref("The element, by its ref in the page's text, such as e12; instead of x and y", required=False)
_X = Coordinate("Pixels from the viewport's left edge; with y, instead of ref", required=False, axis="width")
_Y = Coordinate("Pixels from the viewport's top edge; with x, instead of ref", required=False, axis="height")
_PLACE: Mapping[str, Member] = {"ref": _REF, "x": _X, "y": _Y}
_FOCUS = Ref("The element that gets the keys; without it, the one that has the focus", required=False)
_BUTTON = Choice("left when left out", required=False, choices=BUTTONS)
_MODIFIER = Choice("", choices=MODIFIERS)
_MODIFIERS = Items("Keys held down meanwhile", required=False, item=_MODIFIER, high=4, distinct=True)
_KEY = Chord("A key or a chord, by the browser's names: Enter, Tab, ArrowDown, a, Control+a, Shift+Tab")
_TAB = "Tabs are numbered from 1"

KINDS: Mapping[str, Kind] = {
    # The pointer.
    "click": Kind(
        "Click an element, or a point of the viewport.",
        {
            **_PLACE,
            "button": _BUTTON,
            "count": Number("1 when left out; 2 is a double click", required=False, low=1, high=3, whole=True),
            "modifiers": _MODIFIERS,
        },
        (Place(),),
    ),
    "hover": Kind("Move the pointer over an element or a point.", {**_PLACE, "modifiers": _MODIFIERS}, (Place(),)),
    "drag": Kind(
        "Press the left button at one place, move to another, and let go there.",
        {
            **_PLACE,
            "to_ref": Ref("The element to drop on; instead of to_x and to_y", required=False),
            "to_x": Coordinate("Where to drop, from the viewport's left edge", required=False, axis="width"),
            "to_y": Coordinate("Where to drop, from the viewport's top edge", required=False, axis="height"),
            "via": Items("Points [x, y] to pass on the way", required=False, item=Point(""), high=MAX_VIA),
            "modifiers": _MODIFIERS,
        },
        (Place(), Place("to_")),
    ),
    "scroll": Kind(
        "Turn the mouse wheel over an element or a point; without either, where the pointer is.",
        {
            "dx": Number("CSS pixels to the right", required=False, low=-MAX_SCROLL, high=MAX_SCROLL),
            "dy": Number("CSS pixels down; negative is up", required=False, low=-MAX_SCROLL, high=MAX_SCROLL),
            **_PLACE,
            "modifiers": _MODIFIERS,
        },
        (AtLeastOne(("dx", "dy")), Place(optional=True)),
    ),
    "scroll_to": Kind("Scroll until an element is in view.", {"ref": _ELEMENT}),
    # The keyboard, and forms.
    "type": Kind(
        "Type a text key by key, at the end of what is there already; to replace it, use fill.",
        {
            "text": Text("What to type; a line break presses Enter", max_chars=MAX_TYPED),
            "ref": _FOCUS,
            "submit": Flag("Press Enter afterwards", required=False),
        },
    ),
    "fill": Kind(
        "Replace the whole text of a field.",
        {"ref": _ELEMENT, "text": Text("The field's new text; an empty one clears it", max_chars=MAX_FILLED)},
    ),
    "press": Kind(
        "Press a key, or several together.",
        {
            "key": _KEY,
            "ref": _FOCUS,
            "count": Number("How many times; 1 when left out", required=False, low=1, high=MAX_COUNT, whole=True),
        },
    ),
    "select": Kind(
        "Select options of a list, and only these.",
        {
            "ref": _ELEMENT,
            "values": Items("The options' labels or values", item=Text("", max_chars=MAX_QUERY), high=MAX_VALUES),
        },
    ),
    "check": Kind(
        "Check a checkbox, radio button or switch, or uncheck it.",
        {"ref": _ELEMENT, "checked": Flag("true when left out", required=False)},
    ),
    "upload": Kind(
        "Give files to a file field, or to a page that has just asked for files.",
        {
            "files": Files("The files; an empty list takes those away that are there"),
            "ref": Ref("The file field; without it, whatever asked last", required=False),
        },
    ),
    # Pages and tabs.
    "goto": Kind(
        "Open an address in the current tab.", {"url": Text("With https://", max_chars=MAX_URL, not_empty=True)}
    ),
    "back": Kind("Go one page back in the current tab.", {}),
    "forward": Kind("Go one page forward in the current tab.", {}),
    "reload": Kind("Load the current page again.", {}),
    "new_tab": Kind(
        "Open a tab and go to it.",
        {"url": Text("What it shows; empty when left out", required=False, max_chars=MAX_URL, not_empty=True)},
    ),
    "switch_tab": Kind("Go to another tab.", {"tab": Number(_TAB, low=1, high=MAX_TABS, whole=True)}),
    "close_tab": Kind(
        "Close a tab.",
        {"tab": Number(f"{_TAB}; without it, the current one", required=False, low=1, high=MAX_TABS, whole=True)},
    ),
    "dialog": Kind(
        "Answer the dialog that a page has opened (alert, confirm, prompt).",
        {
            "accept": Flag("true is OK, false is Cancel"),
            "text": Text("What a prompt asks for", required=False, max_chars=MAX_TYPED),
        },
        (OnlyWhen("text", "accept", (True,), None),),
    ),
    # Looking.
    "wait": Kind(
        "Wait for a time, or until the page shows a text, shows it no more, or has an address.",
        {
            "time_s": Number("Seconds", required=False, low=0, high=MAX_WAIT_S),
            "text": Text("Until this is seen", required=False, max_chars=MAX_QUERY, not_blank=True),
            "text_gone": Text("Until this is not seen", required=False, max_chars=MAX_QUERY, not_blank=True),
            "url": Text("Until the address contains this", required=False, max_chars=MAX_URL, not_empty=True),
        },
        (ExactlyOne(("time_s", "text", "text_gone", "url")),),
    ),
    "zoom": Kind(
        "See a picture of a part of the viewport, enlarged.",
        {
            "x": Coordinate("Its left edge", axis="width"),
            "y": Coordinate("Its top edge", axis="height"),
            "width": Number("In pixels", low=1, high=MAX_SCROLL),
            "height": Number("In pixels", low=1, high=MAX_SCROLL),
        },
    ),
    "find": Kind(
        "Find a text on the whole page, in view or not: each match with a ref.",
        {"text": Text("What to look for, in any case; or several words", max_chars=MAX_QUERY, not_blank=True)},
    ),
    "read_page": Kind(
        "See the page again, or more of it: its structure with refs, its HTML, its plain text or a picture.",
        {
            "what": Choice("snapshot when left out", required=False, choices=READABLE),
            "ref": Ref("Only this element and what is in it", required=False),
            "depth": Number("Only so many levels of the structure", required=False, low=1, high=100, whole=True),
            "interactive": Flag("Only what can be acted on", required=False),
            "offset": Number("The first character shown", required=False, low=0, high=MAX_OFFSET, whole=True),
        },
        (
            OnlyWhen("ref", "what", ("snapshot",), "snapshot"),
            OnlyWhen("depth", "what", ("snapshot",), "snapshot"),
            OnlyWhen("interactive", "what", ("snapshot",), "snapshot"),
            OnlyWhen("offset", "what", ("snapshot", "html", "text"), "snapshot"),
        ),
    ),
    # The pointer and the keyboard, one movement at a time.
    "move": Kind(
        "Move the pointer to a point.",
        {
            "x": Coordinate("Pixels from the viewport's left edge", axis="width"),
            "y": Coordinate("Pixels from the viewport's top edge", axis="height"),
            "modifiers": _MODIFIERS,
        },
    ),
    "mouse_down": Kind("Press a mouse button where the pointer is, and hold it.", {"button": _BUTTON}),
    "mouse_up": Kind("Let a mouse button go where the pointer is.", {"button": _BUTTON}),
    "key_hold": Kind(
        "Hold a key down for a time, or several together.",
        {"key": _KEY, "time_s": Number("Seconds", low=0, high=MAX_HOLD_S)},
    ),
    # The end.
    "answer": Kind(
        "End the episode: the task is done.",
        {"text": Text("The answer, where the task asks for one", required=False, max_chars=MAX_ANSWER)},
    ),
    "infeasible": Kind(
        "End the episode: the task cannot be done.",
        {"reason": Text("Why it cannot", max_chars=MAX_ANSWER, not_empty=True)},
    ),
}
"""In the order in which a model reads of them."""
