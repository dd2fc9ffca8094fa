"""Names of keys: those that the browser's driver knows, and what others call the same keys.

Playwright's names are the browser's own (KeyboardEvent's `key` and `code`); a chord is joined by `+`, modifiers first:
`Control+a`, `Shift+Tab`, `Control++`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from environments.protocols.hints import nearest, quoted

MODIFIERS = ("Alt", "Control", "Meta", "Shift")
MAX_CHORD = 64
MAX_CHORD_KEYS = 6

NAMED = (
    *MODIFIERS,
    *"Enter Tab Escape Backspace Delete Insert Home End PageUp PageDown".split(),
    *"ArrowUp ArrowDown ArrowLeft ArrowRight Space ContextMenu CapsLock NumLock ScrollLock Pause PrintScreen".split(),
    *(f"F{number}" for number in range(1, 13)),
)  # fmt: skip
"""What a policy is told of."""

_CODES = (
    *(f"{name}{side}" for name in MODIFIERS for side in ("Left", "Right")),
    *(f"Key{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    *(f"Digit{digit}" for digit in range(10)),
    *(f"Numpad{digit}" for digit in range(10)),
    *"NumpadDivide NumpadMultiply NumpadSubtract NumpadAdd NumpadDecimal NumpadEnter".split(),
    *"Backquote Minus Equal Backslash BracketLeft BracketRight Semicolon Quote Comma Period Slash AltGraph".split(),
    *"AudioVolumeMute AudioVolumeDown AudioVolumeUp MediaTrackNext MediaTrackPrevious MediaPlayPause".split(),
)
_CHARACTERS = frozenset(map(chr, range(0x20, 0x7F)))
_SHIFTED = str.maketrans(
    "abcdefghijklmnopqrstuvwxyz1234567890-=[]\\;',./`", 'ABCDEFGHIJKLMNOPQRSTUVWXYZ!@#$%^&*()_+{}|:"<>?~'
)
KEYS = frozenset((*NAMED, *_CODES, "ControlOrMeta")) | _CHARACTERS

_OTHERS = """
Control ctrl ctl control_l control_r
Alt option opt alt_l alt_r
Shift shift_l shift_r
Meta cmd command super win windows super_l super_r meta_l meta_r
AltGraph iso_level3_shift mode_switch
Enter return linefeed
NumpadEnter kp_enter
Escape esc
Space spacebar kp_space
Tab kp_tab
Delete del kp_delete
Insert ins kp_insert
Home kp_home
End kp_end
PageUp page_up pgup prior kp_page_up kp_prior
PageDown page_down pgdn pgdown next kp_page_down kp_next
ArrowUp up kp_up
ArrowDown down kp_down
ArrowLeft left kp_left
ArrowRight right kp_right
ContextMenu menu
CapsLock caps_lock
NumLock num_lock
ScrollLock scroll_lock
PrintScreen print
+ plus kp_add
- minus kp_subtract
* asterisk kp_multiply
/ slash kp_divide
. period dot kp_decimal
= equal kp_equal
_ underscore
, comma
\\ backslash
| bar
; semicolon
: colon
' apostrophe
" quotedbl
` grave
~ asciitilde
[ bracketleft
] bracketright
{ braceleft
} braceright
< less
> greater
? question
! exclam
@ at
# numbersign
$ dollar
% percent
^ asciicircum
& ampersand
( parenleft
) parenright
"""
"""A key, and what else it is called: by people and models, and by X11, whose names xdotool takes."""

ALIASES: Mapping[str, str] = {
    **{name.lower(): name for name in (*_CODES, *NAMED)},
    **{f"kp_{digit}": str(digit) for digit in range(10)},
    **{alias: line.split()[0] for line in _OTHERS.strip().splitlines() for alias in line.split()[1:]},
}
"""By their lower-case form. `slash` is the character and not the code of the key: it is what is meant everywhere."""


def canonical(name: str) -> str | None:
    """The driver's name of a key, whoever's name this is; None for none."""
    if name in KEYS:
        return name
    return ALIASES.get(name.lower())


def split_chord(text: str) -> list[str]:
    """As the driver does it: a `+` where a name should begin is the key itself. `Control++` is two keys."""
    parts, name = [], ""
    for character in text:
        if character == "+" and name:
            parts.append(name)
            name = ""
        else:
            name += character
    return [*parts, name]


def as_pressed(text: str) -> str:
    """The chord with what its keys give while Shift is held: the driver takes `a` for `a` whatever is held."""
    *held, last = split_chord(text)
    if "Shift" in held and len(last) == 1:
        last = last.translate(_SHIFTED)
    return "+".join([*held, last])


def chord_problem(text: str) -> str | None:
    """Why the driver would not press this, in words for the policy."""
    parts = split_chord(text)
    if len(parts) > MAX_CHORD_KEYS:
        return f"{quoted(text)} is {len(parts)} keys at once: at most {MAX_CHORD_KEYS}"
    for part in parts:
        if part not in KEYS:
            return f"there is no key {quoted(part)}{_hint(part, parts)}"
    return None


def _hint(name: str, chord: Sequence[str]) -> str:
    if not name:
        return ": name a key, such as Enter, a, Control+a"
    if meant := canonical(name):
        whole = "+".join(canonical(part) or part for part in chord)
        return f": it is called {quoted(meant)}{f', so {quoted(whole)}' if len(chord) > 1 else ''}"
    if near := dict.fromkeys(canonical(each) for each in nearest(name, (*NAMED, "Return", "Ctrl", "PgUp", "PgDn"))):
        return f"; did you mean {' or '.join(map(quoted, near))}?"
    if len(name) == 1:
        return ": it is on no keyboard; use the action 'type' for it"
    return "; a key is one character, or a name such as Enter, Tab, ArrowDown, F5; for words use the action 'type'"
