"""The closed table of errors: the `type` of a problem document, its HTTP status, its exception.

The server builds problem documents (RFC 9457) from this table and the SDK maps them back by it: a class is
never imported because a server named it. A `type` outside the table becomes `UnknownProblem`.
"""

from __future__ import annotations

from typing import Any, ClassVar

TYPE_PREFIX = "urn:envserver:problem:"


class EnvserverClientError(Exception):
    """Base of everything that the SDK raises on purpose."""


class ConnectionFailed(EnvserverClientError):
    """The server could not be reached within the retry budget; nothing is known of the call."""


class CallTimeout(EnvserverClientError):
    """No answer within the call's own limit; it may still be running. The same step again attaches to it."""


class Problem(EnvserverClientError):
    """A problem document. `code` and `status` are the class's; `extra` holds its other members."""

    code: ClassVar[str] = ""
    status: ClassVar[int] = 500
    title: ClassVar[str] = ""

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(f"{self.code}: {detail or self.title}")
        self.detail = detail or self.title
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The problem document, as it goes over the wire."""
        return {
            **self.extra,
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }


class InvalidRequest(Problem):
    code, status, title = "invalid_request", 422, "The request is malformed"


class NotJson(InvalidRequest, ValueError):
    """Raised here, before anything is sent: a part of it is no JSON value, such as NaN or an array."""


class Unauthorized(Problem):
    code, status, title = "unauthorized", 401, "A valid API key is required"


class Forbidden(Problem):
    """`extra["scope"]` is what the key lacks."""

    code, status, title = "forbidden", 403, "The API key does not allow this"


class NotFound(Problem):
    code, status, title = "not_found", 404, "There is no such thing"


class MethodNotAllowed(Problem):
    code, status, title = "method_not_allowed", 405, "The method is not allowed here"


class RequestTimeout(Problem):
    code, status, title = "request_timeout", 408, "The request did not arrive in time"


class IdempotencyMismatch(Problem):
    code, status, title = "idempotency_mismatch", 409, "The same name was used for another request"


class StaleGeneration(Problem):
    code, status, title = "stale_generation", 409, "The episode's world was replaced since"


class WrongStepIndex(Problem):
    """`extra["expected"]` is the index that the next step has."""

    code, status, title = "wrong_step_index", 409, "That is not the next step"


class EpisodeEnded(Problem):
    code, status, title = "episode_ended", 409, "The episode has ended"


class EpisodeNotLive(Problem):
    """`extra["state"]` says what it is instead."""

    code, status, title = "episode_not_live", 409, "The episode is not live"


class EpisodeClosed(Problem):
    code, status, title = "episode_closed", 410, "The episode is closed or has expired"


class EpisodeLost(Problem):
    code, status, title = "episode_lost", 410, "The episode's world is gone"


class CheckpointFailed(Problem):
    """The episode goes on; the detail names what stands in the way, such as a process and its descriptor."""

    code, status, title = "checkpoint_failed", 409, "The episode cannot be saved as it is"


class NotSupported(Problem):
    """`extra["capability"]` is what this server's runtime lacks."""

    code, status, title = "not_supported", 501, "This server's runtime cannot do that"


class PayloadTooLarge(Problem):
    code, status, title = "payload_too_large", 413, "The request is too large"


class UnsupportedMediaType(Problem):
    code, status, title = "unsupported_media_type", 415, "The content type is not supported"


class FileProblem(Problem):
    """`extra["reason"]` is the file error's code of docs/guest-protocol.md."""

    code, status, title = "file_error", 409, "The file cannot be read or written"


class Overloaded(Problem):
    """`extra["retry_after_s"]`, and `extra["queue_position"]` where a queue is full."""

    code, status, title = "overloaded", 429, "The node is full"


class QuotaExceeded(Problem):
    """`extra["quota"]` names it, and `extra["retry_after_s"]` is there where waiting helps."""

    code, status, title = "quota_exceeded", 429, "The tenant has used up a quota"


class InfraError(Problem):
    """Ours, and safe to retry; never to be trained on."""

    code, status, title = "infra_error", 503, "The infrastructure failed"


class ShuttingDown(Problem):
    code, status, title = "shutting_down", 503, "The server is shutting down"


class InternalError(Problem):
    code, status, title = "internal_error", 500, "A defect of the server"


class UnknownProblem(Problem):
    """A problem whose `type` this SDK does not know; `extra` holds the whole document."""

    code, status, title = "unknown", 500, "An unknown problem"


PROBLEMS: dict[str, type[Problem]] = {
    cls.code: cls
    for cls in (
        InvalidRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, RequestTimeout, IdempotencyMismatch,
        StaleGeneration, WrongStepIndex, EpisodeEnded, EpisodeNotLive, EpisodeClosed, EpisodeLost,
        CheckpointFailed, NotSupported, PayloadTooLarge, UnsupportedMediaType, FileProblem, Overloaded, QuotaExceeded,
        InfraError, ShuttingDown, InternalError,
    )
}  # fmt: skip


def problem_from_document(document: Any) -> Problem:
    """The exception for a problem document; anything unknown or malformed becomes `UnknownProblem`."""
    if not isinstance(document, dict):
        return UnknownProblem(str(document)[:500])
    kind = str(document.get("type", ""))
    detail = str(document.get("detail", ""))
    cls = PROBLEMS.get(kind.removeprefix(TYPE_PREFIX)) if kind.startswith(TYPE_PREFIX) else None
    if cls is None:
        return UnknownProblem(detail, document=document)
    known = ("type", "title", "status", "detail")
    return cls(detail, **{str(k): v for k, v in document.items() if k not in known})
