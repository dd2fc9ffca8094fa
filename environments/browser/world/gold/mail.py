"""Solutions in the mailbox, and those that begin there."""

from __future__ import annotations

from environments.browser.world.gold.forum import board_rows, written
from environments.browser.world.gold.page import Page, Row
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Steps, Walk
from environments.browser.world.gold.walks import Told, buy, find_product, list_products, log_in

MAIL, SHOP = "mail.test", "shop.test"


def _search(words: str) -> Walk[Page]:
    yield Open("http://mail.test/")
    yield Fill("Search mail", words)
    return (yield Click("button", "Search"))


def _find_message(told: Told) -> Walk[Page | None]:
    """By its subject and its sender."""
    page = yield from _search(f"{told['from']} {told['subject']}")
    fitting = [row for row in page.rows if row["Subject"] == told["subject"] and told["from"] in row["From"]]
    return (yield Open(page.link(told["subject"]))) if fitting else None


def sort(told: Told) -> Steps:
    yield from log_in(MAIL, told)
    folder = "Trash" if "rescue" in told else "Inbox"
    page = yield Open(f"http://mail.test/folder/{folder}")
    if told["to"] not in page.options("Move selected to"):
        yield Infeasible("There is no such folder.")
        return
    while True:
        meant = [
            row
            for row in page.rows
            if told["from"] in row["From"] and row["Subject"] == told.get("rescue", row["Subject"])
        ]
        if meant:
            for row in meant:
                yield Click("checkbox", row["Select"])
            yield Select("Move selected to", told["to"])
            page = yield Click("button", "Move")
        elif page.offers("link", "Older messages"):
            page = yield Click("link", "Older messages")
        else:
            yield Answer()
            return


def _is_meant(row: Row, told: Told) -> bool:
    return told["from"] in row["From"] and told.get("rescue", row["Subject"]) == row["Subject"]


def write(told: Told) -> Steps:
    yield from log_in(MAIL, told)
    message = yield from _find_message(told)
    if message is None:
        yield Infeasible("There is no such message.")
        return
    text = yield from _find_out(message, told)
    yield from _reply(message, text)
    yield Answer()


def _reply(message: Page, text: str) -> Walk[Page]:
    yield Open(message.url)
    yield Click("link", "Reply")
    yield Fill("Message", text)
    return (yield Click("button", "Send"))


def _find_out(message: Page, told: Told) -> Walk[str]:
    """What the message asks for."""
    if "did you pay" in message.text:
        yield from log_in(SHOP, told)
        page = yield Open(f"http://shop.test/orders/{_between(message.text, 'your order ', '.')}")
        return page.facts["Total"]
    if "the cheapest" in message.text:
        filters = {"Availability": "In stock", "Sort by": "Price, lowest first"}
        cards = yield from list_products(_between(message.text, "in the category ", " at shop"), filters)
        return cards[0].title
    page = yield Open(f"http://wiki.test/wiki/{_between(message.text, 'the founder of ', ' born')}")
    page = yield Open(page.link(page.facts["Founder"]))
    return page.facts["Birthplace"]


def _between(text: str, before: str, after: str) -> str:
    return text.partition(before)[2].partition(after)[0]


def errand(told: Told) -> Steps:
    if "board" in told:
        yield from _from_the_forum(told)
        return
    yield from log_in(MAIL, told)
    message = yield from _find_message(told)
    assert message is not None
    product = yield from find_product(_between(message.text, "order the ", " for me"))
    if not product.offers("button", "Add to cart"):
        yield Infeasible("The product is out of stock.")
        return
    yield from log_in(SHOP, told)
    name, street, last = _between(message.text, "My address: ", ". I pay").split(", ")
    postcode, _, town = last.partition(" ")
    address = {"Full name": name, "Street and number": street, "Postcode": postcode, "Town": town}
    quantity = int(_between(message.text, "I need ", " piece"))
    page = yield from buy(product.url, quantity, address, told["shipping"])
    if told["confirm"]:
        yield from _reply(message, page.title.partition(" - ")[0].removeprefix("Order "))
    yield Answer()


def _from_the_forum(told: Told) -> Steps:
    for _, url in (yield from board_rows(told["board"])):
        page = yield Open(url)
        if written(page)[-1][0].startswith(f"{told['last']} wrote"):
            break
    product = next(link.url for link in page.links if link.url.startswith("http://shop.test/product/"))
    yield from log_in(SHOP, told)
    yield from buy(product, 1, told["address"], told["shipping"])
    yield Answer()
