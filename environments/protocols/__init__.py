"""Reads tool calls from what a model writes, in any of the common formats, and puts results into the same format.

`protocol.py` holds the contract, `registry.py` the list; each format has a file of its own. A text format is a
`Reading` (the walk over its markers) and a `TextProtocol` around it; `schema.py` and `jsontext.py` say what a call
may hold.
"""

from environments.protocols.messages import Picture
from environments.protocols.protocol import PROBLEMS, Call, FormatProblem, Protocol, Result, ToolSchema, Turn
from environments.protocols.registry import PROTOCOLS, protocol

__all__ = [
    "protocol",
    "Protocol",
    "ToolSchema",
    "Turn",
    "Call",
    "Result",
    "Picture",
    "FormatProblem",
    "PROBLEMS",
    "PROTOCOLS",
]
