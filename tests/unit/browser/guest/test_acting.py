"""Why an action did not work is told in few words, whatever a page has to do with it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from playwright.async_api import Error

from environments.browser.guest.acting import ActError, Acts, reason
from environments.browser.guest.tabs import MAX_TABS, Tab


@pytest.mark.parametrize(
    "error", [ActError("x" * 9000), Error("x" * 9000), ValueError("x" * 9000), Error("a\n- not visible " + "x" * 9000)]
)
def test_no_reason_is_long(error: Exception) -> None:
    assert 100 < len(reason(error, 5.0) or "") <= 500


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, None),
        (Error(""), "it failed"),
        (TimeoutError(), "it did not come to an end within 5 s"),
        (
            Error("Locator.click: Timeout 5000ms exceeded.\nCall log:\n  -   - element is not enabled"),
            "it did not come to an end within 5 s; element is not enabled",
        ),
        (Error("Locator.fill: Error: Element is not an <input>"), "Element is not an <input>"),
        (Error("Error: Not a checkbox or radio button"), "Not a checkbox or radio button"),
        (
            Error('Locator.click: Error: Invalid frame in aria-ref selector "aria-ref=f3e2"'),
            "f3e2 is not on the page any more: look at the page again",
        ),
    ],
)
def test_a_reason_is_in_a_policys_words(error: Exception | None, told: str | None) -> None:
    assert reason(error, 5.0) == told


class ScriptedLocator:
    async def count(self) -> int:
        return 1

    async def evaluate(self, *_: Any, **__: Any) -> list[list[str]]:
        return [["Label " + "x" * 1000, str(number)] for number in range(100)]


class ScriptedPage:
    keyboard = None
    viewport_size: ClassVar[dict[str, int]] = {"width": 640, "height": 480}

    def locator(self, _: str) -> ScriptedLocator:
        return ScriptedLocator()


class ScriptedTabs:
    def __init__(self, tabs: int) -> None:
        page: Any = ScriptedPage()
        self.all = [Tab(page, snapshot="- combobox [ref=e1]") for _ in range(tabs)]
        self.current = self.all[0]


async def no_page() -> Any:
    raise AssertionError("none is opened")


async def test_options_that_could_have_been_selected_are_named_in_short() -> None:
    acts = Acts(ScriptedTabs(1), no_page)  # type: ignore[arg-type]  # as much of them as is used
    with pytest.raises(ActError) as raised:
        await acts.carry_out({"type": "select", "ref": "e1", "values": ["Blue"]}, 5.0)
    assert str(raised.value).count("'Label xxx") == 30
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("action", [{"type": "wait", "time_s": 30}, {"type": "key_hold", "keys": [], "time_s": 30}])
async def test_a_time_that_is_longer_than_there_is_is_cut_short_and_that_is_told(action: dict[str, Any]) -> None:
    acts = Acts(ScriptedTabs(1), no_page)  # type: ignore[arg-type]  # as much of them as is used
    with pytest.raises(ActError, match=r"it was cut short after 0\.01 s: the step's time limit"):
        await acts.carry_out(action, 0.01)
    await acts.carry_out({**action, "time_s": 0.01}, 0.01)


async def test_where_an_action_by_ref_leaves_the_pointer_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class Locator(ScriptedLocator):
        async def hover(self, **_: Any) -> None: ...

    class Mouse:
        async def move(self, x: float, y: float) -> None: ...

    tabs = ScriptedTabs(1)
    monkeypatch.setattr(ScriptedPage, "locator", lambda *_: Locator())
    monkeypatch.setattr(ScriptedPage, "mouse", Mouse(), raising=False)
    acts = Acts(tabs, no_page)  # type: ignore[arg-type]  # as much of them as is used
    await acts.carry_out({"type": "move", "x": 3, "y": 4}, 5.0)
    assert tabs.current.cursor == (3, 4)
    await acts.carry_out({"type": "hover", "ref": "e1"}, 5.0)
    assert tabs.current.cursor is None


async def test_there_are_no_more_tabs_than_there_may_be() -> None:
    acts = Acts(ScriptedTabs(MAX_TABS), no_page)  # type: ignore[arg-type]  # as much of them as is used
    with pytest.raises(ActError, match="there may be 10 tabs: close one"):
        await acts.carry_out({"type": "new_tab"}, 5.0)
