"""Assistant messages as harnesses hand them over, and messages with pictures as they take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from environments.protocols.hints import quoted
from environments.protocols.jsontext import JsonError, check_unicode

REASONING = ("reasoning_content", "reasoning")
"""Where inference servers put the reasoning that they have taken out of the text."""


class Picture(NamedTuple):
    """One that a model is shown."""

    format: str
    """`png` or `webp`."""
    data: str
    """Base64."""

    @property
    def media_type(self) -> str:
        return f"image/{self.format}"


class MessageError(ValueError):
    """The message is not read. `code` is the problem's, the message is fit for the policy."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Message:
    """What an assistant's message holds."""

    text: str
    thought: str | None = None
    tool_calls: Sequence[Any] = ()


def read_message(message: Any, max_chars: int) -> Message:
    """Text, or the form of a chat completion. Raises: MessageError."""
    if isinstance(message, str):
        check_text(message, max_chars)
        return Message(message)
    members = read_members(message)
    thoughts = [members[name] for name in REASONING if isinstance(members.get(name), str)][:1]
    text, thinking = _read_content(members.get("content"))
    thought = "\n".join(filter(None, [*thoughts, *thinking])) or None
    check_text(text + (thought or ""), max_chars)
    calls = members.get("tool_calls")
    if calls is not None and not isinstance(calls, list | tuple):
        raise MessageError("not_a_message", f"'tool_calls' is {quoted(calls)}, must be a list")
    return Message(text, thought, calls or ())


def read_members(message: Any) -> Mapping[str, Any]:
    """The message as an object of the assistant's. Raises: MessageError."""
    if not isinstance(message, Mapping):
        raise MessageError("not_a_message", f"an assistant's message is a text or an object, not {quoted(message)}")
    role = message.get("role", "assistant")
    if role != "assistant":
        raise MessageError("not_a_message", f"the message's role is {quoted(role)}, must be 'assistant'")
    return message


def check_text(text: str, max_chars: int) -> None:
    """Raises: MessageError."""
    check_length(len(text), max_chars)
    try:
        check_unicode(text)
    except JsonError as error:
        raise MessageError("not_a_message", str(error)) from None


def check_length(chars: int, max_chars: int) -> None:
    """Raises: MessageError."""
    if chars > max_chars:
        raise MessageError("too_long", f"the message has {chars} characters, at most {max_chars} are read")


def block_text(block: Mapping[str, Any], member: str) -> str:
    """A content block's text. Raises: MessageError."""
    text = block.get(member)
    if not isinstance(text, str):
        raise MessageError("not_a_message", f"a block of type {quoted(block.get('type'))} needs a text {member!r}")
    return text


def read_blocks(content: Any) -> Sequence[Mapping[str, Any]]:
    """The blocks of a message's content. Raises: MessageError."""
    if not isinstance(content, list | tuple):
        raise MessageError("not_a_message", f"'content' is {quoted(content)}, must be a text or a list of blocks")
    for block in content:
        if not isinstance(block, Mapping):
            raise MessageError("not_a_message", f"a block of 'content' is {quoted(block)}, must be an object")
    return content


def with_pictures(text: str, pictures: Sequence[Picture]) -> str | list[dict[str, Any]]:
    """The content of a user message; a list of parts only where there are pictures."""
    if not pictures:
        return text
    addresses = [f"data:{picture.media_type};base64,{picture.data}" for picture in pictures]
    parts = [{"type": "image_url", "image_url": {"url": address}} for address in addresses]
    return [{"type": "text", "text": text}, *parts]


def _read_content(content: Any) -> tuple[str, list[str]]:
    if content is None or isinstance(content, str):
        return content or "", []
    texts: list[str] = []
    thinking: list[str] = []
    for block in read_blocks(content):
        kind = block.get("type")
        if kind in ("text", "output_text"):
            texts.append(block_text(block, "text"))
        elif kind == "thinking":
            thinking.append(block_text(block, "thinking"))
        elif kind == "refusal":
            texts.append(block_text(block, "refusal"))
        else:
            raise MessageError("not_a_message", f"a block of 'content' has the type {quoted(kind)}, must be 'text'")
    return "".join(texts), thinking
