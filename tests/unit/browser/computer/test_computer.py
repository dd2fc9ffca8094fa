"""An episode with a provider's computer, over a scripted program: what one step of it comes to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from environments.browser import environment as environment_module
from environments.browser.actions import KINDS
from environments.browser.computer import computer as computer_module
from environments.browser.environment import BrowserEnvironment
from environments.environment import StepContext, Transition
from environments.protocols.schema import check_arguments
from environments.spoken import SpokenEnvironment
from envserver_sdk.models import Outcome
from tests.unit.browser.scripted_program import Answer
from tests.unit.browser.test_environment import SEEN, TASK, Box, ShopPlay, asks, done

PICTURE = {"format": "png", "data": "QUJD"}
ZOOMED = {"format": "png", "data": "REVG"}
ASKED = {"dialog": {"type": "confirm", "message": "Delete?", "default": ""}}
LOOK = {"type": "wait", "time_s": 0}


@pytest.fixture(autouse=True)
def play(monkeypatch: pytest.MonkeyPatch) -> ShopPlay:
    made = ShopPlay()
    monkeypatch.setattr(environment_module, "make_play", lambda task, seed, obstacles: made)
    return made


def saw(**more: Any) -> dict[str, Any]:
    """What the program says when an action is done."""
    return done(observation={**SEEN, "images": [PICTURE], **more})


async def begun(*answers: Answer, computer: str = "anthropic", **options: Any) -> tuple[BrowserEnvironment, Box]:
    environment, box = BrowserEnvironment(), Box(saw(), *answers)
    await environment.reset(box, TASK, 7, {"computer": computer, **options})  # type: ignore[arg-type]
    return environment, box


async def use(environment: BrowserEnvironment, *, timeout_s: float = 30, **members: Any) -> Transition:
    return await environment.step({"type": "computer", **members}, StepContext(timeout_s))


def asked_of(box: Box) -> list[dict[str, Any]]:
    """The actions that the browser was asked for."""
    return [heard["action"] for heard in box.session.heard if heard["op"] == "act"]


class TestWhatIsOffered:
    async def test_the_tool_comes_before_what_no_picture_shows(self) -> None:
        for provider in ("anthropic", "openai"):
            environment, _ = await begun(computer=provider)
            assert [tool["name"] for tool in environment.tools()] == [
                "computer", "goto", "dialog", "answer", "infeasible"
            ]  # fmt: skip

    async def test_kinds_that_are_chosen_stand_beside_it(self) -> None:
        environment, _ = await begun(actions=["upload", "answer"])
        assert [tool["name"] for tool in environment.tools()] == ["computer", "upload", "answer"]

    async def test_without_it_nothing_is_as_it_was_not(self) -> None:
        environment = BrowserEnvironment()
        await environment.reset(Box(done()), TASK, 7, {})  # type: ignore[arg-type]
        assert [tool["name"] for tool in environment.tools()] == list(KINDS)
        transition = await environment.step({"type": "computer", "action": "screenshot"}, StepContext(30))
        assert transition.outcome is Outcome.FORMAT_ERROR
        assert "computer" not in environment.snapshot()

    @pytest.mark.parametrize(
        ("options", "declared"),
        [
            ({"computer": "anthropic"}, {
                "type": "computer_20251124", "name": "computer", "display_width_px": 1280, "display_height_px": 720,
                "enable_zoom": True,
            }),
            ({"computer": "anthropic", "display": {"width": 640, "height": 360}}, {
                "type": "computer_20251124", "name": "computer", "display_width_px": 640, "display_height_px": 360,
                "enable_zoom": True,
            }),
            ({"computer": "openai"}, {"type": "computer"}),
        ],
    )  # fmt: skip
    async def test_the_providers_own_tool_is_in_the_first_observation_alone(
        self, options: dict[str, Any], declared: dict[str, Any]
    ) -> None:
        environment = BrowserEnvironment()
        observation, _ = await environment.reset(Box(saw(), saw()), TASK, 7, options)  # type: ignore[arg-type]
        assert observation["computer"] == declared
        transition = await environment.step({"type": "goto", "url": "http://shop.test/"}, StepContext(30))
        assert "computer" not in transition.observation

    async def test_the_published_schema_has_each_providers_actions(self) -> None:
        schemas = BrowserEnvironment.spec.action_schema["oneOf"]
        computers = [each for each in schemas if each["properties"]["type"]["const"] == "computer"]
        for action, fits in (
            ({"type": "computer", "action": "left_click", "coordinate": [1, 2]}, [True, False]),
            ({"type": "computer", "actions": [{"type": "click", "x": 1, "y": 2}]}, [False, True]),
            ({"type": "computer", "action": {"type": "wait"}}, [False, True]),
            ({"type": "computer", "actions": [{"type": "click", "x": 1}]}, [False, False]),
            ({"type": "computer", "action": "fly"}, [False, False]),
            ({"type": "computer"}, [False, False]),
        ):
            assert [not check_arguments(action, schema) for schema in computers] == fits
        assert [tool.name for tool in BrowserEnvironment.offer().tools] == list(KINDS)

    async def test_a_screenshot_is_seen_unless_something_else_is_chosen(self) -> None:
        _, box = await begun()
        assert box.session.heard[0]["options"]["observe"] == ["screenshot"]
        _, box = await begun(observe=["text"])
        assert box.session.heard[0]["options"]["observe"] == ["text"]


class TestOneStep:
    async def test_an_action_is_carried_out(self) -> None:
        environment, box = await begun(saw(cursor={"x": 5, "y": 6}), saw())
        transition = await use(environment, action="left_click", coordinate=[5, 6])
        assert transition.outcome is Outcome.OK
        assert transition.observation["images"] == [PICTURE]
        await use(environment, action="left_click")
        assert asked_of(box) == [{"type": "click", "x": 5, "y": 6}] * 2, "where the pointer is"

    async def test_several_are_one_step_in_their_order(self, play: ShopPlay) -> None:
        first = saw(notices=["a popup was closed"], dialogs=[{"type": "alert"}], left_out=1)
        last = saw(notices=["a page crashed"], url="http://shop.test/last", images=[ZOOMED, PICTURE])
        environment, box = await begun(
            asks("http://shop.test/buy", method="POST"), first, asks("http://shop.test/"), last, computer="openai"
        )
        transition = await use(
            environment, actions=[{"type": "click", "x": 5, "y": 6}, {"type": "keypress", "keys": ["CTRL", "A"]}]
        )
        assert asked_of(box) == [{"type": "click", "x": 5, "y": 6}, {"type": "press", "key": "Control+a"}]
        seen = transition.observation
        assert seen["url"] == "http://shop.test/last"
        assert seen["images"] == [ZOOMED], "a screen shows one picture"
        assert seen["notices"] == ["a popup was closed", "a page crashed"], "each is told once, so none is lost"
        assert (seen["dialogs"], seen["left_out"]) == ([{"type": "alert"}], 1)
        assert [each["method"] for each in transition.info["requests"]] == ["POST", "GET"]
        assert play.shop.bought == 1

    async def test_the_first_that_does_not_work_is_the_last(self) -> None:
        environment, box = await begun(saw(), saw(error="there is no page to go back to"), computer="openai")
        three = [{"type": "wait"}, {"type": "click", "button": "back", "x": 1, "y": 1}, {"type": "wait"}]
        transition = await use(environment, actions=three)
        assert [each["type"] for each in asked_of(box)] == ["wait", "back"]
        assert transition.outcome is Outcome.OK
        assert transition.observation["error"] == (
            "action 2 of 3: there is no page to go back to; those after it were not carried out"
        )
        assert transition.observation["images"] == [PICTURE]

    async def test_one_alone_is_not_counted(self) -> None:
        environment, _ = await begun(saw(error="the page crashed"))
        assert (await use(environment, action="screenshot")).observation["error"] == "the page crashed"

    async def test_nothing_comes_after_the_tasks_own_end(self, play: ShopPlay) -> None:
        environment, box = await begun(saw(), computer="openai")
        play.over = True
        assert (await use(environment, actions=[{"type": "wait"}, {"type": "wait"}])).submitted
        assert len(asked_of(box)) == 1

    async def test_nothing_comes_after_an_escape(self) -> None:
        environment, box = await begun(done(refused=["chrome://version/"]), computer="openai")
        transition = await use(environment, actions=[{"type": "wait"}, {"type": "wait"}])
        assert transition.outcome is Outcome.ESCAPE_ATTEMPT
        assert len(asked_of(box)) == 1
        assert (await environment.artifacts()).facts["reward"] == 0.0

    async def test_all_of_them_share_the_steps_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = iter([100.0, 100.0, 104.0, 112.0])
        monkeypatch.setattr(computer_module, "monotonic", lambda: next(clock))
        environment, box = await begun(saw(), saw(), {"late": True}, computer="openai")
        transition = await use(environment, actions=[{"type": "wait"}] * 4, timeout_s=10)
        limits = [heard["timeout_s"] for heard in box.session.heard if heard["op"] == "act"]
        assert limits == [10.0, 6.0, 0.1]
        assert transition.outcome is Outcome.POLICY_TIMEOUT
        assert "within 10 s" in transition.observation["error"], "of the step, not of what was left"

    async def test_keys_of_the_window_are_the_browsers(self) -> None:
        environment, box = await begun(saw(), saw(), saw())
        await use(environment, action="key", text="alt+Left")
        await use(environment, action="key", text="Down Tab")
        assert asked_of(box) == [{"type": "back"}, *({"type": "press", "key": key} for key in ("ArrowDown", "Tab"))]

    async def test_looking_asks_for_no_second_picture(self) -> None:
        environment, box = await begun(saw())
        await use(environment, action="screenshot")
        assert asked_of(box) == [LOOK]
        environment, box = await begun(saw(), observe=["text"])
        await use(environment, action="screenshot")
        assert asked_of(box) == [{"type": "read_page", "what": "screenshot"}]

    async def test_other_actions_are_as_ever(self) -> None:
        environment, box = await begun(saw(), saw())
        await environment.step({"type": "goto", "url": "http://shop.test/b"}, StepContext(30))
        transition = await environment.step({"type": "goto", "url": "file:///etc/passwd"}, StepContext(30))
        assert asked_of(box) == [{"type": "goto", "url": "http://shop.test/b"}, LOOK]
        assert transition.outcome is Outcome.ESCAPE_ATTEMPT
        assert (await environment.step({"type": "answer", "text": "yes"}, StepContext(30))).submitted


class TestSize:
    OPTIONS: Mapping[str, Any] = {"viewport": {"width": 1366, "height": 768}, "display": {"width": 683, "height": 384}}

    async def test_pictures_are_scaled_down_and_coordinates_up(self) -> None:
        environment, box = await begun(saw(), **self.OPTIONS)
        sent = box.session.heard[0]["options"]
        assert (sent["viewport"], sent["display"]) == (self.OPTIONS["viewport"], self.OPTIONS["display"])
        await use(environment, action="left_click", coordinate=[682, 383])
        assert asked_of(box) == [{"type": "click", "x": 1364, "y": 766}]
        transition = await use(environment, action="left_click", coordinate=[683, 0])
        assert "outside of the screen, which is 683 wide and 384 high" in transition.observation["error"]
        assert "683x384" in environment.tools()[0]["description"]

    async def test_the_pointer_is_told_in_the_same_pixels(self) -> None:
        environment, box = await begun(saw(cursor={"x": 1364, "y": 766}), saw(), **self.OPTIONS)
        transition = await use(environment, action="mouse_move", coordinate=[682, 383])
        assert transition.observation["cursor"] == {"x": 682, "y": 383}
        await use(environment, action="left_click")
        assert asked_of(box)[1] == {"type": "click", "x": 1364, "y": 766}

    async def test_a_part_fills_the_picture_as_far_as_that_helps(self) -> None:
        environment, box = await begun(saw(), saw(), saw(), **self.OPTIONS)
        await use(environment, action="zoom", region=[0, 0, 683, 384])
        await use(environment, action="zoom", region=[0, 0, 100, 50])
        await use(environment, action="zoom", region=[0, 0, 1, 1])
        assert [each["scale"] for each in asked_of(box)] == [0.5, 3.415, 8.0]


class TestDialogs:
    async def test_a_key_answers_the_question_that_is_open(self) -> None:
        environment, box = await begun(done(observation={**SEEN, **ASKED}), saw(), saw())
        await use(environment, action="left_click", coordinate=[1, 2])
        await use(environment, action="key", text="Return")
        await use(environment, action="key", text="Return")
        assert asked_of(box)[1:] == [{"type": "dialog", "accept": True}, {"type": "press", "key": "Enter"}]

    async def test_also_one_that_the_same_step_has_opened(self) -> None:
        environment, box = await begun(done(observation={**SEEN, **ASKED}), saw(), computer="openai")
        await use(environment, actions=[{"type": "click", "x": 1, "y": 2}, {"type": "keypress", "keys": ["ESC"]}])
        assert asked_of(box)[1:] == [{"type": "dialog", "accept": False}]

    async def test_anything_else_is_told_the_keys(self) -> None:
        environment, _ = await begun(
            done(observation={**SEEN, **ASKED}), done(observation={**SEEN, **ASKED, "error": "use the action dialog"})
        )
        await use(environment, action="left_click", coordinate=[1, 2])
        transition = await use(environment, action="screenshot")
        assert "press Enter for OK, or Escape for Cancel" in transition.observation["error"]
        assert transition.observation["dialog"] == ASKED["dialog"]


@pytest.mark.parametrize(
    ("provider", "action", "message"),
    [
        ("anthropic", {"type": "computer"}, "the member 'action' is missing; it is one of"),
        ("anthropic", {"type": "computer", "action": "left_clik"}, "did you mean 'left_click'"),
        ("anthropic", {"type": "computer", "action": "type", "text": "x" * 6000}, "at most 5000"),
        ("anthropic", {"type": "computer", "action": "key", "text": "a " * 101}, "at most 100 are allowed"),
        (
            "anthropic",
            {"type": "left_click", "coordinate": [1, 2]},
            'write {"type": "computer", "action": "left_click"',
        ),
        ("anthropic", {"action": "left_click"}, 'write {"type": "computer", "action": "left_click", ...}'),
        ("anthropic", {"type": "fill"}, "there are 'computer', 'goto', 'dialog', 'answer', 'infeasible'"),
        ("anthropic", {"type": "computr"}, "did you mean 'computer'"),
        ("anthropic", "left_click", "an action is an object"),
        ("openai", {"type": "computer"}, "'computer' has 'actions', a list of from 1 to 50, or one 'action'"),
        ("openai", {"type": "computer", "actions": []}, "a list of from 1 to 50"),
        ("openai", {"type": "computer", "x": 1}, "and nothing else"),
        ("openai", {"type": "computer", "actions": [{"type": "wait"}, {"type": "clik"}]}, "action 2 of 2: there is no"),
        ("openai", {"type": "computer", "action": {"type": "click", "x": 1}}, "'click' needs a member 'y'"),
        ("openai", {"type": "click", "x": 1, "y": 2}, '{"type": "computer", "actions": [{"type": "click", ...}]}'),
        ("openai", {"type": "computer", "actions": [{"type": "keypress", "keys": ["A"] * 60}] * 4}, "240 actions"),
        ("openai", {"type": ["x"]}, "'type' is a list, must be a string"),
    ],
)
async def test_what_is_malformed_reaches_nothing_and_says_what_would_be_right(
    provider: str, action: Any, message: str
) -> None:
    environment, box = await begun(computer=provider)
    transition = await environment.step(action, StepContext(30))
    assert transition.outcome is Outcome.FORMAT_ERROR
    assert message in transition.observation["error"]
    assert asked_of(box) == []


async def test_a_whole_call_of_openais_api_can_be_handed_on() -> None:
    environment, box = await begun(saw(), computer="openai")
    call: dict[str, Any] = {"type": "computer_call", "id": "cu_1", "call_id": "call_1", "status": "completed",
            "pending_safety_checks": [], "action": {"type": "wait"}, "actions": None}  # fmt: skip
    transition = await environment.step({**call, "type": "computer"}, StepContext(30))
    assert transition.outcome is Outcome.OK
    assert [each["type"] for each in asked_of(box)] == ["wait"]


@pytest.mark.parametrize(
    ("provider", "protocol", "message"),
    [
        ("anthropic", "anthropic", {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t", "name": "computer", "input": {"action": "left_click", "coordinate": [5, 6]}}
        ]}),
        ("openai", "openai", {"role": "assistant", "content": None, "tool_calls": [{
            "id": "t", "type": "function",
            "function": {"name": "computer", "arguments": '{"actions": [{"type": "click", "x": 5, "y": 6}]}'},
        }]}),
    ],
)  # fmt: skip
async def test_models_call_it_through_their_protocol_and_get_the_picture_back(
    provider: str, protocol: str, message: dict[str, Any]
) -> None:
    environment, box = SpokenEnvironment(BrowserEnvironment(), protocol), Box(saw(), saw())
    first, _ = await environment.reset(box, TASK, 7, {"computer": provider})  # type: ignore[arg-type]
    assert "computer" in json.dumps(first["tool_schemas"])
    transition = await environment.step({"type": "message", "message": message}, StepContext(30))
    assert asked_of(box) == [{"type": "click", "x": 5, "y": 6}]
    assert PICTURE["data"] in json.dumps(transition.observation["messages"])


class TestExactlyOnce:
    """A server that is killed in the middle of a step leaves its successor to make the same calls again."""

    ANSWERS = (
        saw(cursor={"x": 5, "y": 6}),
        asks("http://shop.test/buy", method="POST"), done(observation={**SEEN, **ASKED}),
        saw(), saw(),
    )  # fmt: skip
    MOVE: Mapping[str, Any] = {"actions": [{"type": "move", "x": 5, "y": 6}]}
    STEP: Mapping[str, Any] = {
        "actions": [
            {"type": "click", "x": 9, "y": 9},
            {"type": "keypress", "keys": ["ENTER", "A"]},
        ]
    }

    @pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
    async def test_a_step_is_gone_through_again_by_what_the_snapshot_and_the_answers_say(
        self, cut: int, monkeypatch: pytest.MonkeyPatch, play: ShopPlay
    ) -> None:
        environment, box = await begun(*self.ANSWERS, computer="openai")
        await use(environment, **self.MOVE)
        before, begun_at = json.loads(json.dumps(environment.snapshot())), len(box.session.heard)
        whole = await use(environment, **self.STEP)
        calls = _without_limits(box.session.heard[begun_at:])
        assert [each["action"]["type"] for each in calls if each["op"] == "act"] == ["click", "dialog", "press"]

        successor, again = self._successor(before, monkeypatch, cut)
        if cut < 4:
            with pytest.raises(KilledError):
                await use(successor, **self.STEP)
            assert _without_limits(again.session.heard) == calls[: len(again.session.heard)]
            successor, again = self._successor(before, monkeypatch, 4)
        assert await use(successor, **self.STEP) == whole
        assert _without_limits(again.session.heard) == calls
        assert successor.snapshot() == environment.snapshot()

    @pytest.mark.parametrize(
        ("seen", "action", "wanted"),
        [
            ({"cursor": {"x": 5, "y": 6}}, {"action": "left_click"}, {"type": "click", "x": 5, "y": 6}),
            (ASKED, {"action": "key", "text": "Return"}, {"type": "dialog", "accept": True}),
        ],
    )
    async def test_a_new_server_knows_what_was_seen_last(
        self, seen: dict[str, Any], action: dict[str, Any], wanted: dict[str, Any]
    ) -> None:
        environment, _ = await begun(saw(**seen))
        await use(environment, action="left_click", coordinate=[5, 6])
        successor, box = BrowserEnvironment(), Box(saw())
        successor.restore(box, TASK, json.loads(json.dumps(environment.snapshot())))  # type: ignore[arg-type]
        await use(successor, **action)
        assert asked_of(box) == [wanted]

    def _successor(
        self, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cut: int
    ) -> tuple[BrowserEnvironment, Box]:
        """Over a guest that remembers its answers, and a server that is killed after so many of them."""
        fresh, box, environment = ShopPlay(), Box(*self.ANSWERS[1:]), BrowserEnvironment()
        monkeypatch.setattr(environment_module, "make_play", lambda task, seed, obstacles: fresh)
        answer = box.session.call

        async def call(message: bytes, **more: Any) -> Any:
            if len(box.session.heard) == cut:
                raise KilledError
            return await answer(message, **more)

        monkeypatch.setattr(box.session, "call", call)
        environment.restore(box, TASK, state)  # type: ignore[arg-type]
        return environment, box


class KilledError(Exception):
    """Of the server."""


def _without_limits(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name != "timeout_s"} for each in heard]
