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


def _content(model: type[BaseModel]) -> JsonObject:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def reads(model: type[BaseModel], *, required: bool = True) -> JsonObject:
    """`openapi_extra` of a route whose body we read ourselves."""
    return {"requestBody": {"required": required, "content": _content(model)}}


def returns(model: type[BaseModel], status: int = 200) -> dict[int | str, JsonObject]:
    """`responses` of a route that answers with encoded bytes."""
    return {status: {"description": model.__name__, "content": _content(model)}}


def _parameter(name: str, where: str, kind: str, *, required: bool = False) -> JsonObject:
    return {"name": name, "in": where, "required": required, "schema": {"type": kind}}


def _hot_operations() -> JsonObject:
    episode = _parameter("episode_id", "path", "string", required=True)
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
                    _parameter("index", "path", "integer", required=True),
                    _parameter("generation", "query", "integer"),
                    _parameter("wait_s", "query", "number"),
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
    models.BatchStepResult,
)  # fmt: skip


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
        problem = {
            "description": "A problem",
            "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
        }
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem
        app.openapi_schema = document
    return app.openapi_schema
