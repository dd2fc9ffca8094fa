"""How long the client waits for what (every phase has a limit; none is infinite), and whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Timeouts:
    """Seconds."""

    connect_s: float = 10.0
    """One attempt to connect."""
    reconnect_s: float = 120.0
    """How long calls survive without any connection, or with a server that is shutting down, before they fail
    (`ConnectionFailed`, `ShuttingDown`). A restart of the server has to fit in."""
    call_s: float = 60.0
    """An ordinary call."""
    create_s: float = 600.0
    """Whatever begins or wakes a world: waiting for capacity, being sent away and coming again, and starting."""
    step_s: float = 3600.0
    """A step, with the grading that a submit brings; a checkpoint or a rest, which wait for the running step."""
    wait_s: float = 60.0
    """One wait at the server for a step; then the client asks again by the step's name."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise ValueError(f"{field.name} is {value}, must be positive and finite")


@dataclass(frozen=True)
class Tls:
    """For `https://` servers. There is no way to go on without verifying."""

    ca_file: Path | str | None = None
    """Authorities to trust instead of the machine's, PEM."""
    cert_file: Path | str | None = None
    """A certificate of one's own, with its key in the same file or in `key_file`, for a server that asks for one."""
    key_file: Path | str | None = None

    def context(self) -> ssl.SSLContext:
        """Raises: OSError, ssl.SSLError for files that cannot be used."""
        import ssl

        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def is_untrusted(error: BaseException | None) -> bool:
    """Whether a connection failed since its other end is not trusted, which trying again does not change."""
    import ssl

    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
