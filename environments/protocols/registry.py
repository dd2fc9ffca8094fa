"""The protocols that there are, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.protocols.anthropic import Anthropic
from environments.protocols.code_block import CodeBlock
from environments.protocols.hermes import Hermes
from environments.protocols.hints import did_you_mean, quoted
from environments.protocols.openai import OpenAI
from environments.protocols.protocol import Protocol
from environments.protocols.qwen3_coder import Qwen3Coder
from environments.protocols.react import ReAct
from environments.protocols.search_r1 import SearchR1
from environments.protocols.settings import read_settings
from environments.protocols.special_tokens import SpecialTokens
from environments.protocols.tagged import Tagged

PROTOCOLS: Mapping[str, type[Protocol]] = {
    kind.name: kind
    for kind in (Tagged, Hermes, Qwen3Coder, ReAct, SearchR1, OpenAI, Anthropic, CodeBlock, SpecialTokens)
}


def protocol(settings: str | Mapping[str, Any]) -> Protocol:
    """The protocol of a name, or of `{"name": ..., and its settings}`. Raises: ValueError, naming what is wrong."""
    members = {"name": settings} if isinstance(settings, str) else settings
    if not isinstance(members, Mapping) or not isinstance(members.get("name"), str):
        raise ValueError(  # noqa: TRY004  # the settings are data, of which the caller is told
            f"a protocol is a name or an object with a name, not {quoted(settings)}"
        )
    name = members["name"]
    if name not in PROTOCOLS:
        raise ValueError(f"there is no protocol {quoted(name)}; {did_you_mean(name, PROTOCOLS)}")
    kind = PROTOCOLS[name]
    given = {key: value for key, value in members.items() if key != "name"}
    return kind(read_settings(name, kind.settings_type, given))
