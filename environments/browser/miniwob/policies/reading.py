"""Pages on which something is to be read, computed or found out."""

from __future__ import annotations

import re

from environments.browser.miniwob.policies.acting import (
    Play,
    between,
    click,
    fill,
    number_in,
    ordinal,
    plays,
    press,
    quoted,
    submit,
    wait,
    write,
)
from environments.browser.miniwob.policies.page import Page


@plays("read-table")
def value_of_a_row(goal: str, page: Page) -> Play:
    row = page.one("row", where=lambda node: node.children[0].name == between(goal, "value of ", " into"))
    page = yield fill(page.one("textbox"), row.children[1].name)
    yield submit(page)


@plays("read-table-2")
def values_of_rows(goal: str, page: Page) -> Play:
    table = {row.children[0].name: row.children[1].name for row in page.all("row")}
    for number in range(len(page.all("textbox"))):
        field = page.all("textbox")[number]
        assert field.parent is not None
        page = yield fill(field, table[field.parent.text.partition(":")[0]])
    yield submit(page)


@plays("find-word")
def counted_word(goal: str, page: Page) -> Play:
    word = page.one("paragraph").text.split()[ordinal(goal)]
    page = yield fill(page.one("textbox"), word.strip(".,"))
    yield submit(page)


@plays("copy-paste", "copy-paste-2")
def copied_text(goal: str, page: Page) -> Play:
    sources = page.all("textbox", where=lambda node: node.value != "")
    page = yield click(sources[ordinal(goal) if len(sources) > 1 else 0])
    page = yield press("Control+a")
    page = yield press("Control+c")
    page = yield click(page.one("textbox", where=lambda node: node.value == ""))
    page = yield press("Control+v")
    yield submit(page)


@plays("scroll-text")
def last_word(goal: str, page: Page) -> Play:
    text, field = page.all("textbox")
    page = yield fill(field, text.value.split()[-1].strip(".,"))
    yield submit(page)


@plays("text-transform")
def crooked_letters(goal: str, page: Page) -> Play:
    letters = page.all("generic", where=lambda node: len(node.value) == 1 and not node.children)
    page = yield fill(page.one("textbox"), "".join(node.value for node in letters))
    yield submit(page)


@plays("simple-arithmetic")
def sum_of_two(goal: str, page: Page) -> Play:
    left, sign, right = page.one(where=lambda node: node.value.endswith("=")).value.rstrip(" =").split()
    result = {"+": int(left) + int(right), "-": int(left) - int(right), "x": int(left) * int(right)}[sign]
    page = yield fill(page.one("textbox"), str(result))
    yield submit(page)


@plays("simple-algebra")
def unknown(goal: str, page: Page) -> Play:
    left, sign, right, _, result = page.one(where=lambda node: " = " in node.value).value.split()
    x = _solved(left, sign, right, int(result))
    page = yield fill(page.one("textbox"), str(x))
    yield submit(page)


def _solved(left: str, sign: str, right: str, result: int) -> int:
    if left == "x":
        return result - int(right) if sign == "+" else result + int(right)
    return result - int(left) if sign == "+" else int(left) - result


@plays("guess-number")
def halving(goal: str, page: Page) -> Play:
    low, high = 0, 9
    while True:
        guess = (low + high) // 2
        page = yield fill(page.one("spinbutton"), str(guess))
        page = yield submit(page)
        if "lower than" in page.text:
            high = guess - 1
        else:
            low = guess + 1


@plays("generate-number")
def enough_tries(goal: str, page: Page) -> Play:
    while True:
        page = yield click(page.one("button", text="generate"))
        shown = number_in(page.one("generic", where=lambda node: node.value.isdigit()).value)
        if _fits(shown, goal):
            yield submit(page)


def _fits(number: int, goal: str) -> bool:
    if "odd" in goal or "even" in goal:
        return number % 2 == ("odd" in goal)
    return number > number_in(goal) if "greater" in goal else number < number_in(goal)


@plays("phone-book")
def entry(goal: str, page: Page) -> Play:
    name = between(goal, "Find ", " in the contact book")
    while page.one("heading").name != name:
        page = yield click(page.one("link", text=">"))
    label = next(
        label for word, label in (("phone", "Phone:"), ("email", "Email:"), ("address", "Address:")) if word in goal
    )
    yield click(page.one(where=lambda node: bool(node.children) and node.children[0].text == label).children[1])


@plays("search-engine")
def counted_result(goal: str, page: Page) -> Play:
    page = yield fill(page.one("textbox"), quoted(goal)[0])
    page = yield click(page.one("button", text="search"))
    number = ordinal(goal)
    for _ in range(number // 3):
        page = yield click(page.one("link", where=lambda node: node.text in (">", "Next")))
    results = page.all("link", where=lambda node: node.parent is not None and node.parent.role != "listitem")
    yield click(results[number % 3])


@plays("navigate-tree")
def node_of_a_tree(goal: str, page: Page) -> Play:
    wanted, opened = quoted(goal)[0], set[str]()
    while not page.all(text=wanted):
        folder = next(node for node in page.all("listitem", "generic") if node.value and node.value not in opened)
        opened.add(folder.value)
        page = yield click(folder)
        page = yield wait(0.5)
    yield click(page.all(text=wanted)[-1])


@plays("terminal")
def removed_file(goal: str, page: Page) -> Play:
    page = yield write("ls\n", page.one("textbox"))
    ending = goal.rpartition(".")[2] if "extension ." in goal else None
    files = next(node.text for node in reversed(page.all()) if re.fullmatch(r"[\w.]+( [\w.]+)+", node.text)).split()
    file = next(name for name in files if ("." not in name if ending is None else name.endswith(f".{ending}")))
    yield write(f"rm {file}\n", page.one("textbox"))


@plays("highlight-text", "highlight-text-2")
def marked_text(goal: str, page: Page) -> Play:
    paragraphs = page.all("paragraph") or [page.all("generic")[-1]]
    page = yield click(paragraphs[ordinal(goal) if len(paragraphs) > 1 else 0], count=3)
    yield submit(page)


@plays("scroll-text-2")
def end_of_a_text(goal: str, page: Page) -> Play:
    text = page.one("textbox")
    page = yield click(text)
    page = yield press("Control+End" if "bottom" in goal else "Control+Home")
    page = yield wait(0.5)
    yield submit(page)


@plays("sign-agreement")
def agreement(goal: str, page: Page) -> Play:
    name, *button = quoted(goal) or ("",)
    if name:
        page = yield {"type": "scroll", "ref": page.one("textbox").ref, "dy": 5000}
        page = yield fill(page.all("textbox")[-1], name)
    yield click(page.one("button", text=button[0] if button else "cancel"))
