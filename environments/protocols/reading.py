"""Walks the markers of a text in one pass, outside of thoughts.

Thoughts are `<think>...</think>` anywhere. Many chat templates open the thought themselves, so a text may begin in
the middle of one: a `</think>` that nothing opened means that everything before it was thought, calls and all.
Markers inside of a call's JSON are not seen, since the call is read as a whole before the walk goes on behind it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable

from environments.protocols.draft import Draft

THINK = ("<think>", "</think>")


def marker_pattern(markers: Iterable[str]) -> re.Pattern[str]:
    """Any of these texts, the longer ones first."""
    return re.compile("|".join(re.escape(each) for each in sorted(filter(None, markers), key=len, reverse=True)))


class Reading(ABC):
    """One pass over one text; a protocol says what its markers mean."""

    def __init__(
        self, text: str, draft: Draft, markers: re.Pattern[str], think: tuple[str, str], stop: tuple[str, ...]
    ) -> None:
        self.text = text
        self.draft = draft
        self.position = 0
        self._markers = markers
        self._think_begin, self._think_end = think
        self._stop = stop
        self._thought_until = 0
        self._has_thought = False
        self.believed = True
        """The text has been read to its end, rather than only so far."""

    def run(self) -> None:
        """Read all of the text into the draft."""
        while match := self._markers.search(self.text, self.position):
            self.outside(self.position, match.start())
            self.position = match.end()
            if match[0] == self._think_begin:
                self.at_thought()
                self._read_thought()
            elif match[0] == self._think_end:
                self._all_was_thought(match.start())
            else:
                self.at(match)
        self.outside(self.position, len(self.text))
        self.finish()
        if self._thought_until:
            self.draft.thoughts.insert(0, self.text[: self._thought_until].strip().removeprefix(self._think_begin))

    @abstractmethod
    def at(self, match: re.Match[str]) -> None:
        """Read what this marker begins; `position` is behind it, and may be moved on."""

    @abstractmethod
    def outside(self, start: int, end: int) -> None:
        """Take down what stands between markers."""

    def forget(self) -> None:  # noqa: B027  # most hold no state of their own
        """All that was read so far turned out to be thought."""

    def at_thought(self) -> None:  # noqa: B027
        """A thought begins at `position`, and will be left out of what stands around it."""

    def finish(self) -> None:  # noqa: B027
        """The text is over."""

    def disbelieve(self) -> None:
        """Read nothing from here on, unless it turns out that all of it was the thought that the template opened.

        A template opens one at most: where a thought has ended already, none is looked for.
        """
        end = -1 if self._has_thought else self._find_unopened_end()
        self.position = len(self.text) if end < 0 else end
        self.believed = end >= 0

    def made_up(self, marker: str) -> None:
        """The policy writes a result by itself, and most likely goes on from it: believe nothing of that."""
        self.draft.forgive("made_up_result", f"results are not yours to write: {marker} and all after it was not read")
        self.disbelieve()

    def skip_broken(self, closer: str) -> None:
        """Go on behind a call that could not be read: where it is closed, or where a thought ends."""
        places = [(self.text.find(closer, self.position), len(closer)), (self._find_think_end(), 0)]
        place, length = min(((place, length) for place, length in places if place >= 0), default=(len(self.text), 0))
        self.position = place + length

    def is_cut_off(self, closer: str) -> bool:
        """The sampler stops at this closer and leaves it out."""
        return closer in self._stop

    def _find_think_end(self) -> int:
        return self.text.find(self._think_end, self.position)

    def _find_unopened_end(self) -> int:
        """Where a thought ends that does not begin behind `position`."""
        start = self.position
        while (end := self.text.find(self._think_end, start)) >= 0:
            if self.text.find(self._think_begin, start, end) < 0:
                return end
            start = end + len(self._think_end)
        return -1

    def _read_thought(self) -> None:
        self._has_thought = True
        end = self._find_think_end()
        if end < 0:
            self.draft.thoughts.append(self.text[self.position :])
            self.position = len(self.text)
            if not self.is_cut_off(self._think_end):
                message = f"{self._think_begin} is never closed by {self._think_end}: all of it is a thought"
                self.draft.refuse("unclosed_tag", message)
            return
        self.draft.thoughts.append(self.text[self.position : end])
        self.position = end + len(self._think_end)

    def _all_was_thought(self, end: int) -> None:
        self._has_thought = True
        self.draft.forget()
        self.forget()
        self._thought_until = end
