"""Why an action did not work is told in few words, whatever a page has to do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from playwright.async_api import Error

from environments.browser.actions.kinds import MAX_VIA
from environments.browser.guest import acting
from environments.browser.guest.acting import ActError, Acts, needed_s, reason
from environments.browser.guest.browser_session import Program
from environments.browser.guest.host import Host
from environments.browser.guest.tabs import MAX_TABS, Tab
from tests.unit.browser.guest.scripted_browser import ScriptedActs, ScriptedProxy, entered, observing


@pytest.mark.parametrize("error", [ActError("x" * 9000), Error("x" * 9000), Error("a\n- not visible " + "x" * 9000)])
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


@pytest.mark.parametrize("defect", [AttributeError("ours"), ValueError("ours"), AssertionError()])
def test_a_defect_of_the_programs_own_is_no_actions_error(defect: Exception) -> None:
    with pytest.raises(type(defect)):
        reason(defect, 5.0)


async def test_a_defect_of_the_programs_own_is_told_the_server(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect() -> None:
        raise AttributeError("ours")

    class SilentProxy(ScriptedProxy):
        arrived = asyncio.Event()

        def begin_action(self) -> None: ...

    await entered(host.tabs)
    observing(host, monkeypatch)
    host._options = {"action_timeout_s": 5.0}
    host._acts = ScriptedActs(defect)  # type: ignore[assignment]
    host.proxy = SilentProxy()  # type: ignore[assignment]
    program = Program(host, None)  # type: ignore[arg-type]  # nothing is sent
    answer = await program._answer({"op": "act", "action": {"type": "dialog", "accept": True}, "timeout_s": 60.0})
    assert answer == {"failed": "AttributeError: ours"}


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


class FilesLocator(ScriptedLocator):
    """Takes files, or raises what it is given."""

    error: Error | None = None

    async def set_input_files(self, *_: Any, **__: Any) -> None:
        if self.error is not None:
            raise self.error


class ScriptedChooser:
    """Takes no files while it has an error."""

    def __init__(self, error: Error | None = None) -> None:
        self.error = error

    async def set_files(self, *_: Any, **__: Any) -> None:
        if self.error is not None:
            raise self.error


class TestUpload:
    UPLOAD: ClassVar[dict[str, Any]] = {"type": "upload", "files": []}

    @pytest.fixture
    def tabs(self, monkeypatch: pytest.MonkeyPatch) -> ScriptedTabs:
        monkeypatch.setattr(ScriptedPage, "locator", lambda *_: FilesLocator())
        return ScriptedTabs(1)

    @staticmethod
    async def upload(tabs: ScriptedTabs, **more: Any) -> None:
        acts = Acts(tabs, no_page)  # type: ignore[arg-type]  # as much of them as is used
        await acts.carry_out({**TestUpload.UPLOAD, **more}, 5.0)

    async def test_a_ref_that_there_is_not_leaves_the_file_chooser_open(self, tabs: ScriptedTabs) -> None:
        chooser: Any = ScriptedChooser()
        tabs.current.chooser = chooser
        with pytest.raises(ActError, match="there is no e99"):
            await self.upload(tabs, ref="e99")
        assert tabs.current.chooser is chooser
        await self.upload(tabs)
        assert tabs.current.chooser is None

    async def test_so_does_what_takes_no_such_files(self, tabs: ScriptedTabs, monkeypatch: pytest.MonkeyPatch) -> None:
        chooser: Any = ScriptedChooser(Error("Non-multiple file input can only accept single file"))
        tabs.current.chooser = chooser
        monkeypatch.setattr(FilesLocator, "error", Error("Node is not an HTMLInputElement"))
        for more in ({}, {"ref": "e1"}):
            with pytest.raises(Error):
                await self.upload(tabs, **more)
            assert tabs.current.chooser is chooser

    async def test_a_field_that_gets_files_answers_it(self, tabs: ScriptedTabs) -> None:
        tabs.current.chooser = ScriptedChooser()  # type: ignore[assignment]
        await self.upload(tabs, ref="e1")
        assert tabs.current.chooser is None
        with pytest.raises(ActError, match="no page has asked for files"):
            await self.upload(tabs)

    async def test_one_that_the_files_themselves_have_opened_stays(self, tabs: ScriptedTabs) -> None:
        opened: Any = ScriptedChooser()

        class Opening(ScriptedChooser):
            async def set_files(self, *_: Any, **__: Any) -> None:
                tabs.current.chooser = opened

        tabs.current.chooser = Opening()  # type: ignore[assignment]
        await self.upload(tabs)
        assert tabs.current.chooser is opened


class Matches:
    """Of a text in a frame: whether each is visible, in the document's order."""

    def __init__(self, frame: TextFrame, *, all_of_them: bool = True) -> None:
        self._frame = frame
        self._all = all_of_them

    @property
    def first(self) -> Matches:
        return self

    def filter(self, *, visible: bool) -> Matches:
        return Matches(self._frame, all_of_them=not visible)

    async def count(self) -> int:
        found = await self._frame.look()
        return len(found) if self._all else sum(found)

    async def wait_for(self, *, state: str, **_: float) -> None:
        """As Playwright does, of the first."""
        found = await self._frame.look()
        first = [each for each in found if self._all or each][:1]
        if (first == [True]) is not (state == "visible"):
            raise Error("Locator.wait_for: Timeout 5000ms exceeded.")


