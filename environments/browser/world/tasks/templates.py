"""All templates, by name."""

from __future__ import annotations

from collections.abc import Mapping

from environments.browser.world.tasks.crossing import ERRANDS
from environments.browser.world.tasks.desk import MERGE, REFUND, TICKETS
from environments.browser.world.tasks.forum import MODERATE, POSTS, REPLY, REPORT
from environments.browser.world.tasks.mail import SORT, WRITE
from environments.browser.world.tasks.shop_account import CANCEL, RETURN
from environments.browser.world.tasks.shop_goods import COMPARE, ORDER
from environments.browser.world.tasks.shop_past import REVIEW, SPENDING
from environments.browser.world.tasks.template import Template
from environments.browser.world.tasks.wiki_editing import CORRECT, REVERT
from environments.browser.world.tasks.wiki_reading import CENSUS, TRAIL

TEMPLATES: Mapping[str, Template] = {
    template.name: template
    for template in (
        ORDER, COMPARE, CANCEL, SPENDING, RETURN, REVIEW, TRAIL, CENSUS, REVERT, CORRECT,
        MODERATE, REPLY, POSTS, REPORT, SORT, WRITE, TICKETS, MERGE, REFUND, ERRANDS,
    )
}  # fmt: skip
