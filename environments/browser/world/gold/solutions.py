"""Which solution is whose: by template, what is told, as steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from environments.browser.world.gold import desk, forum, mail, shop, wiki
from environments.browser.world.gold.steps import Steps
from environments.browser.world.gold.walks import Told

SOLUTIONS: Mapping[str, Callable[[Told], Steps]] = {
    "order": shop.order,
    "compare": shop.compare,
    "cancel": shop.cancel,
    "spending": shop.spending,
    "return": shop.return_,
    "review": shop.review,
    "trail": wiki.trail,
    "census": wiki.census,
    "revert": wiki.revert,
    "correct": wiki.correct,
    "moderate": forum.moderate,
    "reply": forum.reply,
    "posts": forum.posts,
    "report": forum.report,
    "sort": mail.sort,
    "write": mail.write,
    "tickets": desk.tickets,
    "merge": desk.merge,
    "refund": desk.refund,
    "errand": mail.errand,
}
