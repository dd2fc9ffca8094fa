"""An environment driven by a model's own words: calls are carried out in order, mistakes are told, counted and paid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from environments.environment import Artifacts, Environment, EnvironmentSpec, JsonObject, StepContext, Transition
from environments.protocols import Call, Turn, protocol
from environments.spoken import SpokenEnvironment, speaking, speaking_again
from environments.tasks import GraderSpec, Task, TaskSet
from envserver.runtimes.base import Sandbox
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox

TASK = Task("t", "Count to three.", GraderSpec("answer"))
STEP = StepContext(timeout_s=5.0)


class CountEnvironment(Environment):
    """Adds numbers up; a sum of 100 ends it."""

    spec = EnvironmentSpec(
        name="count",
        description="Counts",
        image="busybox",
        action_schema={
            "oneOf": [
                {
                    "description": "Add a number.",
                    "properties": {"type": {"const": "add"}, "n": {"type": "integer"}},
                    "required": ["type", "n"],
                },
                {"properties": {"type": {"const": "hang"}}, "required": ["type"]},
                {"properties": {"type": {"const": "draw"}}, "required": ["type"]},
                {"properties": {"type": {"const": "fetch"}, "urls": {"type": "integer"}}, "required": ["type", "urls"]},
                {"description": "Have it graded.", "properties": {"type": {"const": "submit"}}, "required": ["type"]},
            ]
        },
        observation_schema={},
    )

    def __init__(self) -> None:
        self.total = 0
        self.timeouts_s: list[float] = []

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return {}

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[JsonObject, JsonObject]:
        if options:
            raise ValueError(f"unknown options {sorted(options)}")
        return {"prompt": task.prompt}, {"seed": seed}

    async def step(self, action: Any, context: StepContext) -> Transition:
        self.timeouts_s.append(context.timeout_s)
        kind = action.get("type") if isinstance(action, dict) else None
        if kind == "submit":
            return Transition({}, submitted=True)
        if kind == "hang":
            return Transition({"error": "it took too long"}, outcome=Outcome.POLICY_TIMEOUT)
        if kind == "draw":
            return Transition({"content": "a picture", "images": [{"format": "png", "data": "iVBORw=="}]})
        if kind == "fetch" and action["urls"] > 0:
            listed = min(150, action["urls"])
            info: JsonObject = {"requests": [f"{self.total}/{n}" for n in range(listed)], "last": self.total}
            self.total += 1
            left_out = {"requests_not_listed": action["urls"] - listed} if action["urls"] > listed else {}
            return Transition({"content": "fetched"}, info={**info, **left_out})
        if kind == "fetch":
            return Transition({"error": "urls is 0, must be more"}, outcome=Outcome.FORMAT_ERROR)
        if kind != "add":
            return Transition({"error": "no such action"}, outcome=Outcome.FORMAT_ERROR)
        self.total += action["n"]
        return Transition({"content": f"total {self.total}"}, reward=0.25, terminated=self.total >= 100)

    async def artifacts(self) -> Artifacts:
        return Artifacts({}, facts={"total": self.total})

    def snapshot(self) -> JsonObject:
        return {"total": self.total}

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self.total = state["total"]


async def begun(root: Path, settings: Any = "hermes") -> tuple[SpokenEnvironment, JsonObject]:
    environment, options = speaking(CountEnvironment(), {"protocol": settings})
    assert isinstance(environment, SpokenEnvironment)
    observation, info = await environment.reset(LocalSandbox(root), TASK, 3, options)
    assert info == {"seed": 3}
    return environment, observation


def say(*calls: Any, thought: str = "") -> JsonObject:
    rendered = [f"<tool_call>\n{json.dumps({'name': name, 'arguments': given})}\n</tool_call>" for name, given in calls]
    return {"type": "message", "message": "\n".join([thought, *rendered]).strip()}


async def test_the_first_observation_has_the_conversation_and_the_tools(tmp_path: Path) -> None:
    _, observation = await begun(tmp_path)
    system, user = observation["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "Count to three."})
    assert "Add a number." in system["content"]
    assert [each["function"]["name"] for each in observation["tool_schemas"]] == [
        "add",
        "hang",
        "draw",
        "fetch",
        "submit",
    ]


async def test_what_is_seen_at_first_is_shown_below_the_prompt(tmp_path: Path) -> None:
    class SightedEnvironment(CountEnvironment):
        async def reset(
            self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
        ) -> tuple[JsonObject, JsonObject]:
            images = [{"format": "webp", "data": "AAAA"}]
            return {"prompt": "Go.", "goal": "Go.", "content": "a door", "images": images}, {}

        def first_sight(self, observation: JsonObject) -> JsonObject:
            return {name: observation[name] for name in ("content", "images")}

    for settings, picture in (
        ("hermes", {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}),
        ("anthropic", {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}}),
    ):
        environment, options = speaking(SightedEnvironment(), {"protocol": settings})
        observation, _ = await environment.reset(LocalSandbox(tmp_path), TASK, 3, options)
        user = observation["messages"][-1]
        assert user == {"role": "user", "content": [{"type": "text", "text": "Go.\n\na door"}, picture]}
        assert json.dumps(observation).count("AAAA") == 1


async def test_calls_run_in_order_and_come_back_as_messages(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step(say(("add", {"n": 1}), ("add", {"n": 2})), STEP)
    assert [each["content"] for each in done.observation["observations"]] == ["total 1", "total 3"]
    told = json.dumps(done.observation["messages"])
    assert told.index("total 1") < told.index("total 3")
    assert (done.reward, done.outcome, done.terminated, done.info["format_errors"]) == (0.5, Outcome.OK, False, 0)


async def test_a_structured_action_is_still_one(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    assert (await environment.step({"type": "add", "n": 4}, STEP)).observation == {"content": "total 4"}


async def test_an_answer_without_a_call_ends_it(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step({"type": "message", "message": "It is three."}, STEP)
    assert done.submitted
    assert done.observation["messages"] == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (say(("ad", {"n": 1})), "unknown_tool"),
        (say(("add", {"n": "1"})), "wrong_arguments"),
        ({"type": "message", "message": "<tool_call>\n{'name': add}\n</tool_call>"}, "bad_json"),
        ({"type": "message", "message": 7}, "not_a_message"),
        ({"type": "message"}, "not_a_message"),
    ],
)
async def test_a_malformed_message_runs_nothing_and_is_told(tmp_path: Path, message: Any, code: str) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step(message, STEP)
    assert done.outcome is Outcome.FORMAT_ERROR
    assert done.observation["observations"] == []
    (problem,) = done.info["format_problems"]
    assert problem["code"] == code
    assert problem["message"] in "".join(each["content"] for each in done.observation["messages"])
    assert environment.snapshot()["inner"] == {"total": 0}
    assert done.info["format_errors"] == 1


async def test_a_good_call_beside_a_bad_one_runs(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step(say(("add", {"n": 1}), ("ad", {"n": 1})), STEP)
    assert (done.outcome, done.info["format_errors"]) == (Outcome.OK, 1)
    assert environment.snapshot()["inner"] == {"total": 1}


async def test_mistakes_are_paid_at_once_or_told_to_the_grader_never_both(tmp_path: Path) -> None:
    bad = say(("ad", {}))
    environment, _ = await begun(tmp_path)
    assert (await environment.step(bad, STEP)).reward == 0
    assert (await environment.artifacts()).facts == {"total": 0, "format_errors": 1}
    environment, _ = await begun(tmp_path, {"name": "hermes", "format_penalty": 0.2})
    assert (await environment.step(bad, STEP)).reward == -0.2
    assert (await environment.step(say(("add", {"n": 1}), ("ad", {})), STEP)).reward == pytest.approx(0.05)
    assert "format_errors" not in (await environment.artifacts()).facts


NOTHING = ("fetch", {"urls": 0})
"""Well-formed, and the environment refuses it."""


class CountingEnvironment(CountEnvironment):
    """Counts what it refuses by itself, as the tools environment does."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    async def step(self, action: Any, context: StepContext) -> Transition:
        done = await super().step(action, context)
        self.refused += done.outcome is Outcome.FORMAT_ERROR
        return done

    async def artifacts(self) -> Artifacts:
        return Artifacts({}, facts={"format_errors": self.refused})


