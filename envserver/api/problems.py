"""From exceptions to problem documents: the one place where an error becomes something that a client sees.

Whatever is not in the closed table becomes `internal_error` without a word about what happened; that is in
the log.
"""

from __future__ import annotations

import math

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from envserver.logs import get_logger
from envserver.metrics import Metrics
from envserver.runtimes.base import SandboxError, SandboxFileError, SandboxGoneError
from envserver_sdk.errors import (
    EpisodeLost,
    FileProblem,
    InfraError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Problem,
    RequestTimeout,
    Unauthorized,
    UnsupportedMediaType,
)

MEDIA_TYPE = "application/problem+json"

_BY_STATUS: dict[int, type[Problem]] = {
    cls.status: cls
    for cls in (Unauthorized, NotFound, MethodNotAllowed, RequestTimeout, PayloadTooLarge, UnsupportedMediaType)
}

log = get_logger(__name__)


def as_problem(error: Exception) -> Problem:
    """The problem that a client is told of."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, SandboxFileError):
        return FileProblem(f"{error.path}: {error.code}", reason=error.code, path=error.path)
    if isinstance(error, SandboxGoneError):
        return EpisodeLost("the episode's sandbox has ended")
    if isinstance(error, SandboxError):
        return InfraError("the sandbox failed")
    if isinstance(error, HTTPException):
        cls = _BY_STATUS.get(error.status_code, InvalidRequest if error.status_code < 500 else InternalError)
        return cls()
    if isinstance(error, RuntimeError) and str(error).endswith("the handler is closed"):
        log.info("client_left")  # uvloop's word for an answer to a connection that was reset meanwhile
    else:
        log.error("call_defect", exc_info=error)
    return InternalError()


def encode_problem(problem: Problem, metrics: Metrics | None = None) -> bytes:
    if metrics is not None:
        metrics.problems.labels(problem.code).inc()
    return to_json(problem.document(), inf_nan_mode="null")


def problem_response(error: Exception, metrics: Metrics | None = None) -> Response:
    problem = as_problem(error)
    headers = {}
    if "retry_after_s" in problem.extra:
        headers["Retry-After"] = str(max(1, math.ceil(problem.extra["retry_after_s"])))
    if isinstance(problem, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, HTTPException) and error.headers and "Allow" in error.headers:
        headers["Allow"] = error.headers["Allow"]
    return Response(encode_problem(problem, metrics), problem.status, headers, MEDIA_TYPE)
