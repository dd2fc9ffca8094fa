"""Forms and tables as anybody can read them: each field has its label, each column its header."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from environments.browser.web.html import (
    Html,
    button,
    caption,
    div,
    fieldset,
    form,
    input_,
    label,
    legend,
    option,
    select,
    table,
    tbody,
    td,
    textarea,
    th,
    thead,
    tr,
)

Choices = Iterable[tuple[str, str]]
"""Value and label of each."""


def post(action: str, *content: Any, **attributes: Any) -> Html:
    """A form that changes something."""
    return form(*content, method="post", action=action, **attributes)


def get(action: str, *content: Any, **attributes: Any) -> Html:
    """A form that asks for something."""
    return form(*content, method="get", action=action, **attributes)


def field(text: str, name: str, value: Any = "", kind: str = "text", key: str = "", **attributes: Any) -> Html:
    """`key` tells it apart from others of the same name on a page."""
    box = input_(id=f"f-{name}{key}", name=name, type=kind, value=value, **attributes)
    return div(label(text, for_=f"f-{name}{key}"), box, class_="field")


def area(text: str, name: str, value: str = "", rows: int = 6) -> Html:
    """The first line break of a text area is not part of what it holds."""
    return div(
        label(text, for_=f"f-{name}"), textarea("\n", value, id=f"f-{name}", name=name, rows=rows), class_="field"
    )


def choice(text: str, name: str, choices: Choices, chosen: str = "") -> Html:
    options = [option(said, value=value, selected=value == chosen) for value, said in choices]
    return div(label(text, for_=f"f-{name}"), select(options, id=f"f-{name}", name=name), class_="field")


def radios(text: str, name: str, choices: Choices, chosen: str = "") -> Html:
    buttons = [
        div(
            input_(id=f"f-{name}-{number}", type="radio", name=name, value=value, checked=value == chosen),
            label(said, for_=f"f-{name}-{number}"),
        )
        for number, (value, said) in enumerate(choices)
    ]
    return fieldset(legend(text), buttons)


def checkbox(text: str, name: str, value: str = "yes", *, checked: bool = False) -> Html:
    key = f"f-{name}-{value}"
    box = input_(id=key, type="checkbox", name=name, value=value, checked=checked)
    return div(box, label(text, for_=key), class_="field")


def hidden(name: str, value: Any) -> Html:
    return input_(type="hidden", name=name, value=value)


def submit(text: str, **attributes: Any) -> Html:
    return button(text, type="submit", **attributes)


def grid(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table with a caption; the first cell of a row is what the row is about."""
    body = [tr(th(row[0], scope="row"), [td(cell) for cell in row[1:]]) for row in rows]
    head = thead(tr([th(text, scope="col") for text in headers]))
    return table(caption(title), head, tbody(body))


def facts(title: str, pairs: Iterable[tuple[str, Any]]) -> Html:
    """A table of names and values."""
    return table(caption(title), tbody([tr(th(name, scope="row"), td(value)) for name, value in pairs]), class_="facts")
