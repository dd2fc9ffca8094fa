"""ReAct: labelled lines, and what models add to them when nobody stops them."""

from __future__ import annotations

from typing import Any

import pytest

from environments.protocols import Result, ToolSchema, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids

RAIN = ("search_web", {"query": "rain"})
ACTION = 'Action: search_web\nAction Input: {"query": "rain"}'
OTHER = ACTION.replace("rain", "sun")

TORN = ("bad_call", "~text_after_call", "bad_call", "~text_after_call")

CASES = [
    Case("call", f"Thought: Hm.\n{ACTION}", (RAIN,), thought="Hm."),
    Case("behind a thought label of the prompt", f" Hm.\nMore.\n{ACTION}", (RAIN,), thought="Hm.\nMore."),
    Case("without a thought", ACTION, (RAIN,)),
    Case("answer", "Thought: I know.\nFinal Answer: Rain.\nIn Oslo.", (), "Rain.\nIn Oslo.", "I know."),
    Case("answer with a label in it", "Final Answer: see\nAction: none", answer="see\nAction: none"),
    Case("windows line ends", f"Thought: Hm.\n{ACTION}\n".replace("\n", "\r\n"), (RAIN,), thought="Hm."),
    Case(
        "bold", '**Thought:** Hm.\n**Action:** search_web\n**Action Input:** {"query": "rain"}', (RAIN,), thought="Hm."
    ),
    Case("indented", f"  {ACTION}".replace("\n", "\n  "), (RAIN,)),
    Case("in backticks", ACTION.replace("search_web", "`search_web`"), (RAIN,)),
    Case("input over several lines", ACTION.replace("{", "{\n  ").replace("}", "\n}"), (RAIN,)),
    Case("labels in a string", ACTION.replace("rain", "\\nAction: x"), (("search_web", {"query": "\nAction: x"}),)),
    Case("fence", f"{ACTION[:33]} ```json\n{ACTION[33:]}\n```", (RAIN,), problems=("~stray_text",)),
    Case("bare text for one text argument", "Action: lookup\nAction Input: rain", (("lookup", {"word": "rain"}),)),
    Case("json string for one", 'Action: lookup\nAction Input: "ra\\"in"', (("lookup", {"word": 'ra"in'}),)),
    Case("object for one", 'Action: lookup\nAction Input: {"word": "rain"}', (("lookup", {"word": "rain"}),)),
    Case("code for one", "Action: python\nAction Input: x = 1\nprint(x)", (("python", {"code": "x = 1\nprint(x)"}),)),
    Case("bare text for more", "Action: search_web\nAction Input: rain", problems=("bad_json",)),
    Case("a list", "Action: search_web\nAction Input: [1]", problems=("bad_call",)),
    Case(
        "an observation of its own",
        f"{ACTION}\nObservation: wet\nFinal Answer: Rain.",
        (RAIN,),
        problems=("~made_up_result",),
    ),
    Case("all the way on its own", f"{ACTION}\nObservation: wet\n{OTHER}", (RAIN,), problems=("~made_up_result",)),
    Case(
        "begins with an observation", "Observation: wet\nFinal Answer: Rain.", problems=("~made_up_result", "no_action")
    ),
    Case("two actions", f"{ACTION}\n{OTHER}", (RAIN,), problems=("too_many_calls",)),
    Case("action and answer", f"{ACTION}\nFinal Answer: Rain.", (RAIN,), problems=("~text_after_call",)),
    Case("a thought after", f"{ACTION}\nThought: I wait.", (RAIN,), problems=("~text_after_call",)),
    Case("text after the object", f"{ACTION}\nI wait.", (RAIN,), problems=("~text_after_call",)),
    Case("no input", "Action: search_web", problems=("bad_call",)),
    Case(
        "no input before an observation", "Action: finish\nObservation: done", problems=("bad_call", "~made_up_result")
    ),
    Case("a thought before the input", "Action: finish\nThought: x\nAction Input: {}", problems=TORN),
    Case("no action", 'Action Input: {"query": "rain"}', problems=("bad_call",), thought='{"query": "rain"}'),
    Case("cut off", ACTION[:-5], problems=("bad_json",)),
    Case("unknown tool", ACTION.replace("search_web", "Search"), problems=("unknown_tool",)),
    Case("the paper's form", "Action: Search[rain]\nAction Input: {}", problems=("unknown_tool",)),
    Case("wrong arguments", ACTION.replace("query", "q"), problems=("wrong_arguments",)),
    Case("in a thought", f"<think>\n{ACTION}\n</think>\nFinal Answer: Rain.", (), "Rain.", ACTION),
    Case("in a thought of the template", f"{ACTION}\n</think>\nFinal Answer: Rain.", (), "Rain.", ACTION),
    Case("answer in a thought", f"Final Answer: x\n</think>\n{ACTION}", (RAIN,), thought="Final Answer: x"),
    Case("prose", "It rains.", thought="It rains.", problems=("no_action",)),
    Case(
        "label in the middle of a line",
        "The Action: search_web",
        thought="The Action: search_web",
        problems=("no_action",),
    ),
    Case("empty", "", problems=("no_action",)),
    Case("empty answer", "Final Answer:", problems=("no_action",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("react"), case)


def test_a_stray_observation_does_not_hide_what_the_template_thought() -> None:
    turn = protocol("react").parse(f"{ACTION}\nObservation: x\n</think>\n{OTHER}", TOOLS)
    assert [call.arguments for call in turn.calls] == [{"query": "sun"}]


@pytest.mark.parametrize("schema", [{"type": "integer"}, {"type": ["string", "null"]}, True])
def test_only_an_argument_that_is_text_can_be_bare(schema: Any) -> None:
    tools = {"wait": ToolSchema("wait", "", {"type": "object", "properties": {"hours": schema}})}
    turn = protocol("react").parse("Action: wait\nAction Input: 5", tools)
    assert (turn.calls, codes(turn)) == ((), ("bad_call",))


def test_results_are_observations() -> None:
    react = protocol("react")
    turn = react.parse(ACTION, TOOLS)
    [message] = react.render_results(turn, [Result(turn.calls[0], "wet")])
    assert message == {"role": "user", "content": "Observation: wet"}


def test_refusals_are_observations_too() -> None:
    react = protocol("react")
    turn = react.parse("Action: search_web", TOOLS)
    [message] = react.render_results(turn, [])
    assert message["content"].startswith("Observation: Error: an Action needs a line 'Action Input:'")
    assert codes(turn) == ("bad_call",)
