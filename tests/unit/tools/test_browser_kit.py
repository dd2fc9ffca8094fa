"""The browser as a kit, over a scripted program: what reaches it, what is told of it, what happens when it ends."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from environments.browser import plays
from environments.environment import JsonObject, StepContext, Transition
from environments.showing import as_text
from environments.tasks import GraderSpec, Task
from environments.tools.environment import ToolsEnvironment
from environments.tools.tasks.errands import Errands
from envserver.runtimes.base import CommandResult, Ending, Output, SandboxError
from envserver_sdk.models import CheckpointKind, Outcome
from tests.unit.browser.scripted_program import Answer
from tests.unit.browser.test_environment import SEEN, Box, ShopPlay, asks, done

TASK = Task("t", "Buy it.", GraderSpec("checks"), public={"tools": ["browser"]}, hidden={"play": "test"})
STEP = StepContext(timeout_s=30)
PNG = b"\x89PNG some pixels"


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> ShopPlay:
    made = ShopPlay()
    monkeypatch.setattr("environments.tools.kits.browser.make_play", lambda task, seed, obstacles: made)
    return made


async def begun(*answers: Answer, task: Task = TASK, **options: Any) -> tuple[ToolsEnvironment, Box]:
    environment, box = ToolsEnvironment(), Box(*answers)
    await environment.reset(box, task, 7, options)  # type: ignore[arg-type]  # as much of one as is used
    return environment, box


async def call(environment: ToolsEnvironment, name: str, **arguments: Any) -> Transition:
    return await environment.step({"type": "call", "name": name, "arguments": arguments}, STEP)


def operations(box: Box) -> list[str]:
    return [heard["op"] for heard in box.session.heard]


async def test_a_providers_computer_is_the_browser_environments_alone(play: ShopPlay) -> None:
    with pytest.raises(ValueError, match="'computer' must be left out"):
        await begun(browser={"computer": "anthropic"})


async def test_the_first_call_begins_it_and_is_done(play: ShopPlay) -> None:
    environment, box = await begun(done(), done(observation={**SEEN, "title": "Bought"}), done())
    assert box.opened == 0
    transition = await call(environment, "browser_click", ref="e1")
    assert operations(box) == ["begin", "act"]
    assert box.session.heard[1]["action"] == {"type": "click", "ref": "e1"}
    assert transition.observation == {
        "number": 1,
        "tool": "browser_click",
        "content": 'url: http://shop.test/\ntitle: Bought\n\n- button "Buy" [ref=e1]',
        "browser": {"url": "http://shop.test/", "title": "Bought"},
    }
    await call(environment, "browser_back")
    assert operations(box) == ["begin", "act", "act"]
    assert as_text(transition.observation) == transition.observation["content"], "and not twice"


async def test_beginning_and_action_share_the_steps_time(play: ShopPlay, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("environments.tools.kits.browser.time.monotonic", lambda: now)
    environment, box = await begun(done(), done())
    begin = box.session.call

    async def slow(message: bytes, **given: Any) -> CommandResult:
        nonlocal now
        now += 20
        return await begin(message, **given)

    monkeypatch.setattr(box.session, "call", slow)
    await call(environment, "browser_click", ref="e1")
    assert box.session.heard[1]["timeout_s"] == 10


async def test_what_a_page_asks_for_is_in_the_steps_info_and_what_it_changes_in_the_verdict(play: ShopPlay) -> None:
    environment, _ = await begun(done(), asks("http://shop.test/buy", method="POST"), done())
    transition = await call(environment, "browser_click", ref="e1")
    assert transition.info["requests"] == [{"method": "POST", "url": "http://shop.test/buy", "status": 200}]
    await environment.step({"type": "answer", "text": "yes"}, STEP)
    facts = (await environment.artifacts()).facts
    assert [(check["name"], check["passed"]) for check in facts["checks"]] == [("bought", True), ("answered", True)]
    assert "reward" not in facts


async def test_an_answer_that_says_so_gives_up(play: ShopPlay) -> None:
    environment, _ = await begun()
    await environment.step({"type": "answer", "text": "Infeasible: there is none."}, STEP)
    said: list[bool] = []
    play.checks = lambda answer, *, infeasible: said.append(infeasible) or []  # type: ignore[method-assign,func-returns-value]
    await environment.artifacts()
    assert said == [True]


async def test_the_prompt_is_the_plays_with_how_to_give_up(play: ShopPlay) -> None:
    environment = ToolsEnvironment()
    observation, _ = await environment.reset(Box(), TASK, 7, {})  # type: ignore[arg-type]
    assert observation["prompt"] == (
        "Buy one. There is no action infeasible here: to say so, give an answer that begins with the word infeasible."
    )
    assert "browser_click" in {tool["name"] for tool in observation["tools"]}
    assert not {"browser_answer", "browser_infeasible"} & {tool["name"] for tool in observation["tools"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "does not say where"), ({"ref": "e1", "type": "goto"}, "no argument 'type'"), ({"ref": 3}, "ref")],
)
async def test_arguments_that_do_not_fit_reach_no_browser(play: ShopPlay, arguments: JsonObject, message: str) -> None:
    environment, box = await begun()
    transition = await call(environment, "browser_click", **arguments)
    assert (transition.outcome, box.opened) == (Outcome.FORMAT_ERROR, 0)
    assert message in transition.observation["error"]


async def test_an_address_that_nobody_asks_for_by_mistake_is_an_escape_and_worth_nothing(play: ShopPlay) -> None:
    environment, _ = await begun(done(), done())
    transition = await call(environment, "browser_goto", url="file:///etc/passwd")
    assert transition.outcome is Outcome.ESCAPE_ATTEMPT
    assert transition.info["detectors"][0]["detector"] == "scheme_refused"
    assert (await environment.artifacts()).facts["reward"] == 0.0


async def test_pictures_are_shown(play: ShopPlay) -> None:
    images = [{"format": "png", "data": base64.b64encode(PNG).decode()}]
    environment, _ = await begun(
        done(), done(observation={**SEEN, "images": images}), browser={"observe": ["screenshot"]}
    )
    transition = await call(environment, "browser_back")
    assert transition.observation["images"] == images


DEAD = CommandResult(Ending.EXITED, Output(), Output(), 0.01, exit_code=1)


LATE = CommandResult(Ending.TIMEOUT, Output(), Output(), 30.0, signal=9)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (DEAD, Outcome.POLICY_KILLED),
        (SandboxError("it does not run"), Outcome.POLICY_KILLED),
        (LATE, Outcome.POLICY_TIMEOUT),
    ],
)
async def test_one_that_has_ended_is_begun_again_by_the_next_call_which_does_nothing_else(
    play: ShopPlay, end: CommandResult | SandboxError, outcome: Outcome
) -> None:
    answers = [done(), asks("http://shop.test/buy", method="POST"), done(), end, done(), done()]
    environment, box = await begun(*answers, tools=["browser", "files"])
    await call(environment, "browser_click", ref="e1")
    lost = await call(environment, "browser_click", ref="e1")
    assert (lost.outcome, lost.truncated, box.session.closed) == (outcome, False, True)
    again = await call(environment, "browser_click", ref="e1")
    assert again.outcome is Outcome.OK
    assert "was begun again" in again.observation["content"]
    assert again.observation["error"] is True
    after = await call(environment, "browser_click", ref="e1")
    assert after.observation["content"].startswith("url: ")
    assert [op for op in operations(box) if op != "answers"] == ["begin", "act", "act", "begin", "act"]
    assert play.shop.bought == 1


@pytest.mark.parametrize(
    ("end", "outcome"),
    [(DEAD, Outcome.INFRA_ERROR), (SandboxError("it does not run"), Outcome.EPISODE_LOST)],
)
async def test_where_no_code_of_the_policys_runs_its_end_is_ours(
    play: ShopPlay, end: CommandResult | SandboxError, outcome: Outcome
) -> None:
    environment, _ = await begun(done(), end)
    assert (await call(environment, "browser_click", ref="e1")).outcome is outcome


BROKEN = {"done": {"observation": {"url": 3}}}


@pytest.mark.parametrize("end", [DEAD, BROKEN, SandboxError("there are no processes left")])
async def test_one_that_cannot_be_begun_beside_code_is_the_policys_doing_and_begun_by_the_next_call(
    play: ShopPlay, end: CommandResult | SandboxError | dict[str, Any]
) -> None:
    environment, box = await begun(end, done(), done(), tools=["browser", "files"])
    failed = await call(environment, "browser_click", ref="e1")
    assert (failed.outcome, failed.observation["error"], box.session.closed) == (Outcome.POLICY_KILLED, True, True)
    assert "could not be begun" in failed.observation["content"]
    assert "was begun again" in (await call(environment, "browser_click", ref="e1")).observation["content"]
    assert (await call(environment, "browser_click", ref="e1")).outcome is Outcome.OK


async def test_one_that_cannot_be_begun_alone_is_a_failure_of_ours(play: ShopPlay) -> None:
    environment, _ = await begun(DEAD, done(), done())
    with pytest.raises(SandboxError, match="did not begin"):
        await call(environment, "browser_click", ref="e1")
    assert (await call(environment, "browser_click", ref="e1")).outcome is Outcome.OK


async def test_a_successor_goes_on_where_it_was(play: ShopPlay, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, box = await begun(done(), asks("http://shop.test/buy", method="POST"), done(), done())
    await call(environment, "browser_click", ref="e1")
    state = environment.snapshot()
    fresh = ShopPlay()
    monkeypatch.setattr("environments.tools.kits.browser.make_play", lambda task, seed, obstacles: fresh)
    successor = ToolsEnvironment()
    successor.restore(box, TASK, state)  # type: ignore[arg-type]
    assert fresh.shop.bought == 1
    await call(successor, "browser_back")
    assert operations(box)[-1] == "act"
    assert box.opened == 1


async def test_a_page_that_is_its_own_judge_is_not_opened_beside_tools() -> None:
    task = Task(
        "m", "", GraderSpec("checks"), public={"tools": ["browser"]}, hidden={"play": "miniwob", "page": "click-test"}
    )
    with pytest.raises(ValueError, match="its own judge"):
        await ToolsEnvironment().reset(Box(), task, 1, {})  # type: ignore[arg-type]


async def test_a_task_that_is_not_the_browsers_has_no_sites_and_no_verdict() -> None:
    task = Task("t", "Look it up.", GraderSpec("answer"), public={"tools": ["calculator"]})
    environment, box = await begun(done(), done(), task=task, tools=["browser", "calculator"])
    await call(environment, "browser_back")
    assert box.session.heard[0]["url"] == "about:blank"
    assert "checks" not in (await environment.artifacts()).facts


def test_an_episode_with_a_browser_needs_more_and_replays() -> None:
    task = Errands().get("spending/1")
    needs = ToolsEnvironment.needs(task, {})
    assert needs.checkpoints == {CheckpointKind.REPLAY}
    assert needs.limits.memory_bytes >= 2 << 30
    assert needs.limits.shm_bytes >= 256 << 20
    usual = ToolsEnvironment.needs(Task("t", "", GraderSpec("answer"), public={"tools": ["python"]}), {})
    assert usual.checkpoints == frozenset(CheckpointKind)
    assert usual.limits == ToolsEnvironment.spec.limits


def test_a_browsers_task_cannot_do_without_it() -> None:
    with pytest.raises(ValueError, match="cannot do without the kit 'browser'"):
        ToolsEnvironment.needs(Errands().get("spending/1"), {"tools": ["python"]})


def test_errands_are_the_worlds_and_of_the_browsers_plays() -> None:
    errands = Errands()
    assert len(errands.task_ids()) == 100
    assert all(errands.get(each).hidden["play"] in plays._PLAYS for each in errands.task_ids())
