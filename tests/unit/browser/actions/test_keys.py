"""Names of keys, the driver's and others'."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.browser.actions.keys import ALIASES, KEYS, NAMED, as_pressed, canonical, chord_problem, split_chord


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Return", "Enter"), ("ENTER", "Enter"), ("KP_Enter", "NumpadEnter"), ("ctrl", "Control"), ("CTRL", "Control"),
        ("Control_L", "Control"), ("super", "Meta"), ("cmd", "Meta"), ("Page_Down", "PageDown"), ("Prior", "PageUp"),
        ("Up", "ArrowUp"), ("ARROWLEFT", "ArrowLeft"), ("BackSpace", "Backspace"), ("space", "Space"),
        ("Esc", "Escape"), ("F5", "F5"), ("f12", "F12"), ("a", "a"), ("A", "A"), (" ", " "), ("slash", "/"),
        ("minus", "-"), ("plus", "+"), ("KP_7", "7"), ("Menu", "ContextMenu"),
        ("ISO_Left_Tab", None), ("nonsense", None), ("", None), ("é", None),
    ],
)  # fmt: skip
def test_a_key_is_known_by_everyones_names(name: str, key: str | None) -> None:
    assert canonical(name) == key


def test_every_alias_means_a_key_that_there_is() -> None:
    assert set(ALIASES.values()) <= KEYS
    assert all(alias == alias.lower() for alias in ALIASES)
    assert len(NAMED) == len(set(NAMED))


@pytest.mark.parametrize(
    ("text", "keys"),
    [("a", ["a"]), ("Control+a", ["Control", "a"]), ("+", ["+"]), ("Control++", ["Control", "+"]), ("a+", ["a", ""])],
)
def test_a_chord_is_taken_apart_as_the_driver_does_it(text: str, keys: list[str]) -> None:
    assert split_chord(text) == keys


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=6))
def test_any_keys_together_are_a_chord(keys: list[str]) -> None:
    chord = "+".join(keys)
    assert split_chord(chord) == keys
    assert chord_problem(chord) is None
    assert chord_problem(as_pressed(chord)) is None
