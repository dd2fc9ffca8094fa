"""The OpenAPI document: what our own body handling and the plain endpoints keep from FastAPI's eyes.

Every body is read by our own code, so each model is named here beside its route; schemas of nested models are
collected into the components when the document is made.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from envserver_sdk import models
from envserver_sdk.errors import PROBLEMS, TYPE_PREFIX

JsonObject = dict[str, Any]

_REF = "#/components/schemas/{model}"


BYTES: JsonObject = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def _content(model: type[BaseModel]) -> JsonObject:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def reads(model: type[BaseModel], *, required: bool = True) -> JsonObject:
    """`openapi_extra` of a route whose body we read ourselves."""
    return {"requestBody": {"required": required, "content": _content(model)}}


def returns(model: type[BaseModel], status: int = 200) -> dict[int | str, JsonObject]:
    """`responses` of a route that answers with encoded bytes."""
    return {status: {"description": model.__name__, "content": _content(model)}}


def _parameter(name: str, where: str, schema: JsonObject, *, required: bool = False) -> JsonObject:
    return {"name": name, "in": where, "required": required, "schema": schema}


_INDEX: JsonObject = {"type": "integer", "minimum": 1, "maximum": models.MAX_INTEGER}


def _hot_operations() -> JsonObject:
    episode = _parameter("episode_id", "path", {"type": "string"}, required=True)
    pending = returns(models.StepPending, 202)
    return {
        "/v1/episodes/{episode_id}/step": {
            "post": {
                "operationId": "step",
                "summary": "Run the step of this name, or attach to it",
                "parameters": [episode],
                **reads(models.StepRequest),
                "responses": {**returns(models.StepResult), **pending},
            }
        },
        "/v1/episodes/{episode_id}/steps/{index}": {
            "get": {
                "operationId": "get_step",
                "summary": "The record of a step",
                "parameters": [
                    episode,
                    _parameter("index", "path", _INDEX, required=True),
                    _parameter("generation", "query", _INDEX),
                    _parameter("wait_s", "query", {"type": "number", "minimum": 0, "maximum": 3600}),
                ],
                "responses": {**returns(models.StepResult), **pending},
            }
        },
        "/v1/batch/step": {
            "post": {
                "operationId": "batch_step",
                "summary": "Many steps at once; one result or problem each",
                **reads(models.BatchStep),
                "responses": returns(models.BatchStepResult),
            }
        },
    }


_PROBLEM_SCHEMA: JsonObject = {
    "title": "Problem",
    "description": "An RFC 9457 problem document; `type` is one of a closed list.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"enum": [TYPE_PREFIX + code for code in PROBLEMS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}

_MODELS: tuple[type[BaseModel], ...] = (
    models.CreateEpisode, models.EpisodeStarted, models.EpisodeList, models.EpisodeInfo, models.ResetEpisode,
    models.GradeResult, models.FileInfo, models.EnvironmentList, models.EnvironmentInfo, models.TaskList,
    models.Health, models.StepRequest, models.StepResult, models.StepPending, models.BatchStep,
    models.BatchStepResult, models.CreateCheckpoint, models.CheckpointInfo, models.CheckpointList,
    models.ForkCheckpoint, models.EpisodesStarted, models.RestoreEpisode, models.CreateGroup, models.GroupStarted,
    models.GroupInfo, models.Trajectory,
)  # fmt: skip


_ALWAYS = ("unauthorized", "internal_error")
_ON_EPISODE = ("forbidden", "not_found", "episode_closed", "episode_lost", "infra_error")
_WITH_BODY = ("invalid_request", "request_timeout", "payload_too_large", "unsupported_media_type")
_ON_STEP = ("stale_generation", "idempotency_mismatch", "wrong_step_index", "episode_ended", "episode_not_live")
_TO_BEGIN = ("idempotency_mismatch", "overloaded", "quota_exceeded", "shutting_down", "infra_error")

_BETWEEN_STEPS = (
    *_ON_EPISODE, "invalid_request", "idempotency_mismatch", "stale_generation", "episode_ended", "episode_not_live",
    "checkpoint_failed", "not_supported", "overloaded", "shutting_down",
)  # fmt: skip
_ON_CHECKPOINT = ("forbidden", "not_found", "invalid_request", "infra_error")

_PROBLEMS_OF: dict[str, tuple[str, ...]] = {
    "create": (*_WITH_BODY, *_TO_BEGIN, "forbidden", "not_found", "episode_closed"),
    "list": ("forbidden", "invalid_request"),
    "get": ("forbidden", "not_found"),
    "close": ("forbidden", "not_found", "invalid_request", "idempotency_mismatch", "overloaded", "infra_error"),
    "step": (*_ON_EPISODE, *_WITH_BODY, *_ON_STEP, "shutting_down"),
    "get_step": (*_ON_EPISODE, "invalid_request", "stale_generation"),
    "batch_step": ("forbidden", *_WITH_BODY),
    "reset": (*_ON_EPISODE, *_WITH_BODY, *_TO_BEGIN, "episode_not_live"),
    "grade": (
        *_ON_EPISODE, "invalid_request", "idempotency_mismatch", "episode_not_live", "stale_generation", "overloaded",
    ),
    "read_file": (*_ON_EPISODE, "invalid_request", "file_error", "episode_ended", "episode_not_live", "overloaded"),
    "write_file": (
        *_ON_EPISODE, *_WITH_BODY, "file_error", "idempotency_mismatch", "episode_ended", "episode_not_live",
        "overloaded",
    ),
    "pause": _BETWEEN_STEPS,
    "resume": _BETWEEN_STEPS,
    "hibernate": _BETWEEN_STEPS,
    "checkpoint": (*_BETWEEN_STEPS, *_WITH_BODY, "quota_exceeded"),
    "restore": (*_ON_EPISODE, *_WITH_BODY, *_TO_BEGIN, "episode_not_live"),
    "checkpoints": _ON_CHECKPOINT,
    "get_checkpoint": _ON_CHECKPOINT,
    "delete_checkpoint": (*_ON_CHECKPOINT, "idempotency_mismatch", "overloaded"),
    "fork": (*_ON_CHECKPOINT, *_WITH_BODY, *_TO_BEGIN, "episode_closed"),
    "create_group": (
        *_WITH_BODY, *_TO_BEGIN, *_ON_EPISODE, "checkpoint_failed", "not_supported", "episode_ended",
        "episode_not_live", "stale_generation",
    ),
    "get_group": ("forbidden", "not_found"),
    "close_group": ("forbidden", "not_found", "invalid_request", "idempotency_mismatch", "overloaded", "infra_error"),
    "trajectory": ("forbidden", "not_found", "invalid_request", "episode_not_live", "infra_error"),
    "trajectories": ("forbidden", "invalid_request", "not_supported", "infra_error"),
    "environments": ("forbidden",),
    "environment": ("forbidden", "not_found"),
    "tasks": ("forbidden", "not_found", "invalid_request"),
    "health": (),
    "metrics": ("forbidden",),
}  # fmt: skip
"""What each operation may answer beside its result; a batch's steps carry theirs inside."""

