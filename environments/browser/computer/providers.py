"""What differs between providers of computer use, behind one face: whose actions an episode takes is its option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from environments.browser.actions import Viewport
from environments.browser.computer import anthropic, openai
from environments.browser.computer.screen import Screen
from environments.environment import JsonObject


@dataclass(frozen=True)
class Provider:
    """How one provider's models use a computer."""

    tool: Callable[[Screen], JsonObject]
    """The entry in a request's `tools`, as the provider's own models know it; the newest version of it."""
    tool_schema: Callable[[Screen], JsonObject]
    """The same as a function with parameters, for any other model."""
    call_schema: Callable[[], JsonObject]
    """Of all that a call may hold, whatever the size of the screen."""
    parts: Callable[[JsonObject], list[JsonObject]]
    """The single actions of one call, in their order. Raises: ActionError."""
    read: Callable[[JsonObject, Screen], list[JsonObject]]
    """The browser's own actions that one of these comes to. Raises: ActionError."""
    mistaken: Callable[[Any], str]
    """How the browser environment wants what is the provider's action without its frame; nothing for anything else."""


PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider(
        tool=lambda screen: anthropic.tool(anthropic.VERSIONS[0], screen),
        tool_schema=anthropic.tool_schema,
        call_schema=lambda: anthropic.tool_schema(Screen.of(Viewport(1, 1), {}))["parameters"],
        parts=lambda call: [call],
        read=anthropic.read,
        mistaken=anthropic.mistaken,
    ),
    "openai": Provider(
        tool=lambda screen: openai.tool(openai.VERSIONS[0], screen),
        tool_schema=openai.tool_schema,
        call_schema=openai.call_schema,
        parts=openai.parts,
        read=openai.read,
        mistaken=openai.mistaken,
    ),
}


def action_schemas() -> list[JsonObject]:
    """JSON Schemas of the action `computer`, one a provider."""
    return [
        _schema(f"As {name}'s models do, in an episode with the option computer: {name}.", provider)
        for name, provider in PROVIDERS.items()
    ]


def _schema(description: str, provider: Provider) -> JsonObject:
    call = provider.call_schema()
    return {
        **call,
        "description": f"Use the mouse and the keyboard, by what is seen. {description}",
        "properties": {"type": {"const": "computer"}, **call["properties"]},
        "required": ["type", *call.get("required", ())],
        "additionalProperties": False,
    }
