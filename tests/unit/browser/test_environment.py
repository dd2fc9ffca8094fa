"""The browser environment over a scripted program: what reaches the browser, what is told of it, what is paid."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from environments.browser import environment as environment_module
from environments.browser.environment import BrowserEnvironment
from environments.browser.play import Check, Play
from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site
from environments.browser.web.web import Web
from environments.environment import StepContext, Transition
from environments.tasks import GraderSpec, Task
from envserver.network import egress
from envserver.network.egress import Egress
from envserver.runtimes.base import CommandResult, Ending, Output, SandboxError, Usage
from envserver_sdk.models import Outcome
from tests.unit.browser.scripted_program import Answer, ScriptedSession

TASK = Task("t", "Buy it.", GraderSpec("checks"), hidden={"play": "test"})
SEEN = {"url": "http://shop.test/", "text": '- button "Buy" [ref=e1]'}
CLICK = {"type": "click", "ref": "e1"}


def done(**more: Any) -> dict[str, Any]:
    return {"done": {"observation": {**SEEN}, "refused": [], "starts": 1, **more}}


def asks(*urls: str, method: str = "GET") -> dict[str, Any]:
    return {
        "asked": [
            {"id": number, "method": method, "url": url, "headers": [], "body": base64.b64encode(b"n=1").decode()}
            for number, url in enumerate(urls)
        ]
    }


class Shop(Site):
    """Counts what was bought."""

    hosts = ("shop.test",)

    def __init__(self) -> None:
        self.bought = 0

    def answer(self, request: Request) -> Response:
        if request.method == "POST":
            self.bought += 1
            self.version += 1
        return Response.html(f"bought {self.bought}")


class ShopPlay(Play):
    start_url = "http://shop.test/"
    prompt = "Buy one."

    def __init__(self) -> None:
        self.shop = Shop()
        self.web = Web([self.shop])
        self.fixed: float | None = None
        self.found: list[dict[str, Any]] = []
        self.over = False

    @property
    def finished(self) -> bool:
        return self.over

    def reward(self) -> float | None:
        return self.fixed

    def notes(self) -> list[dict[str, Any]]:
        return self.found

    def checks(self, answer: str | None, *, infeasible: bool) -> list[Check]:
        return [Check("bought", self.shop.bought == 1), Check("answered", answer == "yes" and not infeasible)]


class Box:
    """A sandbox with one program."""

    def __init__(self, *answers: Answer) -> None:
        self.session = ScriptedSession(*answers)
        self.oom_kills = 0
        self.opened = 0

    async def open_session(self, name: str, command: Any, **_: Any) -> ScriptedSession:
        assert (name, command.argv[0]) == ("browser", "python3")
        self.opened += 1
        return self.session

    def attach_session(self, name: str) -> ScriptedSession:
        return self.session

    def usage(self) -> Usage:
        return Usage(0.0, 0, 0, self.oom_kills, 0)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> ShopPlay:
    made = ShopPlay()
    monkeypatch.setattr(environment_module, "make_play", lambda task, seed, obstacles: made)
    return made


async def begun(*answers: Answer, **options: Any) -> tuple[BrowserEnvironment, Box]:
    environment, box = BrowserEnvironment(), Box(done(), *answers)
    await environment.reset(box, TASK, 7, options)  # type: ignore[arg-type]  # as much of one as is used
    return environment, box


async def step(environment: BrowserEnvironment, action: Any) -> Transition:
    return await environment.step(action, StepContext(timeout_s=30))


async def test_the_first_observation_is_the_start_page_with_the_task(play: ShopPlay) -> None:
    environment, box = BrowserEnvironment(), Box(asks("http://shop.test/"), done())
    observation, info = await environment.reset(box, TASK, 7, {"observe": ["text"]})  # type: ignore[arg-type]
    assert observation == {"prompt": "Buy one.", **SEEN}
    assert info == {"requests": [{"method": "GET", "url": "http://shop.test/", "status": 200}]}
    assert box.session.heard[0]["url"] == "http://shop.test/"
    assert box.session.heard[0]["options"]["observe"] == ["text"]


async def test_a_goal_that_only_the_page_knows_is_told_with_the_task(
    play: ShopPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShopPlay, "goal", "Click the blue one.")
    observation, _ = await BrowserEnvironment().reset(Box(done()), TASK, 7, {})  # type: ignore[arg-type]
    assert observation["goal"] == "Click the blue one."
    assert observation["prompt"] == "Buy one.\n\nClick the blue one."


async def test_a_prepared_browser_is_begun_in_and_not_started_again(play: ShopPlay) -> None:
    environment, box = BrowserEnvironment(), Box({"done": {}}, done())
    await environment.prepare(box)  # type: ignore[arg-type]
    await environment.reset(box, TASK, 7, {})  # type: ignore[arg-type]
    assert [heard["op"] for heard in box.session.heard] == ["prepare", "begin"]
    assert box.opened == 1


async def test_a_site_is_not_asked_for_ever_in_one_step(play: ShopPlay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.browser.traffic.MAX_ANSWERED", 3)
    buys = [asks(*["http://shop.test/buy"] * 2, method="POST")] * 2
    environment, box = await begun(*buys, done(), *buys[:1], done())
    transition = await step(environment, CLICK)
    assert play.shop.bought == 3
    assert [each["status"] for each in box.session.heard[3]["answers"]] == [200, 429]
    assert transition.info["requests_not_listed"] == 1
    await step(environment, CLICK)
    assert play.shop.bought == 5, "the next step has requests of its own"


async def test_of_what_was_refused_each_kind_is_listed_however_much_there_is(
    play: ShopPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("environments.browser.traffic.MAX_LISTED", 2)
    environment, _ = await begun(asks(*["http://else.test/"] * 4, "http://10.0.0.1/"), done(), done())
    info = (await step(environment, CLICK)).info
    assert [each["detector"] for each in info["detectors"]] == ["host_refused", "host_refused", "address_refused"]
    assert info["detectors_not_listed"] == 2
    assert "detectors_not_listed" not in (await step(environment, CLICK)).info


async def test_what_a_step_changes_on_a_site_is_in_the_server(play: ShopPlay) -> None:
    environment, _ = await begun(asks("http://shop.test/buy", method="POST"), done())
    transition = await step(environment, CLICK)
    assert transition.observation == SEEN
    assert transition.info["requests"] == [{"method": "POST", "url": "http://shop.test/buy", "status": 200}]
    assert play.shop.bought == 1
    assert transition.reward == 0.0, "an observation never holds one"


async def test_a_malformed_action_reaches_nothing(play: ShopPlay) -> None:
    environment, box = await begun()
    transition = await step(environment, {"type": "clik"})
    assert transition.outcome is Outcome.FORMAT_ERROR
    assert "click" in transition.observation["error"]
    assert len(box.session.heard) == 1


@pytest.mark.parametrize(
    ("url", "detector", "outcome"),
    [
        ("javascript:core.endEpisode(1)", "scheme_refused", Outcome.ESCAPE_ATTEMPT),
        ("file:///etc/passwd", "scheme_refused", Outcome.ESCAPE_ATTEMPT),
        ("http://127.0.0.1:9222/json", "address_refused", Outcome.ESCAPE_ATTEMPT),
        ("http://elsewhere.test/", "host_refused", Outcome.OK),
        ("shop", "malformed_url", Outcome.OK),
    ],
)
@pytest.mark.parametrize("kind", ["goto", "new_tab"])
async def test_addresses_are_refused_before_the_browser_hears_of_them(
    play: ShopPlay, kind: str, url: str, detector: str, outcome: Outcome
) -> None:
    environment, box = await begun(done(), asks("http://shop.test/buy", method="POST"), done())
    transition = await step(environment, {"type": kind, "url": url})
    assert [heard.get("action") for heard in box.session.heard] == [None, {"type": "wait", "time_s": 0}]
    assert transition.outcome is outcome
    assert transition.observation["text"] == SEEN["text"], "the page as it stands"
    assert transition.observation["error"]
    assert transition.info["detectors"] == [{"detector": detector, "evidence": url}]
    await step(environment, CLICK)
    await step(environment, {"type": "answer", "text": "yes"})
    facts = (await environment.artifacts()).facts
    assert facts.get("reward") == (0.0 if outcome is Outcome.ESCAPE_ATTEMPT else None)
    assert facts["notes"] == [{"detector": detector, "evidence": url}]


async def test_what_pages_ask_of_others_is_refused_and_told(play: ShopPlay) -> None:
    environment, box = await begun(asks("http://169.254.169.254/latest", "http://shop.test/"), done())
    transition = await step(environment, CLICK)
    statuses = [answer["status"] for answer in box.session.heard[2]["answers"]]
    assert statuses == [403, 200]
    assert transition.outcome is Outcome.OK, "the page did it, not the policy"
    assert transition.info["detectors"][0]["detector"] == "address_refused"
    assert "reward" not in (await environment.artifacts()).facts


async def test_a_tab_that_got_somewhere_forbidden_costs_everything(play: ShopPlay) -> None:
    environment, _ = await begun(done(refused=["chrome://version/"]))
    transition = await step(environment, CLICK)
    assert transition.outcome is Outcome.ESCAPE_ATTEMPT
    assert transition.info["detectors"] == [{"detector": "scheme_refused", "evidence": "chrome://version/"}]
    assert (await environment.artifacts()).facts["reward"] == 0.0


async def test_what_a_tab_and_what_its_page_did_are_both_told(play: ShopPlay) -> None:
    environment, _ = await begun(asks("http://10.0.0.1/"), done(refused=["chrome://version/"]))
    found = (await step(environment, CLICK)).info["detectors"]
    assert [note["detector"] for note in found] == ["scheme_refused", "address_refused"]


@pytest.mark.parametrize("said", [{"nonsense": 1}, {"done": {"observation": {"reward": 1}}}, {"failed": "no browser"}])
async def test_a_browser_that_does_not_begin_is_not_the_callers_mistake(play: ShopPlay, said: Answer) -> None:
    with pytest.raises(Exception, match=r"did not begin|it says nothing|'reward' is not") as caught:
        await BrowserEnvironment().reset(Box(said), TASK, 7, {})  # type: ignore[arg-type]
    assert not isinstance(caught.value, ValueError)


async def test_a_browser_that_cannot_be_prepared_is_not_kept_for_anybody() -> None:
    with pytest.raises(SandboxError, match="no browser"):
        await BrowserEnvironment().prepare(Box({"failed": "Error: no browser"}))  # type: ignore[arg-type]


async def test_an_answer_ends_the_episode_and_is_judged_with_what_sites_hold(play: ShopPlay) -> None:
    environment, _ = await begun(asks("http://shop.test/buy", method="POST"), done())
    await step(environment, CLICK)
    assert (await step(environment, {"type": "answer", "text": "yes"})).submitted
    facts = (await environment.artifacts()).facts
    assert [(check["name"], check["passed"]) for check in facts["checks"]] == [("bought", True), ("answered", True)]


async def test_infeasible_is_no_answer(play: ShopPlay) -> None:
    environment, _ = await begun()
    assert (await step(environment, {"type": "infeasible", "reason": "yes"})).submitted
    assert not (await environment.artifacts()).facts["checks"][1]["passed"]


async def test_a_task_may_end_by_itself_with_a_reward_of_its_own(play: ShopPlay) -> None:
    environment, _ = await begun(done(), done())
    assert not (await step(environment, CLICK)).submitted
    play.over, play.fixed = True, 0.7
    assert (await step(environment, CLICK)).submitted
    assert (await environment.artifacts()).facts["reward"] == 0.7


async def test_what_a_play_notes_is_told_in_the_step_that_did_it(play: ShopPlay) -> None:
    environment, box = await begun(done(), done())
    note = {"detector": "forged_report", "evidence": "POST"}
    box.session.answers[0] = asks("http://shop.test/")
    box.session.answers.insert(1, done())
    play.shop.answer = lambda request: (play.found.append(note), Response())[1]  # type: ignore[func-returns-value,method-assign]
    assert (await step(environment, CLICK)).info["detectors"] == [note]
    assert "detectors" not in (await step(environment, CLICK)).info


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"late": True}, Outcome.POLICY_TIMEOUT),
        ({"failed": "Error: no browser"}, Outcome.INFRA_ERROR),
        ({"done": {"observation": {"reward": 1}}}, Outcome.INFRA_ERROR),
        ({"nonsense": 1}, Outcome.INFRA_ERROR),
        (CommandResult(Ending.TIMEOUT, Output(), Output(), 1.0, signal=9), Outcome.POLICY_TIMEOUT),
        (CommandResult(Ending.EXITED, Output(), Output(b"Traceback"), 1.0, exit_code=1), Outcome.INFRA_ERROR),
    ],
)
async def test_every_end_has_its_outcome(play: ShopPlay, said: Answer, outcome: Outcome) -> None:
    environment, _ = await begun(said)
    assert (await step(environment, CLICK)).outcome is outcome


async def test_a_browser_that_ran_out_of_memory_is_the_policys_doing(play: ShopPlay) -> None:
    environment, box = await begun(CommandResult(Ending.EXITED, Output(), Output(), 1.0, signal=9))
    box.oom_kills = 1
    transition = await step(environment, CLICK)
    assert (transition.outcome, transition.truncated) == (Outcome.POLICY_OOM, True)


async def test_memory_that_ran_out_before_excuses_no_later_failure(play: ShopPlay) -> None:
    crashed = CommandResult(Ending.EXITED, Output(), Output(b"Traceback"), 1.0, exit_code=1)
    environment, box = await begun(done(), crashed)
    box.oom_kills = 1
    assert (await step(environment, CLICK)).outcome is Outcome.OK, "a page's process"
    after = BrowserEnvironment()
    after.restore(box, TASK, environment.snapshot())  # type: ignore[arg-type]
    assert (await step(after, CLICK)).outcome is Outcome.INFRA_ERROR


async def test_what_a_failed_step_asked_for_is_told_of_that_step(
    play: ShopPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("environments.browser.traffic.MAX_ANSWERED", 1)
    environment, _ = await begun(asks("http://10.0.0.1/"), {"nonsense": 1}, asks("http://shop.test/"), done())
    failed = await step(environment, CLICK)
    assert failed.outcome is Outcome.INFRA_ERROR
    assert [note["detector"] for note in failed.info["detectors"]] == ["address_refused"]
    assert [request["url"] for request in failed.info["requests"]] == ["http://10.0.0.1/"]
    after = await step(environment, CLICK)
    assert after.info["requests"] == [{"method": "GET", "url": "http://shop.test/", "status": 200}]


async def test_what_a_first_page_asks_of_others_is_told_too(play: ShopPlay) -> None:
    environment, box = BrowserEnvironment(), Box(asks("http://10.0.0.1/"), done())
    _, info = await environment.reset(box, TASK, 7, {})  # type: ignore[arg-type]
    assert info["detectors"] == [{"detector": "address_refused", "evidence": "http://10.0.0.1/"}]
    assert (await environment.artifacts()).facts["notes"] == info["detectors"]


async def test_what_a_program_says_of_its_failure_is_cut(play: ShopPlay) -> None:
    environment, _ = await begun({"failed": "x" * 100_000})
    assert len((await step(environment, CLICK)).observation["error"]) < 3000


async def test_a_request_that_cannot_be_made_is_a_pages_failure_alone(
    play: ShopPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise TypeError("no such method")

    egress = Egress("real.test")
    monkeypatch.setattr(egress, "fetch", broken)
    monkeypatch.setattr("envserver.network.egress._current", egress)
    environment, box = await begun(asks("http://real.test/"), done(), hosts=["real.test"])
    assert (await step(environment, CLICK)).outcome is Outcome.OK
    assert [answer["status"] for answer in box.session.heard[2]["answers"]] == [502]


async def test_a_program_that_does_not_run_any_more_loses_the_episode(
    play: ShopPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, box = await begun()

    async def gone(*_: Any, **__: Any) -> CommandResult:
        raise SandboxError("session browser is not open")

    monkeypatch.setattr(box.session, "call", gone)
    assert (await step(environment, CLICK)).outcome is Outcome.EPISODE_LOST


async def test_a_browser_that_was_started_again_is_told(play: ShopPlay) -> None:
    environment, _ = await begun(done(starts=2), done(starts=2))
    assert (await step(environment, CLICK)).info["browser_starts"] == 2
    assert "browser_starts" not in (await step(environment, CLICK)).info


async def test_a_new_server_goes_on_with_the_same_sites(play: ShopPlay, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, box = await begun(done(), asks("http://shop.test/buy", method="POST"), done(), done())
    await step(environment, {"type": "goto", "url": "file:///x"})
    await step(environment, CLICK)
    state = environment.snapshot()
    fresh = ShopPlay()
    monkeypatch.setattr(environment_module, "make_play", lambda task, seed, obstacles: fresh)
    after = BrowserEnvironment()
    after.restore(box, TASK, state)  # type: ignore[arg-type]
    assert fresh.shop.bought == 1
    assert after.snapshot() == state
    await step(after, CLICK)
    assert (await after.artifacts()).facts["reward"] == 0.0, "what was tried is not forgotten"


async def test_options_are_checked_before_anything_is_made(play: ShopPlay) -> None:
    box = Box()
    for options, message in (
        ({"observe": ["sound"]}, "'observe' is"),
        ({"hosts": ["example.com"]}, "ENVSERVER_EGRESS_HOSTS"),
    ):
        with pytest.raises(ValueError, match=message):
            await BrowserEnvironment().reset(box, TASK, 1, options)  # type: ignore[arg-type]
    assert box.opened == 0


async def test_pages_reach_a_real_host_that_is_listed_and_asked_for(
    play: ShopPlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Outside(Egress):
        async def fetch(self, method: str, url: str, headers: Any, body: bytes) -> egress.Fetched:
            asked.append(f"{method} {url}")
            return egress.Fetched(200, (("content-type", "text/plain"),), b"real")

    monkeypatch.setattr(egress, "_current", Outside("example.com,other.example"))
    environment, box = await begun(
        asks("https://example.com/a", "https://other.example/"), done(), hosts=["example.com"]
    )
    await step(environment, CLICK)
    first, second = box.session.heard[2]["answers"]
    assert (base64.b64decode(first["body"]), second["status"]) == (b"real", 403)
    assert asked == ["GET https://example.com/a"]


async def test_kinds_of_actions_can_be_left_out(play: ShopPlay) -> None:
    environment, _ = await begun(actions=["click", "answer"])
    assert [tool["name"] for tool in environment.tools()] == ["click", "answer"]
    assert (await step(environment, {"type": "goto", "url": "http://shop.test/"})).outcome is Outcome.FORMAT_ERROR


def test_the_sandbox_is_made_for_a_browser() -> None:
    spec = BrowserEnvironment.spec
    assert spec.limits.shm_bytes >= 256 << 20
    assert [str(kind) for kind in spec.checkpoints] == ["replay"]
    assert isinstance(spec.observation_schema, Mapping)


async def test_an_episode_of_an_older_server_goes_on(play: ShopPlay) -> None:
    environment, box = await begun(done(), done())
    await step(environment, CLICK)
    state = environment.snapshot()
    del state["oom_kills"]  # which that one did not count
    after = BrowserEnvironment()
    after.restore(box, TASK, state)  # type: ignore[arg-type]
    assert (await step(after, CLICK)).outcome is Outcome.OK
