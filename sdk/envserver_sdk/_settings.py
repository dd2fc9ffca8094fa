"""How long the client waits for what. Every phase has a limit; none is infinite."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Timeouts:
    """Seconds."""

    connect_s: float = 10.0
    """One attempt to connect."""
    reconnect_s: float = 120.0
    """How long calls survive without any connection before they fail with `ConnectionFailed`."""
    call_s: float = 60.0
    """An ordinary call."""
    create_s: float = 600.0
    """A create or reset: waiting for capacity, being sent away and coming again, and starting."""
    step_s: float = 3600.0
    """A step, with the grading that a submit brings."""
    wait_s: float = 60.0
    """One wait at the server for a step; then the client asks again by the step's name."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{field.name} is {value}, must be positive and finite")
