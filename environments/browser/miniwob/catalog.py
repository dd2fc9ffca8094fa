"""Which pages are tasks, which are not and why, and which are kept for testing."""

from __future__ import annotations

import re
from collections.abc import Mapping

PAGES = """
ascending-numbers bisect-angle book-flight book-flight-nodelay button-delay buy-ticket chase-circle
choose-date choose-date-easy choose-date-medium choose-date-nodelay choose-list circle-center click-button
click-button-sequence click-checkboxes click-checkboxes-large click-checkboxes-soft click-checkboxes-transfer
click-collapsible click-collapsible-2 click-collapsible-2-nodelay click-collapsible-nodelay click-color
click-dialog click-dialog-2 click-link click-menu click-menu-2 click-option click-pie click-pie-nodelay
click-scroll-list click-shades click-shape click-tab click-tab-2 click-tab-2-easy click-tab-2-hard
click-tab-2-medium click-test click-test-2 click-test-transfer click-widget copy-paste copy-paste-2
count-shape count-sides daily-calendar drag-box drag-circle drag-cube drag-items drag-items-grid drag-shapes
drag-shapes-2 drag-single-shape drag-sort-numbers draw-circle draw-line email-inbox email-inbox-delete
email-inbox-forward email-inbox-forward-nl email-inbox-forward-nl-turk email-inbox-important
email-inbox-nl-turk email-inbox-noscroll email-inbox-reply email-inbox-star-reply enter-date enter-password
enter-text enter-text-2 enter-text-dynamic enter-time find-greatest find-midpoint find-word focus-text
focus-text-2 form-sequence form-sequence-2 form-sequence-3 generate-number grid-coordinate guess-number
highlight-text highlight-text-2 hot-cold hover-shape identify-shape login-user login-user-popup moving-items
multi-layouts multi-orderings navigate-tree number-checkboxes odd-or-even order-food phone-book read-table
read-table-2 resize-textarea right-angle scroll-text scroll-text-2 search-engine sign-agreement simon-says
simple-algebra simple-arithmetic social-media social-media-all social-media-some terminal
text-editor text-transform tic-tac-toe unicode-test use-autocomplete use-autocomplete-nodelay use-colorwheel
use-colorwheel-2 use-slider use-slider-2 use-spinner visual-addition
""".split()
"""Every page of the wheel that can run without a network and repeats under its seed."""

LEFT_OUT: Mapping[str, str] = {
    "stock-market": "its price moves ten times a second: what a policy sees depends on when it looks",
}
"""Pages of the wheel that are no tasks here. Its folder `flight` is left out whole: copies of airlines' sites, whose
questions are not in the wheel.
"""

REAL_TIME = frozenset({"button-delay", "chase-circle", "hover-shape", "moving-items", "simon-says"})
"""Their pages go on while a policy thinks: a slow one fails them, however good it is."""

_PIE = "the slice that is chosen from the beginning takes no clicks: a problem that asks for it cannot be solved"
_MAIL = "two mails may be by the sender that is named, and only one of them is meant"
FLAWS: Mapping[str, str] = {
    "click-pie": _PIE,
    "click-pie-nodelay": _PIE,
    **dict.fromkeys((page for page in PAGES if page.startswith("email-inbox")), _MAIL),
}
"""Of pages whose problems, under a few seeds, are none that could be solved by whoever understands them."""

_VARIANTS = """
1 2 3 all auto delete dynamic easy forward grid hard important large layouts medium nl nodelay noscroll orderings popup
reply soft some star transfer turk
""".split()
VARIANT = re.compile(rf"-(?:{'|'.join(_VARIANTS)})(?=-|$)")

TEST_FAMILIES = frozenset(
    """
    book-flight click-collapsible click-shape count-shape copy-paste drag-items find-word
    form-sequence generate-number grid-coordinate highlight-text login-user navigate-tree read-table scroll-text
    search-engine simple-algebra text-transform tic-tac-toe use-slider
    """.split()
)
"""A quarter of all. A page and its variants are on one side, or a policy would have trained on what it is tested on."""


def family(page: str) -> str:
    """`click-tab` of `click-tab-2-hard`."""
    return VARIANT.sub("", page)


def split_of(page: str) -> str:
    return "test" if family(page) in TEST_FAMILIES else "train"
