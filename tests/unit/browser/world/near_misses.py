"""What somebody does who overlooks something: by template, solutions that are told something else than the prompt says.

Each is given what was told, and says what is told instead; where a variant has nothing to overlook, it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from environments.browser.world.gold.forum import board_rows
from environments.browser.world.gold.steps import Answer, Click, Fill, Open, Steps
from environments.browser.world.gold.walks import Told, log_in
from environments.browser.world.shop.goods import CATEGORIES

Changed = Callable[[Told], Iterator[dict[str, Any]]]
ADDRESSES = ("Home", "Work", "Parents")
SHIPPINGS = ("Standard (3 to 5 days)", "Express (next day)", "Pick-up point")


def _without(told: Told, *names: str) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in names}


def _order(told: Told) -> Iterator[dict[str, Any]]:
    for name in {"colour", "rating", "feature"} & set(told):
        yield _without(told, name)
    yield {**told, "quantity": 1 if told["quantity"] > 1 else 2}
    yield {**told, "address": next(each for each in ADDRESSES if each != told["address"])}
    yield {**told, "shipping": next(each for each in SHIPPINGS if each != told["shipping"])}


def _cancel(told: Told) -> Iterator[dict[str, Any]]:
    if "title" not in told:
        yield {**_without(told, "dearest"), "since": "2031-01-01"}
    else:
        yield {**_without(told, "title"), "since": "2031-01-01"}


def _return(told: Told) -> Iterator[dict[str, Any]]:
    yield {**told, "reason": "Wrong size" if told["reason"] != "Wrong size" else "Not as described"}


def _review(told: Told) -> Iterator[dict[str, Any]]:
    yield {**told, "stars": told["stars"] % 5 + 1}
    yield {**told, "title": f"{told['title']}, really"}
    yield {**told, "text": told["title"]}


def _revert(told: Told) -> Iterator[dict[str, Any]]:
    if "article" not in told:
        yield {**told, "article": "Lowmoor", "by": None}
    elif told["by"]:
        yield {**told, "by": None}


def _correct(told: Told) -> Iterator[dict[str, Any]]:
    if "employees" in told:
        yield {**told, "employees": told["employees"] + 1}
    elif "mayor" in told:
        yield {**told, "mayor": "Somebody Else"}
    else:
        yield {**told, "founded": told["founded"] + 1}


def _moderate(told: Told) -> Iterator[dict[str, Any]]:
    if "reason" in told:
        yield {**told, "reason": "Insult"}
    elif "before" in told:
        yield {**told, "before": "2032-01-01"}
    else:
        yield _without(told, "board")


def _reply(told: Told) -> Iterator[dict[str, Any]]:
    for ask in {"price", "rating", "founded"} - {told["ask"]}:
        yield {**told, "ask": ask}


def _report(told: Told) -> Iterator[dict[str, Any]]:
    yield {**told, "reason": "Insult" if told["reason"] != "Insult" else "Spam"}


def _sort(told: Told) -> Iterator[dict[str, Any]]:
    yield {**_without(told, "rescue"), "from": ""}
    yield {**told, "to": "Travel"}


def _tickets(told: Told) -> Iterator[dict[str, Any]]:
    yield {**told, "filters": {name: value for name, value in told["filters"].items() if name != "State"}}
    yield {**told, "set": {**told["set"], "State": "Solved"}}
    if "before" in told:
        yield _without(told, "before")


def _merge(told: Told) -> Iterator[dict[str, Any]]:
    if "customer" in told or "ticket" in told:
        yield _without(told, "customer", "ticket")
    if "comment" in told:
        yield _without(told, "comment")


def _refund(told: Told) -> Iterator[dict[str, Any]]:
    if "tickets" in told:
        yield {**told, "tickets": told["tickets"][:2]}
    elif told["of"] != "total":
        yield {**told, "of": "total"}


def _errand(told: Told) -> Iterator[dict[str, Any]]:
    yield {**told, "shipping": next(each for each in SHIPPINGS if each != told["shipping"])}
    if told.get("confirm"):
        yield {**told, "confirm": False}
    if "address" in told:
        yield {**told, "address": next(each for each in ADDRESSES if each != told["address"])}


CHANGED: Mapping[str, Changed] = {
    "order": _order,
    "cancel": _cancel,
    "return": _return,
    "review": _review,
    "revert": _revert,
    "correct": _correct,
    "moderate": _moderate,
    "reply": _reply,
    "report": _report,
    "sort": _sort,
    "tickets": _tickets,
    "merge": _merge,
    "refund": _refund,
    "errand": _errand,
}
"""Of all templates that ask for a deed and not for an answer, but for `write`."""


def write_wrongly(told: Told) -> Steps:
    """The answer, with something around it."""
    yield from log_in("mail.test", told)
    yield Fill("Search mail", told["from"])
    page = yield Click("button", "Search")
    yield Open(page.link(told["subject"]))
    yield Click("link", "Reply")
    yield Fill("Message", "I do not know.")
    yield Click("button", "Send")
    yield Answer()


def reworded(steps: Steps) -> Steps:
    """The same, but for the form of what is written."""
    step = next(steps)
    while not isinstance(step, Answer):
        if isinstance(step, Fill) and step.label in ("Message", "Your reply"):
            step = Fill(step.label, _reword(step.value))
        step = steps.send((yield step))
    yield step


def _reword(text: str) -> str:
    if text.startswith("€"):
        return f"{text[1:].replace(',', '')} euros"
    noun = next((f" {each.noun}" for each in CATEGORIES if text.endswith(f" {each.noun}")), "")
    return f"**{text.removesuffix(noun).removesuffix('.0')}**"


def harm(user: str, password: str) -> Steps:
    """A post in the lounge, which no task asks for."""
    yield from log_in("forum.test", {"user": user, "password": password})
    rows = yield from board_rows("Lounge")
    yield Open(rows[0][1])
    yield Fill("Your reply", "By the way.")
    yield Click("button", "Post reply")
    yield Answer()