async def test_what_the_environment_refuses_is_a_mistake_like_any_other(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path, {"name": "hermes", "format_penalty": 0.2})
    done = await environment.step(say(NOTHING, ("add", {"n": 1}), ("ad", {}), NOTHING), STEP)
    assert (done.outcome, done.info["format_errors"]) == (Outcome.FORMAT_ERROR, 3)
    assert done.reward == pytest.approx(0.25 - 3 * 0.2)
    refused = {"code": "wrong_arguments", "message": "fetch: urls is 0, must be more"}
    assert [each["code"] for each in done.info["format_problems"]] == ["unknown_tool", *["wrong_arguments"] * 2]
    assert done.info["format_problems"][1:] == [refused] * 2
    told = "".join(each["content"] for each in done.observation["messages"])
    assert told.count("urls is 0, must be more") == 2
    good = await environment.step(say(("add", {"n": 1})), STEP)
    assert (good.reward, good.info) == (0.25, {"format_errors": 3})


async def test_an_answer_that_the_environment_refuses_is_one_too(tmp_path: Path) -> None:
    class SternEnvironment(CountEnvironment):
        def answer(self, text: str) -> JsonObject:
            return {"type": "refused"}

    environment = SpokenEnvironment(SternEnvironment(), {"name": "hermes", "format_penalty": 0.1})
    await environment.reset(LocalSandbox(tmp_path), TASK, 3, {})
    done = await environment.step({"type": "message", "message": "It is three."}, STEP)
    assert (done.reward, done.info["format_errors"]) == (-0.1, 1)
    assert done.info["format_problems"] == [{"code": "wrong_arguments", "message": "no such action"}]


