"""Simulated users: scripted, and played by a model at an endpoint of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from environments.tasks import GraderSpec, Task
from environments.tools.users import DONE, ModelUser, UserModelSettings, UserUnavailableError, user_of
from tests.chat_stub import ChatStub, Messages, chat_stub


def task(prompt: str = "Book a table.", **user: Any) -> Task:
    return Task("t", prompt, GraderSpec("world"), hidden={"user": user} if user else {})


def model_user(stub: ChatStub, prompt: str = "Book a table.", **settings: Any) -> ModelUser:
    made = UserModelSettings(url=stub.url, model="m", **{"pause_s": 0.0, **settings})
    return ModelUser(made, "You are Ada.", prompt, seed=7)


@contextmanager
def failing_stub() -> Iterator[str]:
    """An endpoint that fails with a document that looks like a reply."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = json.dumps({"choices": [{"message": {"content": "try later"}}]}).encode()
            self.send_response(503)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_task_without_a_user_asks_once() -> None:
    user = user_of(task(), 0)
    assert await user.begin() == "Book a table."
    assert await user.reply(1, "Done.") is None


async def test_a_scripted_user_goes_on_whatever_is_said() -> None:
    user = user_of(task(turns=[{"text": "For two."}, {"text": "At eight."}]), 0)
    said = [await user.begin(), *[await user.reply(turn, "What?") for turn in (1, 2, 3)]]
    assert said == ["Book a table.", "For two.", "At eight.", None]


async def test_a_model_sees_the_conversation_from_its_side() -> None:
    with chat_stub(lambda messages: f"reply {len(messages)}") as stub:
        user = model_user(stub)
        assert await user.begin() == "Book a table."
        assert await user.reply(1, "For how many?") == "reply 3"
        assert await user.reply(2, "When?") == "reply 5"
    sent = stub.requests[-1]
    assert (sent["path"], sent["model"], sent["max_tokens"]) == ("/v1/chat/completions", "m", 500)
    assert "You are Ada." in sent["messages"][0]["content"]
    assert [(each["role"], each["content"]) for each in sent["messages"][1:]] == [
        ("assistant", "Book a table."),
        ("user", "For how many?"),
        ("assistant", "reply 3"),
        ("user", "When?"),
    ]
    assert stub.requests[0]["seed"] != stub.requests[1]["seed"]


async def test_a_model_begins_where_the_task_has_no_first_words() -> None:
    with chat_stub(lambda _: " Good day. ") as stub:
        assert await model_user(stub, prompt="").begin() == "Good day."


async def test_the_conversation_ends_when_the_model_says_so_or_its_turns_are_used_up() -> None:
    with chat_stub(lambda messages: DONE if "Booked." in messages[-1]["content"] else "And?") as stub:
        user = model_user(stub)
        await user.begin()
        assert await user.reply(1, "One moment.") == "And?"
        assert await user.reply(2, "Booked.") is None
        asked = len(stub.requests)
        assert await user.reply(10, "One moment.") is None
        assert len(stub.requests) == asked


async def test_another_server_goes_on_with_the_conversation() -> None:
    with chat_stub(lambda messages: str(len(messages))) as stub:
        user = model_user(stub)
        await user.begin()
        await user.reply(1, "For how many?")
        restored = model_user(stub)
        restored.restore(json.loads(json.dumps(user.snapshot())))
        assert await restored.reply(2, "When?") == await user.reply(2, "When?") == "5"


async def test_a_failure_is_tried_again_and_then_is_no_fault_of_the_policys() -> None:
    answers: list[str | int] = [500, "", "At last.", 500, 500, 500]

    def answer(_: Messages) -> str | int:
        return answers.pop(0)

    with chat_stub(answer) as stub:
        user = model_user(stub)
        await user.begin()
        assert await user.reply(1, "x") == "At last."
        with pytest.raises(UserUnavailableError, match="failed 3 times"):
            await user.reply(2, "x")
    assert answers == []


async def test_what_an_endpoint_says_beside_a_failure_is_no_reply() -> None:
    with failing_stub() as url:
        user = ModelUser(UserModelSettings(url=url, model="m", attempts=1), "", "Hello.", seed=0)
        await user.begin()
        with pytest.raises(UserUnavailableError, match="503"):
            await user.reply(1, "x")


async def test_a_model_that_takes_too_long_is_given_up() -> None:
    over = threading.Event()

    def answer(_: Messages) -> str:
        over.wait(20)
        return "late"

    with chat_stub(answer) as stub:
        user = model_user(stub, timeout_s=0.2)
        await user.begin()
        with pytest.raises(UserUnavailableError, match=r"longer than 0\.2 s"):
            await user.reply(1, "x")
        over.set()


async def test_the_operators_key_and_endpoint_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_stub(lambda _: "Yes.") as stub:
        monkeypatch.setenv("ENVSERVER_USER_URL", stub.url)
        monkeypatch.setenv("ENVSERVER_USER_API_KEY", "a-key")
        user = user_of(task(kind="model", instructions="You are Ada."), 0)
        assert await user.reply(1, "x") == "Yes."
    assert stub.headers[0]["authorization"] == "Bearer a-key"


def test_users_that_this_node_cannot_play_are_refused() -> None:
    with pytest.raises(ValueError, match="ENVSERVER_USER_URL"):
        user_of(task(kind="model", instructions=""), 0)
    with pytest.raises(ValueError, match="must be scripted or model"):
        user_of(task(kind="actor"), 0)
