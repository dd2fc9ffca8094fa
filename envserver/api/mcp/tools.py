"""An episode's tools as MCP lists them, and a step's result as MCP shows it.

What a model is to read is the content; what is for whoever trains it is in `_meta`, where no model looks. There too a
client may name its step: the way in which a call can be sent again from another session.
"""

from __future__ import annotations

import json
from typing import Any

from environments.environment import Environment
from environments.showing import as_text, pictures_of
from envserver.api.mcp.messages import INVALID_PARAMS, JsonObject, RpcError
from envserver.api.parsing import parse_model
from envserver_sdk.errors import InvalidRequest
from envserver_sdk.models import Outcome, StepRequest

STEP = "envserver/step"
"""The member of `_meta`, of a call and of its result."""
NEXT = 1 << 52
ANSWER = "answer"
_ANSWER_TOOL: JsonObject = {
    "name": ANSWER,
    "description": "Give your final answer.",
    "inputSchema": {
        "type": "object",
        "properties": {"text": {"type": "string", "description": "The answer"}},
        "required": ["text"],
    },
}
_TOLD = ("outcome", "trainable", "grade")
"""Of a step's info."""


def list_tools(environment: Environment) -> list[JsonObject]:
    """What can be called now, and a tool for an answer, where none of them is the same."""
    listed = [
        {
            "name": tool["name"],
            "description": tool["description"],
            "inputSchema": {"type": "object", **tool["parameters"]},
        }
        for tool in environment.tools()
    ]
    return [*listed, _ANSWER_TOOL] if _answers(environment) else listed


def _answers(environment: Environment) -> bool:
    """Whether an answer is something of its own, and not one of the tools."""
    names = [tool["name"] for tool in environment.tools()]
    meant = environment.answer("")
    return ANSWER not in names and all(environment.call(name, {}) != meant for name in names)


def action_of(environment: Environment, name: str, arguments: JsonObject) -> Any:
    """The action that a call stands for. Raises: RpcError."""
    if name != ANSWER or not _answers(environment):
        return environment.call(name, arguments)
    text = arguments.get("text")
    if not isinstance(text, str) or len(arguments) != 1:
        raise RpcError(INVALID_PARAMS, f"{ANSWER} takes one argument, `text`, a string")
    return environment.answer(text)


class ToolCall:
    """A `tools/call`, taken apart."""

    def __init__(self, params: JsonObject) -> None:
        """Raises: RpcError."""
        name, arguments, meta = params.get("name"), params.get("arguments"), params.get("_meta", {})
        if not isinstance(name, str) or not isinstance(arguments, dict | None) or not isinstance(meta, dict):
            raise RpcError(INVALID_PARAMS, "tools/call takes `name`, a string, and `arguments`, an object")
        self.name: str = name
        self.arguments: JsonObject = arguments or {}
        self._step = meta.get(STEP, {})
        if not isinstance(self._step, dict) or self._step.keys() - {"step_index", "timeout_s", "metadata"}:
            raise RpcError(INVALID_PARAMS, f"_meta[{STEP!r}] takes `step_index`, `timeout_s` and `metadata`")

    def request(self, action: Any, generation: int) -> StepRequest:
        """The step. Its index is `NEXT` where the client does not say. Raises: RpcError."""
        given = {"step_index": NEXT, **self._step, "action": action, "generation": generation}
        try:
            return parse_model(StepRequest, given)
        except InvalidRequest as problem:
            raise RpcError(INVALID_PARAMS, problem.detail) from None


def show_step(result: bytes) -> JsonObject:
    """A step's result as that of a call."""
    step = json.loads(result)
    observation, info = step["observation"], step["info"]
    content: list[JsonObject] = [{"type": "text", "text": as_text(observation)}]
    content += [{"type": "image", "mimeType": each.media_type, "data": each.data} for each in pictures_of(observation)]
    told = {name: info[name] for name in _TOLD if name in info}
    named = {name: step[name] for name in ("step_index", "generation", "reward", "terminated", "truncated")}
    failed = info["outcome"] != Outcome.OK or observation.get("error") is True
    return {"content": content, "isError": failed, "_meta": {STEP: {**named, **told}}}
