"""Which id a request has: its place in a series, or one that is nobody's business.

A series is what a server may have to do again: it writes the series' number down, makes its calls, and writes down
what came of them. Its k-th call has the id `number << 20 | k`, so that whoever repeats the series in the same order
gives each call its old id, and the guest agent runs it once (docs/guest-protocol.md). Loose requests, those outside of
any series, have ids from `LOOSE` upward: above every series', so that no series' acknowledgement covers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_CALL_BITS = 20
_LAST_CALL = (1 << _CALL_BITS) - 1
LOOSE = 1 << 62
MAX_SERIES = 1 << 41
"""Half of what fits below `LOOSE`: no greeting that is accepted leaves a server without numbers."""
MAX_CALLS = 50_000
"""In one series, far below what its ids allow: a greeting names each one that is kept, and has to fit in a frame."""


@dataclass(eq=False)
class _Entered:
    book: Series
    number: int
    calls: int = 0
    left: bool = False


_entered: ContextVar[tuple[_Entered, ...]] = ContextVar("_entered", default=())
"""Tasks inherit it when they begin. One entry for each `enter` around the code that runs, the innermost last."""


class Series:
    """One guest's series: numbers given out, the one that runs, those that are settled."""

    def __init__(self) -> None:
        self._greatest = 0
        self._settled = 0

    def learn(self, acknowledged: int, ids: Iterable[int]) -> None:
        """What a greeting says of the past."""
        self._settled = max(self._settled, acknowledged >> _CALL_BITS)
        numbers = (request_id >> _CALL_BITS for request_id in ids if request_id < LOOSE)
        self._greatest = max(self._greatest, self._settled, *numbers)

    def reserve(self) -> int:
        """A number above all that were ever reserved, entered or heard of."""
        self._greatest += 1
        return self._greatest

    @contextmanager
    def enter(self, number: int) -> Iterator[None]:
        """Calls of this task and of tasks begun in it are that series', from its first call on.

        What such a task asks for after this has been left is loose. Other guests' calls are not affected.
        """
        if not 0 < number < LOOSE >> _CALL_BITS:
            raise ValueError(f"{number} is no number of a series")
        self._greatest = max(self._greatest, number)
        entered = _Entered(self, number)
        token = _entered.set((*_entered.get(), entered))
        try:
            yield
        finally:
            entered.left = True
            _entered.reset(token)

    def settle(self, number: int) -> None:
        """This one and those before need not be repeated any more."""
        self._settled = max(self._settled, number)
        self._greatest = max(self._greatest, number)

    @property
    def settled(self) -> int:
        """The greatest that is; 0 for none."""
        return self._settled

    @property
    def acknowledgement(self) -> int:
        """The greatest id that a call of a settled series can have."""
        return self._settled << _CALL_BITS | _LAST_CALL

    def next_id(self) -> int | None:
        """Of the call that is made now; None when it is loose. Raises: ValueError past `MAX_CALLS`."""
        for entered in reversed(_entered.get()):
            if entered.book is self and not entered.left:
                if entered.calls == MAX_CALLS:
                    raise ValueError(f"series {entered.number} has {MAX_CALLS} calls already")
                entered.calls += 1
                return entered.number << _CALL_BITS | entered.calls
        return None
