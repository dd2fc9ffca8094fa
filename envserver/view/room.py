"""How much the page may hold, what of a text is shown, and what had to be left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from envserver.view.encoding import encode

DEFAULT_BYTES = 192 << 20
"""A thousand steps with 100 MB of pictures fit."""
MAX_BYTES = 480 << 20
"""A browser's strings end at 512 MiB, and the page's data is one."""
MAX_STEPS = 20_000
"""Further ones are left out, whatever they hold."""
MAX_TEXT_CHARS = 100_000
"""Of one text: what an environment shows at most. Of a longer one head and tail are shown."""

_STEERING = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {ord("\n"), ord("\t")}
"""Control characters, and those that turn the direction of writing: code must not read as other code."""
_ESCAPES = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _STEERING}


@dataclass
class Cuts:
    """What the page lacks."""

    steps: int = 0
    pictures: int = 0
    """That did not fit."""
    bad_pictures: int = 0
    """That are none."""
    texts: int = 0
    """Shown in part, or not at all."""
    characters: int = 0

    def told(self) -> list[str]:
        """In words."""
        counted = {
            "steps at the end": self.steps,
            "pictures that do not fit": self.pictures,
            "pictures that cannot be shown": self.bad_pictures,
            "texts, whole or in part": self.texts,
            "characters of those": self.characters,
        }
        return [f"{what}: {count:,}" for what, count in counted.items() if count]


@dataclass
class Room:
    """One page's."""

    max_bytes: int = DEFAULT_BYTES
    """Of its data, about: the steps' own lines come on top, some hundred bytes each."""
    cuts: Cuts = field(default_factory=Cuts)
    _used: int = 0
    _pictures: int = 0

    def text(self, text: str) -> str | None:
        """What is shown of a text; None where there is no room left."""
        if self._used >= self.max_bytes:
            self.leave_out(text)
            return None
        if len(text) > MAX_TEXT_CHARS:
            half = MAX_TEXT_CHARS // 2
            middle = text[half : len(text) - half]
            self.leave_out(middle)
            text = f"{text[:half]}\n[… {len(middle):,} characters are left out …]\n{text[-half:]}"
        shown = visible(text)
        self._used += len(encode(shown))
        return shown

    def add(self, more_bytes: int) -> None:
        """For what comes last and must not be lacking."""
        self.max_bytes += more_bytes

    def picture(self, data: str) -> bool:
        """Whether a picture fits. A quarter of the page is the texts'."""
        if self._pictures + len(data) > self.max_bytes * 3 // 4 or self._used + len(data) > self.max_bytes:
            return False
        self._pictures += len(data)
        self._used += len(data)
        return True

    def leave_out(self, text: str) -> None:
        """Count a text, or a part of one, that is not shown."""
        self.cuts.texts += 1
        self.cuts.characters += len(text)


def visible(text: str) -> str:
    """What steers is seen instead."""
    return text.translate(_ESCAPES)
