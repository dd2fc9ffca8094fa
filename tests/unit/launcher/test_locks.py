"""One thing at a time with each key, several with several, and no lock kept for a key that nobody uses."""

from __future__ import annotations

import threading

from envserver.launcher.locks import KeyedLocks


def test_the_same_key_waits_and_another_does_not() -> None:
    locks, order = KeyedLocks(), []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with locks.held("a"):
            order.append("second")

    with locks.held("a"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        with locks.held("b"):
            order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert locks._locks == {}
