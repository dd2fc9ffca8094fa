"""Pages made up, as hostile as may be, written as Playwright writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from environments.browser.guest import snapshot

_PARTS = ["a", "Save", '"', "'", "''", "\\", "[ref=e1]", " [ref=e2] ", "\n- button [ref=e3]", ": ", "#", "{", "\u2028"]
_SAID = st.lists(st.sampled_from(_PARTS), max_size=3).map("".join)
_ROLES = st.sampled_from(["button", "link", "generic", "row", "listitem", "list", "textbox", "text", "option"])


@dataclass
class Made:
    """One element, and the lines that Playwright would write for it."""

    role: str
    name: str
    value: str
    has_ref: bool
    quoted: bool
    attributes: str
    children: list[Made] = field(default_factory=list)
    ref: str = ""
    level: int = 0

    def number(self, count: int, level: int) -> int:
        self.level = level
        if self.has_ref and self.role != "text":
            count += 1
            self.ref = f"f1e{count}" if count % 3 == 0 else f"e{count}"
        for child in self.children:
            count = child.number(count, level + 1)
        return count

    def lines(self) -> list[str]:
        indent = "  " * self.level
        if self.role == "text":
            return [f"{indent}- text: {json.dumps(self.name, ensure_ascii=False)}"]
        key = self.role + (f" {json.dumps(self.name, ensure_ascii=False)}" if self.name else "") + self.attributes
        key += f" [ref={self.ref}]" if self.ref else ""
        if self.quoted:
            key = "'" + key.replace("'", "''") + "'"
        if self.children:
            return [f"{indent}- {key}:", *(line for child in self.children for line in child.lines())]
        return [f"{indent}- {key}" + (f": {json.dumps(self.value, ensure_ascii=False)}" if self.value else "")]

    def all(self) -> list[Made]:
        return [self, *(each for child in self.children for each in child.all() if self.role != "text")]


_LEAVES = st.builds(
    Made, _ROLES, _SAID, _SAID, st.booleans(), st.booleans(), st.sampled_from(["", " [checked]", " [level=2]"])
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.builds(
        Made, _ROLES, _SAID, st.just(""), st.booleans(), st.booleans(), st.just(""), st.lists(inner, max_size=4)
    ),
    max_leaves=8,
)


@dataclass
class Page:
    text: str
    elements: list[Made]


def _page(roots: list[Made]) -> Page:
    count = 0
    for root in roots:
        count = root.number(count, 0)
    elements = [element for root in roots for element in root.all()]
    return Page("\n".join(line for root in roots for line in root.lines()), elements)


FEW = settings(deadline=None, max_examples=50)
"""A page takes long to make up."""

PAGES = st.lists(_TREES, min_size=1, max_size=3).map(_page)


@FEW
@given(PAGES)
def test_every_ref_is_found_and_no_other(page: Page) -> None:
    assert list(snapshot.refs(page.text)) == [element.ref for element in page.elements if element.ref]


@FEW
@given(PAGES)
def test_every_line_is_what_was_written(page: Page) -> None:
    nodes = snapshot.parse(page.text)
    assert [node.depth for node in nodes] == [element.level for element in page.elements]
    assert [node.role for node in nodes] == [element.role for element in page.elements]
    for node, element in zip(nodes, page.elements, strict=True):
        if element.role != "text":
            assert json.loads(node.name or '""') == element.name


@FEW
@given(PAGES)
def test_a_subtree_is_the_element_with_all_that_is_in_it(page: Page) -> None:
    for element in page.elements:
        if element.ref:
            part = snapshot.subtree(page.text, element.ref)
            assert list(snapshot.refs(part)) == [each.ref for each in element.all() if each.ref]
            assert snapshot.parse(part)[0].depth == 0


@FEW
@given(PAGES, st.integers(1, 4))
def test_a_depth_keeps_what_is_above_it(page: Page, levels: int) -> None:
    kept = snapshot.depth(page.text, levels)
    assert list(snapshot.refs(kept)) == [each.ref for each in page.elements if each.ref and each.level < levels]


@FEW
@given(PAGES)
def test_all_that_can_be_acted_on_stays_interactive(page: Page) -> None:
    kept = snapshot.refs(snapshot.interactive(page.text))
    wanted = {each.ref for each in page.elements if each.ref and each.role in ("button", "link", "textbox", "option")}
    assert wanted <= set(kept) <= set(snapshot.refs(page.text))


@FEW
@given(PAGES, st.data())
def test_what_an_element_says_finds_it(page: Page, data: st.DataObject) -> None:
    element = data.draw(st.sampled_from(page.elements))
    if element.ref and element.name.strip():
        assert f"[ref={element.ref}]" in snapshot.find(page.text, element.name)


@FEW
@given(PAGES, PAGES)
def test_a_difference_names_what_came_and_what_went(before: Page, after: Page) -> None:
    assert snapshot.difference(before.text, before.text) == ""
    told = snapshot.difference(before.text, after.text)
    old, new = snapshot.refs(before.text), snapshot.refs(after.text)
    for ref in new.keys() - old.keys():
        assert f"[ref={ref}]" in told
    if old.keys() - new.keys():
        assert any(line.startswith("- ") for line in told.split("\n"))
    if before.text != after.text and old.keys() != new.keys():
        assert told