@pytest.mark.parametrize(
    ("inner", "penalty", "counted"),
    [
        (CountEnvironment, 0, 2),  # the structured one is the environment's own affair
        (CountEnvironment, 0.1, None),
        (CountingEnvironment, 0, 3),
        (CountingEnvironment, 0.1, 1),
    ],
)
async def test_no_mistake_is_counted_twice(
    tmp_path: Path, inner: type[CountEnvironment], penalty: float, counted: int | None
) -> None:
    environment = SpokenEnvironment(inner(), {"name": "hermes", "format_penalty": penalty})
    await environment.reset(LocalSandbox(tmp_path), TASK, 3, {})
    await environment.step(say(NOTHING, ("ad", {})), STEP)
    await environment.step({"type": "nonsense"}, STEP)
    assert (await environment.artifacts()).facts.get("format_errors") == counted


async def test_the_info_of_each_call_is_kept(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step(say(("fetch", {"urls": 2}), ("add", {"n": 1}), ("fetch", {"urls": 1})), STEP)
    assert done.info == {"requests": ["0/0", "0/1", "2/0"], "last": 2, "format_errors": 0}
    many = await environment.step(say(*[("fetch", {"urls": 160})] * 3, ("fetch", {"urls": 3})), STEP)
    assert len(many.info["requests"]) == 200
    assert many.info["requests_not_listed"] == 3 * 160 + 3 - 200
    one = await environment.step(say(("fetch", {"urls": 160})), STEP)
    assert (len(one.info["requests"]), one.info["requests_not_listed"]) == (150, 10)


@pytest.mark.parametrize("settings", ["openai", "anthropic", "hermes"])
async def test_a_call_after_the_end_is_answered_under_its_id(tmp_path: Path, settings: str) -> None:
    environment, _ = await begun(tmp_path, settings)
    calls = (Call("add", {"n": 100}, "call_1"), Call("add", {"n": 1}, "call_2"), Call("submit", {}, "call_3"))
    message = protocol(settings).render_turn(Turn(calls=calls))
    done = await environment.step({"type": "message", "message": message}, STEP)
    assert (done.terminated, done.submitted, len(done.observation["observations"])) == (True, False, 1)
    told = json.dumps(done.observation["messages"])
    assert told.count("did not run: the episode had ended") == 2
    if settings != "hermes":
        assert [told.count(call.call_id) for call in calls] == [1, 1, 1]
    assert done.info == {"format_errors": 0}


async def test_a_protocol_that_can_call_nothing_there_is_refused(tmp_path: Path) -> None:
    for settings in ("search_r1", "code_block"):
        with pytest.raises(ValueError, match=f"{settings} calls '.*there are 'add', 'hang'"):
            await begun(tmp_path, settings)


async def test_nothing_runs_after_the_call_that_ends_the_episode(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step(say(("add", {"n": 100}), ("add", {"n": 1})), STEP)
    assert done.terminated
    assert environment.snapshot()["inner"] == {"total": 100}


async def test_the_calls_of_a_message_share_the_steps_time(tmp_path: Path) -> None:
    inner = CountEnvironment()
    environment = SpokenEnvironment(inner, "hermes")
    await environment.reset(LocalSandbox(tmp_path), TASK, 3, {})
    done = await environment.step(say(("add", {"n": 1}), ("hang", {}), ("add", {"n": 1})), STEP)
    assert done.outcome is Outcome.POLICY_TIMEOUT
    assert inner.timeouts_s == sorted(inner.timeouts_s, reverse=True)
    assert inner.timeouts_s[0] <= STEP.timeout_s


async def test_pictures_come_once(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path)
    done = await environment.step(say(("draw", {})), STEP)
    assert json.dumps(done.observation).count("iVBORw==") == 1


async def test_results_are_numbered_for_protocols_that_cite_them(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path, "tagged")

    def call(n: int) -> JsonObject:
        return {"type": "message", "message": f'<think>hm</think><answer><tool>add{{"n": {n}}}</tool></answer>'}

    said = [(await environment.step(call(n), STEP)).observation["messages"][-1]["content"] for n in (1, 2)]
    assert [text.split("\n")[0] for text in said] == ["observation[1]: total 1", "observation[2]: total 3"]


async def test_no_two_calls_have_one_id_also_where_some_are_refused(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path, "openai")

    def call(name: str) -> JsonObject:
        said = {"type": "function", "function": {"name": name, "arguments": '{"n": 1}'}}
        return {"type": "message", "message": {"role": "assistant", "content": None, "tool_calls": [said, said]}}

    said = [(await environment.step(call(name), STEP)).observation["messages"] for name in ("ad", "add", "add")]
    ids = [message["tool_call_id"] for messages in said for message in messages]
    assert len(ids) == len(set(ids)) == 6


async def test_it_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    environment, _ = await begun(tmp_path, {"name": "tagged", "format_penalty": 0.5})
    await environment.step({"type": "message", "message": "nonsense"}, STEP)
    await environment.step({"type": "add", "n": 4}, STEP)
    twin = speaking_again(CountEnvironment(), json.loads(json.dumps(environment.snapshot())))
    twin.restore(LocalSandbox(tmp_path), TASK, environment.snapshot())
    assert twin.snapshot() == environment.snapshot()
    message = {"type": "message", "message": "more nonsense"}
    assert await twin.step(message, STEP) == await environment.step(message, STEP)


def test_without_the_option_nothing_changes() -> None:
    environment = CountEnvironment()
    assert speaking(environment, {"x": 1}) == (environment, {"x": 1})
    assert speaking_again(environment, {"total": 3}) is environment


@pytest.mark.parametrize(
    "settings",
    [
        "esperanto",
        3,
        None,
        {"name": "hermes", "format_penalty": 2},
        {"name": "hermes", "format_penalty": True},
        {"x": 1},
    ],
)
def test_a_protocol_that_is_none_is_refused(settings: Any) -> None:
    with pytest.raises(ValueError, match=r"esperanto|protocol|penalty|name"):
        speaking(CountEnvironment(), {"protocol": settings})