_OF_EPISODE = (
    "get", "close", "step", "get_step", "reset", "grade", "read_file", "write_file", "checkpoint", "restore", "pause",
    "resume", "hibernate", "trajectory",
)  # fmt: skip


def _problem_responses(operation: str) -> JsonObject:
    """By status, each naming the codes that come with it."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*_ALWAYS, *_PROBLEMS_OF[operation])):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {str(status): _problem(codes) for status, codes in sorted(by_status.items())}


def _problem(codes: list[str]) -> JsonObject:
    schema = {
        "allOf": [
            {"$ref": _REF.format(model="Problem")},
            {"properties": {"type": {"enum": [TYPE_PREFIX + code for code in codes]}}},
        ]
    }
    response: JsonObject = {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if {"overloaded", "quota_exceeded"} & set(codes):
        response["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}
    if "unauthorized" in codes:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


def _links() -> JsonObject:
    """Where an episode's id leads."""
    return {
        name: {"operationId": name, "parameters": {"episode_id": "$response.body#/episode_id"}} for name in _OF_EPISODE
    }


def build_openapi(app: FastAPI) -> JsonObject:
    """The whole document, cached on the application."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        document["paths"].update(_hot_operations())
        _, definitions = models_json_schema([(m, "serialization") for m in _MODELS], ref_template=_REF)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas.update(definitions["$defs"], Problem=_PROBLEM_SCHEMA)
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
        for path in document["paths"].values():
            for operation in path.values():
                _complete(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: JsonObject) -> None:
    """Give an operation its own name, its problems, and what follows from it."""
    name = operation["operationId"] = operation["operationId"].partition("_v1_")[0]
    operation["responses"].pop("422", None)
    operation["responses"].update(_problem_responses(name))
    if name == "create":
        operation["responses"]["201"]["links"] = _links()
    if name == "health":
        operation["security"] = []
        operation["responses"]["503"] = {**operation["responses"]["200"], "description": "Draining, or no runtime"}
