"""The browser agent's policy: what it does is made of the page's text and the goal alone."""

from __future__ import annotations

from examples.browser_agent import ScriptedPolicy

LOGIN = """\
- generic [ref=e3]: Enter the username "bo" and the password "x7" into the text fields and press login.
- paragraph [ref=e7]:
  - generic [ref=e8]: Username
  - textbox [active] [ref=e9]: old
- paragraph [ref=e10]:
  - textbox [ref=e12]
- button "Login" [ref=e13] [cursor=pointer]
"""
BUTTONS = """\
- textbox [ref=e3]
- button "ok" [ref=e4]
- button "Ok" [ref=e5]
"""


def test_fields_are_filled_in_their_order_and_then_the_button_is_pressed() -> None:
    policy = ScriptedPolicy('Enter the username "bo" and the password "x7" into the text fields and press login.')
    assert [policy.act({"text": LOGIN}) for _ in range(3)] == [
        {"type": "fill", "ref": "e9", "text": "bo"},
        {"type": "fill", "ref": "e12", "text": "x7"},
        {"type": "click", "ref": "e13"},
    ]


def test_what_the_goal_names_is_clicked() -> None:
    assert ScriptedPolicy('Click on the "Ok" button.').act({"text": BUTTONS}) == {"type": "click", "ref": "e5"}


def test_what_is_not_there_cannot_be_done() -> None:
    action = ScriptedPolicy('Click on the "No" button.').act({"text": BUTTONS})
    assert action == {"type": "infeasible", "reason": "there is no button No"}


def test_a_page_that_was_not_seen_is_looked_at_again() -> None:
    policy = ScriptedPolicy('Click on the "Ok" button.')
    assert policy.act({"error": "the step did not come to an end"}) == {"type": "wait", "time_s": 1}
    assert policy.act({"text": BUTTONS}) == {"type": "click", "ref": "e5"}
