"""What actions and observations of the tools environment look like, as JSON Schema."""

from __future__ import annotations

from environments.environment import JsonObject

_TEXT: JsonObject = {"type": "string"}
_COUNT: JsonObject = {"type": "integer", "minimum": 1}

ACTION_SCHEMA: JsonObject = {
    "oneOf": [
        {
            "type": "object",
            "description": "Call one of the episode's tools.",
            "properties": {
                "type": {"const": "call"},
                "name": {**_TEXT, "description": "The tool's"},
                "arguments": {"type": "object", "description": "As the tool's parameters say"},
            },
            "required": ["type", "name"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "description": "Answer the user. Without a user who goes on, this ends the episode and has it graded.",
            "properties": {"type": {"const": "answer"}, "text": {**_TEXT, "maxLength": 20_000}},
            "required": ["type", "text"],
            "additionalProperties": False,
        },
    ]
}

_TOOLS: JsonObject = {
    "type": "array",
    "description": "The tools that can be called; in the first observation, and whenever they have changed",
    "items": {
        "type": "object",
        "properties": {"name": _TEXT, "description": _TEXT, "parameters": {"type": "object"}},
    },
}

OBSERVATION_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "prompt": {**_TEXT, "description": "The task; in the first observation"},
        "tools": _TOOLS,
        "number": {**_COUNT, "description": "Of the call: an answer cites it as observation[number]"},
        "tool": {**_TEXT, "description": "Which tool was called"},
        "content": {**_TEXT, "description": "What it said"},
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"format": {"const": "png"}, "data": {**_TEXT, "contentEncoding": "base64"}},
            },
        },
        "page": {**_COUNT, "description": "Of a long result; `read_result` gives the others"},
        "pages": _COUNT,
        "error": {
            "type": ["string", "boolean"],
            "description": "true: the call failed, as `content` tells. A text: the action was malformed, nothing ran",
        },
        "refused": {"enum": ["budget"], "description": "Which rule kept the call from running"},
        "user": {**_TEXT, "description": "What the user says next, after an answer"},
    },
}
