"""The furnace's tools, as a model is shown them: name, description, and a JSON Schema of the arguments."""

from __future__ import annotations

from typing import Any

MAX_WAIT = 60


def _tool(name: str, description: str, **parameters: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object", "properties": parameters, "required": list(parameters), "additionalProperties": False,
    }  # fmt: skip
    return {"name": name, "description": description, "parameters": schema}


def _number(description: str, low: float, high: float) -> dict[str, Any]:
    return {"type": "number", "minimum": low, "maximum": high, "description": description}


TOOLS: tuple[dict[str, Any], ...] = (
    _tool("read_recipe", "What is to be done, and by which rules. Takes no time."),
    _tool("read_sensors", "All readings of this minute. Takes no time."),
    _tool(
        "set_power", "Heat with a constant share of the full power until told otherwise.",
        percent=_number("Of the full power", 0, 100),
    ),
    _tool(
        "set_ramp",
        "Let the controller move the chamber's temperature to a target at a rate, up or down, and hold it there. It "
        "goes by the median of the chamber's sensors. The workpiece follows some minutes later.",
        target_c=_number("°C", 0, 1200), rate_k_per_min=_number("Always positive", 0.1, 50),
    ),
    _tool(
        "set_door", "Open or close the door. It cools quickly when open, and must stay closed above 600 °C.",
        open={"type": "boolean", "description": "Whether it shall be open"},
    ),
    _tool(
        "wait", "Let time pass. Comes back earlier when something happens.",
        minutes={"type": "integer", "minimum": 1, "maximum": MAX_WAIT},
    ),
    _tool("finish", "Unload the workpiece now, whatever is left of the recipe, and have the run judged."),
)  # fmt: skip
