"""Simulated users: who says what is wanted next, after the policy's answer.

A task describes its user in `hidden["user"]`; one without has a user who asks once and is content with any answer.

    {"turns": [{"text"}, ...]}                                what is said after each answer, whatever that was
    {"kind": "model", "instructions", "max_turns"?: 10}       a language model plays the user, by these instructions

Which model that is, is the operator's to say (`UserModelSettings`). What it says is part of the step's observation, so
a step that has ended never asks it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from environments.environment import JsonObject
from environments.tasks import Task
from envserver.runtimes.base import SandboxError

DONE = "###DONE###"
"""What a model that plays a user says when there is nothing more to say."""
MAX_SAID_CHARS = 4000
"""Of an answer of the policy's, as the model is shown it."""
MAX_REPLY_CHARS = 8000
DEFAULT_TURNS = 10

RULES = f"""\
You play a person who talks to an assistant. Stay in your role, say one short message at a time, as that person would \
write it, and nothing else. Do not help the assistant with what you cannot know. When your request is met, or it is \
clear that it will not be, answer {DONE} and nothing else.

Who you are and what you want:

"""


class UserUnavailableError(SandboxError):
    """The model that plays the user does not answer: part of the world failed, through no fault of the policy."""


class UserModelSettings(BaseSettings):
    """The model that plays users, from `ENVSERVER_USER_*`: any endpoint that speaks OpenAI's chat completions."""

    model_config = SettingsConfigDict(env_prefix="ENVSERVER_USER_", frozen=True, extra="ignore")

    url: str | None = None
    """Up to and with `/v1`. Without it, tasks whose user is a model are refused."""
    model: str = ""
    api_key: SecretStr | None = None
    timeout_s: float = Field(default=30.0, gt=0)
    """Of one reply, all attempts together: a step's margin for what is not the policy's has to hold it."""
    attempts: int = Field(default=3, ge=1)
    pause_s: float = Field(default=0.5, ge=0)
    """Between two attempts, doubled each time."""
    max_tokens: int = Field(default=500, ge=1)
    """Of one reply."""
    temperature: float = Field(default=0.0, ge=0)


class User(ABC):
    """One episode's. Begins a conversation and goes on with it."""

    @abstractmethod
    async def begin(self) -> str:
        """What is wanted first. Raises: UserUnavailableError."""

    @abstractmethod
    async def reply(self, turn: int, said: str) -> str | None:
        """What is said to the policy's answer in the `turn`-th turn, from 1; None when all is said.

        Raises: UserUnavailableError.
        """

    def snapshot(self) -> JsonObject:
        """What decides the next reply, as JSON."""
        return {}

    def restore(self, state: JsonObject) -> None:  # noqa: B027  # most have no state
        """Go on from a snapshot."""


class ScriptedUser(User):
    """Says one thing after the other, whatever it is answered."""

    def __init__(self, prompt: str, turns: Sequence[Mapping[str, Any]] = ()) -> None:
        self._lines = [prompt, *(turn["text"] for turn in turns)]

    async def begin(self) -> str:
        return str(self._lines[0])

    async def reply(self, turn: int, said: str) -> str | None:
        return str(self._lines[turn]) if turn < len(self._lines) else None


class ModelUser(User):
    """A language model. `messages` is the conversation as it sees it: what it said itself is the assistant's part."""

    def __init__(
        self, settings: UserModelSettings, instructions: str, prompt: str, seed: int, max_turns: int = DEFAULT_TURNS
    ) -> None:
        self._settings = settings
        self._rules = RULES + instructions
        self._prompt = prompt
        self._seed = seed
        self._max_turns = max_turns
        self._messages: list[JsonObject] = []

    async def begin(self) -> str:
        said = self._prompt or await self._ask([*self._messages, _message("user", "(The conversation begins.)")])
        self._messages.append(_message("assistant", said))
        return said

    async def reply(self, turn: int, said: str) -> str | None:
        if turn >= self._max_turns:
            return None
        messages = [*self._messages, _message("user", said[:MAX_SAID_CHARS] or "(The assistant says nothing.)")]
        reply = await self._ask(messages)
        if DONE in reply:
            return None
        self._messages = [*messages, _message("assistant", reply)]
        return reply

    def snapshot(self) -> JsonObject:
        return {"messages": list(self._messages)}

    def restore(self, state: JsonObject) -> None:
        self._messages = list(state["messages"])

    async def _ask(self, messages: Sequence[JsonObject]) -> str:
        settings = self._settings
        body = {
            "model": settings.model,
            "messages": [_message("system", self._rules), *messages],
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "seed": _seed(self._seed, len(messages)),
        }
        try:
            async with asyncio.timeout(settings.timeout_s):
                return await _insist(settings, body)
        except TimeoutError as error:
            message = f"the model that plays the user took longer than {settings.timeout_s:g} s"
            raise UserUnavailableError(message) from error


def user_of(task: Task, seed: int) -> User:
    """The user that a task describes. Raises: ValueError for one that this node cannot play."""
    described = task.hidden.get("user", {})
    if described.get("kind", "scripted") == "scripted":
        return ScriptedUser(task.prompt, described.get("turns", ()))
    if described["kind"] != "model":
        raise ValueError(f"the user of task {task.task_id} is of kind {described['kind']!r}, must be scripted or model")
    settings = UserModelSettings()
    if settings.url is None:
        raise ValueError(f"task {task.task_id} has a user that a model plays: ENVSERVER_USER_URL has to say which")
    return ModelUser(settings, described["instructions"], task.prompt, seed, described.get("max_turns", DEFAULT_TURNS))


async def _insist(settings: UserModelSettings, body: JsonObject) -> str:
    """As many attempts as are granted. Raises: UserUnavailableError."""
    for attempt in range(1, settings.attempts + 1):
        try:
            return await _complete(settings, body)
        except UserUnavailableError as error:
            if attempt == settings.attempts:
                message = f"the model that plays the user failed {attempt} times, at last: {error}"
                raise UserUnavailableError(message) from error
        await asyncio.sleep(settings.pause_s * 2 ** (attempt - 1))
    raise AssertionError("there is at least one attempt")


async def _complete(settings: UserModelSettings, body: JsonObject) -> str:
    """One attempt. Raises: UserUnavailableError."""
    import httpx

    headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}
    url = f"{(settings.url or '').rstrip('/')}/chat/completions"
    try:
        async with httpx.AsyncClient(verify=_certificates(), timeout=None) as client:
            response = await client.post(url, json=body, headers=headers)
        response.raise_for_status()
        text = response.json()["choices"][0]["message"]["content"]
    except httpx.HTTPError as error:
        raise UserUnavailableError(f"{type(error).__name__}: {error}"[:300]) from error
    except (ValueError, LookupError, TypeError) as error:
        raise UserUnavailableError(f"its answer is none: {error!r}"[:300]) from error
    if not isinstance(text, str) or not text.strip():
        raise UserUnavailableError("it said nothing")
    return text.strip()[:MAX_REPLY_CHARS]


@cache
def _certificates() -> ssl.SSLContext:
    """Made once: it takes tens of milliseconds, and the event loop waits for it."""
    import httpx

    return httpx.create_ssl_context()


def _message(role: str, content: str) -> JsonObject:
    return {"role": role, "content": content}


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")
