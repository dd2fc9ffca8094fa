"""Markup that is made by calls: text is escaped, whatever it holds."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from environments.browser.web.forms import area, choice, facts, field, grid, radios
from environments.browser.web.html import Html, a, div, input_, p, render, strong, tag
from environments.browser.world.gold.page import Page


class Counter(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said = ""
        self.values: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.said += data


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r\0")))
def test_any_text_is_said_and_nothing_else(text: str) -> None:
    read = Counter(div(p(text, title=text), [text, [strong(text)]], a(text, href=text)))
    assert read.tags == ["div", "p", "strong", "a"]
    assert read.said == text * 4
    assert read.values == [text, text]


def test_content_is_markup_text_numbers_and_nestings_of_them() -> None:
    assert render(["<", Html("<br>"), None, 3, ("&", (x for x in "ab"))]) == "&lt;<br>3&amp;ab"
    assert p() == "<p></p>"


def test_attributes_are_named_as_in_html_and_left_out_when_false() -> None:
    assert tag("label", "x", for_="a", class_="b", aria_label="c", hidden=True, title=None, disabled=False) == (
        '<label for="a" class="b" aria-label="c" hidden>x</label>'
    )
    assert input_(name="x", value=0) == '<input name="x" value="0">'


def test_void_elements_have_no_end() -> None:
    assert tag("br") == "<br>"


def test_every_field_is_found_by_its_label_and_holds_what_it_was_given() -> None:
    text = '\n two\n"lines" <b>'
    parts = [
        field("One", "one", text, key="-1"),
        field("Other one", "one", "x", key="-2"),
        area("Area", "area", text),
        choice("List", "list", [("a", "A"), ("b", "B")], "b"),
        radios("Which", "which", [("x", "X"), ("y", "Y")], "y"),
    ]
    page = Page("http://x.test/", render(parts))
    assert page.value("One") == text
    assert page.value("Other one") == "x"
    assert page.value("Area") == text
    assert page.options("List") == ["A", "B"]
    assert [node.words for node in page.root.all("option") if "selected" in node.attributes] == ["B"]
    assert ["checked" in page.control(name).attributes for name in "XY"] == [False, True]


def test_tables_are_read_by_their_headers() -> None:
    page = Page("u", grid("Goods", ("Name", "Price"), [("A", 1), (strong("B"), "2")]) + facts("Box", [("Born", 1900)]))
    assert page.rows == [{"Name": "A", "Price": "1"}, {"Name": "B", "Price": "2"}]
    assert page.facts == {"Born": "1900"}
