"""What can be set about a protocol, checked where it is made.

A setting's name, type and default are those of the field; `docs/protocols.md` lists them, and a test holds it to this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_type_hints

from environments.protocols.hints import did_you_mean, quoted

CALLS_LIMIT = 128
"""No text is searched for more calls than this, whatever `max_calls` says: it bounds the work that a text can make."""


@dataclass(frozen=True)
class Settings:
    """Of every protocol. Raises: ValueError for what cannot be."""

    max_calls: int | None = None
    """So many calls of a message are carried out, refused ones counted; None for all of them."""
    max_chars: int = 1_000_000
    """A longer message is not read."""

    def __post_init__(self) -> None:
        if self.max_calls is not None and self.max_calls < 1:
            raise ValueError(f"max_calls is {self.max_calls}: at least 1, or null for no limit")
        if self.max_chars < 1:
            raise ValueError(f"max_chars is {self.max_chars}: at least 1")


@dataclass(frozen=True)
class TextSettings(Settings):
    """Of protocols that read calls from text."""

    stop: tuple[str, ...] = ()
    """The sampler's stop strings that it leaves out of the text, such as `</answer>`: where the text ends and one of
    these tags is open, it counts as closed."""
    end_tokens: tuple[str, ...] = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>")
    """Taken off the end of the text."""
    thought_required: bool = False
    """Report a message without a thought; it is carried out all the same."""


S = TypeVar("S", bound=Settings)


def read_settings(protocol: str, kind: type[S], members: Mapping[str, Any]) -> S:
    """The settings that JSON members stand for. Raises: ValueError, naming the member."""
    hints = get_type_hints(kind)
    known = [each.name for each in fields(kind)]
    for name in members:
        if name not in known:
            raise ValueError(f"{protocol} has no setting {quoted(name)}; {did_you_mean(name, known)}")
    return kind(**{name: _typed(name, value, hints[name]) for name, value in members.items()})


def _typed(name: str, value: Any, hint: Any) -> Any:
    if hint == tuple[str, ...]:
        if isinstance(value, list | tuple) and all(isinstance(text, str) and text for text in value):
            return tuple(value)
        raise ValueError(f"{name} is {quoted(value)}: a list of texts that are not empty")
    kinds = {int: "a whole number", int | None: "a whole number or null", bool: "true or false", str: "a text"}
    if hint not in kinds:
        return value  # the settings check it themselves
    if type(value) is hint or (hint == int | None and (value is None or type(value) is int)):
        return value
    raise ValueError(f"{name} is {quoted(value)}: {kinds[hint]}")
