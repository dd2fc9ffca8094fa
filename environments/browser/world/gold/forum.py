"""Solutions at the forum."""

from __future__ import annotations

from collections import Counter

from environments.browser.world.gold.page import Page, Row
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Steps, Walk
from environments.browser.world.gold.walks import Told, all_pages, log_in

FORUM = "forum.test"


def _search(words: str) -> Walk[Page]:
    yield Open("http://forum.test/")
    yield Fill("Search the forum", words)
    return (yield Click("button", "Search"))


def _open_thread(title: str) -> Walk[Page | None]:
    page = yield from _search(title)
    return (yield Open(page.link(title))) if page.offers("link", title) else None


def board_rows(title: str) -> Walk[list[tuple[Row, str]]]:
    """Its threads, the last written in first, each with its address."""
    yield Open("http://forum.test/")
    page = yield Click("link", title)
    pages = yield from all_pages(page, "Next page")
    return [(row, page.link(row["Thread"])) for page in pages for row in page.rows]


def written(page: Page) -> list[list[str]]:
    """The lines of each post; a page may show what looks like one and is none."""
    return [lines for lines in page.articles if " wrote on " in lines[0]]


def _number(lines: list[str]) -> str:
    """Of a post: its first line ends with it."""
    return lines[0].rpartition("#")[2]


def _author(lines: list[str]) -> str:
    return lines[0].partition(" wrote on ")[0]


def _day(lines: list[str]) -> str:
    return lines[0].partition(" wrote on ")[2].split()[0]


def moderate(told: Told) -> Steps:
    yield from log_in(FORUM, told)
    if "reason" in told:
        page = yield Click("link", "Reported posts")
        for row in [row for row in page.rows if told["reason"] in row["Reasons"].split("; ")]:
            listed = yield Open("http://forum.test/reports")
            yield Open(listed.link(row["Thread"]))
            yield Click("button", f"Hide post {row['Post']}")
    elif "before" in told:
        for row, url in (yield from board_rows(told["board"])):
            if row["Last post"] < told["before"]:
                yield Open(url)
                yield Click("button", "Lock thread")
    else:
        if (yield from _open_thread(told["thread"])) is None:
            yield Infeasible("There is no such thread.")
            return
        if "board" in told:
            yield Select("Move to", told["board"])
            yield Click("button", "Move thread")
        yield Click("button", "Lock thread")
    yield Answer()


def reply(told: Told) -> Steps:
    yield from log_in(FORUM, told)
    page = yield from _open_thread(told["thread"])
    assert page is not None
    if not page.offers("button", "Post reply"):
        yield Infeasible("The thread is locked.")
        return
    thread = page.url
    page = yield Open(next(link.url for link in page.links if link.url.startswith("http://shop.test/product/")))
    if told["ask"] == "price":
        text = next(line for line in page.lines if line.startswith("€"))
    elif told["ask"] == "rating":
        text = next((line.split()[0] for line in page.lines if " out of 5 (" in line), "none")
    else:
        page = yield Click("link", page.facts["Maker"])
        text = page.facts["Founded"]
    yield Open(thread)
    yield Fill("Your reply", text)
    yield Click("button", "Post reply")
    yield Answer()


def posts(told: Told) -> Steps:
    rows = yield from board_rows(told["board"])
    if told["ask"] == "replies":
        yield Answer(str(sum(int(row["Replies"]) for row, _ in rows)))
        return
    if told["ask"] == "longest":
        yield Answer(max(rows, key=lambda pair: int(pair[0]["Replies"]))[0]["Started by"])
        return
    posted = []
    for _, url in rows:
        page = yield Open(url)
        posted += [(_author(lines), _day(lines)) for lines in written(page)]
    if told["ask"] == "most":
        yield Answer(Counter(author for author, _ in posted).most_common(1)[0][0])
    else:
        yield Answer(max(day for author, day in posted if author == told["member"]))


def report(told: Told) -> Steps:
    yield from log_in(FORUM, told)
    if "board" in told:
        rows = yield from board_rows(told["board"])
        page = yield Open(rows[0][1])
        numbers = [_number(written(page)[-1])]
    else:
        page = yield from _find_thread(told)
        numbers = [_number(lines) for lines in written(page) if _is_meant(lines, told)]
    for number in numbers:
        yield Open(page.url)
        yield Click("link", f"Report post #{number}")
        yield Select("Reason", told["reason"])
        yield Click("button", "Report")
    yield Answer()


def _find_thread(told: Told) -> Walk[Page]:
    if "thread" in told:
        page = yield from _open_thread(told["thread"])
        assert page is not None
        return page
    page = yield from _search(told["says"])
    return (yield Open(page.link(page.rows[0]["Thread"])))


def _is_meant(lines: list[str], told: Told) -> bool:
    if "by" in told:
        return _author(lines) == str(told["by"])
    return any(told["says"] in line for line in lines)