class Owner:
    def __init__(self, *, visible: bool) -> None:
        self._visible = visible

    async def is_visible(self) -> bool:
        return self._visible


class TextFrame:
    """Has one after the other of these, each as often as it is looked at but the last; an error is raised."""

    url = "http://own.test/"

    def __init__(
        self, *seen: Sequence[bool] | Exception | None, parent: TextFrame | None = None, visible: bool = True
    ) -> None:
        self._seen = list(seen)
        self._visible = visible
        self.parent_frame = parent
        self.looks = 0

    async def look(self) -> Sequence[bool]:
        self.looks += 1
        seen = self._seen[0] if len(self._seen) == 1 else self._seen.pop(0)
        if seen is None:
            await asyncio.Event().wait()
        if isinstance(seen, Exception):
            raise seen
        return seen or ()

    def get_by_text(self, _: str) -> Matches:
        return Matches(self)

    async def frame_element(self) -> Owner:
        return Owner(visible=self._visible)


class TextPage(ScriptedPage):
    def __init__(self, main_frame: TextFrame, *others: TextFrame) -> None:
        self.main_frame = main_frame
        self.frames = [main_frame, *others]

    def get_by_text(self, text: str) -> Matches:
        return self.main_frame.get_by_text(text)


class TestWaitingForText:
    @staticmethod
    async def wait(page: TextPage, within_s: float = 5.0, **members: str) -> None:
        tabs = ScriptedTabs(1)
        tabs.current.page = page  # type: ignore[assignment]
        acts = Acts(tabs, no_page)  # type: ignore[arg-type]  # as much of them as is used
        await acts.carry_out({"type": "wait", **members}, within_s)

    async def test_one_that_is_hidden_is_no_hindrance_to_one_that_is_seen(self) -> None:
        await self.wait(TextPage(TextFrame([False, True])), text="Done")

    async def test_it_is_gone_when_none_is_seen(self) -> None:
        frame = TextFrame([False, True], [True, True], [False, False])
        await self.wait(TextPage(frame), text_gone="Loading")
        assert frame.looks >= 3

    @pytest.mark.parametrize(("seen", "members"), [([False], {"text": "a"}), ([False, True], {"text_gone": "a"})])
    async def test_it_is_waited_for_no_longer_than_may_be(self, seen: list[bool], members: dict[str, str]) -> None:
        with pytest.raises(TimeoutError):
            await self.wait(TextPage(TextFrame(seen)), 0.01, **members)

    async def test_frames_in_the_page_are_looked_at_as_well(self) -> None:
        page = TextFrame([])
        await self.wait(TextPage(page, TextFrame([True], parent=page)), text="Done")
        inner = TextFrame([True], [True], [False], parent=page)
        await self.wait(TextPage(page, inner), text_gone="Loading")
        assert inner.looks >= 3

    async def test_a_frame_that_is_not_seen_shows_nothing(self) -> None:
        page = TextFrame([])
        hidden = TextFrame([True], parent=page, visible=False)
        inside = TextFrame([True], parent=hidden)
        await self.wait(TextPage(page, hidden, inside), text_gone="Loading")

    async def test_a_frame_that_cannot_be_asked_hinders_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(acting, "FRAME_S", 0.01)
        page = TextFrame([])
        silent, gone = TextFrame(None, parent=page), TextFrame(Error("Frame was detached"), parent=page)
        await self.wait(TextPage(page, silent, gone), text_gone="Loading")
        await self.wait(TextPage(page, silent, gone, TextFrame([True], parent=page)), text="Done")

    async def test_a_frame_that_was_refused_its_address_is_not_asked(self) -> None:
        page = TextFrame([])
        refused = TextFrame(None, parent=page)
        refused.url = ""
        await self.wait(TextPage(page, refused), 0.4, text_gone="Loading")
        assert refused.looks == 0

    async def test_a_page_that_makes_way_for_another_is_asked_again(self) -> None:
        moving = Error("Locator.count: Execution context was destroyed, most likely because of a navigation")
        await self.wait(TextPage(TextFrame(moving, [True])), text="Done")
        await self.wait(TextPage(TextFrame([True], moving, [])), text_gone="Loading")

    async def test_a_page_that_cannot_be_asked_is_told(self) -> None:
        with pytest.raises(Error, match="closed"):
            await self.wait(TextPage(TextFrame(Error("Target page has been closed"))), text_gone="Loading")


class DragMouse:
    """Counts its moves; what it is told to never comes to an end."""

    def __init__(self, endless: str = "") -> None:
        self._endless = endless
        self.moves = 0
        self.places: list[tuple[float, float]] = []
        self.pressed: list[str] = []
        self.begun = asyncio.Event()

    async def move(self, x: float, y: float, steps: int = 1) -> None:
        self.moves += steps
        await self._do("move" if self.pressed else "come")
        self.places.append((x, y))

    async def down(self) -> None:
        self.pressed.append("down")
        await self._do("down")

    async def up(self) -> None:
        self.pressed.append("up")

    async def _do(self, what: str) -> None:
        if what == self._endless:
            self.begun.set()
            await asyncio.Event().wait()


class TestDrag:
    @staticmethod
    def dragging(mouse: DragMouse, via: list[list[float]]) -> tuple[Tab, asyncio.Task[None]]:
        page, tabs = ScriptedPage(), ScriptedTabs(1)
        page.mouse = mouse  # type: ignore[attr-defined]
        tabs.current.page = page  # type: ignore[assignment]
        acts = Acts(tabs, no_page)  # type: ignore[arg-type]  # as much of them as is used
        drag = {"type": "drag", "x": 1, "y": 2, "to_x": 5, "to_y": 6, "via": via}
        return tabs.current, asyncio.ensure_future(acts.carry_out(drag, 5.0))

    @pytest.mark.parametrize(("points", "moves"), [(0, 0), (1, 10), (10, 100), (25, 100), (99, 99), (MAX_VIA, 100)])
    async def test_a_path_of_many_points_takes_few_moves_to_each(self, points: int, moves: int) -> None:
        mouse = DragMouse()
        tab, drag = self.dragging(mouse, [[number, 0] for number in range(points)])
        await drag
        assert mouse.places == [(1, 2), *[(number, 0) for number in range(points)], (5, 6)]
        assert mouse.moves == 1 + moves + 10
        assert (mouse.pressed, tab.cursor) == (["down", "up"], (5, 6))

    def test_it_has_time_for_its_path(self) -> None:
        drag = {"type": "drag", "x": 1, "y": 2, "to_x": 5, "to_y": 6}
        assert needed_s(drag, 5.0) == 5.0
        assert needed_s({**drag, "via": [[1, 1]] * MAX_VIA}, 5.0) == pytest.approx(10.0)

    @pytest.mark.parametrize("endless", ["down", "move"])
    async def test_the_button_is_released_whenever_it_is_cut_short(self, endless: str) -> None:
        mouse = DragMouse(endless)
        _, drag = self.dragging(mouse, [[3, 4]])
        await mouse.begun.wait()
        drag.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drag
        assert mouse.pressed == ["down", "up"]

    async def test_the_pointer_is_then_where_it_was_last_known_to_be(self) -> None:
        class Mouse(DragMouse):
            async def move(self, x: float, y: float, steps: int = 1) -> None:
                self._endless = "move" if (x, y) == (5, 6) else ""
                await super().move(x, y, steps)

        mouse = Mouse()
        tab, drag = self.dragging(mouse, [[3, 4]])
        await mouse.begun.wait()
        drag.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drag
        assert tab.cursor == (3, 4)


async def test_a_key_whose_press_is_cut_short_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyboard:
        said: ClassVar[list[str]] = []
        begun = asyncio.Event()

        async def down(self, key: str) -> None:
            self.said.append(f"{key} down")
            if key == "Shift":
                self.begun.set()
                await asyncio.Event().wait()

        async def up(self, key: str) -> None:
            self.said.append(f"{key} up")

    keyboard = Keyboard()
    monkeypatch.setattr(ScriptedPage, "keyboard", keyboard)
    acts = Acts(ScriptedTabs(1), no_page)  # type: ignore[arg-type]  # as much of them as is used
    holding = asyncio.ensure_future(
        acts.carry_out({"type": "key_hold", "keys": ["Control", "Shift"], "time_s": 0}, 5.0)
    )
    await keyboard.begun.wait()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert keyboard.said == ["Control down", "Shift down", "Shift up", "Control up"]
